"""Somebody spoke and no word was found: when it is asked back, when not, and never twice in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, samples_in
from locara.engines.contracts import EngineInfo
from locara.errors import ConfigError
from locara.voice import events, misheard, moves
from locara.voice.endings import PATIENCE
from locara.voice.state import Assistant, Rules, State, User, at_rest
from locara.voice.turns import receive

OUT = 24_000
SORRY = "Sorry, I didn't catch that."
WORD = "hey jarvis"


class Talk:
    """A conversation with the machine. ``spoken`` is a voice with a pitch near the microphone."""

    def __init__(self, **rules: Any) -> None:
        self.state = State(rules=Rules(**{"output_rate": OUT, "not_understood": SORRY, **rules}))
        self.asked: list[float] = []
        self.loud = 0
        self.effects: list[moves.Effect] = []

    def tell(self, *happened: moves.Happened) -> Talk:
        for one in happened:
            self.state, effects = receive(self.state, one)
            self.effects += effects
            for effect in effects:
                if isinstance(effect, moves.Prepare) and effect.text == SORRY:
                    assert effect.verbatim
                    self.asked.append(self.state.now / RATE)
        return self

    def hear(self, duration: float, probability: float, *, pitch: float = 0.0, over: float = 0.0) -> Talk:
        for _ in range(round(duration * RATE / BLOCK)):
            self.loud = self.state.now + BLOCK if over else self.loud
            self.tell(moves.Heard(BLOCK, probability, self.loud, 0.0, pitch, over))
        return self

    def spoken(self, duration: float = 1.0) -> Talk:
        return self.hear(duration, 0.98, pitch=0.9, over=20.0)

    def quiet(self, duration: float) -> Talk:
        return self.hear(duration, 0.0)

    def understood(self, text: str, confidence: float | None = 0.8) -> Talk:
        turn = self.state.turn
        assert turn is not None
        return self.tell(moves.Understood(turn.id, turn.revision, text, True, confidence))

    def mumbled(self, duration: float = 1.0, text: str = "") -> Talk:
        """A turn of which no word was found, and the time in which it may be asked back."""
        return self.spoken(duration).quiet(0.2).understood(text).quiet(2.0)

    def said(self) -> Talk:
        """All of the reply that there is, played to its end."""
        reply = self.state.reply
        assert reply is not None
        chunk = moves.Chunk(np.full(OUT, 0.1, np.float32), 0, 5, (), opens=True, closes=True, text="Well.")
        self.tell(moves.Told(reply.id, "Well."), moves.Sounded(reply.id, chunk), moves.Finished(reply.id)).quiet(0.02)
        return self.tell(moves.Played(reply.id, OUT, self.state.now))

    def of(self, kind: type[Any]) -> list[Any]:
        told = [one.event for one in self.effects if isinstance(one, moves.Emit)]
        return [one for one in (*self.effects, *told) if isinstance(one, kind)]


# --- it is asked ------------------------------------------------------------------------------------------------------


def test_a_voice_without_words_is_asked_back_once_its_turn_has_ended() -> None:
    talk = Talk().mumbled()
    (rejected,) = talk.of(events.Rejected)
    assert rejected.reason == "no-words"
    (at,) = talk.asked
    assert rejected.t < at
    assert talk.state.assistant is Assistant.PREPARING


@pytest.mark.parametrize(
    ("patience", "finished", "seconds"),
    [
        ("quick", 0.97, 0.7),
        ("normal", 0.97, 0.7),
        ("normal", None, 0.74),
        ("normal", 0.1, 1.92),
        ("patient", None, 2.08),
    ],
)
def test_it_waits_as_long_as_for_an_unsure_text_but_never_less_than_people_do(
    patience: str, finished: float | None, seconds: float
) -> None:
    talk = Talk(patience=PATIENCE[patience]).quiet(1.0).spoken(1.0).quiet(0.2).understood("")
    turn = talk.state.turn
    assert turn is not None
    if finished is not None:
        talk.tell(moves.Judged(turn.id, turn.revision, finished))
    talk.quiet(3.0)
    (at,) = talk.asked
    assert at - turn.speech_end / RATE == pytest.approx(seconds, abs=0.03)


def test_what_was_asked_is_the_assistants_words_and_a_turn_of_its_own() -> None:
    talk = Talk().mumbled().said().quiet(0.1)
    remembered = [(one.turn, one.role, one.text, one.not_understood) for one in talk.of(moves.Remember)]
    assert remembered == [(0, "user", "", True), (1, "assistant", "Well.", False)]
    users, assistants = (
        [one.turn for one in talk.of(events.TurnEnd) if one.who == who] for who in ("user", "assistant")
    )
    assert users == [0]
    assert assistants == [1]


def test_words_that_were_never_said_are_no_words() -> None:
    assert Talk().mumbled(0.6, "they that of an exceptionally unlikely constitution").asked


def test_a_short_press_of_the_key_with_a_voice_is_asked_back_at_once() -> None:
    talk = (
        Talk(open_mic=False).tell(moves.Pressed()).quiet(0.2).spoken(0.3).quiet(0.1).tell(moves.Released()).quiet(0.4)
    )
    assert not talk.asked
    released = talk.understood("").state.now
    assert talk.asked == [released / RATE]


def test_the_beginning_that_nobody_understood_counts_for_its_end() -> None:
    """In noise the second half may have no pitch; what is heard at once after the first belongs to it."""
    talk = Talk().spoken(0.6).quiet(0.2).understood("").quiet(0.4)
    talk.hear(0.7, 0.8, pitch=0.2, over=20.0).quiet(0.2).understood("").quiet(2.0)
    assert len(talk.asked) == 1


# --- it is not asked --------------------------------------------------------------------------------------------------


def test_never_twice_in_a_row() -> None:
    talk = Talk().mumbled().said().quiet(3.0)
    for _ in range(5):
        talk.mumbled().quiet(30.0)
    assert len(talk.asked) == 1


@pytest.mark.parametrize("typed", [False, True])
def test_again_after_an_answered_turn(typed: bool) -> None:
    talk = Talk().mumbled().said().quiet(3.0)
    if typed:
        talk.tell(moves.Typed("what time is it"))
    else:
        talk.spoken().quiet(0.2).understood("what time is it").quiet(1.0)
    talk.said().quiet(3.0).mumbled()
    assert len(talk.asked) == 2


@pytest.mark.parametrize(
    "noise",
    [
        {"probability": 0.98, "pitch": 0.2, "over": 30.0},  # hiss that voice activity is wrong about
        {"probability": 0.6, "pitch": 0.9, "over": 30.0},  # a hen
        {"probability": 0.98, "pitch": 0.9, "over": 3.0},  # a radio in another room
    ],
)
def test_a_noise_is_not_asked_back(noise: dict[str, float]) -> None:
    talk = Talk().quiet(1.0).hear(2.0, **noise).quiet(0.2)
    talk.understood("").quiet(5.0)
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert not talk.asked


def test_a_cough_or_a_hum_is_too_short() -> None:
    assert not Talk().mumbled(0.44).asked


def test_nor_is_a_press_of_the_key_without_a_voice() -> None:
    talk = Talk(open_mic=False).tell(moves.Pressed()).hear(2.0, 0.1, over=20.0).tell(moves.Released()).quiet(0.4)
    talk.understood("").quiet(5.0)
    assert [one.reason for one in talk.of(events.TurnEnd)] == ["no-words"]
    assert not talk.asked


def answered() -> Talk:
    """The assistant speaks, for longer than anybody waits."""
    talk = Talk().spoken().quiet(0.2).understood("what time is it").quiet(1.0)
    reply = talk.state.reply
    assert reply is not None
    chunk = moves.Chunk(np.full(60 * OUT, 0.1, np.float32), 0, 5, (), opens=True, closes=True, text="Well.")
    talk.tell(moves.Told(reply.id, "Well."), moves.Sounded(reply.id, chunk)).quiet(0.2)
    return talk.tell(moves.Played(reply.id, OUT, talk.state.now))


@pytest.mark.parametrize("duration", [0.3, 0.6, 0.8])
def test_nobody_is_asked_back_about_what_was_heard_over_our_own_voice(duration: float) -> None:
    talk = answered().mumbled(duration)
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert not talk.quiet(2.0).asked


def test_who_interrupts_us_and_goes_on_is_asked_back() -> None:
    talk = answered().mumbled(1.5)
    assert talk.of(events.BargeIn)
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert len(talk.asked) == 1


def test_a_noise_that_interrupts_us_is_not_asked_back() -> None:
    talk = answered().hear(2.0, 0.98, pitch=0.2, over=30.0).quiet(0.2)
    assert talk.of(events.BargeIn)
    assert not talk.understood("").quiet(5.0).asked


def test_without_a_sentence_nothing_is_said() -> None:
    talk = Talk(not_understood="").mumbled()
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert talk.state.reply is None


def test_where_the_app_decides_what_is_answered_it_decides_that_too() -> None:
    talk = Talk(answers=False).mumbled()
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert not talk.asked


def test_without_words_of_the_user_there_is_nothing_to_misunderstand() -> None:
    talk = Talk(words=False).mumbled()
    assert not talk.asked
    assert talk.state.reply is not None


@pytest.mark.parametrize(
    "happened",
    [moves.Interrupt(), moves.Muted(), moves.Typed("what time is it"), moves.Say("By the way."), moves.Stop()],
)
def test_whatever_comes_between_makes_it_pointless(happened: moves.Happened) -> None:
    talk = Talk().spoken().quiet(0.2).understood("").quiet(0.4)
    assert not at_rest(talk.state)
    assert not talk.tell(happened).quiet(5.0).asked


def test_who_goes_on_speaking_is_not_asked() -> None:
    talk = Talk().spoken().quiet(0.2).understood("").quiet(0.4).spoken()
    talk.quiet(0.2).understood("what time is it").quiet(1.0)
    assert not talk.asked


def test_who_speaks_before_it_sounds_is_not_asked_and_may_be_later() -> None:
    talk = Talk().mumbled().spoken(0.1)
    assert len(talk.asked) == 1
    assert talk.state.assistant is Assistant.IDLE
    assert [(one.who, one.reason) for one in talk.of(events.TurnEnd)][-1] == ("assistant", "cancelled")
    assert not talk.of(moves.Remember)
    talk.spoken().quiet(0.2).understood("").quiet(2.0)
    assert len(talk.asked) == 2


# --- the wake word ----------------------------------------------------------------------------------------------------


def test_the_wake_word_alone_is_no_question() -> None:
    talk = Talk(wake_word=WORD).quiet(1.0).spoken(0.8).tell(moves.Woken(WORD, samples_in(1.7)))
    talk.spoken(0.4)
    assert talk.state.user is User.TALKING
    talk.quiet(0.2).understood(WORD).quiet(5.0)
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert not talk.asked


def test_what_follows_the_wake_word_is_asked_back_while_it_attends() -> None:
    talk = Talk(wake_word=WORD).quiet(1.0).spoken(0.8).quiet(0.1).tell(moves.Woken(WORD, samples_in(1.8))).quiet(1.0)
    assert len(talk.mumbled().asked) == 1


def test_while_it_waits_for_the_word_nothing_is_asked() -> None:
    talk = Talk(wake_word=WORD).quiet(1.0).spoken(2.0).quiet(5.0)
    assert talk.state.user is User.QUIET
    assert not talk.asked


# --- the sentence -----------------------------------------------------------------------------------------------------


class _Voice:
    """Speaks a language, as far as anyone asks."""

    info = EngineInfo("test", "a voice", "MIT")
    language = "de-at"

    async def load(self) -> None: ...

    async def close(self) -> None: ...


class _Silent:
    """Does not say which."""

    info = EngineInfo("test", "a voice", "MIT")

    async def load(self) -> None: ...

    async def close(self) -> None: ...


def test_it_is_said_in_the_voices_language() -> None:
    assert misheard.said_by(_Voice(), misheard.AUTO) == misheard.SENTENCES["de"]
    assert misheard.said_by(_Silent(), misheard.AUTO) == misheard.SENTENCES["en"]
    assert misheard.said_by(_Voice(), "What?") == "What?"
    assert misheard.said_by(_Voice(), "") == ""
    assert misheard.said_by(None, misheard.AUTO) == misheard.said_by(None, "What?") == ""


@pytest.mark.parametrize(
    ("code", "language"), [("en-us", "en"), ("EN", "en"), ("pt_BR", "pt"), ("cmn-latn-pinyin", "zh"), ("no", "nb")]
)
def test_codes_of_a_language(code: str, language: str) -> None:
    assert misheard.sentence(code) == misheard.SENTENCES[language]


@pytest.mark.parametrize("code", ["", "tlh", "x", "-"])
def test_in_a_language_that_it_does_not_know_it_says_nothing(code: str) -> None:
    assert misheard.sentence(code) == ""


def test_settings_are_understood() -> None:
    assert misheard.as_setting(None) == misheard.as_setting("  ") == ""
    assert misheard.as_setting("auto") == "auto"
    with pytest.raises(ConfigError, match="not_understood"):
        misheard.as_setting(True)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 80), st.integers(1, 120)), max_size=12))
def test_without_an_answer_it_is_heard_once_at_most(sounds: list[tuple[int, int]]) -> None:
    talk = Talk()
    for voice, silence in sounds:
        talk.spoken(voice * BLOCK / RATE)
        for _ in range(silence):
            talk.quiet(BLOCK / RATE)
            turn = talk.state.turn
            if turn is not None and turn.asked and not turn.settled:
                talk.understood("")
            if talk.state.reply is not None:
                talk.said()
    heard = [one for one in talk.of(events.TurnEnd) if one.who == "assistant" and one.reason == "finished"]
    assert len(heard) <= 1
