"""The embedded recogniser: pocketsphinx, with its model in the wheel. For short plain English commands, not dictation.

What may live here: this one recogniser, and the memory of how each microphone sounds. The library itself is called in
`locara.engines.sphinx_worker`, another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.audio import BLOCK, FLOOR_DBFS, RATE, Samples, dbfs, pcm16
from locara.engines.child import Child, WorkerError
from locara.engines.contracts import EngineInfo, Recogniser, Transcript
from locara.engines.lane import Lane
from locara.engines.quietness import is_nothing
from locara.errors import ConfigError, EngineFailed, EngineMissing, LocaraError

MODELS = ("pocketsphinx", "pocketsphinx-en-us")

_WORKER = "locara.engines.sphinx_worker"
_BATCH = 1_280  # samples, 80 ms: decoding takes a third of that, so the next batch finds the decoder free
_BACKLOG = 16_000 * 60  # samples that may wait; a decoder that is a minute behind never catches up
_MARGIN = 1.0  # seconds that the lane waits longer than the child: then the child's own error is the one that is seen
_OPTIONS = ("device", "remember", "deadline")
_MEAN_SIZE = 13  # cepstra


@dataclass(frozen=True, slots=True)
class Settings:
    """``device``: the microphone's name; ``remember``: keep how it sounds, None for "if it has a name"; ``deadline``:
    seconds to wait for a transcript."""

    device: str | None = None
    remember: bool | None = None
    deadline: float = 10.0


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS`. Raises ``ConfigError`` for options it does not know."""
    if model not in ("", *MODELS):
        return None
    options = {name: one for name, one in options.items() if name != "engine"}
    for name in options:
        if name not in _OPTIONS:
            raise ConfigError(f"pocketsphinx has no option {name!r}", hint=f"it knows {', '.join(_OPTIONS)}")
    settings = Settings(**options)
    if settings.device is not None and not isinstance(settings.device, str):
        raise ConfigError(f"pocketsphinx: device is {settings.device!r}", hint="it must be the microphone's name")
    if settings.remember is not None and not isinstance(settings.remember, bool):
        raise ConfigError(f"pocketsphinx: remember is {settings.remember!r}", hint="it must be true or false")
    deadline = settings.deadline
    if isinstance(deadline, bool) or not isinstance(deadline, (int, float)) or not 0.1 <= deadline <= 600:
        raise ConfigError(f"pocketsphinx: deadline is {deadline!r}", hint="it must be 0.1 to 600 seconds")
    return Sphinx(model or MODELS[0], settings)


# --- how a microphone sounds ------------------------------------------------------------------------------------------


def cache_dir(environment: Mapping[str, str], platform: str, home: Path) -> Path:
    """Where Locara may keep what it can make again. ``LOCARA_CACHE`` overrides the platform's own place."""
    if own := environment.get("LOCARA_CACHE"):
        return Path(own)
    if platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local") / "locara" / "cache"
    if platform == "darwin":
        return home / "Library" / "Caches" / "locara"
    # A relative path in this variable is to be ignored, says the XDG specification.
    given = Path(environment.get("XDG_CACHE_HOME") or ".")
    return (given if given.is_absolute() else home / ".cache") / "locara"


def is_mean(text: object) -> bool:
    """Whether ``text`` is a cepstral mean as the decoder writes it: 13 numbers with commas."""
    if not isinstance(text, str):
        return False
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        return False
    return len(numbers) == _MEAN_SIZE and all(math.isfinite(number) and abs(number) < 1000 for number in numbers)


class Memory:
    """The cepstral mean of one device, in one small file. Trouble with the file is no trouble for the conversation: then
    the device is simply a new one."""

    def __init__(self, folder: Path, device: str) -> None:
        self.file = folder / "cepstral-means" / f"{hashlib.sha256(device.encode()).hexdigest()[:24]}.json"

    def read(self) -> str | None:
        """What was written last, None if there is nothing or it is broken."""
        try:
            with self.file.open("rb") as file:
                kept = json.loads(file.read(4096))
        except (OSError, ValueError):
            return None
        mean = kept.get("mean") if isinstance(kept, dict) else None
        return mean if is_mean(mean) else None

    def write(self, mean: str) -> None:
        """Puts ``mean`` in the place of what was there, whole or not at all."""
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.file.parent, suffix=".part")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    json.dump({"mean": mean}, file)
                Path(name).replace(self.file)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise


