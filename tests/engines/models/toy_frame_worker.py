"""A frame model for faults: run as a module in a child process by ``test_frame_backend``.

It says back each frame at once, and does what the level of the sound asks for: 0.7 dies, 0.6 raises, 0.5 gives a frame of
a wrong shape, 0.8 hangs. Its instructions are a list of words: ``steps=N`` (of its prompt), ``each=S`` (seconds of such a
step), ``refuse``, ``break`` and ``hang``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.frame_worker import serve_model
from locara.engines.isolated_worker import Trouble


class Toy:
    """Options: ``slots``, ``frame`` (samples at 24 kHz), ``step`` (seconds), ``limit`` (seconds), ``fault`` of loading."""

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        fault = options.get("fault")
        if fault == "import":
            import no_such_module  # type: ignore[import-not-found]  # noqa: F401
        if fault == "trouble":
            raise Trouble("the weights are torn", hint="mend them")
        if fault == "die":
            os.write(2, b"famous last words\n")
            os._exit(3)
        if fault == "hang":
            report("hanging")
            time.sleep(60)
        self.step_seconds = float(options.get("step", 0.0))
        self.used: set[int] = set()
        return FrameFacts(
            24_000,
            int(options.get("frame", 1920)),
            slots=int(options.get("slots", 1)),
            instructions=True,
            max_session_seconds=options.get("limit"),
        )

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        assert slot not in self.used, "a slot was opened twice"
        words = str(settings["instructions"]).split()
        if "refuse" in words:
            raise Trouble("this text is not for me", hint="say something else")
        self.used.add(slot)
        told = dict(word.split("=") for word in words if "=" in word)
        for n in range(steps := int(told.get("steps", 0))):
            time.sleep(float(told.get("each", 0.0)))
            yield n / steps
        if "break" in words:
            raise RuntimeError("out of memory")
        if "hang" in words:
            time.sleep(60)

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        time.sleep(self.step_seconds)
        for frame in frames.values():
            level = float(np.median(np.abs(frame)))
            if 0.68 < level < 0.72:
                os._exit(7)
            if 0.58 < level < 0.62:
                raise ValueError("an odd sound")
            if 0.48 < level < 0.52:
                return {slot: (np.zeros(7, dtype=np.float32), "") for slot in frames}
            if 0.78 < level < 0.82:
                time.sleep(60)
        assert set(frames) <= self.used, "a slot was stepped that is not open"
        return {slot: (frame, f"b{len(frames)}") for slot, frame in frames.items()}

    def close(self, slot: int) -> None:
        self.used.remove(slot)


if __name__ == "__main__":
    serve_model(Toy())
