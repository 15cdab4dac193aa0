"""What each kind of realtime server says and wants, as data. One adapter speaks with all of them.

What may live here: frozen values, and how a model's name changes them. Each dialect was written down from what its server
publishes: the types of the package (openai 3.54.0), the server's own source in its package (vllm-omni 0.30.0, sglang-omni
0.1.9, mlx-vlm 0.7.10, speech-to-speech 1.1.0) or repository (vllm, unmute). docs/remote.md says what was run against what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Kind = Literal[
    "created", "updated", "resumed", "resync", "closed", "expired", "error",
    "begun", "done", "audio", "audio-done", "text", "text-whole", "item", "call", "listen", "interrupted",
    "committed", "voice-on", "voice-off", "user-delta", "user-whole",
]  # fmt: skip
"""What a server's event means to us."""

Shape = Literal["realtime", "vllm", "vllm-duplex", "sglang", "mlx", "unmute", "live"]
"""How the session is described to the server."""

Encoding = Literal["pcm16", "pcm_f32le", "opus"]

_BOTH: dict[str, Kind] = {
    "session.created": "created",
    "session.updated": "updated",
    "error": "error",
    "response.created": "begun",
    "response.done": "done",
    "response.output_item.added": "item",
    "response.output_item.done": "item",
    "response.function_call_arguments.done": "call",
    "input_audio_buffer.committed": "committed",
    "input_audio_buffer.speech_started": "voice-on",
    "input_audio_buffer.speech_stopped": "voice-off",
    "conversation.item.input_audio_transcription.delta": "user-delta",
    "conversation.item.input_audio_transcription.completed": "user-whole",
}
_GA: dict[str, Kind] = {
    **_BOTH,
    "response.output_audio.delta": "audio",
    "response.output_audio_transcript.delta": "text",
    "response.output_audio_transcript.done": "text-whole",
    "response.output_text.delta": "text",
    "response.output_text.done": "text-whole",
}
_BETA: dict[str, Kind] = {
    **_BOTH,
    "response.audio.delta": "audio",
    "response.audio_transcript.delta": "text",
    "response.audio_transcript.done": "text-whole",
    "response.text.delta": "text",
    "response.text.done": "text-whole",
}
_QUIET = frozenset(
    {
        "conversation.created", "conversation.item.added", "conversation.item.created", "conversation.item.done",
        "conversation.item.retrieved", "conversation.item.truncated", "conversation.item.deleted",
        "conversation.item.input_audio_transcription.failed", "conversation.item.input_audio_transcription.segment",
        "input_audio_buffer.cleared", "input_audio_buffer.timeout_triggered", "output_audio_buffer.cleared",
        "response.content_part.added", "response.content_part.done", "response.output_audio.done",
        "response.audio.done", "response.function_call_arguments.delta", "rate_limits.updated",
    }
)  # fmt: skip
"""Known, and nothing to do."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak with a realtime server. Rates in hertz."""

    name: str
    server: str
    """Which program speaks it, for people."""
    shape: Shape = "realtime"
    path: str = "/v1/realtime"
    """Where it listens, if the address says nothing."""
    query: Mapping[str, str] = field(default_factory=dict)
    """What the address must carry."""
    model_in_query: bool = True
    needs_model: bool = False
    subprotocol: str = ""
    events: Mapping[str, Kind] = field(default_factory=lambda: MappingProxyType(_GA))
    quiet: frozenset[str] = _QUIET
    first: Literal["server", "client"] = "server"
    """Who speaks first."""
    ready: Kind = "updated"
    """The event after which sound may flow."""

    duplex: Literal["full", "half"] = "half"
    turn_owner: Literal["locara", "model", "engine"] = "locara"
    marks_replies: bool = True
    clocked: bool = False
    input_rate: int = 24_000
    output_rate: int = 24_000
    encoding: Encoding = "pcm16"
    """Of what is sent. What comes back is pcm16, or Opus where this is Opus."""
    frame_seconds: float = 0.0
    append_seconds: float = 0.0
    """So much sound goes into one message, at least; 0: what there is."""
    append: str = "input_audio_buffer.append"
    held: bool = False
    """The server cannot forget what it was sent: nothing is sent before the turn is decided."""
    numbered: bool = False
    """Every message needs an ``event_id``, and every append a number that counts from 0."""

    cancel: Literal["event", "reconnect", "never"] = "event"
    """How a reply is stopped. By a new connection: where the server has no word for it, and keeps no conversation."""
    truncates: bool = False
    wants_played: bool = False
    takes_text: bool = False
    tools: bool = False
    instructions: bool = True
    voices: bool = True
    """Whether a voice can be named."""
    user_text: Literal["none", "partial", "final"] = "none"
    transcription: bool = False
    """It can be told which model writes down what the user says."""
    max_sessions: int | None = None
    max_session_seconds: float | None = None
    resumes: bool = False
    heartbeat: str = ""
    """What it is to be sent every half minute."""
    farewell: str = ""
    """What it is to be sent before the connection is closed; else it keeps the place for a while."""


