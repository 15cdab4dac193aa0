"""Nobody understood it: whole conversations in which the session asks back, once, and the model knows that it did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, ScriptedVoice, play
from locara.voice.history import NOT_UNDERSTOOD
from locara.voice.misheard import SENTENCES

from .scenes import at_times, check_story, first_audible

SORRY = SENTENCES["en"]


def played(*lines: Line | Noise, replies: Any = ("Fine.",), more: float | None = None, **options: Any) -> Result:
    settings = options.pop("settings", {})
    result = play(Conversation(lines, replies=replies, more=more, settings=settings), **options)
    check_story(result)
    return result


def asked(result: Result) -> int:
    return sum(getattr(one, "text", "") == SORRY for one in result.history)


def test_a_mumble_is_asked_back_and_what_is_then_said_is_answered() -> None:
    model = ScriptedModel(["Noon."])
    result = played(Noise(1.0, 1.0), Line(6.0, "what time is it"), llm=model)
    assert [one.reason for one in result.of("rejected")] == ["no-words"]
    said = [(one.role, one.text) for one in result.history]  # type: ignore[union-attr]
    assert said == [("user", ""), ("assistant", SORRY), ("user", "what time is it"), ("assistant", "Noon.")]
    told = [(one.role, one.content) for one in model.asked[-1] if one.role != "system"]
    assert told == [("user", NOT_UNDERSTOOD), ("assistant", SORRY), ("user", "what time is it")]


def test_it_is_heard_after_the_pause_that_people_make() -> None:
    result = played(Noise(1.0, 1.0), more=5.0)
    (end,) = result.turn_ends("user")
    assert 0.7 <= first_audible(result) - end.speech_end <= 1.2


def test_noise_that_sounds_like_a_voice_does_not_make_it_a_parrot() -> None:
    result = played(*(Noise(1.0 + 5.0 * number, 1.0) for number in range(5)), more=4.0)
    assert len(result.of("rejected")) == 5
    assert asked(result) == 1


def test_after_an_answered_turn_it_asks_again() -> None:
    result = played(Noise(1.0, 1.0), Line(6.0, "what time is it"), Noise(11.0, 1.0), more=4.0)
    assert asked(result) == 2


@pytest.mark.parametrize("not_understood", [None, ""])
def test_switched_off_nothing_is_said(not_understood: str | None) -> None:
    result = played(Noise(1.0, 1.0), more=4.0, settings={"not_understood": not_understood})
    assert not result.of("llm-token", "audio-chunk")
    assert not result.history


def test_the_apps_own_words_are_said() -> None:
    result = played(Noise(1.0, 1.0), more=4.0, settings={"not_understood": "Pardon?"})
    assert result.texts("llm-token") == ["Pardon?"]


def test_a_recording_ends_after_it_was_asked() -> None:
    result = played(Noise(1.0, 1.0))
    assert asked(result) == 1
    assert result.of("session-end")[0].reason == "input-ended"


def test_who_speaks_while_it_is_being_said_has_the_floor() -> None:
    result = played(Noise(1.0, 1.0), Line(3.3, "what time is it"), more=4.0)
    assert result.texts("final-transcript") == ["what time is it"]
    assert result.of("barge-in")


class Deutsch(ScriptedVoice):
    """Says that it speaks German."""

    language = "de"


def test_another_voice_asks_in_its_own_language() -> None:
    async def change(session: Any) -> None:
        await asyncio.sleep(5.0)
        await session.change(tts=Deutsch())

    model = ScriptedModel(["Fine."])
    result = played(Noise(1.0, 1.0), Line(6.0, "good morning"), Noise(10.0, 1.0), more=4.0, llm=model, acts=change)
    texts = [one.text for one in result.history if getattr(one, "role", "") == "assistant"]  # type: ignore[union-attr]
    assert texts == [SORRY, "Fine.", SENTENCES["de"]]


def test_a_key_that_is_held_in_silence_asks_nothing() -> None:
    acts = at_times(
        (1.0, lambda session: session.push_to_talk.press()), (2.5, lambda session: session.push_to_talk.release())
    )
    result = played(more=8.0, acts=acts, settings={"attention": "push-to-talk"})
    assert [one.reason for one in result.turn_ends("user")] == ["no-words"]
    assert not result.of("audio-chunk")
