"""The parrot: a `FrameModel` that needs no weights. It says back what it heard, after a pause, and is silent when it is
talked into. A conversation with it shows whether everything around a full-duplex model works, and how one is written.

What may live here: the parrot. It is no model for people, so it is in no list: name it to a `FrameBackend` by hand
(``docs/frame-models.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.isolated_worker import Trouble

RATE = 24_000
FRAME = 1920
VOICES = {"plain": 1.0, "quiet": 0.25}
"""Name -> the factor on what it heard."""
_LOUD = 0.01  # root mean square of a frame with a voice in it: -40 dB of full scale
_PAUSE = 5  # silent frames, 0.4 s, after which an utterance is over
_LONGEST = 250  # frames, 20 s, of one utterance that it remembers


@dataclass(slots=True)
class _Ear:
    """One conversation."""

    gain: float
    heard: list[Sound] = field(default_factory=list)
    saying: list[Sound] = field(default_factory=list)
    silent: int = 0
    first: bool = True


class Parrot:
    """See `locara.engines.frame_model.FrameModel`. Its option: ``slots``."""

    def __init__(self) -> None:
        self._ears: dict[int, _Ear] = {}

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        """There is nothing to load."""
        report("a parrot wakes up")
        return FrameFacts(
            RATE, FRAME, slots=int(options.get("slots", 1)), instructions=True, voices=tuple(VOICES), note="no weights"
        )

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        """It reads its instructions word by word, one step each, as PersonaPlex does, and does not heed them."""
        voice = settings.get("voice") or "plain"
        if voice not in VOICES:
            raise Trouble(f"a parrot has no voice {voice!r}", hint=f"it has {', '.join(VOICES)}")
        self._ears[slot] = _Ear(VOICES[voice])
        words = str(settings.get("instructions", "")).split()
        for n, _ in enumerate(words):
            yield (n + 1) / len(words)

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        """A frame of each slot."""
        return {slot: self._hear(self._ears[slot], frame) for slot, frame in frames.items()}

    def close(self, slot: int) -> None:
        """It forgets."""
        self._ears.pop(slot, None)

    def _hear(self, ear: _Ear, frame: Sound) -> tuple[Sound | None, str]:
        if ear.first:  # as models do whose sound comes a frame after its text
            ear.first = False
            return None, ""
        text = ""
        if float(np.sqrt(np.mean(frame * frame))) >= _LOUD:
            ear.saying.clear()
            ear.silent = 0
            if len(ear.heard) < _LONGEST:
                ear.heard.append(frame * np.float32(ear.gain))
        elif ear.heard:
            ear.silent += 1
            if ear.silent >= _PAUSE:
                text = f" I heard {len(ear.heard) * FRAME / RATE:.2f} seconds."
                ear.saying, ear.heard, ear.silent = ear.heard, [], 0
        return (ear.saying.pop(0) if ear.saying else np.zeros(FRAME, dtype=np.float32)), text


if __name__ == "__main__":
    from locara.engines.frame_worker import serve_model

    serve_model(Parrot())
