"""The options of ``locara talk`` that say to whom it listens."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from locara.cli import talk
from locara.cli.talk import _attention
from locara.errors import ConfigError


def asked(*options: str) -> Any:
    parser = argparse.ArgumentParser()
    talk.arguments(parser)
    return _attention(parser.parse_args(options))


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ((), {"mode": "open"}),
        (("--attention", "open"), {"mode": "open"}),
        (("--push-to-talk",), {"mode": "push-to-talk"}),
        (("--push-to-talk", "--attention", "push-to-talk"), {"mode": "push-to-talk"}),
        (("--attention", "wake-word"), {"mode": "wake-word"}),
        (("--wake-word", "alexa"), {"mode": "wake-word", "word": "alexa"}),
        (("--attention", "wake-word", "--follow-up", "4"), {"mode": "wake-word", "follow_up": 4.0}),
    ],
)
def test_each_way_to_name_a_mode_means_one_setting(options: tuple[str, ...], setting: dict[str, Any]) -> None:
    assert asked(*options) == setting


@pytest.mark.parametrize(
    "options",
    [
        ("--push-to-talk", "--wake-word", "alexa"),
        ("--attention", "open", "--wake-word", "alexa"),
        ("--attention", "open", "--push-to-talk"),
        ("--push-to-talk", "--follow-up", "4"),
    ],
)
def test_two_modes_at_once_are_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(*options)
    assert " and " in caught.value.message
    assert caught.value.hint
