"""A real browser for the tests of threats: headless Chromium, started on one address and ended with the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
EVIL = ("evil.example", "rebind.example")
"""Names that lead to this machine, as a hostile name server would say."""


def program() -> str:
    """Where it is; skips the test where there is none."""
    found = next(filter(None, (shutil.which(name) for name in (os.environ.get("LOCARA_CHROMIUM", ""), *NAMES))), None)
    if found is None:
        pytest.skip("no Chromium is installed (or name one with LOCARA_CHROMIUM)")
    return found


@contextlib.asynccontextmanager
async def visiting(url: str, profile: Path) -> AsyncIterator[None]:
    """The browser shows ``url`` inside, with a profile of its own."""
    rules = ",".join(f"MAP {name} 127.0.0.1" for name in EVIL)
    command = [
        program(),
        "--headless=new",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
    ]
    command += [f"--user-data-dir={profile}", f"--host-resolver-rules={rules}", "--disable-background-networking"]
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        command.append("--no-sandbox")  # as root it has none
    process = await asyncio.create_subprocess_exec(
        *command, url, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
