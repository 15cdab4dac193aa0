"""``locara talk`` stopped from outside: the documented exit codes, and nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from locara.devices.wav import read_wav

from .talking import QUESTION, events_in, running

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]

CODES = {"SIGTERM": 143, "SIGINT": 130}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("pace", ["realtime", "simulated"])
def test_a_signal_during_the_conversation_ends_it_cleanly(tmp_path: Path, name: str, pace: str) -> None:
    arguments = ("--input", str(QUESTION), "--output", "out.wav", "--events", "e.jsonl", "--pace", pace, "--json")
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with running(tmp_path, "talk", *arguments, stdin=quiet, stdout=pipe, stderr=pipe) as run:
        assert run.process.stdout is not None
        assert run.process.stderr is not None
        while b"partial-transcript" not in (line := run.process.stdout.readline()):  # somebody is speaking
            assert line, "it ended before anybody spoke"
        if sys.platform.startswith("linux"):
            family = " ".join(run.family())
            assert "sphinx_worker" in family
            assert "espeak_worker" in family
        run.process.send_signal(getattr(signal, name))
        began = time.monotonic()
        assert run.process.wait(15) == CODES[name]
        assert time.monotonic() - began < 5.0
        assert run.all_gone(5) == []
        said = run.process.stderr.read().decode()
        assert "Traceback" not in said
        assert "Exception ignored" not in said
    assert events_in(tmp_path / "e.jsonl")[0]["type"] == "session-start"  # whole lines, up to the last
    size = (tmp_path / "out.wav").stat().st_size
    header = int.from_bytes((tmp_path / "out.wav").read_bytes()[40:44], "little")
    assert header == size - 44  # what was said so far can be played


@pytest.mark.parametrize("name", CODES)
def test_a_signal_leaves_the_whole_recording(tmp_path: Path, name: str) -> None:
    arguments = ("--input", str(QUESTION), "--output", "none", "--record", "kept", "--json")
    with running(
        tmp_path, "talk", *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.process.stdout is not None
        assert run.process.stderr is not None
        while b"final-transcript" not in (line := run.process.stdout.readline()):
            assert line, "it ended before anybody had spoken"
        run.process.send_signal(getattr(signal, name))
        assert run.process.wait(20) == CODES[name]
        assert "Traceback" not in run.process.stderr.read().decode()
    sound, rate = read_wav(tmp_path / "kept" / "conversation.wav")
    assert sound.size > 2 * rate, "what was said before the signal"
    assert "final-transcript" in (tmp_path / "kept" / "events.jsonl").read_text()
    assert (tmp_path / "kept" / "timeline.svg").read_text().rstrip().endswith("</svg>")


@pytest.mark.parametrize("name", CODES)
def test_a_signal_while_the_models_load_ends_it_cleanly(tmp_path: Path, name: str) -> None:
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    arguments = ("talk", "--input", str(QUESTION), "--output", "out.wav", "--events", "e.jsonl")
    with running(tmp_path, *arguments, stdin=quiet, stdout=pipe, stderr=pipe) as run:
        assert run.process.stderr is not None
        deadline = time.monotonic() + 20
        # The events file is made when the command line is understood; the engines' processes are started after it.
        while not (tmp_path / "e.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.15)
        run.process.send_signal(getattr(signal, name))
        assert run.process.wait(15) == CODES[name]
        assert run.all_gone(5) == []
        assert "Traceback" not in run.process.stderr.read().decode()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_killed_conversation_leaves_no_worker_behind(tmp_path: Path) -> None:
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    arguments = ("talk", "--input", str(QUESTION), "--output", "none")
    with running(tmp_path, *arguments, stdin=quiet, stdout=pipe, stderr=quiet) as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline().startswith(b"Locally: ")
        assert len(run.family()) == 3
        run.process.kill()
        run.process.wait(5)
        assert run.all_gone(10) == []
