"""Evidence and verdicts, as tables: is the turn over, does the user want the floor?"""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice import evidence
from locara.voice.evidence import PATIENCE, Clause, Floor, ending, floor, only_backchannel, same_words, words_of

SAID = st.lists(
    st.sampled_from("what time is it the and yeah stop mm-hm pizza please um don't".split()), max_size=6
).map(" ".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  ...  ", ()),
        ("Hello, World!", ("hello", "world")),
        ("Don't -- I’m here", ("don't", "i'm", "here")),
        ("mm-hm", ("mm", "hm")),
        ("It's 5:30", ("it's", "5", "30")),
        ("_under_ score", ("under", "score")),
        ("Schöne Grüße, 你好", ("schöne", "grüße", "你好")),
    ],
)
def test_words_are_lower_case_and_without_punctuation(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


@given(SAID)
def test_case_and_punctuation_make_no_other_words(text: str) -> None:
    assert same_words(text, text.upper() + "!?")
    assert same_words(text, text + " more") is False


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("yes", Clause.FINISHED),
        ("no", Clause.FINISHED),
        ("thank you", Clause.FINISHED),
        ("Stop!", Clause.FINISHED),
        ("what time is it", Clause.FINISHED),
        ("what for?", Clause.FINISHED),
        ("set a timer for five minutes", Clause.FINISHED),
        ("It rains.", Clause.FINISHED),
        ("my dog", Clause.UNSURE),
        ("pizza", Clause.UNSURE),
        ("what time", Clause.UNSURE),
        ("", Clause.UNSURE),
        ("?", Clause.UNSURE),
        ("i want the", Clause.HANGING),
        ("where are you from", Clause.UNSURE),
        ("yes please", Clause.UNSURE),
        ("oh no", Clause.UNSURE),
        ("my name is", Clause.HANGING),
        ("tell me about the weather and", Clause.HANGING),
        ("well,", Clause.HANGING),
        ("so I thought...", Clause.HANGING),
        ("I went to the -", Clause.HANGING),
        ("and", Clause.UNSURE),
        ("it is seven plus", Clause.HANGING),
        ("what's", Clause.UNSURE),
        ("I think what’s", Clause.HANGING),
    ],
)
def test_how_a_text_ends(text: str, how: Clause) -> None:
    assert ending(text) is how


@pytest.mark.parametrize("name", PATIENCE)
def test_the_less_finished_the_words_the_longer_the_silence(name: str) -> None:
    patience = PATIENCE[name]
    needed = [evidence.silence_needed(text, patience) for text in ("what time is it", "my dog", "my name is", None)]
    assert needed == list(dataclasses.astuple(patience))
    assert needed == sorted(needed)
    assert evidence.silence_needed("", patience) == patience.unsure


def test_patience_is_ordered_as_its_names_say() -> None:
    quick, normal, patient = (dataclasses.astuple(PATIENCE[name]) for name in ("quick", "normal", "patient"))
    assert all(a < b < c for a, b, c in zip(quick, normal, patient, strict=True))


# (voiced, silence, text, settled) -> who has the floor
@pytest.mark.parametrize(
    ("voiced", "silence", "text", "settled", "who"),
    [
        (0.1, 0.0, "", False, Floor.OPEN),
        (0.89, 0.0, "", False, Floor.OPEN),
        (0.9, 0.0, "", False, Floor.TAKEN),  # who talks on has it even before words are known
        (0.3, 0.59, "", False, Floor.OPEN),
        (0.3, 0.6, "", False, Floor.KEPT),  # no words came in time: a noise
        (0.3, 0.1, "", True, Floor.OPEN),  # a gap that short may be inside what is being said
        (0.3, 0.25, "", True, Floor.KEPT),
        (0.2, 0.0, "stop", False, Floor.TAKEN),
        (0.2, 0.0, "no", False, Floor.TAKEN),
        (0.2, 0.0, "yeah but", False, Floor.TAKEN),
        (0.2, 0.0, "please wait", False, Floor.TAKEN),
        (0.4, 0.0, "mm-hm", False, Floor.OPEN),
        (0.4, 0.25, "mm-hm", True, Floor.KEPT),
        (0.4, 0.25, "yeah okay right", True, Floor.KEPT),
        (0.4, 0.6, "yeah", False, Floor.KEPT),
        (0.3, 0.0, "what", False, Floor.OPEN),  # one word may still become another
        (0.3, 0.2, "what", True, Floor.TAKEN),
        (0.3, 0.0, "what about", False, Floor.TAKEN),
        (0.3, 0.0, "yeah what", False, Floor.OPEN),
        (0.3, 0.0, "yeah what about", False, Floor.TAKEN),
    ],
)
def test_who_has_the_floor(voiced: float, silence: float, text: str, settled: bool, who: Floor) -> None:
    assert floor(voiced=voiced, silence=silence, text=text, settled=settled) is who


@given(st.floats(0, 3), SAID)
def test_the_floor_is_always_decided_in_the_end(voiced: float, text: str) -> None:
    assert floor(voiced=voiced, silence=evidence.ALL_SAID_SECONDS, text=text, settled=True) is not Floor.OPEN
    assert floor(voiced=voiced, silence=evidence.WORDS_SECONDS, text=text, settled=False) is not Floor.OPEN


@given(st.floats(0, 3), SAID, st.booleans())
def test_talking_on_never_loses_the_floor(voiced: float, text: str, settled: bool) -> None:
    if floor(voiced=voiced, silence=0.0, text=text, settled=settled) is Floor.TAKEN:
        assert floor(voiced=voiced + 0.5, silence=0.0, text=text, settled=settled) is Floor.TAKEN
        assert floor(voiced=voiced, silence=0.0, text=text, settled=True) is Floor.TAKEN


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("mm-hm", True),
        ("Yeah, right.", True),
        ("uh-huh", True),
        ("yeah but", False),
        ("", False),
        ("...", False),
        ("no", False),
    ],
)
def test_a_backchannel_has_words_and_no_others(text: str, is_one: bool) -> None:
    assert only_backchannel(text) is is_one


def test_the_deadlines_come_in_an_order_that_makes_sense() -> None:
    assert evidence.VOICE_OFF < evidence.VOICE_ON
    assert evidence.PAUSE_SECONDS < evidence.HINT_SECONDS < PATIENCE["quick"].finished
    assert evidence.BLIP_SECONDS < evidence.HOLD_SECONDS < evidence.TAKE_SECONDS < evidence.HELD_SECONDS


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_more_echo_never_makes_a_voice_and_without_any_the_probability_decides(
    probability: float, less: float, more: float, already: bool
) -> None:
    less, more = min(less, more), max(less, more)
    if evidence.is_voice(probability, more, already=already):
        assert evidence.is_voice(probability, less, already=already)
    wanted = evidence.VOICE_OFF if already else evidence.VOICE_ON
    assert evidence.is_voice(probability, 0.0, already=already) == (probability >= wanted)
    assert not evidence.is_voice(probability, 1.0, already=already), "what is surely our own is nobody's voice"


def test_a_voice_over_our_own_echo_must_last_longer_to_open_a_turn() -> None:
    assert evidence.onset_seconds(0.0) == evidence.ONSET_SECONDS
    assert evidence.onset_seconds(0.01) == evidence.ECHO_ONSET_SECONDS > evidence.ONSET_SECONDS
