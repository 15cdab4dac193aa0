"""Settings, and what the page looks like where there is little room."""

from __future__ import annotations

import asyncio

from .chromium import browser
from .served import acknowledged, allow, messages, needs_browser, served
from .test_conversation import begin, typed

pytestmark = needs_browser


def test_settings_are_applied_at_once_and_kept() -> None:
    allow("device.microphone", "device.speaker", "device.speaker.select")

    async def go() -> None:
        async with served() as server, browser() as tab:
            await begin(tab, server.launch_url())
            await tab.until("document.body.dataset.state === 'listening'")
            await tab.click("#settings-open")
            await tab.until("document.querySelector('#settings').open")
            form = "document.querySelector('#settings-form').elements"
            models = await tab.run(f"[...{form}.tts.options].map((one) => [one.value, one.disabled])")
            assert models[0] == ["", False]
            assert ["espeak-ng", False] in models
            assert any(disabled for _, disabled in models), "models that are not here are shown, and cannot be chosen"
            assert await tab.run(f"{form}.output.disabled") is True
            await tab.run(
                f"{form}.patience.value = 'patient'; {form}.attention.value = 'push-to-talk'; {form}.theme.value = 'light';"
                f"{form}.otherSpeaker.checked = true; document.querySelector('#settings button[value=apply]').click()"
            )
            await tab.until("document.body.dataset.state === 'hold-to-talk'")
            told = next(one["params"] for one in messages(tab.sent) if one.get("method") == "session.configure")
            assert told == {"patience": "patient", "attention": "push-to-talk"}
            assert await tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 247)"
            await tab.click("#end")
            await tab.until("document.body.dataset.state === 'ended'")
            # A conversation that may choose another speaker has asked for it.
            await tab.click("#start")
            await tab.until("document.body.dataset.state === 'hold-to-talk'")
            started = [one["params"] for one in messages(tab.sent) if one.get("method") == "voice.session_start"][-1]
            assert (started["other_speaker"], started["patience"]) == (True, "patient")
            await tab.click("#settings-open")
            await tab.until("document.querySelector('#settings').open")
            assert await tab.run(f"{form}.output.disabled") is False
            assert await tab.run(f"{form}.output.options.length") > 1
            other = await tab.run(f"{form}.output.options[1].value")
            await tab.run(
                f"{form}.output.selectedIndex = 1; document.querySelector('#settings button[value=apply]').click()"
            )
            assert await tab.run("JSON.parse(localStorage.getItem('locara.settings')).output") == other
            await typed(tab, "what is two plus three")  # on the other speaker
            await tab.until("document.body.dataset.state === 'speaking'")
            await tab.until("document.body.dataset.state === 'hold-to-talk'")
            assert await tab.run("document.querySelectorAll('.notice.alarm').length") == 0
            assert max(acknowledged(tab)) > 0
            assert tab.console == []

    asyncio.run(go())


def test_nothing_is_cut_off_where_there_is_little_room() -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser() as tab:
            await tab.prefers(reduced_motion="reduce")
            await begin(tab, server.launch_url())
            await tab.until("document.body.dataset.state === 'listening'")
            await typed(tab, "what is two plus three")
            await tab.until("document.querySelector('.caption.it')")
            for width, height in ((320, 640), (390, 844), (1280, 700)):
                await tab.size(width, height)
                await tab.until(f"innerWidth === {width}")
                assert await tab.run("document.documentElement.scrollWidth") <= width
                assert await tab.run("document.documentElement.scrollHeight") <= height
                hidden = await tab.run(
                    "[...document.querySelectorAll('button, input')].filter((one) => one.offsetParent !== null)"
                    ".filter((one) => { const box = one.getBoundingClientRect(); return box.left < 0 || box.height < 24"
                    " || box.right > innerWidth + 0.5 || box.bottom > innerHeight + 0.5; }).map((one) => one.id)"
                )
                assert hidden == [], (width, height)
            nameless = await tab.run(
                "[...document.querySelectorAll('button, input, select, canvas')].filter((one) => !one.ariaHidden &&"
                " !one.textContent.trim() && !one.getAttribute('aria-label') && !one.labels?.length).map((one) => one.id)"
            )
            assert nameless == []

    asyncio.run(go())
