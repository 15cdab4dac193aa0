"""A wrong command line, a file that is no recording, a folder that is not there: one sentence, one next step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .talking import QUESTION, Done, first_sentence, locara_run, running, write_first_sentence
from .test_talk_input import float32

pytestmark = pytest.mark.timeout(60)

SIMULATED = ("--pace", "simulated")


def is_explained(done: Done, *words: str) -> None:
    """One sentence that holds ``words``, one next step, no traceback, nothing of a conversation."""
    assert done.code == 1
    assert "Traceback" not in done.err
    sentence, hint = done.err.strip().split("\n")
    assert sentence.startswith("locara talk: ")
    assert hint.startswith("  -> ")
    for word in words:
        assert word in done.err
    assert done.out == ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With everything in it that could be mistaken for a recording."""
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "text.wav").write_text("this is a shopping list, and not a short one at that\n" * 20)
    (tmp_path / "flac.wav").write_bytes(b"fLaC\0\0\0\x22" + bytes(100))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "head.wav").write_bytes(QUESTION.read_bytes()[:30])
    (tmp_path / "mp3.wav").write_bytes(b"ID3\x04" + bytes(100))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.wav", "no file nothing.wav"),
        ("folder.wav", "folder.wav is a folder"),
        ("text.wav", "text.wav is not a WAV file"),
        ("flac.wav", "a FLAC file"),
        ("mp3.wav", "an MP3 file"),
        ("empty.wav", "empty.wav is empty"),
        ("head.wav", "head.wav"),
    ],
)
def test_an_input_that_is_no_recording_is_named(folder: Path, name: str, said: str) -> None:
    is_explained(locara_run(folder, "talk", "--input", name, "--output", "none", *SIMULATED), said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--output", "nowhere/out.wav"), "no folder nowhere"),
        (("--output", "folder.wav"), "folder.wav is a folder"),
        (("--output", "none", "--events", "nowhere/e.jsonl"), "nowhere"),
        (("--output", "none", "--events", "folder.wav"), "folder.wav"),
        (("--output", "none", "--stt", "pocketsfinx"), "did you mean 'pocketsphinx'?"),
        (("--output", "none", "--tts", "espeek-ng"), "did you mean 'espeak-ng'?"),
        (("--output", "none", "--llm", "bilt-in"), "did you mean 'built-in'?"),
        (("--output", "none", "--omni", "glm-4-voice"), "is only listed: no engine of Locara runs it"),
        (("--output", "default"), "virtual clock"),
    ],
)
def test_what_cannot_work_is_said_before_the_conversation(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    is_explained(locara_run(folder, "talk", "--input", str(QUESTION), *arguments, *SIMULATED), said)


def test_a_virtual_clock_and_devices_do_not_go_together(folder: Path) -> None:
    is_explained(locara_run(folder, "talk", "--input", "default", *SIMULATED), "virtual clock")


def test_a_record_folder_that_cannot_be_made_is_said_before_the_conversation(folder: Path) -> None:
    # It was once looked at only when the conversation was over, which was then lost.
    arguments = ("--input", str(QUESTION), "--output", "none", "--record", "text.wav/kept", *SIMULATED)
    is_explained(locara_run(folder, "talk", *arguments), "text.wav/kept")


def test_a_record_folder_that_cannot_be_written_is_explained(folder: Path) -> None:
    # The picture is written after the sound: also what comes late must be explained.
    write_first_sentence(folder / "in.wav")
    (folder / "kept" / "timeline.svg").mkdir(parents=True)
    done = locara_run(folder, "talk", "--input", "in.wav", "--output", "none", "--record", "kept", *SIMULATED)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "timeline.svg" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["--events", "--output"])
def test_a_full_disk_is_explained(folder: Path, option: str) -> None:
    # The disk is full at the first write, long after the file could be opened.
    (folder / "full.wav").symlink_to("/dev/full")
    write_first_sentence(folder / "in.wav")
    arguments = ("--output", "none") if option == "--events" else ()
    done = locara_run(folder, "talk", "--input", "in.wav", *arguments, option, "full.wav", *SIMULATED)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "full.wav" in done.err


def test_the_recording_is_not_overwritten_by_the_answer(folder: Path) -> None:
    # Opening the output empties it: the user's recording would be gone before it is read.
    before = write_first_sentence(folder / "same.wav").read_bytes()
    done = locara_run(folder, "talk", "--input", "same.wav", "--output", "same.wav", *SIMULATED)
    assert (folder / "same.wav").read_bytes() == before
    is_explained(done, "same.wav")


def test_the_recording_is_not_overwritten_by_the_events(folder: Path) -> None:
    before = write_first_sentence(folder / "same.wav").read_bytes()
    done = locara_run(folder, "talk", "--input", "same.wav", "--output", "none", "--events", "same.wav", *SIMULATED)
    assert (folder / "same.wav").read_bytes() == before
    is_explained(done, "same.wav")


def test_a_missing_input_costs_no_earlier_answer(folder: Path) -> None:
    # There will be no conversation, so nothing may be emptied for one.
    before = write_first_sentence(folder / "answer.wav").read_bytes()
    done = locara_run(folder, "talk", "--input", "nothing.wav", "--output", "answer.wav", *SIMULATED)
    assert (folder / "answer.wav").read_bytes() == before
    is_explained(done, "nothing.wav")


def test_verbose_shows_the_traceback(folder: Path) -> None:
    done = locara_run(folder, "talk", "--verbose", "--input", "nothing.wav", "--output", "none")
    assert done.code == 1
    assert "locara talk: there is no file nothing.wav" in done.err
    assert "Traceback" in done.err


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [(), ("talk", "--bogus"), ("tlak",), ("talk", "--pace", "fast"), ("talk", "--patience", "none")]
)
def test_a_wrong_command_line_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = locara_run(tmp_path, *arguments)
    assert done.code == 2
    assert "usage: locara" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--help",), "example: locara talk"),
        (("talk", "--help"), "locara talk --input question.wav --output answer.wav --events events.jsonl"),
        (("talk", "--help"), "exit codes: 0 done, 1 failed, 2 wrong command line, 130 Ctrl-C, 143 SIGTERM"),
        (("--version",), "locara "),
    ],
)
def test_help_shows_an_example(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = locara_run(tmp_path, *arguments)
    assert (done.code, done.err) == (0, "")
    assert said in done.out


@pytest.mark.parametrize("extra", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path, extra: tuple[str, ...]) -> None:
    arguments = ("talk", "--input", str(QUESTION), "--output", "none", *SIMULATED, *extra)
    pipe = subprocess.PIPE
    with running(tmp_path, *arguments, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as run:
        assert run.process.stdout is not None
        assert run.process.stderr is not None
        assert run.process.stdout.readline()
        run.process.stdout.close()
        assert run.process.wait(20) in (0, 1)
        said = run.process.stderr.read().decode()
        assert "Traceback" not in said
        assert "BrokenPipe" not in said
        assert "Exception ignored" not in said
        assert run.all_gone(5) == []


def test_a_recording_of_noise_is_no_turn(tmp_path: Path) -> None:
    noise = 0.02 * np.random.default_rng(3).standard_normal(first_sentence().size).astype(np.float32)
    (tmp_path / "noise.wav").write_bytes(float32(noise))
    done = locara_run(tmp_path, "talk", "--input", "noise.wav", "--output", "none", *SIMULATED)
    assert (done.code, done.err) == (0, "")
    assert "you    " not in done.out