_OPENAI = Dialect(
    "openai",
    "OpenAI's Realtime API, and servers that keep to it",
    append_seconds=0.04,  # half as many messages as blocks; 20 ms later at most
    truncates=True,
    takes_text=True,
    tools=True,
    transcription=True,
    max_session_seconds=3600.0,
)
_VLLM_DUPLEX = Dialect(
    "vllm-omni-duplex",
    "vLLM-Omni in full duplex (MiniCPM-o 4.5, PersonaPlex, Nemotron VoiceChat)",
    shape="vllm-duplex",
    # Without autostart=0 the server begins a session with its own settings as soon as it reads the model's name.
    query={"duplex": "1", "autostart": "0"},
    needs_model=True,
    events=MappingProxyType(
        {
            **_GA,
            "response.text.delta": "text",
            "response.listen": "listen",
            "session.resumed": "resumed",
            "session.resync_required": "resync",
            "session.closed": "closed",
            "session.expired": "expired",
            "session.replaced": "closed",
        }
    ),
    quiet=_QUIET | {
        "response.speak", "turn.event", "overlap.decision", "playback.acknowledged", "session.heartbeat_ack",
    },
    first="client",
    ready="created",
    duplex="full",
    turn_owner="model",
    clocked=True,
    input_rate=16_000,
    append_seconds=0.08,
    cancel="never",  # the bundled models do not advertise it; whose turn it is, they decide
    wants_played=True,
    resumes=True,
    heartbeat="session.heartbeat",
    farewell="session.close",
)  # fmt: skip
_SGLANG = Dialect(
    "sglang-omni",
    "SGLang-Omni's native sessions (MiniCPM-o, Nemotron VoiceChat)",
    shape="sglang",
    events=MappingProxyType({**_GA, "session.closed": "closed"}),
    quiet=_QUIET | {
        "sglang.input_audio.accepted", "sglang.input_image.accepted", "sglang.input_audio.ended",
        "sglang.input_audio.drained", "sglang.unit.done", "sglang.response.progress",
    },
    duplex="full",
    turn_owner="model",
    clocked=True,
    input_rate=16_000,
    append_seconds=0.08,
    numbered=True,
    cancel="never",
    voices=False,
    farewell="session.close",
)  # fmt: skip

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        one.name: one
        for one in (
            _OPENAI,
            Dialect(
                "vllm-omni",
                "vLLM-Omni turn by turn (Qwen3-Omni)",
                shape="vllm",
                query={"duplex": "0"},
                needs_model=True,
                events=MappingProxyType(
                    {
                        "session.created": "created",
                        "error": "error",
                        # Its names come from the transcription of plain vLLM; the text is the model's, not the user's.
                        "transcription.delta": "text",
                        "transcription.done": "text-whole",
                        "response.output_audio.delta": "audio",
                        "response.output_audio.done": "audio-done",
                    }
                ),
                ready="created",
                input_rate=16_000,
                held=True,
                cancel="reconnect",
                instructions=False,
                voices=False,
            ),
            _VLLM_DUPLEX,
            _SGLANG,
            Dialect(
                "mlx-vlm",
                "mlx-vlm's server on a Mac (Nemotron VoiceChat)",
                shape="mlx",
                needs_model=True,
                events=MappingProxyType({**_BETA, "response.cancelled": "closed", "response.done": "closed"}),
                quiet=_QUIET | {"session.pong", "response.function.delta"},
                duplex="full",
                turn_owner="model",
                marks_replies=False,
                clocked=True,
                input_rate=16_000,
                output_rate=22_050,
                frame_seconds=0.08,
                append_seconds=0.08,
                cancel="never",  # its response.cancel ends the session, and so does a commit
                voices=False,
                user_text="partial",
                max_sessions=1,
                heartbeat="session.ping",
            ),
            replace(
                _OPENAI,
                name="llama",
                server="llama serve of llama.cpp v0.8.0 and newer (LFM3-Audio)",
                transcription=False,
                max_session_seconds=None,
                max_sessions=1,
            ),
            Dialect(
                "speech-to-speech",
                "Hugging Face's speech-to-speech",
                duplex="full",
                turn_owner="engine",
                clocked=True,
                # The types that it checks with know no other rate than 24 kHz; said nothing, it is its own.
                input_rate=16_000,
                output_rate=16_000,
                append_seconds=0.032,
                takes_text=True,
                tools=True,
                user_text="partial",
            ),
            Dialect(
                "unmute",
                "Kyutai's unmute",
                shape="unmute",
                model_in_query=False,
                subprotocol="realtime",
                events=MappingProxyType(
                    {
                        **_BETA,
                        "response.text.done": "text-whole",
                        "response.audio.done": "audio-done",
                        "unmute.interrupted_by_vad": "interrupted",
                    }
                ),
                quiet=(_QUIET - {"response.audio.done"}) | {
                    "unmute.additional_outputs", "unmute.response.text.delta.ready",
                    "unmute.response.audio.delta.ready", "unmute.input_audio_buffer.append_anonymized",
                },
                first="client",
                duplex="full",
                turn_owner="engine",
                clocked=True,
                encoding="opus",
                append_seconds=0.08,
                cancel="never",
                user_text="partial",
                max_sessions=4,
            ),
            Dialect(
                "openai-live",
                "OpenAI's Live API (GPT-Live)",
                shape="live",
                path="/v1/live/sessions",
                model_in_query=False,
                needs_model=True,
                events=MappingProxyType(
                    {
                        "session.started": "created",
                        "session.updated": "updated",
                        "session.closed": "closed",
                        "session.output_audio.delta": "audio",
                        "session.output_transcript.delta": "text",
                        "session.input_transcript.delta": "user-delta",
                        "error": "error",
                    }
                ),
                quiet=frozenset(
                    {
                        "session.usage.updated", "session.delegation.created", "session.input_audio.muted",
                        "session.input_audio.unmuted", "session.instructions.appended", "session.thinking.appended",
                        "session.commentary.appended",
                    }
                ),
                first="client",
                ready="created",
                duplex="full",
                turn_owner="model",
                marks_replies=False,
                clocked=True,
                frame_seconds=0.08,  # it knows no frames: ours, so that turns can be derived
                append="session.input_audio.append",
                append_seconds=0.04,
                cancel="never",
                user_text="partial",
                farewell="session.close",
            ),
        )
    }
)  # fmt: skip

_FRAMES: dict[str, Any] = {"marks_replies": False, "wants_played": False, "frame_seconds": 0.08}
"""A model that sends its sound without a break: silence too, in one response that never ends."""

_MODELS: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "vllm-omni-duplex": (
        (
            "personaplex",
            # Its deployment ends a call after 3000 frames of 80 ms, resumes none, and holds two.
            {**_FRAMES, "encoding": "pcm_f32le", "input_rate": 24_000, "resumes": False, "max_session_seconds": 240.0},
        ),
        ("nemotron", {"encoding": "pcm_f32le", "output_rate": 22_050}),
    ),
    "sglang-omni": (
        ("nemotron", {**_FRAMES, "output_rate": 22_050, "instructions": False}),
        ("minicpm", {}),
    ),
}
"""What a part of the model's name tells."""


def spoken_by(dialect: Dialect, model: str) -> Dialect:
    """``dialect`` as it is with this model."""
    for part, changes in _MODELS.get(dialect.name, ()):
        if part in model.lower():
            return replace(dialect, **changes)
    return dialect
