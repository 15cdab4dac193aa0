"""Moonshine's streaming models (tiny, small, medium) through the package moonshine-voice: true streaming.

What may live here: this one recogniser: its options, how its folder is checked, one turn. The library hears each sample
once; only the text is written anew from what it heard. Its own voice-activity detection is off, the session has one; its
own downloader is never called. What it prints when something goes wrong goes to standard error of the process it runs in:
``process="own"`` keeps that apart, and survives a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import BLOCK, FLOOR_DBFS, RATE, Samples, silence
from locara.engines import onnx_runtime, option_values
from locara.engines.contracts import EngineInfo, Recogniser, Transcript
from locara.engines.lane import Lane
from locara.engines.quietness import is_nothing, levels, quietest
from locara.engines.redecoding import Pace, wait_between
from locara.errors import EngineFailed, EngineMissing, LocaraError, ModelMissing

ENGINE = "moonshine"
MODELS = ("moonshine-tiny-streaming", "moonshine-small-streaming", "moonshine-medium-streaming")

_OPTIONS = ("engine", "path", "partials", "step", "share", "deadline")
_GRAPHS = ("encoder.ort", "adapter.ort", "cross_kv.ort", "decoder_kv.ort")
_FRONTENDS = (("frontend.ort",), ("frontend.model.ort", "frontend.weights.ort"))
"""In one file, or in two as the models of August 2026 have it: a graph that takes its weights as inputs, and one that gives
them out (int8 on the disk; in one file they had been folded to float32)."""
_SETTINGS = "streaming_config.json"
_TOKENIZER = "tokenizer.bin"
_ORT_MARK = b"ORTM"  # bytes 4 to 8 of every file in ONNX Runtime's own format
_FRAME = 320  # samples of one of the model's frames, 20 ms
_CHUNK = 1280  # samples that the library hears at once; what is less waits
_HOP = 512  # samples that its cutting into lines waits for
_NEVER = 1e9  # seconds: updates come when we ask
_SLICE = 2 * RATE  # samples handed over at once: they are turned into a list of numbers
_SOFT = 18 * RATE
_MOST = 28 * RATE
"""Samples. From ``_SOFT`` on a turn is cut at its next quiet moment, at ``_MOST`` anywhere: each update writes the whole
text anew, and the models were trained on less than 30 s."""
_TAIL = 10 * BLOCK  # samples that must be quiet for a cut
_BACKLOG = 60 * RATE
_LEVELS_KEPT = 3000  # a minute of 20 ms
_LOAD_SECONDS = 90.0
_CLOSE_SECONDS = 1.0


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS` and it was not picked by ``engine``.

    Raises ``ConfigError`` for options it does not know or that cannot be.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    usual = Pace(step=0.32)
    pace = Pace(
        partials=option_values.one_of(ENGINE, options, "partials", usual.partials, ("all", "none")),
        step=option_values.number(ENGINE, options, "step", usual.step, 0.08, 10.0, "seconds"),
        share=option_values.number(ENGINE, options, "share", usual.share, 0.05, 1.0, "of the time"),
        deadline=option_values.number(ENGINE, options, "deadline", usual.deadline, 0.1, 600.0, "seconds"),
    )
    return Moonshine(model or MODELS[1], option_values.path(ENGINE, options), pace)


def check(model: str, path: Path | None) -> tuple[Path, int]:
    """The model's folder, and how many frames its encoder holds back. Raises ``ModelMissing`` or ``EngineFailed``."""
    pull = f"locara models pull {model}"
    if path is None:
        raise ModelMissing(f"stt: {model} needs its files, and no path was given", stage="stt", model=model, hint=pull)
    if not path.exists():
        raise ModelMissing(f"stt: {model}: there is no folder {path}", stage="stt", model=model, hint=pull)
    if (path / "encoder_model.ort").is_file():
        raise _broken(model, path, "it holds a Moonshine that cannot stream; only the streaming models run here")
    front = _FRONTENDS[(path / _FRONTENDS[1][0]).is_file()]
    missing = [name for name in (*front, *_GRAPHS, _SETTINGS, _TOKENIZER) if not (path / name).is_file()]
    if missing:
        raise _broken(model, path, f"{', '.join(missing)} is missing")
    try:
        for name in (*front, *_GRAPHS):
            with (path / name).open("rb") as file:
                if file.read(8)[4:] != _ORT_MARK:
                    raise _broken(model, path / name, "it is not in ONNX Runtime's format")
        settings = json.loads((path / _SETTINGS).read_text(encoding="utf-8"))
        return path, min(100, max(0, int(settings["total_lookahead"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(model, path / _SETTINGS, f"it cannot be read: {error!r}") from error


def _broken(model: str, file: Path, why: str) -> EngineFailed:
    return EngineFailed(
        f"stt: {model}: {file} is no streaming Moonshine model: {why}",
        stage="stt", model=model, hint=f"if it was downloaded: locara models verify {model}, then pull it again",
    )  # fmt: skip


def _library(model: str) -> Any:
    if importlib.util.find_spec("moonshine_voice") is None:
        raise EngineMissing(
            f"stt: {model} runs on moonshine-voice, which is not installed",
            stage="stt", model=model, hint='pip install "locara[moonshine]"',
        )  # fmt: skip
    os.environ[onnx_runtime.QUIET] = "1"  # it brings an ONNX Runtime of its own
    try:
        return importlib.import_module("moonshine_voice.transcriber")
    except Exception as error:
        raise EngineFailed(
            f"stt: moonshine-voice cannot be imported: {error!r}",
            stage="stt", model=model, hint="its wheel for Linux needs glibc 2.34, that for macOS Apple silicon",
        ) from error  # fmt: skip


class Moonshine:
    """See `locara.engines.contracts.Recogniser`."""

    def __init__(self, model: str, path: Path | None, pace: Pace) -> None:
        self._path = path
        self.pace = pace
        self.lane = Lane(ENGINE, stage="stt", model=model)
        self.current: Hearing | None = None
        self.transcriber: Any = None
        self.force = 0
        self.lookahead = 0
        self._info = EngineInfo(engine=ENGINE, model=model, licence="MIT")

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._info

    async def load(self) -> None:
        """Loads the weights and hears a second of silence. Raises ``EngineMissing``, ``ModelMissing``, ``EngineFailed``."""
        await self.lane.run(self._load, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Frees the weights and ends the thread. May be called twice."""
        if self.current is not None:
            await self.current.close()
        transcriber, self.transcriber = self.transcriber, None
        if transcriber is not None:
            with contextlib.suppress(LocaraError):
                await self.lane.run(transcriber.close, deadline=_CLOSE_SECONDS)
        await asyncio.to_thread(self.lane.close)

    def open(self) -> Hearing:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        if self.current is not None:
            self.current.abandon()
        self.current = Hearing(self)
        return self.current

    def _load(self) -> None:
        if self.transcriber is not None:
            return
        model = self._info.model
        folder, self.lookahead = check(model, self._path)
        module = _library(model)
        # A threshold of nothing takes all sound for speech; that it returns the sound, or logs the text, is not wanted.
        options = {"vad_threshold": "0", "return_audio_data": "false", "log_output_text": "false"}
        try:
            made = module.Transcriber(
                str(folder), module.ModelArch.SMALL_STREAMING, update_interval=_NEVER, options=options
            )
        except Exception as error:
            raise _broken(model, folder, str(error)) from error
        self.force = module.MOONSHINE_FLAG_FORCE_UPDATE
        self._info = replace(self._info, note=folder.name)
        warming = Line(made, self.force)
        try:
            warming.hear(silence(RATE))
        except Exception as error:
            made.close()
            raise _broken(model, folder, str(error)) from error
        finally:
            warming.free()
        self.transcriber = made


class Line:
    """What the library calls a stream, blocking: one stretch of a turn, of at most ``_MOST`` samples."""

    def __init__(self, transcriber: Any, force: int) -> None:
        self._stream = transcriber.create_stream(update_interval=_NEVER)
        self._stream.start()
        self._force = force
        self.size = 0

    def hear(self, samples: Samples) -> str:
        """The text of this line after more sound."""
        for start in range(0, samples.size, _SLICE):
            self._stream.add_audio(samples[start : start + _SLICE].tolist(), RATE)
        self.size += samples.size
        return _text(self._stream.update_transcription(self._force))

    def end(self) -> str:
        """Its last text, with what the encoder had held back."""
        return _text(self._stream.stop())

    def free(self) -> None:
        """Gives back its memory."""
        self._stream.close()


def _text(transcript: Any) -> str:
    lines = [] if transcript is None else transcript.lines
    return " ".join(text for line in lines if (text := line.text.strip()))


@dataclass(frozen=True, slots=True)
class _Heard:
    """``text`` of the whole turn so far, after ``cost`` seconds of work."""

    text: str
    cost: float


class Hearing:
    """One turn being recognised. See `locara.engines.contracts.Recognition`.

    ``push`` never waits for the library (but at a backlog of a minute). ``settle`` pushes as much silence as the encoder
    holds back: the user has paused in any case, and what comes afterwards goes on in the same line.
    """

    def __init__(self, engine: Moonshine) -> None:
        self._engine = engine
        self._blocks: list[Samples] = []
        self._size = 0  # samples in them, not yet heard by the library
        self._flight: asyncio.Task[_Heard] | None = None
        self._cost = 0.0
        self._text = self._given = ""
        self._settled: Transcript | None = None
        self._part = silence(0)  # less than a block, of no known level yet
        self._since: list[float] = []  # levels of the sound after the last settled text
        self._loudest = FLOOR_DBFS
        self._closed = False
        self._line: Line | None = None  # these two: on the lane's thread only
        self._done: list[str] = []

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        self._check()
        if samples.size:
            self._hear(samples)
        if self._flight is not None and (self._flight.done() or self._size > _BACKLOG):
            await self._land()
        pace = self._engine.pace
        if self._flight is None and self._size >= wait_between(pace, self._cost) * RATE:
            self._fly(silence(0))
        if pace.partials == "none" or self._text == self._given:
            return None
        self._given = self._text
        return self._text

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far; without new sound, the same as before, at once."""
        self._check()
        while self._flight is not None:
            await self._land()
        if is_nothing(self._since, self._loudest):
            return self._settled or Transcript("")  # nothing was said, or nothing since
        since, self._since = self._since, []
        try:
            self._fly(silence(self._engine.lookahead * _FRAME + _CHUNK + _HOP))
            await self._land()
        except BaseException:
            self._since = since + self._since
            raise
        self._settled = Transcript(self._text)
        self._given = self._text
        return self._settled

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        self.abandon()
        flight, self._flight = self._flight, None
        if flight is not None:
            await asyncio.wait([flight])
            if not flight.cancelled():
                flight.exception()  # looked at: whoever closes does not want to hear of it
        with contextlib.suppress(LocaraError):
            await self._engine.lane.run(self._free, deadline=_CLOSE_SECONDS)
        if self._engine.current is self:
            self._engine.current = None

    def abandon(self) -> None:
        """Stops at once, without waiting for what is being heard."""
        self._closed = True
        self._blocks.clear()
        if self._flight is not None:
            self._flight.cancel()

    def _check(self) -> None:
        if self._closed or self._engine.current is not self:
            raise self._failed("this recognition has ended", hint="open() a new one for each turn")
        if self._engine.transcriber is None:
            raise self._failed("it is not loaded", hint="await load() first")

    def _hear(self, samples: Samples) -> None:
        self._blocks.append(np.array(samples, dtype=np.float32))
        self._size += samples.size
        part = np.concatenate([self._part, samples])
        whole = part.size - part.size % BLOCK
        self._part = part[whole:]
        loud = levels(part[:whole])
        self._loudest = max([self._loudest, *loud])
        self._since += loud
        del self._since[:-_LEVELS_KEPT]

    def _fly(self, more: Samples) -> None:
        blocks, self._blocks, self._size = [*self._blocks, more], [], 0
        self._flight = asyncio.create_task(self._run(np.concatenate(blocks), self._loudest))

    async def _run(self, samples: Samples, loudest: float) -> _Heard:
        return await self._engine.lane.run(lambda: self._work(samples, loudest), deadline=self._engine.pace.deadline)

    async def _land(self) -> None:
        """Takes in what is under way. Cancelled, it leaves it under way: nothing is lost."""
        flight = self._flight
        assert flight is not None
        try:
            heard = await asyncio.shield(flight)
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if flight.cancelled() and asking is not None and not asking.cancelling():
                raise self._failed("this recognition has ended", hint="open() a new one for each turn") from None
            raise
        except LocaraError:
            self._flight = None
            raise
        except Exception as error:
            self._flight = None
            raise self._failed(f"the library failed: {error}", hint="the next turn starts afresh") from error
        self._flight = None
        self._text, self._cost = heard.text, heard.cost

    def _failed(self, why: str, *, hint: str) -> EngineFailed:
        model = self._engine.info.model
        return EngineFailed(f"stt: {model}: {why}", stage="stt", model=model, hint=hint)

    # On the lane's thread:

    def _work(self, samples: Samples, loudest: float) -> _Heard:
        began = time.perf_counter()
        text = ""
        while samples.size:
            if self._closed or self._engine.transcriber is None:
                raise self._failed("this recognition has ended", hint="open() a new one for each turn")
            if self._line is None:
                self._line = Line(self._engine.transcriber, self._engine.force)
            room = _MOST - self._line.size
            piece = samples if samples.size <= room else samples[: quietest(samples, max(0, room - _SOFT // 2), room)]
            samples = samples[piece.size :]
            text = self._line.hear(piece)
            quiet = is_nothing(levels(piece[-_TAIL:]), loudest)
            if samples.size or (self._line.size > _SOFT and quiet):
                self._done.append(self._line.end())
                self._free()
                text = ""
        return _Heard(" ".join(filter(None, [*self._done, text])), time.perf_counter() - began)

    def _free(self) -> None:
        line, self._line = self._line, None
        if line is not None and self._engine.transcriber is not None:
            line.free()
