"""What a model's name means, and what its engine is told beside it."""

from __future__ import annotations

from typing import Any

import pytest

from locara.catalog.row import Row
from locara.server.rest_errors import Refused
from locara.server.rest_models import Models
from locara.server.rest_names import language_of, options_of_language, options_of_words, with_options


def row(*languages: str, engine: str = "some") -> Row:
    return Row("some-model", "stt", "Some", "MIT", "works", engine=engine, languages=languages)


def test_only_a_model_of_several_languages_is_told_one() -> None:
    assert options_of_language(row("en"), "en-GB") == {}
    assert options_of_language(row("en", "de"), "de") == {"language": "de"}
    assert options_of_language(row("mul"), "sw") == {"language": "sw"}
    assert options_of_language(None, "de") == {}
    with pytest.raises(Refused, match="does not know the language fr, only en, de"):
        options_of_language(row("en", "de"), "fr")


def test_the_language_of_a_transcript_is_told_where_it_is_known() -> None:
    assert language_of(row("en", "de"), "de") == "de"
    assert language_of(row("de"), "") == "de"
    assert language_of(row("en", "de"), "") == ""
    assert language_of(None, "") == ""


def test_word_times_are_asked_of_the_engine_that_has_to_be_asked() -> None:
    assert options_of_words(row("en", engine="faster-whisper")) == {"word_times": True}
    assert options_of_words(row("en")) == {}


def test_options_come_into_a_stage_however_it_was_named() -> None:
    assert with_options("a", {"language": "de"}) == {"model": "a", "language": "de"}
    assert with_options({"model": "a", "threads": 2}, {"language": "de"}) == {
        "model": "a",
        "threads": 2,
        "language": "de",
    }
    with pytest.raises(Refused, match="takes no voice"):
        with_options(object(), {"voice": "x"})


@pytest.mark.parametrize(
    ("own", "name", "stage"),
    [
        (None, "whisper-1", None),
        (None, "pocketsphinx", None),
        (None, "pocketsphinx-en-us", None),
        ("pocketsphinx", "default", "pocketsphinx"),
        ({"model": "pocketsphinx", "deadline": 5}, "pocketsphinx-en-us", {"model": "pocketsphinx", "deadline": 5}),
        (None, "whisper-tiny.en", "whisper-tiny.en"),
    ],
)
def test_what_is_named_in_another_way_is_the_same_loaded_copy(own: Any, name: str, stage: Any) -> None:
    assert Models({} if own is None else {"stt": own}).choose("stt", name).stage == stage
