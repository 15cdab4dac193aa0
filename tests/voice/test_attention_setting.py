"""The setting ``attention``: what it may be, and one clear sentence for what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from locara import voice
from locara.errors import ConfigError, EngineMissing
from locara.testing import ScriptedWakeWord
from locara.voice.attention import FOLLOW_UP_SECONDS, MODES
from locara.voice.attention_setting import understood


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_is_named_by_itself_or_in_a_mapping(mode: Any) -> None:
    for setting in (mode, {"mode": mode}):
        got = understood(setting, None, None)
        assert got.mode == mode
        assert (got.wake is not None) == (mode == "wake-word")
        assert got.follow_up == FOLLOW_UP_SECONDS


def test_the_word_may_be_written_in_any_way_and_the_default_is_the_engines() -> None:
    words = ["", "Hey Jarvis", "hey_jarvis", " hey jarvis "]
    engines = [understood({"mode": "wake-word", "word": word}, None, None).wake for word in words]
    assert [engine.word for engine in engines if engine is not None] == ["hey jarvis"] * 4


def test_an_engine_object_brings_its_own_word() -> None:
    engine = ScriptedWakeWord("computer")
    assert understood({"mode": "wake-word", "engine": engine, "follow_up": 3}, None, None).wake is engine


def test_an_engine_is_found_by_its_name() -> None:
    got = understood({"mode": "wake-word", "engine": "micro-wake-word", "threshold": 0.5}, None, None)
    assert got.wake is not None
    assert got.wake.threshold == 0.5


WRONG: list[tuple[Any, float | None, str | None, str]] = [
    ("wakeword", None, None, "'wakeword'"),
    (None, None, None, "None"),
    (True, None, None, "True"),
    ({}, None, None, "no mode"),
    ({"word": "alexa"}, None, None, "no mode"),
    ({"mode": "wake-word", "followup": 3}, None, None, "'followup'"),
    ({"mode": "open", "word": "alexa"}, None, None, "word"),
    ({"mode": "wake-word", "word": 3}, None, None, "3"),
    ({"mode": "wake-word", "engine": object()}, None, None, "object"),
    ({"mode": "wake-word", "engine": ScriptedWakeWord(), "word": "alexa"}, None, None, "own word"),
    ({"mode": "wake-word", "threshold": 2}, None, None, "threshold"),
    ({"mode": "wake-word", "follow_up": 0}, None, None, "follow_up"),
    ({"mode": "wake-word", "follow_up": float("nan")}, None, None, "follow_up"),
    ({"mode": "wake-word", "follow_up": True}, None, None, "follow_up"),
    ("open", 0, None, "idle"),
    ("open", float("inf"), None, "idle"),
    ("open", None, "Still there?", "idle"),
    ("wake-word", 20, None, "never"),
]


@pytest.mark.parametrize(("attention", "idle", "prompt", "names"), WRONG)
def test_what_cannot_be_is_refused_with_the_next_step(
    attention: Any, idle: float | None, prompt: str | None, names: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        voice.session(attention=attention, idle=idle, idle_prompt=prompt, input="none", output="none")
    assert names in caught.value.message
    assert caught.value.hint


def test_an_unknown_word_names_the_known_ones() -> None:
    with pytest.raises(EngineMissing) as caught:
        voice.session(attention={"mode": "wake-word", "word": "hey jervis"}, input="none", output="none")
    assert "did you mean 'hey jarvis'" in caught.value.hint
    assert "okay nabu" in caught.value.hint
