"""Whose turn is it: ``receive(state, happened) -> (state, effects)``. Pure; the clock is the samples that were heard.

What may live here, and in `replies` and `overlap`: decisions. No I/O, no clock, no thread: these files import none
(checked). The tables in `state` say which moves exist; the functions here decide which one is made.

What holds whatever happens (``tests/voice/test_turns_properties.py``): at most one active reply; one end for each reply
and each turn; nothing of a reply after its end; every state is left by a deadline; a turn without words ends with an
event; what is played is what was made, sample for sample; a reply that is not committed is never heard and runs no tool
with side effects.
"""

from __future__ import annotations

from dataclasses import replace

from locara.audio import RATE, samples_in
from locara.voice import asking_back, attending, dictating, endings, events, evidence, model_led, overlap, replies
from locara.voice.moves import (
    Adjust,
    Began,
    ClauseReady,
    Disregard,
    Effect,
    End,
    Failed,
    Feed,
    Finished,
    Happened,
    Heard,
    Interrupt,
    Judge,
    Judged,
    Led,
    Listen,
    Muted,
    Played,
    Pressed,
    Released,
    Respond,
    Ruled,
    Say,
    Settle,
    Sounded,
    Stop,
    Stream,
    Told,
    ToolRan,
    Typed,
    Understood,
    Wanted,
    Yielded,
)
from locara.voice.state import Assistant, On, Rules, State, Turn, User
from locara.voice.step import Step

MAX_SAYINGS = 16
"""Texts that wait for a free floor; more are refused with an error event."""

_PREROLL = samples_in(evidence.PREROLL_SECONDS)
_ONSET = samples_in(evidence.ONSET_SECONDS)
_BREAK = samples_in(dictating.BREAK_SECONDS)
_PAUSE = samples_in(evidence.PAUSE_SECONDS)
_HANGOVER = samples_in(evidence.HANGOVER_SECONDS)
_TOLD = samples_in(evidence.TOLD_SECONDS)
_WORDLESS = samples_in(evidence.WORDLESS_SECONDS)
_HINT = samples_in(evidence.HINT_SECONDS)
_PREPARE = samples_in(endings.PREPARE_SECONDS)
_DISTURBED = samples_in(evidence.DISTURBED_SECONDS)
_MAX_TURN = samples_in(evidence.MAX_TURN_SECONDS)


def receive(state: State, happened: Happened) -> tuple[State, tuple[Effect, ...]]:
    """What becomes of the conversation, and what to do in the world, now that this has happened."""
    if state.ended:
        return state, ()
    step = Step(state)
    _take_in(step, happened)
    attending.decide(step, happened)
    asking_back.decide(step, happened)
    if step.s.turn is not None or step.s.reply is not None or step.s.sayings:
        _draw_conclusions(step)
    attending.follow(step)
    asking_back.follow(step)
    return step.s, tuple(step.effects)


def _take_in(step: Step, happened: Happened) -> None:
    match happened:
        case Heard():
            _heard(step, happened)
        case Played():
            replies.played(step, happened)
        case Understood():
            _understood(step, happened)
        case Judged():
            _judged(step, happened)
        case Told() | ClauseReady() | Sounded() | Wanted() | Finished():
            replies.grew(step, happened)
        case ToolRan():
            replies.tool_ran(step, happened)
        case Began() | Yielded() | Led():
            model_led.take_in(step, happened)
        case Failed():
            _failed(step, happened)
        case _:
            _asked(step, happened)


def _asked(step: Step, happened: Happened) -> None:
    match happened:
        case Typed():
            _typed(step, happened.text)
        case Say() | Respond():
            _say(step, happened)
        case Ruled():
            _ruled(step, happened)
        case Disregard():
            _disregard(step)
        case Interrupt():
            _interrupt(step)
        case Muted():
            # What sounded before is not the beginning of what comes.
            step.set(voice=False, run=0, clear=0, probability=0.0)
            if step.s.user in (User.TALKING, User.PAUSING):
                replies.drop_unheard(step)
                overlap.dismiss(step, "muted")
        case Pressed():
            _pressed(step)
        case Released():
            if step.s.turn is not None and step.s.turn.held:
                step.in_turn(held=False, released_at=step.s.now)
        case Stop():
            _stop(step, happened.reason)


