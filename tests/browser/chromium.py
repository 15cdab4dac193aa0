"""Headless Chromium, driven over the DevTools protocol.

What may live here: starting and ending a browser, one tab of it, and what was seen in it. Nothing about Locara.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import shutil
import struct
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START = 20.0
"""Seconds for the browser to open its port, on a loaded machine."""


def executable() -> str:
    """The browser's program, or ""."""
    named = os.environ.get("LOCARA_CHROMIUM", "")
    return named or next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
    )


@dataclass
class Tab:
    """One page. ``console``: errors and warnings on it; ``hosts``: whom it asked for something; ``received``, ``sent``: what
    went over its WebSockets."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    console: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    received: list[str | bytes] = field(default_factory=list)
    sent: list[str | bytes] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _open: dict[int, asyncio.Future[Any]] = field(default_factory=dict)

    async def call(self, method: str, **params: Any) -> Any:
        """One command of the protocol, with its result."""
        number = next(self._ids)
        future = self._open[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        await self.socket.send_json({**message, "sessionId": self.session} if self.session else message)
        async with asyncio.timeout(30):
            return await future

    async def listen(self) -> None:
        """Takes in what the browser says, until it is gone."""
        async for message in self.socket:
            told = json.loads(message.data)
            future = self._open.pop(told.get("id", 0), None)
            if future is None:
                self._see(told.get("method", ""), told.get("params", {}))
            elif not future.done():
                if "error" in told:
                    future.set_exception(RuntimeError(str(told["error"])))
                else:
                    future.set_result(told["result"])

    def _see(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.console.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method in ("Network.webSocketFrameReceived", "Network.webSocketFrameSent"):
            frame = params["response"]
            data = base64.b64decode(frame["payloadData"]) if frame["opcode"] == 2 else frame["payloadData"]
            (self.received if method.endswith("Received") else self.sent).append(data)
        elif method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = params.get("url") or params["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                self.hosts.add(url.split("/")[2])

    async def before(self, script: str) -> None:
        """Runs in every page that is opened from now on, before the page's own scripts."""
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def goto(self, url: str) -> None:
        """Opens an address, and waits until it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str, *, gesture: bool = False) -> Any:
        """The value of a piece of JavaScript; awaits a promise. ``gesture``: as if a person had clicked."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=gesture
        )
        if "exceptionDetails" in told:
            details = told["exceptionDetails"]
            raise AssertionError(details.get("exception", {}).get("description") or details["text"])
        return told["result"].get("value")

    async def until(self, script: str, *, seconds: float = 20.0) -> None:
        """Waits until a piece of JavaScript gives something true."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await self.run(f"Boolean({script})"):
            if asyncio.get_running_loop().time() > deadline:
                body = await self.run("document.body.innerText.slice(0, 1500)")
                raise AssertionError(f"not within {seconds:g} s: {script}\nconsole: {self.console}\npage: {body}")
            await asyncio.sleep(0.05)

    async def click(self, selector: str) -> None:
        """A real click in the middle of an element."""
        where = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    async def key(self, key: str, *, down: bool = True, up: bool = True, shift: bool = False) -> None:
        """A real key."""
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        number = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        code = {" ": "Space"}.get(key, f"Key{key.upper()}" if key.isalpha() and len(key) == 1 else key)
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        if down:
            await self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        if up:
            await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text: str) -> None:
        """Into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def permission(self, name: str, setting: str) -> None:
        """What the person said to the browser: ``granted``, ``denied`` or ``prompt``."""
        await self.call("Browser.setPermission", permission={"name": name}, setting=setting)

    async def downloads(self, folder: Path) -> None:
        """Where files are saved, without a question."""
        await self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    async def screenshot(self, file: Path) -> None:
        """What is to be seen, as PNG."""
        told = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(told["data"]))  # noqa: ASYNC240  small, and nothing else is measured then

    async def size(self, width: int, height: int, *, scale: float = 1.0) -> None:
        """The window."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    async def prefers(self, **features: str) -> None:
        """``color_scheme="dark"``, ``reduced_motion="reduce"``."""
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()
            ],
        )


@asynccontextmanager
async def browser(
    *, microphone: Path | None = None, allow: bool = True, flags: tuple[str, ...] = ()
) -> AsyncIterator[Tab]:
    """A fresh browser with one tab. ``microphone``: a 16-bit WAV that is heard once, then silence; none: two
    minutes in a quiet room; ``allow``: the person
    allows it."""
    # Its profile is full of files that it may still write while it ends.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            executable(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
            "--remote-debugging-port=0", "--no-first-run", "--disable-background-networking", "--disable-extensions",
            "--disable-component-update", "--disable-dev-shm-usage", "--mute-audio", "--use-fake-device-for-media-stream",
            *(["--use-fake-ui-for-media-stream"] if allow else []),
            f"--use-file-for-fake-audio-capture={microphone or _quiet(Path(folder))}%noloop",
            *flags, "about:blank",
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(START):
                port = await _port(Path(folder, "DevToolsActivePort"))
            async with _tab(port) as tab:
                yield tab
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _tab(port: int) -> AsyncIterator[Tab]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/json/list") as answer:
            found = next(one for one in await answer.json() if one["type"] == "page")
        async with http.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            listening = asyncio.create_task(tab.listen())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.call(f"{domain}.enable")
                yield tab
            finally:
                with contextlib.suppress(Exception):  # it may be gone already
                    await tab.call("Browser.close")
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


def _quiet(folder: Path) -> Path:
    """A room in which nobody speaks: without a file the browser hears a beep every second, and a silent file is taken for
    a dead microphone."""
    file = folder / "quiet.wav"
    noise = random.Random(1)
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(struct.pack("<16000h", *(noise.randint(-8, 8) for _ in range(16_000))) * 120)
    return file


async def _port(file: Path) -> int:
    while True:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(file.read_text().splitlines()[0])  # noqa: ASYNC240  one line
        await asyncio.sleep(0.05)
