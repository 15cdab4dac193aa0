"""Kokoro 82M from the ONNX files of kokoro-onnx: 54 voices of eight languages, with word times where the file has them.

What may live here: this one voice. The package kokoro-onnx (MIT) is not used: importing it loads espeak-ng, which is
GPL-3.0-or-later, into the process. Here espeak-ng writes the phonemes in a program of its own (`phonemes`), and
ONNX Runtime runs the graph. Inputs and outputs: kokoro-onnx 0.6.1, ``scripts/export.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines import kokoro_files, onnx_runtime, option_values, phonemes
from locara.engines.contracts import EngineInfo, Voice
from locara.engines.kokoro_files import LANGUAGES, RATE, WrongVoices
from locara.engines.onnx_runtime import Run
from locara.engines.phonemes import Phonemiser
from locara.engines.sentence_voice import Sentence, SentenceVoice, audible
from locara.engines.sherpa_runtime import default_threads
from locara.errors import ConfigError, EngineFailed, ModelMissing

ENGINE = "kokoro-onnx"
MODELS = ("kokoro-82m", "kokoro-82m-int8")

_OPTIONS = ("engine", "path", "voice", "speed", "language", "threads", "deadline")
_USUAL_VOICE = "af_heart"
_LARGEST = 1024 * 2**20
"""Bytes of the graph. The float32 one has 325,505,369."""
_TIE = "^"
_OTHER_WAY = ("ja", "zh", "cmn")
"""espeak-ng's phonemes are not the ones that Kokoro learnt for these."""
_NUMBERS = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


@dataclass(frozen=True, slots=True)
class Settings:
    """``voice``: a name in the file, ``af_heart`` if it is left out. ``speed``: 1 is the voice's own. ``language``: as
    espeak-ng calls it, the voice's own if it is left out. ``deadline``: seconds for a sentence."""

    path: Path | None
    voice: str
    speed: float
    language: str
    threads: int
    deadline: float


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice for `MODELS`, or for any name with ``engine="kokoro-onnx"``.

    ``path``: the folder with one ``.onnx`` file and ``voices-v1.0.bin``, or that ``.onnx`` file. Raises ``ConfigError``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    settings = Settings(
        path=option_values.path(ENGINE, options),
        voice=option_values.text(ENGINE, options, "voice").strip(),
        speed=option_values.number(ENGINE, options, "speed", 1.0, 0.5, 2.0),
        language=option_values.language(ENGINE, options, "language", "").lower(),
        threads=option_values.whole(ENGINE, options, "threads", default_threads(), 1, 64),
        deadline=option_values.number(ENGINE, options, "deadline", 60.0, 0.1, 3600.0, "seconds"),
    )
    model = model or MODELS[0]
    return SentenceVoice(
        EngineInfo(ENGINE, model, "Apache-2.0"),
        lambda: Kokoro(model, settings),
        deadline=settings.deadline,
        language=settings.language or LANGUAGES.get(settings.voice[:1], "en-us"),
        rate=RATE,
    )


