"""What of a reply is read aloud, and the way back from what is spoken to what was written."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from locara.voice.clauses import Clauses
from locara.voice.marked import Spoken
from locara.voice.speakable import Speakable, speakable


def read_aloud(reply: str) -> list[str]:
    """A whole reply through both: the clauses as they would be spoken."""
    clauses, voice = Clauses(), Speakable()
    spoken = [voice.push(clause).text for clause in [*clauses.push(reply), *clauses.flush()]]
    return [text for text in spoken if text]


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("Hello **World**, this is *fine*.", "Hello World, this is fine."),
        ("__Bold__ and _this_ and ~~that~~.", "Bold and this and that."),
        ("Call `read_file` now", "Call read file now"),
        ("# Title", "Title"),
        ("\n- one", "one"),
        ("\n  * two", "two"),
        ("\n- [x] done", "done"),
        ("\n2. Then this.", "2. Then this."),
        ("> quoted", "quoted"),
        ("---", ""),
        ("Sure! 😊", "Sure!"),
        ("👩‍👩‍👧‍👦❤️🇫🇷", ""),
        ("See https://example.com/a_b?c=d.", "See example dot com."),
        ("See <https://192.168.0.1:80/x>, or www.example.com.", "See a link, or example dot com."),
        ("See [the docs](https://a.b/c_(d)).", "See the docs."),
        ("![A cat](cat.png)", "A cat"),
        ("It is so [1], mostly [2, 3].", "It is so, mostly."),
        ("It is so[^1]【4†source】", "It is so"),
        ("| Name | Age |", "Name, Age"),
        ("|---|:-:|", ""),
        ("\n| a | | b |\n", "a, b"),
        ("<b>Bold</b><br/>and <span class='x'>this</span>", "Bold and this"),
        ("a < b and b > c", "a < b and b > c"),
        ("5 &lt; 6 &amp; more", "5 is less than 6 and more"),
        ("One <think>hm, hm</think> two", "One two"),
        ("Use ```x = 1``` here", "Use code omitted. here"),
        ("a_b \\* c", "a b c"),
        ("C# is #1", "C sharp is number 1"),
        ("\n\n", ""),
        ("...", ""),
        ("", ""),
        ("One\nTwo", "One, Two"),
        ("One.\nTwo", "One. Two"),
    ],
)
def test_markup_is_not_read(clause: str, text: str) -> None:
    assert speakable(clause).text == text


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        ("It is 20°C", "It is 20 degrees Celsius"),
        ("1 °C", "1 degree Celsius"),
        ("about 5 km/h", "about 5 kilometers per hour"),
        ("1 km/h", "1 kilometer per hour"),
        ("1.5 kg, 1 kg", "1.5 kilograms, 1 kilogram"),
        ("6 ft and 50 Hz", "6 feet and 50 hertz"),
        ("12 m² of it", "12 square meters of it"),
        ("50% or 5 %", "50 percent or 5 percent"),
        ("Tom & Ann", "Tom and Ann"),
        ("fruit, e.g. apples", "fruit, for example apples"),
        ("that is, i.e., so", "that is, that is, so"),
        ("apples, etc. And so", "apples, et cetera. And so"),
        ("apples etc., and", "apples et cetera, and"),
        ("cats vs. dogs", "cats versus dogs"),
        ("No. 5", "number 5"),
        ("5–10 days", "5 to 10 days"),
        ("~3 days", "about 3 days"),
        ("2 * 3 = 6", "2 times 3 equals 6"),
        ("x -> y", "x to y"),
        ("$5m and $5 m", "5 million dollars and 5 million dollars"),
    ],
)
def test_signs_and_units_become_words(clause: str, text: str) -> None:
    assert speakable(clause).text == text


@pytest.mark.parametrize(
    "text",
    [
        "Someone paid 3.50 on the 21st.",
        "It's 1,000 people - or so - in the house, isn't it?",
        "No. I don't; you're right (really).",
        "On July 20th, 1,500 well-known men said: yes!",
        "The min and the max are far apart, 3 more.",
        "你好，世界。",
        "Grüße aus Köln, 3 Stück.",
    ],
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert speakable(text) == Spoken(text, ((0, 0), (len(text), len(text))))


def test_another_language_keeps_its_signs() -> None:
    assert speakable("**Brot** & Butter, 5 %, 3 km/h", "de-DE").text == "Brot & Butter, 5 %, 3 km/h"


def test_code_is_named_once_whatever_it_has_in_it() -> None:
    reply = (
        "Here it is:\n\n```python\n# a comment, long enough to be cut\nprint('Hello. World.')\n```\n\nThat is **all**."
    )
    assert read_aloud(reply) == ["Here it is:", "code omitted.", "That is all."]


def test_code_that_never_ends_is_not_read() -> None:
    assert read_aloud("Sure.\n~~~\nx = 1\n\ny = 2. Z") == ["Sure.", "code omitted."]


def test_a_table_is_read_with_commas() -> None:
    reply = "Here:\n\n| City | People |\n|------|-------:|\n| Paris | 2 million |\n| Rome | 3 million |\n"
    assert read_aloud(reply) == ["Here:", "City, People", "Paris, 2 million", "Rome, 3 million"]


def test_a_list_is_read_without_its_marks() -> None:
    assert read_aloud("Take:\n\n- **Flour**: 500 g\n- *Water*\n") == ["Take:", "Flour: 500 grams", "Water"]


def test_thinking_text_over_many_clauses_is_not_read() -> None:
    assert read_aloud("<think>First. Then, well.\n\nSo.</think>Yes. It is.") == ["Yes.", "It is."]


def test_a_tag_that_is_cut_is_not_read_and_one_never_closed_ends_with_its_line() -> None:
    voice = Speakable()
    clauses = ["Look", ' <a href="x', ' y">here</a> now', ' <b x="', "1\nOn it goes"]
    assert [voice.push(one).text for one in clauses] == ["Look", "", "here now", "", "On it goes"]


def test_marks_whose_pair_is_in_another_clause_are_not_read() -> None:
    voice = Speakable()
    clauses = ["This is **very", " important** and [the", " docs](https://x.y/z) say"]
    assert [voice.push(one).text for one in clauses] == ["This is very", "important and the", "docs say"]


def test_signs_that_mean_something_at_the_beginning_of_a_line_stay_within_it() -> None:
    voice = Speakable()
    assert [voice.push(one).text for one in ["Five is", " > four", "\n> So it is"]] == ["Five is", "> four", "So it is"]


# --- the way back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clause", "word", "original"),
    [
        (" Hello **World** and you", "World", "World"),
        ("See [the docs](https://x.y) now", "docs", "docs"),
        ("See [the docs](https://x.y) now", "now", "now"),
        ("It is 20 °C outside", "outside", "outside"),
        ("\n\n- one 😊 two", "two", "two"),
        ("a &amp; b then", "then", "then"),
    ],
)
def test_a_spoken_word_is_found_where_it_was_written(clause: str, word: str, original: str) -> None:
    spoken = speakable(clause)
    at = spoken.original(spoken.text.index(word))
    assert clause[at:].startswith(original)


def test_a_word_made_from_a_sign_lies_within_the_sign() -> None:
    spoken = speakable("Only 5% of it")
    start = spoken.text.index("percent")
    assert spoken.original(start) == "Only 5% of it".index("%")
    assert spoken.original(start + len("percent")) == "Only 5% of it".index(" of")


def test_a_word_made_from_a_unit_begins_after_its_number() -> None:
    spoken = speakable("Up to 2000 km away")
    assert spoken.original(spoken.text.index("kilometers")) == "Up to 2000 km away".index(" km")
    assert spoken.original(spoken.text.index("000")) == "Up to 2000 km away".index("000")


def test_the_end_of_what_is_spoken_is_the_end_of_the_clause() -> None:
    spoken = speakable("**Hello** 😊")
    assert spoken.original(len(spoken.text)) == len("**Hello** 😊")
    assert speakable("😊").original(0) == 1


# --- for every text ---------------------------------------------------------------------------------------------------

PARTS = [
    "Hello",
    "**",
    "*",
    "_",
    "`",
    "```",
    "\n",
    " ",
    "|",
    "- ",
    "# ",
    "> ",
    "[1]",
    "[a](b)",
    "](",
    "[",
    "https://x.y/z.",
]
PARTS += [
    "5",
    "km/h",
    "%",
    "&",
    "&amp;",
    "<b>",
    "<think>",
    "</think>",
    '<a href="',
    "<",
    ">",
    "e.g.",
    "etc.",
    "😊",
    "\\",
    "~~",
]
PARTS += [",", ".", "$", "=", "+", "×", "好", "\x00", "\u00a0", "→", "1", "no.", "---", "é"]
texts = st.one_of(st.text(max_size=50), st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
plain_words = st.sampled_from("Hello there It costs much well-known isn't 42 3.5 21st grün 好".split())
marks = st.sampled_from(["", "", "", ",", ".", "?", "!", ";", ":"])


@given(st.lists(texts, max_size=5))
def test_places_rise_and_lie_within_the_clause(clauses: list[str]) -> None:
    voice = Speakable()
    for clause in clauses:
        spoken = voice.push(clause)
        assert spoken.map[-1] == (len(spoken.text), len(clause))
        assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(spoken.map))
        places = [spoken.original(at) for at in range(len(spoken.text) + 1)]
        assert places == sorted(places)
        assert all(0 <= place <= len(clause) for place in places)
        assert spoken.original(-5) == places[0]
        assert spoken.original(10_000) == len(clause)


@given(texts)
def test_what_is_spoken_has_something_to_say_and_no_markup(clause: str) -> None:
    text = speakable(clause).text
    assert not text or any(map(str.isalnum, text))
    assert text == text.strip()
    assert "  " not in text
    assert not any(mark in text for mark in ("**", "`", "😊", "\n", "://", "<think>", "[1]"))


@given(st.lists(st.tuples(plain_words, marks).map("".join), min_size=1).map(" ".join))
def test_plain_words_are_read_as_written(text: str) -> None:
    assert speakable(text).text == text
    assert speakable(" " + text).text == text


@given(texts.map(lambda text: speakable(text).text))
def test_characters_that_are_kept_come_from_where_they_stand(text: str) -> None:
    """Where a voice's text is all letters, every letter must be found at its place again."""
    clause = f"**{text}**"
    spoken = speakable(clause)
    for at, char in enumerate(spoken.text):
        if spoken.text == text and char.isalnum():
            assert clause[spoken.original(at)] == char


