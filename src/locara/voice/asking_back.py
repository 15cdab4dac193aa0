"""Nobody understood what was said: asking back, once. Decisions of the turn machine; pure, see `turns` for the rules.

What may live here: from a turn that ended without words to "Sorry, I didn't catch that", or to silence. It is never said
twice without an answered turn between, so that no noise makes it a parrot.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from locara.audio import RATE, samples_in
from locara.voice import echoes, misheard, replies
from locara.voice.moves import Commit, Happened, Heard, Interrupt, Muted, Say, Woken
from locara.voice.state import Assistant, On, Turn, User
from locara.voice.step import Step

_LATE = samples_in(misheard.LATE_SECONDS)
_ECHO = samples_in(echoes.DELAY_SECONDS)


def unanswered(step: Step, turn: Turn, reason: str) -> None:
    """``turn`` has ended without an answer: is it to be asked back, and when?"""
    s = step.s
    if not s.rules.not_understood or s.misheard.asked or reason not in misheard.UNANSWERED:
        return
    if not s.rules.answers or turn.called or turn.reason == "too-long" or s.reply is not None:
        return
    by_key = turn.released_at is not None
    if not misheard.was_spoken(s.misheard.spoken / RATE, turn.voiced / RATE, held=by_key):
        return
    silence = 0.0 if by_key else misheard.patience_needed(s.rules.patience, turn.finished)
    _set(step, due=max(s.now, turn.speech_end + samples_in(silence)), turn=turn.id)


def decide(step: Step, happened: Happened) -> None:
    """What ``happened`` means for words that were not found, before it is known what follows from it."""
    match happened:
        case Heard():
            _listen(step, happened)
        case Interrupt() | Muted():
            _set(step, due=None)
        case Woken():
            _set(step, spoken=0)  # the wake word is no part of what is said


def _listen(step: Step, heard: Heard) -> None:
    s = step.s
    if s.assistant in (Assistant.SPEAKING, Assistant.DUCKED):
        _set(step, sounded=s.now)
    if not s.voice:
        if s.user is User.QUIET and s.misheard.due is None and s.misheard.spoken:
            _set(step, spoken=0)
        return
    ours = s.now - step.s.misheard.sounded < _ECHO  # perhaps; whoever interrupts us goes on after it
    if not ours and misheard.is_spoken(heard.probability, heard.echo, heard.pitch, heard.over_floor):
        _set(step, spoken=s.misheard.spoken + heard.n)


def follow(step: Step) -> None:
    """What follows from everything that was decided in this step."""
    s = step.s
    if s.ended:
        return
    if any(isinstance(one, Commit) for one in step.effects):
        _set(step, asked=False, spoken=0)  # somebody was understood
    ours = s.reply is not None and s.reply.id == s.misheard.reply
    if ours and s.assistant is Assistant.PREPARING and s.user is not User.QUIET:
        replies.end(step, "cancelled", On.TAKEN)  # they say it again by themselves
        _set(step, asked=False)
    if s.misheard.due is not None:
        _ask_if_due(step, s.misheard.due)


def _ask_if_due(step: Step, due: int) -> None:
    s = step.s
    waits_for_word = s.rules.wake_word is not None and not s.attention.attentive
    busy = s.user is not User.QUIET or s.assistant is not Assistant.IDLE or bool(s.sayings)
    if busy or waits_for_word or s.muted or s.now > due + _LATE:
        _set(step, due=None)
    elif s.now >= due and not (s.voice and s.rules.open_mic):
        _ask(step)


def _ask(step: Step) -> None:
    text = step.s.rules.not_understood
    step.set(last_turn=step.s.last_turn + 1)
    replies.begin(step, step.s.last_turn, text, saying=Say(text))
    reply = step.in_reply(spoken_to=True, asks_about=step.s.misheard.turn)
    _set(step, due=None, asked=True, reply=reply.id)


def _set(step: Step, **changes: Any) -> None:
    step.set(misheard=replace(step.s.misheard, **changes))
