"""What an engine must offer: a recogniser, a language model, a voice, detectors of voice and of turn ends.

What may live here: protocols and the frozen values they exchange; those of a model that hears and speaks are in `backend`.
Engines never see a device, a session or an event. Each is loaded by name through `locara.engines.registry`, built-in and
plugin alike.

The rules all engines keep:

* ``load()`` returns after one real inference, so that the first turn pays nothing. It raises ``StageError``.
* Nothing blocks the event loop: native code runs in a `Lane` (a thread) or in a child process.
* Closing an iterator, or cancelling the task that awaits, stops the work soon and leaves the engine usable.
* ``close()`` may be called twice, and from any state; after it no thread and no process is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from locara.audio import Samples

Sharing = Literal["shared", "in-turn", "own"]
"""Whether sessions may have one loaded engine: all at once; one after another; or never, for it keeps something of its
session (a memory, a timer, the state of a stream)."""

Kind = Literal["vad", "turn", "wake", "stt", "llm", "tts", "omni"]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, as data: shown by ``session.plan`` and the command line."""

    engine: str
    model: str
    licence: str
    device: str = "cpu"
    where: str = "this process"
    streaming: bool = True
    word_times: bool = False
    note: str = ""
    why: str = ""
    """Why this model, where the engine chose it itself."""
    sharing: Sharing = "in-turn"
    """What a server may do with it once it is loaded."""


class Engine(Protocol):
    """What all engines have in common."""

    @property
    def info(self) -> EngineInfo: ...

    async def load(self) -> None:
        """Loads the weights and runs one real inference. Raises ``StageError`` and says how to mend it."""
        ...

    async def close(self) -> None:
        """Ends every thread and process of this engine."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """An engine that learns something in a session (how a microphone sounds), and may go to another session without it."""

    def forget_session(self) -> None:
        """What it does next, it does as if it had just been loaded. Called between two sessions; does not wait."""
        ...


@runtime_checkable
class Mends(Protocol):
    """An engine for many sessions at once that is whole again by itself after it failed in one of them. A server goes on
    lending it: another copy beside it would fill the memory a second time, while others still talk with the first."""

    def mended(self) -> bool:
        """Whether the next session can have it. Does not wait."""
        ...


# --- voice activity ---------------------------------------------------------------------------------------------------


class Detector(Engine, Protocol):
    """Voice activity. Cheap enough to be called where it stands (Silero: 0.2 ms a window)."""

    @property
    def window(self) -> int:
        """Samples at 16 kHz that one probability is computed on."""
        ...

    def probability(self, window: Samples) -> float:
        """How likely the last ``window`` samples, seen after those before them, are speech: 0 to 1."""
        ...

    def reset(self) -> None:
        """Forgets the past."""
        ...


# --- end of turn ------------------------------------------------------------------------------------------------------


class TurnDetector(Engine, Protocol):
    """Hears from the sound itself whether a speaker has finished: melody, rhythm, meaning. Asked once in each pause."""

    @property
    def seconds(self) -> float:
        """How much of the latest sound it looks at."""
        ...

    async def finished(self, samples: Samples) -> float:
        """How likely the speaker has finished, 0 to 1, in a pause. ``samples`` (16 kHz): the turn's latest sound, at most
        ``seconds`` of it, the pause so far at its end. Runs off the event loop; may be cancelled."""
        ...


# --- wake word --------------------------------------------------------------------------------------------------------


class WakeWord(Engine, Protocol):
    """Listens for one phrase, all the time. Called where it stands, so it must be cheap (microWakeWord: 0.1 ms for
    30 ms of sound); whoever computes longer does so in a thread of its own and answers None meanwhile."""

    @property
    def word(self) -> str:
        """The phrase, as people write it: it is taken off the beginning of what the recogniser understands."""
        ...

    @property
    def window(self) -> int:
        """Samples at 16 kHz that it is given at once."""
        ...

    @property
    def threshold(self) -> float:
        """The probability from which on it is the word, 0 to 1."""
        ...

    @property
    def lag(self) -> float:
        """Seconds from the end of the word to the end of the window in which the threshold is usually reached."""
        ...

    def probability(self, window: Samples) -> float | None:
        """How likely the word has just been said, after ``window`` and those before it; None: nothing new is known."""
        ...


# --- speech to text ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word, and where it lies: ``start`` and ``end`` in seconds from the first sample of the recognition."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood. ``confidence`` is 0 to 1 or None where the engine has none. ``words`` is empty where the engine
    has no word times, or was not asked for them."""

    text: str
    confidence: float | None = None
    words: tuple[TimedWord, ...] = ()


