"""Whole conversations with the page in a real browser: heard by its microphone, played on its speaker."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path

import numpy as np

from locara.audio import from_pcm16

from .chromium import Tab, browser
from .served import (
    QUESTION,
    SECOND,
    acknowledged,
    allow,
    at_rate,
    correlation,
    events,
    messages,
    microphone,
    needs_browser,
    served,
    sounds,
)

pytestmark = needs_browser

LONG = "tell me a joke"
"""What the built-in responder has a long answer to."""


async def begin(tab: Tab, url: str) -> None:
    """Opens the page and clicks once."""
    await tab.goto(url)
    await tab.until("document.body.dataset.ready")
    await tab.click("#start")


async def typed(tab: Tab, text: str) -> None:
    """A line in the text field."""
    await tab.click("#type-text")
    await tab.type(text)
    await tab.key("Enter")


def test_a_conversation_is_heard_answered_shown_and_recorded(tmp_path: Path) -> None:
    allow("device.microphone", "device.speaker")
    heard = microphone(tmp_path / "heard.wav", [1.5, SECOND, 3.0])

    async def go() -> None:
        async with served() as server, browser(microphone=heard) as tab:
            await tab.downloads(tmp_path)
            # What the browser does to speech by default would be measured, not the way of the sound.
            await tab.before(
                "localStorage.setItem('locara.settings', JSON.stringify("
                "{echoCancellation: false, noiseSuppression: false, autoGainControl: false}))"
            )
            await begin(tab, server.launch_url())
            assert "#code" not in await tab.run("location.href")
            await tab.until("!document.querySelector('#record').disabled")
            await tab.click("#record")
            await tab.until("document.querySelector('.caption.it')")
            await tab.until("document.body.dataset.state === 'speaking'")
            await tab.until("document.body.dataset.state === 'listening'")
            assert "twelve times seven" in await tab.run("document.querySelector('.caption.you').textContent")
            answer = await tab.run("document.querySelector('.caption.it').textContent")
            assert "84" in answer or "eighty" in answer
            assert await tab.run("document.querySelector('.caption.it .coming, .caption.it s')") is None
            ledger = await tab.run("document.querySelector('#latency svg').getAttribute('aria-label')")
            total = await tab.run("document.querySelector('#latency-total').textContent")
            latency = next(one["latency"] for one in events(tab, "turn-end") if one["latency"])
            assert abs(int(total.removesuffix(" ms")) - 1000 * sum(latency.values())) <= 4
            assert "knowing you are done" in ledger
            await tab.click("#record")
            sound = await saved(tmp_path, ".wav")
            lines = (await saved(tmp_path, ".jsonl")).read_text().splitlines()
            kinds = [json.loads(line)["type"] for line in lines]
            assert kinds.index("final-transcript") < kinds.index("llm-token") < kinds.index("turn-end")
            await tab.click("#end")
            await tab.until("document.body.dataset.state === 'ended'")
            measure(tab, sound)
            assert tab.console == []
            assert tab.hosts == {f"127.0.0.1:{server.port}"}

    asyncio.run(go())


async def saved(folder: Path, ending: str) -> Path:
    """The file that the browser saves."""
    async with asyncio.timeout(10):
        while True:
            found = [one for one in folder.glob(f"locara-*{ending}") if one.stat().st_size]  # noqa: ASYNC240  a few names
            if found:
                return found[0]
            await asyncio.sleep(0.05)


def measure(tab: Tab, file: Path) -> None:
    """Left is what the microphone was given, right is what the server sent, both as they were."""
    with wave.open(str(file)) as recorded:
        rate = recorded.getframerate()
        left, right = from_pcm16(recorded.readframes(recorded.getnframes())).reshape(-1, 2).T
    with wave.open(str(QUESTION)) as source:
        whole = from_pcm16(source.readframes(source.getnframes()))
        question = at_rate(whole[round(5.6 * 16000) : round(7.0 * 16000)], source.getframerate(), rate)
    sent = np.concatenate([samples for _, samples in sounds(tab.received)])
    voiced = np.flatnonzero(np.abs(sent) > 0.02)
    answer = sent[voiced[0] : voiced[-1]]
    assert np.sqrt(np.mean(answer**2)) > 0.01
    # A loaded browser stutters now and then: most pieces of 100 ms have to be exactly what was sent, wherever they lie.
    size = rate // 10
    pieces = [answer[at : at + size] for at in range(0, answer.size - size, size)]
    assert np.median([correlation(right, piece) for piece in pieces]) > 0.995
    assert correlation(left, question) > 0.9
    played = max(acknowledged(tab)) * rate / 1000
    assert played > sounds(tab.received)[0][0] + voiced[-1], "all that could be heard was reported as played"


def test_speaking_stops_the_answer_and_the_page_shows_what_was_not_heard(tmp_path: Path) -> None:
    allow("device.microphone", "device.speaker")
    heard = microphone(tmp_path / "heard.wav", [4.0, SECOND, 4.0])

    async def go() -> None:
        async with served() as server, browser(microphone=heard) as tab:
            await begin(tab, server.launch_url())
            await tab.until("!document.querySelector('#type-text').disabled")
            await typed(tab, LONG)
            await tab.until("document.querySelector('.caption.it s')")
            cut = events(tab, "barge-in")[0]
            shown = await tab.run("document.querySelector('.caption.it').textContent")
            assert cut["heard_text"].strip() in shown
            assert await tab.run("document.querySelector('.caption.it s').textContent") == cut["unheard_text"]
            await tab.until("document.querySelectorAll('.caption.it').length === 2")
            flush = next(one for one in messages(tab.received) if one.get("playback") == "flush")
            before = [one for one in sounds(tab.received) if one[0] < flush["at"]]
            assert before
            # What was thrown away was never said to be played.
            last = max(one for one in acknowledged(tab) if one * 24 <= flush["at"])
            assert last * 24 < flush["at"]
            assert tab.console == []

    asyncio.run(go())


def test_a_lost_connection_is_taken_up_again_in_the_middle_of_an_answer() -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser() as tab:
            await begin(tab, server.launch_url())
            await tab.until("!document.querySelector('#type-text').disabled")
            await typed(tab, LONG)
            await tab.until("document.body.dataset.state === 'speaking'")
            await asyncio.sleep(1.0)
            server.connections.cut_all()
            await tab.until("document.body.dataset.state === 'reconnecting'")
            await tab.until("document.body.dataset.state === 'speaking'")
            await tab.until("document.body.dataset.state === 'listening'", seconds=40)
            assert [one["reason"] for one in events(tab, "turn-end") if one["who"] == "assistant"] == ["finished"]
            assert await tab.run("document.querySelectorAll('.caption.it').length") == 1
            assert await tab.run("document.querySelector('.caption.it s, .caption.it .coming')") is None
            resume = next(one for one in messages(tab.sent) if one.get("method") == "session.resume")
            came = sounds(tab.received)
            assert resume["params"]["received"] > came[0][0]
            # Every sample came at least once: the sound has no hole where the connection was cut.
            end = came[0][0]
            for at, samples in came:
                if np.abs(samples).max() > 0:
                    assert at <= end
                end = max(end, at + samples.size)
            assert max(acknowledged(tab)) * 24 > end - 24_000
            assert [one for one in tab.console if "WebSocket" not in one] == []

    asyncio.run(go())
