"""Nobody speaks: the app is told, and the session asks once."""

from __future__ import annotations

from typing import Any

from locara.testing import Conversation, Line, Result, play

from .scenes import at_times, check_story

PROMPT = "Are you still there?"


def played(*lines: Line, more: float, **options: Any) -> Result:
    settings = {"idle": 3.0, "idle_prompt": PROMPT, **options.pop("settings", {})}
    result = play(Conversation(lines, replies=["Fine."], more=more, settings=settings), **options)
    check_story(result)
    return result


def prompts(result: Result) -> int:
    return sum(one.text == PROMPT for one in result.history if hasattr(one, "text"))


def test_silence_is_told_from_the_last_sound_of_either_side_and_the_prompt_is_heard_once() -> None:
    result = played(Line(0.5, "good morning"), more=16.0)
    ends = [one.t for one in result.turn_ends("assistant")]
    idle = result.of("user-idle")
    assert abs(idle[0].t - ends[0] - 3.0) < 0.05
    assert abs(idle[1].t - ends[1] - 3.0) < 0.05
    assert [one.count for one in idle] == list(range(1, len(idle) + 1))
    assert prompts(result) == 1


def test_an_answer_to_the_prompt_is_a_turn_and_the_next_silence_asks_again() -> None:
    result = played(Line(0.5, "good morning"), Line(8.5, "yes I am still here"), more=8.0)
    assert result.texts("final-transcript") == ["good morning", "yes I am still here"]
    assert prompts(result) == 2
    assert [one.count for one in result.of("user-idle")][:2] == [1, 1]


def test_without_a_prompt_there_are_only_events() -> None:
    result = played(more=10.0, settings={"idle_prompt": None})
    assert [round(one.seconds) for one in result.of("user-idle")] == [3, 6, 9]
    assert not result.history


def test_nobody_is_asked_while_the_microphone_is_muted() -> None:
    result = played(more=8.0, acts=at_times((1.0, lambda session: session.mute())))
    assert not result.of("user-idle")


def test_without_the_setting_nothing_is_told() -> None:
    result = played(Line(0.5, "good morning"), more=40.0, settings={"idle": None, "idle_prompt": None})
    assert not result.of("user-idle")
