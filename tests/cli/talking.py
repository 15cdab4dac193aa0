"""``locara talk`` as a program of its own: started, watched, and everything it left looked for.

What may live here: starting the command in a folder of its own, and reading what it wrote. It checks nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import locara.cli
from locara.audio import RATE, Samples
from locara.devices.wav import read_wav, write_wav

QUESTION = Path(locara.cli.__file__).with_name("question.wav")
SENTENCES = ("what time is it", "what is twelve times seven")
PARTS = ("endpoint", "stt", "llm_first_token", "clause", "tts_first_chunk", "queue", "output")
AUDIBLE = 10 ** (-60 / 20)
"""The contract's "audible": what the speaker gate counts as the first sample that can be heard."""

_MARK = "LOCARA_TEST_RUN"
_SOURCE = str(Path(locara.cli.__file__).parents[2])


def environment(folder: Path, mark: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """No sound server, no model server, no memory of earlier runs; ``mark`` is inherited by every child."""
    nowhere = {"PULSE_SERVER": "unix:/nowhere", "ALSA_CONFIG_PATH": os.devnull}
    paths = [_SOURCE, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        **nowhere,
        "LOCARA_NO_SERVERS": "1",
        "LOCARA_NO_OFFER": "1",
        "LOCARA_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join(paths),
        _MARK: mark,
        **(extra or {}),
    }


@dataclass(frozen=True)
class Done:
    """A run that has ended: its exit code, what it wrote, how many real seconds it took."""

    code: int
    out: str
    err: str
    seconds: float


def locara_run(folder: Path, *arguments: str, limit: float = 60.0) -> Done:
    """Runs ``locara`` in ``folder`` with nothing on standard input; ends it after ``limit`` seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "locara", *arguments],
        cwd=folder,
        env=environment(folder, uuid.uuid4().hex),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit,
        check=False,
    )
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    return Done(done.returncode, out, err, time.monotonic() - began)


@dataclass(frozen=True)
class Running:
    """A run under way, and how to find what belongs to it."""

    process: subprocess.Popen[bytes]
    mark: str

    def family(self) -> list[str]:
        """The command lines of all processes of this run that are still there. Linux only; empty elsewhere."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has ended meanwhile, or is not ours
                continue
        return found

    def all_gone(self, within: float) -> list[str]:
        """Waits until no process of this run is left; those that still are after ``within`` seconds."""
        deadline = time.monotonic() + within
        while (left := self.family()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


@contextmanager
def running(folder: Path, *arguments: str, extra: Mapping[str, str] | None = None, **streams: Any) -> Iterator[Running]:
    """``locara`` under way in ``folder``; killed at the end if it has not ended by itself. ``streams``: as for Popen."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "locara", *arguments],
        cwd=folder,
        env=environment(folder, mark, extra),
        start_new_session=True,
        **streams,
    )
    try:
        yield Running(process, mark)
    finally:
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def events_in(path: Path) -> list[dict[str, Any]]:
    """The events of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of_type(events: Sequence[dict[str, Any]], *types: str) -> list[dict[str, Any]]:
    """Those of these types."""
    return [event for event in events if event["type"] in types]


def finals(events: Sequence[dict[str, Any]]) -> list[str]:
    """What was understood, turn by turn."""
    return [event["text"] for event in of_type(events, "final-transcript")]


def user_turns(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ends of the user's turns."""
    return [event for event in of_type(events, "turn-end") if event["who"] == "user"]


def replies(sound: Samples, rate: int, gap: float = 1.0) -> list[tuple[float, float]]:
    """Where something can be heard in ``sound``: (first, last audible sample) in seconds. What stands closer together
    than ``gap`` seconds is one."""
    loud = np.flatnonzero(np.abs(sound) > AUDIBLE)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > gap * rate) + 1) if loud.size else []
    return [(float(part[0]) / rate, float(part[-1]) / rate) for part in parts]


def first_sentence() -> Samples:
    """``what time is it`` at 16 kHz, with what is around it."""
    sound, rate = read_wav(QUESTION)
    assert rate == RATE
    return sound[: round(3.3 * RATE)]


def write_first_sentence(path: Path) -> Path:
    """The same as a file."""
    write_wav(path, [first_sentence()], RATE)
    return path
