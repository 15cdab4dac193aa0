"""The wake word by microWakeWord (Apache-2.0), through pymicro-wakeword: an extra, ``pip install 'locara[wake]'``.

What may live here: this one engine. Its wheel brings TensorFlow Lite and four phrases, also Apache-2.0; any other phrase
that somebody has trained for microWakeWord is given as the path of its ``.json``. 0.1 ms for 30 ms of sound, so it is
called where it stands.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.audio import Samples, pcm16, silence
from locara.engines.contracts import EngineInfo, WakeWord
from locara.engines.lane import Lane
from locara.errors import ConfigError, EngineFailed, EngineMissing

MODELS = ("hey jarvis", "okay nabu", "hey mycroft", "alexa")
"""The phrases in the wheel; the first is the default."""

WINDOW = 480
"""Samples at 16 kHz of one probability: 30 ms, three feature frames of 10 ms, the stride of these models."""

LAG_SECONDS = 0.2
"""From the end of the word to its being noticed, because the model averages five windows: 0.17 s median, 0.2 s upper
quartile of people saying "alexa". Rather too long: a little of the word in front costs less than a first word cut off."""

_LOAD_SECONDS = 30.0
_INSTALL = "pip install 'locara[wake]'"


def create(model: str, options: Mapping[str, Any]) -> WakeWord | None:
    """The engine for a phrase of `MODELS`, the path of a ``.json``, or, for an empty name, the default phrase.

    ``threshold``: 0 to 1, instead of the one that comes with the model.
    """
    named = model.casefold().replace("_", " ").replace("-", " ").strip()
    is_path = model.endswith(".json")
    if named and named not in MODELS and not is_path:
        return None
    if unknown := set(options) - {"engine", "threshold"}:
        raise ConfigError(f"the wake word has no option {', '.join(map(repr, unknown))}", hint="it knows threshold")
    threshold = options.get("threshold")
    if threshold is not None and not (isinstance(threshold, int | float) and 0.0 < threshold <= 1.0):
        raise ConfigError(
            f"threshold={threshold!r} is no probability",
            hint="give a number above 0, at most 1; leave it out for the one that comes with the model",
        )
    return MicroWakeWord(model if is_path else named or MODELS[0], threshold)


class MicroWakeWord:
    """See `locara.engines.contracts.WakeWord`."""

    window = WINDOW
    lag = LAG_SECONDS

    def __init__(self, model: str, threshold: float | None = None) -> None:
        self._model = model
        self._asked = threshold
        self._engine: Any = None
        self._features: Any = None
        self.word = Path(model).stem.replace("_", " ") if model.endswith(".json") else model
        self.threshold = 1.0 if threshold is None else float(threshold)

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        licence = "" if self._model.endswith(".json") else "Apache-2.0"
        return EngineInfo(engine="micro-wake-word", model=self._model, licence=licence, note=f'say "{self.word}"')

    async def load(self) -> None:
        """Loads the model and runs one window. Raises ``EngineMissing`` or ``EngineFailed``."""
        lane = Lane("wake", stage="wake", model=self._model)
        try:
            self._engine, self._features = await lane.run(self._loaded, deadline=_LOAD_SECONDS)
        finally:
            lane.close()
        self.word = str(self._engine.wake_word).casefold()
        if self._asked is None:
            self.threshold = float(self._engine.probability_cutoff)

    async def close(self) -> None:
        """Frees the model."""
        engine, self._engine, self._features = self._engine, None, None
        if engine is not None:
            engine.close()

    def probability(self, window: Samples) -> float | None:
        """How likely the word has just been said, 0 to 1, after ``window`` (480 float32 samples at 16 kHz)."""
        if self._engine is None or window.shape != (WINDOW,):
            raise EngineFailed(
                "wake: the wake word is not loaded"
                if self._engine is None
                else f"wake: {WINDOW} samples are wanted at once, not an array of shape {window.shape}",
                stage="wake",
                model=self._model,
                hint="await load() first, and collect blocks until there are enough",
            )
        found: float | None = None
        for features in self._features.process_streaming(pcm16(window)):
            value = self._engine.process_streaming_prob(features)
            if value:  # between two inferences the library says 0.0
                found = max(found or 0.0, float(value))
        return found

    def _loaded(self) -> tuple[Any, Any]:
        try:
            library = importlib.import_module("pymicro_wakeword")
        except ImportError as error:
            raise EngineMissing(
                f"wake: the wake word needs the package pymicro-wakeword, which cannot be imported: {error}",
                stage="wake",
                model=self._model,
                hint=_INSTALL,
            ) from error
        if self._model.endswith(".json") and not Path(self._model).is_file():
            raise EngineMissing(
                f"wake: there is no file {self._model}",
                stage="wake",
                model=self._model,
                hint=f"give the path of a microWakeWord .json, or one of: {', '.join(MODELS)}",
            )
        try:
            if self._model.endswith(".json"):
                engine = library.MicroWakeWord.from_config(self._model)
            else:
                engine = library.MicroWakeWord.from_builtin(library.Model(self._model.replace(" ", "_")))
            features = library.MicroWakeWordFeatures()
            for frame in features.process_streaming(pcm16(silence(4 * WINDOW))):
                engine.process_streaming_prob(frame)
        except Exception as error:  # a file that is no model, or a system that the library's wheels are not for
            raise EngineFailed(
                f"wake: {self._model!r} could not be loaded: {type(error).__name__}: {error}",
                stage="wake",
                model=self._model,
                hint="its library is there for Linux (glibc 2.35 or later), macOS 15 on Apple silicon and Windows, 64-bit",
            ) from error
        return engine, features
