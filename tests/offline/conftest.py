"""What these tests share: servers on loopback, in this process, which has promised nothing."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """Of an HTTP server on loopback that answers "ok"."""
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def chat_server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the engines' tests, whose folder is no package."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "engines"), *sys.path])
    return importlib.import_module("chat_server")


@pytest.fixture
def serve(chat_server: Any) -> Iterator[Callable[..., Any]]:
    """``serve(chat)`` starts a chat server on a thread of its own and returns it."""
    with ExitStack() as stack:

        def start(*arguments: Any) -> Any:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()

            def call(work: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(work, loop).result(40)

            async def made() -> Any:
                return await chat_server.ChatServer(*arguments).__aenter__()

            async def ended() -> None:
                await asyncio.sleep(0.05)  # a connection that is just coming begins to be served, else nobody closes it
                while others := asyncio.all_tasks() - {asyncio.current_task()}:
                    for one in others:
                        one.cancel()
                    await asyncio.wait(others)
                await asyncio.sleep(0.05)  # the connections' ends are told to their transports

            def stop() -> None:
                call(server.__aexit__(None, None, None))
                call(ended())
                loop.call_soon_threadsafe(loop.stop)
                thread.join(5)
                loop.close()

            server = call(made())
            stack.callback(stop)
            server.call = call
            return server

        yield start
