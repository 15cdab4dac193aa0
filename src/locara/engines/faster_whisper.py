"""Whisper by CTranslate2: the models of faster-whisper, tiny to large-v3-turbo and distil, from a folder on this machine.

What may live here: this one recogniser: its options, how its files are read, one decode. When to decode stands in
`redecoding`, what to believe in `whisper_judging`, its features in `whisper_features`.

It runs CTranslate2 (MIT) itself, not the package faster-whisper around it, which reads the same folders: that package
always computes the whole window of 30 s, and importing it loads PyAV, whose wheels are linked with x264 and x265 (GPL).
There is no code for any network in what is used here.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import RATE, Samples
from locara.engines import option_values, whisper_judging
from locara.engines.contracts import EngineInfo, Recogniser, TimedWord
from locara.engines.openmp import waiting_asleep
from locara.engines.redecoding import Decoded, RedecodingRecogniser, Stopped
from locara.engines.whisper_features import log_mel
from locara.engines.whisper_options import WhisperOptions, model_missing
from locara.engines.whisper_tokens import Vocabulary
from locara.errors import ConfigError, EngineFailed, EngineMissing

ENGINE = "faster-whisper"
SIZES = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en", "large-v1", "large-v2", "large-v3",
    "large-v3-turbo", "distil-small.en", "distil-medium.en", "distil-large-v2", "distil-large-v3", "distil-large-v3.5",
)  # fmt: skip
MODELS = tuple(f"faster-whisper-{size}" for size in SIZES)

_OWN = ("compute_type", "device", "beam_size", "whole_window", "word_times")
_COMPUTE_TYPES = (
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
    "auto",
)
_DEVICES = ("cpu", "cuda", "auto")
_FILES = ("model.bin", "config.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_SURE_LANGUAGE = 0.5
_LANGUAGE_SECONDS = 1.5
"""Sound from which on a detected language is kept for the turns after it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``common``: what both Whispers know. ``beam_size``: 1 is greedy. ``whole_window``: always compute 30 s.
    ``word_times``: of the settled text, which costs another pass of the decoder."""

    common: WhisperOptions
    compute_type: str = "int8"
    device: str = "cpu"
    beam_size: int = 1
    whole_window: bool = False
    word_times: bool = False


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS` and it was not picked by ``engine``.

    Raises ``ConfigError`` for options it does not know or that cannot be.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    settings = Settings(
        WhisperOptions.read(ENGINE, model, options, own=_OWN),
        compute_type=option_values.one_of(ENGINE, options, "compute_type", "int8", _COMPUTE_TYPES),
        device=option_values.one_of(ENGINE, options, "device", "cpu", _DEVICES),
        beam_size=option_values.whole(ENGINE, options, "beam_size", 1, 1, 10),
        whole_window=option_values.flag(ENGINE, options, "whole_window", default=False),
        word_times=option_values.flag(ENGINE, options, "word_times", default=False),
    )
    info = EngineInfo(
        engine=ENGINE, model=model or MODELS[0], licence="MIT", device=settings.device, word_times=settings.word_times,
        note="decodes the turn so far again and again; words that two decodes agree on are stable",
    )  # fmt: skip
    return RedecodingRecogniser(info, lambda: load(info, settings), settings.common.pace)


def load(info: EngineInfo, settings: Settings) -> Whisper:
    """Reads the model, blocking. Raises ``EngineMissing``, ``ModelMissing``, ``EngineFailed`` or ``ConfigError``."""
    if importlib.util.find_spec("ctranslate2") is None:
        raise EngineMissing(
            f"stt: {info.model} runs on ctranslate2, which is not installed",
            stage="stt", model=info.model, hint='pip install "locara[faster-whisper]"',
        )  # fmt: skip
    folder = find(info.model, settings.common.path)
    try:
        with waiting_asleep():
            library = importlib.import_module("ctranslate2")
    except Exception as error:
        raise EngineFailed(
            f"stt: ctranslate2 cannot be imported: {error!r}",
            stage="stt", model=info.model, hint='pip install --force-reinstall "locara[faster-whisper]"',
        ) from error  # fmt: skip
    vocabulary = _vocabulary(info.model, folder)
    try:
        model = library.models.Whisper(
            str(folder), device=settings.device, compute_type=settings.compute_type,
            inter_threads=1, intra_threads=settings.common.threads,
        )  # fmt: skip
    except Exception as error:
        raise _broken(info.model, folder / "model.bin", _first_line(error)) from error
    vocabulary.check_language(info.model, settings.common.language)
    if not (settings.common.language or vocabulary.english or model.is_multilingual):
        # The library goes by one empty token, which some converted models lack; then only detecting is impossible.
        raise ConfigError(f"{info.model} cannot tell languages apart", hint='give its language, for example "de"')
    return Whisper(library, model, vocabulary, info, settings)


def find(model: str, path: Path | None) -> Path:
    """The folder with the model's files. Raises ``ModelMissing`` or ``EngineFailed``."""
    if path is None:
        raise model_missing(model, f"stt: {model} needs its files, and no path to them was given")
    folder = path.parent if path.name == "model.bin" else path
    if not folder.exists():
        raise model_missing(model, f"stt: {model}: there is no folder {folder}")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(_VOCABULARIES[0])
    if missing:
        found = sorted(one.name for one in folder.iterdir())[:8] if folder.is_dir() else ["a file, not a folder"]
        raise EngineFailed(
            f"stt: {model}: {folder} is no folder of a CTranslate2 model: {', '.join(missing)} is missing "
            f"(there is {', '.join(found) or 'nothing'})",
            stage="stt", model=model,
            hint="give the folder of a model converted for faster-whisper; ggml-*.bin files are for the engine whisper-cpp",
        )  # fmt: skip
    return folder


