"""Piper as a program that runs: lines of text go in, WAV files come out.

What may live here: starting, feeding and ending that program. Piper (github.com/OHF-Voice/piper1-gpl) is GPL-3.0-or-later
and never imported: it is a program that the user installed, and it is given text over a pipe.

With ``--output-raw`` Piper writes samples without an end mark, so nobody can tell a pause from the end of a sentence. With
``--output-dir`` it writes one file a line and says so when it is done: release 1.x on stderr ("Wrote ..."), the older one
in C++ on stdout. The folder is a private one and each file is read and removed at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from locara.audio import Samples
from locara.engines.onnx_runtime import QUIET
from locara.errors import EngineFailed, EngineTimeout

_REAP_SECONDS = 2.0
_SAID_LINES = 12
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 2.0
"""How long a line that nobody wants any more may still take, before the program is ended: about what starting it takes."""


class Program:
    """One run of Piper. Blocking; one call at a time, but ``kill`` from any thread. All deadlines are in seconds."""

    def __init__(self, command: Sequence[str], *, model: str) -> None:
        self.model = model
        self.command = tuple(command)
        self._folder = Path(tempfile.mkdtemp(prefix="locara-piper-"))
        self._written: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._said: list[str] = []
        self._unwanted_since: float | None = None  # when it was said that nobody waits for the line in the making
        windows = sys.platform == "win32"
        try:
            self._process = subprocess.Popen(
                [*command, "--output-dir", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder,  # it may look for voices where it stands
                env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", QUIET: "1"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if windows else 0,
                start_new_session=not windows,  # a terminal's Ctrl-C is for us; we end it ourselves
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise self._failed(f"{command[0]} cannot be started: {error.strerror or error}") from error
        self._threads = [
            threading.Thread(target=self._read, args=(pipe,), name=f"locara-piper-{self._process.pid}", daemon=True)
            for pipe in (self._process.stdout, self._process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def abandon(self) -> None:
        """Nobody waits for the line in the making any more: it may end, but not take long. From any thread."""
        self._unwanted_since = time.monotonic()

    def speak(self, line: str, deadline: float) -> tuple[Samples, int]:
        """The sound of one line and its rate in hertz. Raises ``EngineFailed`` when it dies, ``EngineTimeout``."""
        assert self._process.stdin is not None
        self._unwanted_since = None
        try:
            self._process.stdin.write(line.encode("utf-8", "replace") + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._died() from error
        path = self._next(time.monotonic() + deadline)
        if path is None:
            if self.alive:
                self.kill()
                raise EngineTimeout(
                    f"tts: {self.model} gave no sound within {deadline:g} s; its program was ended",
                    stage="tts", model=self.model, hint="it is too slow for this machine; choose a smaller voice",
                )  # fmt: skip
            raise self._died()
        try:
            return _read_wav(path)
        except (OSError, EOFError, wave.Error, ValueError) as error:
            raise self._failed(f"it wrote no sound for {line[:40]!r}: {error}") from error
        finally:
            path.unlink(missing_ok=True)

    def kill(self) -> None:
        """Ends it at once and removes its folder. May be called twice."""
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_SECONDS)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_REAP_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _next(self, until: float) -> Path | None:
        """The next file that was written; None if there is none in time, or it died."""
        while True:
            if self._unwanted_since is not None:
                until = min(until, self._unwanted_since + _PATIENCE_SECONDS)
            wait = min(_LOOK_SECONDS, until - time.monotonic())
            try:
                return self._written.get(timeout=max(0.0, wait))
            except queue.Empty:
                if wait <= 0 or not self.alive:
                    with contextlib.suppress(queue.Empty):
                        return self._written.get_nowait()
                    return None

    def _read(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for raw in pipe:
                line = raw.decode("utf-8", "replace").strip()
                # The name is all that counts of what it says: the file is one of our own folder, whatever the line is.
                name = line.replace("\\", "/").rpartition("/")[2]
                if name.endswith(".wav") and (path := self._folder / name).is_file():
                    self._written.put(path)
                elif line:
                    self._said = [*self._said, line][-_SAID_LINES:]

    def _died(self) -> EngineFailed:
        code = self._process.poll()
        self.kill()
        said = "\n".join(self._said)
        return self._failed(f"its program has ended, exit status {code}" + (f"; it said: {said}" if said else ""))

    def _failed(self, why: str) -> EngineFailed:
        return EngineFailed(
            f"tts: {self.model}: {why}",
            stage="tts",
            model=self.model,
            hint="it is started again when it is needed; try the program by hand: " + " ".join(self.command),
        )


def _read_wav(path: Path) -> tuple[Samples, int]:
    with wave.open(str(path), "rb") as file:
        if (file.getsampwidth(), file.getnchannels()) != (2, 1):
            raise ValueError("it is not mono with 16 bits")
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return (sound.astype(np.float32) / 32768.0), file.getframerate()