@pytest.mark.parametrize(
    "part", ["-", "[", " ", "|", "<a ", "](", "*", ">", "> ", "\n", "5 ", "&", "http://", "(", "<a x=", "\\"]
)
def test_no_text_takes_long(part: str) -> None:
    began = time.perf_counter()
    speakable(part * 1000 + "x")
    assert time.perf_counter() - began < 2.0


WORDS = "alpha bravo charlie delta echo foxtrot golf hotel".split()
MARKS = [
    "**",
    "*",
    "_",
    "`",
    "~~",
    "# ",
    "\n- ",
    "\n> ",
    "\n1. ",
    " | ",
    "\n",
    " — ",
    "😊",
    "(",
    ")",
    "[",
    "]",
    '"',
    "{",
    "}",
]
MARKS += [
    "$$",
    "\\(",
    "\\)",
    "^",
    "<b>",
    "</b>",
    "&nbsp;",
    "[1]",
    "[^2]",
    "【3†x】",
    "\n---\n",
    "\n| ",
    " |\n",
    "\u200b",
    "1️⃣ ",
]


@example([("alpha", ["_", "# "])])
@given(
    # One mark before a word: what several in a row mean ("^1️⃣ ", "[1]# ") nobody can say.
    st.lists(st.tuples(st.sampled_from(WORDS), st.lists(st.sampled_from(MARKS), max_size=1)), min_size=1, max_size=12)
)
def test_no_word_is_lost_among_marks_and_no_mark_is_read(parts: list[tuple[str, list[str]]]) -> None:
    reply = "".join(f"{''.join(marks)} {word} " for word, marks in parts)
    assume(not any(one in reply for one in ("```", "~~~", "](")))  # these leave out what follows, rightly
    said = " ".join(read_aloud(reply))
    letters = re.findall(r"[a-z]{4,}", said)
    assert letters == [word for word, _ in parts]
    assert not any(mark in said for mark in "*_`~#|[]{}\\^<>😊【†$\u200b\u20e3")


