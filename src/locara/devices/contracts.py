"""What a source and a sink of sound must offer. A device is anything with a wire: a sound card, a file, a browser.

What may live here: protocols and frozen values. Devices never see an engine or a session; only the gate opens them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from locara.audio import Samples

Pull = Callable[[int], Samples]
"""``pull(n)`` gives the next ``n`` samples to play, at the sink's rate, shape ``(n,)``. Never waits."""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A microphone or a speaker of this machine."""

    name: str
    kind: Literal["input", "output"]
    is_default: bool
    backend: str


class Source(Protocol):
    """Where sound comes from."""

    @property
    def name(self) -> str: ...

    async def open(self) -> None:
        """Opens the device or file. Raises ``DeviceError`` or ``AudioError``."""
        ...

    def blocks(self) -> AsyncIterator[Samples]:
        """Blocks of ``BLOCK`` samples at ``RATE``, each as it has been heard. A recording goes on with silence after its
        end, until the source is closed; a microphone ends when it is lost."""
        ...

    @property
    def exhausted(self) -> bool:
        """True once nothing but made-up silence is to come (a recording has ended)."""
        ...

    @property
    def overruns(self) -> int:
        """Blocks that were lost because nobody took them in time."""
        ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """Where sound goes."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> int:
        """Hertz of the samples it pulls. Known after ``open``."""
        ...

    @property
    def own_clock(self) -> bool:
        """True: the device pulls on its own thread whenever it needs samples. False: the session calls ``advance`` once
        for every block heard, and input and output share one clock."""
        ...

    @property
    def delay(self) -> float:
        """Seconds between a pull and the moment its samples can be heard, as far as it is known."""
        ...

    @property
    def underruns(self) -> int:
        """Times the device asked and was not answered in time."""
        ...

    async def open(self, pull: Pull) -> None:
        """Opens the device; from now on it may pull. Raises ``DeviceError``."""
        ...

    def advance(self, blocks: int = 1) -> None:
        """Pulls what sounds during ``blocks`` blocks of input (sinks without a clock of their own)."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Lists(Protocol):
    """A source or a sink that is a device of this machine."""

    def devices(self) -> list[DeviceInfo]:
        """All of them. Blocks for some milliseconds; raises ``DeviceError``."""
        ...


@dataclass(frozen=True, slots=True)
class Reopened:
    """What was opened after a loss. ``replaced``: it is the default device, instead of the one that was asked for."""

    name: str
    replaced: bool = False


@runtime_checkable
class Reopens(Protocol):
    """A source or a sink that can be opened again when it was lost, so that the conversation goes on. It keeps this beside
    `Source` or `Sink`; the loss of any other ends the session."""

    @property
    def give_up(self) -> float:
        """Seconds without the device after which the session ends."""
        ...

    async def reopen(self, *, stand_in: bool) -> Reopened:
        """Closes what is left of it and opens it again: a sink with the pull and the rate it had. ``stand_in``: where it
        is not there, the default device will do. Raises ``DeviceError``; the attempt may be cancelled at any time."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ReopensSink(Reopens, Protocol):
    """A sink that can be opened again. (Of a source, the end of ``blocks`` tells that it was lost.)"""

    async def until_lost(self) -> str:
        """Waits until it is lost and says what was seen of it, such as ``"was lost"``; ``""`` once it was closed."""
        ...


@runtime_checkable
class TellsHeard(Protocol):
    """A sink that knows how much of what it pulled has been heard, where that is not ``delay`` seconds later."""

    @property
    def heard(self) -> int:
        """Samples of all that were pulled that have been heard."""
        ...

    @property
    def stands(self) -> bool:
        """Nobody is there to hear for the moment, so nothing is pulled: a reply then waits, and has not stalled."""
        ...


@runtime_checkable
class Remote(Protocol):
    """A source or a sink of a client, at the other end of a connection: it needs the same leave as one of this machine."""

    @property
    def remote(self) -> bool: ...
