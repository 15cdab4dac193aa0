"""Whisper by whisper.cpp, through pywhispercpp's binding: one file ggml-*.bin on this machine, f16 or quantised.

What may live here: this one recogniser: its options, how its file is opened, one decode. When to decode stands in
`redecoding`, what to believe in `whisper_judging`.

Only the binding is imported, ``_pywhispercpp``: the package around it would look for downloads. The library writes to the
log ``locara`` and never to standard output or error.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import RATE, Samples, silence
from locara.engines import ggml_whisper_file, option_values, whisper_judging
from locara.engines.contracts import EngineInfo, Recogniser
from locara.engines.openmp import waiting_asleep
from locara.engines.redecoding import Decoded, RedecodingRecogniser, Stopped
from locara.engines.whisper_options import WhisperOptions, model_missing
from locara.errors import ConfigError, EngineFailed, EngineMissing

_log = logging.getLogger("locara")

ENGINE = "whisper-cpp"
PROCESS = "own"
"""ggml ends the process where one of its checks fails."""
SIZES = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en", "large-v1", "large-v2", "large-v3",
    "large-v3-turbo",
)  # fmt: skip
MODELS = tuple(f"whisper-cpp-{size}" for size in SIZES)

_OWN = ("device", "whole_window")
_DEVICES = ("auto", "cpu")
_LEAST_SECONDS = 1.1
"""The library refuses sound that is much shorter than a second; silence is added."""
_LANGUAGE_SECONDS = 1.5
"""Sound from which on a detected language is kept for the turns after it."""
_ERROR = 4
"""ggml's level of log lines that tell of an error (``GGML_LOG_LEVEL_ERROR``)."""
_SAID_MOST = 20
"""Log lines that are kept while a file is opened, to say why it failed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``common``: what both Whispers know. ``device``: ``auto`` takes the GPU if the library was built for one.
    ``whole_window``: always compute 30 s."""

    common: WhisperOptions
    device: str = "auto"
    whole_window: bool = False


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is none of `MODELS` and it was not picked by ``engine``.

    Raises ``ConfigError`` for options it does not know or that cannot be.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    settings = Settings(
        WhisperOptions.read(ENGINE, model, options, own=_OWN),
        device=option_values.one_of(ENGINE, options, "device", "auto", _DEVICES),
        whole_window=option_values.flag(ENGINE, options, "whole_window", default=False),
    )
    info = EngineInfo(
        engine=ENGINE, model=model or MODELS[0], licence="MIT", device=settings.device,
        note="decodes the turn so far again and again; words that two decodes agree on are stable",
    )  # fmt: skip
    return RedecodingRecogniser(info, lambda: load(info, settings), settings.common.pace)