def _draw_conclusions(step: Step) -> None:
    """What follows from what is known now, whatever it was that changed. Each is a no-op where nothing follows."""
    if step.s.rules.led_by_model:
        model_led.conclude(step)
        return
    overlap.settle(step)
    replies.end_if_played_out(step)
    _consider(step)
    replies.commit_if_due(step)
    replies.end_if_played_out(step)
    _say_next(step)


# --- hearing ----------------------------------------------------------------------------------------------------------


def _heard(step: Step, heard: Heard) -> None:
    s = step.s
    voice = evidence.is_voice(heard.probability, heard.echo, heard.pitch, already=s.voice, clear=s.clear / RATE)
    run = s.run + heard.n if voice == s.voice else heard.n
    clear = _clear_so_far(s, heard, voice)
    step.set(now=s.now + heard.n, voice=voice, run=run, clear=clear, probability=heard.probability)
    may = s.rules.interruptible and not s.rules.led_by_model and (s.rules.open_mic or s.turn is not None)
    if voice and s.assistant is Assistant.SPEAKING and may:
        overlap.duck(step)
    match s.user:
        case User.QUIET:
            voiced = _voiced(step.s)
            if voice and voiced >= samples_in(evidence.onset_seconds(heard.echo)) and attending.voice_opens(step.s):
                _open_turn(step, On.VOICE, began=max(step.s.now - voiced, s.attention.heard_from))
        case User.TALKING:
            _heard_talking(step, heard)
        case User.PAUSING:
            _heard_pausing(step)
        case User.YIELDED:
            _heard_yielded(step)
    if s.rules.led_by_model:
        step.do(Stream(heard.n, model_led.is_spoken_to(step.s)))
    replies.watch(step)


def _clear(heard: Heard) -> int:
    return heard.n if evidence.is_clear(heard.probability, heard.echo, heard.pitch) else 0


def _clear_so_far(s: State, heard: Heard, voice: bool) -> int:
    """How much of the voice that is on, or may be about to begin, surely is one."""
    if not voice and (s.voice or not evidence.leads_in(heard.probability, heard.echo, heard.pitch)):
        return 0  # nothing is left of a voice that ended: its turn has counted it
    return s.clear + _clear(heard)


def _voiced(s: State) -> int:
    """How long the voice that is on lasts: what surely was one before it stood out of our echo is a part of it."""
    return max(s.run, s.clear) if s.voice else 0


def _open_turn(step: Step, why: On, *, began: int, held: bool = False) -> None:
    s = step.s
    over_reply, over_at = overlap.position(s, began)
    turn = Turn(s.last_turn + 1, began, s.now, held=held, over_reply=over_reply, over_at=over_at)
    turn = replace(turn, voiced=_voiced(s), clear=s.clear)
    step.set(turn=turn, last_turn=turn.id)
    step.user(why)
    step.do(Listen(turn.id, max(0 if held else s.attention.heard_from, began - _PREROLL)))
    step.tell(events.SpeechStart, turn.id, probability=s.probability)


def _heard_talking(step: Step, heard: Heard) -> None:
    s = step.s
    voiced, clear = (heard.n, _clear(heard)) if s.voice else (0, 0)
    turn = step.in_turn(voiced=step.turn.voiced + voiced, clear=step.turn.clear + clear)
    step.do(Feed(turn.id))
    if s.voice and s.run >= _DISTURBED:
        replies.drop_unheard(step)  # they really go on: what was prepared answers half of it
    if turn.released_at is not None:
        if s.now >= turn.released_at + samples_in(s.rules.tail_seconds):
            step.in_turn(speech_end=_between(turn.began, heard.loud_until, s.now), reason="released")
            _settle_and_decide(step)
    elif s.now - turn.began >= _MAX_TURN:
        step.in_turn(speech_end=s.now, reason="too-long", held=False)
        _settle_and_decide(step)
    elif not turn.held and not s.voice and s.run >= _PAUSE:
        # Voice activity lets go late; where the sound itself ended is the honest end of speech.
        last_voice = s.now - s.run
        step.in_turn(speech_end=_between(max(turn.began, last_voice - _HANGOVER), heard.loud_until, last_voice))
        step.user(On.SILENCE)


