"""What we say to a realtime server: how a session opens, what a signal becomes, and what happens when it is silent. Pure.

What may live here: signals to messages, and the descriptions of a session, one for each shape.

How a turn is taken back (`Cancel` with ``revoke``): in OpenAI's protocol a committed turn is an item of the conversation. It
is deleted, and so is what was made of the reply; the input buffer is cleared, and the sound of the turn is appended again
before what came since. So the turn is one piece of sound for the model, and nothing of it is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from locara.engines.backend import (
    BackendSettings,
    Cancel,
    Disregard,
    Played,
    Signal,
    ToolResult,
    TurnEnd,
    UserTyped,
)
from locara.engines.omni.realtime_asking import TIDY, ask, ask_next, forget_items
from locara.engines.omni.realtime_dialects import Dialect
from locara.engines.omni.realtime_settings import Settings
from locara.engines.omni.realtime_state import (
    CANCEL_SECONDS,
    JSON,
    Call,
    Commit,
    Effect,
    Forget,
    Renew,
    Reply,
    Revoke,
    State,
    Step,
)
from locara.errors import ConfigError

LEAST_COMMIT_SECONDS = 0.1
"""OpenAI refuses to commit less."""


# --- how a session opens ----------------------------------------------------------------------------------------------


def opening(settings: Settings, wanted: BackendSettings) -> State:
    """A session that is to be opened. Raises ``ConfigError`` for what this server cannot be told."""
    dialect = settings.dialect
    voice = wanted.voice or settings.voice
    refused = {
        "instructions": bool(wanted.instructions) and not dialect.instructions,
        "a voice": bool(voice) and not dialect.voices,
        "tools": bool(wanted.tools) and not dialect.tools,
    }
    for what, is_refused in refused.items():
        if is_refused:
            raise ConfigError(f"{dialect.server} cannot be given {what}", hint=f"leave {what} out")
    hello = _HELLO[dialect.shape](settings, wanted, voice)
    return State(dialect, hello, deadline=settings.deadline)


def _realtime(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    """OpenAI's GA session. Whose turn it is, we decide: ``turn_detection`` is null. A server that decides itself is told
    to, and its rates are left to it."""
    dialect = settings.dialect
    sides: dict[str, JSON] = {"input": {}, "output": {}}
    if dialect.turn_owner == "locara":
        sides["input"] = {"format": {"type": "audio/pcm", "rate": dialect.input_rate}, "turn_detection": None}
        sides["output"] = {"format": {"type": "audio/pcm", "rate": dialect.output_rate}}
    else:
        sides["input"] = {"turn_detection": {"type": "server_vad", "interrupt_response": True}}
    if settings.transcription:
        sides["input"]["transcription"] = {"model": settings.transcription}
    if voice:
        sides["output"]["voice"] = voice
    session: JSON = {"type": "realtime", "output_modalities": ["audio"], "audio": sides}
    if wanted.instructions:
        session["instructions"] = wanted.instructions
    if wanted.tools:
        session["tools"] = [
            {"type": "function", "name": one.name, "description": one.description, "parameters": dict(one.parameters)}
            for one in wanted.tools
        ]
        session["tool_choice"] = "auto"
    return {"type": "session.update", "session": session}


def _vllm(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    return {"type": "session.update", "model": settings.model}


def _vllm_duplex(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    dialect = settings.dialect
    session: JSON = {
        "model": settings.model,
        "modalities": ["audio", "text"],
        "input_audio_format": dialect.encoding,
        "output_audio_format": "pcm16",
        "sample_rate_hz": dialect.input_rate,
        "audio": {
            "input": {"sample_rate_hz": dialect.input_rate},
            "output": {"sample_rate_hz": dialect.output_rate},
        },
        "turn_detection": None,
        "extra_body": {"auto_response": True},
    }
    if wanted.instructions:
        session["instructions"] = wanted.instructions
    if voice:
        session["voice"] = voice
    return {"type": "session.update", "session": session}


def _sglang(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    dialect = settings.dialect
    session: JSON = {
        "type": "realtime",
        "output_modalities": ["audio", "text"],
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": dialect.input_rate}},
            "output": {"format": {"type": "audio/pcm", "rate": dialect.output_rate}},
        },
        "sglang": {"interaction": "native"},
    }
    if settings.model:
        session["model"] = settings.model
    if wanted.instructions:
        session["instructions"] = wanted.instructions
    return {"type": "session.update", "event_id": "locara-hello", "session": session}


def _mlx(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    session: JSON = {"model": settings.model}
    if wanted.instructions:
        session["system_prompt"] = wanted.instructions
    return {"type": "session.update", "session": session}


def _unmute(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    """It does not begin without instructions, and wants to be told whether it may record: it may not."""
    instructions: JSON = (
        {"type": "constant", "text": wanted.instructions} if wanted.instructions else {"type": "smalltalk"}
    )
    session: JSON = {"instructions": instructions, "voice": voice or None, "allow_recording": False}
    return {"type": "session.update", "session": session}


def _live(settings: Settings, wanted: BackendSettings, voice: str) -> JSON:
    dialect = settings.dialect
    audio: JSON = {"format": {"type": "audio/pcm", "rate": dialect.input_rate}}
    if voice:
        audio["output"] = {"voice": voice}
    session: JSON = {"model": settings.model, "audio": audio}
    if wanted.instructions:
        session["instructions"] = wanted.instructions
    return {"type": "session.start", "session": session}


_HELLO: dict[str, Callable[[Settings, BackendSettings, str], JSON]] = {
    "realtime": _realtime,
    "vllm": _vllm,
    "vllm-duplex": _vllm_duplex,
    "sglang": _sglang,
    "mlx": _mlx,
    "unmute": _unmute,
    "live": _live,
}


def resuming(state: State) -> JSON:
    """What is said first on a new connection to the same session."""
    return {
        "type": "session.resume",
        "session_id": state.session,
        "resume_token": state.token,
        "last_received_server_event_seq": state.sequence,
    }


def appended(dialect: Dialect, sound: str, number: int) -> JSON:
    """The message with this sound (base64); ``number`` counts them from 0."""
    message: JSON = {"type": dialect.append, "audio": sound}
    if dialect.shape == "vllm-duplex":
        message |= {"format": dialect.encoding, "sample_rate_hz": dialect.input_rate}
    elif dialect.shape == "mlx":
        message["sample_rate"] = dialect.input_rate
    elif dialect.numbered:
        message |= {"event_id": f"locara-append-{number}", "sglang": {"seq": number}}
    return message


# --- signals ----------------------------------------------------------------------------------------------------------


def said(
    state: State, signal: Signal, now: float, pushed: int, *, kept: bool = True
) -> tuple[State, tuple[Effect, ...], bool]:
    """What a signal becomes, and whether it applies. ``pushed``: samples of this turn so far. ``kept``: the sound of the
    last turn is still here, whole."""
    step = Step(state, now)
    if state.phase == "over":
        return (*step.result, False)
    match signal:
        case TurnEnd():
            applies = _turn_end(step, signal, pushed)
        case Cancel():
            applies = _cancel(step, signal, kept)
        case Played():
            applies = _played(step, signal)
        case UserTyped():
            applies = _typed(step, signal)
        case Disregard():
            applies = _disregard(step)
        case ToolResult():
            applies = _tool_result(step, signal)
    return (*step.result, applies)


def _turn_end(step: Step, signal: TurnEnd, pushed: int) -> bool:
    if step.dialect.turn_owner != "locara" or step.state.reply(signal.reply) is not None:
        return False
    number = signal.reply
    step.put(Reply(number))
    least = round(LEAST_COMMIT_SECONDS * step.dialect.input_rate)
    padding = max(0, least - pushed)
    if step.dialect.shape == "vllm":
        if not pushed:
            step.warn("no-sound", f"{step.dialect.server} answers nothing but sound", reply=number)
            step.end(number, "failed")
            return True
        ask(step, number)
        step.send("input_audio_buffer.commit", final=False)
        step.do(Commit(padding))
        step.send("input_audio_buffer.commit", final=True)
        return True
    if pushed:
        step.do(Commit(padding))
        step.send("input_audio_buffer.commit", event_id=f"locara-commit-{number}")
        step.set(commits=(*step.state.commits, number))
    ask(step, number)
    return True


def _cancel(step: Step, signal: Cancel, kept: bool) -> bool:
    reply = step.state.reply(signal.reply)
    if reply is None or step.dialect.cancel == "never":
        return False
    applies = not reply.over
    if not reply.over:
        step.end(reply.number, "cancelled")
        _stop(step, reply.number)
    if signal.revoke and step.dialect.turn_owner == "locara":
        _revoke(step, signal.reply, kept)
        applies = True
    ask_next(step)
    return applies


def _revoke(step: Step, number: int, kept: bool) -> None:
    """The turn goes on. One that was too long to be kept stays in the conversation, and what comes is a second one."""
    if not kept:
        step.set(commits=tuple(one for one in step.state.commits if one != number))
        step.change(number, user_item="")
    reply = step.change(number, revoked=True)
    if reply is not None:
        forget_items(step, reply)
    if kept:
        step.do(Revoke())


def _stop(step: Step, number: int) -> None:
    """Has the server stop making a reply whose end was told."""
    reply = step.change(number, cut=True)
    if reply is None or not reply.making:
        return
    if step.dialect.cancel == "reconnect":
        step.change(number, making=False, asked=False, due=None)
        step.set(phase="opening")
        step.do(Renew())
        return
    step.change(number, due=step.now + CANCEL_SECONDS)
    if step.dialect.cancel == "event" and not reply.asked:  # else when its response begins, and has a name
        step.send("response.cancel", event_id=TIDY, **({"response_id": reply.response} if reply.response else {}))


def _played(step: Step, signal: Played) -> bool:
    reply = step.state.reply(signal.reply)
    if reply is None:
        return False
    if step.dialect.wants_played:
        ms = int(signal.seconds * 1000)
        where = {"response_id": reply.last_response} if reply.last_response else {}
        step.send("playback.ack", event_id=TIDY, played_ms=ms, committed_ms=ms, **where)
        return True
    if not signal.ended or not step.dialect.truncates:
        return False
    _truncate(step, reply, signal.seconds)
    return True


def _truncate(step: Step, reply: Reply, seconds: float) -> None:
    """The server forgets what was not heard. It is never told more than came: some take that for an error."""
    rate = step.dialect.output_rate
    heard = min(round(seconds * rate), reply.samples)
    if reply.revoked or (heard >= reply.samples and not reply.cut):
        return
    at = 0
    for item in reply.items:
        end, unheard = at + item.samples, at >= heard and at > 0
        if unheard and item.id:
            step.send("conversation.item.delete", event_id=TIDY, item_id=item.id)
        elif item.id and (heard < end or (reply.cut and item is reply.items[-1])):
            step.send(
                "conversation.item.truncate", event_id=TIDY, item_id=item.id, content_index=item.content_index,
                audio_end_ms=(heard - at) * 1000 // rate,
            )  # fmt: skip
        at = end


def _typed(step: Step, signal: UserTyped) -> bool:
    if not step.dialect.takes_text:
        return False
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": signal.text}]}
    step.send("conversation.item.create", item=item)
    if step.dialect.turn_owner != "locara":
        step.send("response.create")
    return True


def _disregard(step: Step) -> bool:
    if step.dialect.turn_owner != "locara":
        return False
    step.do(Forget())
    if not step.dialect.held:
        step.send("input_audio_buffer.clear", event_id=TIDY)
    return True


def _tool_result(step: Step, signal: ToolResult) -> bool:
    """Results are recorded also where nobody waits for them any longer: a call without one would stay open."""
    reply = step.state.reply(signal.reply)
    if reply is None or not any(one.id == signal.call.id and not one.answered for one in reply.calls):
        return False
    content = signal.content if isinstance(signal.content, str) else json.dumps(signal.content)
    item: dict[str, Any] = {"type": "function_call_output", "call_id": signal.call.id, "output": content}
    step.send("conversation.item.create", item=item)
    calls = tuple(Call(one.id, one.answered or one.id == signal.call.id) for one in reply.calls)
    reply = step.put(replace(reply, calls=calls))
    if not reply.waiting and not reply.making and not reply.over:
        ask(step, reply.number)
    return True


# --- time -------------------------------------------------------------------------------------------------------------


def ticked(state: State, now: float) -> tuple[State, tuple[Effect, ...]]:
    """What follows from a server that has been silent for too long."""
    step = Step(state, now)
    for reply in state.replies:
        if reply.plays_until is not None and reply.plays_until <= now:
            step.end(reply.number)
            continue
        if reply.due is None or reply.due > now or step.state.phase == "over":
            continue
        if reply.over:
            step.change(reply.number, making=False, asked=False, due=None)
            continue
        step.warn(
            "engine-timeout", f"{step.dialect.server} said nothing for {state.deadline:g} s while it should answer",
            "look at its log; a larger deadline gives it more time", reply=reply.number,
        )  # fmt: skip
        step.end(reply.number, "failed")
        _stop(step, reply.number)
    ask_next(step)
    return step.result
