"""The events of a session: what an app sees, the same for every form and engine.

What may live here: frozen dataclasses and their wire form (JSON with the same names, dashes for underscores in ``type``).
``t`` is in seconds on the session's audio clock: samples received / sample rate, zero at start.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from locara.audio import Samples, pcm16
from locara.voice.whole_text import whole

Who = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has. ``dropped``: how many events this consumer lost just before, because it was too slow."""

    type: ClassVar[str] = "event"
    t: float = 0.0
    turn: int | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStart(Event):
    """Every stage is warm; the session listens. ``plan``: stage -> engine, model, device and why."""

    type: ClassVar[str] = "session-start"
    plan: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChanged(Event):
    """Other engines have taken over, between turns (``session.change``). ``stages``: those that changed; ``plan``: the whole
    plan as it is now, see `SessionStart`."""

    type: ClassVar[str] = "plan-changed"
    stages: tuple[str, ...]
    plan: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionChanged(Event):
    """Wake-word mode: from now on the user is listened to (``attentive``), or the session waits for the word
    (``waiting``), and only the wake-word engine and voice activity get the sound.

    ``reason``, attentive: ``wake-word``, ``user`` (a key, or typed text), ``assistant`` (it speaks unasked).
    ``reason``, waiting: ``started``, ``follow-up-over``.
    ``word``: the wake word that was heard, or that is waited for.
    """

    type: ClassVar[str] = "attention"
    state: Literal["attentive", "waiting"]
    reason: str
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdle(Event):
    """Nobody has made a sound for ``seconds``, and nothing is awaited. ``count``: how often this was told since the user
    last spoke."""

    type: ClassVar[str] = "user-idle"
    seconds: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStart(Event):
    """The user's voice begins."""

    type: ClassVar[str] = "speech-start"
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnd(Event):
    """The user's voice ends; the turn may go on after a pause."""

    type: ClassVar[str] = "speech-end"
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTranscript(Event):
    """What has been understood so far. ``revision`` counts how often the turn was taken up again after a pause in which
    a reply was already being prepared."""

    type: ClassVar[str] = "partial-transcript"
    text: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalTranscript(Event):
    """What the user said, once a turn, before its first committed ``llm-token``."""

    type: ClassVar[str] = "final-transcript"
    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmToken(Event):
    """A piece of the reply's text, committed, in order."""

    type: ClassVar[str] = "llm-token"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioChunk(Event):
    """Sound handed to the speaker: float32 mono of shape ``(n,)``, and the text that begins to be spoken in it."""

    type: ClassVar[str] = "audio-chunk"
    samples: Samples
    sample_rate: int
    text: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AudioChunk):
            return NotImplemented
        same = (self.t, self.turn, self.sample_rate, self.text) == (other.t, other.turn, other.sample_rate, other.text)
        return same and np.array_equal(self.samples, other.samples)

    def __hash__(self) -> int:
        return hash((self.t, self.turn, self.samples.size))


