"""The worker's side of `locara.engines.isolated`, in the other environment: only the standard library and numpy, which
every package that such voices need brings.

What may live here: the loop around a synthesiser. Each engine's worker file has the synthesiser itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from locara.engines.frames import Call, serve


class Trouble(Exception):
    """Travels to the parent with its hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Synthesiser(Protocol):
    """What a worker file offers."""

    def load(self, options: Mapping[str, Any]) -> int:
        """Loads the model; returns the rate of its samples in hertz."""
        ...

    def speak(self, text: str, stop: threading.Event) -> Iterator[npt.NDArray[np.float32]]:
        """The samples of ``text``, piece by piece; ends soon after ``stop`` is set, which another thread does."""
        ...


def work(synthesiser: Synthesiser) -> None:
    """Serves until the parent has gone."""
    speaking: dict[int, threading.Event] = {}

    def load(call: Call) -> Mapping[str, Any]:
        return {"rate": synthesiser.load(json.loads(call.payload))}

    def speak(call: Call) -> None:
        stop = speaking.setdefault(call.number, threading.Event())
        try:
            if call.cancelled:
                return
            for piece in synthesiser.speak(call.payload.decode("utf-8"), stop):
                if stop.is_set():
                    return
                call.send(np.ascontiguousarray(piece, dtype=np.float32).tobytes())
        finally:
            speaking.pop(call.number, None)

    def cancel(number: int) -> None:
        if event := speaking.get(number):
            event.set()

    serve({"load": load, "speak": speak}, cancel)
