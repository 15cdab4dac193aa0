"""The worker's side of `locara.engines.isolated`, in the other environment: only the standard library and numpy, which
every package that such engines need brings.

What may live here: the loops around a synthesiser and a transcriber. Each engine's worker file has that itself.
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


Mark = tuple[int, int, int]
"""A word: the sample of the text's speech at which it begins, and its characters in the text, start and end."""

Piece = npt.NDArray[np.float32] | tuple[npt.NDArray[np.float32], list[Mark]]
"""The next samples, alone or with the words that begin in them."""


class Synthesiser(Protocol):
    """What a worker file offers."""

    def load(self, options: Mapping[str, Any]) -> int:
        """Loads the model; returns the rate of its samples in hertz."""
        ...

    def speak(self, text: str, stop: threading.Event) -> Iterator[Piece]:
        """The samples of ``text``, piece by piece; ends soon after ``stop`` is set, which another thread does."""
        ...


Word = tuple[str, float, float]
"""A word, its beginning and its end in seconds of what was heard in this turn."""


class Transcriber(Protocol):
    """What a worker file of a recogniser offers."""

    def load(self, options: Mapping[str, Any]) -> int:
        """Loads the model; returns the rate of the samples that it hears, in hertz."""
        ...

    def begin(self) -> None:
        """A new turn; the one before it is forgotten."""
        ...

    def hear(self, samples: npt.NDArray[np.float32]) -> str:
        """The next samples. Returns the text of the turn so far."""
        ...

    def settle(self) -> tuple[str, list[Word]]:
        """The text of everything heard, and its words. The turn may go on afterwards."""
        ...


def listen(transcriber: Transcriber) -> None:
    """Serves until the parent has gone."""

    def load(call: Call) -> Mapping[str, Any]:
        return {"rate": transcriber.load(json.loads(call.payload))}

    def begin(_call: Call) -> None:
        transcriber.begin()

    def samples(call: Call) -> npt.NDArray[np.float32]:
        return np.frombuffer(call.payload, dtype=np.float32)

    def push(call: Call) -> Mapping[str, Any]:
        return {"text": transcriber.hear(samples(call))}

    def settle(call: Call) -> Mapping[str, Any]:
        transcriber.hear(samples(call))
        text, words = transcriber.settle()
        return {"text": text, "words": words}

    serve({"load": load, "begin": begin, "push": push, "settle": settle})


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
                samples, words = piece if isinstance(piece, tuple) else (piece, [])
                told = {"words": words} if words else {}
                call.send(np.ascontiguousarray(samples, dtype=np.float32).tobytes(), **told)
        finally:
            speaking.pop(call.number, None)

    def cancel(number: int) -> None:
        if event := speaking.get(number):
            event.set()

    serve({"load": load, "speak": speak}, cancel)
