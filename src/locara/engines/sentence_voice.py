"""A voice that is run here, one sentence at a time: what Kokoro and Supertonic have in common.

What may live here: the way of a text through such a voice, and how its sound is cut. What turns a sentence into sound is a
`Synthesiser`, in the file of each engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np

from locara.audio import Samples
from locara.engines import phonemes
from locara.engines.contracts import EngineInfo, Speech, WordMark
from locara.engines.lane import Lane
from locara.engines.onnx_runtime import Run
from locara.errors import EngineFailed, LocaraError, SessionError

_LOAD_SECONDS = 120.0
_BLOCK_SECONDS = 0.01
_AUDIBLE = 0.01
"""Of the loudest 10 ms: -40 dB. What is quieter at the ends of a sentence is the model's silence."""
_LEAD_SECONDS = 0.03
_TAIL_SECONDS = 0.25
"""Silence that stays before and after a sentence: an onset is not cut, and the next sentence does not fall into this."""
_WARM = "Ready."


@dataclass(frozen=True, slots=True, eq=False)
class Sentence:
    """``samples`` of one sentence, and where its words begin: (sample, first character, last character + 1)."""

    samples: Samples
    words: tuple[tuple[int, int, int], ...] = ()


class Synthesiser(Protocol):
    """A loaded model. All of it blocks, on one thread."""

    runtime: Any
    rate: int
    language: str
    note: str
    word_times: bool

    def say(self, sentence: str, run: Run) -> Iterator[Sentence]:
        """The sound of ``sentence``, in one piece or in several (characters count from its beginning, samples from the
        piece's). ``run`` may be stopped meanwhile: then any exception will do."""
        ...

    def close(self) -> None:
        """Ends what it started. From any thread, also twice."""
        ...


class SentenceVoice:
    """See `locara.engines.contracts.Voice`. ``open_model`` loads the model, on the voice's own thread; ``deadline`` in
    seconds, for one sentence."""

    def __init__(
        self, info: EngineInfo, open_model: Callable[[], Synthesiser], *, deadline: float, language: str, rate: int
    ) -> None:
        self._info = info
        self._open = open_model
        self._deadline = deadline
        self._language = language
        self._rate = rate
        self._model: Synthesiser | None = None
        self._lane = Lane(info.engine, stage="tts", model=info.model)

    @property
    def info(self) -> EngineInfo:
        """What it is; once loaded with its speaker, and whether it tells when words begin."""
        return self._info

    @property
    def rate(self) -> int:
        """Hertz of its samples."""
        return self._rate

    @property
    def language(self) -> str:
        """As a code."""
        return self._language

    async def load(self) -> None:
        """Checks the files, loads them and speaks one word. Raises ``ModelMissing``, ``EngineMissing``, ``EngineFailed``,
        ``ConfigError`` for a speaker or language that it has not, or ``EngineTimeout``."""
        await self._lane.run(self._load, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Frees the weights and ends its thread and what it started."""
        model, self._model = self._model, None
        if model is not None:
            model.close()
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, sentence by sentence. Closing the iterator stops the model within one step of its graph.
        Raises ``EngineFailed`` or ``EngineTimeout``."""
        model = self._model
        if model is None:
            raise SessionError("the tts engine is not loaded", hint="await load() first")
        if not any(one.isalnum() for one in text):
            return
        run = Run(model.runtime)
        stream = self._lane.stream(lambda: self._make(model, text, run), deadline=self._deadline, abandon=run.stop)
        async with aclosing(cast("AsyncGenerator[Speech, None]", stream)) as pieces:
            async for piece in pieces:
                yield piece

    def _make(self, model: Synthesiser, text: str, run: Run) -> Iterator[Speech]:
        at = end = 0
        # Half a surrogate pair cannot be handed on; a question mark, also one character, stands in its place.
        whole = text.encode("utf-8", "replace").decode()
        for sentence in phonemes.sentences(whole):
            start = whole.find(sentence, end)
            end = start + len(sentence)
            if not any(one.isalnum() for one in sentence):
                continue
            for piece in self._pieces(model, sentence, run):
                if run.stopped:
                    return
                marks = tuple(WordMark(at + mark, start + first, start + last) for mark, first, last in piece.words)
                yield Speech(piece.samples, marks)
                at += piece.samples.size

    def _pieces(self, model: Synthesiser, sentence: str, run: Run) -> Iterator[Sentence]:
        try:
            yield from model.say(sentence, run)
        except LocaraError:
            raise
        except Exception as error:
            if run.stopped:
                return
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise EngineFailed(
                f"tts: {self._info.model} failed: {said}", stage="tts", model=self._info.model,
                hint=f"locara models verify {self._info.model}, or choose another voice",
            ) from error  # fmt: skip

    def _load(self) -> None:
        if self._model is not None:
            return
        model = self._open()
        try:
            made = [piece for piece in self._make(model, _WARM, Run(model.runtime)) if piece.samples.size]
            if not made or not all(bool(np.isfinite(piece.samples).all()) for piece in made):
                raise EngineFailed(
                    f"tts: the files of {self._info.model} load, but give no sound", stage="tts",
                    model=self._info.model, hint=f"locara models verify {self._info.model}",
                )  # fmt: skip
        except BaseException:
            model.close()
            raise
        self._rate, self._language = model.rate, model.language
        self._info = replace(self._info, note=model.note, word_times=model.word_times)
        self._model = model


def audible(samples: Samples, rate: int) -> tuple[int, int]:
    """From which sample to which one there is something to hear, with a little silence around it. All of a sound that is
    quiet everywhere is kept."""
    block = max(1, round(_BLOCK_SECONDS * rate))
    whole = samples[: samples.size // block * block].reshape(-1, block)
    if not whole.size:
        return 0, samples.size
    levels = np.sqrt(np.mean(np.square(whole), axis=1))
    heard = np.flatnonzero(levels >= _AUDIBLE * levels.max())
    if not heard.size:  # no numbers: whoever hears that says so
        return 0, samples.size
    first, last = int(heard[0]) * block, (int(heard[-1]) + 1) * block
    return max(0, first - round(_LEAD_SECONDS * rate)), min(samples.size, last + round(_TAIL_SECONDS * rate))
