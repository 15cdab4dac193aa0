"""``--omni`` and ``--omni-option``, as `talk` and `serve` understand them."""

from __future__ import annotations

import argparse

import pytest

from locara.cli import omni_options
from locara.errors import ConfigError


def _parsed(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    omni_options.arguments(parser, "your")
    parser.add_argument("--system")
    return parser.parse_args(given)


def test_a_name_alone_stays_a_name() -> None:
    assert omni_options.stage(_parsed("--omni", "moshi")) == "moshi"
    assert omni_options.stage(_parsed()) is None


def test_options_are_read_as_json_where_they_are_json() -> None:
    told = omni_options.stage(
        _parsed(
            "--omni", "m", "--omni-option", "slots=4", "--omni-option", "voice=NATF2", "--omni-option", "fallback=true",
            "--omni-option", "url=ws://h/x?a=b",
        )
    )  # fmt: skip
    assert told == {"model": "m", "slots": 4, "voice": "NATF2", "fallback": True, "url": "ws://h/x?a=b"}


def test_system_is_what_the_model_is_told_of_itself() -> None:
    assert omni_options.stage(_parsed("--omni", "m", "--system", "Be brief.")) == {
        "model": "m",
        "instructions": "Be brief.",
    }


@pytest.mark.parametrize(
    "given",
    [("--omni-option", "a=b"), ("--omni", "m", "--omni-option", "voice"), ("--omni", "m", "--omni-option", "=x")],
)
def test_what_means_nothing_is_refused_with_an_example(given: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        omni_options.stage(_parsed(*given))
    assert refused.value.hint
