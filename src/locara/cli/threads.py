"""Work that blocks, beside a conversation or a check, in a thread that cannot keep the program from ending.

What may live here: that one way to run it.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LEAVE_SECONDS = 5.0
"""When nobody waits any longer, the work is told to stop and waited for so long: a download stops at the next block it
reads, and keeps its part. The thread is a daemon, so one that hangs is left behind."""


async def in_thread(work: Callable[[], T], name: str, stop: threading.Event | None = None) -> T:
    """What ``work`` returns or raises, computed in a daemon thread: unlike ``asyncio.to_thread``, one that hangs does not
    keep the program from ending. When cancelled, ``stop`` is set and the thread is waited for, a while."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    done.add_done_callback(_seen)

    def tell(put: Callable[[], None]) -> None:
        if not done.done():
            put()

    def run() -> None:
        put: Callable[[], None]
        try:
            put = functools.partial(done.set_result, work())
        except Exception as error:  # handed over to whoever waits
            put = functools.partial(done.set_exception, error)
        try:
            loop.call_soon_threadsafe(tell, put)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
            await asyncio.wait([done], timeout=LEAVE_SECONDS)
        raise


def _seen(done: asyncio.Future[T]) -> None:
    """What comes when nobody waits any more is no news: asyncio need not report it."""
    if not done.cancelled():
        done.exception()
