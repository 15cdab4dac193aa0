"""What a first conversation offers, in which words, and what is remembered of the answer."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from locara.catalog.proposing import Choice, Proposal
from locara.catalog.pulling import Progress
from locara.cli import offering
from locara.cli.first_run import Teller, may_offer, open_stages
from locara.cli.offering import Offer, better, lines, progress_line, question

NOW = Choice("tts", "espeak-ng", "eSpeak NG", "embedded", "GPL-3.0-or-later", worth=10)
KOKORO = Choice(
    "tts", "kokoro-82m", "Kokoro", "download", "Apache-2.0", memory=600_000_000, guessed=True, download=340_000_000,
    status="experimental", worth=84,
)  # fmt: skip
STT = replace(KOKORO, stage="stt", model="moonshine", licence="MIT", flags=("use-restricted",), download=120_000_000)


def proposal(*choices: Choice) -> Proposal:
    return Proposal(choices, (), None)


def test_what_is_clearly_better_is_offered_and_nothing_else() -> None:
    assert better(proposal(NOW), proposal(KOKORO), proposal(KOKORO)) == Offer((KOKORO,))
    assert better(proposal(NOW), proposal(replace(KOKORO, worth=19)), proposal(NOW)) is None
    here = replace(KOKORO, source="on disk")
    assert better(proposal(here), proposal(here), proposal(here)) is None


def test_an_extra_is_only_told_of_where_nothing_can_be_fetched() -> None:
    wants = replace(KOKORO, extra="kokoro")
    offer = better(proposal(NOW), proposal(NOW), proposal(wants))
    assert offer == Offer((), (wants,))
    assert 'pip install "locara[kokoro]"' in lines(offer)[-1]
    assert better(proposal(NOW), proposal(KOKORO), proposal(wants)) == Offer((KOKORO,))


def test_each_model_is_shown_with_size_licence_flags_and_status() -> None:
    assert lines(Offer((STT, KOKORO))) == [
        "A better set fits this machine:",
        "  stt  moonshine: 120 MB, MIT (use-restricted), about 600 MB of memory, not tried by us with its real weights",
        "  tts  kokoro-82m: 340 MB, Apache-2.0, about 600 MB of memory, not tried by us with its real weights",
    ]
    assert "(460 MB)" in question(Offer((STT, KOKORO)))
    assert "an unknown size" in question(Offer((replace(STT, download=None),)))


def test_a_no_is_remembered_for_this_set_only(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert offering.declined(folder) == frozenset()
    offering.remember_declined(folder, Offer((STT, KOKORO)))
    offering.remember_declined(folder, Offer((STT, KOKORO)))
    assert offering.declined(folder) == {"kokoro-82m moonshine"}
    assert Offer((KOKORO, STT)).key in offering.declined(folder)
    assert Offer((KOKORO,)).key not in offering.declined(folder)
    for wrong in ("", "[]", '{"declined": 3}', "\x00"):
        (folder / offering.STATE).write_text(wrong)
        assert offering.declined(folder) == frozenset()


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (("m", 1, 1, 0, None, None), "m"),
        (("m", 1, 2, 153_000_000, 340_000_000, 5_100_000.0), "m 1/2  45 %  153 MB of 340 MB  5 MB/s  0:37"),
        (("m", 1, 1, 5_000_000, None, 0.0), "m  5 MB"),
        (("m", 1, 1, 10, 10, 9e9), "m  100 %  0 kB of 0 kB  9.0 GB/s"),
    ],
)
def test_progress_is_one_line_of_what_is_known(facts: Any, line: str) -> None:
    assert progress_line(*facts) == line


def test_progress_is_told_now_and_then_with_the_speed_of_the_last_seconds() -> None:
    told: list[str] = []
    clock = iter([0.0, 0.1, 0.5, 10.0, 10.1])
    teller = Teller(1, 1, told.append, lambda: next(clock))
    for done in (0, 1, 2_000_000, 4_000_000):
        teller.tell(Progress("m", "downloading", done, 8_000_000))
    teller.tell(Progress("m", "retrying", 0, 8_000_000, note="trying again"))
    assert told == [
        "m   0 %  0 kB of 8 MB",
        "m  25 %  2 MB of 8 MB  4 MB/s  0:02",
        "m  50 %  4 MB of 8 MB",
        "m   0 %  0 kB of 8 MB  trying again",
    ]


def options(**more: Any) -> argparse.Namespace:
    given = {"omni": None, "pace": "realtime", "json": False, "yes": False, "stt": None, "llm": None, "tts": None}
    return argparse.Namespace(**{**given, **more})


@pytest.mark.parametrize(
    ("more", "terminal", "live", "environment", "may"),
    [
        ({}, True, True, {}, True),
        ({}, False, True, {}, False),
        ({}, True, False, {}, False),
        ({"yes": True}, False, False, {}, True),
        ({"json": True, "yes": True}, True, True, {}, False),
        ({"omni": "moshi"}, True, True, {}, False),
        ({"pace": "simulated", "yes": True}, True, True, {}, False),
        ({}, True, True, {"LOCARA_OFFLINE": "1"}, False),
        ({"yes": True}, True, True, {"HF_HUB_OFFLINE": "1"}, False),
        ({}, True, True, {"LOCARA_NO_OFFER": "1"}, False),
        ({"yes": True}, True, True, {"LOCARA_NO_OFFER": "1"}, True),
    ],
)
def test_nobody_is_asked_where_nobody_can_answer(
    more: dict[str, Any], terminal: bool, live: bool, environment: dict[str, str], may: bool
) -> None:
    assert may_offer(options(**more), terminal=terminal, live=live, environment=environment) is may


def test_only_stages_that_nobody_chose_are_open() -> None:
    assert open_stages(options(tts="espeak-ng"), {}) == ("stt", "llm")
    assert open_stages(options(), {"llm": {"engine": "openai-compatible"}}) == ("stt", "tts")
