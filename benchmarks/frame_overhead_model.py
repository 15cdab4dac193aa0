"""The model of ``frame_overhead.py``: a step keeps one core busy for so many seconds, or waits as for a GPU, and says
back what it heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.frame_worker import serve_model


class Busy:
    """Options: ``slots``, ``busy`` (seconds of a step, whatever the batch), ``waits``."""

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        self._busy = float(options["busy"])
        self._waits = bool(options["waits"])
        return FrameFacts(24_000, 1920, slots=int(options["slots"]))

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        return iter(())

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        until = time.perf_counter() + self._busy
        if self._waits:
            time.sleep(self._busy)
        while time.perf_counter() < until:
            pass
        return {slot: (frame, "") for slot, frame in frames.items()}

    def close(self, slot: int) -> None:
        pass


if __name__ == "__main__":
    serve_model(Busy())
