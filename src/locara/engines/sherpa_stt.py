"""Speech to text by sherpa-onnx (Apache-2.0): streaming zipformer, paraformer and NeMo models, and whisper, moonshine,
parakeet, SenseVoice, paraformer, Canary and Qwen3-ASR, which hear a whole turn at once.

What may live here: the recogniser, its settings, and how a turn goes through either kind of model. Files are told apart
in `sherpa_files`; when a whole-turn model decodes again is decided in `repeated`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from locara.audio import RATE, Samples
from locara.engines import option_values, sherpa_files, sherpa_runtime
from locara.engines.contracts import EngineInfo, Recogniser, Recognition, Transcript
from locara.engines.lane import Lane
from locara.engines.repeated import Pace, cut
from locara.engines.sherpa_files import Family, Plan
from locara.engines.sherpa_runtime import ENGINE, Folder
from locara.errors import ConfigError, EngineFailed, LocaraError

T = TypeVar("T")

MODELS = (ENGINE,)
"""And any name with ``engine="sherpa-onnx"`` and a ``path``: which model it is, its files say."""

PROCESS = "own"
"""The library ends the process where a model is not what it expects: a check that fails calls exit, a graph that is broken
inside can do worse."""

_OPTIONS = ("engine", "path", "language", "threads", "provider", "precision", "partials", "deadline")
_LOAD_SECONDS = 120.0
"""Deadline of loading: 650 MB from a slow disk, and one inference."""
_LATE_FRAMES = 30
"""Frames of 10 ms that a streaming transducer is given beyond the last sound, because it was trained to say a token some
time after it was heard. sherpa-onnx's own examples append 0.3 to 0.66 s of silence."""
_SHORTEST = RATE // 2
"""Samples. Shorter sound is filled up with silence: the first layers of a whole-turn model need some."""
_WHOLE_SECONDS = 26.0
"""Of a turn that a whole-turn model is given at once. Whisper drops what is past 29.5 s (its
``offline-recognizer-whisper-impl.h``), and the cost of attention grows with the square of it. A longer turn is cut."""
_CUT_SECONDS = 8.0
"""The last part of those in which the cut is looked for."""
_WITHOUT_SPACES = frozenset("zh ja yue th".split())


@dataclass(frozen=True, slots=True)
class Settings:
    """``language``: a code such as ``en``; empty leaves it to the model. ``partials``: whether a whole-turn model decodes
    a turn again while it goes on. ``deadline``: seconds for one call; the conversation has its own, shorter ones."""

    path: Path | None = None
    language: str = ""
    threads: int = 1
    provider: str = "cpu"
    precision: str = "int8"
    partials: bool = True
    deadline: float = 60.0