def _heard_pausing(step: Step) -> None:
    s, turn = step.s, step.turn
    if s.voice and s.run >= _ONSET:
        _go_on_talking(step, On.VOICE)
        return
    if not s.voice and s.run >= _TOLD:
        _tell_speech_end(step)
    if not turn.asked:
        step.do(Feed(turn.id))
        if s.now - turn.speech_end >= _HINT:
            _settle(step)
            if not s.rules.led_by_model:
                step.do(Judge(turn.id, turn.revision, turn.began))


def _heard_yielded(step: Step) -> None:
    s, turn = step.s, step.turn
    may = s.rules.open_mic and not s.rules.led_by_model and not turn.typed and turn.reason != "too-long"
    if s.voice and s.run >= _ONSET and may:
        _go_on_talking(step, On.VOICE)
    elif turn.decided_at is not None and s.now - turn.decided_at >= samples_in(s.rules.reply_seconds):
        _overdue(step)


def _go_on_talking(step: Step, why: On) -> None:
    """The user had only paused: the same turn, and a new revision of it if its words had been asked for."""
    s, turn = step.s, step.turn
    turn = step.in_turn(
        revision=turn.revision + (1 if turn.asked else 0),
        asked=False,
        settled=False,
        finished=None,
        decided_at=None,
        released_at=None,
        understood_at=None,
        reason="complete",
        voiced=turn.voiced + _voiced(s),
        clear=turn.clear + s.clear,
        breaks=turn.breaks + (turn.asked and s.now - turn.speech_end < _BREAK),
    )
    step.user(why)
    step.do(Listen(turn.id, max(0, s.now - (s.run if s.voice else 0) - _PREROLL)))
    if turn.told_end:
        step.in_turn(told_end=False)
        step.tell(events.SpeechStart, turn.id, probability=s.probability)


def _tell_speech_end(step: Step) -> None:
    if not step.turn.told_end and not step.turn.typed:
        step.in_turn(told_end=True)
        step.tell(events.SpeechEnd, step.turn.id, probability=step.s.probability)


def _settle(step: Step) -> None:
    turn = step.in_turn(asked=True)
    step.do(Settle(turn.id, turn.revision))


def _settle_and_decide(step: Step) -> None:
    _tell_speech_end(step)
    _settle(step)
    _decide(step)


def _decide(step: Step, at: int | None = None) -> None:
    _tell_speech_end(step)
    step.in_turn(decided_at=step.s.now if at is None else at)
    step.user(On.DECIDED)


# --- words ------------------------------------------------------------------------------------------------------------


def _understood(step: Step, got: Understood) -> None:
    turn = step.s.turn
    if turn is None or (got.turn, got.revision) != (turn.id, turn.revision) or turn.typed:
        return
    if turn.settled and not got.settled:
        return
    text = attending.words_for_us(step.s, got.text)
    if text != turn.text:
        step.tell(events.PartialTranscript, turn.id, text=text, revision=turn.revision)
    called = bool(evidence.words_of(got.text)) and not evidence.words_of(text)
    step.in_turn(text=text, confidence=got.confidence, guess=text or turn.guess, called=called)
    if got.settled:
        step.in_turn(settled=True, understood_at=step.s.now)


def _judged(step: Step, got: Judged) -> None:
    turn = step.s.turn
    if turn is not None and (got.turn, got.revision) == (turn.id, turn.revision):
        step.in_turn(finished=got.finished)


