"""A process that is spoken with over its standard input and output, from its start to its death.

What may live here: its pipes and the three threads that serve them, and ending it. What is said over them is for whoever
starts it: `child.Child` makes calls of frames, `worker_link.WorkerLink` a connection that lasts; `sidecar.Sidecar` reads
lines.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from locara.engines.frames import Reply, decode, read_all, write_all

_REAP_SECONDS = 2.0
_STDERR_BYTES = 4096


class PipedProcess:
    """One run of a process. ``read`` gets the descriptor of its output and reads that to its end; ``ValueError`` says that
    what came is not what was agreed on. ``ended`` is called once when there will be no more; both on the reading thread.
    While ``read`` waits, the pipe fills, and then the process waits. ``outbox``: how many pieces may wait to be written.
    Raises ``OSError`` when it cannot be started."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        name: str,
        outbox: int,
        read: Callable[[int], None],
        ended: Callable[[], None],
    ) -> None:
        windows = sys.platform == "win32"
        flags = (
            getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        ) * windows
        self._read_output = read
        self._ended = ended
        self.gone = threading.Event()
        self.broken = ""
        """What it wrote that was not agreed on."""
        self.outbox: queue.Queue[bytes | None] = queue.Queue(outbox)
        self._stderr = bytearray()
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(environment),
            creationflags=flags,
            start_new_session=not windows,  # a terminal's Ctrl-C is for us; we end the child ourselves
        )
        # Also writing has a thread: a pipe whose reader is busy in native code may be full, and nobody may wait for that.
        self._threads = [
            threading.Thread(target=work, name=f"{name}-{self.process.pid}-{work.__name__}", daemon=True)
            for work in (self._write, self._read, self._listen)
        ]

    def begin(self) -> None:
        """Starts the threads: from now on frames come and go."""
        for thread in self._threads:
            thread.start()

    def stderr(self) -> str:
        """The last lines the process wrote, for the error message."""
        text = self._stderr.decode("utf-8", "replace").strip()
        return "\n".join(text.splitlines()[-12:])

    def status(self) -> str:
        """Its exit status in words, once it has ended."""
        code = self.process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"{code} ({signal.Signals(-code).name})"
        return str(code)

    def settle(self, seconds: float) -> None:
        """After its output has ended: waits until its exit status and its last words are known, for so long at most each.
        What has written something else is ended first."""
        if self.broken:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        listener = self._threads[-1]
        if listener is not threading.current_thread():
            listener.join(seconds)

    def shut(self) -> None:
        """Ends the process now and takes back everything that belongs to it. May be called twice, from any thread."""
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_REAP_SECONDS)
        self.gone.set()
        with contextlib.suppress(queue.Full):
            self.outbox.put_nowait(None)
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join(_REAP_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self) -> None:
        pipe = _pipe(self.process.stdin)
        while not self.gone.is_set():
            try:
                piece = self.outbox.get(timeout=0.5)  # looks at ``gone`` even if the last None found no room
            except queue.Empty:
                continue
            if piece is None:
                return
            try:
                write_all(pipe.fileno(), piece)
            except (OSError, ValueError):  # it died; the reader sees that too and says so
                return

    def _read(self) -> None:
        pipe = _pipe(self.process.stdout)
        try:
            self._read_output(pipe.fileno())
        except (OSError, ValueError) as error:
            if not self.gone.is_set():
                self.broken = str(error)
        self.gone.set()
        self._ended()

    def _listen(self) -> None:
        pipe = _pipe(self.process.stderr)
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(pipe.fileno(), 4096):
                self._stderr += data
                del self._stderr[:-_STDERR_BYTES]


def frames_to(take: Callable[[Reply], None]) -> Callable[[int], None]:
    """What a `PipedProcess` reads with whose output is frames: each goes to ``take``."""

    def read(descriptor: int) -> None:
        while (reply := decode(lambda size: read_all(descriptor, size))) is not None:
            take(reply)

    return read


def environment() -> dict[str, str]:
    """Ours, and where this package lies: the child must find the same Locara, however ours was found."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONIOENCODING": "utf-8"}


def command(python: str, module: str, *arguments: str) -> list[str]:
    """How ``module`` is run. -P: a file that lies in the working folder must not be taken for a library."""
    return [python, "-P", "-m", module, *arguments]


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("the child has no such pipe")
    return pipe
