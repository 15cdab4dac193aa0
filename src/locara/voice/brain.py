"""The seam behind which every form of model sits: what a brain is asked, and what it answers with.

What may live here: the protocol, the deadlines, and the one way in which a brain's failures become news. The brains
themselves are `pipeline` (recogniser, language model, voice) and `omni` (one model that hears and speaks).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from locara.audio import Samples
from locara.engines.contracts import Engine, Message, Sound, ToolCall
from locara.errors import EngineFailed, LocaraError, StageError
from locara.voice.moves import Failed, Happened, Wish

Post = Callable[[Happened], Awaitable[None]]
"""Puts news into the session's inbox; waits while it is full."""

Exactness = Literal["exact", "estimated", "absent"]


OMNI_LOAD_SECONDS = 330.0
"""One model for everything may be 15 GB to read from a disk, and then times its frames. A little more than the five minutes
that the process of such an engine is given, so that its own words are the news."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after which a stage that does not answer has failed."""

    load: float = 90.0
    push: float = 8.0
    """A block of audio into the recogniser."""
    settle: float = 8.0
    """The settled text after the end of speech."""
    first_token: float = 20.0
    token: float = 15.0
    """Between two tokens."""
    first_sound: float = 12.0
    sound: float = 10.0
    """Between two pieces of sound."""
    tool: float = 60.0
    close: float = 3.0


def usual_deadlines(*, omni: bool) -> Deadlines:
    """Where the app says nothing. ``omni``: of one model for everything."""
    return Deadlines(load=OMNI_LOAD_SECONDS) if omni else Deadlines()


class Brain(Protocol):
    """Whatever hears the user and makes replies. Every call returns at once; what comes of it is posted as news stamped
    with its turn or reply, so that what a cancelled engine still sends can be told from what counts."""

    @property
    def lead(self) -> Literal["session", "model"]:
        """Who decides whose turn it is."""
        ...

    @property
    def words(self) -> bool:
        """Whether it gives the user's words."""
        ...

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        ...

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """Event type -> how far it can be trusted with these engines."""
        ...

    @property
    def counts(self) -> Mapping[str, float]:
        """What it counted, for the session's metrics."""
        ...

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """From now on there is an inbox and an output of this rate; ``history`` gives what was said so far."""
        ...

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """A turn is open (or goes on after a pause); ``samples`` lie at ``at`` and reach to the present."""
        ...

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn."""
        ...

    def settle(self, turn: int, revision: int) -> None:
        """Everything said so far, as settled text."""
        ...

    def forget(self, turn: int) -> None:
        """This turn is over."""
        ...

    def prepare(
        self,
        reply: int,
        turn: int,
        history: Sequence[Message],
        text: str,
        *,
        verbatim: bool,
        wish: Wish | None = None,
    ) -> None:
        """Make a reply to ``text`` (or say it, ``verbatim``); ``history`` comes before it. With a ``wish`` there is no
        ``text``: the history itself, or the wish's own messages, are answered."""
        ...

    def commit(self, reply: int) -> None:
        """The reply counts."""
        ...

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """The tool that the reply waits for may run."""
        ...

    def played(self, reply: int, seconds: float) -> None:
        """So much of the reply was played: a brain makes only so much sound ahead."""
        ...

    def discard(self, reply: int) -> None:
        """Stop making this reply."""
        ...

    async def close(self) -> None:
        """Ends every task. The engines are closed by the session."""
        ...


@runtime_checkable
class Opens(Protocol):
    """A brain that has something to begin with its engine before anybody may speak: a session of a `VoiceBackend`."""

    async def open(self) -> None:
        """Awaited once, when the engines are loaded and no device is open yet, with the deadline of loading. Raises
        ``StageError``, or ``ConfigError`` for settings that the engine refuses. `Brain.close` ends what it began, also
        where this failed or was cancelled half way."""
        ...


@runtime_checkable
class Speculates(Protocol):
    """A brain that says whether it can be asked for a reply that is perhaps not wanted. Brains without this can."""

    @property
    def speculates(self) -> bool:
        """Known when it is open."""
        ...


@runtime_checkable
class Leads(Protocol):
    """A brain whose model decides by itself when it speaks: it hears all the time, not only in the user's turns."""

    def stream(self, samples: Samples) -> None:
        """The next block at 16 kHz; silence where nobody speaks to it."""
        ...

    def pass_on(self, turn: int, text: str) -> None:
        """What the user typed, in turn ``turn``."""
        ...


@runtime_checkable
class KeepsSound(Protocol):
    """A brain whose model hears: history has the user's turns as sound."""

    def sound_of(self, turn: int) -> Sound | None:
        """What the user said in this turn, as long as it is kept."""
        ...


@runtime_checkable
class Exchanges(Protocol):
    """A brain whose engines can be changed while it runs."""

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        ...

    def exchange(self, new: Mapping[str, Engine], system: str | None = None) -> tuple[asyncio.Task[Any], ...]:
        """From now on these engines (loaded) in the place of those of their stages; ``system`` replaces what the model is
        told of itself. Only while no turn and no reply is open. Returns the tasks that still end with the old ones."""
        ...


@runtime_checkable
class Adjusts(Protocol):
    """A brain whose way of making replies can be changed while it runs."""

    def adjust(self, wish: Wish) -> None:
        """From the next reply on: the fields that are not None."""
        ...


@runtime_checkable
class StandsFor(Protocol):
    """A brain that has others behind it, of which one is asked at a time."""

    @property
    def acting(self) -> Brain:
        """The one that is asked now."""
        ...


def acting(brain: Brain) -> Brain:
    """The brain that does the work now: what it can be asked (`Adjusts`, `Exchanges`) is what counts."""
    return brain.acting if isinstance(brain, StandsFor) else brain


def failure(error: BaseException, stage: str, *, reply: int | None = None, turn: int | None = None) -> Failed:
    """An exception of an engine as news that names the stage."""
    if isinstance(error, StageError):
        return Failed(error.stage or stage, error.code, error.message, error.hint, reply, turn)
    if isinstance(error, LocaraError):
        return Failed(stage, error.code, f"{stage}: {error.message}", error.hint, reply, turn)
    if isinstance(error, TimeoutError):
        return Failed(
            stage,
            "engine-timeout",
            f"{stage}: no answer before the deadline",
            "the engine is too slow for this machine or hangs: choose a smaller model",
            reply,
            turn,
        )
    return Failed(
        stage,
        "engine-failed",
        f"{stage}: {type(error).__name__}: {error}",
        "this is a fault of the engine or its model: see its documentation, or choose another",
        reply,
        turn,
    )


def too_slow(stage: str, model: str) -> EngineFailed:
    """An engine is so far behind the user that what comes can no longer be kept."""
    return EngineFailed(
        f"{stage}: {model} is a minute behind: it is slower than speech on this machine",
        stage=stage,
        model=model,
        hint="choose a smaller model",
    )
