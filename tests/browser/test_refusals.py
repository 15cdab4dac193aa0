"""What a person is told when something is refused: the microphone, the grant, the code; and the way on from there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .chromium import Tab, browser
from .served import TOKEN, allow, events, messages, needs_browser, served, sounds
from .test_conversation import begin, typed

pytestmark = needs_browser

NOTICE = "document.querySelector('.notice')?.textContent ?? ''"


def test_without_a_microphone_one_types_and_is_answered_aloud() -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser(allow=False) as tab:
            await tab.permission("microphone", "denied")
            await begin(tab, server.launch_url())
            await tab.until("document.querySelector('.notice')")
            told = await tab.run(NOTICE)
            assert "does not let this page use the microphone" in told
            assert "allow the microphone" in told
            await tab.until("document.body.dataset.state === 'no-microphone'")
            assert await tab.run("document.querySelector('#mute').disabled") is True
            await typed(tab, "what is two plus three")
            await tab.until("document.body.dataset.state === 'speaking'")
            await tab.until("document.body.dataset.state === 'no-microphone'")
            answer = await tab.run("document.querySelector('.caption.it').textContent")
            assert "5" in answer or "five" in answer
            assert max(abs(samples).max() for _, samples in sounds(tab.received)) > 0.05
            assert sounds(tab.sent) == []
            assert tab.console == []

    asyncio.run(go())


def test_the_first_time_the_page_asks_and_its_answer_counts() -> None:
    async def go() -> None:
        async with served() as server, browser() as tab:
            await begin(tab, server.launch_url())
            await tab.until("document.querySelector('#consent').open")
            asked = await tab.run("document.querySelector('#consent').innerText")
            assert "Locara's page" in asked
            assert "listen to your microphone" in asked
            assert "dev.locara.page" in asked
            # The keyboard stays inside (or is at the browser's own buttons), and Escape is no answer.
            for _ in range(5):
                await tab.key("Tab")
                inside = "document.querySelector('#consent').contains(document.activeElement)"
                assert await tab.run(f"{inside} || document.activeElement === document.body")
            await tab.key("Escape")
            await tab.until("document.body.dataset.state === 'ended'")
            assert "Nobody answered" in await tab.run(NOTICE)
            assert not [one for one in messages(tab.sent) if one.get("method") == "consent.answer"]
            await again(tab, "deny")
            await tab.until("document.body.dataset.state === 'ended'")
            assert "may not use device.microphone" in await tab.run(NOTICE)
            assert "locara grants allow dev.locara.page device.microphone" in await tab.run(NOTICE)
            allow("device.microphone")  # as the hint says
            await again(tab, "once")
            await tab.until("document.body.dataset.state === 'listening'")
            assert await tab.run("document.querySelectorAll('.notice').length") == 0
            assert tab.console == []

    asyncio.run(go())


async def again(tab: Tab, answer: str) -> None:
    """Starts again, and gives this answer to the question."""
    await tab.click("#start")
    await tab.until("document.querySelector('#consent').open")
    await tab.click(f"#consent-{answer}")


def test_without_a_code_a_token_can_be_pasted_and_a_wrong_one_is_said_to_be_wrong() -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser() as tab:
            used = server.launch_url()
            await tab.goto(used)
            await tab.until("document.body.dataset.ready")
            assert TOKEN not in await tab.run("location.href + document.cookie + document.documentElement.outerHTML")
            await tab.run("sessionStorage.clear()")
            await tab.goto(server.url + "/?again=1#" + used.split("#")[1])
            await tab.until("document.querySelector('#enter').open")
            assert "used already" in await tab.run("document.querySelector('#enter').innerText")
            await tab.type("not-the-token")
            await tab.key("Enter")
            await tab.until("!document.querySelector('#enter').open")
            await tab.click("#start")
            await tab.until("document.querySelector('#enter').open")
            assert "does not know this page's token" in await tab.run("document.querySelector('#enter').innerText")
            await tab.type(TOKEN)
            await tab.key("Enter")
            await tab.click("#start")
            await tab.until("document.body.dataset.state === 'listening'")
            assert events(tab, "session-start")

    asyncio.run(go())


def test_everything_can_be_done_with_the_keyboard(tmp_path: Path) -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser() as tab:
            await tab.goto(server.launch_url())
            await tab.until("document.body.dataset.ready")
            assert await tab.run("document.activeElement.id") == "start"
            await tab.key("Enter")
            await tab.until("document.body.dataset.state === 'listening'")
            await tab.key(" ", up=False)
            await tab.until("document.querySelector('#talk').getAttribute('aria-pressed') === 'true'")
            await tab.key(" ", down=False)
            await tab.until("document.querySelector('#talk').getAttribute('aria-pressed') === 'false'")
            await tab.key("m")
            await tab.until("document.body.dataset.state === 'muted'")
            await tab.key("m")
            await tab.until("document.body.dataset.state !== 'muted'")
            await tab.key("/")
            await tab.type("tell me a joke")
            await tab.key("Enter")
            await tab.until("document.body.dataset.state === 'speaking'")
            reached = []
            for _ in range(12):
                await tab.key("Tab")
                reached.append(await tab.run("document.activeElement.id"))
            assert {"record", "settings-open", "mute", "talk", "interrupt", "end", "type-text"} <= set(reached)
            await tab.key("/")
            await tab.key("Escape")  # also in the text field
            await tab.until("document.querySelector('.caption.it s')")
            pressed = [
                one["params"]["down"] for one in messages(tab.sent) if one.get("method") == "session.push_to_talk"
            ]
            assert pressed == [True, False]
            assert [one["method"] for one in messages(tab.sent) if one.get("method", "").endswith("mute")] == [
                "session.mute",
                "session.unmute",
            ]
            assert tab.console == []

    asyncio.run(go())
