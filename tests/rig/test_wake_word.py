"""Wake-word mode in whole conversations: who is listened to, from where on, until when, and what goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from locara.audio import RATE
from locara.testing import Conversation, Fault, Line, Noise, Result, ScriptedModel, ScriptedWakeWord, play
from locara.voice.attention import FOLLOW_UP_SECONDS

from .scenes import LONG, NotingRecogniser, Voices, at_times, check_story, spoken


def attention(result: Result) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in result.of("attention")]


def played(*lines: Line | Noise, replies: Any = ("Fine.",), more: float | None = None, **options: Any) -> Result:
    settings = options.pop("settings", {})
    talk = Conversation(lines, replies=replies, more=more, settings=settings)
    result = play(talk, wake=options.pop("wake", None) or ScriptedWakeWord(), **options)
    check_story(result)
    return result


def test_words_in_the_same_breath_are_the_turn_and_the_wake_word_is_not_given_to_the_model() -> None:
    model = ScriptedModel(["Noon."])
    result = played(Line(1.0, "hey jarvis what time is it"), llm=model)
    assert result.texts("final-transcript") == ["what time is it"]
    assert model.asked[-1][-1].content == "what time is it"
    assert [(one.role, one.text) for one in result.history] == [("user", "what time is it"), ("assistant", "Noon.")]  # type: ignore[union-attr]
    assert attention(result) == [("waiting", "started"), ("attentive", "wake-word")]


def test_the_recogniser_gets_the_sound_from_the_end_of_the_word_on_and_none_before() -> None:
    talk = Conversation([Line(0.5, "tell him that we are late"), Line(4.0, "hey jarvis what time is it")])
    ears, wake = NotingRecogniser(spoken(talk)), ScriptedWakeWord()
    result = play(talk, stt=ears, wake=wake)
    check_story(result)
    (end,) = wake.ends()
    assert len(ears.given) == 1
    sound = ears.sound(0)
    found = [
        at for at in range(result.input.size - sound.size) if np.array_equal(result.input[at : at + sound.size], sound)
    ]
    assert found
    assert abs(found[0] / RATE - end) <= 0.05
    assert wake.given >= result.input.size - wake.window, "the engine hears everything"


def test_talk_that_is_not_meant_for_it_is_not_recognised_and_not_told() -> None:
    talk = Conversation([Line(1.0, "tell him that we are late"), Noise(5.0, 4.0)], more=2.0)
    ears = NotingRecogniser(spoken(talk))
    result = play(talk, stt=ears, wake=ScriptedWakeWord())
    assert not ears.given
    assert [one.type for one in result.events] == ["session-start", "attention", "session-end"]


def test_the_word_and_then_a_pause() -> None:
    result = played(Line(1.0, "hey jarvis"), Line(4.0, "what time is it"))
    assert result.texts("final-transcript") == ["what time is it"]
    assert not result.of("rejected")


def test_a_follow_up_needs_no_word_and_after_it_the_session_waits_again() -> None:
    late = 12.0 + FOLLOW_UP_SECONDS
    result = played(
        Line(1.0, "hey jarvis what time is it"),
        Line(5.0, "and what day is it"),
        Line(late, "somebody else says this"),
        Line(late + 4.0, "hey jarvis good night"),
        replies=["Noon.", "Sunday.", "Good night."],
    )
    assert result.texts("final-transcript") == ["what time is it", "and what day is it", "good night"]
    assert attention(result)[1:] == [
        ("attentive", "wake-word"),
        ("waiting", "follow-up-over"),
        ("attentive", "wake-word"),
    ]
    second = result.turn_ends("assistant")[1].t
    lost = next(one.t for one in result.of("attention") if one.reason == "follow-up-over")
    assert abs(lost - second - FOLLOW_UP_SECONDS) < 0.1


def test_the_follow_up_lasts_as_long_as_it_is_set_to() -> None:
    result = played(
        Line(1.0, "hey jarvis what time is it"),
        Line(8.0, "and what day is it"),
        replies=["Noon."],
        settings={"attention": {"follow_up": 2.0}},
    )
    assert result.texts("final-transcript") == ["what time is it"]


def test_the_assistant_is_interrupted_without_the_wake_word() -> None:
    result = played(
        Line(0.5, "hey jarvis tell me all about it"),
        Line(5.5, "stop that now please"),
        replies=[LONG, "Sorry."],
        tts=Voices(),
    )
    assert len(result.of("barge-in")) == 1
    assert result.texts("final-transcript")[-1] == "stop that now please"


def test_the_assistant_is_interrupted_by_its_name_alone() -> None:
    result = played(
        Line(0.5, "hey jarvis tell me all about it"), Line(5.5, "hey jarvis"), replies=[LONG, "Yes?"], tts=Voices()
    )
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted"]
    assert result.texts("final-transcript") == ["tell me all about it"], "the name alone is no turn"


def test_what_the_app_says_can_be_answered_without_the_word() -> None:
    result = played(
        Line(4.5, "how long has it been ready"),
        replies=["A minute."],
        acts=at_times((1.0, lambda session: session.say("Your tea is ready."))),
    )
    assert attention(result)[1] == ("attentive", "assistant")
    assert result.texts("final-transcript") == ["how long has it been ready"]


def test_a_muted_microphone_hears_no_wake_word() -> None:
    result = played(
        Line(1.0, "hey jarvis what time is it"), acts=at_times((0.2, lambda session: session.mute())), more=2.0
    )
    assert attention(result) == [("waiting", "started")]


def test_an_engine_that_breaks_is_told_once_and_the_key_still_works() -> None:
    wake = ScriptedWakeWord(fault=Fault("raises", "probability", call=20))
    result = played(
        Line(2.0, "what time is it"),
        wake=wake,
        acts=at_times((1.8, lambda s: s.push_to_talk.press()), (3.4, lambda s: s.push_to_talk.release())),
        more=4.0,
    )
    assert [(one.stage, one.fatal) for one in result.of("error")] == [("wake", False)]
    assert result.texts("final-transcript") == ["what time is it"]


def test_the_plan_names_the_word() -> None:
    result = played(Line(0.5, "hey jarvis hello"))
    assert result.events[0].plan["wake"]["model"] == "scripted wake word"  # type: ignore[attr-defined]


def test_the_same_conversation_gives_the_same_events() -> None:
    lines = (Line(1.0, "hey jarvis what time is it"), Line(6.0, "and tomorrow"))
    assert played(*lines).events == played(*lines).events