class Recognition(Protocol):
    """One turn of a user being recognised, sample after sample."""

    async def push(self, samples: Samples) -> str | None:
        """The next samples (16 kHz). Returns the text so far when it has changed, else None."""
        ...

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far. More may be pushed and settled afterwards: the user had
        only paused; the next transcript then covers both parts."""
        ...

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        ...


class Recogniser(Engine, Protocol):
    """Speech to text. Serves one recognition at a time per session."""

    def open(self) -> Recognition:
        """A new recognition, for a new turn."""
        ...


# --- language model ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool. ``arguments`` is the decoded JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """Something that was said, as it sounded: float32 of shape ``(n,)`` at 16 kHz. Equal only to itself."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation, in the shape that chat models know. ``sounds`` (of the user) come before
    ``content``; they are only given to a model that `HearsAudio`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    sounds: tuple[Sound, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. ``side_effects`` False means: may run for a turn that is still being decided."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Any]
    side_effects: bool = True
    inline: bool = False
    """Runs on the event loop: quick, and bound to it. Else a plain function runs in a thread, a coroutine is awaited."""


class LanguageModel(Engine, Protocol):
    """Text to text, token by token."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> AsyncIterator[str | ToolCall]:
        """The reply to ``messages`` as pieces of text and tool calls, in order. Closing the iterator cancels."""
        ...


@runtime_checkable
class BringsTools(Protocol):
    """A language model with tools of its own (the built-in responder has timers and a memory)."""

    @property
    def tools(self) -> Sequence[Tool]: ...


@runtime_checkable
class ReadsAhead(Protocol):
    """A language model that can read the beginning of a prompt before the reply is asked for (a prefix cache)."""

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        """Reads this prompt, so that a `reply` with the same beginning starts sooner. May be cancelled at any time; what
        was read by then may stay read. Never raises because of the model: False says that nothing was read."""
        ...


@runtime_checkable
class HearsAudio(Protocol):
    """A language model that may take sound in the user's messages (``Message.sounds``)."""

    @property
    def hears(self) -> bool:
        """Whether it does; known for certain once it is loaded."""
        ...


@runtime_checkable
class Announces(Protocol):
    """A language model that sometimes speaks unasked (a timer that rings)."""

    def announcements(self) -> AsyncIterator[str]:
        """Texts to say as soon as the floor is free."""
        ...


# --- text to speech ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordMark:
    """The characters ``start:end`` of the text begin to sound at sample ``at`` of its speech."""

    at: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A piece of speech, and the words that begin in it (``at`` counts from the start of the *text's* speech)."""

    samples: Samples
    words: tuple[WordMark, ...] = field(default=())


class Voice(Engine, Protocol):
    """Text to speech."""

    @property
    def rate(self) -> int:
        """Hertz of the samples it makes."""
        ...

    def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, as it becomes ready. Closing the iterator cancels."""
        ...


@runtime_checkable
class SpeaksLanguage(Protocol):
    """A voice that says which language it speaks: numbers, signs and units are then written out in that one."""

    @property
    def language(self) -> str:
        """As a code, for example ``en-us`` or ``de``; empty if it is not known. Voices without this are English."""
        ...
