"""Pauses inside a turn: who stops for a breath is not answered, and what was prepared for half a sentence is thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from locara.audio import RATE
from locara.engines.contracts import Message
from locara.testing import (
    Conversation,
    Fault,
    Line,
    Noise,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedTurnDetector,
    ScriptedVoice,
    play,
)
from locara.voice.endings import PATIENCE, silence_needed
from locara.voice.history import Said

from .scenes import check_story, joined, spoken

FIRST = Line(1.0, "i want something")
WHOLE = "i want something nice for two people please"


def _after(pause: float, text: str = "nice for two people please") -> list[Line]:
    return [FIRST, Line(FIRST.end + pause, text)]


@pytest.mark.parametrize("pause", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_a_pause_shorter_than_patience_is_one_turn(pause: float) -> None:
    model = ScriptedModel(["A table for two it is."])
    result = play(Conversation(_after(pause)), llm=model)
    check_story(result)
    assert result.texts("final-transcript") == [WHOLE]
    assert [one.turn for one in result.turn_ends("user")] == [0]
    assert [one.reason for one in result.turn_ends("user")] == ["complete"]
    assert joined(result.events, type(result.of("llm-token")[0]), 0) == "A table for two it is."
    assert result.history[0] == Said(0, "user", WHOLE)


def test_what_was_prepared_in_the_pause_is_counted_and_never_heard() -> None:
    def answers(messages: Sequence[Message]) -> str:
        return "You would like what?" if messages[-1].content == "i want something" else "A table for two it is."

    model = ScriptedModel(answers)
    result = play(Conversation(_after(0.5)), llm=model, tts=ScriptedVoice())
    check_story(result)
    assert [one[-1].content for one in model.asked] == ["i want something", WHOLE]
    assert result.metrics["wasted"] == 1.0
    assert result.metrics["prepared"] == 2.0
    assert joined(result.events, type(result.of("llm-token")[0]), 0) == "A table for two it is."
    assert {one.revision for one in result.of("partial-transcript")} == {0, 1}
    chunks = "".join(one.text for one in result.of("audio-chunk"))
    assert chunks == "A table for two it is."


def test_a_breath_in_the_pause_does_not_throw_the_prepared_reply_away() -> None:
    talk = Conversation([Line(1.0, "what time is it now"), Noise(2.36 + 0.3, 0.1)], replies=["It is noon."])
    result = play(talk)
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it now"]
    assert result.metrics["wasted"] == 0.0
    assert result.metrics["prepared"] == 1.0


@pytest.mark.parametrize("pause", [0.8, 1.0, 1.5])
def test_a_turn_that_was_decided_too_early_is_taken_up_again(pause: float) -> None:
    model = ScriptedModel(["Fine."], first_token=2.5)
    result = play(Conversation(_after(pause)), llm=model)
    check_story(result)
    assert result.texts("final-transcript") == [WHOLE]
    assert [one.turn for one in result.of("final-transcript")] == [0]
    assert [one.turn for one in result.turn_ends("user")] == [0]
    assert [one.turn for one in result.turn_ends("assistant")] == [0]
    assert result.metrics["wasted"] == 1.0
    assert [one.role for one in result.history if isinstance(one, Said)] == ["user", "assistant"]


def test_a_turn_taken_up_again_whose_words_come_late_is_still_one() -> None:
    talk = Conversation(_after(0.9), replies=["Fine."])
    result = play(talk, stt=ScriptedRecogniser(spoken(talk), final_delay=1.2, partials=False))
    check_story(result)
    assert result.texts("final-transcript") == [WHOLE]


def test_a_pause_longer_than_patience_is_two_turns() -> None:
    result = play(Conversation(_after(2.5), replies=["You would like what?", "A table it is."]))
    check_story(result)
    assert result.texts("final-transcript") == ["i want something", "nice for two people please"]
    assert [one.turn for one in result.turn_ends("assistant")] == [0, 1]


def test_an_unfinished_sentence_is_waited_for_longer_than_a_finished_one() -> None:
    ends = {}
    for text in ("tell me the time right now", "tell me something", "i want to know the"):
        line = Line(1.0, text)
        result = play(Conversation([line], replies=["Fine."]))
        check_story(result)
        ends[text] = result.turn_ends("user")[0].latency.endpoint
    finished, unsure, hanging = ends.values()
    assert 0.4 <= finished <= 0.5
    assert 0.6 <= unsure <= 0.8
    assert hanging >= 1.3


def test_who_sounds_finished_is_answered_sooner_and_who_does_not_is_waited_for() -> None:
    waits = []
    for chance in (0.97, 0.5, 0.1):
        detector = ScriptedTurnDetector([chance])
        talk = Conversation(
            [Line(1.0, "tell me the time right now")], replies=["Noon."], settings={"turn_detection": detector}
        )
        result = play(talk)
        check_story(result)
        waits.append(result.turn_ends("user")[0].latency.endpoint)
        assert len(detector.asked) == 1
        assert 1.6 < detector.asked[0].size / RATE < 2.2  # the turn, with what pause there was
    assert 0.2 <= waits[0] <= 0.26 < waits[1] < waits[2] - 0.5


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_an_end_of_turn_model_that_fails_is_told_once_and_the_conversation_goes_on(kind: Any) -> None:
    detector = ScriptedTurnDetector(fault=Fault(kind, "finished", lasting=True))
    lines = [Line(1.0, "what time is it now"), Line(5.0, "and what day is it")]
    result = play(Conversation(lines, replies=["Noon.", "Monday."], settings={"turn_detection": detector}))
    assert result.texts("final-transcript") == [one.text for one in lines]
    assert [one.stage for one in result.of("error")] == ["turn"]


@pytest.mark.parametrize("patience", PATIENCE)
def test_patience_is_a_setting(patience: str) -> None:
    finished = silence_needed("what time is it now", PATIENCE[patience])
    talk = Conversation([Line(1.0, "what time is it now")], replies=["It is noon."], settings={"patience": patience})
    latency = play(talk).turn_ends("user")[0].latency
    assert finished <= latency.endpoint <= finished + 0.04


def test_many_pauses_make_one_turn_and_one_reply() -> None:
    words = ["well i was", "thinking about", "whether you know", "what time it is now"]
    lines, now = [], 1.0
    for text in words:
        lines.append(Line(now, text))
        now = lines[-1].end + 0.35
    model = ScriptedModel(["It is noon."])
    result = play(Conversation(lines), llm=model)
    check_story(result)
    assert result.texts("final-transcript") == [" ".join(words)]
    assert result.metrics["prepared"] - result.metrics["wasted"] == 1.0
    assert len(result.turn_ends("assistant")) == 1


def test_a_turn_that_never_ends_is_ended_after_two_minutes() -> None:
    line = Line(0.5, "well " * 200, 130.0)
    result = play(Conversation([line], replies=["You talk a lot."]))
    check_story(result)
    first = result.turn_ends("user")[0]
    assert first.reason == "too-long"
    assert 120.0 <= first.t <= 125.0
    assert len([one for one in result.of("speech-start") if one.turn == 0]) == 1
