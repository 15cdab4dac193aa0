"""Attention and silence, one rule at a time: the wake word, what is heard of it, when it is over, when nobody is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, samples_in, seconds
from locara.voice import events, evidence, moves
from locara.voice.attention import FOLLOW_UP_SECONDS, SAME_BREATH_SECONDS, without_wake_word
from locara.voice.state import SOUNDING, Assistant, Rules, State, User
from locara.voice.turns import receive

OUT = 24_000
WORD = "hey jarvis"


class Talk:
    """A conversation with the machine, and what it told and did. The scripted user is heard by probability alone."""

    def __init__(self, **rules: Any) -> None:
        self.state = State(rules=Rules(**{"output_rate": OUT, **rules}))
        self.effects: list[moves.Effect] = []

    def tell(self, *happened: moves.Happened) -> Talk:
        for one in happened:
            self.state, effects = receive(self.state, one)
            self.effects += effects
        return self

    def hear(self, duration: float, *, voice: bool) -> Talk:
        for _ in range(round(duration * RATE / BLOCK)):
            until = self.state.now + BLOCK if voice else 0
            self.tell(moves.Heard(BLOCK, 0.9 if voice else 0.0, until))
        return self

    def voice(self, duration: float) -> Talk:
        return self.hear(duration, voice=True)

    def quiet(self, duration: float) -> Talk:
        return self.hear(duration, voice=False)

    def woken(self, ago: float = 0.13) -> Talk:
        return self.tell(moves.Woken(WORD, self.state.now - samples_in(ago)))

    def understood(self, text: str) -> Talk:
        turn = self.state.turn
        assert turn is not None
        return self.tell(moves.Understood(turn.id, turn.revision, text, settled=True))

    def answers(self, text: str = "It is noon.", *, play: bool = True) -> Talk:
        """The reply that is being prepared: all of it, and played to its end, or not at all."""
        reply = self.state.reply
        assert reply is not None
        chunk = moves.Chunk(np.full(OUT, 0.1, np.float32), 0, len(text), (), opens=True, closes=True, text=text)
        self.tell(moves.Told(reply.id, text), moves.Sounded(reply.id, chunk), moves.Finished(reply.id)).quiet(0.02)
        return self.tell(moves.Played(reply.id, OUT, self.state.now)) if play else self

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [one.event for one in self.effects if isinstance(one, moves.Emit) and isinstance(one.event, kind)]

    @property
    def attention(self) -> list[tuple[str, str]]:
        return [(one.state, one.reason) for one in self.of(events.AttentionChanged)]

    @property
    def listened(self) -> list[float]:
        return [seconds(one.start) for one in self.effects if isinstance(one, moves.Listen)]


def waiting(**rules: Any) -> Talk:
    return Talk(wake_word=WORD, **rules)


# --- the wake word as text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("hey jarvis what time is it", "what time is it"),
        ("Hey Jarvis, what time is it?", "what time is it?"),
        ("Hey, Jarvis! What's up", "What's up"),
        ("jarvis what time is it", "what time is it"),
        ("Hey Jarvis.", ""),
        ("hey", "hey"),
        ("hey you", "hey you"),
        ("what does hey jarvis mean", "what does hey jarvis mean"),
        ("jarvisons law", "jarvisons law"),
        ("", ""),
    ],
)
def test_the_wake_word_is_no_part_of_what_is_said(text: str, left: str) -> None:
    assert without_wake_word(text, WORD, misheard=False) == left


@pytest.mark.parametrize(
    "said", ["hey travis what time is it", "hey jar vis what time is it", "heyjarvis what time is it"]
)
def test_a_misheard_wake_word_is_taken_off_only_where_it_was_really_said(said: str) -> None:
    assert without_wake_word(said, WORD, misheard=True) == "what time is it"
    assert without_wake_word(said, WORD, misheard=False) == said


@pytest.mark.parametrize("text", ["how far is paris", "they are here", "a service please", "what time is it"])
def test_other_words_stay(text: str) -> None:
    assert without_wake_word(text, WORD, misheard=True) == text


@given(st.text(max_size=40), st.sampled_from(["hey jarvis", "alexa", "", "Okay, Nabu!"]), st.booleans())
def test_what_is_left_is_always_the_end_of_the_text(text: str, phrase: str, misheard: bool) -> None:
    left = without_wake_word(text, phrase, misheard=misheard)
    assert text.endswith(left)
    assert without_wake_word("", phrase, misheard=misheard) == ""


# --- gaining and losing attention -------------------------------------------------------------------------------------


def test_who_waits_says_so_at_the_start_and_an_open_microphone_does_not() -> None:
    assert waiting().quiet(0.1).attention == [("waiting", "started")]
    assert Talk().quiet(0.1).voice(1.0).attention == []


def test_while_it_waits_no_voice_opens_a_turn_and_no_recogniser_hears_anything() -> None:
    talk = waiting().quiet(1.0).voice(30.0).quiet(5.0).voice(3.0)
    assert talk.state.user is User.QUIET
    assert not [one for one in talk.effects if not isinstance(one, moves.Emit)]
    assert not talk.of(events.SpeechStart)


def test_the_word_alone_opens_no_turn_and_the_session_attends() -> None:
    talk = waiting().quiet(1.0).voice(0.8).voice(0.2).woken(0.2).voice(0.12).quiet(2.0)
    assert talk.attention == [("waiting", "started"), ("attentive", "wake-word")]
    assert not talk.of(events.SpeechStart)


def test_what_is_said_in_the_same_breath_is_the_turn_and_is_heard_from_the_end_of_the_word_on() -> None:
    talk = waiting().quiet(1.0).voice(0.8).voice(0.14).woken(0.14)
    assert not talk.of(events.SpeechStart), "it may only be the hangover of voice activity"
    talk.voice(SAME_BREATH_SECONDS)
    assert len(talk.of(events.SpeechStart)) == 1
    assert talk.listened == [pytest.approx(1.8)]
    assert talk.state.turn is not None
    assert seconds(talk.state.turn.began) == pytest.approx(1.8)


def test_what_is_said_after_a_pause_has_its_usual_pre_roll_but_nothing_from_before_the_end_of_the_word() -> None:
    talk = waiting().quiet(1.0).voice(0.8).quiet(0.14).woken(0.14).quiet(0.02).voice(0.1)
    assert talk.listened == [pytest.approx(1.8)]
    talk = waiting().quiet(1.0).voice(0.8).quiet(0.14).woken(0.14).quiet(2.0).voice(0.1)
    assert talk.listened == [pytest.approx(1.8 + 2.14 - evidence.PREROLL_SECONDS)]


def test_nobody_speaks_after_the_word_and_attention_is_over() -> None:
    talk = waiting().quiet(1.0).woken().quiet(FOLLOW_UP_SECONDS - 0.05)
    assert talk.attention[-1] == ("attentive", "wake-word")
    assert talk.quiet(0.1).attention[-1] == ("waiting", "follow-up-over")
    assert talk.voice(2.0).state.user is User.QUIET


def test_after_an_exchange_no_word_is_needed_for_a_while_counted_from_the_end_of_the_reply() -> None:
    talk = waiting(follow_up=3.0).quiet(1.0).woken().voice(0.5).quiet(0.1).understood("what time is it").quiet(0.6)
    talk.answers()
    ended = talk.state.now
    assert talk.quiet(2.9).attention[-1][0] == "attentive"
    talk.quiet(0.2)
    assert talk.attention[-1] == ("waiting", "follow-up-over")
    assert talk.of(events.AttentionChanged)[-1].t == pytest.approx(ended / RATE + 3.0, abs=0.05)


@pytest.mark.parametrize("late", [0.5, 0.94, 0.96, 0.98])
def test_a_follow_up_that_begins_in_time_is_heard_to_its_end(late: float) -> None:
    talk = waiting(follow_up=1.0).quiet(1.0).woken().quiet(late).voice(5.0)
    assert talk.state.user is User.TALKING
    assert talk.attention[-1][0] == "attentive"


def test_a_noise_does_not_lengthen_attention() -> None:
    talk = waiting(follow_up=3.0).quiet(1.0).woken().quiet(2.5).voice(0.2).quiet(0.1).understood("").quiet(1.0)
    assert [one.reason for one in talk.of(events.Rejected)] == ["no-words"]
    assert talk.attention[-1] == ("waiting", "follow-up-over")


def test_the_word_without_words_after_it_is_no_turn() -> None:
    talk = waiting().quiet(1.0).woken().quiet(0.5).voice(0.6).quiet(0.1).understood("hey jarvis").quiet(1.0)
    assert [one.text for one in talk.of(events.Rejected)] == [""]
    assert not talk.of(events.FinalTranscript)


def test_the_wake_word_while_the_assistant_speaks_takes_the_floor_at_once() -> None:
    talk = waiting().quiet(1.0).woken().voice(0.5).quiet(0.1).understood("what time is it").quiet(0.6)
    talk.answers(play=False)
    assert talk.state.assistant in SOUNDING
    talk.woken()
    assert talk.state.assistant is Assistant.IDLE
    assert len(talk.of(events.BargeIn)) == 1


def test_the_floor_is_taken_without_the_word_while_the_assistant_speaks_unasked() -> None:
    talk = waiting().quiet(1.0).tell(moves.Say("Your tea is ready."))
    talk.answers("Your tea is ready.", play=False)
    assert talk.attention[-1] == ("attentive", "assistant")
    began = talk.state.attention.heard_from
    talk.voice(1.2)
    assert len(talk.of(events.BargeIn)) == 1
    assert min(talk.listened) >= seconds(began), "what was said before it spoke was said to nobody"


@pytest.mark.parametrize("asked", [moves.Typed("what time is it"), moves.Pressed()])
def test_keys_and_text_need_no_wake_word(asked: moves.Happened) -> None:
    talk = waiting().quiet(1.0).tell(asked)
    assert talk.attention[-1] == ("attentive", "user")
    assert talk.state.turn is not None


def test_the_key_has_its_pre_roll_also_while_the_session_waits() -> None:
    talk = waiting().quiet(1.0).tell(moves.Pressed())
    assert talk.listened == [pytest.approx(0.7)]


def test_a_wake_word_without_wake_word_mode_and_a_late_one_from_a_muted_microphone_mean_nothing() -> None:
    assert Talk().quiet(1.0).woken().attention == []
    assert waiting().quiet(1.0).tell(moves.Muted()).woken().attention == [("waiting", "started")]
    assert len(waiting().quiet(1.0).tell(moves.Muted(), moves.Unmuted()).woken().attention) == 2


# --- nobody there? ----------------------------------------------------------------------------------------------------


def test_a_long_silence_is_told_and_the_prompt_said_once() -> None:
    talk = Talk(idle=5.0, idle_prompt="Are you still there?").quiet(4.9)
    assert not talk.of(events.UserIdle)
    talk.quiet(0.2)
    assert [(one.count, one.seconds) for one in talk.of(events.UserIdle)] == [(1, pytest.approx(5.0))]
    talk.answers("Are you still there?").quiet(26.0)
    said = [one for one in talk.effects if isinstance(one, moves.Prepare)]
    assert [one.text for one in said] == ["Are you still there?"]
    assert [one.count for one in talk.of(events.UserIdle)] == [1, 2, 3, 4, 5, 6]
    assert talk.of(events.UserIdle)[2].seconds == pytest.approx(10.0), "counted from the end of the prompt"


def test_words_begin_the_count_anew_and_a_cough_does_not() -> None:
    talk = Talk(idle=5.0, idle_prompt="Still there?").quiet(5.1).answers("Still there?")
    talk.voice(0.3).quiet(0.1).understood("").quiet(6.0)
    assert [one.count for one in talk.of(events.UserIdle)] == [1, 2]
    talk.voice(0.5).quiet(0.1).understood("what time is it").quiet(0.6).answers().quiet(5.1)
    assert [one.count for one in talk.of(events.UserIdle)] == [1, 2, 1]
    assert sum(isinstance(one, moves.Prepare) and one.verbatim for one in talk.effects) == 2


@pytest.mark.parametrize(
    "before",
    [(moves.Muted(),), (moves.Pressed(),)],
    ids=["muted", "key"],
)
def test_nobody_is_asked_while_muted_or_while_a_key_is_held(before: tuple[moves.Happened, ...]) -> None:
    talk = Talk(idle=3.0, idle_prompt="Still there?").quiet(1.0).tell(*before).quiet(30.0)
    assert not talk.of(events.UserIdle)


def test_unmuting_begins_the_silence() -> None:
    talk = Talk(idle=3.0).tell(moves.Muted()).quiet(30.0).tell(moves.Unmuted()).quiet(2.9)
    assert not talk.of(events.UserIdle)
    assert talk.quiet(0.2).of(events.UserIdle)


def test_nobody_is_asked_while_something_waits_to_be_said_or_the_session_waits_for_its_word() -> None:
    talk = Talk(idle=3.0).tell(moves.Say("Your tea is ready.")).quiet(10.0)
    assert not talk.of(events.UserIdle)
    talk = waiting(idle=3.0).quiet(60.0)
    assert not talk.of(events.UserIdle)
    talk.woken().quiet(3.1)
    assert [one.count for one in talk.of(events.UserIdle)] == [1]


def test_who_begins_to_speak_is_not_asked_whether_they_are_there() -> None:
    talk = Talk(idle=3.0, idle_prompt="Still there?").quiet(3.02)
    talk.voice(0.1)
    assert talk.state.assistant is Assistant.IDLE
    assert [one.reason for one in talk.of(events.TurnEnd)] == ["cancelled"]
    assert not [one for one in talk.effects if isinstance(one, moves.Play)]


# --- whatever happens -------------------------------------------------------------------------------------------------

HAPPENS = st.one_of(
    st.tuples(st.sampled_from(["voice", "quiet"]), st.floats(0.02, 2.0)),
    st.tuples(
        st.sampled_from(["woken", "press", "release", "mute", "unmute", "say", "type", "interrupt"]), st.just(0.0)
    ),
    st.tuples(st.sampled_from(["words", "no words", "answer", "begin to answer"]), st.just(0.0)),
)
SIMPLE: dict[str, moves.Happened] = {
    "press": moves.Pressed(),
    "release": moves.Released(),
    "mute": moves.Muted(),
    "unmute": moves.Unmuted(),
    "say": moves.Say("By the way."),
    "type": moves.Typed("what time is it"),
    "interrupt": moves.Interrupt(),
}


def happen(talk: Talk, what: str, duration: float) -> None:
    reply = talk.state.reply
    if what in ("voice", "quiet"):
        talk.hear(duration, voice=what == "voice" and not talk.state.muted)
    elif what == "woken":
        talk.woken()
    elif what in SIMPLE:
        talk.tell(SIMPLE[what])
    elif what in ("words", "no words") and talk.state.turn is not None:
        talk.understood("hey jarvis tell me more about it" if what == "words" else "")
    elif what in ("answer", "begin to answer") and reply is not None and not reply.done:
        talk.answers(play=what == "answer")


@settings(max_examples=200, deadline=None)
@given(st.lists(HAPPENS, max_size=40), st.booleans())
def test_whatever_happens(story: list[tuple[str, float]], wake: bool) -> None:
    """No sound is for a recogniser while the session waits; at most one prompt a silence; attention is told as it is."""
    rules = Rules(output_rate=OUT, idle=1.0, idle_prompt="Still there?", follow_up=3.0, reply_seconds=4.0)
    talk = Talk()
    talk.state = State(rules=Rules(**{**_fields(rules), "wake_word": WORD if wake else None}))
    prompts, told, opened = 0, "", False
    for what, duration in story:
        before = talk.state
        talk.effects.clear()
        happen(talk, what, duration)
        for effect in talk.effects:
            match effect:
                case moves.Emit(event=events.AttentionChanged(state=state)):
                    assert state != told
                    told = state
                case moves.Emit(event=events.FinalTranscript() | events.PartialTranscript() as words):
                    assert not wake or not words.text.startswith("hey")
                    if words.text:
                        prompts = 0
                case moves.Prepare(verbatim=True, text="Still there?"):
                    prompts += 1
                    assert prompts <= 1
                case moves.Prepare():
                    prompts = 0
                case moves.Listen(start=start) if wake:
                    held = talk.state.turn is not None and talk.state.turn.held
                    floor = min(before.attention.heard_from, talk.state.attention.heard_from)
                    assert held or before.turn is not None or start >= floor
                    opened = True
                case moves.Feed() if wake:
                    assert opened, "a recogniser that was never opened is fed"
        if wake and told == "waiting":
            assert talk.state.turn is None
            assert talk.state.reply is None
        assert not wake or (told == "attentive") == talk.state.attention.attentive


def _fields(rules: Rules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in rules.__slots__}
