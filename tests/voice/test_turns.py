"""The rules of turn-taking one by one: what happens, and what is done about it, as short lines that read like a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, samples_in, seconds
from locara.engines.contracts import ToolCall
from locara.gate.mouth import Mouth
from locara.testing import Conversation, Line, play
from locara.voice import events, evidence, moves
from locara.voice.dictating import BREAK_SECONDS
from locara.voice.endings import PATIENCE, PREPARE_SECONDS, silence_needed
from locara.voice.state import SOUNDING, Assistant, Rules, State, User, at_rest
from locara.voice.turns import MAX_SAYINGS, receive

OUT = 24_000
ACT, LOOK = ToolCall("1", "act", {"x": 1}), ToolCall("2", "look", {})


def line(effect: moves.Effect) -> str:  # noqa: PLR0911 -- a table
    """An effect as a person would note it down."""
    match effect:
        case moves.Emit(event=event):
            return told(event)
        case moves.Listen(turn=turn, start=start):
            return f"listen {turn} from {seconds(start):.2f}"
        case moves.Settle(turn=turn, revision=revision):
            return f"settle {turn}.{revision}"
        case moves.Prepare(reply=reply, text=text, verbatim=verbatim, saying=saying):
            return f"{f'say {saying}' if verbatim else 'prepare'} {reply}: {text}"
        case moves.Discard(reply=reply, wasted=wasted):
            return f"discard {reply}" + " wasted" * wasted
        case moves.RunTool(reply=reply, call=call):
            return f"run {call.name} for {reply}"
        case moves.Play(reply=reply, chunk=chunk):
            return f"play {reply}: {chunk.samples.size}"
        case moves.Remember(role=role, text=text, cut=cut, unheard=unheard):
            return f"remember {role}: {text}" + f" | {unheard}" * cut
        case moves.RememberTool(call=call):
            return f"remember {call.name}"
        case moves.Forget(turn=number) | moves.Commit(reply=number) | moves.Hush(reply=number):
            return f"{type(effect).__name__.lower()} {number}"
        case moves.End(reason=reason):
            return f"end: {reason}"
    return type(effect).__name__.lower()


def told(event: events.Event) -> str:  # noqa: PLR0911 -- a table
    match event:
        case events.TurnEnd(who=who, reason=reason):
            return f"= {who} {event.turn} {reason}"
        case events.BargeIn(heard_text=heard, unheard_text=unheard):
            return f"= barge-in: {heard} | {unheard}"
        case events.Resume(paused_ms=ms):
            return f"= resume {ms}"
        case events.PartialTranscript(text=text, revision=revision):
            return f"= partial {event.turn}.{revision}: {text}"
        case events.FinalTranscript(text=text) | events.LlmToken(text=text):
            return f"= {event.type}: {text}"
        case events.Rejected(text=text, reason=reason):
            return f"= rejected {reason}: {text}"
        case events.Error(code=code, stage=stage):
            return f"= error {stage} {code}"
        case events.ToolResult(interrupted=interrupted):
            return "= tool-result" + " interrupted" * interrupted
    return f"= {event.type}"


class Talk:
    """A conversation with the machine. ``lines``: what it did since `took` was asked; feeding and judging are left out."""

    def __init__(self, **rules: Any) -> None:
        self.state = State(rules=Rules(**{"output_rate": OUT, **rules}))
        self.lines: list[str] = []
        self.events: list[events.Event] = []
        self.fed = 0
        self.judged: list[moves.Judge] = []
        self.loud = 0

    def tell(self, *happened: moves.Happened) -> Talk:
        for one in happened:
            self.state, effects = receive(self.state, one)
            self.fed += sum(isinstance(effect, moves.Feed) for effect in effects)
            self.events += [effect.event for effect in effects if isinstance(effect, moves.Emit)]
            self.lines += [line(effect) for effect in effects if not isinstance(effect, moves.Feed | moves.Judge)]
            self.judged += [effect for effect in effects if isinstance(effect, moves.Judge)]
        return self

    def hear(self, duration: float, probability: float, *, loud: bool) -> Talk:
        for _ in range(round(duration * RATE / BLOCK)):
            self.loud = self.state.now + BLOCK if loud else self.loud
            self.tell(moves.Heard(BLOCK, probability, self.loud))
        return self

    def voice(self, duration: float) -> Talk:
        return self.hear(duration, 0.9, loud=True)

    def quiet(self, duration: float) -> Talk:
        return self.hear(duration, 0.0, loud=False)

    def understood(
        self, text: str, *, settled: bool = True, revision: int | None = None, confidence: float = 0.8
    ) -> Talk:
        turn = self.state.turn
        assert turn is not None
        revision = turn.revision if revision is None else revision
        return self.tell(moves.Understood(turn.id, revision, text, settled, confidence))

    def sound(self, reply: int, text: str = "It is noon.", n: int = OUT, *, done: bool = True) -> Talk:
        """The whole of a reply, or its beginning."""
        ends = len(text)
        chunk = moves.Chunk(np.full(n, 0.1, np.float32), 0, ends, (), opens=True, closes=True, text=text)
        self.tell(moves.Told(reply, text), moves.ClauseReady(reply), moves.Sounded(reply, chunk))
        return self.tell(moves.Finished(reply)) if done else self

    def played(self, reply: int, n: int) -> Talk:
        return self.tell(moves.Played(reply, n, self.state.now))

    def asked(self, text: str = "what time is it") -> Talk:
        """A turn that is decided; its reply is not here yet."""
        return self.voice(0.5).quiet(0.1).understood(text).quiet(PATIENCE["normal"].last)

    def speaking(self, text: str = "It is noon now.", n: int = 4 * OUT, *, done: bool = True) -> Talk:
        """The reply to a turn is heard: a quarter of it was played."""
        self.asked().sound(0, text, n, done=done).played(0, n // 4)
        self.took()
        return self

    def took(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    @property
    def now(self) -> tuple[User, Assistant]:
        return self.state.user, self.state.assistant


# --- voice and pauses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("duration", "opens"), [(0.02, False), (0.04, False), (0.06, True), (0.5, True)])
def test_only_voice_that_lasts_opens_a_turn(duration: float, opens: bool) -> None:
    talk = Talk().voice(duration)
    assert talk.took() == (["listen 0 from 0.00", "= speech-start"] if opens else [])
    assert talk.fed == max(0, round((duration - 0.06) / 0.02)) * opens


def test_the_recogniser_gets_the_sound_from_before_the_onset() -> None:
    assert Talk().quiet(1.0).voice(0.06).took()[0] == "listen 0 from 0.70"


def test_voice_once_on_stays_on_a_little_lower() -> None:
    assert Talk().hear(1.0, 0.4, loud=True).took() == []
    talk = Talk().voice(0.1).hear(1.0, 0.4, loud=True)
    assert talk.now == (User.TALKING, Assistant.IDLE)
    assert talk.hear(0.04, 0.3, loud=True).now == (User.PAUSING, Assistant.IDLE)


@pytest.mark.parametrize(
    ("loud_for", "speech_end"),
    [(1.0, 1.0), (0.9, 0.9), (0.76, 0.76), (0.5, 0.75), (1.04, 1.0)],
)
def test_speech_ended_where_the_sound_did_but_at_most_a_hangover_before_the_voice(
    loud_for: float, speech_end: float
) -> None:
    talk = Talk()
    for block in range(round(1.04 * RATE / BLOCK)):
        end = (block + 1) * BLOCK
        talk.tell(moves.Heard(BLOCK, 0.9 if end <= RATE else 0.0, min(end, round(loud_for * RATE))))
    assert talk.state.turn is not None
    assert seconds(talk.state.turn.speech_end) == pytest.approx(speech_end)


def test_a_pause_is_told_and_then_the_words_are_asked_for_once() -> None:
    talk = Talk().voice(1.0)
    talk.took()
    assert talk.quiet(0.06).took() == []
    assert talk.quiet(0.02).took() == ["settle 0.0"]
    assert talk.quiet(0.02).took() == ["= speech-end"]
    fed = talk.fed
    assert talk.quiet(1.0).took() == []
    assert talk.fed == fed, "silence is given to the recogniser although it was asked already"


# --- is the turn over? ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", PATIENCE)
@pytest.mark.parametrize(
    "text",
    ["what time is it", "my dog", "i want the", None],
)
def test_a_turn_is_decided_after_the_silence_its_words_need(patience: str, text: str | None) -> None:
    talk = Talk(patience=PATIENCE[patience]).voice(1.0).quiet(0.1)
    if text is not None:
        talk.understood(text)
    while talk.state.user is User.PAUSING:
        talk.quiet(0.02)
        assert talk.state.now < 9 * RATE
    assert talk.state.user is User.YIELDED
    assert seconds(talk.state.now) - 1.0 == pytest.approx(silence_needed(text, PATIENCE[patience]), abs=0.021)


@pytest.mark.parametrize(("confidence", "decided"), [(0.8, True), (0.1, False)])
def test_misheard_digits_are_given_time_for_the_next_group(confidence: float, decided: bool) -> None:
    needed = silence_needed("they go", PATIENCE["normal"], confidence=confidence)
    talk = Talk().voice(2.0).quiet(0.1).understood("they go", confidence=confidence).quiet(needed)
    assert (talk.state.user is User.YIELDED) is decided


@pytest.mark.parametrize(("gap", "breaks"), [(0.15, 1), (BREAK_SECONDS + 0.1, 0)])
def test_pauses_that_are_hardly_one_are_counted(gap: float, breaks: int) -> None:
    talk = Talk().voice(0.5).quiet(gap).voice(0.5)
    assert talk.state.turn is not None
    assert talk.state.turn.breaks == breaks
    talk.quiet(gap).voice(0.5)
    assert talk.state.turn.breaks == 2 * breaks


@pytest.mark.parametrize(("gap", "decided"), [(0.0, True), (0.15, False)])
def test_a_voice_that_breaks_off_again_and_again_is_given_time(gap: float, decided: bool) -> None:
    talk = Talk().voice(0.5)
    for _ in range(3):
        if gap:
            talk.quiet(gap)
        talk.voice(0.5)
    needed = silence_needed("they go again", PATIENCE["normal"], voiced=2.0, confidence=0.4)
    talk.quiet(0.1).understood("they go again", confidence=0.4).quiet(needed)
    assert (talk.state.user is User.YIELDED) is decided


def test_a_reply_is_prepared_while_the_turn_is_still_being_decided_and_counts_when_it_is() -> None:
    talk = Talk().voice(1.0).quiet(0.1)
    talk.took()
    assert talk.understood("what time is it").took() == ["= partial 0.0: what time is it", "prepare 0: what time is it"]
    assert talk.sound(0, "It is noon.", 500).took() == [], "something was told of a reply that does not count"
    assert talk.quiet(0.4).took() == [
        "forget 0",
        "= final-transcript: what time is it",
        "remember user: what time is it",
        "commit 0",
        "= llm-token: It is noon.",
        "play 0: 500",
        "= audio-chunk",
    ]
    assert talk.now == (User.QUIET, Assistant.SPEAKING)


def test_a_decided_turn_waits_for_a_reply_that_has_something_to_show() -> None:
    talk = Talk().asked()
    talk.took()
    assert talk.tell(moves.Told(0, "It "), moves.ClauseReady(0)).took() == []
    assert "commit 0" in talk.sound(0).took()


def test_words_that_want_more_are_not_answered_before_the_turn_is_decided() -> None:
    talk = Talk().voice(1.0).quiet(0.1).understood("my name is")
    talk.took()
    due = silence_needed("my name is", PATIENCE["normal"])
    assert talk.quiet(due - PREPARE_SECONDS - 0.14).took() == []
    assert talk.quiet(0.06).took() == ["prepare 0: my name is"]
    assert talk.sound(0).quiet(PREPARE_SECONDS - 0.1).state.user is User.PAUSING
    assert "commit 0" in talk.quiet(0.2).took()


def test_the_end_of_turn_model_is_asked_once_in_each_pause_and_believed_for_that_pause_only() -> None:
    talk = Talk().voice(1.0).quiet(0.3)
    assert talk.judged == [moves.Judge(0, 0, 0)]
    talk.understood("my name is").tell(moves.Judged(0, 0, 0.97)).quiet(0.02)
    assert talk.state.user is User.YIELDED, "it sounded finished, whatever the words"
    talk.voice(0.5).quiet(0.3).understood("my name is")
    assert talk.judged[1:] == [moves.Judge(0, 1, 0)]
    assert talk.tell(moves.Judged(0, 0, 0.97)).quiet(0.5).state.user is User.PAUSING, "that was about another pause"
    assert talk.tell(moves.Judged(0, 1, 0.97)).quiet(0.02).state.user is User.YIELDED


def test_the_same_words_again_keep_the_reply_and_other_words_do_not() -> None:
    for again, lines in (
        ("What time is it?", ["= partial 0.1: What time is it?"]),
        (
            "what time is it now",
            ["= partial 0.1: what time is it now", "discard 0 wasted", "prepare 1: what time is it now"],
        ),
    ):
        talk = Talk().voice(1.0).quiet(0.1).understood("what time is it").voice(0.1).quiet(0.1)
        assert talk.took()[-4:] == ["listen 0 from 0.80", "= speech-start", "settle 0.1", "= speech-end"]
        assert talk.understood(again).took() == lines


def test_whoever_really_goes_on_has_the_reply_thrown_away_at_once() -> None:
    talk = Talk().voice(1.0).quiet(0.1).understood("what time is it").voice(0.34)
    assert "discard 0 wasted" not in talk.took()
    assert talk.voice(0.02).took() == ["discard 0 wasted"]


def test_a_turn_that_was_decided_too_early_goes_on_as_long_as_nothing_was_heard() -> None:
    talk = Talk().asked()
    assert talk.now == (User.YIELDED, Assistant.PREPARING)
    talk.took()
    assert talk.voice(0.06).took() == ["listen 0 from 2.80", "= speech-start"]
    assert talk.sound(0).took() == [], "the reply to half of it was heard"
    talk.voice(0.5).quiet(0.1).understood("what time is it in rome").sound(1)
    assert "= final-transcript: what time is it in rome" in talk.quiet(0.5).took()


def test_words_of_another_revision_or_turn_change_nothing() -> None:
    talk = Talk().voice(1.0).quiet(0.1).understood("what time is it").voice(0.1).quiet(0.1)
    talk.took()
    before = talk.state
    talk.understood("what", revision=0).tell(moves.Understood(7, 1, "x", settled=True))
    assert talk.took() == []
    assert talk.state == before


def test_settled_words_are_not_unsettled() -> None:
    talk = Talk().voice(1.0).quiet(0.1).understood("what time is it")
    talk.took()
    assert talk.understood("what", settled=False).took() == []
    assert talk.understood("what time is it").took() == [], "told twice"


@pytest.mark.parametrize("text", ["", "..."])
def test_a_turn_without_words_ends_with_an_event(text: str) -> None:
    talk = Talk().voice(0.5).quiet(0.1)
    talk.took()
    assert talk.understood(text).took() == ([f"= partial 0.0: {text}"] if text else [])
    assert talk.quiet(0.38).took() == [], "the word may only just have begun"
    assert talk.quiet(0.02).took() == ["forget 0", f"= rejected no-words: {text}", "= user 0 no-words"]
    assert at_rest(talk.state)


def test_a_brain_without_words_answers_the_sound_itself() -> None:
    talk = Talk(words=False).voice(0.5).quiet(0.1).understood("")
    assert "prepare 0: " in talk.took()
    lines = talk.sound(0).quiet(0.8).took()
    assert "commit 0" in lines
    assert not any(one.startswith("= final") for one in lines)


@pytest.mark.parametrize("goes_on", [False, True])
def test_no_turn_goes_on_for_ever(goes_on: bool) -> None:
    talk = Talk().voice(evidence.MAX_TURN_SECONDS + 0.1)
    talk.took()
    (talk.voice if goes_on else talk.quiet)(2.0)
    assert talk.now == (User.YIELDED, Assistant.IDLE)
    assert [one for one in talk.took() if one != "= speech-end"] == []
    talk.understood("and now the news").sound(0)
    assert "= user 0 too-long" in talk.played(0, 100).took()


# --- two voices at once -----------------------------------------------------------------------------------------------


def test_a_blip_only_lowers_the_reply() -> None:
    talk = Talk().speaking()
    assert talk.voice(0.02).took() == ["duck"]
    assert talk.quiet(0.08).took() == []
    assert talk.quiet(0.02).took() == ["goon", "= resume 0"]
    assert talk.now == (User.QUIET, Assistant.SPEAKING)


@pytest.mark.parametrize("text", ["mm-hm", "yeah, right"])
def test_a_backchannel_makes_the_reply_stand_still_and_go_on(text: str) -> None:
    talk = Talk().speaking()
    assert talk.voice(0.24).took() == ["duck", "listen 1 from 2.80", "= speech-start"]
    assert talk.voice(0.02).took() == ["hold"]
    assert talk.voice(0.14).quiet(0.1).took() == ["settle 1.0", "= speech-end"]
    assert talk.understood(text).took() == [f"= partial 1.0: {text}"]
    assert talk.quiet(0.14).took() == [], "there may be more to come"
    assert talk.quiet(0.02).took() == [
        "forget 1",
        f"= rejected backchannel: {text}",
        "= user 1 backchannel",
        "goon",
        "= resume 400",
    ]
    assert talk.now == (User.QUIET, Assistant.SPEAKING)


def test_a_noise_without_words_gives_the_floor_back_when_none_have_come_in_time() -> None:
    talk = Talk().speaking().voice(0.4)
    assert talk.quiet(0.58).took()[-2:] == ["settle 1.0", "= speech-end"]
    assert talk.quiet(0.02).took() == ["forget 1", "= rejected no-words: ", "= user 1 no-words", "goon", "= resume 740"]


@pytest.mark.parametrize(("text", "settled"), [("stop", False), ("rome", True)])
def test_words_that_want_the_floor_get_it_and_are_a_turn_of_their_own(text: str, settled: bool) -> None:
    talk = Talk().speaking("One two three four.").voice(0.3)
    if settled:
        talk.quiet(0.1)
    talk.took()
    taken = [
        f"= partial 1.0: {text}",
        "= barge-in: One two | three four.",
        "remember assistant: One two | three four.",
        "discard 0",
        "hush 0",
        "= assistant 0 interrupted",
    ]
    assert talk.understood(text, settled=settled).took() == taken + [f"prepare 1: {text}"] * settled
    assert talk.now == (User.PAUSING if settled else User.TALKING, Assistant.PREPARING if settled else Assistant.IDLE)
    assert talk.sound(0).played(0, OUT).took() == [], "something of a reply after its end"
    if not settled:
        assert f"prepare 1: {text}" in talk.quiet(0.1).understood(text).took()


def test_what_a_cancelled_engine_still_sends_is_not_taken_for_the_next_reply() -> None:
    talk = Talk().speaking().voice(0.3).understood("stop and tell me the time", settled=False).voice(0.3)
    talk.quiet(0.1).understood("stop and tell me the time").quiet(0.5).sound(1, "It is one.", 500, done=False)
    assert talk.now == (User.QUIET, Assistant.SPEAKING)
    talk.took()
    late = moves.Chunk(np.full(10, 0.1, np.float32), 0, 1, (), opens=True, closes=True)
    talk.tell(moves.Told(0, "late"), moves.Sounded(0, late), moves.Wanted(0, ACT, side_effects=True), moves.Finished(0))
    assert talk.played(0, 900).took() == []


def test_whoever_talks_on_has_the_floor_before_any_word_is_known() -> None:
    talk = Talk().speaking().voice(0.88)
    assert "hush 0" not in talk.took()
    assert "= barge-in: It is | noon now." in talk.voice(0.02).took()


@pytest.mark.parametrize(("first", "outcome"), [(0.44, "= resume 3760"), (0.2, "hush 0")])
def test_a_reply_does_not_stand_still_for_ever(first: float, outcome: str) -> None:
    talk = Talk().speaking().voice(0.3).quiet(first).voice(0.06)
    for _ in range(7):  # murmurs: too little voice for the floor, never silence enough to be nothing
        assert talk.state.assistant is Assistant.HELD
        talk.quiet(0.44).voice(0.06)
    assert outcome in talk.took(), "at the deadline, who makes a sound has the floor"


def test_a_reply_that_plays_out_while_the_user_talks_just_ends() -> None:
    talk = Talk().speaking(n=4 * OUT).voice(0.1).played(0, 4 * OUT)
    assert talk.took()[-3:] == ["discard 0", "goon", "= assistant 0 finished"]
    assert talk.voice(0.4).quiet(0.1).understood("mm-hm").took()[-1] == "prepare 1: mm-hm", "then it is a turn"


def test_a_reply_that_plays_out_while_it_is_lowered_does_not_lower_the_next() -> None:
    first = Line(0.5, "what time is it")
    ends = play(Conversation([first], replies=["It is noon."])).turn_ends("assistant")[0].t
    both = [first, Line(ends - 0.1, "and what about tomorrow then")]
    result = play(Conversation(both, replies=["It is noon.", "Tomorrow is monday."]))
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    assert not result.of("barge-in", "resume"), "this is another scene than the one to be looked at"
    begins = min(chunk.t for chunk in result.of("audio-chunk") if chunk.turn == 1) + 0.1
    second = result.output[round(begins * result.output_rate) :]
    assert np.max(np.abs(second)) > 0.1


@pytest.mark.parametrize("text", ["what about", "if they", "the man"])
def test_two_words_that_are_only_guessed_at_do_not_take_the_floor_of_a_murmur(text: str) -> None:
    talk = Talk().speaking().voice(0.3).understood(text, settled=False)
    assert talk.state.assistant is Assistant.HELD, "nothing of it can be heard meanwhile"
    assert "hush 0" in talk.voice(0.4).took(), "but somebody who talks on means it"
    talk = Talk().speaking().voice(0.36).understood(text, settled=False).quiet(0.1).understood("")
    assert "goon" in talk.quiet(0.25).took()


def test_a_name_counts_though_the_recogniser_took_it_back() -> None:
    talk = Talk().speaking().voice(0.6).understood("jarvis", settled=False).quiet(0.1).understood("")
    assert "hush 0" in talk.quiet(0.25).took()


def test_yes_is_an_answer_after_a_question_only() -> None:
    for question, outcome in (("Do you want it? Then say so.", "hush 0"), ("You want it. Then say so.", "goon")):
        talk = Talk().speaking(question, 4 * OUT, done=True).tell(moves.Played(0, 2 * OUT))
        talk.voice(0.36).quiet(0.1).understood("yes").quiet(0.25)
        assert outcome in talk.took()


@pytest.mark.parametrize(("heard", "taken"), [(0.1, True), (0.5, True), (1.0, False)])
def test_who_goes_on_when_a_reply_has_only_begun_has_the_floor_with_the_first_word(heard: float, taken: bool) -> None:
    talk = Talk().asked("i would like a large coffee").sound(0, n=4 * OUT).played(0, round(heard * OUT))
    talk.took()
    talk.voice(0.3).understood("and", settled=False)
    assert ("hush 0" in talk.took()) is taken


def test_what_the_app_says_is_not_spoken_into_a_pause() -> None:
    talk = Talk().tell(moves.Say("It is noon now.")).sound(0, n=4 * OUT).played(0, OUT // 10)
    talk.took()
    assert "hush 0" not in talk.voice(0.3).understood("and", settled=False).took()


# --- whose words are they, and were they said at all? -----------------------------------------------------------------


def test_our_own_words_are_rejected_and_the_reply_goes_on() -> None:
    talk = Talk().speaking("One two three four five six seven eight.", 4 * OUT)  # a quarter: "... two three"
    talk.voice(0.24).played(0, round(1.2 * OUT)).voice(0.12).understood("to three ah", settled=False)
    assert "hush 0" not in talk.voice(0.2).took(), "they would be three telling words"
    talk.quiet(0.1).understood("two three").quiet(0.2)
    assert talk.took()[-4:] == ["= rejected echo: two three", "= user 1 echo", "goon", "= resume 560"]


def test_our_own_last_words_are_no_turn_when_they_come_after_the_end_of_the_reply() -> None:
    talk = Talk().speaking("One two three four five six seven eight.", 4 * OUT).played(0, 4 * OUT)
    assert "= assistant 0 finished" in talk.took()
    talk.quiet(0.1).voice(0.3).quiet(0.1).understood("eight")
    assert talk.took()[-2:] == ["= rejected echo: eight", "= user 1 echo"]
    talk = Talk().speaking("One two three four five six seven eight.", 4 * OUT).played(0, 4 * OUT)
    talk.quiet(0.6).voice(0.5).quiet(0.1).understood("eight")
    assert talk.took()[-1] == "prepare 1: eight", "a person repeats it"


def test_a_user_who_says_other_words_is_heard_among_ours() -> None:
    talk = Talk().speaking("One two three four five six seven eight.", 4 * OUT)
    talk.voice(0.7).understood("what about three", settled=False)
    assert "hush 0" in talk.took()


def test_more_words_than_there_was_voice_for_were_not_said() -> None:
    talk = Talk().voice(0.2).quiet(0.1).understood("i would like to have ten large cups of coffee")
    assert talk.took()[-2:] == [
        "= rejected no-speech: i would like to have ten large cups of coffee",
        "= user 0 no-speech",
    ]
    assert talk.now == (User.QUIET, Assistant.IDLE)
    talk = Talk().voice(0.4).quiet(0.1).understood("thank you thank you thank you")
    assert talk.took()[-1] == "= user 0 hallucination"
    talk = Talk().speaking().voice(0.3).quiet(0.1).understood("thank you thank you thank you").quiet(0.2)
    assert "goon" in talk.took(), "nor do they stop a reply"


def test_what_was_prepared_for_words_that_nobody_said_is_thrown_away() -> None:
    talk = Talk().voice(0.4).quiet(0.1).understood("what time is it")
    talk.voice(0.06).quiet(0.1).understood("what time is it thank you thank you thank you thank you")
    assert "prepare 1" not in "".join(talk.took())
    assert talk.state.reply is None


def test_a_key_that_is_held_outweighs_every_doubt() -> None:
    talk = Talk(open_mic=False).quiet(0.5).tell(moves.Pressed()).voice(0.1).quiet(0.3).tell(moves.Released())
    talk.quiet(0.32).understood("i would like to have ten large cups of coffee")
    assert talk.took()[-1].startswith("prepare 0: i would like")


# --- what the app asks for --------------------------------------------------------------------------------------------


def test_typed_text_is_a_turn_at_once() -> None:
    talk = Talk().quiet(1.0).tell(moves.Typed(" hello "))
    assert talk.took() == ["prepare 0: hello"]
    assert talk.voice(0.5).took() == [], "a voice reopened what was typed"
    talk.sound(0).played(0, 10)
    assert "= final-transcript: hello" in talk.took()
    end = next(one for one in talk.events if isinstance(one, events.TurnEnd))
    assert (end.who, end.reason, end.speech_end) == ("user", "typed", None)
    assert Talk().tell(moves.Typed("  ")).took() == []


def test_typed_text_takes_the_floor_and_the_place_of_what_was_being_said() -> None:
    lines = Talk().speaking().tell(moves.Typed("hello")).took()
    assert lines[0] == "= barge-in: It is | noon now."
    assert lines[-2:] == ["= assistant 0 interrupted", "prepare 1: hello"]
    talk = Talk().voice(0.5).understood("what time", settled=False)
    talk.took()
    expected = ["forget 0", "= rejected replaced: what time", "= user 0 replaced", "prepare 0: hello"]
    assert talk.tell(moves.Typed("hello")).took() == expected


def test_sayings_wait_for_the_floor_and_come_in_their_order() -> None:
    talk = Talk().tell(moves.Say("One.", 5), moves.Say("Two.", 6), moves.Say(" ", 7))
    assert talk.took() == ["say 5 0: One."]
    assert talk.sound(0, "One.", 100).took()[:2] == ["= llm-token: One.", "play 0: 100"]
    talk.voice(0.02)
    assert talk.played(0, 100).took()[-1] == "= assistant 0 finished"
    assert talk.quiet(0.02).took() == ["say 6 1: Two."]
    assert talk.tell(moves.Interrupt()).took() == ["discard 1", "hush 1", "= assistant 1 cancelled"]


def test_only_so_many_sayings_may_wait() -> None:
    talk = Talk().speaking()
    for number in range(MAX_SAYINGS):
        assert talk.tell(moves.Say("Yes.", number)).took() == []
    assert talk.tell(moves.Say("Too much.", 99)).took() == ["= error say too-many-sayings"]
    assert len(talk.state.sayings) == MAX_SAYINGS


def test_an_interrupt_ends_the_reply_or_the_waiting_and_what_waits_to_be_said() -> None:
    assert Talk().tell(moves.Interrupt()).took() == []
    talk = Talk().speaking().tell(moves.Say("Later.", 1), moves.Interrupt())
    remembered = "remember assistant: It is | noon now."
    assert talk.took() == [remembered, "discard 0", "hush 0", "= assistant 0 cancelled"]
    assert at_rest(talk.state)
    talk = Talk().asked()
    talk.took()
    assert talk.tell(moves.Interrupt()).took() == [
        "discard 0 wasted",
        "forget 0",
        "= final-transcript: what time is it",
        "remember user: what time is it",
        "= user 0 cancelled",
    ]
    talk = Talk().voice(0.5)
    talk.took()
    assert talk.tell(moves.Interrupt()).took() == [], "the user's own words are not interrupted"


def test_muting_ends_what_was_being_said_and_nothing_else() -> None:
    for talk in (Talk().voice(0.5), Talk().voice(0.5).quiet(0.06)):
        talk.took()
        lines = talk.tell(moves.Muted()).took()
        assert lines == ["forget 0", "= rejected muted: ", "= user 0 muted"]
        assert at_rest(talk.state)
    for talk in (Talk(), Talk().asked(), Talk().speaking()):
        before = talk.now
        talk.took()
        assert talk.tell(moves.Muted()).took() == []
        assert talk.now == before
    talk = Talk().speaking().voice(0.3)
    talk.took()
    assert talk.tell(moves.Muted()).took()[-2:] == ["goon", "= resume 40"]


# --- push to talk -----------------------------------------------------------------------------------------------------


def test_the_key_holds_a_turn_with_its_pre_roll_and_its_tail_whatever_voice_activity_says() -> None:
    talk = Talk(open_mic=False).quiet(1.0)
    assert talk.tell(moves.Pressed()).took() == ["listen 0 from 0.70", "= speech-start"]
    assert talk.quiet(3.0).voice(1.0).quiet(3.0).took() == [], "the held turn was ended"
    assert talk.tell(moves.Released()).quiet(0.28).took() == []
    assert talk.quiet(0.02).took() == ["= speech-end", "settle 0.0"]
    assert talk.now == (User.YIELDED, Assistant.IDLE)
    talk.understood("i want the").sound(0).played(0, 10)
    assert "= user 0 released" in talk.took()
    assert talk.fed == round(7.3 * RATE / BLOCK)


def test_with_the_key_only_a_voice_alone_does_nothing() -> None:
    assert Talk(open_mic=False).voice(2.0).took() == []
    talk = Talk(open_mic=False).tell(moves.Pressed()).voice(1.0).tell(moves.Released()).quiet(0.4)
    talk.understood("what time is it").sound(0).played(0, 100)
    talk.took()
    assert talk.voice(2.0).took() == [], "a voice lowered the reply"


def test_the_key_ends_a_reply_at_once() -> None:
    talk = Talk().speaking()
    lines = talk.tell(moves.Pressed()).took()
    assert lines[0] == "= barge-in: It is | noon now."
    assert lines[-3:] == ["= assistant 0 interrupted", "listen 1 from 2.80", "= speech-start"]


def test_the_key_pressed_while_a_typed_text_waits_for_its_reply_opens_another_turn() -> None:
    talk = Talk(open_mic=False).quiet(1.0).tell(moves.Typed("what time is it"))
    talk.took()
    lines = talk.tell(moves.Pressed()).took()
    assert "= final-transcript: what time is it" in lines
    assert "= user 0 replaced" in lines
    assert lines[-2:] == ["listen 1 from 0.70", "= speech-start"]


@pytest.mark.parametrize(("released_for", "revision"), [(0.1, 0), (0.5, 1)])
def test_the_key_pressed_again_before_a_reply_counts_goes_on_with_the_turn(released_for: float, revision: int) -> None:
    talk = Talk(open_mic=False).tell(moves.Pressed()).voice(1.0).tell(moves.Released()).quiet(released_for)
    talk.tell(moves.Pressed()).voice(1.0).tell(moves.Released()).quiet(0.3)
    assert talk.took()[-2:] == ["= speech-end", f"settle 0.{revision}"]
    assert talk.state.turn is not None
    assert talk.state.turn.reason == "released"


def test_the_key_makes_a_held_turn_of_one_that_voice_opened() -> None:
    talk = Talk().voice(0.5).tell(moves.Pressed()).quiet(3.0)
    assert talk.now == (User.TALKING, Assistant.IDLE)
    talk.tell(moves.Released()).quiet(0.3)
    assert talk.now == (User.YIELDED, Assistant.IDLE)


# --- failing ----------------------------------------------------------------------------------------------------------


def failed(stage: str, *, reply: int | None = None, turn: int | None = None) -> moves.Failed:
    return moves.Failed(stage, "engine-failed", "it broke", "mend it", reply, turn)


def test_a_recogniser_that_fails_while_the_user_speaks_is_told_and_asked_again() -> None:
    talk = Talk().voice(0.5)
    talk.took()
    assert talk.tell(failed("stt", turn=0)).took() == ["= error stt engine-failed"]
    assert talk.quiet(0.1).took() == ["settle 0.0", "= speech-end"]


def test_after_that_it_is_what_was_understood_that_counts_or_the_end() -> None:
    talk = Talk().voice(0.5).understood("what time is it", settled=False).quiet(0.1)
    talk.took()
    assert talk.tell(failed("stt", turn=0)).took() == ["= error stt engine-failed", "prepare 0: what time is it"]
    for talk in (Talk().voice(0.5).quiet(0.1), Talk().voice(0.5).quiet(3.0)):
        talk.took()
        assert talk.tell(failed("stt", turn=0)).took() == ["= error stt engine-failed", "forget 0", "= user 0 failed"]
        assert at_rest(talk.state)


def test_a_reply_that_failed_before_it_counted_is_told_when_the_turn_is_decided() -> None:
    talk = Talk().voice(0.5).quiet(0.1).understood("what time is it")
    talk.took()
    assert talk.tell(failed("llm", reply=0)).took() == []
    lines = talk.quiet(0.4).took()
    assert lines[-5:-3] == ["= error llm engine-failed", "= user 0 complete"]
    assert lines[-1] == "= assistant 0 failed"
    assert at_rest(talk.state)


def test_a_reply_that_fails_while_it_is_heard_says_what_it_has_and_ends() -> None:
    talk = Talk().speaking(done=False)
    assert talk.tell(failed("tts", reply=0)).took() == ["= error tts engine-failed"]
    lines = talk.played(0, 4 * OUT).took()
    assert lines == ["remember assistant: It is noon now. | ", "discard 0", "hush 0", "= assistant 0 failed"]


def test_failures_of_what_is_over_are_nothing_and_those_of_the_session_are_told() -> None:
    talk = Talk().speaking()
    assert talk.tell(failed("tts", reply=9), failed("stt", turn=9)).took() == []
    assert talk.tell(failed("llm")).took() == ["= error llm engine-failed"]


@pytest.mark.parametrize(("settled", "stage"), [(False, "stt"), (True, "reply")])
def test_a_decided_turn_that_gets_no_sound_fails_in_time(settled: bool, stage: str) -> None:
    talk = Talk(reply_seconds=5.0).voice(0.5).quiet(0.1)
    if settled:
        talk.understood("what time is it")
    else:
        talk.understood("what time", settled=False)
    talk.quiet(2.5)
    talk.took()
    lines = talk.quiet(5.1).took()
    assert f"= error {stage} engine-timeout" in lines
    assert any(one.startswith("remember user: what time") for one in lines), "the words were lost"
    assert "= user 0 failed" in lines or "= assistant 0 failed" in lines
    assert at_rest(talk.state)


@pytest.mark.parametrize(("n", "stage"), [(4 * OUT, "output"), (OUT, "reply")])
def test_a_reply_that_neither_grows_nor_plays_is_ended(n: int, stage: str) -> None:
    talk = Talk(stall_seconds=3.0).speaking(n=4 * OUT, done=False).played(0, n if stage == "output" else 4 * OUT)
    talk.played(0, OUT if stage == "output" else 4 * OUT)
    talk.took()
    assert talk.quiet(2.96).took() == []
    lines = talk.quiet(0.08).took()
    assert lines[0] == f"= error {stage} stalled"
    assert lines[-1] == "= assistant 0 failed"
    talk = Talk(stall_seconds=0.4).speaking().voice(0.3).hear(0.3, 0.9, loud=True)
    assert talk.state.assistant is Assistant.HELD, "a reply that stands still on purpose was ended"


# --- tools, latency, ending -------------------------------------------------------------------------------------------


def test_a_tool_that_acts_waits_for_the_turn_and_one_that_looks_does_not() -> None:
    talk = Talk().voice(0.5).quiet(0.1).understood("what time is it")
    talk.took()
    assert talk.tell(moves.Wanted(0, LOOK, side_effects=False)).took() == ["run look for 0"]
    assert talk.tell(moves.ToolRan(0, 0, LOOK, 1), moves.Wanted(0, ACT, side_effects=True)).took() == []
    lines = talk.quiet(0.4).took()
    assert lines[-5:] == ["= tool-call", "= tool-result", "remember look", "= tool-call", "run act for 0"]
    assert talk.tell(moves.ToolRan(0, 0, ACT, 2)).took() == ["= tool-result", "remember act"]


def test_the_result_of_a_tool_is_told_even_when_its_reply_is_gone() -> None:
    talk = Talk().asked().tell(moves.Wanted(0, ACT, side_effects=True), moves.Interrupt())
    talk.took()
    assert talk.tell(moves.ToolRan(0, 0, ACT, 2)).took() == ["= tool-result interrupted", "remember act"]


def test_the_turn_ends_with_the_first_audible_sample_and_its_ledger() -> None:
    talk = Talk().asked().sound(0)
    assert not any(isinstance(one, events.TurnEnd) for one in talk.events)
    talk.tell(
        moves.Played(0, 100, None), moves.Played(0, 200, talk.state.now + 320), moves.Played(0, 300, talk.state.now)
    )
    [end] = [one for one in talk.events if isinstance(one, events.TurnEnd)]
    assert (end.who, end.reason, end.speech_end) == ("user", "complete", 0.5)
    assert end.latency is not None
    assert end.latency.total == pytest.approx(seconds(talk.state.now + 320) - 0.5)
    needed = silence_needed("what time is it", PATIENCE["normal"])
    assert end.latency.endpoint == pytest.approx(needed, abs=0.02)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("It is noon.", "finished"), ("", "empty")],
)
def test_a_reply_ends_when_it_is_complete_and_has_left_the_output(text: str, reason: str) -> None:
    talk = Talk().asked()
    if text:
        talk.sound(0, text, 500, done=False).played(0, 500)
        assert talk.state.assistant in SOUNDING
    talk.took()
    lines = talk.tell(moves.Finished(0)).took()
    assert lines[-1] == f"= assistant 0 {reason}"
    assert (f"remember assistant: {text}" in lines) == bool(text)


@pytest.mark.parametrize("where", ["rest", "talking", "pausing", "yielded", "speaking", "held", "saying"])
def test_stopping_ends_everything_from_every_state(where: str) -> None:
    begin: dict[str, Callable[[], Talk]] = {
        "rest": Talk,
        "talking": lambda: Talk().voice(0.5),
        "pausing": lambda: Talk().voice(0.5).quiet(0.1),
        "yielded": lambda: Talk().asked(),
        "speaking": lambda: Talk().speaking(),
        "held": lambda: Talk().speaking().voice(0.3),
        "saying": lambda: Talk().tell(moves.Say("One."), moves.Say("Two.")),
    }
    talk = begin[where]()
    lines = talk.tell(moves.Stop("enough")).took()
    assert lines[-1] == "end: enough"
    assert talk.state.ended
    assert at_rest(talk.state)
    assert sum(one.endswith(" stopped") for one in lines) == {"rest": 0, "held": 2}.get(where, 1)
    assert talk.voice(1.0).tell(moves.Typed("x"), moves.Stop()).took() == []


def test_what_the_effects_do_to_a_real_mouth_is_what_they_say() -> None:
    talk, mouth = Talk().speaking(), Mouth(OUT)
    mouth.play(0, np.full(OUT, 0.4, np.float32))
    for act, level in (("voice", 0.4 * 10 ** (-15 / 20)), ("hold", 0.0), ("go on", 0.4)):
        talk.voice(0.02 if act == "voice" else 0.3) if act != "go on" else talk.quiet(0.7)
        for one in talk.took():
            if one in ("duck", "hold", "goon"):
                {"duck": mouth.duck, "hold": mouth.hold, "goon": mouth.go_on}[one]()
        mouth.render(960)
        assert float(mouth.render(960)[0]) == pytest.approx(level, abs=1e-4)


def test_what_our_own_echo_explains_is_no_voice_and_what_it_does_not_must_last_a_little_longer() -> None:
    state = State()
    for _ in range(50):
        state, effects = receive(state, moves.Heard(BLOCK, 0.99, echo=0.8))
        assert not effects
    assert not state.voice
    opened = 0.0
    while state.turn is None:
        state, _ = receive(state, moves.Heard(BLOCK, 0.99, echo=0.2))
        opened += BLOCK / RATE
    assert opened == pytest.approx(evidence.ECHO_ONSET_SECONDS)


def _heard(talk: Talk, seconds: float, probability: float, echo: float, pitch: float) -> Talk:
    for _ in range(round(seconds * RATE / BLOCK)):
        talk.loud = talk.state.now + BLOCK
        talk.tell(moves.Heard(BLOCK, probability, talk.loud, echo=echo, pitch=pitch))
    return talk


def _over_our_echo(talk: Talk, seconds: float, pitch: float) -> Talk:
    return _heard(talk, seconds, 0.9, 0.2, pitch)


@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.7])
def test_words_of_a_voice_over_our_echo_count_only_if_it_had_a_pitch(seconds: float) -> None:
    voice = _over_our_echo(Talk().speaking(), seconds, 0.9).quiet(0.1).understood("in london please")
    assert any(one.startswith("= barge-in") for one in voice.took())
    noise = _over_our_echo(Talk().speaking(), seconds, 0.3).quiet(0.1).understood("in london please").quiet(0.3)
    took = noise.took()
    assert "goon" in took
    assert "= rejected no-speech: in london please" in took
    assert noise.state.assistant is Assistant.SPEAKING


def test_over_our_echo_stop_needs_no_pitch_and_neither_does_who_talks_on() -> None:
    stop = _over_our_echo(Talk().speaking(), 0.3, 0.0).understood("stop", settled=False)
    assert stop.state.turn is not None
    assert not stop.state.turn.over
    whisper = _over_our_echo(Talk().speaking(), evidence.TAKE_SECONDS + 0.1, 0.0)
    assert whisper.state.turn is not None
    assert not whisper.state.turn.over


def test_a_pitch_counts_from_before_the_turn_opened_and_from_all_its_parts() -> None:
    talk = _over_our_echo(Talk().speaking(), evidence.CLEAR_SECONDS, 0.9)
    _over_our_echo(talk, 0.2, 0.0)
    assert talk.state.turn is not None
    assert talk.state.turn.clear == samples_in(evidence.CLEAR_SECONDS)
    _over_our_echo(talk.quiet(0.1), 0.1, 0.9)
    assert talk.state.turn.clear == samples_in(evidence.CLEAR_SECONDS + 0.1)


def test_a_vowel_under_a_louder_echo_of_ours_lowers_the_reply_and_then_opens_a_turn() -> None:
    talk = _heard(Talk().speaking(), evidence.CLEAR_SECONDS, 0.8, 0.85, 0.9)
    assert "duck" not in talk.took()
    assert "duck" in _heard(talk, 0.02, 0.97, 0.8, 0.9).took()
    _heard(talk, evidence.ECHO_ONSET_SECONDS - evidence.CLEAR_SECONDS - 0.04, 0.97, 0.8, 0.9)
    assert talk.state.turn is None
    _heard(talk, 0.02, 0.97, 0.8, 0.9)
    assert talk.state.turn is not None
    assert talk.state.turn.began == talk.state.now - samples_in(evidence.ECHO_ONSET_SECONDS)
    assert any(one.startswith("= barge-in") for one in talk.quiet(0.1).understood("in london please").took())


@pytest.mark.parametrize(("probability", "echo", "pitch"), [(0.97, 0.8, 0.6), (0.8, 0.8, 0.9), (0.97, 0.95, 0.9)])
def test_what_a_louder_echo_of_ours_explains_lowers_nothing(probability: float, echo: float, pitch: float) -> None:
    talk = Talk().speaking()
    talk.took()
    assert "duck" not in _heard(talk, 1.0, probability, echo, pitch).took()
    assert talk.state.turn is None


def test_a_moment_of_our_own_voice_that_passes_for_a_vowel_opens_no_turn() -> None:
    """The longest in 52 minutes of echo was 0.08 s."""
    talk = Talk().speaking()
    talk.took()
    took = _heard(_heard(talk, 0.08, 0.97, 0.8, 0.9), 0.2, 0.6, 0.95, 0.9).took()
    assert "duck" in took
    assert "goon" in took
    assert talk.state.turn is None


def test_a_pitch_counts_from_before_the_voice_stood_out_of_our_echo() -> None:
    """Measured: three blocks of the first vowel of "alexa" under our echo, and no pitch in the rest of the word."""
    talk = _heard(Talk().speaking(), 0.06, 0.85, 0.8, 0.9)
    _heard(talk, 0.02, 0.92, 0.55, 0.6)
    assert talk.state.turn is None
    _heard(talk, 0.4, 0.98, 0.3, 0.5)
    assert talk.state.turn is not None
    assert talk.state.turn.clear == samples_in(0.06)
    assert any(one.startswith("= barge-in") for one in talk.quiet(0.1).understood("in london please").took())


def test_a_pitch_that_broke_off_before_the_voice_does_not_count_and_none_counts_twice() -> None:
    talk = _heard(Talk().speaking(), 0.1, 0.85, 0.8, 0.9)
    _heard(talk, 0.02, 0.3, 0.95, 0.0)
    _heard(talk, 0.2, 0.98, 0.3, 0.5)
    assert talk.state.turn is not None
    assert talk.state.turn.clear == 0
    _heard(talk, 0.1, 0.98, 0.3, 0.9)
    _heard(talk, 0.1, 0.85, 0.8, 0.9)  # under the echo again
    _heard(talk, 0.1, 0.98, 0.3, 0.9)
    assert talk.state.turn.clear == samples_in(0.1 + 0.08 + 0.1), (
        "the block on which the voice fell away leads in nothing"
    )


def test_a_voice_that_goes_on_after_something_was_typed_begins_anew() -> None:
    talk = _heard(Talk(), 0.3, 0.97, 0.3, 0.9).tell(moves.Typed("what time is it"))
    assert talk.state.turn is not None
    assert (talk.state.run, talk.state.clear) == (0, 0)
    assert talk.state.turn.typed
    assert talk.state.turn.voiced == 0


def test_where_no_echo_is_heard_every_voice_is_clear() -> None:
    talk = Talk().voice(0.5)
    assert talk.state.turn is not None
    assert talk.state.turn.clear == talk.state.turn.voiced > 0
