"""``locara talk`` as people use it: in a terminal, with a microphone and a speaker (of a private sound server)."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from locara.devices.wav import read_wav

from .talking import QUESTION, events_in, finals, of_type, replies, user_turns, write_first_sentence

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

from .terminal import Terminal, talking_in

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = pytest.mark.timeout(60)

KEYS = "space push-to-talk  m mute  s stop  t type  q quit"


@pytest.fixture(autouse=True)
def _sound_library() -> None:
    pytest.importorskip("miniaudio")


@contextmanager
def recorded(server: SoundServer, path: Path) -> Iterator[None]:
    """What the speaker plays, in ``path``."""
    process = server.record(path)
    time.sleep(0.4)  # until it records
    try:
        yield
    finally:
        time.sleep(0.2)
        process.terminate()
        process.wait(5)


def said(terminal: Terminal, server: SoundServer, path: Path) -> None:
    """Plays ``path`` into the microphone and reads the terminal meanwhile."""
    speaking = server.say(path)
    deadline = time.monotonic() + 20
    while speaking.poll() is None and time.monotonic() < deadline:
        terminal.look(0.1)


def quits(terminal: Terminal, before: list[object], key: str = "q", code: int = 0) -> None:
    """``key`` ends it, with nothing left and the terminal as it was."""
    terminal.press(key)
    assert terminal.ended(8.0) == code
    assert terminal.settings() == before
    assert terminal.raw.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in terminal.raw[-300:]
    assert terminal.run.all_gone(5) == []
    assert "Traceback" not in terminal.raw


@pytest.mark.parametrize("arguments", [("--headphones",), ()], ids=["headphones", "echo cancelled"])
def test_a_spoken_question_is_answered_at_the_speaker(
    tmp_path: Path, sound_server: SoundServer, arguments: tuple[str, ...]
) -> None:
    extra = sound_server.variables
    with talking_in(tmp_path, *arguments, "--events", "e.jsonl", extra=extra) as (terminal, _):
        terminal.wait_for("listening")
        assert KEYS in terminal.seen
        assert "Locally: stt pocketsphinx-en-us" in terminal.seen
        with recorded(sound_server, tmp_path / "speaker.wav"):
            said(terminal, sound_server, QUESTION)
            terminal.wait_for("you    what time is it")
            terminal.wait_for("you    what is twelve times seven")
            terminal.wait_for("84")
            terminal.look(3.0)
        # The terminal shows captions, both meters and a ledger for each turn.
        assert terminal.seen.count(" s = endpoint ") == 2
        assert "speaking" in terminal.seen
        assert terminal.raw.startswith("\x1b[?25l") or "\x1b[?25l" in terminal.raw
    events = events_in(tmp_path / "e.jsonl")
    assert finals(events) == ["what time is it", "what is twelve times seven"]
    assert not of_type(events, "error", "barge-in")
    for turn in user_turns(events):
        assert 0.2 < sum(turn["latency"].values()) < 3.0
    both_replies_are_heard(tmp_path / "speaker.wav", events)


def both_replies_are_heard(path: Path, events: list[dict[str, object]]) -> None:
    """Nothing but two replies, as long as what was handed to the speaker and as far apart as the events say."""
    sound, rate = read_wav(path)
    heard = replies(sound, rate)
    assert len(heard) == 2, heard
    assert float(np.abs(sound).max()) > 0.05
    turns = user_turns(events)
    begins = [turn["speech_end"] + sum(turn["latency"].values()) for turn in turns]
    assert abs((heard[1][0] - heard[0][0]) - (begins[1] - begins[0])) < 0.1
    for (first, last), turn in zip(heard, (0, 1), strict=True):
        chunks = [event for event in of_type(events, "audio-chunk") if event["turn"] == turn]
        given = sum(len(str(chunk["samples"])) * 3 / 4 / 2 / chunk["sample_rate"] for chunk in chunks)
        assert abs((last - first) - given) < 0.35  # the voice's own silence before and after


def test_the_keys_mute_type_stop_and_quit(tmp_path: Path, sound_server: SoundServer) -> None:
    sentence = write_first_sentence(tmp_path / "time.wav")
    with talking_in(tmp_path, "--events", "e.jsonl", extra=sound_server.variables) as (terminal, before):
        terminal.wait_for("listening")
        assert terminal.settings() != before  # single keys
        terminal.press("m")
        terminal.wait_for("muted")
        said(terminal, sound_server, sentence)
        terminal.look(1.0)
        assert "you    " not in terminal.seen
        terminal.press("m")
        terminal.wait_for("listening")
        with recorded(sound_server, tmp_path / "speaker.wav"):
            terminal.press("twhat is two plus tree\x7f\x7f\x7fwo")
            terminal.wait_for("> what is two plus two")
            terminal.press("\r")
            terminal.wait_for("you    what is two plus two")
            terminal.wait_for("4")
            terminal.look(3.0)
        assert len(replies(read_wav(tmp_path / "speaker.wav")[0], 48_000)) == 1
        terminal.press("thow many feet are in three miles\r")
        terminal.wait_for("speaking")
        terminal.press("s")
        terminal.wait_for("(stopped)")
        quits(terminal, before)
    events = events_in(tmp_path / "e.jsonl")
    assert finals(events) == ["what is two plus two", "how many feet are in three miles"]
    ends = [(event["who"], event["reason"]) for event in of_type(events, "turn-end")]
    assert ends == [("user", "typed"), ("assistant", "finished"), ("user", "typed"), ("assistant", "cancelled")]
    assert (events[-1]["type"], events[-1]["reason"]) == ("session-end", "stopped")


def test_a_terminal_that_nobody_reads_does_not_end_the_conversation(tmp_path: Path, sound_server: SoundServer) -> None:
    # A stalled ssh, or text selected in a Windows console: the terminal takes nothing, and who writes to it stands still.
    with talking_in(tmp_path, "--events", "e.jsonl", extra=sound_server.variables) as (terminal, _):
        terminal.wait_for("listening")
        sound_server.say(QUESTION).wait(20)  # every block changes a meter: the terminal's buffer is soon full
        terminal.press("twhat is two plus three\r")
        terminal.wait_for("you    what is two plus three")
        assert terminal.run.process.poll() is None
    assert not of_type(events_in(tmp_path / "e.jsonl"), "error", "session-end")


def test_push_to_talk_hears_only_while_the_key_is_down(tmp_path: Path, sound_server: SoundServer) -> None:
    sentence = write_first_sentence(tmp_path / "time.wav")
    arguments = ("--push-to-talk", "--headphones", "--events", "e.jsonl")
    with talking_in(tmp_path, *arguments, extra=sound_server.variables) as (terminal, _):
        terminal.wait_for("listening")
        said(terminal, sound_server, sentence)
        terminal.look(1.0)
        assert "you    " not in terminal.seen
        terminal.press(" ")
        terminal.wait_for("listening, go on…")
        said(terminal, sound_server, sentence)
        terminal.press(" ")
        terminal.wait_for("you    what time is it")
        terminal.wait_for("locara It's")  # the words are final with the first sound of the reply
    events = events_in(tmp_path / "e.jsonl")
    assert finals(events) == ["what time is it"]
    assert [event["reason"] for event in user_turns(events)] == ["released"]


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x03", 130)], ids=["q", "ctrl-c"])
def test_a_key_ends_a_conversation_in_which_nothing_was_said(
    tmp_path: Path, sound_server: SoundServer, key: str, code: int
) -> None:
    # Ctrl-C is a key like any other while the conversation runs, and must still give its documented code.
    with talking_in(tmp_path, "--headphones", extra=sound_server.variables) as (terminal, before):
        terminal.wait_for("listening")
        quits(terminal, before, key, code)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_gives_the_terminal_back(tmp_path: Path, sound_server: SoundServer, name: str, code: int) -> None:
    with talking_in(tmp_path, extra=sound_server.variables) as (terminal, before):
        terminal.wait_for("listening")
        assert terminal.settings() != before
        terminal.run.process.send_signal(getattr(signal, name))
        assert terminal.ended(8.0) == code
        assert terminal.settings() == before
        assert "\x1b[?25h" in terminal.raw[-300:]  # the cursor is there again
        assert terminal.run.all_gone(5) == []
        assert "Traceback" not in terminal.raw


def test_a_recording_is_answered_in_a_terminal_too_and_q_ends_it(tmp_path: Path) -> None:
    arguments = ("--input", str(QUESTION), "--output", "none", "--events", "e.jsonl")
    with talking_in(tmp_path, *arguments, extra={}) as (terminal, before):
        terminal.wait_for("you    what time is it")
        quits(terminal, before)
    events = events_in(tmp_path / "e.jsonl")
    assert [event["reason"] for event in of_type(events, "session-end")] == ["stopped"]
