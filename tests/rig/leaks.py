"""What must be gone after a session: tasks, threads, child processes, open files.

What may live here: looking at what is there, before and after. Used by every test of this folder through ``conftest``,
and inside the loop by the tests that stop a session at every moment.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GRACE_SECONDS = 3.0
"""Real seconds that a thread or a process gets to go: it was told, and the machine may be busy."""

_POOL = "asyncio_"  # threads of the loop's own executor: the loop keeps them until it is closed


@dataclass(frozen=True)
class There:
    """What was there at one moment. ``children`` and ``files`` are known on Linux only, and empty elsewhere."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    files: int


def there() -> There:
    """What is there now."""
    return There(frozenset(threading.enumerate()), _children(), _files())


def _children() -> frozenset[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(word) for word in task.read_text().split())
        except OSError:  # the thread has ended meanwhile, and its children are another thread's
            continue
    return frozenset(found)


def _files() -> int:
    open_files = Path("/proc/self/fd")
    return sum(1 for _ in open_files.iterdir()) if open_files.is_dir() else 0


def left_since(before: There) -> list[str]:
    """What was not there before and has not gone within the grace, one line each."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := _left(before)) and time.monotonic() < deadline:
        gc.collect()  # a file that nobody can reach any more is closed when it is collected
        time.sleep(0.02)
    return left


def _left(before: There) -> list[str]:
    now = there()
    threads = [
        f"thread {one.name}"
        for one in now.threads - before.threads
        if one.is_alive() and not one.name.startswith(_POOL)
    ]
    processes = [f"process {pid}" for pid in now.children - before.children]
    files = [f"{now.files - before.files} open files"] if now.files > before.files else []
    return sorted(threads + processes + files)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fails when something of what was begun inside is still there afterwards."""
    before = there()
    yield
    left = left_since(before)
    assert not left, f"left behind: {', '.join(left)}"


def tasks_left(known: frozenset[asyncio.Task[object]]) -> list[str]:
    """The names of the running loop's tasks that are neither ``known`` nor the current one."""
    current = asyncio.current_task()
    return sorted(
        task.get_name() for task in asyncio.all_tasks() if task not in known and task is not current and not task.done()
    )
