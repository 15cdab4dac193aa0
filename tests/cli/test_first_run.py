"""The first conversation in a terminal: it speaks at once, asks one question, fetches meanwhile, and changes over."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from subprocess import DEVNULL as NULL

import numpy as np
import pytest

import file_voice  # type: ignore[import-not-found]
from locara.devices.wav import read_wav

from .talking import events_in, of_type, running

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

from .terminal import talking_in

pytestmark = pytest.mark.timeout(90)

SILENT = (
    *("--input", "none", "--output", "answer.wav", "--events", "events.jsonl"),
    # Whatever extras are installed, no other model for Esperanto is in the catalog than the one of these tests.
    *("--stt", "pocketsphinx", "--llm", "built-in", "--language", "eo"),
)
QUESTION = "Fetch it now (400 kB) while we talk?"


def offered(**more: str) -> str:
    """A catalog with one voice, which is the best for its language."""
    return str(file_voice.row(language="eo", **more))


def fresh(folder: Path, catalog: str) -> dict[str, str]:
    return {**file_voice.environment(folder, catalog), "LOCARA_NO_OFFER": "", "LOCARA_CACHE": str(folder / "cache")}


def told(path: Path) -> str:
    """The events so far; the last line may be half written."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def tones(path: Path) -> int:
    """How many blocks of 80 ms of a WAV file are a tone of 600 Hz and nothing else."""
    samples, rate = read_wav(path)
    step = round(0.04 * rate)
    found = 0
    for at in range(0, samples.size - step, step):
        spectrum = np.abs(np.fft.rfft(samples[at : at + step] * np.hanning(step)))
        hertz = float(np.argmax(spectrum)) * rate / step
        found += bool(spectrum.max() > 5.0 and abs(hertz - 600) < 26)
    return found


def test_it_speaks_within_ten_seconds_fetches_after_a_yes_and_changes_over(tmp_path: Path) -> None:
    gate = threading.Event()
    with file_voice.served(gate=gate) as url:
        began = time.monotonic()
        with talking_in(tmp_path, *SILENT, extra=fresh(tmp_path, offered(url=url))) as (terminal, _):
            terminal.wait_for(QUESTION, within=40.0)
            assert "tts  tone-voice: 400 kB, MIT, 60 MB of memory" in terminal.seen
            while not of_type(events_in(tmp_path / "events.jsonl"), "audio-chunk"):
                assert time.monotonic() - began < 40.0, "nothing was said"
                terminal.look(0.1)
            terminal.press("y")
            terminal.wait_for("% ")  # the download is under way, and the conversation goes on meanwhile
            terminal.press("twhat is two times two\r")
            terminal.wait_for("locara That")
            gate.set()
            terminal.wait_for("from now on: tts tone-voice")
            terminal.press("twhat is two times two\r")
            terminal.wait_for("locara That")
            terminal.wait_for("listening")
            terminal.press("q")
            assert terminal.ended() == 0
            assert not terminal.run.all_gone(3.0)
    events = events_in(tmp_path / "events.jsonl")
    assert of_type(events, "audio-chunk")[0]["t"] < 10.0  # on the session's clock: a machine under load starts later
    (changed,) = of_type(events, "plan-changed")
    assert changed["plan"]["tts"]["model"] == "tone-voice"
    assert tones(tmp_path / "answer.wav") >= 3


def test_a_no_is_not_asked_again_and_says_how_to_have_it_later(tmp_path: Path) -> None:
    environment = fresh(tmp_path, offered())
    with talking_in(tmp_path, *SILENT, extra=environment) as (terminal, _):
        terminal.wait_for(QUESTION)
        terminal.press("n")
        terminal.wait_for("later: locara models pull tone-voice")
        terminal.press("q")
        assert terminal.ended() == 0
    assert json.loads((tmp_path / "cache" / "first-run.json").read_text()) == {"declined": ["tone-voice"]}
    with talking_in(tmp_path, *SILENT, extra=environment) as (terminal, _):
        terminal.wait_for("listening")
        terminal.look(2.0)
        assert "A better set" not in terminal.seen
        terminal.press("q")
        assert terminal.ended() == 0


def test_quitting_stops_the_download_and_keeps_its_part(tmp_path: Path) -> None:
    gate = threading.Event()
    with file_voice.served(gate=gate) as url:
        with talking_in(tmp_path, *SILENT, extra=fresh(tmp_path, offered(url=url))) as (terminal, _):
            terminal.wait_for(QUESTION)
            terminal.press("y")
            terminal.wait_for("% ")
            terminal.press("q")
            assert terminal.ended(within=10.0) == 0
            assert not terminal.run.all_gone(3.0)
        kept = [
            one for one in (tmp_path / "models" / ".parts").rglob("*") if one.is_file() and one.stat().st_size > 1000
        ]
        assert kept


def test_a_download_that_fails_is_a_line_and_the_conversation_goes_on(tmp_path: Path) -> None:
    with (
        file_voice.served(b"<html>no</html>") as url,
        talking_in(tmp_path, *SILENT, extra=fresh(tmp_path, offered(url=url))) as (terminal, _),
    ):
        terminal.wait_for(QUESTION)
        terminal.press("y")
        terminal.wait_for("->", within=30.0)
        assert "tone-voice" in terminal.seen
        terminal.press("twhat is two times two\r")
        terminal.wait_for("locara That")
        terminal.press("q")
        assert terminal.ended() == 0


def test_yes_needs_no_terminal(tmp_path: Path) -> None:
    with file_voice.served() as url:
        environment = fresh(tmp_path, offered(url=url))
        with running(
            tmp_path, "talk", "--yes", *SILENT, extra=environment, stdin=NULL, stdout=NULL, stderr=NULL
        ) as run:
            deadline = time.monotonic() + 30
            while '"plan-changed"' not in told(tmp_path / "events.jsonl"):
                assert time.monotonic() < deadline
                assert run.process.poll() is None
                time.sleep(0.1)
            run.process.terminate()
            assert run.process.wait(10) == 143
