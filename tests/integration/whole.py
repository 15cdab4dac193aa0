"""A whole session, followed to its end, and what must be gone after it.

What may live here: following a session's events with a deadline, finding the engines' processes, and counting what is
open. It checks nothing but that.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import locara.cli
from locara.voice import Session
from locara.voice import events as on

QUESTION = Path(locara.cli.__file__).with_name("question.wav")
SENTENCES = ["what time is it", "what is twelve times seven"]

Act = Callable[[on.Event], Awaitable[None] | None]

on_linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


async def followed(session: Session, act: Act | None = None, *, limit: float = 40.0) -> list[on.Event]:
    """Starts ``session``, calls ``act`` with each event, and returns all of them once it has ended. ``limit``: seconds
    on the loop's clock, after which it fails."""
    stream: AsyncIterator[on.Event] = session.events()
    seen: list[on.Event] = []
    async with asyncio.timeout(limit), session:
        async for event in stream:
            seen.append(event)
            done = act(event) if act is not None else None
            if done is not None:
                await done
            if isinstance(event, on.SessionEnd):
                break
    return seen


def finals(events: list[on.Event]) -> list[str]:
    """What was understood."""
    return [event.text for event in events if isinstance(event, on.FinalTranscript)]


def ends(events: list[on.Event]) -> list[tuple[int | None, str, str]]:
    """Turn, who and why, of each turn's end."""
    return [(event.turn, event.who, event.reason) for event in events if isinstance(event, on.TurnEnd)]


def errors(events: list[on.Event]) -> list[on.Error]:
    """What failed."""
    return [event for event in events if isinstance(event, on.Error)]


def workers(name: str = "_worker") -> list[int]:
    """The engines' processes of this program whose command line holds ``name``. Linux only."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        for word in task.read_text().split():
            try:
                if name in Path(f"/proc/{word}/cmdline").read_text():
                    found.append(int(word))
            except OSError:  # it has just ended
                continue
    return found


def _there() -> tuple[set[str], int, int]:
    threads = {one.name for one in threading.enumerate() if not one.name.startswith("asyncio_")}
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208  one number
    return threads, len(workers("")) if Path("/proc/self/task").is_dir() else 0, files


@contextmanager
def nothing_left() -> Iterator[None]:
    """Threads, child processes and open files are afterwards what they were before, within 3 s."""
    before = _there()
    yield
    deadline = time.monotonic() + 3.0
    while True:
        gc.collect()
        now = _there()
        left = (now[0] - before[0], now[1] - before[1], now[2] - before[2])
        if not left[0] and left[1] <= 0 and left[2] <= 0:
            return
        assert time.monotonic() < deadline, f"left behind: threads {left[0]}, {left[1]} processes, {left[2]} files"
        time.sleep(0.05)
