"""The process around a `FrameModel`: `serve_model`. It runs in the model's own environment, so it imports only the standard
library, numpy and its neighbours that do the same.

What may live here: the loop. When a step is made and for whom is `frame_clock`; what is said is `frame_wire`.

Three threads. The main one is the only caller of the model. One reads, so that the pipe is empty however long a step
takes; it puts sound into the queues and drops what is late. One writes, so that no step waits for whoever reads.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from locara.engines import frame_wire
from locara.engines.frame_clock import LATE_SECONDS, FrameClock, Prompt, Rest, Skip, Step
from locara.engines.frame_model import FrameFacts, FrameModel, Sound
from locara.engines.frame_wire import Said, StepMade
from locara.engines.frames import FrameError, Reply, decode, encode, own_pipes, read_all, write_all
from locara.engines.isolated_worker import Trouble

_ORDERS = 256  # opens and closes that wait: more than any model has slots
_OUTBOX = 256  # steps that wait to be read; then the model waits
_WARM_STEPS = 2  # the first steps of a conversation compile and allocate; they are not the pace
_LEAST_STEPS = 3  # measured, however slow
_FLUSH_SECONDS = 5.0
_SWITCH_SECONDS = 0.001
"""Reading and writing need the interpreter for some microseconds; while a model launches one kernel after the other, they
would wait for Python's usual 5 ms each time."""
_NO_SKIP = Skip(0, 0.0)


@dataclass(slots=True)
class _Place:
    """A session and its slot. ``prompt``: what is left of opening it."""

    session: int
    slot: int
    prompt: Iterator[float]
    heard: int = 0