def find(model: str, path: Path | None) -> Path:
    """The model's file: ``path`` itself, or the only ``*.bin`` in the folder. Raises ``ModelMissing``, ``EngineFailed``."""
    if path is None:
        raise model_missing(model, f"stt: {model} needs its file, and no path to it was given")
    if path.is_file():
        return path
    if not path.is_dir():
        raise model_missing(model, f"stt: {model}: there is no file {path}")
    if (path / "model.bin").is_file():
        raise _broken(model, path, 'it is a CTranslate2 model; give it to the engine "faster-whisper"')
    files = sorted(path.glob("*.bin"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise _broken(model, path, f"the folder must hold one file ggml-*.bin, and holds {found}")
    return files[0]


def load(info: EngineInfo, settings: Settings) -> WhisperCpp:
    """Opens the file, blocking. Raises ``EngineMissing``, ``ModelMissing``, ``EngineFailed`` or ``ConfigError``."""
    if importlib.util.find_spec("_pywhispercpp") is None:
        raise EngineMissing(
            f"stt: {info.model} runs on pywhispercpp, which is not installed",
            stage="stt", model=info.model, hint='pip install "locara[whisper-cpp]"',
        )  # fmt: skip
    path = find(info.model, settings.common.path)
    try:
        header = ggml_whisper_file.read(path)
    except ValueError as error:
        raise _broken(info.model, path, str(error)) from error
    except OSError as error:
        raise _broken(info.model, path, f"it cannot be read: {error.strerror or error}") from error
    library = _library(info.model)
    _check_language(info.model, settings.common.language, header, library)
    chosen = library.whisper_context_default_params()
    chosen.use_gpu = settings.device == "auto"
    # With it, windows are padded to 256 positions and the padding is not masked: what the turn before left there is heard
    # again (whisper.cpp pull request 3941; seen with 1.8.5, a test of ours shows it).
    chosen.flash_attn = False
    with _listening() as said:
        context = library.whisper_init_from_file_with_params(str(path), chosen)
    if errors := [text for level, text in said if level == _ERROR]:
        # The binding gives an object in any case; with a null pointer inside, any use of it would end the process.
        raise _broken(info.model, path, "; ".join(errors[-2:]))
    return WhisperCpp(library, context, header, info, settings, path)


class _Listening:
    """Gathers what the library logs while a file is opened."""

    def __enter__(self) -> list[tuple[int, str]]:
        self._said: list[tuple[int, str]] = []
        _ears.append(self._said)
        return self._said

    def __exit__(self, *_: object) -> None:
        _ears.remove(self._said)


_listening = _Listening
_ears: list[list[tuple[int, str]]] = []
_hooked = threading.Lock()
_hook: Any = None


def _library(model: str) -> Any:
    """The binding, its log turned to ours."""
    global _hook  # noqa: PLW0603  (the library has one log for the process)
    try:
        with waiting_asleep():
            library = importlib.import_module("_pywhispercpp")
    except Exception as error:
        raise EngineFailed(
            f"stt: pywhispercpp cannot be imported: {error!r}",
            stage="stt", model=model, hint='pip install --force-reinstall "locara[whisper-cpp]"',
        ) from error  # fmt: skip
    with _hooked:
        if _hook is None:
            _hook = _heard
            library.whisper_log_set(_hook)
            # It would be called, and freed, after the interpreter has gone: that ends in a fatal error.
            atexit.register(library.whisper_log_set, None)
    return library


def _heard(level: int, text: str) -> None:
    line = text.strip()
    if not line:
        return
    for ear in _ears:
        ear.append((level, line))
        del ear[:-_SAID_MOST]
    _log.debug("whisper.cpp: %s", line)


def _check_language(model: str, language: str, header: ggml_whisper_file.GgmlWhisper, library: Any) -> None:
    if not language:
        return
    if header.english and language != "en":
        raise ConfigError(
            f"{model} only knows English, and language is {language!r}",
            hint="choose a multilingual model: one without .en in its name",
        )
    known = [library.whisper_lang_str(one) for one in range(library.whisper_lang_max_id() + 1)]
    option_values.one_of(model, {"language": language}, "language", "", known)


def _broken(model: str, path: Path, why: str) -> EngineFailed:
    return EngineFailed(
        f"stt: {model}: {path} is no whisper model that runs here: {why}",
        stage="stt", model=model, hint=f"if it was downloaded: locara models verify {model}, then pull it again",
    )  # fmt: skip


class WhisperCpp:
    """A loaded model. See `locara.engines.redecoding.Decoder`."""

    def __init__(
        self,
        library: Any,
        context: Any,
        header: ggml_whisper_file.GgmlWhisper,
        info: EngineInfo,
        settings: Settings,
        path: Path,
    ) -> None:
        self._library = library
        self._context = context
        self._english = header.english
        self._language = "en" if header.english else settings.common.language
        self._settings = settings
        kind = "English" if header.english else f"language: {self._language or 'the one it hears'}"
        self.info = replace(info, note=f"{path.name}, {kind}; {info.note}")

    def decode(self, samples: Samples, *, final: bool, stop: threading.Event) -> Decoded:
        """See the contract. The library asks whether to go on before and after the encoder and at each token: it stops after
        at most the encoder's time for the window."""
        first, second = whisper_judging.attempts(samples.size / RATE, whole_window=self._settings.whole_window)
        text, logprob = self._attempt(samples, *first, stop)
        doubtful = whisper_judging.doubtful(text, logprob)
        if doubtful and final:
            again, sure = self._attempt(samples, *second, stop)
            if not whisper_judging.doubtful(again, sure) or sure > logprob:
                text, logprob = again, sure
                doubtful = whisper_judging.doubtful(text, logprob)
        if doubtful:
            text = whisper_judging.unlooped(text)
        # Whether anybody spoke the binding does not tell; the library drops the text itself where it is sure of silence.
        return Decoded(text, whisper_judging.confidence(logprob, 0.0) if text else None, firm=not doubtful)

    def close(self) -> None:
        """Frees the weights. May be called twice."""
        context, self._context = self._context, None
        if context is not None:
            self._library.whisper_free(context)

    def _attempt(
        self, samples: Samples, positions: int, temperature: float, stop: threading.Event
    ) -> tuple[str, float]:
        """The text, and the mean logarithm of its tokens' probabilities."""
        if stop.is_set() or self._context is None:
            raise Stopped
        seconds = samples.size / RATE
        wanted = self._parameters(seconds, positions, temperature)
        self._library.assign_abort_callback(wanted, stop.is_set)
        lacking = round(_LEAST_SECONDS * RATE) - samples.size
        sound = np.concatenate([samples, silence(lacking)]) if lacking > 0 else np.ascontiguousarray(samples)
        failed = self._library.whisper_full(self._context, wanted, sound, sound.size)
        if stop.is_set():
            raise Stopped
        if failed:
            raise EngineFailed(
                f"stt: {self.info.model}: whisper.cpp failed with code {failed}",
                stage="stt", model=self.info.model, hint="the engine lives on; if it happens again, choose another model",
            )  # fmt: skip
        if not self._language and seconds >= _LANGUAGE_SECONDS:
            self._language = self._library.whisper_lang_str(self._library.whisper_full_lang_id(self._context))
            self.info = replace(self.info, note=f"{self.info.note}; heard {self._language}")
        return self._read()

    def _parameters(self, seconds: float, positions: int, temperature: float) -> Any:
        library = self._library
        wanted = library.whisper_full_default_params(library.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
        wanted.print_progress = wanted.print_realtime = wanted.print_special = wanted.print_timestamps = False
        wanted.translate = False
        wanted.no_context = wanted.single_segment = wanted.no_timestamps = True
        wanted.suppress_blank = wanted.suppress_nst = True
        wanted.n_threads = self._settings.common.threads
        wanted.audio_ctx = positions
        wanted.temperature = temperature
        wanted.temperature_inc = 0.0  # no ladder of its own: one second attempt, and that is ours
        wanted.language = self._language
        english = self._language == "en"
        wanted.max_tokens = whisper_judging.most_tokens(seconds, english=english)
        return wanted

    def _read(self) -> tuple[str, float]:
        library, context = self._library, self._context
        end = library.whisper_token_eot(context)
        raw, logarithms = b"", []
        for segment in range(library.whisper_full_n_segments(context)):
            raw += library.whisper_full_get_segment_text(context, segment)
            for token in range(library.whisper_full_n_tokens(context, segment)):
                if library.whisper_full_get_token_id(context, segment, token) <= end:
                    logarithms.append(math.log(max(1e-9, library.whisper_full_get_token_p(context, segment, token))))
        text = raw.decode("utf-8", errors="replace").strip()
        return text, sum(logarithms) / len(logarithms) if logarithms else 0.0
