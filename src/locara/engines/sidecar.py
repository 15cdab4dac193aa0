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
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from locara.engines.frames import write_all
from locara.errors import EngineFailed, EngineTimeout

AUDIO = b"a"
ORDER = b"j"
LINE_LIMIT = 1024 * 1024
"""Bytes of one line: 12 s of sound at 22,050 Hz in base64; a sidecar sends a tenth of that at once."""

_PREFIX = struct.Struct("<cI")
_OUTBOX = 3_000  # frames that wait to be written: a minute of sound in blocks of 20 ms
_BABBLE = 20_000  # lines that nobody asked for; a text of 17 minutes in pieces of 50 ms is as many
_FORGIVEN = 20  # lines for each frame from us: an engine answers a block of 20 ms with one or two
_STDERR_BYTES = 4_096
_REAP_SECONDS = 2.0
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


class _Life:
    """One run of the program, from start to death, with its pipes and the three threads that serve them."""

    def __init__(self, command: Sequence[str], sidecar: Sidecar) -> None:
        windows = sys.platform == "win32"
        flags = (
            getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        ) * windows
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            creationflags=flags,
            start_new_session=not windows,  # a terminal's Ctrl-C is for us; we end the program ourselves
        )
        self.ready: Message | None = None
        self.fatal: Message | None = None
        self.broken = ""
        self.gone = False
        self.unasked = 0
        self.outbox: queue.Queue[bytes | None] = queue.Queue(_OUTBOX)
        self._sidecar = sidecar
        self._stderr = bytearray()
        self._threads = [
            threading.Thread(target=work, name=f"locara-sidecar-{self.process.pid}-{work.__name__}", daemon=True)
            for work in (self._write, self._read, self._listen)
        ]
        for thread in self._threads:
            thread.start()

    def shut(self) -> None:
        """Ends the process now and takes back everything that belongs to it. May be called twice, from any thread."""
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_REAP_SECONDS)
        self._leave()
        with contextlib.suppress(queue.Full):
            self.outbox.put_nowait(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_REAP_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def last_words(self) -> str:
        """The last lines of its error output."""
        return "\n".join(self._stderr.decode("utf-8", "replace").strip().splitlines()[-8:])

    def _leave(self) -> None:
        with self._sidecar.changed:
            self.gone = True
            self._sidecar.changed.notify_all()

    def _write(self) -> None:
        pipe = _pipe(self.process.stdin)
        while not self.gone:
            try:
                data = self.outbox.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if data is None:
                return
            try:
                write_all(pipe.fileno(), data)
            except (OSError, ValueError):  # it died; the reader sees that too and says so
                return

    def _read(self) -> None:
        pipe = _pipe(self.process.stdout)
        left = bytearray()
        try:
            while data := os.read(pipe.fileno(), 65_536):
                left += data
                *lines, rest = left.split(b"\n")
                for line in lines:
                    if line.strip():
                        self._take(parse(bytes(line)))
                left = bytearray(rest)
                if len(left) > LINE_LIMIT:
                    raise WireError(f"it wrote a line of more than {LINE_LIMIT} bytes")
        except WireError as error:
            self.broken = str(error)
        except (OSError, ValueError):
            pass
        self._leave()

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
            while self._sidecar.full() and not self.gone:  # the pipe fills up then, and the program waits
                self._sidecar.changed.wait(_LOOK_SECONDS)

    def _listen(self) -> None:
        pipe = _pipe(self.process.stderr)
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(pipe.fileno(), 4096):
                self._stderr += data
                del self._stderr[:-_STDERR_BYTES]


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
        return life is not None and not life.gone and life.process.poll() is None

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
                if life.gone or life.fatal is not None:
                    break
                left = until - time.monotonic()
                if left <= 0:
                    break
                self.changed.wait(min(left, _LOOK_SECONDS))
            else:
                return True
            dead = life.gone or life.fatal is not None
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
        code, words = life.process.returncode, life.last_words()
        if (known := self._explain(code, words)) is not None:
            return self.failed(known[0], hint=known[1])
        status = str(code)
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                status = f"{code} ({signal.Signals(-code).name})"
        return self.failed(
            f"its program has died, exit status {status}" + (f"; it said: {words}" if words else ""),
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
        if life.gone:
            raise self.died()
        try:
            life.outbox.put_nowait(data)
        except queue.Full:
            raise self.failed("its program does not take what it is sent", hint="it hangs; start again") from None
        life.unasked = max(0, life.unasked - _FORGIVEN)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("the sidecar has no such pipe")
    return pipe