class Kokoro:
    """See `locara.engines.sentence_voice.Synthesiser`. Raises what is wrong with the files."""

    rate = RATE

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._speed = settings.speed
        self._closing = threading.Lock()
        graph, voices = self._files(settings.path)
        try:
            names = kokoro_files.voice_names(voices)
            voice = settings.voice or (_USUAL_VOICE if _USUAL_VOICE in names else names[0])
            if voice not in names:
                some = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
                raise ConfigError(f"{model} has no voice {voice!r}", hint=f"it has {some}")
            self.language = self._spoken(voice, settings.language)
            self.runtime = onnx_runtime.library(stage="tts", model=model, extra="kokoro")
            self._session = onnx_runtime.session(
                self.runtime,
                graph,
                stage="tts",
                model=model,
                hint=self._hint,
                threads=settings.threads,
                largest=_LARGEST,
            )
            self._tokens, self._types, width = self._inputs(graph)
            self._rows = kokoro_files.voice_rows(voices, voice, width)
        except WrongVoices as error:
            raise self._failed(f"{voices}: {error}") from error
        except OSError as error:
            raise self._failed(f"{voices} cannot be read: {error.strerror or error}") from error
        self._symbols = kokoro_files.symbols(self._session.get_modelmeta().custom_metadata_map)
        outputs = [one.name for one in self._session.get_outputs()]
        self._outputs = [outputs[0], *(one for one in outputs[1:] if one.startswith("duration"))]
        self.word_times = len(self._outputs) > 1
        self.note = f"{voice}, {self.language}"
        self._phonemiser = Phonemiser(self.language, stage="tts", model=model)

    def say(self, sentence: str, run: Run) -> Iterator[Sentence]:
        """See `Synthesiser`. One piece, unless the sentence has more phonemes than the model takes at once."""
        said = self._phonemiser.phonemes([sentence], tie=_TIE)[0]
        spelt = kokoro_files.portions(phonemes.kokoro(said, self.language), self._symbols)
        for portion in spelt:
            if run.stopped:
                return
            tokens = [self._symbols[one] for one in portion]
            given = {
                self._tokens: np.array([[kokoro_files.PAD, *tokens, kokoro_files.PAD]], self._types[self._tokens]),
                "style": self._rows[min(len(tokens), len(self._rows)) - 1][None],
                "speed": self._speed_value(),
            }
            sound, *durations = self._session.run(self._outputs, given, run.options)
            samples = np.asarray(sound, np.float32).reshape(-1)
            first, last = audible(samples, RATE)
            words = []
            if durations and len(spelt) == 1:
                at = kokoro_files.edges(durations[0], samples.size)
                for begins, start, end in kokoro_files.word_starts(sentence, portion, at):
                    words.append((min(max(begins - first, 0), last - first), start, end))
            yield Sentence(samples[first:last], tuple(words))

    def close(self) -> None:
        """Ends the phonemes' program."""
        with self._closing:
            self._phonemiser.kill()

    def _speed_value(self) -> npt.NDArray[Any]:
        kind = self._types["speed"]
        # Some exports take whole numbers only: they speak at their own pace or at twice that.
        speed = self._speed if kind == np.float32 else max(1, round(self._speed))
        return np.array([speed], kind)

    def _spoken(self, voice: str, wanted: str) -> str:
        language = wanted or LANGUAGES.get(voice[:1], "en-us")
        if language.split("-")[0] in _OTHER_WAY:
            raise ConfigError(
                f"{self._model}: {language} needs another way to phonemes, which this engine has not",
                hint="choose a voice of another language",
            )
        return language

    def _inputs(self, graph: Path) -> tuple[str, dict[str, Any], int]:
        """What the tokens are called, the type of each input, and how many numbers a style has."""
        inputs = {one.name: one for one in self._session.get_inputs()}
        tokens = "input_ids" if "input_ids" in inputs else "tokens"
        if set(inputs) != {tokens, "style", "speed"}:
            raise self._failed(f"{graph} is no Kokoro: it takes {', '.join(sorted(inputs)) or 'nothing'}")
        types = {name: _NUMBERS.get(one.type) for name, one in inputs.items()}
        shape = inputs["style"].shape
        if None in types.values() or len(shape) != 2 or not isinstance(shape[1], int):
            raise self._failed(f"{graph} is no Kokoro of a kind that is known: its style has the shape {shape}")
        return tokens, types, shape[1]

    def _files(self, path: Path | None) -> tuple[Path, Path]:
        """The graph and the voices."""
        pull = f"locara models pull {self._model}"
        if path is None:
            raise ModelMissing(
                f"tts: where the files of {self._model} lie is not known",
                stage="tts", model=self._model, hint=f"{pull}, or name their folder with path=...",
            )  # fmt: skip
        if not path.exists():
            raise ModelMissing(
                f"tts: {self._model}: there is no {path}",
                stage="tts",
                model=self._model,
                hint=f"{pull}, or correct path",
            )
        folder = path if path.is_dir() else path.parent
        try:
            graphs = [path] if path.is_file() else sorted(folder.glob("*.onnx"))
            voices = sorted([*folder.glob("voices*.bin"), *folder.glob("voices*.npz")])
        except OSError as error:
            raise self._failed(f"{folder} cannot be read: {error.strerror or error}") from error
        if not graphs or not voices:
            raise self._failed(f"there is no {'voices file (voices-v1.0.bin)' if graphs else '.onnx file'} in {folder}")
        if len(graphs) > 1:
            raise self._failed(
                f"{folder} has several .onnx files: {', '.join(one.name for one in graphs)}",
                "name one of them: path=...",
            )
        return graphs[0], voices[-1]

    @property
    def _hint(self) -> str:
        return f"if it was downloaded: locara models verify {self._model}, then pull it again"

    def _failed(self, what: str, hint: str = "") -> EngineFailed:
        return EngineFailed(f"tts: {self._model}: {what}", stage="tts", model=self._model, hint=hint or self._hint)
