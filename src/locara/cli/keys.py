"""Single keys from the terminal, without waiting for Enter, as an async iterator.

What may live here: what bytes mean which key (`Typing`, pure), and the thread that reads them: termios on Linux and
macOS, msvcrt on Windows. The terminal is put back as it was however the reading ends. Where standard input is no
terminal (a pipe, a file, a job in the background) there are no keys: the iteration ends at once.

Terminals tell when a key goes down, never when it comes up: push-to-talk in a terminal is a switch on the space bar.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any

Key = str | tuple[str, str]
"""A key by its name (``space``, ``enter``, ``tab``, ``backspace``, ``escape``, ``ctrl-c``), a printable character (letters
in lower case: caps lock is no other command), or, after ``t``: ``("typing", line so far)`` and at last ``("text",
line)``. An empty ``text`` means that the person thought better of it."""

ESCAPE_SECONDS = 0.05
"""After an escape byte: what comes within this time belongs to it (an arrow key), else it was the Esc key."""

_NAMES = {" ": "space", "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace"}
_LINE_LIMIT = 2_000  # characters of one typed line
_SEQUENCE_LIMIT = 64  # characters after an escape; more is no key
_QUEUE_LIMIT = 256  # keys nobody has asked for yet; a pasted book is no conversation
_POLL_SECONDS = 0.02  # Windows has no wait for a key that can be woken
_JOIN_SECONDS = 1.0


class Typing:
    """Characters in, keys out. Knows whether a line is being typed, and what of an escape sequence has come so far."""

    def __init__(self) -> None:
        self._line: str | None = None
        self._sequence = ""

    @property
    def undecided(self) -> bool:
        """An escape has come, and what it means depends on what follows: call ``settle`` if nothing does."""
        return bool(self._sequence)

    def push(self, characters: str) -> list[Key]:
        """The keys that ``characters`` complete."""
        return [key for one in characters for key in self._one(one)]

    def settle(self) -> list[Key]:
        """Nothing followed the escape: it was the Esc key, unless it had already begun to be something else."""
        alone, self._sequence = self._sequence == "\x1b", ""
        return self._escape() if alone else []

    def _one(self, one: str) -> list[Key]:
        if self._sequence:
            return self._in_sequence(one)
        if one == "\x1b":
            self._sequence = one
            return []
        return self._command(one) if self._line is None else self._typed(self._line, one)

    def _in_sequence(self, one: str) -> list[Key]:
        """Arrow keys and the like mean nothing here, but must not be read as Esc and letters."""
        if one == "\x1b":  # Esc twice: the first was alone
            return self._escape()
        if one < " ":  # no sequence holds a control character: the escape was alone
            self._sequence = ""
            return [*self._escape(), *self._one(one)]
        before, self._sequence = self._sequence, self._sequence + one
        introduces = before == "\x1b" and one in "[O"
        inside = before.startswith("\x1b[") and not "@" <= one <= "~"
        if not (introduces or inside) or len(self._sequence) > _SEQUENCE_LIMIT:
            self._sequence = ""
        return []

    def _escape(self) -> list[Key]:
        if self._line is None:
            return ["escape"]
        self._line = None
        return [("text", "")]

    def _command(self, one: str) -> list[Key]:
        if one in "tT":
            self._line = ""
            return [("typing", "")]
        return [name] if (name := _name(one.lower())) else []

    def _typed(self, line: str, one: str) -> list[Key]:
        if one in "\r\n":
            self._line = None
            return [("text", line.strip())]
        if one == "\x03":
            self._line = None
            return [("text", ""), "ctrl-c"]
        if one in "\x7f\x08":
            line = _without_last(line)
        elif one == "\x15":  # Ctrl-U: the whole line
            line = ""
        elif len(line) < _LINE_LIMIT and (one == "\t" or not unicodedata.category(one).startswith("C")):
            line += " " if one == "\t" else one
        self._line = line
        return [("typing", line)]


def _name(one: str) -> str:
    """What a single character is called as a key; empty for what is none."""
    if one in _NAMES:
        return _NAMES[one]
    if "\x01" <= one <= "\x1a":
        return f"ctrl-{chr(ord(one) + 96)}"
    return "" if any(unicodedata.category(part).startswith("C") for part in one) else one


def _without_last(line: str) -> str:
    """``line`` without its last letter, and without the accents that stood on it."""
    while line and unicodedata.combining(line[-1]):
        line = line[:-1]
    return line[:-1]


class Keys:
    """The keys of a terminal: ``async with Keys() as keys: async for key in keys: ...``

    ``descriptor`` is the terminal's file descriptor, standard input when None. The iteration ends when the terminal goes
    away or ``close`` is called. Keys that nobody takes are dropped beyond 256.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _standard_input() if descriptor is None else descriptor
        self._queue: asyncio.Queue[Key | None] = asyncio.Queue(_QUEUE_LIMIT + 1)
        self._stop: Callable[[], None] | None = None

    async def __aenter__(self) -> Keys:
        loop = asyncio.get_running_loop()

        def hand_over(keys: list[Key] | None) -> None:
            try:
                loop.call_soon_threadsafe(self._put, keys)
            except RuntimeError:  # the loop has ended without closing us: nobody is left to take keys
                return

        self._stop = _begin(self._descriptor, hand_over)
        if self._stop is None:
            self._put(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Puts the terminal back and ends the iteration. May be called twice."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
        self._put(None)

    def __aiter__(self) -> AsyncIterator[Key]:
        return self

    async def __anext__(self) -> Key:
        key = await self._queue.get()
        if key is None:
            self._put(None)  # for whoever else iterates, or asks again
            raise StopAsyncIteration
        return key

    def _put(self, keys: list[Key] | None) -> None:
        if keys is None:
            if not self._queue.full():  # one place is always kept for the end
                self._queue.put_nowait(None)
            return
        for key in keys:
            if self._queue.qsize() < _QUEUE_LIMIT:
                self._queue.put_nowait(key)


def _standard_input() -> int:
    """The descriptor of standard input, or -1 where there is none (no console, a test runner)."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, ValueError, OSError):  # stdin is None, closed, or no file
        return -1


if sys.platform == "win32":

    def _begin(descriptor: int, hand_over: Callable[[list[Key] | None], None]) -> Callable[[], None] | None:
        """Starts reading the console. Ctrl-C may still come as ``KeyboardInterrupt``: Windows sends it so while nobody
        waits for a key. Nothing has to be put back: msvcrt reads past the console's mode without changing it."""
        import msvcrt

        if descriptor < 0 or not os.isatty(descriptor):
            return None
        stopped = threading.Event()

        def read() -> None:
            typing = Typing()
            while not stopped.wait(_POLL_SECONDS):
                while msvcrt.kbhit():
                    one = msvcrt.getwch()
                    if one in "\x00\xe0" and msvcrt.kbhit():
                        msvcrt.getwch()  # the second half of an arrow or function key
                    else:
                        hand_over(typing.push(one))
                if typing.undecided:  # consoles send no sequences: an escape is the Esc key
                    hand_over(typing.settle())

        thread = threading.Thread(target=read, name="locara-keys", daemon=True)
        thread.start()

        def stop() -> None:
            stopped.set()
            thread.join(_JOIN_SECONDS)

        return stop

else:
    import select
    import termios

    def _begin(descriptor: int, hand_over: Callable[[list[Key] | None], None]) -> Callable[[], None] | None:
        """Takes the terminal out of line mode and starts the thread that reads it; returns how to undo both."""
        if not _ours(descriptor):
            return None
        try:
            before = termios.tcgetattr(descriptor)
            # At once, not when all output has drained: that would wait for ever on a terminal stopped with Ctrl-S.
            termios.tcsetattr(descriptor, termios.TCSANOW, _single_keys(descriptor, before))
        except (termios.error, OSError):  # a terminal that has just gone away
            return None
        wake, woken = os.pipe()

        def read() -> None:
            try:
                _read(descriptor, wake, hand_over)
            finally:
                hand_over(None)

        thread = threading.Thread(target=read, name="locara-keys", daemon=True)

        def stop() -> None:
            try:
                os.write(woken, b"x")
                thread.join(_JOIN_SECONDS)
            finally:
                if not thread.is_alive():  # a thread that still waits must not find other files under these numbers
                    os.close(wake)
                    os.close(woken)
                _restore(descriptor, before)

        try:
            thread.start()
        except BaseException:
            os.close(wake)
            os.close(woken)
            _restore(descriptor, before)
            raise
        return stop

    def _ours(descriptor: int) -> bool:
        """A terminal, and we are in its foreground: a job in the background that touches it would be stopped."""
        try:
            # 0: in a container, when whoever is in front is outside of it.
            return descriptor >= 0 and os.isatty(descriptor) and os.tcgetpgrp(descriptor) in {os.getpgrp(), 0}
        except OSError:  # a terminal, but not the one that controls us: nobody else's job can be in front of it
            return True

    def _single_keys(descriptor: int, before: list[Any]) -> list[Any]:
        """``before`` with single keys, no echo, Ctrl-C as a key, and no Ctrl-S that would freeze the screen. Ctrl-\\ still
        ends the program, whatever it hangs in."""
        after = [*before[:6], list(before[6])]
        after[0] &= ~(termios.IXON | termios.ICRNL)
        after[3] &= ~(termios.ICANON | termios.ECHO)
        after[6][termios.VMIN], after[6][termios.VTIME] = 1, 0
        after[6][termios.VINTR] = bytes([os.fpathconf(descriptor, "PC_VDISABLE")])
        return after

    def _restore(descriptor: int, before: list[Any]) -> None:
        try:
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
        except termios.error:  # the terminal has gone: there is nothing left to put back
            return

    def _read(descriptor: int, wake: int, hand_over: Callable[[list[Key] | None], None]) -> None:
        """Reads until woken or until the terminal goes away."""
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        typing = Typing()
        while True:
            ready, _, _ = select.select([descriptor, wake], [], [], ESCAPE_SECONDS if typing.undecided else None)
            if wake in ready:
                return
            if not ready:
                hand_over(typing.settle())
                continue
            try:
                data = os.read(descriptor, 1024)
            except OSError:  # hung up
                return
            if not data:
                return
            if keys := typing.push(decoder.decode(data)):
                hand_over(keys)