def _vocabulary(model: str, folder: Path) -> Vocabulary:
    file = next(folder / name for name in _VOCABULARIES if (folder / name).is_file())
    try:
        text = file.read_text(encoding="utf-8")
        tokens = json.loads(text) if file.suffix == ".json" else text.split("\n")
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Vocabulary.of(tokens)
    except (OSError, ValueError, KeyError) as error:
        raise _broken(model, file, f"it cannot be read: {error}") from error


def _broken(model: str, file: Path, why: str) -> EngineFailed:
    return EngineFailed(
        f"stt: {model}: {file} is no whisper model that runs here: {why}",
        stage="stt", model=model, hint=f"if it was downloaded: locara models verify {model}, then pull it again",
    )  # fmt: skip


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


class Whisper:
    """A loaded model. See `locara.engines.redecoding.Decoder`."""

    def __init__(self, library: Any, model: Any, vocabulary: Vocabulary, info: EngineInfo, settings: Settings) -> None:
        self._library = library
        self._model = model
        self._vocabulary = vocabulary
        self._settings = settings
        self._language = "en" if vocabulary.english else settings.common.language
        self.info = replace(info, device=model.device, note=self._note(info))

    def decode(self, samples: Samples, *, final: bool, stop: threading.Event) -> Decoded:
        """See the contract. The features, the encoder and each attempt of the decoder are the steps between which it stops;
        one takes at most the encoder's time for the window."""
        first, second = whisper_judging.attempts(samples.size / RATE, whole_window=self._settings.whole_window)
        best = self._attempt(samples, *first, stop)
        if best.doubtful and final:
            again = self._attempt(samples, *second, stop)
            if not again.doubtful or again.logprob > best.logprob:
                best = again
        if best.silent:
            return Decoded("", firm=not best.doubtful)
        text = whisper_judging.unlooped(best.text) if best.doubtful else best.text
        words = self._words(best, stop) if final and self._settings.word_times and text == best.text else ()
        return Decoded(text, whisper_judging.confidence(best.logprob, best.no_speech), words, firm=not best.doubtful)

    def close(self) -> None:
        """Frees the weights."""
        self._model.unload_model()

    def _attempt(self, samples: Samples, positions: int, temperature: float, stop: threading.Event) -> _Attempt:
        model = self._model
        _heed(stop)
        mel = log_mel(samples, bands=model.n_mels, frames=2 * positions)
        _heed(stop)
        encoded = model.encode(self._library.StorageView.from_array(mel[np.newaxis]))
        _heed(stop)
        seconds = samples.size / RATE
        language = self._language or self._detect(encoded, seconds)
        prompt = self._vocabulary.prompt(language)
        sampling = {"sampling_temperature": temperature, "sampling_topk": 0} if temperature else {}
        (result,) = model.generate(
            encoded, [prompt], beam_size=self._settings.beam_size, return_scores=True, return_no_speech_prob=True,
            max_length=2 * whisper_judging.most_tokens(seconds, english=language == "en"), **sampling,
        )  # fmt: skip
        ids = [one for one in result.sequences_ids[0] if one < self._vocabulary.end]
        count = len(ids)
        # The library's score is a mean over the text, OpenAI's also counts the end of it.
        logprob = float(result.scores[0]) * count / (count + 1) if count else 0.0
        text = self._vocabulary.text(ids)
        return _Attempt(text, ids, logprob, float(result.no_speech_prob), encoded, positions, language, seconds)

    def _detect(self, encoded: Any, seconds: float) -> str:
        """The language of this sound; kept when there was enough of it and it was sure."""
        (ranked,) = self._model.detect_language(encoded)
        token, probability = ranked[0]
        language = str(token).strip("<|>")
        if probability >= _SURE_LANGUAGE and seconds >= _LANGUAGE_SECONDS:
            self._language = language
            self.info = replace(self.info, note=f"{self.info.note}; heard {language} ({probability:.0%})")
        return language

    def _words(self, attempt: _Attempt, stop: threading.Event) -> tuple[TimedWord, ...]:
        """Word times by the cross attention (dynamic time warping, as in OpenAI's ``timing.py``)."""
        if not attempt.ids:
            return ()
        _heed(stop)
        start = self._vocabulary.prompt(attempt.language)[:-1]  # the library adds the one for "no timestamps" itself
        frames = min(2 * attempt.positions, round(attempt.seconds * 100))
        (result,) = self._model.align(attempt.encoded, start, [attempt.ids], max(1, frames))
        times: dict[int, float] = {}
        for token, position in result.alignments:
            times.setdefault(token, max(0, position) * 0.02)
        words: list[TimedWord] = []
        spans = self._vocabulary.words(attempt.ids)
        for (text, first), (_, after) in itertools.pairwise([*spans, ("", len(attempt.ids))]):
            begins = times.get(first, words[-1].end if words else 0.0)
            words.append(TimedWord(text, begins, max(begins, times.get(after, attempt.seconds))))
        return tuple(words)

    def _note(self, info: EngineInfo) -> str:
        kind = "English" if self._vocabulary.english else f"language: {self._language or 'the one it hears'}"
        return f"{kind}, {self._model.compute_type}; {info.note}"


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    text: str
    ids: Sequence[int]
    logprob: float
    no_speech: float
    encoded: Any
    positions: int
    language: str
    seconds: float

    @property
    def doubtful(self) -> bool:
        return whisper_judging.doubtful(self.text, self.logprob)

    @property
    def silent(self) -> bool:
        return whisper_judging.silent(self.no_speech, self.logprob)


def _heed(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
