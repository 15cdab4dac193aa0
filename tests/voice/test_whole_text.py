"""Text in pieces comes out as whole characters, wherever it was cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from locara.voice.events import ToolCalled, to_json
from locara.voice.spoken import Spoken
from locara.voice.whole_text import WholeText, whole


def test_an_emoji_that_was_cut_between_its_halves_is_one_character() -> None:
    text = WholeText()
    assert [text.push("Hi \ud83d"), text.push("\ude00!"), text.flush()] == ["Hi ", "\U0001f600!", ""]


def test_a_half_that_nothing_follows_is_a_replacement_character() -> None:
    text = WholeText()
    assert [text.push("a\ude00b"), text.push("c\ud83d"), text.push("d"), text.push("\ud83d"), text.flush()] == [
        "a\ufffdb",
        "c",
        "\ufffdd",
        "",
        "\ufffd",
    ]


@given(st.text(st.characters(exclude_categories=())), st.lists(st.integers(0, 40)))
def test_what_comes_out_can_be_written_and_does_not_depend_on_where_it_was_cut(said: str, cuts: list[int]) -> None:
    text = WholeText()
    ends = sorted(min(cut, len(said)) for cut in cuts)
    pieces = [said[a:b] for a, b in zip([0, *ends], [*ends, len(said)], strict=True)]
    got = "".join(text.push(piece) for piece in pieces) + text.flush()
    assert got == whole(said)
    got.encode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_that_is_whole_stays_as_it_is(said: str) -> None:
    assert whole(said) == said


def test_a_reply_tells_its_last_half_too() -> None:
    spoken = Spoken(1, 24_000, 24_000)
    said = [*spoken.say("\ud83d"), *spoken.say("\ude00 ok \ud83d"), *spoken.finish()]
    assert "".join(getattr(one, "text", "") for one in said if type(one).__name__ == "Told") == "\U0001f600 ok \ufffd"


def test_every_event_can_be_written_as_json_whatever_a_model_asked_of_a_tool() -> None:
    event = ToolCalled(t=0.0, turn=1, name="\ud800", arguments={"\udc00": ["\ud83d\ude00", {"a": "\ud83d"}]})
    told = json.dumps(to_json(event), ensure_ascii=False).encode()
    assert json.loads(told)["arguments"] == {"\ufffd": ["\U0001f600", {"a": "\ufffd"}]}
