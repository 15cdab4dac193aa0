"""``locara say`` and ``locara transcribe`` as programs: files, pipes, formats, errors, the microphone of a sound server."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from locara.audio import RATE, pcm16, resample
from locara.cli.transcribe import subtitles
from locara.devices.wav import read_wav
from locara.transcribe import Segment

from .talking import QUESTION, SENTENCES, environment, locara_run

pytestmark = pytest.mark.timeout(90)


def test_a_text_becomes_a_file_and_the_file_a_text(tmp_path: Path) -> None:
    said = locara_run(tmp_path, "say", "--output", "out.wav", "--json", "What time is it?")
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    sound, rate = read_wav(tmp_path / "out.wav")
    assert abs(sound.size / rate - told["seconds"]) < 0.1
    assert told["engine"] == "espeak-ng"
    heard = locara_run(tmp_path, "transcribe", "--json", str(QUESTION), "out.wav")
    assert (heard.code, heard.err) == (0, "")
    question, own = (json.loads(line) for line in heard.out.splitlines())
    assert question["text"] == " ".join(SENTENCES)
    assert [one["text"] for one in question["segments"]] == list(SENTENCES)
    assert own["file"] == "out.wav"


def test_standard_input_is_said_while_it_comes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "locara", "say", "--output", "out.wav", "-"],
        cwd=tmp_path, env=environment(tmp_path, uuid.uuid4().hex), input=b"One line.\nAnother line.\n",
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    sound, rate = read_wav(tmp_path / "out.wav")
    assert sound.size / rate > 1.0


def test_a_pipe_of_samples_is_transcribed_while_it_comes(tmp_path: Path) -> None:
    sound, rate = read_wav(QUESTION)
    done = subprocess.run(
        [sys.executable, "-m", "locara", "transcribe", "--raw", str(RATE), "-"],
        cwd=tmp_path, env=environment(tmp_path, uuid.uuid4().hex), input=pcm16(resample(sound, rate, RATE)),
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().split("\n") == [*SENTENCES, ""]


def test_subtitles_have_the_times_of_their_format() -> None:
    segments = (Segment("one", 0.5, 2.0), Segment("two", 3661.2345, 3662.0))
    assert subtitles(segments, web=False) == (
        "1\n00:00:00,500 --> 00:00:02,000\none\n\n2\n01:01:01,234 --> 01:01:02,000\ntwo\n"
    )
    assert subtitles(segments, web=True).startswith("WEBVTT\n\n1\n00:00:00.500 --> 00:00:02.000\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("transcribe",), "what to transcribe?"),
        (("transcribe", "a.wav", "--microphone"), "what to transcribe?"),
        (("transcribe", "-"), "--raw HZ and - go together"),
        (("transcribe", "a.wav", "b.wav", "--format", "srt"), "is for one file"),
        (("transcribe", "absent.wav"), "absent.wav"),
        (("transcribe", "--stt", "pocketsfinx", str(QUESTION)), "did you mean 'pocketsphinx'"),
        (("say", "--tts", "espeak-nj", "hello", "--output", "a.wav"), "did you mean 'espeak-ng'"),
        (("say", "hello", "--output", "a.mp3"), "only WAV files are written"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_the_next_step(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = locara_run(tmp_path, *arguments)
    assert done.code == 1
    assert words in done.err
    assert "Traceback" not in done.err
    assert "->" in done.err
