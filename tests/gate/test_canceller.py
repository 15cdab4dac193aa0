"""The canceller: our own voice goes, another one stays, and which of the two it was is told."""

from __future__ import annotations

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, silence
from locara.gate.canceller import Canceller
from locara.gate.lapped import LAG
from locara.testing.babble import answer, babble

from .echoes import cancelled, joined, quieter, through


@pytest.mark.parametrize(("delay", "loss"), [(0.0, 12.0), (0.06, -3.0), (0.25, 6.0), (0.5, 0.0)])
def test_the_echo_is_gone_within_a_second_wherever_it_comes_from(delay: float, loss: float) -> None:
    played = babble(4.0, 1)
    echo = through(played, answer(2, delay=delay, loss_db=loss))
    canceller = Canceller()
    pieces = cancelled(canceller, echo, played)
    left = joined([one.sound for one in pieces])
    second = slice(round((delay + 1.2) * RATE), None)
    assert quieter(echo[second], left[second]) > 20.0
    assert quieter(echo[second], joined([one.decisive for one in pieces])[second]) > 25.0
    assert canceller.delay == pytest.approx(delay, abs=0.03)
    assert canceller.echo_return_loss == pytest.approx(quieter(played, echo), abs=3.0)
    assert canceller.enhancement > 18.0


def test_our_own_voice_is_told_as_echo_from_its_first_syllable() -> None:
    played = babble(3.0, 3)
    pieces = cancelled(Canceller(), through(played, answer(4)), played)
    told = np.array([one.echo for one in pieces if one.expected])
    assert told.size > 100
    assert np.mean(told >= 0.5) > 0.97
    assert np.all(told > 0.0)


@pytest.mark.parametrize("level", [1.0, 2.0])
def test_another_voice_stays_and_is_told(level: float) -> None:
    played = babble(5.0, 5)
    echo = through(played, answer(6))
    voice = np.zeros_like(played)
    voice[3 * RATE : 4 * RATE] = babble(1.0, 7, level=0.05 * level)  # the echo has 0.05
    pieces = cancelled(Canceller(), echo + voice, played)
    told = np.array([one.echo for one in pieces])
    spoken = slice(3 * RATE // BLOCK, 4 * RATE // BLOCK)
    assert np.mean(told[spoken] < 0.5) > 0.5, "a voice"
    assert np.mean(told[RATE // BLOCK : 3 * RATE // BLOCK] >= 0.5) > 0.97, "and none before"
    sound = joined([one.sound for one in pieces])[3 * RATE + LAG : 4 * RATE + LAG]
    wanted = voice[3 * RATE : 4 * RATE]
    assert float(np.corrcoef(sound, wanted)[0, 1]) > 0.8


@pytest.mark.parametrize(("under", "counts"), [(0.0, True), (10.0, True), (36.0, False)])
def test_a_pitch_counts_unless_it_is_far_under_our_echo(under: float, counts: bool) -> None:
    """In a gap of 0.3 s between two words of ours, where nothing else is heard: what is left of us is as faint as that."""
    played = babble(4.0, 9)
    played[3 * RATE : 3 * RATE + 3 * RATE // 10] = 0.0
    echo = through(played, answer(6))
    vowel = np.zeros_like(played)
    at = np.arange(RATE // 5) / RATE
    shape = sum(np.cos(2 * np.pi * k * 130.0 * at + k) / k for k in range(1, 12))
    vowel[3 * RATE + RATE // 10 :][: at.size] = shape / np.sqrt(np.mean(np.square(shape)))
    vowel *= np.sqrt(np.mean(np.square(echo))) * 10 ** (-under / 20)
    pieces = cancelled(Canceller(), echo + vowel, played)
    heard = [one.pitch for one in pieces[3 * 50 + 7 : 3 * 50 + 15]]
    assert all(one.expected for one in pieces[3 * 50 : 3 * 50 + 15])
    assert (float(np.median(heard)) >= 0.75) is counts, heard


def test_a_pitch_in_the_first_echo_of_ours_is_our_own_until_the_way_back_is_learned() -> None:
    at = np.arange(3 * RATE) / RATE
    played = np.asarray(0.1 * sum(np.cos(2 * np.pi * k * 110.0 * at + k) / k for k in range(1, 12)), np.float32)
    canceller = Canceller()
    for _ in range(2):  # anew after a change of the device
        pieces = cancelled(canceller, through(played, answer(2, delay=0.24)), played)[:50]
        assert all(one.pitch == 0.0 for one in pieces[:49] if one.echo > 0.5)
        canceller.forget()


def test_without_a_sound_of_ours_nothing_is_changed_and_decisions_are_not_late() -> None:
    heard = babble(2.0, 8)
    pieces = cancelled(Canceller(), heard, np.zeros_like(heard))
    assert np.array_equal(joined([one.decisive for one in pieces]), heard)
    assert np.allclose(joined([one.sound for one in pieces])[LAG:], heard[:-LAG], atol=1e-5)
    assert not any(one.expected or one.echo for one in pieces)


def test_with_headphones_a_voice_is_a_voice_although_we_speak() -> None:
    played, voice = babble(3.0, 9), babble(3.0, 10)
    noise = (1e-4 * np.random.default_rng(11).standard_normal(voice.size)).astype(np.float32)
    voice[: 2 * RATE] = 0.0
    pieces = cancelled(Canceller(), voice + noise, played)
    told = np.array([one.echo for one in pieces])
    assert np.mean(told[2 * RATE // BLOCK :] < 0.5) > 0.8


def test_a_room_that_changes_is_learned_again() -> None:
    played = babble(8.0, 12)
    first, second = answer(13, delay=0.04), answer(14, delay=0.12, loss_db=0.0)
    echo = np.concatenate((through(played, first)[: 4 * RATE], through(played, second)[4 * RATE :]))
    left = joined([one.decisive for one in cancelled(Canceller(), echo, played)])
    assert quieter(echo[6 * RATE :], left[6 * RATE :]) > 20.0


def test_clocks_that_run_apart_are_followed() -> None:
    """100 parts in a million: two devices."""
    played = babble(8.0, 15)
    at = np.arange(played.size) * (1.0 + 100e-6)
    echo = np.interp(at, np.arange(played.size), through(played, answer(16))).astype(np.float32)
    pieces = cancelled(Canceller(), echo, played)
    left = joined([one.decisive for one in pieces])
    assert quieter(echo[4 * RATE :], left[4 * RATE :]) > 18.0
    told = np.array([one.echo for one in pieces[4 * RATE // BLOCK :]])
    assert np.mean(told >= 0.5) > 0.9


def test_muting_teaches_nothing() -> None:
    played = babble(6.0, 17)
    echo = through(played, answer(18))
    heard = echo.copy()
    heard[2 * RATE : 4 * RATE] = 0.0
    left = joined([one.sound for one in cancelled(Canceller(), heard, played)])
    just_after = slice(round(4.1 * RATE), round(4.6 * RATE))
    assert quieter(echo[just_after], left[just_after]) > 12.0


def test_it_costs_nothing_to_hear_for_ever() -> None:
    """No state grows, and no number runs away when the same is played again and again."""
    canceller = Canceller()
    tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(BLOCK) / RATE)).astype(np.float32)
    for _ in range(3000):
        cleaned = canceller.hear(0.5 * tone, tone)
    assert np.all(np.isfinite(cleaned.sound))
    assert quieter(0.5 * tone, cleaned.sound) > 15.0
    for _ in range(100):
        cleaned = canceller.hear(silence(BLOCK), silence(BLOCK))
    assert not cleaned.sound.any()
    assert not cleaned.expected
