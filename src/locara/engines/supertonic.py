"""Supertonic 2 and 3 (99 million parameters, 44.1 kHz, 31 languages, no pronunciation dictionary), from its ONNX files.

What may live here: this one voice. The package supertonic (MIT) is not used: what it adds is a downloader, which this
engine must never call, and libsndfile (LGPL), which it does not need. Code MIT, weights OpenRAIL-M, which forbids some uses.
Source of the steps: arXiv 2503.23108 and the files that `supertonic_files` names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locara.engines import onnx_runtime, option_values, supertonic_files
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.onnx_runtime import Run
from locara.engines.sentence_voice import Sentence, SentenceVoice
from locara.engines.sherpa_runtime import default_threads
from locara.engines.sherpa_voice_files import SUPERTONIC_LANGUAGES
from locara.engines.supertonic_files import Style, WrongFile
from locara.errors import ConfigError, EngineFailed, ModelMissing

ENGINE = "supertonic"
MODELS = ("supertonic-3",)

_OPTIONS = ("engine", "path", "voice", "speed", "language", "steps", "threads", "deadline")
_LANGUAGES = (*SUPERTONIC_LANGUAGES, "na")
"""``na``: the model finds out by itself."""
_GRAPHS: Mapping[str, tuple[str, ...]] = {
    "duration_predictor": ("text_ids", "style_dp", "text_mask"),
    "text_encoder": ("text_ids", "style_ttl", "text_mask"),
    "vector_estimator": (
        "noisy_latent", "text_emb", "style_ttl", "text_mask", "latent_mask", "current_step", "total_step",
    ),
    "vocoder": ("latent",),
}  # fmt: skip
"""Name -> its inputs."""
_LARGEST = 1024 * 2**20
"""Bytes of one graph. The vector estimator of Supertonic 3 has 256,534,781."""
_USUAL_SPEED = 1.05
_USUAL_STEPS = 5
_LONGEST_SECONDS = 60.0
"""Of one sentence, which has at most 220 characters: what the model says beyond that is no duration of speech."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``voice``: a name in ``voice_styles`` (``F1`` to ``F5``, ``M1`` to ``M5``), the first if it is left out.
    ``speed``: its makers' usual one is 1.05. ``steps``: of denoising; 5 to 10 are usual, more sound better and take longer.
    ``deadline``: seconds for a sentence."""

    path: Path | None
    voice: str
    speed: float
    language: str
    steps: int
    threads: int
    deadline: float


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice for ``supertonic-3``, or for any name with ``engine="supertonic"``.

    ``path``: the folder with ``onnx/`` and ``voice_styles/``. Raises ``ConfigError``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    language = option_values.language(ENGINE, options, "language", "en").lower().split("-")[0]
    if language not in _LANGUAGES:
        raise ConfigError(f"{ENGINE} does not speak {options['language']!r}", hint=f"it speaks {', '.join(_LANGUAGES)}")
    settings = Settings(
        path=option_values.path(ENGINE, options),
        voice=option_values.text(ENGINE, options, "voice").strip(),
        speed=option_values.number(ENGINE, options, "speed", _USUAL_SPEED, 0.7, 2.0),
        language=language,
        steps=option_values.whole(ENGINE, options, "steps", _USUAL_STEPS, 1, 100),
        threads=option_values.whole(ENGINE, options, "threads", default_threads(), 1, 64),
        deadline=option_values.number(ENGINE, options, "deadline", 60.0, 0.1, 3600.0, "seconds"),
    )
    model = model or MODELS[0]
    return SentenceVoice(
        EngineInfo(ENGINE, model, "OpenRAIL-M (forbids some uses)"),
        lambda: Supertonic(model, settings),
        deadline=settings.deadline,
        language="" if language == "na" else language,
        rate=44_100,
    )


class Supertonic:
    """See `locara.engines.sentence_voice.Synthesiser`. Raises what is wrong with the files."""

    word_times = False

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        folder = self._folder(settings.path)
        name, self._style = self._voice(folder / "voice_styles")
        self._shape = self._read(folder / "onnx" / "tts.json", supertonic_files.shape)
        self._known = self._read(folder / "onnx" / "unicode_indexer.json", supertonic_files.indexer)
        self.runtime = onnx_runtime.library(stage="tts", model=model, extra="supertonic")
        self._graphs = {one: self._graph(folder / "onnx" / f"{one}.onnx", _GRAPHS[one]) for one in _GRAPHS}
        self.rate = self._shape.rate
        self.language = "" if settings.language == "na" else settings.language
        self.note = f"{name}, {settings.steps} steps"

    def say(self, sentence: str, run: Run) -> Iterator[Sentence]:
        """See `Synthesiser`. One piece. The noise that it starts from is always the same: so is what a text sounds like."""
        text = supertonic_files.tokens(supertonic_files.cleaned(sentence), self._settings.language, self._known)
        if not text.size:
            return
        mask = np.ones((1, 1, text.shape[1]), np.float32)
        given = {"text_ids": text, "text_mask": mask, "style_dp": self._style.duration, "style_ttl": self._style.text}
        seconds = float(np.asarray(self._run("duration_predictor", given, run)).reshape(-1)[0]) / self._settings.speed
        if not math.isfinite(seconds) or not 0.0 < seconds <= _LONGEST_SECONDS:
            raise ValueError(f"it would speak for {seconds:.1f} s")
        given["text_emb"] = self._run("text_encoder", given, run)
        samples = max(1, round(seconds * self.rate))
        frames = -(-samples // self._shape.chunk)
        noise = np.random.default_rng(0).standard_normal((1, self._shape.width, frames), np.float32)
        given |= {
            "noisy_latent": noise,
            "latent_mask": np.ones((1, 1, frames), np.float32),
            "total_step": np.array([self._settings.steps], np.float32),
        }
        for step in range(self._settings.steps):
            given["current_step"] = np.array([step], np.float32)
            given["noisy_latent"] = self._run("vector_estimator", given, run)
        sound = np.asarray(self._run("vocoder", {"latent": given["noisy_latent"]}, run), np.float32).reshape(-1)
        yield Sentence(sound[:samples])

    def close(self) -> None:
        """There is nothing that it started."""

    def _run(self, name: str, given: Mapping[str, Any], run: Run) -> Any:
        return self._graphs[name].run(None, {one: given[one] for one in _GRAPHS[name]}, run.options)[0]

    def _graph(self, path: Path, inputs: tuple[str, ...]) -> Any:
        graph = onnx_runtime.session(
            self.runtime, path, stage="tts", model=self._model, hint=self._hint, threads=self._settings.threads,
            largest=_LARGEST,
        )  # fmt: skip
        found = {one.name for one in graph.get_inputs()}
        if found != set(inputs):
            raise self._failed(f"{path} is another model's: it takes {', '.join(sorted(found)) or 'nothing'}")
        return graph

    def _voice(self, folder: Path) -> tuple[str, Style]:
        names = sorted(one.stem for one in folder.glob("*.json"))
        name = self._settings.voice or (names[0] if names else "")
        if name not in names:
            what = f"{self._model} has no voice {name!r}" if names else f"there is no voice in {folder}"
            raise ConfigError(what, hint=f"it has {', '.join(names)}" if names else self._hint)
        return name, self._read(folder / f"{name}.json", supertonic_files.style)

    def _read(self, path: Path, understood: Any) -> Any:
        try:
            return understood(supertonic_files.read_json(path))
        except WrongFile as error:
            raise self._failed(f"{path}: {error}") from error

    def _folder(self, path: Path | None) -> Path:
        pull = f"locara models pull {self._model}"
        if path is None:
            raise ModelMissing(
                f"tts: where the files of {self._model} lie is not known",
                stage="tts", model=self._model, hint=f"{pull}, or name their folder with path=...",
            )  # fmt: skip
        if not path.is_dir():
            raise ModelMissing(
                f"tts: {self._model}: there is no folder {path}",
                stage="tts", model=self._model, hint=f"{pull}, or correct path=...",
            )  # fmt: skip
        needed = [f"onnx/{one}.onnx" for one in _GRAPHS] + ["onnx/tts.json", "onnx/unicode_indexer.json"]
        if missing := [one for one in needed if not (path / one).is_file()]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise self._failed(f"{missing[0]}{more} is missing in {path}")
        return path

    @property
    def _hint(self) -> str:
        return f"if it was downloaded: locara models verify {self._model}, then pull it again"

    def _failed(self, what: str) -> EngineFailed:
        return EngineFailed(f"tts: {self._model}: {what}", stage="tts", model=self._model, hint=self._hint)
