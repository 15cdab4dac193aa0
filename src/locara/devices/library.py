"""What a sound library must offer so that a microphone and a speaker can be driven by it.

What may live here: protocols, and the sizes of buffers that every library is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from locara.audio import Samples
from locara.devices.contracts import DeviceInfo

BUFFER_MS = 20
"""Milliseconds between two callbacks. miniaudio's own default is 200."""


class Running(Protocol):
    """A device that has been started."""

    @property
    def rate(self) -> int:
        """Hertz of its samples."""
        ...

    @property
    def delay(self) -> float:
        """Seconds that its buffers hold, as far as the library tells."""
        ...

    @property
    def lost(self) -> bool:
        """True once the library knows that the device has gone."""
        ...

    @property
    def gaps(self) -> int:
        """How often the library says that samples were lost, or missing, on its side."""
        ...

    def stop(self) -> None:
        """Stops and frees it; no callback runs afterwards. Blocks for some milliseconds."""
        ...


class Library(Protocol):
    """A sound library. Its calls block and are made off the event loop; they raise ``DeviceError``."""

    def devices(self) -> list[DeviceInfo]: ...

    def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
        """Starts a microphone; ``heard`` is called on its audio thread and must copy what it keeps."""
        ...

    def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
        """Starts a speaker; ``fill(n)`` is called on its audio thread and gives exactly ``n`` samples."""
        ...