def serve_model(model: FrameModel) -> NoReturn:
    """Serves until the parent has gone, or the model has failed."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    worker = _Worker(model, *own_pipes())
    worker.run()


class _Worker:
    def __init__(self, model: FrameModel, source: int, sink: int) -> None:
        self._model = model
        self._source = source
        self._sink = sink
        self._changed = threading.Condition()
        # Under ``_changed``: the reader fills them.
        self._orders: deque[Reply] = deque()
        self._clock: FrameClock[Sound] | None = None
        self._places: dict[int, _Place] = {}
        self._facts = FrameFacts(rate=0, frame=0, slots=0)
        self._outbox: queue.Queue[bytes | None] = queue.Queue(_OUTBOX)
        self._writer = threading.Thread(target=self._write, name="frames-out", daemon=True)

    def run(self) -> NoReturn:
        self._writer.start()
        threading.Thread(target=self._read, name="frames-in", daemon=True).start()
        while True:
            try:
                self._work()
            except Exception as error:  # whatever a model raises: nothing is known of its slots then
                self._say_error("failed", error)
                self._outbox.put(None)
                self._writer.join(_FLUSH_SECONDS)
                os._exit(1)

    def _work(self) -> None:
        with self._changed:
            move = self._next()
        if isinstance(move, Reply):
            self._obey(move)
        elif isinstance(move, Step):
            self._step(move)
        else:
            self._go_on_opening(self._places[move.session])

    def _next(self) -> Reply | Step[Sound] | Prompt:
        while True:
            if self._orders:
                return self._orders.popleft()
            move = Rest() if self._clock is None else self._clock.next(time.perf_counter())
            if not isinstance(move, Rest):
                return move
            self._changed.wait(move.seconds)

    # --- orders -------------------------------------------------------------------------------------------------------

    def _obey(self, order: Reply) -> None:
        match order.header.get("op"):
            case "load":
                self._load(order)
            case "check":
                self._say(kind="checked", seconds=self._check(int(order.header["steps"]), float(order.header["most"])))
            case "open":
                self._open(int(order.header["session"]), json.loads(order.payload))
            case "close":
                self._close(int(order.header["session"]))
            case other:
                raise FrameError(f"there is no order {other!r}")

    def _load(self, order: Reply) -> None:
        try:
            facts = self._model.load(
                json.loads(order.payload), lambda text: self._say(kind="progress", text=text[:500])
            )
        except Exception as error:
            self._say_error("error", error)
            return
        self._facts = facts
        with self._changed:
            late = float(order.header.get("late", LATE_SECONDS))
            self._clock = FrameClock(facts.frame / facts.rate, late=late)
        # What is loaded stays: a collection that walks through it takes as long as a frame.
        gc.collect()
        gc.freeze()
        self._say(**frame_wire.loaded(facts))

    def _check(self, steps: int, most: float) -> list[float]:
        """The seconds of ``steps`` steps of one session, of fewer when they take more than ``most`` seconds. A machine that
        is far too slow is found out while the prompt is read, whose steps cost the same or less."""
        taken: list[float] = []
        until = time.perf_counter() + most
        prompt = self._model.open(0, {"instructions": "", "voice": ""})
        silence = np.zeros(self._facts.frame, dtype=np.float32)
        reading = True
        while len(taken) < steps + _WARM_STEPS:
            if time.perf_counter() > until and len(taken) >= _LEAST_STEPS + _WARM_STEPS:
                break
            began = time.perf_counter()
            if reading and next(prompt, None) is None:
                reading, taken = False, []
                continue
            if not reading:
                self._checked(self._model.step({0: silence}), 0)
            taken.append(time.perf_counter() - began)
            if reading:
                del taken[: -(steps + _WARM_STEPS - 1)]
        _shut(prompt)
        self._model.close(0)
        return taken[_WARM_STEPS:]

    def _open(self, session: int, settings: Mapping[str, Any]) -> None:
        used = {place.slot for place in self._places.values()}
        free = [slot for slot in range(self._facts.slots) if slot not in used]
        if self._clock is None or not free:
            self._say(kind="refused", session=session, type="Busy", message="it has no free place", hint="")
            return
        try:
            prompt = self._model.open(free[0], settings)
        except Exception as error:
            self._say_error("refused", error, session=session)
            return
        self._places[session] = _Place(session, free[0], prompt)
        with self._changed:
            self._clock.begin(session)

    def _go_on_opening(self, place: _Place) -> None:
        began = time.perf_counter()
        try:
            done = next(place.prompt, None)
        except Exception as error:
            # The slot is free after a Trouble, says the contract; of anything else nobody knows.
            self._close(place.session, of_model=not isinstance(error, Trouble))
            self._say_error("refused", error, session=place.session)
            return
        with self._changed:
            if self._clock is not None:
                self._clock.prompted(began, time.perf_counter())
                if done is None:
                    self._clock.opened(place.session)
        if done is None:
            self._say(kind="opened", session=place.session)
        else:
            self._say(kind="opening", session=place.session, done=float(done))

    def _close(self, session: int, *, of_model: bool = True) -> None:
        with self._changed:
            place = self._places.pop(session, None)
            if self._clock is not None:
                self._clock.end(session)
        if place is not None:
            _shut(place.prompt)
        if place is not None and of_model:
            self._model.close(place.slot)

    # --- steps --------------------------------------------------------------------------------------------------------

    def _step(self, step: Step[Sound]) -> None:
        places = [self._places[session] for session in step.frames]
        began = time.perf_counter()
        given = self._model.step({place.slot: step.frames[place.session] for place in places})
        took = time.perf_counter() - began
        said: list[Said] = []
        for place in places:
            samples, text = self._checked(given, place.slot)
            skip = step.skips.get(place.session, _NO_SKIP)
            skipped = skip.frames * self._facts.frame
            place.heard += skipped + self._facts.frame
            said.append(Said(place.session, place.heard, text, samples, skipped, skip.behind))
        self._outbox.put(frame_wire.step(StepMade(took, tuple(said))))

    def _checked(self, given: Mapping[int, tuple[Sound | None, str]], slot: int) -> tuple[Sound | None, str]:
        if slot not in given:
            raise ValueError(f"the model gave nothing for slot {slot}")
        samples, text = given[slot]
        if samples is not None and samples.shape != (self._facts.frame,):
            raise ValueError(f"the model gave a frame of shape {samples.shape}, not ({self._facts.frame},)")
        return samples, text

    # --- the pipes ----------------------------------------------------------------------------------------------------

    def _say(self, **header: Any) -> None:
        self._outbox.put(encode(header))

    def _say_error(self, kind: str, error: Exception, **header: Any) -> None:
        self._say(
            kind=kind,
            type=type(error).__name__,
            message=str(error)[:2000],
            hint=str(getattr(error, "hint", ""))[:2000],
            **header,
        )

    def _read(self) -> None:
        try:
            while (frame := decode(lambda n: read_all(self._source, n))) is not None:
                with self._changed:
                    if frame.header.get("op") == "sound":
                        self._hear(int(frame.header["session"]), frame_wire.to_samples(frame.payload))
                    elif len(self._orders) < _ORDERS:
                        self._orders.append(frame)
                    else:
                        raise FrameError("too many orders wait")
                    self._changed.notify()
        except (FrameError, OSError, ValueError, KeyError) as error:
            os.write(2, f"the worker cannot read what it is sent: {error!r}\n".encode())
        os._exit(0)  # at once, also out of native code: there is nobody left to work for

    def _hear(self, session: int, samples: Sound) -> None:
        if self._clock is not None:
            for frame in samples.reshape(-1, self._facts.frame):  # raises for what are no whole frames
                self._clock.push(session, frame, time.perf_counter())

    def _write(self) -> None:
        try:
            while (frame := self._outbox.get()) is not None:
                write_all(self._sink, frame)
        except OSError:
            os._exit(0)


def _shut(prompt: Iterator[float]) -> None:
    if close := getattr(prompt, "close", None):
        close()
