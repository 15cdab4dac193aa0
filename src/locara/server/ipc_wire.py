"""The messages of `/ipc`, Locara's own protocol, as frozen dataclasses: the one source of its parser, schema and page.

What may live here: what is said on the wire, and reading and writing it. Pure. What is done about it is in `ipc_methods`;
binary frames are in `locara.client.frames`, which the client needs too.

Versions: `PROTOCOL` is a new number only where an old client would go wrong. Without one may be added: methods, parameters
that may be left out, members of results, pushes and events, members of events, error codes. Clients ignore what they do
not know in what they are sent; the server refuses what it does not know, so that a misspelt setting is never silently
without effect.
"""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from locara.errors import LocaraError, MessageError
from locara.server.places import without_places
from locara.server.typed_json import LARGEST, as_json, field, parsed, read, written

PROTOCOL = 1
SUBPROTOCOL = "locara.ipc.v1"

NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
ID = r"[A-Za-z0-9_-]+"

Rate = Literal[16000, 24000, 44100, 48000]
OutputRate = Literal[16000, 24000, 48000]
Stage = str | Mapping[str, Any] | None
Attention = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A function of the client that the model may call."""

    name: str = field("what the model calls it", least=1, most=64, pattern=NAME)
    description: str = field("what it does, for the model", most=4_000)
    parameters: Mapping[str, Any] = field("JSON Schema of its arguments, an object")
    side_effects: bool = field("false: it only looks, and may run before the turn is decided", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long a pause may be before a turn is over, in seconds; all three equal: a fixed silence."""

    even: float = field("where it is as likely that the user has finished as that they go on", least=0.0, most=60.0)
    least: float = field("never sooner", least=0.0, most=60.0)
    last: float = field("never later", least=0.0, most=60.0)


