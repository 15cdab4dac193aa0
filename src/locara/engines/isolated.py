"""An engine whose packages live in a Python environment of their own: torch and a hundred more, or another licence.

What may live here: the process of such an engine, and our side of a voice; that of a recogniser is `isolated_recogniser`.
What the environment must have, and which worker runs in it, says the file of each engine; the worker's side is
`locara.engines.isolated_worker`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from locara.engines import environments
from locara.engines.child import Child, WorkerError
from locara.engines.contracts import EngineInfo, Kind, Speech
from locara.engines.frames import Reply
from locara.engines.lane import Lane
from locara.errors import EngineFailed, EngineMissing

LOAD_SECONDS = 300.0  # torch alone takes 10 s to import from a cold disk
_PIECE_SECONDS = 60.0

OFFLINE = {"HF_HUBOFFLINE": "1", "TRANSFORMERSOFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""These libraries download and report by themselves; what they need is in the folder they are given."""


@dataclass(frozen=True, slots=True)
class Environment:
    """``name``: of its folder; ``module``: what must be importable in it; ``package``: what pip installs; ``worker``: the
    module of ours that runs there."""

    name: str
    module: str
    package: str
    worker: str


class IsolatedProcess:
    """The process of one engine, and the thread that talks to it. ``options``: plain data for the worker."""

    def __init__(
        self, info: EngineInfo, where: Environment, options: Mapping[str, Any], *, stage: Kind, python: object = None
    ) -> None:
        self.info = replace(info, where="child process, its own environment")
        self.stage = stage
        self.lane = Lane(where.name, stage=stage, model=info.model)
        self.told: Mapping[str, Any] = {}
        """What the worker said about the model when it had loaded it."""
        self._where = where
        self._options = json.dumps(dict(options)).encode()
        self._python = python
        self._child: Child | None = None
        self._ready = 0  # the life of the child that has the model loaded

    @property
    def child(self) -> Child:
        """The child, made when it is first needed: only then the environment must be there."""
        if self._child is None:
            where, model = self._where, self.info.model
            program = environments.python(
                where.name, where.module, where.package, stage=self.stage, model=model, given=self._python
            )
            self._child = Child(where.worker, stage=self.stage, model=model, environment=OFFLINE, python=program)
        return self._child

    def kill(self) -> None:
        """Ends the process. From any thread, also twice."""
        if self._child is not None:
            self._child.kill()

    def wake(self) -> None:
        """Blocking, on the lane: makes sure that the process runs and has the model loaded. Raises ``EngineMissing``,
        ``EngineFailed``, ``EngineTimeout``."""
        child = self.child
        if child.alive and self._ready == child.lives:
            return
        child.start(deadline=LOAD_SECONDS)
        try:
            said = child.request("load", self._options, deadline=LOAD_SECONDS)
        except WorkerError as error:
            child.kill()
            stage, model = self.stage, self.info.model
            if error.kind in ("ModuleNotFoundError", "ImportError"):
                raise EngineMissing(
                    f"{stage}: {model}: {error.said}",
                    stage=stage,
                    model=model,
                    hint=f"install {self._where.package} into that environment again",
                ) from error
            raise EngineFailed(
                f"{stage}: {model} could not be loaded: {error.said}", stage=stage, model=model, hint=error.hint
            ) from error
        self.told = said.header
        self._ready = child.lives


class IsolatedVoice:
    """See `locara.engines.contracts.Voice`. ``options``: plain data for the worker; ``language`` is shown as ours."""

    def __init__(
        self, info: EngineInfo, where: Environment, options: Mapping[str, Any], *, language: str, python: object = None
    ) -> None:
        self._process = IsolatedProcess(info, where, options, stage="tts", python=python)
        self.language = language
        """As a code: numbers and signs are written out in it."""

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._process.info

    @property
    def rate(self) -> int:
        """Hertz; right once it is loaded."""
        return int(self._process.told.get("rate", 24_000))

    async def load(self) -> None:
        """Starts the process, loads the model and says a word. Raises ``EngineMissing``, ``EngineFailed``,
        ``EngineTimeout``."""
        await self._process.lane.run(self._warm, deadline=2 * LOAD_SECONDS, abandon=self._process.kill)

    async def close(self) -> None:
        """Ends the process and the thread."""
        await asyncio.to_thread(self._process.kill)
        self._process.lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, in the pieces that the model makes. Closing the iterator stops it after the present one.

        Raises ``EngineFailed`` when the process dies; the next call starts it again.
        """
        if not any(char.isalnum() for char in text):
            return  # such models make up something where there is nothing to say
        child = self._process.child
        ticket = child.ticket()
        sendable = text.encode("utf-8", "replace")

        def start() -> Iterator[Reply]:
            self._process.wake()
            yield from child.stream("speak", sendable, deadline=_PIECE_SECONDS, ticket=ticket)

        items = self._process.lane.stream(
            start, deadline=LOAD_SECONDS + _PIECE_SECONDS, abandon=lambda: child.cancel(ticket)
        )
        async with aclosing(cast("AsyncGenerator[Reply, None]", items)) as replies:
            async for reply in replies:
                samples = np.frombuffer(reply.payload, dtype=np.float32)
                if samples.size:
                    yield Speech(samples)

    def _warm(self) -> None:
        self._process.wake()
        for _ in self._process.child.stream("speak", b"Ready.", deadline=_PIECE_SECONDS):
            pass
