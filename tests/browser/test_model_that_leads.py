"""The page with one model that hears and speaks, and decides by itself when it does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from locara.testing import ScriptedDuplex

from .chromium import browser
from .served import SECOND, acknowledged, allow, events, microphone, needs_browser, served, sounds
from .test_conversation import begin

pytestmark = needs_browser

LONG = "It is noon now and the sun is high up in the sky and there it stays for a while and then some more of it."


def test_a_conversation_is_shown_and_an_interruption_can_be_seen(tmp_path: Path) -> None:
    allow("device.microphone", "device.speaker")
    heard = microphone(tmp_path / "heard.wav", [1.5, SECOND, 2.0, SECOND, 8.0])
    model = ScriptedDuplex([LONG, "All right."], hears=["what is twelve times seven", "and once more"])

    async def go() -> None:
        async with served(omni=model) as server, browser(microphone=heard) as tab:
            await tab.before(
                "localStorage.setItem('locara.settings', JSON.stringify("
                "{echoCancellation: false, noiseSuppression: false, autoGainControl: false}))"
            )
            await begin(tab, server.launch_url())
            await tab.until("document.querySelector('.caption.it .why, .caption.it s')")
            cut = events(tab, "barge-in")[0]
            assert cut["heard_text"].strip()
            assert cut["heard_text"].strip() in LONG
            shown = await tab.run("document.querySelector('.caption.it').textContent")
            assert cut["heard_text"].strip() in shown
            # It gives its words with their sound, so mostly none are left over: then the page says it in a word.
            assert cut["unheard_text"] in shown if cut["unheard_text"] else "interrupted" in shown
            await tab.until("document.querySelectorAll('.caption.it').length === 2")
            await tab.until("document.body.dataset.state === 'listening'")
            said = await tab.run("[...document.querySelectorAll('.caption.it')].at(-1).textContent")
            assert "All right." in said
            mine = await tab.run("document.querySelector('.caption.you').textContent")
            assert "what is twelve times seven" in mine
            assert not events(tab, "error")
            assert sounds(tab.received)
            assert acknowledged(tab)
            assert tab.console == []

    asyncio.run(go())
