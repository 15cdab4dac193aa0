"""A whole session on a sound card (of a private sound server): a question at the microphone, the answer at the speaker."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from locara import voice
from locara.audio import Samples
from locara.devices.wav import read_wav
from locara.voice import Session
from locara.voice import events as on

from .whole import QUESTION, SENTENCES, ends, errors, finals, nothing_left

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("miniaudio")
    monkeypatch.setenv("LOCARA_NO_SERVERS", "1")
    monkeypatch.setenv("LOCARA_CACHE", str(tmp_path / "cache"))


async def _asked(session: Session, server: SoundServer, both: Path) -> tuple[list[on.Event], float]:
    """Plays the question into the microphone of ``session`` until both answers have played out; records left the
    microphone's and right the speaker's sound. Returns the events and the seconds of processor time in this process."""
    stream = session.events()
    seen: list[on.Event] = []
    async with asyncio.timeout(40), session:
        await asyncio.sleep(0.3)
        recorders = [
            server._help("parec", "-d", source, "--latency-msec=20", "--rate=48000", "--channels=1", "--format=s16le",
                         "--file-format=wav", str(both / f"{source}.wav"))
            for source in ("mic", "speaker.monitor")
        ]  # fmt: skip
        await asyncio.sleep(0.4)
        began = time.process_time()
        speaking = server.say(QUESTION)
        async for event in stream:
            seen.append(event)
            if sum(one.who == "assistant" for one in seen if isinstance(one, on.TurnEnd)) == 2:
                break
        busy = time.process_time() - began
        await asyncio.sleep(0.3)
        for helper in (speaking, *recorders):
            helper.terminate()
            helper.wait(5)
    with suppress(StopAsyncIteration):
        while True:
            seen.append(await anext(stream))
    return seen, busy


def test_a_question_at_the_microphone_is_answered_at_the_speaker(sound_server: SoundServer, tmp_path: Path) -> None:
    with nothing_left():
        session = voice.session()
        events, busy = asyncio.run(_asked(session, sound_server, tmp_path))
    assert session.plan["stt"]["engine"] == "pocketsphinx"
    assert session.plan["llm"]["engine"] == "built-in"
    assert session.plan["tts"]["engine"] == "espeak-ng"
    assert finals(events) == SENTENCES
    assert not errors(events)
    assert ends(events) == [(turn, who, why) for turn in (0, 1) for who, why in (("user", "complete"), ("assistant", "finished"))]  # noqa: E501  # fmt: skip
    assert isinstance(events[-1], on.SessionEnd)
    metrics = session.metrics()
    assert (metrics["turns"], metrics["errors"], metrics["barge_ins"]) == (2.0, 0.0, 0.0)
    assert metrics["input_overruns"] == 0.0
    assert 0.2 < metrics["latency_median"] <= metrics["latency_worst"] < 2.0
    assert metrics["slowest_step"] < 0.1
    assert busy < 6.0  # of about 10 s
    _the_ledger_is_what_the_room_hears(tmp_path, [e for e in events if isinstance(e, on.TurnEnd) and e.who == "user"])


def _the_ledger_is_what_the_room_hears(folder: Path, turns: list[on.TurnEnd]) -> None:
    """From the user's last sample at the microphone to the first audible one at the speaker, on the sound server's own
    clock. The two recordings begin up to some tens of milliseconds apart, and a device's own delay is an estimate."""
    microphone, rate = read_wav(folder / "mic.wav")
    speaker, _ = read_wav(folder / "speaker.monitor.wav")
    asked, answered = _loud(microphone, rate, -40.0), _loud(speaker, rate, -60.0)
    assert len(asked) == len(answered) == len(turns) == 2
    for (_, end), (begin, _), turn in zip(asked, answered, turns, strict=True):
        assert turn.latency is not None
        print(f"heard {begin - end:.3f} s after the question, ledger {turn.latency}")
        assert abs((begin - end) - turn.latency.total) < 0.25


def _loud(sound: Samples, rate: int, dbfs: float) -> list[tuple[float, float]]:
    at = np.flatnonzero(np.abs(sound) > 10 ** (dbfs / 20))
    assert at.size
    return [
        (float(part[0]) / rate, float(part[-1]) / rate) for part in np.split(at, np.flatnonzero(np.diff(at) > rate) + 1)
    ]


def test_what_the_app_says_is_heard_and_counted_as_said(sound_server: SoundServer, tmp_path: Path) -> None:
    async def main() -> tuple[Samples, Samples]:
        session = voice.session(input="none")
        played: list[Samples] = []

        async def follow() -> None:
            async for block in session.raw_output():
                played.append(block)

        following = asyncio.create_task(follow())
        async with asyncio.timeout(30), session:
            recorder = sound_server.record(tmp_path / "speaker.wav")
            await asyncio.sleep(0.5)
            await session.say("One two three four five six seven.")
            await asyncio.sleep(0.5)
            recorder.terminate()
            recorder.wait(5)
        await following
        return np.concatenate(played), read_wav(tmp_path / "speaker.wav")[0]

    with nothing_left():
        played, recorded = asyncio.run(main())
    energy = [float(np.sum(sound.astype(np.float64) ** 2)) for sound in (played, recorded)]
    assert energy[0] > 1.0
    assert len(_loud(recorded, 48_000, -60.0)) == 1
    assert float(np.abs(played).max()) == pytest.approx(float(np.abs(recorded).max()), rel=0.1)


@pytest.mark.parametrize("llm", [None, "built-in"])
def test_the_plan_says_why_for_every_stage(llm: str | None) -> None:
    async def main() -> dict[str, dict[str, str]]:
        session = voice.session(llm=llm, input="none", output="none")
        async with session:
            return session.plan

    with nothing_left():
        plan = asyncio.run(main())
    assert [stage for stage, facts in plan.items() if not facts["why"]] == []


def test_stopping_twice_at_once_closes_everything(sound_server: SoundServer) -> None:
    async def main() -> None:
        session = voice.session(llm="built-in")
        await session.start()
        first = asyncio.create_task(session.stop())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await session.stop()
        await asyncio.sleep(0)
        assert first.done(), "stop() returned although the session was still being stopped"
        await first

    with nothing_left():
        asyncio.run(main())


@pytest.mark.parametrize("moments", [0, 1, 4, 16])
def test_a_cancelled_stop_can_be_asked_for_again(sound_server: SoundServer, moments: int) -> None:
    # A deadline of the app's, or a second signal: processes and devices must be closed all the same.
    async def main() -> None:
        session = voice.session(llm="built-in")
        await session.start()
        first = asyncio.create_task(session.stop())
        for _ in range(moments):
            await asyncio.sleep(0)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        async with asyncio.timeout(8):
            await session.stop()

    with nothing_left():
        asyncio.run(main())