def _consider(step: Step) -> None:
    """Is the turn over, and what can be prepared for it meanwhile?"""
    s, turn = step.s, step.s.turn
    if turn is None or turn.over or s.user not in (User.PAUSING, User.YIELDED):
        return
    if turn.settled and s.rules.words and not evidence.words_of(turn.text):
        replies.drop_unheard(step)
        if s.user is User.YIELDED or s.now - turn.speech_end >= _WORDLESS:
            overlap.dismiss(step, "no-words")
        return
    if turn.settled and (reason := overlap.why_not_said(step, turn)) is not None:
        replies.drop_unheard(step)
        overlap.dismiss(step, reason)
        return
    due = turn.speech_end + samples_in(_silence_needed(s.rules, turn))
    answered = s.rules.answers or turn.wanted
    if turn.settled and answered:
        _prepare(step, turn, soon=s.now >= due - _PREPARE)
    if s.user is User.PAUSING and s.now >= due:
        # Silence enough, and only the words came late: that is the recogniser's time in the ledger, not patience.
        late = turn.understood_at is not None and turn.understood_at > due
        _decide(step, at=due if late else s.now)
    # A turn without words is only sound in a model: it waits there for the app's wish, see `_say_next`.
    if step.s.user is User.YIELDED and turn.settled and not answered and (s.rules.words or turn.typed):
        overlap.close_unanswered(step, turn.reason)


def _silence_needed(rules: Rules, turn: Turn) -> float:
    return endings.silence_needed(
        turn.text if turn.settled else None,
        rules.patience,
        turn.finished,
        voiced=turn.voiced / RATE,
        confidence=turn.confidence,
        breaks=turn.breaks,
    )


def _prepare(step: Step, turn: Turn, *, soon: bool) -> None:
    reply = step.s.reply
    # Without a recogniser the reply answers the sound; what the model says it understood of that changes nothing.
    other = step.s.rules.words and reply is not None and not evidence.same_words(reply.answers, turn.text)
    if reply is not None and not reply.committed and other:
        replies.drop_unheard(step)
    if step.s.assistant is Assistant.IDLE and ((soon and step.s.rules.speculates) or step.s.user is User.YIELDED):
        replies.begin(step, turn.id, turn.text)


# --- what the app asks for --------------------------------------------------------------------------------------------


def _typed(step: Step, text: str) -> None:
    if not text.strip():
        return
    if step.s.rules.led_by_model:
        model_led.typed(step, text.strip())
        return
    replies.drop_unheard(step)
    if step.s.user is User.YIELDED:
        overlap.close_unanswered(step, "replaced")  # it was decided: what was said is not lost
    elif step.s.turn is not None:
        overlap.dismiss(step, "replaced", rejected=bool(step.s.turn.text))
    if step.s.reply is not None:
        overlap.taken(step)
    step.set(run=0, clear=0)  # a voice that goes on begins anew: its words so far were replaced
    now = step.s.now
    turn = Turn(
        step.s.last_turn + 1,
        now,
        now,
        text=text.strip(),
        asked=True,
        settled=True,
        understood_at=now,
        decided_at=now,
        reason="typed",
        typed=True,
    )
    step.set(turn=turn, last_turn=turn.id)
    step.user(On.TYPED)


def _say(step: Step, saying: Say | Respond) -> None:
    if isinstance(saying, Say) and not saying.text.strip():
        return
    if step.s.rules.led_by_model:
        model_led.refuse(step, saying)
        return
    if len(step.s.sayings) >= MAX_SAYINGS:
        message = f"{MAX_SAYINGS} texts already wait to be said, so this one was refused"
        hint = "wait for the assistant's turn-end before saying more"
        step.tell(events.Error, None, code="too-many-sayings", stage="say", message=message, hint=hint)
        return
    step.set(sayings=(*step.s.sayings, saying))


def _say_next(step: Step) -> None:
    s = step.s
    if s.ended or not s.sayings or s.assistant is not Assistant.IDLE:
        return
    saying = s.sayings[0]
    if isinstance(saying, Respond) and s.user is User.YIELDED and not step.turn.wanted and not s.rules.answers:
        step.set(sayings=s.sayings[1:])
        step.in_turn(wanted=True, decided_at=s.now)
        _consider(step)
        return
    if s.user is not User.QUIET or (s.voice and s.rules.open_mic):
        return
    step.set(sayings=s.sayings[1:], last_turn=s.last_turn + 1)
    text = saying.text.strip() if isinstance(saying, Say) else ""
    replies.begin(step, step.s.last_turn, text, saying=saying)