# --- the engine -------------------------------------------------------------------------------------------------------


class Sphinx:
    """See `locara.engines.contracts.Recogniser`."""

    def __init__(self, model: str, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self.child = Child(_WORKER, stage="stt", model=model)
        self.lane = Lane("pocketsphinx", stage="stt", model=model)
        self.mean: str | None = None
        self._loaded_mean: str | None = None
        self.current: Listening | None = None
        self._ready = 0  # the life of the child that has the model loaded
        remember = settings.remember if settings.remember is not None else settings.device is not None
        folder = cache_dir(os.environ, sys.platform, Path.home())
        self._memory = Memory(folder, settings.device or "default") if remember else None

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(
            engine="pocketsphinx",
            model="pocketsphinx-en-us",
            licence="BSD-2-Clause",
            where="child process",
            note="English; short plain commands, not dictation",
        )

    async def load(self) -> None:
        """Starts the process and decodes half a second. Raises ``EngineMissing``, ``EngineFailed``, ``EngineTimeout``."""

        def work() -> None:
            if self._memory is not None:
                self.mean = self._loaded_mean = self._memory.read()
            self.wake()

        await self.lane.run(work, deadline=60.0 + _MARGIN, abandon=self.child.kill)

    async def close(self) -> None:
        """Ends the process and the thread."""
        # It keeps nothing that would have to be saved: ending it also frees the lane, whatever that waits for.
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        """Blocking: in a thread, for the lane's may be starting the process at this moment. The event loop of a server
        stood for two seconds here, and the process that came after the first kill stayed."""
        self.child.kill()
        self.lane.close()
        self.child.kill()

    def forget_session(self) -> None:
        """The next turn starts as the first one did: another session's microphone is another one."""
        self.current = None
        self.mean = self._loaded_mean

    def open(self) -> Listening:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        self.current = Listening(self)
        return self.current

    def wake(self) -> None:
        """Blocking, on the lane: makes sure that the process runs and has the model loaded."""
        if self.child.alive and self._ready == self.child.lives:
            return
        try:
            self.child.start()
            self.child.request("load", deadline=30.0)
        except WorkerError as error:
            if error.kind in ("ModuleNotFoundError", "ImportError"):
                raise EngineMissing(
                    f"stt: pocketsphinx cannot be imported: {error.message}", stage="stt", model=self.model,
                    hint="pip install pocketsphinx  (no wheels for Python 3.14, nor for 3.12 on Linux on Arm)",
                ) from error  # fmt: skip
            raise
        self._ready = self.child.lives

    def learn(self, mean: object) -> None:
        """Blocking, on the lane: the next turn starts from this mean."""
        if isinstance(mean, str) and is_mean(mean) and mean != self.mean:
            self.mean = mean
            if self._memory is not None:
                self._memory.write(mean)


class Listening:
    """One turn being recognised. See `locara.engines.contracts.Recognition`.

    ``push`` does not wait for the decoder: what has come meanwhile goes there in one piece, so a slow moment costs
    lateness of partial texts and nothing else.
    """

    def __init__(self, engine: Sphinx) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._size = 0  # samples in ``_waiting``
        self._life = 0  # of the child that has begun this turn
        self._flight: asyncio.Task[str] | None = None
        self._given = ""
        self._settled: Transcript | None = None
        self._mean: object = None
        self._loudest = FLOOR_DBFS
        self._since: list[float] = []  # levels of the 20 ms since the last transcript
        self._closed = False

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        self._check()
        if samples.size:
            self._hear(samples)
        news = await self._land(wait=self._size > _BACKLOG)
        if self._flight is None and self._size >= _BATCH:
            self._flight = asyncio.create_task(self._fly())
        return news

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far; without new sound, the same as before, at once."""
        self._check()
        await self._land(wait=True)
        if self._settled is not None and is_nothing(self._since, self._loudest):
            return self._settled
        if self._settled is None and not self._life and not self._waiting:
            return Transcript("")
        heard, self._since = self._since, []
        try:
            # Not cancelled in the child when nobody waits any longer: it has the sound, and the next call its words.
            deadline = self._deadline(self._size) + self._engine.settings.deadline + _MARGIN
            self._settled = await self._engine.lane.run(self._settle, deadline=deadline)
        except BaseException:
            self._since = heard + self._since
            raise
        self._given = self._settled.text
        return self._settled

    async def close(self) -> None:
        """Ends this recognition; what it learnt about the microphone is kept. Never raises."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
            if not self._flight.cancelled():
                self._flight.exception()  # looked at: whoever closes does not want to hear of it
            self._flight = None
        if self._mean is not None:
            with contextlib.suppress(LocaraError):
                await self._engine.lane.run(lambda: self._engine.learn(self._mean), deadline=_MARGIN)
        if self._engine.current is self:
            self._engine.current = None

    def _check(self) -> None:
        if self._closed or self._engine.current is not self:
            raise self._failed("this recognition has ended", hint="open() a new one for each turn")

    def _hear(self, samples: Samples) -> None:
        with self._lock:  # the lane's thread may be taking what waits
            self._waiting.append(pcm16(samples))
            self._size += samples.size
        for start in range(0, samples.size, BLOCK):
            level = dbfs(samples[start : start + BLOCK])
            self._loudest = max(self._loudest, level)
            self._since.append(level)
        del self._since[:-3000]  # a minute

    async def _land(self, *, wait: bool) -> str | None:
        """The text of the last flight, if it is back and brings news. Raises what went wrong with it."""
        if self._flight is None or not (wait or self._flight.done()):
            return None
        flight = self._flight
        text = await asyncio.shield(flight)
        self._flight = None
        if text == self._given:
            return None
        self._given = text
        return text

    async def _fly(self) -> str:
        deadline = self._deadline(self._size) + self._engine.settings.deadline
        return await self._engine.lane.run(self._push, deadline=deadline + _MARGIN)

    def _deadline(self, samples: int) -> float:
        """Seconds for an answer about so many new samples: sound that was not given as it was spoken takes as long again."""
        return self._engine.settings.deadline + samples / RATE

    # On the lane's thread:

    def _push(self) -> str:
        self._begin()
        sound = self._take()
        reply = self._engine.child.request("push", sound, deadline=self._deadline(len(sound) // 2))
        return str(reply.header["text"])

    def _settle(self) -> Transcript:
        self._begin()
        sound = self._take()
        reply = self._engine.child.request("settle", sound, deadline=self._deadline(len(sound) // 2))
        self._mean = reply.header["cmn"]
        sure = reply.header["confidence"]
        return Transcript(str(reply.header["text"]), None if sure is None else float(sure))

    def _begin(self) -> None:
        engine = self._engine
        if not self._life:
            engine.wake()
            try:
                engine.child.request("begin", deadline=engine.settings.deadline, cmn=engine.mean)
            except EngineFailed:
                if engine.child.alive:
                    raise
                engine.wake()  # it had died unnoticed since the last turn; nothing of this one is lost yet
                engine.child.request("begin", deadline=engine.settings.deadline, cmn=engine.mean)
            self._life = engine.child.lives
        elif self._life != engine.child.lives or not engine.child.alive:
            raise self._failed("its process has died during this turn", hint="the next turn starts it again")

    def _take(self) -> bytes:
        """Everything that waits."""
        with self._lock:
            sound = b"".join(self._waiting)
            self._waiting.clear()
            self._size = 0
        return sound

    def _failed(self, why: str, *, hint: str) -> EngineFailed:
        return EngineFailed(f"stt: {self._engine.model}: {why}", stage="stt", model=self._engine.model, hint=hint)
