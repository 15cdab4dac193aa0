"""What a model that hears and speaks frame by frame (Moshi: 80 ms) offers inside its own process.

What may live here: the protocol and its values; nothing but the standard library and numpy is imported, because the file
is read in the environments of such models. The process around it is `locara.engines.frame_worker`, and the side of ours
`locara.engines.frame_backend`, which makes a `VoiceBackend` of it.

All calls come from one thread, one after the other. One set of weights serves ``slots`` conversations, each a place in the
model's batch: a step takes the frames of those that have one, and leaves the others exactly as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]
"""Mono, shape ``(frame,)``, in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What is known of a loaded model."""

    rate: int
    """Hertz of what it hears and what it says (Mimi: 24,000)."""
    frame: int
    """Samples of a frame (Mimi: 1920)."""
    slots: int
    """Conversations at once."""
    instructions: bool = False
    """Whether ``open`` takes a text that says what it is."""
    voices: tuple[str, ...] = ()
    device: str = "cpu"
    max_session_seconds: float | None = None
    note: str = ""


class FrameModel(Protocol):
    """A loaded or loadable model. Every call may raise `locara.engines.isolated_worker.Trouble` (a message, a hint)."""

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        """Loads the weights, captures graphs, and warms up. ``report``: what is being done, for whoever waits."""
        ...

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        """Begins a conversation in a free slot, from nothing. ``settings``: ``instructions`` and ``voice``, each may be
        empty. Each item is one step of the model and says how much is done (0 to 1); between two of them other slots may
        step. Exhausted: sound may come. Raises `Trouble` for settings it cannot keep; the slot is free then."""
        ...

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        """One frame heard in each of these slots; slot -> (the frame it says, the text it thinks). None: this model says
        nothing yet (its first frames)."""
        ...

    def close(self, slot: int) -> None:
        """Ends the conversation in this slot, also while it is being opened."""
        ...
