"""A sidecar: a program in another language, in which the speech of the operating system runs, and our side of its pipes.

What may live here: the wire, and the life of one such process. What is said over it belongs to the engines
(`sidecar_recogniser`, `sidecar_voice`); `docs/native.md` has the whole protocol, so that a sidecar can be written from it.

To the sidecar go frames, because sound and orders must not overtake each other: one byte for the kind (``a``: 16-bit
little-endian mono sound; ``j``: an order, a JSON object with ``op``), the payload's length as 32-bit little-endian, the
payload. From it come lines, because a person can then read along: one JSON object with ``type`` each. The end of its
input means: end now.

Python workers use `locara.engines.frames` instead; this wire asks less of a program that cannot import that.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from locara.engines.piped import PipedProcess
from locara.errors import EngineFailed, EngineTimeout

AUDIO = b"a"
ORDER = b"j"
LINE_LIMIT = 1024 * 1024
"""Bytes of one line: 12 s of sound at 22,050 Hz in base64; a sidecar sends a tenth of that at once."""

_PREFIX = struct.Struct("<cI")
_OUTBOX = 3_000  # frames that wait to be written: a minute of sound in blocks of 20 ms
_BABBLE = 20_000  # lines that nobody asked for; a text of 17 minutes in pieces of 50 ms is as many
_FORGIVEN = 20  # lines for each frame from us: an engine answers a block of 20 ms with one or two
_LOOK_SECONDS = 0.5  # how soon a thread sees that the process has gone, should nothing wake it

Message = Mapping[str, Any]


class WireError(ValueError):
    """The sidecar wrote something that is not the protocol. Nothing can be known of its state any longer."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """One frame, as it is written to the sidecar."""
    return _PREFIX.pack(kind, len(payload)) + payload


def parse(line: bytes) -> Message:
    """The message of one line, without its newline. Raises ``WireError``."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise WireError(f"it wrote a line that is not JSON: {_shown(line)}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError(f'it wrote a line that is no JSON object with a "type": {_shown(line)}')
    return message


def _shown(line: bytes) -> str:
    text = line[:80].decode("utf-8", "replace")
    return repr(text + ("..." if len(line) > 80 else ""))


class _Life(PipedProcess):
    """One run of the program, and what it has told of itself."""

    def __init__(self, command: Sequence[str], sidecar: Sidecar) -> None:
        self.ready: Message | None = None
        self.fatal: Message | None = None
        self.unasked = 0
        self._sidecar = sidecar
        super().__init__(command, os.environ, name="locara-sidecar", outbox=_OUTBOX, read=self._lines, ended=self._tell)
        self.begin()

    def shut(self) -> None:
        """See `PipedProcess.shut`. Who waits here is told at once."""
        self.gone.set()
        self._tell()
        super().shut()

    def _tell(self) -> None:
        with self._sidecar.changed:
            self._sidecar.changed.notify_all()

    def _lines(self, descriptor: int) -> None:
        left = bytearray()
        while data := os.read(descriptor, 65_536):
            left += data
            *lines, rest = left.split(b"\n")
            for line in lines:
                if line.strip():
                    self._take(parse(bytes(line)))
            left = bytearray(rest)
            if len(left) > LINE_LIMIT:
                raise WireError(f"it wrote a line of more than {LINE_LIMIT} bytes")

    def _take(self, message: Message) -> None:
        with self._sidecar.changed:
            self.unasked += 1
            if self.unasked > _BABBLE:
                raise WireError(f"it wrote {_BABBLE} lines that nobody asked for")
            if message["type"] == "ready":
                self.ready = message
            elif message["type"] == "error" and message.get("fatal"):
                self.fatal = message
            else:
                self._sidecar.listener(message)
            self._sidecar.changed.notify_all()
            while self._sidecar.full() and not self.gone.is_set():  # the pipe fills up then, and the program waits
                self._sidecar.changed.wait(_LOOK_SECONDS)


