"""Evidence and verdicts, as tables: is the turn over, does the user want the floor?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.voice import evidence
from locara.voice.endings import PATIENCE
from locara.voice.evidence import Floor, floor, only_backchannel, same_words, words_of

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
        (0.2, 0.0, "yeah but", False, Floor.OPEN),  # a murmur is also guessed to be this
        (0.2, 0.1, "yeah but", True, Floor.TAKEN),
        (0.2, 0.0, "please wait", False, Floor.TAKEN),
        (0.4, 0.0, "mm-hm", False, Floor.OPEN),
        (0.4, 0.25, "mm-hm", True, Floor.KEPT),
        (0.4, 0.25, "yeah okay right", True, Floor.KEPT),
        (0.4, 0.6, "yeah", False, Floor.KEPT),
        (0.3, 0.0, "what", False, Floor.OPEN),  # one word may still become another
        (0.3, 0.2, "what", True, Floor.TAKEN),
        (0.3, 0.0, "what about", False, Floor.OPEN),  # two wrong words are easily made of a murmur
        (0.58, 0.0, "what about", False, Floor.OPEN),
        (0.6, 0.0, "what about", False, Floor.TAKEN),
        (0.8, 0.0, "yeah what", False, Floor.OPEN),
        (0.8, 0.0, "yeah what about", False, Floor.TAKEN),
        (0.3, 0.3, "it is", True, Floor.KEPT),  # what a recogniser makes of "mm-hm"
        (0.45, 0.6, "if they", False, Floor.KEPT),
        (0.6, 0.3, "and you", True, Floor.TAKEN),  # too long for a murmur, whatever the words are
        (0.4, 0.3, "of course", True, Floor.KEPT),
        (0.8, 0.3, "yeah of course, makes sense", True, Floor.KEPT),
        (0.7, 0.0, "no way", False, Floor.OPEN),
        (0.7, 0.0, "no way that is wrong", False, Floor.TAKEN),
        (1.3, 0.0, "yeah okay right", False, Floor.OPEN),  # agreeing at length
        (1.4, 0.0, "yeah okay right", False, Floor.TAKEN),
        (0.6, 0.59, "jarvis", False, Floor.OPEN),
        (0.6, 0.6, "jarvis", False, Floor.TAKEN),  # the recogniser is late: a name must not get lost for it
        (0.6, 1.19, "", False, Floor.OPEN),
        (0.6, 1.2, "", False, Floor.KEPT),
    ],
)
def test_who_has_the_floor(voiced: float, silence: float, text: str, settled: bool, who: Floor) -> None:
    assert floor(voiced=voiced, silence=silence, text=text, settled=settled) is who


@pytest.mark.parametrize(
    ("voiced", "text", "sure", "who"),
    [
        (0.4, "computer", 0.3, Floor.TAKEN),
        (0.4, "computer", None, Floor.TAKEN),
        (0.4, "hallow", 0.14, Floor.KEPT),
        (0.6, "hallow", 0.14, Floor.TAKEN),
        (0.3, "stop", 0.05, Floor.TAKEN),
        (0.4, "they", 0.5, Floor.KEPT),
    ],
)
def test_a_short_word_must_be_sure_unless_it_is_a_command(
    voiced: float, text: str, sure: float | None, who: Floor
) -> None:
    assert floor(voiced=voiced, silence=0.3, text=text, settled=True, confidence=sure) is who


@pytest.mark.parametrize(
    ("voiced", "guess", "who"),
    [(0.6, "jarvis", Floor.TAKEN), (0.6, "the", Floor.KEPT), (0.6, "yeah", Floor.KEPT), (0.4, "jarvis", Floor.KEPT)],
)
def test_a_word_that_the_recogniser_took_back_counts_after_a_long_voice(voiced: float, guess: str, who: Floor) -> None:
    assert floor(voiced=voiced, silence=0.3, text="", settled=True, guess=guess) is who


def test_yes_answers_a_question_and_else_it_agrees() -> None:
    for text in ("yes", "yeah", "sure", "okay please", "right"):
        assert floor(voiced=0.3, silence=0.3, text=text, settled=True, asked=True) is Floor.TAKEN
        assert floor(voiced=0.3, silence=0.0, text=text, settled=False, asked=True) is Floor.OPEN
    assert floor(voiced=0.3, silence=0.3, text="yes", settled=True) is Floor.KEPT
    assert floor(voiced=0.3, silence=0.3, text="mm-hm", settled=True, asked=True) is Floor.KEPT


@pytest.mark.parametrize(
    ("voiced", "text", "who"),
    [
        (0.2, "", Floor.OPEN),
        (0.3, "", Floor.OPEN),
        (0.3, "and", Floor.TAKEN),
        (0.2, "and", Floor.OPEN),
        (0.3, "mm", Floor.OPEN),
        (0.6, "", Floor.OPEN),  # it may be our own voice
    ],
)
def test_whoever_goes_on_in_the_first_moment_of_a_reply_has_the_floor(voiced: float, text: str, who: Floor) -> None:
    assert floor(voiced=voiced, silence=0.0, text=text, settled=False, continued=True) is who


@given(st.floats(0, 3), SAID, SAID, st.booleans(), st.booleans(), st.one_of(st.none(), st.floats(0, 1)))
def test_the_floor_is_decided_in_the_end_whatever_else_is_known(
    voiced: float, text: str, guess: str, asked: bool, continued: bool, sure: float | None
) -> None:
    for silence, settled in ((evidence.ALL_SAID_SECONDS, True), (evidence.LATE_WORDS_SECONDS, False)):
        who = floor(
            voiced=voiced, silence=silence, text=text, settled=settled, guess=guess, asked=asked,
            continued=continued, confidence=sure,
        )  # fmt: skip
        assert who is not Floor.OPEN


@given(st.floats(0, 3), SAID)
def test_the_floor_is_always_decided_in_the_end(voiced: float, text: str) -> None:
    assert floor(voiced=voiced, silence=evidence.ALL_SAID_SECONDS, text=text, settled=True) is not Floor.OPEN
    assert floor(voiced=voiced, silence=evidence.LATE_WORDS_SECONDS, text=text, settled=False) is not Floor.OPEN


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
        ("of course", True),
        ("oh no", True),
        ("of course not", False),
        ("h m m", True),
    ],
)
def test_a_backchannel_has_words_and_no_others(text: str, is_one: bool) -> None:
    assert only_backchannel(text) is is_one


def test_the_deadlines_come_in_an_order_that_makes_sense() -> None:
    assert evidence.VOICE_OFF < evidence.VOICE_ON
    assert evidence.PAUSE_SECONDS < evidence.HINT_SECONDS < PATIENCE["quick"].least
    assert evidence.BLIP_SECONDS < evidence.HOLD_SECONDS < evidence.SENTENCE_SECONDS < evidence.GUESSED_SECONDS
    assert evidence.GUESSED_SECONDS < evidence.TAKE_SECONDS < evidence.AGREEING_SECONDS < evidence.HELD_SECONDS
    assert evidence.ALL_SAID_SECONDS < evidence.WORDS_SECONDS < evidence.LATE_WORDS_SECONDS


PART = st.floats(0, 1)


@given(PART, PART, PART, PART, PART, st.booleans())
def test_more_echo_never_makes_a_voice_and_without_any_the_probability_decides(
    probability: float, less: float, more: float, pitch: float, clear: float, already: bool
) -> None:
    less, more = min(less, more), max(less, more)
    if evidence.is_voice(probability, more, pitch, already=already, clear=clear):
        assert evidence.is_voice(probability, less, pitch, already=already, clear=clear)
    wanted = evidence.VOICE_OFF if already else evidence.VOICE_ON
    assert evidence.is_voice(probability, 0.0, pitch, already=already, clear=clear) == (probability >= wanted)
    told = evidence.is_voice(probability, 1.0, pitch, already=already, clear=clear)
    assert not told, "what is surely our own is nobody's voice"


@given(PART, PART, PART, PART, PART, st.booleans())
def test_more_of_a_pitch_never_takes_a_voice_away(
    probability: float, echo: float, less: float, more: float, clear: float, already: bool
) -> None:
    less, more = min(less, more), max(less, more)
    if evidence.is_voice(probability, echo, less, already=already, clear=clear):
        assert evidence.is_voice(probability, echo, more, already=already, clear=clear)
    if evidence.is_voice(probability, echo, more, already=False, clear=clear):
        assert evidence.is_voice(probability, echo, more, already=True, clear=clear)
    if evidence.is_voice(probability, echo, more, already=already):
        assert evidence.is_voice(probability, echo, more, already=already, clear=clear)


@pytest.mark.parametrize(
    ("probability", "echo", "pitch", "clear", "voice"),
    [
        (0.97, 0.75, 0.9, 0.06, True),  # a vowel of a user under our louder echo
        (0.97, 0.75, 0.9, 0.04, False),  # it has only begun: what is left of us has such moments
        (0.97, 0.75, 0.5, 0.06, False),  # a noise, or a consonant
        (0.8, 0.75, 0.9, 0.06, False),  # what is left of our own voice has a pitch, but voice activity doubts it
        (0.97, 0.95, 0.9, 0.06, False),  # nothing of it stands out of the echo
        (0.5, 0.5, 0.0, 0.0, True),  # what stands out needs no more than voice activity
    ],
)
def test_under_a_louder_echo_only_a_sure_voice_with_a_pitch_counts(
    probability: float, echo: float, pitch: float, clear: float, voice: bool
) -> None:
    assert evidence.is_voice(probability, echo, pitch, already=False, clear=clear) is voice


def test_a_vowel_that_swells_out_of_the_echo_leads_in_a_voice() -> None:
    assert evidence.leads_in(0.75, 0.85, 0.9)
    assert evidence.leads_in(0.9, 0.6, 0.3), "a block on the way up, between two edges"
    assert not evidence.leads_in(0.75, 0.95, 0.9), "nothing of it stands out of the echo"
    assert not evidence.leads_in(0.5, 0.85, 0.9), "our own, as voice activity hears it"
    assert not evidence.leads_in(0.4, 0.0, 0.0), "where no echo is heard a voice is found at once"


def test_a_voice_over_our_own_echo_must_last_longer_to_open_a_turn() -> None:
    assert evidence.onset_seconds(0.0) == evidence.ONSET_SECONDS
    assert evidence.onset_seconds(0.01) == evidence.ECHO_ONSET_SECONDS > evidence.ONSET_SECONDS


def test_of_a_voice_that_may_be_a_noise_no_words_count_but_commands() -> None:
    said: dict[str, Any] = {"voiced": 0.6, "silence": 0.3, "settled": True, "confidence": 0.9}
    assert floor(text="in london", **said, clear=0.06) is Floor.TAKEN
    assert floor(text="in london", **said, clear=0.04) is Floor.KEPT
    assert floor(text="in london", **said, clear=None) is Floor.TAKEN
    assert floor(text="stop", **said, clear=0.0) is Floor.TAKEN
    assert floor(text="yes", **said, clear=0.0, asked=True) is Floor.KEPT
    assert floor(text="in london", **said, clear=0.0, continued=True) is Floor.KEPT


@given(st.floats(0.0, 5.0), st.floats(0.0, 5.0), SAID, st.booleans())
def test_more_of_a_clear_voice_never_takes_the_floor_away(
    voiced: float, silence: float, text: str, settled: bool
) -> None:
    told: dict[str, Any] = {"voiced": voiced, "silence": silence, "text": text, "settled": settled}
    if floor(**told, clear=0.0) is Floor.TAKEN:
        assert floor(**told, clear=voiced) is Floor.TAKEN
    assert floor(**told, clear=evidence.CLEAR_SECONDS) is floor(**told)


def test_over_our_echo_a_block_is_surely_voice_if_it_has_a_pitch_and_voice_activity_is_sure() -> None:
    assert evidence.is_clear(0.9, 0.2, 0.9)
    assert not evidence.is_clear(0.9, 0.2, 0.6)
    assert not evidence.is_clear(0.55, 0.2, 0.9)
    assert evidence.is_clear(0.55, 0.0, 0.0), "where no echo is heard nothing more is asked"
