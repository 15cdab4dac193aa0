"""Hostile pages in a real browser, each with the right token: of other sites, of other ports, and behind a name that was
made to point here. None gets through; the server's own page does.

They need Chromium and are skipped without. The browser is slow to start on a busy machine: a minute is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web
from tests.server.chromium import visiting
from tests.server.running import TOKEN, Echo, running

from locara.server import listening

pytestmark = pytest.mark.timeout(150)
ATTACK = Path(__file__).with_name("attack.html").read_text(encoding="utf-8")
PATIENCE = 60.0


class Evil:
    """A server of hostile pages, to which they report."""

    def __init__(self) -> None:
        self.reports: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.loaded = asyncio.Event()
        self.port = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/attack", self._attack),
                web.get("/framed", self._framed),
                web.get("/sdk/locara.js", self._script),
                web.post("/report", self._report),
                web.post("/loaded", self._load),
            ]
        )
        return app

    @contextlib.asynccontextmanager
    async def at(self, port: int = 0) -> AsyncIterator[int]:
        runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            sock = listening.bound("127.0.0.1", port)
            await web.SockSite(runner, sock).start()
            yield sock.getsockname()[1]
        finally:
            await runner.cleanup()

    async def _attack(self, _: web.Request) -> web.Response:
        return web.Response(text=ATTACK, content_type="text/html")

    async def _framed(self, _: web.Request) -> web.Response:
        return web.Response(text="<script>parent.postMessage('framed', '*')</script>", content_type="text/html")

    async def _script(self, _: web.Request) -> web.Response:
        return web.Response(text="evil", content_type="text/javascript")

    async def _report(self, request: web.Request) -> web.Response:
        self.reports.put_nowait(json.loads(await request.text()))
        return web.Response()

    async def _load(self, _: web.Request) -> web.Response:
        self.loaded.set()
        return web.Response()


def nothing_got_through(found: dict[str, str]) -> None:
    for what, came in found.items():
        kind = what.split()[0]
        if kind in ("socket", "realtime", "bare"):
            assert came == "refused", (found["origin"], what, came)
        elif kind in ("read", "post", "page"):
            assert came.startswith(("blocked", "403")), (found["origin"], what, came)


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
def test_no_page_of_another_origin_gets_through_with_the_right_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil, echo = Evil(), Echo()

    async def go() -> dict[str, str]:
        async with running(monkeypatch, echo) as server, evil.at() as port:
            asked = {"port": server.port, "token": TOKEN, "report": f"http://{host}:{port}"}
            async with visiting(f"http://{host}:{port}/attack?{urlencode(asked)}", tmp_path / "profile"):
                async with asyncio.timeout(PATIENCE):
                    return await evil.reports.get()

    found = asyncio.run(go())
    nothing_got_through(found)
    assert found["control"] == "FRAMED"  # so framing would have been seen
    assert found["frame"] == "not framed"
    assert len([what for what in found if what.startswith("socket")]) == 2
    assert echo.done == []  # and nothing was done: no form, no image, no message


def test_a_name_that_was_made_to_point_here_does_not_get_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the page comes from its own server at our port; then that name means us."""
    evil, echo = Evil(), Echo()

    async def go() -> dict[str, str]:
        async with evil.at() as report, contextlib.AsyncExitStack() as stack:
            port = await stack.enter_async_context(evil.at())
            asked = {"port": port, "token": TOKEN, "report": f"http://127.0.0.1:{report}", "rebound": 1, "wait": 200}
            url = f"http://rebind.example:{port}/attack?{urlencode(asked)}"
            async with visiting(url, tmp_path / "profile"), asyncio.timeout(PATIENCE):
                await evil.loaded.wait()
                await stack.aclose()
                async with running(monkeypatch, echo, port=port) as server:
                    assert server.port == port
                    return await evil.reports.get()

    found = asyncio.run(go())
    assert found["origin"].startswith("http://rebind.example:")
    nothing_got_through(found)
    # The page is of the same origin as what it asks, so the browser shows it the answer: our own refusal.
    assert [came[:3] for what, came in found.items() if what.startswith(("read", "post", "page"))] == ["403"] * 3
    assert echo.done == []


def test_the_servers_own_page_trades_its_code_and_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()

    async def go() -> None:
        async with (
            running(monkeypatch, echo) as server,
            visiting(server.launch_url(), tmp_path / "profile"),
            asyncio.timeout(PATIENCE),
        ):
            await echo.ended.wait()

    asyncio.run(go())
    assert echo.done[0] == "socket"
    kept = [one for one in (tmp_path / "profile").rglob("*") if one.is_file() and TOKEN.encode() in one.read_bytes()]
    assert kept == []  # not in the history, not in a cookie, not in the cache
