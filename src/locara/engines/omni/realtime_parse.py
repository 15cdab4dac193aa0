"""What a realtime server says, and what follows from it. Pure: ``(state, message) -> (state, effects)``.

What may live here: one function a kind of event. An event that is not known is counted and passed over; a known one that
cannot be read is an error that says which; what belongs to nothing that is under way is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from locara.audio import Samples
from locara.engines.backend import UserText, UserVoice
from locara.engines.omni import realtime_replies as replies
from locara.engines.omni import realtime_shapes as shapes
from locara.engines.omni.realtime_asking import TIDY, ask_next, forget_items
from locara.engines.omni.realtime_state import (
    CANCEL_SECONDS,
    KEPT_EVENTS,
    MOST_BAD,
    TOLD_BAD,
    Effect,
    Ready,
    Refused,
    Send,
    State,
    Step,
)

Message = Mapping[str, Any]

LIMITS = ("session_expired", "session_duration_limit", "session_timeout")
"""Errors that say: it lasts no longer."""
_LOST = ("fatal", "session_closed", "unknown_session", "runtime_data_plane_stream_failed")


def heard(state: State, raw: str, now: float, pushed: int) -> tuple[State, tuple[Effect, ...]]:
    """One message of the server. ``now``: seconds on the clock of the loop; ``pushed``: samples sent in this session."""
    step = Step(state, now)
    if state.phase == "over":
        return step.result
    message = shapes.decoded(raw)
    if message is None or not isinstance(message.get("type"), str):
        _bad(step, "something that is no event")
        return step.result
    if _again(step, message):
        return step.result
    kind = state.dialect.events.get(message["type"])
    if kind is None:
        if message["type"] not in state.dialect.quiet:
            step.set(unknown=step.state.unknown + 1)
        return step.result
    before = step.state, len(step.effects)
    try:
        if kind == "audio":
            replies.audio(step, message, pushed)
        else:
            _HEARD[kind](step, message)
    except shapes.Wrong as error:
        step.state = before[0]
        del step.effects[before[1] :]
        _bad(step, f"{message['type']} {error}")
    return step.result


def sounded(state: State, reply: int, samples: Samples, now: float) -> tuple[State, tuple[Effect, ...]]:
    """Sound of a reply that had to be decoded first."""
    step = Step(state, now)
    replies.sound(step, reply, "", 0, samples)
    return step.result


def _bad(step: Step, what: str) -> None:
    bad = step.state.bad + 1
    step.set(bad=bad)
    server = step.dialect.server
    if bad > MOST_BAD:
        step.fail(
            "bad-events", f"{server} sent {what}", f"is its dialect really {step.dialect.name}? See docs/remote.md"
        )
    elif bad <= TOLD_BAD and step.state.phase == "ready":
        step.warn("bad-event", f"{server} sent {what}", f"is its dialect really {step.dialect.name}?")


def _again(step: Step, message: Message) -> bool:
    """Whether it came before: after a resumed connection, or by mistake."""
    number = message.get("server_event_seq")
    if isinstance(number, int) and not isinstance(number, bool):
        if number <= step.state.sequence:
            step.set(stray=step.state.stray + 1)
            return True
        step.set(sequence=number)
        step.send("session.event_ack", server_event_seq=number)
    id_ = message.get("event_id")
    if isinstance(id_, str) and id_:
        if id_ in step.state.seen:
            step.set(stray=step.state.stray + 1)
            return True
        step.set(seen=(*step.state.seen[-KEPT_EVENTS + 1 :], id_))
    return False


# --- the session ------------------------------------------------------------------------------------------------------


def _created(step: Step, message: Message) -> None:
    session = shapes.table(message, "session")
    step.set(
        session=shapes.some_text(session, "id") or shapes.some_text(message, "session_id") or step.state.session,
        token=shapes.some_text(message, "resume_token"),
    )
    if step.state.phase != "opening":
        return
    ours = shapes.table(step.state.hello, "session")
    # Before it was told ours, it may have others; where we tell none, its own hold.
    if (step.dialect.first == "client" or shapes.rates(ours) == (None, None)) and not _rates_fit(step, session):
        return
    if step.dialect.first == "server":
        step.do(Send(step.state.hello))
    if step.dialect.ready == "created":
        _ready(step)


def _updated(step: Step, message: Message) -> None:
    if step.state.phase != "opening" or not _rates_fit(step, shapes.table(message, "session")):
        return
    if step.dialect.ready == "updated":
        _ready(step)


def _ready(step: Step) -> None:
    step.set(phase="ready")
    step.do(Ready())


def _rates_fit(step: Step, session: Message) -> bool:
    """Whether the server's rates are ours."""
    for name, theirs, ours in zip(
        ("input", "output"), shapes.rates(session), (step.dialect.input_rate, step.dialect.output_rate), strict=True
    ):
        if theirs is not None and theirs != ours:
            step.do(
                Refused("wrong-rate", f"its {name} is at {theirs} Hz, and {ours} Hz was meant ({name}_rate={theirs})")
            )
            return False
    return True


