"""Calls into native sound libraries: off the event loop, with a deadline, and without their chatter.

What may live here: how such calls are made, not which.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

from locara.errors import DeviceError

T = TypeVar("T")

_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(
    lambda *_: None
)


@contextlib.contextmanager
def alsa_quietly() -> Iterator[None]:
    """Without this, ALSA prints thirty lines to the terminal when there is no sound card, before our one sentence."""
    try:
        alsa = ctypes.CDLL("libasound.so.2") if sys.platform.startswith("linux") else None
    except OSError:
        alsa = None
    if alsa is None:
        yield
        return
    alsa.snd_lib_error_set_handler(_SILENT)
    try:
        yield
    finally:
        alsa.snd_lib_error_set_handler(None)


async def off_loop(
    work: Callable[[], T], *, deadline: float, what: str, late: Callable[[T], object] | None = None
) -> T:
    """Runs a blocking native call on a thread of its own and returns its result; ``DeviceError`` after ``deadline``
    seconds. A result that nobody waits for any more is given to ``late``, there.

    Not ``asyncio.to_thread``: a sound server that hangs would then keep the whole process from ending.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)
            return
        try:
            future.set_result(result)
        except InvalidStateError:
            if late is not None:
                late(result)

    thread = threading.Thread(target=run, name="locara-device", daemon=True)
    thread.start()
    try:
        async with asyncio.timeout(deadline):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        if not future.cancelled():
            raise
        raise DeviceError(
            f"{what} did not end within {deadline:g} s", hint="restart the sound server, or unplug and plug the device"
        ) from None
    except asyncio.CancelledError:
        if late is not None and not future.cancelled() and future.exception() is None:
            late(future.result())  # it came at the very moment we were cancelled
        raise
    finally:
        if future.done() and not future.cancelled():
            thread.join(1.0)  # it is at its last line
