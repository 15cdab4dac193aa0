"""Takes the pictures of docs/page.md: the real page, at the real server, in headless Chromium.

    python scripts/page_screenshots.py FOLDER

Needs Chromium (or LOCARA_CHROMIUM) and the engines of the installation. The pictures are looked at by a person before they
are copied to docs/images.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

os.environ["LOCARA_CONSENT"] = tempfile.mkdtemp(prefix="locara-pictures-")

from tests.browser.chromium import Tab, browser, executable  # noqa: E402  after the ledger is chosen
from tests.browser.served import SECOND, microphone, served  # noqa: E402

from locara.server.serving import Server  # noqa: E402


async def state(tab: Tab, name: str) -> None:
    """Waits for it."""
    await tab.until(f"document.body.dataset.state === '{name}'", seconds=40)


async def typed(tab: Tab, text: str) -> None:
    """A line, and its whole answer."""
    await tab.click("#type-text")
    await tab.type(text)
    await tab.key("Enter")
    await state(tab, "speaking")


async def beginning(tab: Tab, url: str, folder: Path) -> None:
    """The page at first, its question, and an answer that is interrupted."""
    await tab.size(1280, 800)
    await tab.prefers(color_scheme="dark")
    await tab.goto(url)
    await tab.until("document.body.dataset.ready")
    await tab.screenshot(folder / "ready.png")
    await tab.click("#start")
    await tab.until("document.querySelector('#consent').open")
    await asyncio.sleep(0.3)
    await tab.screenshot(folder / "consent.png")
    for _ in range(2):  # microphone, then speaker
        await tab.until("document.querySelector('#consent').open")
        await tab.click("#consent-once")
        await tab.until("!document.querySelector('#consent').open")
    await tab.until("document.querySelector('.caption.it') && !document.querySelector('.caption.it .coming')")
    await typed(tab, "tell me a joke")
    await tab.until("document.querySelector('.caption.it s')", seconds=30)
    await state(tab, "speaking")
    await asyncio.sleep(0.8)
    await tab.screenshot(folder / "dark.png")


async def going_on(tab: Tab, folder: Path) -> None:
    """In light colours, muted, the settings, and at the width of a phone."""
    await state(tab, "listening")
    await tab.prefers(color_scheme="light")
    await typed(tab, "what day is it today")
    await asyncio.sleep(0.6)
    await tab.screenshot(folder / "light.png")
    await state(tab, "listening")
    await tab.run("document.activeElement.blur()")
    await tab.key("m")
    await asyncio.sleep(0.7)
    await tab.screenshot(folder / "muted.png")
    await tab.key("m")
    await tab.prefers(color_scheme="dark")
    await tab.click("#settings-open")
    await tab.until("document.querySelector('#settings').open")
    await asyncio.sleep(0.7)
    await tab.screenshot(folder / "settings.png")
    await tab.key("Escape")
    await tab.run("document.activeElement.blur()")
    await tab.size(390, 844, scale=1.5)
    await typed(tab, "what is ten miles in kilometers")
    await asyncio.sleep(0.6)
    await tab.screenshot(folder / "phone.png")
    await tab.click("#end")


async def refused(tab: Tab, server: Server, folder: Path) -> None:
    """Without a microphone, and without a token."""
    await tab.size(1280, 800)
    await tab.prefers(color_scheme="light")
    await tab.permission("microphone", "denied")
    await tab.goto(server.launch_url())
    await tab.until("document.body.dataset.ready")
    await tab.click("#start")
    await state(tab, "no-microphone")  # what was allowed once holds until the server stops
    await asyncio.sleep(0.7)
    await tab.screenshot(folder / "denied.png")
    await tab.goto(server.url + "/?other=1")
    await tab.run("sessionStorage.clear()")
    await tab.goto(server.url + "/?other=2")
    await tab.until("document.querySelector('#enter').open")
    await asyncio.sleep(0.4)
    await tab.screenshot(folder / "token.png")


async def pictures(folder: Path) -> None:
    """All of them."""
    heard = microphone(folder / "heard.wav", [2.0, SECOND, 6.0, SECOND, 6.0])
    async with served() as server:
        async with browser(microphone=heard) as tab:
            await beginning(tab, server.launch_url(), folder)
            await going_on(tab, folder)
        async with browser(allow=False) as tab:
            await refused(tab, server, folder)


def main() -> int:
    """0, or 2 where something is missing."""
    if len(sys.argv) != 2 or not executable():
        print(__doc__ if executable() else "needs Chromium: install it, or set LOCARA_CHROMIUM", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(pictures(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
