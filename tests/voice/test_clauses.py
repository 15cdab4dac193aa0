"""Where a reply is cut while it is still being written."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from locara.voice.clauses import Clauses


def cut(tokens: list[str]) -> list[str]:
    clauses = Clauses()
    return [one for token in tokens for one in clauses.push(token)] + clauses.flush()


def words(text: str) -> list[str]:
    """Tokens as most models make them: one a word, the blank leading."""
    return re.findall(r"\s*\S+|\s+$", text)


def first_at(text: str) -> int:
    """With which token, counted from 1, the first clause is there."""
    clauses = Clauses()
    for number, token in enumerate(words(text), 1):
        if clauses.push(token):
            return number
    return 10_000


# --- the beginning ----------------------------------------------------------------------------------------------------

PLAIN_SENTENCES = [  # of 14 words, without any mark before their end
    "The weather in Paris tomorrow will be sunny with a high of twenty degrees.",
    "I think that the best way to learn a language is practising it daily.",
    "You can make a simple bread with flour water salt and some dry yeast.",
    "It is in the kitchen next to the big window on the left side.",
    "There are three kinds of cats that people keep in their homes these days.",
    "New York City is one of the largest cities in the whole wide world.",
    "The United States of America has fifty states and one district named after Columbus.",
    "A black hole is a region of space where gravity is very strong indeed.",
    "Photosynthesis converts light energy into chemical energy that plants use to grow very well.",
    "To reset your router you should hold the small button for ten full seconds.",
    "In the summer of 1969 two men walked on the moon for a day.",
    "I would like to remind you that your next meeting starts at half past.",
    "President Barack Obama was the forty fourth president of the United States for years.",
    "Once upon a time there lived a small dragon who was very often afraid.",
    "Your timer for ten minutes has been set and it will ring very soon.",
    "As a language model I do not have feelings but I am always happy.",
]


@pytest.mark.parametrize("sentence", PLAIN_SENTENCES)
def test_a_long_sentence_begins_to_sound_at_most_three_tokens_later_than_a_word(sentence: str) -> None:
    assert len(sentence.split()) == 14
    assert first_at("Sure. I can help.") == 2
    assert first_at(sentence) <= 2 + 3


@pytest.mark.parametrize(
    ("reply", "first"),
    [
        ("Sure. I can help.", "Sure."),
        ("Sure! 😊 I can help.", "Sure! 😊"),
        ("Of course, that is easy.", "Of course,"),
        ("Here are the steps: open it.", "Here are the steps:"),
        ("I see — so it is.", "I see —"),
        ("Well... I would not.", "Well..."),
        ("Dr. Smith is in.", "Dr. Smith is in."),
        ("The dog barked and ran off quickly.", "The dog barked"),
        ("What you need to know is this.", "What you need"),
        ("She lives in New York City now.", "She lives"),
        ("It weighs exactly 5 kilograms or so.", "It weighs exactly"),
        ("President Barack Obama was the next.", "President Barack Obama"),
        ("你好！我很高兴认识你。", "你好！"),
        ("我很高兴认识你，今天天气很好。", "我很高兴认识你，"),
    ],
)
def test_the_first_clause_ends_where_a_speaker_would_draw_breath(reply: str, first: str) -> None:
    assert cut(words(reply))[0] == first


def test_a_line_break_shows_at_once_that_a_word_is_all() -> None:
    clauses = Clauses()
    assert clauses.push("Sure") == []
    assert clauses.push(".") == []
    assert clauses.push("\n") == ["Sure."]
    assert clauses.push("\nHere") == []
    assert clauses.flush() == ["\n\nHere"]


@given(
    st.sampled_from("the a an of to my your New 5 Dr. three".split()),
    st.lists(st.sampled_from("red old Big I am".split())),
)
def test_a_first_clause_without_marks_never_ends_on_a_word_that_clings(clinging: str, more: list[str]) -> None:
    first, *rest = cut(words(" ".join(["Maybe", "take", clinging, "York", *more, "kilometers", "now", "then"])))
    assert not rest or first.split()[-1] != clinging


# --- what belongs together --------------------------------------------------------------------------------------------


TOGETHER = "Dr. Who|Mr. Ray|e.g. Tom|i.e. Tom|3.5|$3.50|10:30|U.S. Army|example.com|No. 5|J. K. Rowling|v1.2.3|1,000"
TOGETHER += "|https://a.example/b.c?d=e|p.m. sharp|Fig. 2|Jan. 5|well... okay|St. John|3:2"


@pytest.mark.parametrize("whole", TOGETHER.split("|"))
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_belongs_together_is_never_cut(whole: str, size: int) -> None:
    text = f"So. It has {whole} there. Then"
    clauses = cut([text[i : i + size] for i in range(0, len(text), size)])
    assert clauses == ["So.", f" It has {whole} there.", " Then"]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("No. I do not.", ["No.", " I do not."]),
        ("Yes. I have 42. That is it.", ["Yes.", " I have 42.", " That is it."]),
        ("Yes. Apples, etc. Then more.", ["Yes.", " Apples, etc.", " Then more."]),
        ('Yes. "Stop!" he said. "Go."', ["Yes.", ' "Stop!" he said.', ' "Go."']),
        ("Steps:\n\n1. Open it.\n2. Close it.\n", ["Steps:", "\n\n1. Open it.", "\n2. Close it.", "\n"]),
        ("Yes.\n- One\n- Two", ["Yes.", "\n- One", "\n- Two"]),
        ("Yes. One two three four, five six.", ["Yes.", " One two three four, five six."]),
        ("Yes. One two, three four five, six.", ["Yes.", " One two, three four five,", " six."]),
        ("Yes.\r\nOne", ["Yes.", "\r\nOne"]),
        ("Really?! I did.", ["Really?!", " I did."]),
        ("Yes. 「好的。」他说。", ["Yes.", " 「好的。」", "他说。"]),
    ],
)
def test_later_clauses_end_with_their_sentences(text: str, clauses: list[str]) -> None:
    assert cut(words(text)) == clauses


def test_a_sentence_without_end_is_cut_at_a_space() -> None:
    clauses = cut(words("Yes. " + "words without any end " * 60))
    assert all(len(one) <= 280 for one in clauses)
    assert all(one.split()[-1] in ("words", "without", "any", "end", "Yes.") for one in clauses)


def test_even_a_text_without_spaces_is_not_held_forever() -> None:
    assert max(map(len, cut(["好" * 1000]))) <= 201
    assert max(map(len, cut(["x" * 5000]))) <= 1001


def test_a_huge_token_takes_no_noticeable_time() -> None:
    began = time.perf_counter()
    cut(["Some words, and then 3.5 more of them. " * 2000])
    assert time.perf_counter() - began < 5.0


def test_after_flush_the_next_reply_begins_anew() -> None:
    clauses = Clauses()
    reply = words(PLAIN_SENTENCES[0])
    first, second = ([one for token in reply for one in clauses.push(token)] + clauses.flush() for _ in range(2))
    assert first == second
    assert len(first) == 2
    assert clauses.flush() == []


# --- for every text ---------------------------------------------------------------------------------------------------

FRAGMENTS = [
    "Sure",
    "the",
    "and",
    "New",
    "York",
    "Dr.",
    "e.g.",
    "3",
    ".",
    ",",
    " ",
    "\n",
    "5",
    "No.",
    "...",
    "!",
    '"',
    "—",
]
FRAGMENTS += [
    "1.",
    "-",
    "😊",
    "。",
    "，",
    "好",
    "U.S.",
    "a.m.",
    "because",
    "I",
    "(",
    ")",
    "**",
    ": ",
    "https://x.y/z",
    "\t",
]
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join))


@given(texts, st.lists(st.integers(0, 1000), max_size=20))
@example("Sure.\n", [])
def test_the_cuts_do_not_depend_on_the_tokens_and_lose_nothing(text: str, cuts: list[int]) -> None:
    at = sorted({one % (len(text) + 1) for one in cuts} | {0, len(text)})
    clauses = cut([text[a:b] for a, b in pairwise(at)])
    assert "".join(clauses) == text
    assert clauses == cut([text])
    assert clauses == cut(list(text))


@given(texts)
def test_every_clause_has_something_to_be_spoken(text: str) -> None:
    *clauses, rest = cut([text]) or [""]
    assert all(any(map(str.isalnum, one)) for one in clauses)
    # Once a clause has been given at a line break, what follows the break may turn out to be nothing.
    assert any(map(str.isalnum, rest)) or not clauses or "\n" in rest


@given(texts, texts)
def test_a_clause_once_given_is_not_changed_by_what_follows(text: str, more: str) -> None:
    early, late = Clauses(), Clauses()
    given_early = early.push(text)
    given_late = late.push(text + more)
    assert given_late[: len(given_early)] == given_early


# --- numbers and brackets that go on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whole",
    [
        "on the day of May 1, 2024 there",
        "as it was shown then [1, 2, 3] there",
        "as it was shown then (Lee et al., 2020) there",
        "is 1/2, 24/7 and 10:30:15 there",
        "Sr. Gómez vive aquí",
        "z. B. so und d. h. so",
        "M. Dupont est là",
    ],
)
def test_dates_and_citations_are_not_cut_at_their_commas(whole: str) -> None:
    assert cut(words(f"So. It has {whole}. Then")) == ["So.", f" It has {whole}.", " Then"]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("¡Hola! ¿Cómo estás hoy? Bien.", ["¡Hola!", " ¿Cómo estás hoy?", " Bien."]),
        ("Ja. „Das ist gut“, sagte sie mir dann. Gut.", ["Ja.", " „Das ist gut“, sagte sie mir dann.", " Gut."]),
        ("はい。そうです！次は何ですか？", ["はい。", "そうです！", "次は何ですか？"]),
        ("네. 알겠습니다. 다음은요?", ["네.", " 알겠습니다.", " 다음은요?"]),
        ("Oui ! C’est ça ; voilà.", ["Oui !", " C’est ça ; voilà."]),
    ],
)
def test_other_languages_end_their_sentences_too(text: str, clauses: list[str]) -> None:
    assert cut(words(text)) == clauses
