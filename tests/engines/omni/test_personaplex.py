"""PersonaPlex's prompt: which steps, from which frames; how a voice is found, and how loud it is made."""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.isolated_worker import Trouble
from locara.engines.omni import personaplex, prompt_sound
from locara.engines.omni.personaplex import PAUSE, SILENCE, SINE

_LAST = (1, 2, 3, 4, 5, 6, 7, 8)


@given(st.lists(st.integers(4, 300), max_size=20))
def test_the_prompt_is_silence_role_silence(words: list[int]) -> None:
    plan = personaplex.steps(_LAST, words, 3)
    assert [one.text for one in plan] == [3] * PAUSE + words + [3] * PAUSE + [None]
    assert all(one.user == SINE for one in plan)
    assert plan[0].acoustic == _LAST[1:]  # of the voice's last frame, one position later
    assert all(one.acoustic == SILENCE[1:] for one in plan[1:])
    assert [one.semantic for one in plan[:-1]] == [SILENCE[0]] * (len(plan) - 1)
    assert plan[-1].semantic is None


def test_a_role_stands_between_two_signs() -> None:
    assert personaplex.role(" You are Jane. ") == "<system> You are Jane. <system>"
    assert personaplex.role("<system> You are Jane. <system>") == "<system> You are Jane. <system>"
    assert personaplex.role(" \n") == ""


def test_a_voice_is_found_by_its_name_or_inside_the_folder(tmp_path: Path) -> None:
    voices = tmp_path / "model" / "voices"
    voices.mkdir(parents=True)
    for path in (voices / "NATF0.pt", voices / "NATF0.wav", voices / "mine.wav", voices.parent / "other.wav"):
        path.write_bytes(b"")
    (tmp_path / "secret.wav").write_bytes(b"")
    if sys.platform != "win32":  # needs a privilege there
        (voices / "link.wav").symlink_to(tmp_path / "secret.wav")

    def found(name: str) -> Path:
        return personaplex.voice_file(voices.parent, name, ("NATF0", "mine"))

    assert found("NATF0").name == "NATF0.pt"
    assert found("NATF0.wav") == voices / "NATF0.wav"
    assert found("mine") == voices / "mine.wav"
    assert found("other.wav") == voices.parent / "other.wav"
    for name in ("../secret.wav", "../../secret.wav", "link.wav", "link", str(tmp_path / "secret.wav")):
        with pytest.raises(Trouble, match=r"lies outside|no voice"):
            found(name)
    with pytest.raises(Trouble) as caught:
        found("NATF1")
    assert "NATF0, mine" in caught.value.hint
    (voices.parent / "voices.tgz").write_bytes(b"")
    with pytest.raises(Trouble, match=r"unpack voices\.tgz"):
        personaplex.voice_file(voices.parent, "NATF9", ())


def _tone(seconds: float, rate: int, peak: float, hertz: float = 997.0) -> npt.NDArray[np.float32]:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_loudness_is_that_of_the_standard(rate: int) -> None:
    # EBU Tech 3341, case 1, in one channel: -23 dBFS are -26.0 LUFS there (two channels: -23.0). BS.1770-5: 997 Hz.
    assert prompt_sound.loudness(_tone(20, rate, 10 ** (-23 / 20)), rate) == pytest.approx(-26.0, abs=0.1)
    # What is silent does not count, nor what is 10 LU below the rest.
    sound = np.concatenate([_tone(10, rate, 10 ** (-23 / 20)), np.zeros(5 * rate), _tone(10, rate, 10 ** (-45 / 20))])
    assert prompt_sound.loudness(sound.astype(np.float32), rate) == pytest.approx(-26.0, abs=0.15)
    assert prompt_sound.loudness(np.zeros(rate, np.float32), rate) == -120.0


def _wav(path: Path, sound: npt.NDArray[np.float32], rate: int, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((np.repeat(sound, channels) * 32767).astype("<i2").tobytes())
    return path


def test_a_voice_is_brought_to_rate_and_level(tmp_path: Path) -> None:
    sound = prompt_sound.read(_wav(tmp_path / "a.wav", _tone(3, 16_000, 0.05), 16_000, channels=2), 24_000, -24.0)
    assert sound.shape == (72_000,)
    assert sound.dtype == np.float32
    assert prompt_sound.loudness(sound, 24_000) == pytest.approx(-24.0, abs=0.1)
    assert np.argmax(np.abs(np.fft.rfft(sound))) / 3 == pytest.approx(997, abs=1)
    loud = prompt_sound.read(_wav(tmp_path / "b.wav", _tone(3, 24_000, 0.5), 24_000), 24_000, 0.0)
    assert np.abs(loud).max() <= 1.0


def test_what_is_no_voice_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.wav").write_bytes(b"RIFFnothing")
    cases = {
        "cannot be read as WAV": tmp_path / "no.wav",
        "cannot be read": tmp_path / "nowhere.wav",
        "is silent": _wav(tmp_path / "silent.wav", np.zeros(24_000, np.float32), 24_000),
        "only 0.10 seconds": _wav(tmp_path / "short.wav", _tone(0.1, 24_000, 0.5), 24_000),
        "longer than 60 seconds": _wav(tmp_path / "long.wav", np.zeros(61 * 8000, np.float32), 8000),
        "has 8 bits": _wav(tmp_path / "old.wav", _tone(1, 24_000, 0.5), 24_000, width=1),
    }
    for told, path in cases.items():
        with pytest.raises(Trouble, match=told) as caught:
            prompt_sound.read(path, 24_000, -24.0)
        assert caught.value.hint
