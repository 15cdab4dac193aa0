"""The user speaks while the assistant does, and means it: the reply ends, and what was heard is known to the word."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from locara.engines.contracts import Message
from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, play
from locara.voice.history import INTERRUPTED, Said

from .scenes import LONG, NotingDetector, Voices, at, check_story, during, first_audible, names, squeeze

SILENT_AFTER = 0.06
CHARS = 15.0


def _talk(words: str, when: float = 4.0) -> Conversation:
    return Conversation([Line(0.5, "tell me all about it"), Line(when, words)], replies=[LONG, "All right then."])


def _true_words(heard_seconds: float, texts: Sequence[str]) -> int:
    """How many words of what the voice was given had begun after so much of it was heard: each character of a scripted
    voice takes as long as any other."""
    words = 0
    for text in texts:
        for word in re.finditer(r"\S+", text):
            words += word.start() / CHARS < heard_seconds
        heard_seconds -= len(text) / CHARS
    return words


@pytest.mark.parametrize(
    "words", ["stop", "wait", "no", "hold on a second", "what about the other one", "i want to know something else"]
)
def test_words_that_want_the_floor_get_it(words: str) -> None:
    result = play(_talk(words), tts=Voices())
    check_story(result)
    barge = result.of("barge-in")
    assert len(barge) == 1
    assert barge[0].turn == 0
    assert barge[0].t <= 4.0 + 1.2, "within a word or two"
    start = barge[0].t
    assert not during(result, start + SILENT_AFTER, start + 0.3).any()
    assert result.turn_ends("assistant")[0].reason == "interrupted"
    assert result.turn_ends("assistant")[0].t == start
    assert result.texts("final-transcript") == ["tell me all about it", words]
    tokens = "".join(one.text for one in result.of("llm-token") if one.turn == 1)
    assert tokens == "All right then."
    assert not result.of("rejected", "resume")


@pytest.mark.parametrize("word_times", [True, False], ids=["word times", "no word times"])
@pytest.mark.parametrize("when", [2.6, 2.9, 3.4, 4.05, 5.3, 6.6, 7.77])
def test_the_heard_text_is_right_to_the_word(when: float, word_times: bool) -> None:
    voice = Voices(word_times=word_times)
    result = play(_talk("stop please", when), tts=voice)
    check_story(result)
    barge = result.of("barge-in")[0]
    tokens = "".join(one.text for one in result.of("llm-token") if one.turn == 0)
    assert squeeze(barge.heard_text + barge.unheard_text) == squeeze(tokens)
    assert LONG.startswith(barge.heard_text)
    began = first_audible(result)
    sound = during(result, began, barge.t + SILENT_AFTER)
    truth = np.count_nonzero(sound) / result.output_rate  # this voice is never zero, so what sounded can be counted
    assert abs(barge.heard_ms / 1000 - truth) <= 0.045, "the two fades are heard and not counted"
    heard = len(barge.heard_text.split())
    true = _true_words(truth, voice.spoken)
    assert abs(heard - true) <= 1, f"{heard} words told, {true} heard: {barge.heard_text!r}"


@pytest.mark.parametrize("word_times", [True, False], ids=["word times", "no word times"])
def test_history_and_the_next_request_hold_what_was_heard(word_times: bool) -> None:
    model = ScriptedModel([LONG, "All right then."])
    result = play(_talk("stop please"), llm=model, tts=Voices(word_times=word_times))
    barge = result.of("barge-in")[0]
    entry = result.history[1]
    assert isinstance(entry, Said)
    assert entry == Said(0, "assistant", barge.heard_text, True, barge.unheard_text)
    assert 0 < len(entry.text) < len(LONG)
    asked = model.asked[-1]
    assert asked[-1] == Message("user", "stop please")
    assert asked[-2] == Message("assistant", barge.heard_text + INTERRUPTED)
    assert asked[-3] == Message("user", "tell me all about it")
    assert not any(barge.unheard_text in message.content for message in asked)


@pytest.mark.parametrize("offset", range(0, 20, 3))
def test_the_reply_is_lowered_within_one_block_of_the_voice(offset: int) -> None:
    """From the window in which the detector finds the voice to the block that is played next."""
    detector = NotingDetector()
    when = 4.0 + offset / 1000
    result = play(_talk("what about the other one", when), tts=Voices(), vad=detector)
    plain = play(Conversation([Line(0.5, "tell me all about it")], replies=[LONG]), tts=Voices())
    found = next(one for one in detector.onsets if one / 16_000 > when) / 16_000
    assert found - when <= 0.052, "the detector's own window, and no more"
    # The block after the one in which the window ended is already on its way down, and the next one is down.
    begins, down = (
        at(result, np.ceil(found / 0.02 - 1e-9) * 0.02),
        at(result, np.ceil(found / 0.02 - 1e-9) * 0.02 + 0.02),
    )
    n = at(result, 0.02)
    assert np.array_equal(result.output[begins - n : begins], plain.output[begins - n : begins])
    level = result.output[down : down + n] / plain.output[down : down + n]
    assert np.allclose(level, 10 ** (-15 / 20), rtol=1e-4)
    latency = down / result.output_rate - when
    assert latency <= 0.09, f"{1000 * latency:.0f} ms from the sound to the lowered reply"


def test_voice_without_words_that_goes_on_takes_the_floor() -> None:
    talk = Conversation([Line(0.5, "tell me all about it"), Noise(4.0, 1.6)], replies=[LONG])
    result = play(talk)
    check_story(result)
    assert 4.9 <= result.of("barge-in")[0].t <= 5.1, "nine tenths of a second of voice"
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted", "finished"]
    assert [getattr(one, "text", "") for one in result.history][-1] == "Sorry, I didn't catch that."
    assert [one.reason for one in result.turn_ends("user")] == ["complete", "no-words"]
    assert [one.reason for one in result.of("rejected")] == ["no-words"]


def test_a_reply_that_was_not_heard_yet_is_not_barged_into() -> None:
    talk = Conversation(
        [Line(0.5, "tell me all about it"), Line(2.9, "and quickly now please")], replies=[LONG, "In short, no."]
    )
    result = play(talk, llm=ScriptedModel([LONG, "In short, no."], first_token=2.0))
    check_story(result)
    assert not result.of("barge-in")
    assert result.texts("final-transcript") == ["tell me all about it and quickly now please"]


def test_two_interruptions_in_a_row_are_two_turns() -> None:
    talk = Conversation(
        [Line(0.5, "tell me all about it"), Line(4.0, "stop please now"), Line(7.5, "no tell me the end")],
        replies=[LONG, LONG, "The end is good."],
    )
    result = play(talk)
    check_story(result)
    assert [one.turn for one in result.of("barge-in")] == [0, 1]
    assert result.texts("final-transcript") == ["tell me all about it", "stop please now", "no tell me the end"]
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted", "interrupted", "finished"]
    assert _roles(result) == ["user", "assistant", "user", "assistant", "user", "assistant"]


def test_a_barge_in_in_the_last_word_leaves_nothing_unheard_behind() -> None:
    reply = "It is noon."
    whole = play(Conversation([Line(0.5, "what time is it now")], replies=[reply]))
    end = whole.turn_ends("assistant")[0].t
    for before in (0.0, 0.04, 0.1, 0.2, 0.3):
        talk = Conversation(
            [Line(0.5, "what time is it now"), Line(end - before, "stop please")], replies=[reply, "Ok."]
        )
        result = play(talk)
        check_story(result)
        assert result.texts("final-transcript") == ["what time is it now", "stop please"]
        assert names(result.of("turn-end")) == ["turn-end"] * 4
        said = [one for one in result.history if isinstance(one, Said)]
        assert squeeze(said[1].text + said[1].unheard) == squeeze(reply)


def _roles(result: Result) -> list[str]:
    return [one.role for one in result.history if isinstance(one, Said)]