def create(model: str, options: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser, or None when ``model`` is not ours: it is if it is called ``sherpa-onnx``, or if the option
    ``engine`` names us. Raises ``ConfigError``."""
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    return SherpaRecogniser(model or ENGINE, _settings(options))


def _settings(options: Mapping[str, Any]) -> Settings:
    option_values.known(ENGINE, options, _OPTIONS)
    partials = options.get("partials", True)
    if not isinstance(partials, bool):
        raise ConfigError(f"{ENGINE}: partials is {partials!r}", hint="it must be True or False")
    return Settings(
        path=option_values.path(ENGINE, options),
        language=option_values.text(ENGINE, options, "language", "").strip(),
        threads=option_values.whole(ENGINE, options, "threads", sherpa_runtime.default_threads(), 1, 64),
        provider=option_values.one_of(ENGINE, options, "provider", "cpu", sherpa_runtime.PROVIDERS),
        precision=option_values.one_of(ENGINE, options, "precision", "int8", sherpa_runtime.PRECISIONS),
        partials=partials,
        deadline=option_values.number(ENGINE, options, "deadline", 60.0, 0.1, 3600.0),
    )


class SherpaRecogniser:
    """See `locara.engines.contracts.Recogniser`."""

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._lane = Lane("sherpa-stt", stage="stt", model=model)
        self._native: Any = None
        self._plan: Plan | None = None
        self._language = ""

    @property
    def info(self) -> EngineInfo:
        """What it is, and once loaded which family of models."""
        return EngineInfo(
            engine=ENGINE,
            model=self._model,
            licence="Apache-2.0 (the library; each model has its own)",
            device=self._settings.provider,
            streaming=self._plan is None or self._plan.streaming,
            note="" if self._plan is None else self._plan.family,
        )

    async def load(self) -> None:
        """Checks the files, loads them and recognises half a second of silence. Raises ``ModelMissing``,
        ``EngineMissing``, ``EngineFailed``, ``ConfigError`` for a language it has not, or ``EngineTimeout``."""
        await self._lane.run(self._load, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Ends its thread and frees the weights."""
        self._lane.close()
        self._native = None

    def open(self) -> Recognition:
        """A new recognition. Raises ``EngineFailed`` before `load`."""
        if self._native is None or self._plan is None:
            raise sherpa_runtime.not_loaded("stt", self._model)
        way = _Streaming if self._plan.streaming else _Whole
        turn = way(self._native, self._plan, self._settings, self._language)
        return _Recognition(self._lane, turn, self._settings, self._model)

    def _load(self) -> None:
        folder = Folder(self._settings.path, stage="stt", model=self._model)
        plan = folder.planned(
            lambda: sherpa_files.plan(folder.names, folder.header, precision=self._settings.precision)
        )
        if "tokens" in plan.files:
            symbols = folder.tokens(plan.files["tokens"])
            folder.planned(lambda: sherpa_files.check_symbols(plan, symbols))
        language = _language(self._settings.language, plan, self._model)
        sherpa = sherpa_runtime.library("stt", self._model)
        native = folder.built(lambda: _native(sherpa, plan, folder.path, self._settings, language))
        way = (_Streaming if plan.streaming else _Whole)(native, plan, self._settings, language)
        folder.built(lambda: (way.feed(np.zeros(_SHORTEST, np.float32), _never), way.finish(_never)))
        self._native, self._plan, self._language = native, plan, language


_never = threading.Event()


def _language(wanted: str, plan: Plan, model: str) -> str:
    known = sherpa_files.languages(plan)
    if not wanted:
        return "en" if plan.family == "canary" else ""
    if known is None or wanted in known:
        return wanted
    base = wanted.lower().split("-")[0].split("_")[0]
    if base in known:
        return base
    if not known:
        raise ConfigError(
            f"{model} ({plan.family}) takes no language: it has one, or finds it out", hint="leave language out"
        )
    raise ConfigError(f"{model} ({plan.family}) does not know the language {wanted!r}", hint=_listed(known))


def _listed(codes: Iterable[str]) -> str:
    shown = sorted(codes)
    return f"it knows {', '.join(shown[:12])}" + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


_MADE_BY: Mapping[Family, str] = {
    "zipformer-transducer": "from_transducer",
    "nemo-streaming-transducer": "from_transducer",
    "parakeet-unified": "from_transducer",
    "streaming-paraformer": "from_paraformer",
    "zipformer-streaming-ctc": "from_zipformer2_ctc",
    "nemo-streaming-ctc": "from_nemo_ctc",
    "whisper": "from_whisper",
    "moonshine": "from_moonshine",
    "moonshine-v2": "from_moonshine_v2",
    "nemo-transducer": "from_transducer",
    "transducer": "from_transducer",
    "sense-voice": "from_sense_voice",
    "paraformer": "from_paraformer",
    "qwen3-asr": "from_qwen3_asr",
    "canary": "from_nemo_canary",
    "nemo-ctc": "from_nemo_ctc",
    "zipformer-ctc": "from_zipformer_ctc",
}
_CALLED_OTHERWISE = {("moonshine-v2", "merged_decoder"): "decoder", ("paraformer", "model"): "paraformer"}
"""(Family, our role of a file) -> the library's name for it, where the two differ."""


def _native(sherpa: Any, plan: Plan, folder: Path, settings: Settings, language: str) -> Any:
    """The library's recogniser for this family."""
    files = {_CALLED_OTHERWISE.get((plan.family, role), role): str(folder / name) for role, name in plan.files.items()}
    more: dict[str, Any] = {}
    if plan.family == "zipformer-transducer":  # with the kind named, the library need not load the file twice
        more["model_type"] = plan.metadata.get("model_type", "")
    elif plan.family == "nemo-transducer":
        more["model_type"] = "nemo_transducer"
    elif plan.family == "whisper":
        more["language"] = language
    elif plan.family == "sense-voice":
        more.update(language=language or "auto", use_itn=True)
    elif plan.family == "canary":
        more.update(src_lang=language, tgt_lang=language)
    make = getattr(sherpa.OnlineRecognizer if plan.streaming else sherpa.OfflineRecognizer, _MADE_BY[plan.family])
    with sherpa_runtime.quiet_threads(settings.provider, settings.threads) as provider:
        return make(**files, **more, num_threads=settings.threads, provider=provider)


class _Recognition:
    """See `locara.engines.contracts.Recognition`. The work is done on the engine's lane."""

    def __init__(self, lane: Lane, way: _Streaming | _Whole, settings: Settings, model: str) -> None:
        self._lane = lane
        self._way: _Streaming | _Whole | None = way
        self._model = model
        self._deadline = settings.deadline
        self._said = ""

    async def push(self, samples: Samples) -> str | None:
        """The next samples (float32, 16 kHz). Returns the text so far when it has changed. A streaming model takes all
        steps it can; a whole-turn model decodes again if it is time to."""
        way, stop = self._open(), threading.Event()
        text = await self._lane.run(
            lambda: self._done(lambda: way.feed(samples, stop)), deadline=self._deadline, abandon=stop.set
        )
        if text is None or text == self._said:
            return None
        self._said = text
        return text

    async def settle(self) -> Transcript:
        """The transcript of everything pushed. Raises ``EngineFailed`` or ``EngineTimeout``."""
        way, stop = self._open(), threading.Event()
        got = await self._lane.run(
            lambda: self._done(lambda: way.finish(stop)), deadline=self._deadline, abandon=stop.set
        )
        self._said = got.text
        return got

    async def close(self) -> None:
        """Lets go of what it holds; a call that is still on the lane holds it until it returns."""
        self._way = None

    def _done(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except LocaraError:
            raise
        except Exception as error:  # what the native code throws is RuntimeError or IndexError
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise EngineFailed(
                f"stt: {self._model} failed: {said}", stage="stt", model=self._model,
                hint=f"locara models verify {self._model}, or choose another model",
            ) from error  # fmt: skip

    def _open(self) -> _Streaming | _Whole:
        if self._way is None:
            raise EngineFailed("stt: this recognition is closed", stage="stt", model=self._model, hint="open a new one")
        return self._way


class _Streaming:
    """A turn through a model that keeps a state: sound goes in as it comes.

    To settle, it is given just as much silence as makes it take the last real sound; the stream is not ended by that, so
    when the user goes on, the model hears both parts with a pause between them, which is what happened.
    """

    def __init__(self, native: Any, plan: Plan, settings: Settings, language: str) -> None:
        self._native = native
        self._window, self._shift = sherpa_files.frames(plan)
        self._stream = native.create_stream()
        if language:
            self._stream.set_option("language", language)
        self._heard = 0  # samples, silence of ours included
        self._fresh = False

    def feed(self, samples: Samples, stop: threading.Event) -> str | None:
        """The text so far."""
        if samples.size == 0:
            return None
        self._fresh = True
        self._take(samples, stop)
        return self._text()

    def finish(self, stop: threading.Event) -> Transcript:
        """The text of everything that was heard."""
        if self._fresh:
            frames = -(-self._heard // (RATE // 100))
            silence = sherpa_files.tail(frames, self._window, self._shift, _LATE_FRAMES) + 3
            self._take(np.zeros(silence * (RATE // 100), np.float32), stop)
            self._fresh = stop.is_set()
        if stop.is_set():  # nobody waits for this any longer
            return Transcript("")
        return Transcript(self._text(), confidence(self._native.ys_probs(self._stream)))

    def _take(self, samples: Samples, stop: threading.Event) -> None:
        """A second after the other, so that a call nobody waits for ends soon also when it brought an hour."""
        stream = self._stream
        for at in range(0, samples.size, RATE):
            if stop.is_set():
                return
            piece = np.ascontiguousarray(samples[at : at + RATE], np.float32)
            stream.accept_waveform(RATE, piece)
            self._heard += piece.size
            while not stop.is_set() and self._native.is_ready(stream):
                self._native.decode_stream(stream)

    def _text(self) -> str:
        return tidy(self._native.get_result(self._stream))


class _Whole:
    """A turn through a model that hears it all at once: decoded again and again while it goes on, as the pace allows.

    What is older than `_WHOLE_SECONDS` is decoded once more, up to a quiet place, and then kept as text.
    """

    def __init__(self, native: Any, plan: Plan, settings: Settings, language: str) -> None:
        self._native = native
        self._partials = settings.partials
        self._join = "" if language in _WITHOUT_SPACES else " "
        self._pace = Pace()
        self._parts: list[Samples] = []
        self._size = 0
        self._decoded = 0  # samples of the open part that the last text covers
        self._done: list[Transcript] = []
        self._last = Transcript("")

    def feed(self, samples: Samples, stop: threading.Event) -> str | None:
        """The text so far if it was decoded again, else None."""
        if samples.size:
            self._parts.append(np.array(samples, np.float32))
            self._size += samples.size
        while self._size > _WHOLE_SECONDS * RATE and not stop.is_set():
            self._keep()
        if not self._partials or not self._pace.due(self._size - self._decoded) or stop.is_set():
            return None
        self._decode()
        return self._joined().text

    def finish(self, stop: threading.Event) -> Transcript:
        """The text of everything that was heard."""
        if stop.is_set():  # nobody waits for this any longer
            return Transcript("")
        if self._decoded < self._size:
            self._decode()
        return self._joined()

    def _decode(self) -> None:
        began = time.perf_counter()
        self._last = self._heard(self._samples())
        self._decoded = self._size
        self._pace.took(time.perf_counter() - began)

    def _keep(self) -> None:
        samples = self._samples()
        most = int(_WHOLE_SECONDS * RATE)
        at = cut(samples, most - int(_CUT_SECONDS * RATE), most)
        self._done.append(self._heard(samples[:at]))
        self._parts, self._size = [samples[at:]], samples.size - at
        self._decoded, self._last = 0, Transcript("")
        self._pace.begin()

    def _samples(self) -> Samples:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0] if self._parts else np.zeros(0, np.float32)

    def _heard(self, samples: Samples) -> Transcript:
        if samples.size < _SHORTEST:
            samples = np.concatenate((samples, np.zeros(_SHORTEST - samples.size, np.float32)))
        stream = self._native.create_stream()
        stream.accept_waveform(RATE, samples)
        self._native.decode_stream(stream)
        result = stream.result
        return Transcript(tidy(result.text), confidence(result.ys_log_probs))

    def _joined(self) -> Transcript:
        parts = [one for one in (*self._done, self._last) if one.text]
        known = [one.confidence for one in parts if one.confidence is not None]
        return Transcript(self._join.join(one.text for one in parts), min(known) if known else None)


def confidence(log_probabilities: Iterable[float]) -> float | None:
    """The geometric mean of the tokens' probabilities, None where the model gives none."""
    values = [float(one) for one in log_probabilities]
    return math.exp(min(0.0, sum(values) / len(values))) if values else None


def tidy(text: str) -> str:
    """Without the spaces around it, and without what a broken multi-byte token leaves."""
    return " ".join(text.replace("�", "").split())