@dataclass(frozen=True, slots=True)
class Latency:
    """Voice-to-voice latency in its parts, in seconds; their sum is the whole, from the last sample of the user's speech
    to the first audible sample of the reply at the output. What was prepared in time costs nothing."""

    endpoint: float = 0.0
    stt: float = 0.0
    llm_first_token: float = 0.0
    clause: float = 0.0
    tts_first_chunk: float = 0.0
    queue: float = 0.0
    output: float = 0.0

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return float(sum(dataclasses.astuple(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd(Event):
    """A turn has ended. User: it was decided, and ``latency`` says how long the reply took to be heard (None where no
    reply was heard). Assistant: the reply has played out or was cut.

    ``reason``, user: ``complete``, ``released`` (push to talk), ``typed``, ``too-long``, ``no-words``, ``backchannel``,
    ``echo``, ``no-speech``, ``hallucination`` (see `Rejected`), ``muted``, ``replaced`` (by typed text), ``cancelled``,
    ``failed``, ``stopped``.
    ``reason``, assistant: ``finished``, ``interrupted`` (by the user), ``cancelled`` (by the app), ``empty``,
    ``failed``, ``stopped``.
    ``speech_end``: where on the session's clock the user's last sample of speech was, in seconds.
    """

    type: ClassVar[str] = "turn-end"
    who: Who
    reason: str
    latency: Latency | None = None
    speech_end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BargeIn(Event):
    """The user took the floor; playback has stopped. ``heard_text`` left the speaker, ``unheard_text`` never did."""

    type: ClassVar[str] = "barge-in"
    heard_text: str
    unheard_text: str
    heard_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Event):
    """A false alarm: playback goes on from the exact sample. ``paused_ms`` is 0 where it had only been lowered."""

    type: ClassVar[str] = "resume"
    paused_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    """The model calls a tool."""

    type: ClassVar[str] = "tool-call"
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult(Event):
    """What the tool gave back. ``interrupted``: the reply it was for had already ended."""

    type: ClassVar[str] = "tool-result"
    name: str
    result: Any
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected(Event):
    """Audio or text that was not taken for a turn. ``reason``:

    * ``no-words``: a sound in which no words were found.
    * ``backchannel``: "mm-hm" and its kind, said while the assistant speaks.
    * ``echo``: ``text`` is what the assistant itself was saying just then.
    * ``no-speech``: ``text`` has more words than there was voice for, or was found in a sound that, where our own echo was
      heard too, was not surely a voice.
    * ``hallucination``: ``text`` is a loop or an invention of the recogniser.
    * ``muted``; ``replaced`` (by typed text).
    """

    type: ClassVar[str] = "rejected"
    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChanged(Event):
    """Something changed about the microphone (``kind`` ``input``) or the speaker (``output``); the session goes on.

    ``change``: ``lost``; ``back``, opened again; ``replaced`` by the default device; another ``default`` was chosen in the
    system and is followed; ``sounding`` again after `DeviceSilent`; ``muted`` by `locara mute` or a revoked
    grant, and ``unmuted``. ``hint``: the same as a sentence, with what to do.
    """

    type: ClassVar[str] = "device-changed"
    device: str
    hint: str
    kind: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSilent(Event):
    """The microphone gives digital zeros: muted by a switch, or not permitted by the operating system."""

    type: ClassVar[str] = "device-silent"
    device: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoHandling(Event):
    """How our own echo is kept out has changed. ``mode``: ``half-duplex`` (the echo could not be cancelled, so nobody is
    listened to while the assistant speaks; reason ``echo-not-cancelled``) or ``cancel`` (it can again; reason
    ``echo-cancelled``)."""

    type: ClassVar[str] = "echo-handling"
    mode: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Event):
    """Something failed. Unless ``fatal``, the session lives on."""

    type: ClassVar[str] = "error"
    code: str
    message: str
    stage: str
    fatal: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd(Event):
    """The last event. ``reason``: ``stopped``, ``input-ended``, ``device-lost``, ``revoked``, ``failed``."""

    type: ClassVar[str] = "session-end"
    reason: str


ALL: tuple[type[Event], ...] = (
    SessionStart, PlanChanged, AttentionChanged, UserIdle, SpeechStart, SpeechEnd, PartialTranscript, FinalTranscript,
    LlmToken, AudioChunk, TurnEnd, BargeIn, Resume, ToolCalled, ToolResult, Rejected, DeviceChanged, DeviceSilent,
    EchoHandling, Error, SessionEnd,
)  # fmt: skip
"""Every event there is."""

FROZEN = ("partial-transcript", "final-transcript", "llm-token", "audio-chunk", "turn-end", "barge-in", "error")
"""The set that never changes: the same for every engine."""


def to_json(event: Event, *, audio: bool = True) -> dict[str, Any]:
    """The event as JSON-ready values, ``type`` first. ``samples`` become base64 of 16-bit PCM; without ``audio``, only
    their number."""
    out: dict[str, Any] = {"type": event.type}
    for one in dataclasses.fields(event):
        value = getattr(event, one.name)
        if one.name == "dropped" and not value:
            continue
        if isinstance(value, np.ndarray):
            value = base64.b64encode(pcm16(value)).decode("ascii") if audio else int(value.size)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {name: round(part, 6) for name, part in dataclasses.asdict(value).items()}
        out[one.name] = round(value, 6) if isinstance(value, float) else _writable(value)
    return out


def _writable(value: Any) -> Any:
    """The same with whole characters only: what a tool was asked, or an engine said of a fault, may hold anything."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        return {_writable(name): _writable(part) for name, part in value.items()}
    return type(value)(map(_writable, value)) if type(value) in (list, tuple) else value