@given(st.lists(texts, max_size=5).map("".join), st.lists(st.integers(0, 400), max_size=12))
def test_where_a_reply_is_cut_into_tokens_changes_nothing_that_is_said(reply: str, cuts: list[int]) -> None:
    at = sorted({one % (len(reply) + 1) for one in cuts} | {0, len(reply)})
    clauses, voice = Clauses(), Speakable()
    pieces = [clause for a, b in pairwise(at) for clause in clauses.push(reply[a:b])] + clauses.flush()
    assert [text for text in (voice.push(clause).text for clause in pieces) if text] == read_aloud(reply)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"name": "look", "arguments": {"city": "Paris, France"}} So.', ["code omitted.", "So."]),
        ('Here: [{"a": 1}, {"b": "x}"}] End.', ["Here:", "code omitted. End."]),
        ('See [the docs](https://a.b/c "A title, and more words here. Yes") now.', ["See the docs", "now."]),
        ("So (Smith et al., 2020) it is (Lee & Kim, 2019).", ["So it is."]),
        ("E is \\(m \\times c^2\\) and \\frac{1}{2}.", ["E is m times", "c squared and one half."]),
        ("It was noon [Interrupted here. The user did not hear the rest.] So.", ["It was noon", "So."]),
        ("One <!-- a comment, with words. And more --> two.", ["One", "two."]),
        ("<tool_call>{}</tool_call>Yes. It is.", ["Yes.", "It is."]),
        ("Press Ctrl+C.\n\n[1]: https://x.y/z", ["Press Ctrl+C."]),
        ("1️⃣ First 👍🏽 and 🇫🇷.", ["1 First and."]),
    ],
)
def test_what_is_for_eyes_is_left_out_of_whole_replies(reply: str, said: list[str]) -> None:
    assert " ".join(read_aloud(reply)) == " ".join(said)
    voice, clauses = Speakable(), Clauses()
    pieces = [clause for char in reply for clause in clauses.push(char)] + clauses.flush()
    assert [text for text in (voice.push(clause).text for clause in pieces) if text] == read_aloud(reply)