def _resumed(step: Step, message: Message) -> None:
    step.set(token=shapes.some_text(message, "resume_token") or step.state.token)


def _resync(step: Step, message: Message) -> None:
    step.set(token="")
    step.warn("cannot-resume", f"{step.dialect.server} keeps no more of this session: a lost connection would end it")


def _closed(step: Step, message: Message) -> None:
    reason = message.get("reason")
    if step.state.phase == "opening":
        step.do(Refused("closed", f"it closed the session: {reason or 'without a reason'}"))
    elif step.state.closing:
        step.finish("stopped")
    elif reason in ("expired", *LIMITS):
        step.finish("limit")
    elif reason in ("content", "internal_error", "error"):
        step.fail("closed", f"{step.dialect.server} ended the session: {reason}", "begin a new one")
    else:
        step.finish("closed")


def _expired(step: Step, message: Message) -> None:
    step.finish("limit")


def _error(step: Step, message: Message) -> None:
    """OpenAI nests the error, vLLM's turn protocol does not."""
    inner = message.get("error")
    error: Message = inner if isinstance(inner, Mapping) else message
    code = str(error.get("code") or error.get("type") or "error")
    said = inner if isinstance(inner, str) else error.get("message")
    told = str(said)[:300] if said else code
    if step.state.phase == "opening":
        step.do(Refused(code, told))
        return
    if code in LIMITS:
        step.finish("limit")
        return
    fatal = shapes.table(message, "sglang").get("fatal") if isinstance(message.get("sglang"), Mapping) else None
    if error.get("type") in _LOST or code in _LOST or fatal is True:
        step.fail(code, f"{step.dialect.server}: {told}", "look at the server's log")
        return
    cause = str(error.get("event_id") or error.get("client_event_id") or "")
    if cause.startswith(TIDY):
        return
    reply = _asked_by(step.state, cause)
    if cause.startswith("locara-commit-"):
        step.set(commits=tuple(one for one in step.state.commits if one != reply))
        return  # less sound than it takes for a turn; what was written, or said before, is answered all the same
    if step.dialect.shape == "vllm" and reply is None and step.state.made is not None:
        reply = step.state.made.number  # its errors name nothing, and it makes one reply at a time
    step.warn(code, f"{step.dialect.server}: {told}", reply=reply)
    if reply is not None:
        step.change(reply, making=False, asked=False, due=None)
        step.end(reply, "failed")
        ask_next(step)


def _asked_by(state: State, cause: str) -> int | None:
    """The reply that a message of ours with this id was for."""
    number = cause.rpartition("-")[2]
    if cause.startswith(("locara-create-", "locara-commit-")) and number.isdigit():
        reply = state.reply(int(number))
        return None if reply is None or reply.over else reply.number
    return None


# --- the user ---------------------------------------------------------------------------------------------------------


def _committed(step: Step, message: Message) -> None:
    item = shapes.some_text(message, "item_id")
    if not step.state.commits:
        return
    number, *others = step.state.commits
    step.set(commits=tuple(others))
    reply = step.change(number, user_item=item)
    if reply is not None and reply.revoked:
        forget_items(step, reply)


def _voice_on(step: Step, message: Message) -> None:
    step.do(UserVoice(True))
    for one in step.state.replies:
        if one.plays_until is not None:
            step.end(one.number, "interrupted")
    reply = step.state.made
    if step.dialect.turn_owner == "engine" and reply is not None and reply.began:
        step.end(reply.number, "interrupted")
        step.change(reply.number, due=step.now + CANCEL_SECONDS)


def _voice_off(step: Step, message: Message) -> None:
    step.do(UserVoice(False))


def _user_delta(step: Step, message: Message) -> None:
    delta, item = shapes.text(message, "delta"), shapes.some_text(message, "item_id")
    if step.dialect.user_text == "none":
        return
    so_far = step.state.user if item == step.state.user_item else ""
    if step.dialect.shape == "unmute" and so_far and not delta.startswith(" "):
        so_far += " "  # it sends words
    step.set(user=so_far + delta, user_item=item)
    if delta:
        step.do(UserText(step.state.user))


def _user_whole(step: Step, message: Message) -> None:
    whole = shapes.text(message, "transcript")
    if step.dialect.user_text == "none":
        return
    step.set(user="", user_item="")
    step.do(UserText(whole.strip(), final=True))


_HEARD: dict[str, Callable[[Step, Message], None]] = {
    "created": _created,
    "updated": _updated,
    "resumed": _resumed,
    "resync": _resync,
    "closed": _closed,
    "expired": _expired,
    "error": _error,
    "begun": replies.begun,
    "done": replies.done,
    "audio-done": replies.audio_done,
    "text": replies.text,
    "text-whole": replies.text_whole,
    "item": replies.item,
    "call": replies.call,
    "listen": replies.listen,
    "interrupted": replies.interrupted,
    "committed": _committed,
    "voice-on": _voice_on,
    "voice-off": _voice_off,
    "user-delta": _user_delta,
    "user-whole": _user_whole,
}
