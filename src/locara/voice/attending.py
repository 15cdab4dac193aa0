"""Who is listened to, and is somebody still there? Decisions of the turn machine; pure, see `turns` for the rules.

What may live here: gaining and losing attention in wake-word mode, and what follows from a long silence. While the session
waits for the word no turn can be opened by voice, so no recogniser and no model gets any of the sound.
"""

from __future__ import annotations

from dataclasses import replace

from locara.audio import RATE, samples_in
from locara.voice import events, evidence, overlap, replies
from locara.voice.attention import SAME_BREATH_SECONDS, without_wake_word
from locara.voice.moves import Happened, Heard, Muted, Say, Unmuted, Woken
from locara.voice.state import SOUNDING, Assistant, On, State, User, at_rest
from locara.voice.step import Step

_SAME_BREATH = samples_in(SAME_BREATH_SECONDS)


def voice_opens(s: State) -> bool:
    """Whether voice that is on now may open a turn."""
    if not s.rules.open_mic:
        return False
    if s.rules.wake_word is None:
        return True
    heard_from = s.attention.heard_from
    return s.attention.attentive and (s.now - s.run >= heard_from or s.now - heard_from >= _SAME_BREATH)


def words_for_us(s: State, text: str) -> str:
    """What of a turn's text is meant for the model: not the wake word."""
    phrase = s.rules.wake_word
    if not phrase or s.turn is None:
        return text
    return without_wake_word(text, phrase, misheard=s.turn.id == s.attention.turn)


def decide(step: Step, happened: Happened) -> None:
    """What ``happened`` means for attention, before other conclusions are drawn from it."""
    if step.s.ended:
        return
    match happened:
        case Heard():
            _pass_time(step)
        case Woken():
            _woken(step, happened)
        case Muted() | Unmuted():
            step.set(muted=isinstance(happened, Muted))


def follow(step: Step) -> None:
    """What follows for attention from everything that was decided in this step."""
    s = step.s
    if s.ended:
        return
    if s.rules.wake_word is not None:
        _keep_or_lose(step)
    prompting = s.reply is not None and s.reply.id == s.idle.prompt and s.assistant is Assistant.PREPARING
    if prompting and s.user is not User.QUIET:  # "are you still there?" is no question to somebody who speaks
        replies.end(step, "cancelled", On.TAKEN)


# --- the wake word ----------------------------------------------------------------------------------------------------


def _woken(step: Step, woken: Woken) -> None:
    s = step.s
    if s.rules.wake_word is None or s.muted:
        return
    turn = s.last_turn + 1 if s.turn is None else s.turn.id
    heard_from = max(s.attention.heard_from, min(woken.ended, s.now))
    if s.assistant in SOUNDING:
        overlap.taken(step)  # whoever calls by name wants the floor
    _gain(step, "wake-word", word=woken.word)
    if s.turn is None:
        step.set(attention=replace(step.s.attention, heard_from=heard_from))
    step.set(attention=replace(step.s.attention, turn=turn))


def _gain(step: Step, reason: str, *, word: str = "") -> None:
    s = step.s
    until = s.now + samples_in(s.rules.follow_up)
    was = s.attention.attentive
    step.set(attention=replace(s.attention, attentive=True, told=True, until=max(until, s.attention.until)))
    if not was:
        step.tell(events.AttentionChanged, None, state="attentive", reason=reason, word=word)


def _keep_or_lose(step: Step) -> None:
    s = step.s
    busy = s.turn is not None or s.reply is not None
    if busy and not s.attention.attentive:
        by_hand = s.turn is not None
        if not by_hand:  # what sounded before the assistant began to speak is nobody's business
            step.set(attention=replace(s.attention, heard_from=s.now))
        _gain(step, "user" if by_hand else "assistant")
    elif not busy and not s.attention.told:
        _wait(step, "started")
    elif not busy and s.attention.attentive and not s.voice and not s.sayings and s.now >= s.attention.until:
        _wait(step, "follow-up-over")
    s = step.s
    counts = s.reply is not None and s.reply.committed
    if counts or (s.turn is not None and evidence.words_of(s.turn.text)):
        step.set(attention=replace(s.attention, until=s.now + samples_in(s.rules.follow_up)))


def _wait(step: Step, reason: str) -> None:
    step.set(attention=replace(step.s.attention, attentive=False, told=True))
    step.tell(events.AttentionChanged, None, state="waiting", reason=reason, word=step.s.rules.wake_word or "")


# --- nobody there? ----------------------------------------------------------------------------------------------------


def _pass_time(step: Step) -> None:
    s, idle = step.s, step.s.idle
    if s.rules.idle is None:
        return
    if _user_spoke(s):
        idle = replace(idle, count=0)
    waiting = s.rules.wake_word is not None and not s.attention.attentive
    if not at_rest(s) or s.voice or s.muted or waiting:
        step.set(idle=replace(idle, since=s.now, counted=s.now))
        return
    if s.now - idle.counted < samples_in(s.rules.idle):
        return
    count = idle.count + 1
    step.set(idle=replace(idle, counted=s.now, count=count))
    step.tell(events.UserIdle, None, seconds=(s.now - idle.since) / RATE, count=count)
    if count == 1 and s.rules.idle_prompt.strip():
        # Nobody speaks and nothing waits, so it is the next reply, begun within this step.
        step.set(sayings=(Say(s.rules.idle_prompt),), idle=replace(step.s.idle, prompt=s.last_reply + 1))


def _user_spoke(s: State) -> bool:
    """A word, typed or said. A cough breaks the silence, and is no reason to ask a second time."""
    answered = s.reply is not None and s.reply.owes is not None
    return answered or (s.turn is not None and bool(evidence.words_of(s.turn.text)))
