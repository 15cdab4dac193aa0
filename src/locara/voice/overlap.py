"""Two voices at once: the user makes a sound while the assistant speaks. Lower it, hold it, stop it or go on? Pure."""

from __future__ import annotations

from locara.audio import RATE, samples_in
from locara.voice import asking_back, doubt, echoes, events, evidence, ledger, replies
from locara.voice.evidence import Floor
from locara.voice.moves import Duck, Forget, GoOn, Hold, Remember
from locara.voice.state import SOUNDING, Assistant, On, State, Turn, User
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
    if s.user in (User.TALKING, User.PAUSING) and s.rules.interruptible:
        _judge(step)


def _judge(step: Step) -> None:
    s = step.s
    turn = step.in_turn(over=True)
    if s.assistant is Assistant.DUCKED and s.voice and turn.voiced >= _HOLD:
        step.assistant(On.SUSTAINED)
        step.set(held_at=s.now)
        step.do(Hold())
    silence = 0.0 if s.user is User.TALKING else (s.now - turn.speech_end) / RATE
    reason = why_not_said(step, turn) if turn.text else None
    verdict = evidence.floor(
        voiced=turn.voiced / RATE,
        clear=turn.clear / RATE,
        silence=silence,
        text="" if reason else turn.text,
        settled=turn.settled,
        confidence=turn.confidence,
        guess="" if reason else turn.guess,
        asked=_asked(step),
        continued=reason is None and _continued(step, turn),
    )
    if verdict is Floor.OPEN and s.assistant in SOUNDING and s.now - s.overlap_at >= _HELD:
        verdict = Floor.TAKEN if s.voice else Floor.KEPT
    if verdict is Floor.TAKEN:
        taken(step)
    elif verdict is Floor.KEPT:
        backchannel = evidence.only_backchannel(turn.text)
        noise = bool(turn.text) and evidence.unclear(turn.voiced / RATE, turn.clear / RATE)
        dismiss(step, reason or ("backchannel" if backchannel else "no-speech" if noise else "no-words"))


def _asked(step: Step) -> bool:
    """Whether the reply is just asking something, or just was."""
    reply, rate = step.reply, step.s.rules.output_rate
    since = ledger.heard_until(reply.script, reply.played - round(evidence.ASKED_SECONDS * rate), rate, reply.text)
    until = ledger.heard_until(reply.script, reply.played + round(evidence.FORESEEN_SECONDS * rate), rate, reply.text)
    return "?" in reply.text[since:until]


def _continued(step: Step, turn: Turn) -> bool:
    """Whether the reply had only begun when this voice did, and answers a voice."""
    s = step.s
    reply = step.reply
    early = turn.over_at < evidence.CONTINUED_SECONDS * s.rules.output_rate
    return early and turn.over_reply == reply.id and reply.spoken_to


def position(s: State, at: int) -> tuple[int, int]:
    """(reply, samples played of it at sample ``at`` of the session's clock) for the reply that sounds or ended last;
    (-1, 0) if its echo cannot be in the room any more."""
    rate = s.rules.output_rate / RATE
    if s.reply is not None and s.assistant in SOUNDING:
        return s.reply.id, max(0, s.reply.played - round((s.now - at) * rate))
    if s.last_said is not None and at - s.last_ended <= samples_in(echoes.DELAY_SECONDS):
        return s.last_said.id, s.last_said.played + round((at - s.last_ended) * rate)
    return -1, 0


def why_not_said(step: Step, turn: Turn) -> str | None:
    """Why the words of this turn are not the user's, or None: our own voice, or made of silence."""
    if turn.typed or turn.held or turn.released_at is not None:
        return None
    if _is_echo(step.s, turn):
        return "echo"
    return doubt.doubt(turn.text, voiced=turn.voiced / RATE, confidence=turn.confidence) if turn.settled else None


def _is_echo(s: State, turn: Turn) -> bool:
    reply = next((one for one in (s.reply, s.last_said) if one is not None and one.id == turn.over_reply), None)
    if reply is None or not turn.text:
        return False
    rate = s.rules.output_rate
    onset, played = turn.over_at / rate, reply.played / rate
    until = onset + max(turn.voiced, turn.speech_end - turn.began) / RATE
    if until > max(onset, played) + echoes.AFTER_SECONDS:
        return False  # it went on when nothing of ours was in the room any more
    start, end = onset - echoes.DELAY_SECONDS - echoes.AROUND_SECONDS, min(until + echoes.AROUND_SECONDS, played)
    return echoes.is_echo(turn.text, echoes.sounding(reply.text, reply.script, rate, start, end), onset, until)


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
    asking_back.unanswered(step, turn, reason)
    if step.s.assistant in (Assistant.DUCKED, Assistant.HELD):
        false_alarm(step)


def close_unanswered(step: Step, reason: str) -> None:
    """The open turn ends and nobody answers, but what the user said is not lost."""
    turn = step.turn
    if not evidence.words_of(turn.text):
        dismiss(step, reason, rejected=False)
        return
    step.user(On.DISMISSED)
    step.set(turn=None)
    step.do(Forget(turn.id))
    step.tell(events.FinalTranscript, turn.id, text=turn.text, confidence=turn.confidence)
    step.do(Remember(turn.id, "user", turn.text))
    replies.end_of_turn(step, turn, reason)
