"""What a realtime server says of its replies, and of the tools that they want. Pure.

What may live here: one function a kind of event. Each changes a `Step`, and raises `realtime_shapes.Wrong` for what cannot
be read. To which reply something belongs is decided in one place, `_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from locara.audio import Samples
from locara.engines.backend import ReplyAudio, ReplyText, ToolWanted
from locara.engines.contracts import ToolCall
from locara.engines.omni import realtime_shapes as shapes
from locara.engines.omni.realtime_asking import TIDY, ask, ask_next, forget_items
from locara.engines.omni.realtime_state import KEPT_REPLIES, Call, Item, Packed, Reply, State, Step

Message = Mapping[str, Any]


def _response_id(message: Message) -> str:
    return shapes.some_text(message, "response_id") or shapes.some_text(shapes.table(message, "response"), "id")


def _of(step: Step, id_: str) -> Reply | None:
    """The reply that an event belongs to; a new one, where a server that leads begins one. None: to none."""
    state = step.state
    if not id_:
        return state.made
    known = next((one for one in state.replies if one.response == id_), None)
    if known is not None or id_ in state.responses_over:
        return known
    asked = next((one for one in state.replies if one.asked), None)
    if asked is not None:
        return step.put(replace(asked, response=id_, last_response=id_, asked=False))
    if step.dialect.turn_owner == "locara":
        return None
    return _new(step, id_)


def _new(step: Step, id_: str) -> Reply:
    for before in step.state.replies:
        if before.plays_until is not None:
            step.end(before.number)
    number = max((one.number for one in step.state.replies), default=0) + 1
    return step.put(Reply(number, response=id_, last_response=id_, making=True))


def _stray(step: Step) -> None:
    step.set(stray=step.state.stray + 1)


def begun(step: Step, message: Message) -> None:
    if not step.dialect.marks_replies:
        return
    id_ = _response_id(message)
    if not id_ and step.dialect.turn_owner != "locara":
        if step.state.made is not None:  # it did not say that the one before is over
            number = step.state.made.number
            step.change(number, making=False)
            step.end(number, "interrupted")
        step.user_ended()
        _new(step, "")
        return
    reply = _of(step, id_)
    if reply is None:
        if id_ and id_ not in step.state.responses_over:
            step.set(responses_over=_remembered(step.state, id_))
            step.send("response.cancel", event_id=TIDY, response_id=id_)
            step.warn(
                "unasked-reply", f"{step.dialect.server} answers without being asked",
                "it decides whose turn it is: use another dialect, for example speech-to-speech", once=True,
            )  # fmt: skip
        _stray(step)
    elif reply.over and step.dialect.cancel == "event":
        step.send("response.cancel", event_id=TIDY, response_id=id_)
    elif reply.due is not None:
        step.change(reply.number, due=step.now + step.state.deadline)


def _remembered(state: State, id_: str) -> tuple[str, ...]:
    return (*state.responses_over[-KEPT_REPLIES + 1 :], id_) if id_ else state.responses_over


def _live(step: Step, id_: str) -> Reply | None:
    """The reply that a piece belongs to, if it may still grow."""
    reply = _of(step, id_)
    if reply is None or reply.over or not reply.making:
        _stray(step)
        return None
    if reply.due is not None:
        reply = step.put(replace(reply, due=step.now + step.state.deadline))
    return reply


def audio(step: Step, message: Message, pushed: int) -> None:
    rate = shapes.rate(message)
    if rate is not None and rate != step.dialect.output_rate:
        step.fail(
            "wrong-rate",
            f"{step.dialect.server} sends sound at {rate} Hz, and said, or was told, {step.dialect.output_rate}",
            f"give the option output_rate={rate}",
        )
        return
    if not step.dialect.marks_replies:
        if step.state.phase == "ready":
            index = message.get("frame_index")
            at = (
                (index + 1) * step.dialect.frame_seconds * step.dialect.input_rate if isinstance(index, int) else pushed
            )
            step.frames(shapes.sound(message), max(0, min(pushed, round(at))))
        return
    packed = step.dialect.encoding == "opus"
    raw = shapes.data(message, "delta") if packed else b""
    samples = None if packed else shapes.sound(message)
    reply = _live(step, _response_id(message))
    if reply is None:
        return
    if samples is None:
        step.do(Packed(reply.number, raw))
        return
    item = shapes.some_text(message, "item_id")
    sound(step, reply.number, item, shapes.count(message, "content_index"), samples)


def sound(step: Step, number: int, id_: str, content_index: int, samples: Samples) -> None:
    reply = step.state.reply(number)
    if reply is None or not samples.size:
        return
    items = reply.items
    if items and items[-1].id == id_:
        items = (*items[:-1], replace(items[-1], samples=items[-1].samples + samples.size))
    else:
        items = (*items, Item(id_, content_index, samples.size))
    step.put(replace(reply, items=items, first=step.now if reply.first is None else reply.first))
    step.tell(ReplyAudio(number, samples))


def text(step: Step, message: Message) -> None:
    delta = shapes.text(message, "delta")
    if not step.dialect.marks_replies:
        if delta and step.state.user:
            step.user_ended()
        step.set(thought=step.state.thought + delta)
        return
    reply = _live(step, _response_id(message))
    if reply is not None and delta:
        step.put(replace(reply, texted=True))
        step.tell(ReplyText(reply.number, delta))


def text_whole(step: Step, message: Message) -> None:
    """The text once more; for servers that send no pieces the first time."""
    whole = shapes.some_text(message, "transcript") or shapes.some_text(message, "text")
    if not step.dialect.marks_replies or not whole:
        return
    reply = _live(step, _response_id(message))
    if reply is not None and not reply.texted:
        step.put(replace(reply, texted=True))
        step.tell(ReplyText(reply.number, whole))


def audio_done(step: Step, message: Message) -> None:
    """Where it is the end of a reply: nothing else says so."""
    reply = step.state.made
    if reply is None:
        _stray(step)
        return
    step.put(replace(reply, making=False, due=None))
    step.made(reply.number)
    ask_next(step)


def done(step: Step, message: Message) -> None:
    if not step.dialect.marks_replies:
        return
    response = shapes.table(message, "response")
    id_ = _response_id(message)
    status = shapes.some_text(response, "status") or "completed"
    details = shapes.table(response, "status_details")
    reply = _of(step, id_)
    step.set(responses_over=_remembered(step.state, id_))
    if reply is None or not reply.making:
        _stray(step)
        return
    reply = step.put(replace(reply, making=False, asked=False, due=None, texted=False, response=""))
    if reply.revoked:
        forget_items(step, reply)
    if status == "failed" and not reply.over:
        error = details.get("error")
        error = error if isinstance(error, Mapping) else {}
        told = str(error.get("message") or error.get("code") or "it does not say why")[:300]
        step.warn(
            str(error.get("code") or "reply-failed"), f"{step.dialect.server} could not answer: {told}",
            reply=reply.number if reply.began or step.dialect.turn_owner == "locara" else None,
        )  # fmt: skip
        step.end(reply.number, "failed")
    elif status == "cancelled":
        step.end(reply.number, "interrupted" if details.get("reason") == "turn_detected" else "cancelled")
    elif not reply.calls:
        step.made(reply.number)
    elif not reply.waiting and not reply.over:
        ask(step, reply.number)
        return
    ask_next(step)


def listen(step: Step, message: Message) -> None:
    """The model hears on. With the name of a response: that one is over."""
    id_ = shapes.some_text(message, "response_id")
    reply = next((one for one in step.state.replies if id_ and one.response == id_), None)
    if reply is not None:
        step.put(replace(reply, making=False, due=None))
        step.end(reply.number)
    if id_:
        step.set(responses_over=_remembered(step.state, id_))


def interrupted(step: Step, message: Message) -> None:
    reply = step.state.made
    if reply is not None:
        step.put(replace(reply, making=False, due=None))
        step.end(reply.number, "interrupted")


# --- tools ------------------------------------------------------------------------------------------------------------


def item(step: Step, message: Message) -> None:
    """A call's name stands in the item that it is."""
    item = shapes.table(message, "item")
    if item.get("type") != "function_call" or not step.dialect.tools:
        return
    call, name = shapes.some_text(item, "call_id"), shapes.some_text(item, "name")
    reply = _live(step, _response_id(message))
    if reply is None or not call:
        return
    step.put(replace(reply, names=(*reply.names, (call, name))))
    if item.get("status") == "completed" and "arguments" in item:
        _wanted(step, reply.number, call, name, shapes.text(item, "arguments"))


def call(step: Step, message: Message) -> None:
    if not step.dialect.tools:
        return
    reply = _live(step, _response_id(message))
    if reply is None:
        return
    call = shapes.text(message, "call_id")
    name = shapes.some_text(message, "name") or dict(reply.names).get(call, "")
    if name:  # else the item that follows says it
        _wanted(step, reply.number, call, name, shapes.some_text(message, "arguments"))


def _wanted(step: Step, number: int, call: str, name: str, raw: str) -> None:
    reply = step.state.reply(number)
    if reply is None or any(one.id == call for one in reply.calls):
        return
    if not name:
        raise shapes.Wrong("that calls a tool without its name")
    arguments = shapes.arguments(raw)
    step.put(replace(reply, calls=(*reply.calls, Call(call))))
    step.tell(ToolWanted(number, ToolCall(call, name, arguments)))