def _ruled(step: Step, ruled: Ruled) -> None:
    named = ("patience", "open_mic", "answers", "interruptible", "tail_seconds")
    changes = {name: value for name in named if (value := getattr(ruled, name)) is not None}
    step.set(rules=replace(step.s.rules, **changes))
    if ruled.wish is not None:
        replies.drop_unheard(step)  # it was prepared the way that holds no more
        step.do(Adjust(ruled.wish))


def _disregard(step: Step) -> None:
    step.set(voice=False, run=0, probability=0.0)  # what sounded before is not the beginning of what comes
    if step.s.turn is not None and not step.s.turn.typed:
        replies.drop_unheard(step)
        overlap.dismiss(step, "cancelled", rejected=False)


def _interrupt(step: Step) -> None:
    step.set(sayings=())
    if step.s.reply is not None and step.s.reply.committed:
        replies.end(step, "cancelled", On.TAKEN)
    elif step.s.user is User.YIELDED:
        replies.drop_unheard(step)
        overlap.close_unanswered(step, "cancelled")


def _pressed(step: Step) -> None:
    if step.s.reply is not None and step.s.reply.committed and step.s.rules.interruptible:
        overlap.taken(step)
    if step.s.user is User.QUIET:
        _open_turn(step, On.PRESS, began=step.s.now, held=True)
        return
    if step.turn.typed:  # what was typed stands; what is said now is another turn
        replies.drop_unheard(step)
        overlap.close_unanswered(step, "replaced")
        _open_turn(step, On.PRESS, began=step.s.now, held=True)
        return
    if step.s.user is not User.TALKING:
        _go_on_talking(step, On.PRESS)
    step.in_turn(held=True, released_at=None)


# --- failing and stopping ---------------------------------------------------------------------------------------------


def _failed(step: Step, failure: Failed) -> None:
    reply, turn = step.s.reply, step.s.turn
    if failure.reply is not None:
        if reply is not None and reply.id == failure.reply:
            replies.failed(step, failure)
    elif failure.turn is None:
        replies.tell_failure(step, failure, None)
    elif turn is not None and turn.id == failure.turn:
        _turn_failed(step, failure)


def _turn_failed(step: Step, failure: Failed) -> None:
    """The recogniser failed. While the user still speaks there is time to begin again (the brain does, at the next
    pause); after that, half understood beats not at all, and without a word the turn ends."""
    turn = step.turn
    replies.tell_failure(step, failure, turn.id)
    if step.s.user is User.TALKING or turn.settled:
        return
    if evidence.words_of(turn.text):
        step.in_turn(asked=True, settled=True, understood_at=step.s.now)
        return
    replies.drop_unheard(step)
    overlap.dismiss(step, "failed", rejected=False)


def _overdue(step: Step) -> None:
    """A decided turn that got no sound in time."""
    turn, reply = step.turn, step.s.reply
    if reply is not None and reply.committed:
        return  # another reply still speaks; this turn waits for it
    if turn.settled and not step.s.rules.answers and not turn.wanted:
        overlap.close_unanswered(step, turn.reason)  # nobody has asked for an answer
        return
    stage = "reply" if turn.settled else "stt"
    failure = Failed(
        stage,
        "engine-timeout",
        f"{stage}: nothing came within {step.s.rules.reply_seconds:g} s of the end of the turn",
        "choose a smaller model, or look whether the engine still runs",
    )
    if reply is not None:
        replies.failed(step, failure)
        return
    replies.tell_failure(step, failure, turn.id)
    overlap.close_unanswered(step, "failed")


def _stop(step: Step, reason: str) -> None:
    step.set(sayings=())
    replies.drop_unheard(step)
    if step.s.reply is not None:
        replies.end(step, "stopped", On.TAKEN)
    if step.s.turn is not None:
        overlap.close_unanswered(step, "stopped")
    step.set(ended=True)
    step.do(End(reason))


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
