"""The spoken questions in ``question.wav`` (synthetic speech: flite, voice kal16, made by ``scripts/make_question.sh``;
16 kHz, mono, 16 bit).
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

import locara.cli

QUESTION = Path(locara.cli.__file__).with_name("question.wav")


def spoken() -> list[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """The sentences of the file, with 0.3 s around each."""
    with wave.open(str(QUESTION)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    blocks = sound[: sound.size // 320 * 320].reshape(-1, 320).astype(np.float64)
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) > 32768 * 10 ** (-50 / 20))
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 50) + 1)
    return [sound[(part[0] - 15) * 320 : (part[-1] + 16) * 320] for part in parts]


def test_the_question_file_is_small_has_a_lead_and_is_never_digitally_silent() -> None:
    assert QUESTION.stat().st_size < 300_000
    with wave.open(str(QUESTION)) as file:
        lead = np.frombuffer(file.readframes(9_600), "<i2").astype(np.float64) / 32768
    assert -67.0 < 10 * np.log10((lead**2).mean()) < -63.0
    assert len(spoken()) == 2


def test_the_questions_are_recognised_word_for_word() -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL", fwdflat=False, maxhmmpf=5000, maxwpf=20)
    heard = []
    for sentence in spoken():
        decoder.start_utt()
        decoder.process_raw(sentence.tobytes(), full_utt=True)
        decoder.end_utt()
        heard.append(decoder.hyp().hypstr)
    assert heard == ["what time is it", "what is twelve times seven"]
