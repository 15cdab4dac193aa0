"""Two voices at once: the user makes a sound while the assistant speaks. Lower it, hold it, stop it or go on? Pure."""

from __future__ import annotations

from locara.audio import RATE, samples_in
from locara.voice import events, evidence, replies
from locara.voice.evidence import Floor
from locara.voice.moves import Duck, Forget, GoOn, Hold
from locara.voice.state import SOUNDING, Assistant, On, User
from locara.voice.step import Step

_BLIP = samples_in(evidence.BLIP_SECONDS)
_HOLD = samples_in(evidence.HOLD_SECONDS)
_HELD = samples_in(evidence.HELD_SECONDS)


def duck(step: Step) -> None:
    """Voice, perhaps: lower the reply within this very block, and judge afterwards."""
    step.assistant(On.VOICE)
    step.set(overlap_at=step.s.now)
    step.do(Duck())


def settle(step: Step) -> None:
    """Who has the floor, by what is known now."""
    s = step.s
    if s.reply is None or not s.reply.committed:
        return
    if s.turn is None:
        if s.assistant is Assistant.DUCKED and not s.voice and s.run >= _BLIP:
            false_alarm(step)
        return
    if s.user in (User.TALKING, User.PAUSING):
        _judge(step)


def _judge(step: Step) -> None:
    s = step.s
    turn = step.in_turn(over=True)
    if s.assistant is Assistant.DUCKED and s.voice and turn.voiced >= _HOLD:
        step.assistant(On.SUSTAINED)
        step.set(held_at=s.now)
        step.do(Hold())
    silence = 0.0 if s.user is User.TALKING else (s.now - turn.speech_end) / RATE
    verdict = evidence.floor(voiced=turn.voiced / RATE, silence=silence, text=turn.text, settled=turn.settled)
    if verdict is Floor.OPEN and s.assistant in SOUNDING and s.now - s.overlap_at >= _HELD:
        verdict = Floor.TAKEN if s.voice else Floor.KEPT
    if verdict is Floor.TAKEN:
        taken(step)
    elif verdict is Floor.KEPT:
        dismiss(step, "backchannel" if evidence.only_backchannel(turn.text) else "no-words")


def taken(step: Step) -> None:
    """The user has the floor: the committed reply ends here."""
    reply = step.reply
    if step.s.assistant in SOUNDING:
        heard, unheard = replies.heard_and_not(step, reply)
        ms = round(1000 * reply.played / step.s.rules.output_rate)
        step.tell(events.BargeIn, reply.turn, heard_text=heard, unheard_text=unheard, heard_ms=ms)
    replies.end(step, "interrupted", On.TAKEN)


def false_alarm(step: Step) -> None:
    """It was nothing: full level again, from the exact sample."""
    s = step.s
    paused = 0 if s.held_at is None else s.now - s.held_at
    step.assistant(On.FALSE_ALARM)
    reply = step.in_reply(moved_at=s.now)
    step.set(held_at=None)
    step.do(GoOn())
    step.tell(events.Resume, reply.turn, paused_ms=round(1000 * paused / RATE))


def dismiss(step: Step, reason: str, *, rejected: bool = True) -> None:
    """The open turn ends without an answer. A reply that had made room for it goes on."""
    turn = step.turn
    step.user(On.NO_WORDS if reason == "no-words" and step.s.user is not User.TALKING else On.DISMISSED)
    step.set(turn=None)
    step.do(Forget(turn.id))
    if rejected:
        step.tell(events.Rejected, turn.id, text=turn.text, reason=reason)
    replies.end_of_turn(step, turn, reason)
    if step.s.assistant in (Assistant.DUCKED, Assistant.HELD):
        false_alarm(step)