Patience = Literal["quick", "normal", "patient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart:
    """Begins a conversation; one a connection at a time. Answered when every stage is warm."""

    manifest: str | None = field("the text of the app's locara.toml; left out: the page", default=None, most=256_000)
    stt: Stage = field("speech to text, as `voice.session` takes it", default=None, most=256)
    llm: Stage = field("language model", default=None, most=256)
    tts: Stage = field("text to speech", default=None, most=256)
    omni: Stage = field("one model that hears and speaks", default=None, most=256)
    patience: Patience | Pauses = field("how long a pause may be", default="normal")
    attention: Attention = field("open, push-to-talk, or wake-word with its options", default="open", most=32)
    idle: float | None = field("seconds of silence until `user-idle`", default=None, least=0.0, most=86_400.0)
    idle_prompt: str | None = field("said then, once", default=None, most=1_000)
    language: str | None = field(
        "a code such as de; refused by a server that cannot choose by it", default=None, most=35
    )
    system: str | None = field("the system's text for the model", default=None, most=100_000)
    tools: tuple[ToolSpec, ...] = field("functions of the client", default=(), most=64)
    input_rate: Rate = field("hertz of the microphone's frames", default=16000)
    output_rate: OutputRate = field("hertz of the speaker's frames", default=24000)
    echo: Literal["headphones", "cancel"] = field(
        "cancel: the server takes its own voice out; browsers do that themselves", default="headphones"
    )
    other_speaker: bool = field("plays on another output than the default: needs device.speaker.select", default=False)
    audio_chunks: bool = field("audio-chunk events with their samples as base64", default=False)
    reports: bool = field("false: this client never sends playback.ack, the clock says what was heard", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPush:
    """Sound of the microphone, for clients that cannot send binary frames."""

    audio: str = field("base64 of 16-bit PCM, mono, little endian", most=1 << 20)
    sample_rate: Rate = field("hertz")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvents:
    """Events once more, as far as they are kept; each is pushed again with its number."""

    after: int = field("the number of the last event that is there", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStop:
    """Ends the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResume:
    """Goes on, on a new connection, with a conversation whose connection dropped."""

    session: str = field("as session_start answered", most=64, pattern=ID)
    resume_token: str = field("as session_start answered", most=64, pattern=ID)
    after: int = field("the number of the last event that was received", least=0)
    received: int = field("the end of the speaker's stream as received, in samples of its rate", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """What the user types instead of speaking."""

    text: str = field("takes the floor as speaking does", least=1, most=20_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Says a text as it is, as soon as the floor is free."""

    text: str = field("spoken as it is", least=1, most=20_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Stops what the assistant is saying or about to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """From now on the microphone gives zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute:
    """Listens again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushToTalk:
    """The push-to-talk key."""

    down: bool = field("true: pressed, false: released")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Other engines, between turns. Answered when they have taken over."""

    stt: Stage = field("what is left out stays", default=None, most=256)
    llm: Stage = field("what is left out stays", default=None, most=256)
    tts: Stage = field("what is left out stays", default=None, most=256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Other settings, from the next turn on."""

    patience: Patience | Pauses | None = field("how long a pause may be", default=None)
    attention: Literal["open", "push-to-talk"] | None = field("who opens a turn", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What each side said; for the assistant, what was heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Counts and seconds of this session so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which engine and model each stage has, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool of the client gave back."""

    call: str = field("the number of the call, as it was pushed", most=64, pattern=ID)
    result: Any = field('JSON; {"error": ...} where it failed')


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAnswer:
    """A person's answer to a question that was pushed to this connection."""

    question: str = field("its number, as it was pushed", most=64, pattern=ID)
    answer: Literal["once", "always", "deny"] = field("once: until the server ends")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsList:
    """The models there are."""

    task: Literal["stt", "llm", "tts", "omni", "vad", "turn", "wake"] | None = field("only these", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackAck:
    """How far the client has really played. Sent without an id, ten times a second while something sounds."""

    played_ms: float = field("milliseconds of the speaker's stream: its `at` / output_rate * 1000", least=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Answered at once."""


# --- results ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Done, or under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """It listens."""

    session: str = field("its number, for session.resume")
    resume_token: str = field("secret: with it another connection goes on with this conversation")
    input_rate: int = field("hertz")
    output_rate: int = field("hertz")
    plan: Mapping[str, Any] = field("stage -> engine, model, device and why")
    capabilities: Mapping[str, Any] = field("event -> exact, estimated or absent")
    grace_seconds: float = field("how long it waits after its connection dropped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Taken in."""

    accepted: int = field("samples; fewer than were sent where the buffer is full")
    buffered: float = field("seconds that wait to be heard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """They follow."""

    seq: int = field("the number of the newest event")
    missed: int = field("events that are not kept any more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """It has ended."""

    reason: str = field("as in session-end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """It goes on; events after `after` and sound from `output_at` on follow."""

    seq: int = field("the number of the newest event")
    missed: int = field("events that are not kept any more")
    output_at: int = field("where the sound that follows begins, in samples; later than `received`: the rest is lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan."""

    plan: Mapping[str, Any] = field("stage -> engine, model, device and why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The conversation."""

    history: tuple[dict[str, Any], ...] = field("{turn, role, text, interrupted, unheard} or {turn, call, result}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The metrics."""

    metrics: Mapping[str, Any] = field("name -> number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models."""

    models: tuple[dict[str, Any], ...] = field("{id, task, status, installed, why?}")


# --- pushes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message of a connection."""

    protocol: int = field("the number of this protocol")
    server: str = field("locara and its version")
    limits: Mapping[str, Any] = field("what one client may take: bytes, seconds, counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to the person at the page."""

    question: str = field("its number, for consent.answer")
    app: str = field("the app's id")
    name: str = field("the app's name")
    version: str = field("the app's version")
    capability: str = field("what it wants")
    why: str = field("what it follows from, or the app's own reason")
    update: bool = field("an update of the app asks for it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A question that needs no answer any more."""

    question: str = field("its number")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolWanted:
    """The model calls a tool of the client."""

    call: str = field("its number, for tool.result")
    name: str = field("the tool")
    arguments: Mapping[str, Any] = field("by name")


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """What both sides do: the states of docs/turns.md."""

    user: str = field("quiet, talking, pausing, yielded")
    assistant: str = field("idle, preparing, speaking, ducked, held")
    muted: bool = field("the microphone gives zeros")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The connection is about to be closed by the server."""

    reason: str = field("why: idle, too-slow, bad-message, rate, restart, resumed")
    hint: str = field("what to do next")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong with a request."""

    code: str = field("stable; see locara.errors")
    message: str = field("what and why, in one sentence")
    hint: str = field("what to do next")
    stage: str | None = field("which stage of the conversation", default=None)
    retry_after: float | None = field("seconds after which it may be tried again", default=None)


METHODS: Mapping[str, tuple[type, type]] = {
    "voice.session_start": (SessionStart, Started),
    "voice.session_push": (SessionPush, Pushed),
    "voice.session_events": (SessionEvents, Again),
    "voice.session_stop": (SessionStop, Stopped),
    "session.resume": (SessionResume, Resumed),
    "session.send_text": (SendText, Nothing),
    "session.say": (Say, Nothing),
    "session.interrupt": (Interrupt, Nothing),
    "session.mute": (Mute, Nothing),
    "session.unmute": (Unmute, Nothing),
    "session.push_to_talk": (PushToTalk, Nothing),
    "session.change": (Change, Planned),
    "session.configure": (Configure, Nothing),
    "session.history": (History, Said),
    "session.metrics": (Metrics, Measured),
    "session.plan": (Plan, Planned),
    "tool.result": (ToolResult, Nothing),
    "consent.answer": (ConsentAnswer, Nothing),
    "models.list": (ModelsList, Models),
    "playback.ack": (PlaybackAck, Nothing),
    "ping": (Ping, Nothing),
}
"""Method -> (its parameters, its result)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``id`` None: a notification, which gets no answer."""

    id: int | None
    method: str
    params: Any


class BadRequest(MessageError):
    """``id``: of the request, as far as it could be read."""

    def __init__(self, error: LocaraError, id: int | None) -> None:  # noqa: A002  the wire's word
        super().__init__(error.message, hint=error.hint)
        self.id = id


def request(text: str) -> Request:
    """The request in a text frame. Raises `BadRequest`, and nothing else."""
    number: int | None = None
    try:
        whole = parsed(text)
        if not isinstance(whole, dict):
            raise MessageError("the message is no object", hint='{"id": 1, "method": "ping", "params": {}}')
        if "id" in whole:
            given = whole["id"]
            if type(given) is not int or not 0 <= given <= LARGEST:
                raise MessageError("the id is no whole number", hint=f"0 to {LARGEST}, another one for each request")
            number = given
        for name in whole:
            if name not in ("id", "method", "params"):
                raise MessageError(f"a message has no {name[:40]!a}", hint="it has id, method and params")
        method = whole.get("method")
        if not isinstance(method, str):
            raise MessageError("the message names no method", hint="see docs/ipc.md")
        if method not in METHODS:
            near = difflib.get_close_matches(method[:64], METHODS, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise MessageError(f"there is no method {method[:64]!a}", hint=f"{guess}See docs/ipc.md")
        return Request(number, method, read(METHODS[method][0], whole.get("params", {}), method))
    except MessageError as error:
        raise BadRequest(error, number) from None


def pcm_of(push: SessionPush) -> bytes:
    """The 16-bit PCM of a push. Raises ``MessageError``."""
    try:
        data = base64.b64decode(push.audio, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError("voice.session_push.audio is no base64", hint="16-bit PCM, mono, little endian") from None
    if len(data) % 2:
        raise MessageError("voice.session_push.audio ends with half a sample", hint="16-bit PCM, mono, little endian")
    return data


# --- what the server sends --------------------------------------------------------------------------------------------


def answer(id: int, result: Any) -> str:  # noqa: A002
    """The answer to a request: one of the results above."""
    return written({"id": id, "result": as_json(result)})


def refusal(id: int | None, failure: Failure) -> str:  # noqa: A002
    """An error, linked to a request, or to none where what came was no request."""
    return written({"id": id, "error": as_json(failure)})


def failure_of(error: Exception) -> Failure:
    """What a client is told of an error. Of one that is no ``LocaraError`` only that it happened: its words may be
    anybody's."""
    if not isinstance(error, LocaraError):
        return Failure(code="internal", message="the server failed at this", hint="see the server's log")
    retry = getattr(error, "retry_after", None)
    return Failure(
        code=error.code,
        message=without_places(error.message),
        hint=without_places(error.hint),
        stage=getattr(error, "stage", None),
        retry_after=None if retry is None else float(retry),
    )


def event(told: Mapping[str, Any], seq: int) -> str:
    """An event of the session, as `to_json` gives it, with its number."""
    return written({"event": told, "seq": seq})


def push(name: Literal["hello", "consent", "withdrawn", "tool", "state", "closing"], value: Any) -> str:
    """A push that has one of the dataclasses above."""
    return written({name: as_json(value)})


def flush(at: int) -> str:
    """The client throws away what it has not played yet. ``at``: the end of what was sent, in samples."""
    return written({"playback": "flush", "at": at})


PUSHES: Mapping[str, type] = {
    "hello": Hello,
    "consent": Asked,
    "withdrawn": Withdrawn,
    "tool": ToolWanted,
    "state": States,
    "closing": Closing,
}
"""Push -> what it holds. Beside them: ``event`` with ``seq``, and ``playback`` with ``at``."""
