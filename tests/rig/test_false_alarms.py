"""The user makes a sound while the assistant speaks, and does not mean it: the reply goes on from the exact sample."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from locara.testing import Conversation, Line, Noise, Result, play

from .scenes import BLOCK_SECONDS, DUCKED, LONG, Voices, at, check_story, joined, names

ASKS = Line(0.5, "tell me all about it")
FADE = 0.02
"""Seconds that a change of level takes."""


@functools.cache
def _plain() -> Result:
    return play(Conversation([ASKS], replies=[LONG]), tts=Voices())


def _disturbed(by: Line | Noise) -> Result:
    result = play(Conversation([ASKS, by], replies=[LONG]), tts=Voices())
    check_story(result)
    return result


def _goes_on(result: Result, by: Line | Noise) -> float:
    """Checks the whole reply, sample for sample; returns the seconds it stood still."""
    plain = _plain()
    resume = result.of("resume")
    assert len(resume) == 1
    assert resume[0].turn == 0
    paused: float = resume[0].paused_ms / 1000
    stands = at(result, resume[0].t - paused)
    told = at(result, resume[0].t)
    fade = at(result, FADE)
    assert np.array_equal(result.output[: at(result, by.at)], plain.output[: at(result, by.at)])
    # Lowered: the same samples at another level, as soon as a window and a block have passed, and down to the stop.
    low = slice(at(result, by.at + 0.1), stands if paused else told)
    assert np.allclose(result.output[low], plain.output[low] * DUCKED, rtol=1e-4)
    # Standing still: a fade of samples that will come again, and then silence until within a block of the event.
    goes_on = stands
    if paused:
        goes_on = stands + fade + int(np.flatnonzero(result.output[stands + fade :])[0])
        goes_on -= goes_on % at(result, BLOCK_SECONDS)  # it begins from nothing: a ramp whose first sample is zero
        assert 0 <= goes_on - told <= at(result, BLOCK_SECONDS)
    # And on from the exact sample: the whole rest, later by the pause and by nothing else.
    full = max(goes_on, told) + fade + at(result, BLOCK_SECONDS)
    rest, same = result.output[full:], plain.output[full - (goes_on - stands) :]
    n = min(rest.size, same.size)
    assert n > result.output_rate
    assert np.array_equal(rest[:n], same[:n])
    assert not rest[n:].any()
    return paused


@pytest.mark.parametrize(
    "by",
    [
        Line(4.0, "mm-hm"),
        Line(4.013, "yeah"),
        Line(5.0, "uh-huh okay", 0.6),
        Noise(4.0, 0.3),
        Noise(4.007, 0.6),
    ],
    ids=["mm-hm", "yeah", "uh-huh okay", "cough", "door"],
)
def test_a_backchannel_or_a_noise_pauses_the_reply_and_it_goes_on_from_the_exact_sample(by: Line | Noise) -> None:
    result = _disturbed(by)
    assert 0.0 < _goes_on(result, by) < 1.5
    assert not result.of("barge-in")
    said = isinstance(by, Line)
    assert [(one.text, one.reason) for one in result.of("rejected")] == [
        (by.text if isinstance(by, Line) else "", "backchannel" if said else "no-words")
    ]
    assert [one.reason for one in result.turn_ends("user")] == ["complete", "backchannel" if said else "no-words"]
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert result.metrics["false_alarms"] == 1.0


@pytest.mark.parametrize("by", [Noise(4.0, 0.15), Line(4.003, "mm", 0.2)], ids=["knock", "mm"])
def test_a_short_sound_only_lowers_the_reply(by: Line | Noise) -> None:
    result = _disturbed(by)
    assert _goes_on(result, by) == 0.0
    assert np.count_nonzero(result.output) == np.count_nonzero(_plain().output)


def test_a_click_that_is_no_voice_opens_no_turn() -> None:
    result = _disturbed(Noise(4.0, 0.03))
    assert [one.turn for one in result.of("speech-start")] == [0]
    assert not result.of("rejected")
    assert _goes_on(result, Noise(4.0, 0.03)) == 0.0


def test_the_story_of_a_false_alarm_is_told_in_order() -> None:
    result = _disturbed(Line(4.0, "mm-hm"))
    first = next(at for at, one in enumerate(result.events) if one.turn == 1)
    kinds = [kind for kind in names(result.events[first:]) if kind not in ("audio-chunk", "llm-token")]
    assert kinds == [
        "speech-start", "partial-transcript", "speech-end", "rejected", "turn-end", "resume", "turn-end", "session-end",
    ]  # fmt: skip


def test_a_reply_disturbed_again_and_again_is_still_played_whole() -> None:
    coughs = [Noise(3.0 + 1.3 * n, 0.3) for n in range(6)]
    result = play(Conversation([ASKS, *coughs], replies=[LONG]), tts=Voices())
    check_story(result)
    assert len(result.of("resume")) == 6
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert joined(result.events, type(result.of("llm-token")[0]), 0) == LONG
    longer = result.turn_ends("assistant")[0].t - _plain().turn_ends("assistant")[0].t
    assert abs(longer - sum(one.paused_ms for one in result.of("resume")) / 1000) <= 7 * BLOCK_SECONDS


def test_a_sound_without_words_and_without_a_reply_ends_with_an_event() -> None:
    result = play(Conversation([Noise(1.0, 0.6)], more=3.0, settings={"not_understood": None}))
    check_story(result)
    assert [one.reason for one in result.of("rejected")] == ["no-words"]
    assert [(one.reason, one.latency) for one in result.turn_ends("user")] == [("no-words", None)]
    assert not result.of("final-transcript", "llm-token", "error")
    assert result.history == ()


def test_a_backchannel_in_the_last_moment_does_not_hold_the_end_back() -> None:
    end = _plain().turn_ends("assistant")[0].t
    for before in (0.05, 0.15, 0.25, 0.4):
        result = _disturbed(Line(end - before, "mm-hm"))
        assert result.turn_ends("assistant")[0].reason == "finished"
        assert result.turn_ends("assistant")[0].t < end + 1.5