class Sidecar:
    """A program that is started when it is needed, killed when it must be, and started again.

    ``command`` gives the command line; it may take long (it compiles) and may raise ``EngineMissing``. ``listener`` gets
    each message other than ``ready``, on the reading thread, under ``changed``; it must not block. ``full`` says, under
    ``changed`` too, that no more can be taken for now. ``explain`` may know better why the program died: it gets the exit
    status and the last words, and gives a sentence and a hint, or None.

    Everything here may be called from any thread; ``start``, ``wait`` and ``kill`` block, so call them in a `Lane`.
    """

    def __init__(
        self,
        command: Callable[[], Sequence[str]],
        *,
        stage: str,
        model: str,
        listener: Callable[[Message], None],
        full: Callable[[], bool] = lambda: False,
        explain: Callable[[int | None, str], tuple[str, str] | None] = lambda _code, _words: None,
    ) -> None:
        self.stage = stage
        self.model = model
        self.listener = listener
        self.full = full
        self.changed = threading.Condition()
        self.lives = 0
        """Counts the starts: who remembers it can tell that the process is another one by now."""
        self._command = command
        self._explain = explain
        self._life: _Life | None = None

    @property
    def alive(self) -> bool:
        """Whether the program runs and can be asked."""
        life = self._life
        return life is not None and not life.gone.is_set() and life.process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process, None before the first start."""
        return None if self._life is None else self._life.process.pid

    def start(self, deadline: float) -> Message:
        """Starts the program if it does not run, and waits for its ``ready``, which it returns.

        ``deadline`` is in seconds. Raises ``EngineMissing``, ``EngineFailed`` or ``EngineTimeout``.
        """
        life = self._life
        if life is not None and life.ready is not None and self.alive:
            return life.ready
        self.kill()
        command = self._command()
        try:
            life = _Life(command, self)
        except (OSError, ValueError) as error:
            raise self.failed(f"its program could not be started: {error}") from error
        self._life = life
        self.lives += 1
        try:
            self.wait(lambda: life.ready is not None or life.fatal is not None, deadline=deadline)
        except BaseException:
            life.shut()
            raise
        if life.ready is None:
            raise self.died()
        return life.ready

    def order(self, op: str, **fields: Any) -> None:
        """Sends an order. Does not wait. Raises ``EngineFailed`` if the program has gone or takes nothing any more."""
        self._send(frame(ORDER, json.dumps({"op": op, **fields}, separators=(",", ":")).encode()))

    def sound(self, pcm: bytes) -> None:
        """Sends sound, 16-bit little-endian mono. Does not wait. Raises ``EngineFailed``."""
        self._send(frame(AUDIO, pcm))

    def wait(self, done: Callable[[], bool], *, deadline: float, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Waits until ``done()``, which is looked at under ``changed``. False if ``given_up()`` came first.

        Raises ``EngineFailed`` when the program dies before, and ``EngineTimeout`` after ``deadline`` seconds: the program
        is killed then, since nothing can be known of its state.
        """
        life = self._life
        if life is None:
            raise self.failed("its program was not started")
        until = time.monotonic() + deadline
        with self.changed:
            while not done():
                if given_up():
                    return False
                if life.gone.is_set() or life.fatal is not None:
                    break
                left = until - time.monotonic()
                if left <= 0:
                    break
                self.changed.wait(min(left, _LOOK_SECONDS))
            else:
                return True
            dead = life.gone.is_set() or life.fatal is not None
        if dead:
            raise self.died()
        life.shut()
        raise EngineTimeout(
            f"{self.stage}: {self.model} gave no answer within {deadline:g} s; its program was ended",
            stage=self.stage,
            model=self.model,
            hint="it hangs or is too slow here; try again, or choose another engine (docs/native.md)",
        )

    def kill(self) -> None:
        """Ends the program at once; who waits for it gets ``EngineFailed``. May be called twice, and before a start."""
        life = self._life
        if life is not None:
            life.shut()

    def died(self) -> EngineFailed:
        """Why the program is no more; ends it if it still is."""
        life = self._life
        if life is None:
            return self.failed("its program was not started")
        with contextlib.suppress(subprocess.TimeoutExpired):
            if not life.broken:
                life.process.wait(0.2)  # it says why and ends: its own exit status is better than our kill
        life.shut()
        if life.fatal is not None:
            return self.failed(str(life.fatal.get("message", "it gave up")), hint=str(life.fatal.get("hint", "")))
        if life.broken:
            return self.failed(life.broken, hint="its program was ended; it is started again when it is needed")
        words = life.stderr()
        if (known := self._explain(life.process.returncode, words)) is not None:
            return self.failed(known[0], hint=known[1])
        return self.failed(
            f"its program has died, exit status {life.status()}" + (f"; it said: {words}" if words else ""),
            hint="it is started again when it is needed; if it dies each time, choose another engine (docs/native.md)",
        )

    def failed(self, why: str, *, hint: str = "") -> EngineFailed:
        """An error of this engine."""
        return EngineFailed(
            f"{self.stage}: {self.model}: {why}",
            stage=self.stage,
            model=self.model,
            hint=hint or "choose another engine (docs/native.md)",
        )

    def _send(self, data: bytes) -> None:
        life = self._life
        if life is None:
            raise self.failed("its program was not started")
        if life.gone.is_set():
            raise self.died()
        try:
            life.outbox.put_nowait(data)
        except queue.Full:
            raise self.failed("its program does not take what it is sent", hint="it hangs; start again") from None
        life.unasked = max(0, life.unasked - _FORGIVEN)
