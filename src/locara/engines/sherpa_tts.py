"""Text to speech by sherpa-onnx (Apache-2.0): Piper's voices (VITS), Kokoro, Kitten, Matcha, Pocket and Supertonic.

What may live here: the voice, its settings, and how a text goes through it. Files are told apart in `sherpa_voice_files`.
Since release 2.0 the library has no espeak-ng inside; voices that need phonemes get them from `phonemes`.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from locara.audio import Samples
from locara.engines import option_values, phonemes, sherpa_runtime, sherpa_voice_files
from locara.engines.called_back import CalledBack
from locara.engines.contracts import EngineInfo, Speech, Voice
from locara.engines.lane import Lane
from locara.engines.phonemes import Phonemiser
from locara.engines.sherpa_runtime import ENGINE, Folder
from locara.engines.sherpa_voice_files import SUPERTONIC_LANGUAGES, VoicePlan
from locara.errors import ConfigError, EngineFailed, LocaraError

MODELS = (ENGINE,)
"""And any name with ``engine="sherpa-onnx"`` and a ``path``: which voice it is, its files say."""

PROCESS = "own"
"""The library ends the process where a model is not what it expects: a check that fails calls exit, a graph that is broken
inside can do worse."""

_OPTIONS = ("engine", "path", "voice", "speed", "language", "threads", "provider", "precision", "steps", "deadline")
_LOAD_SECONDS = 120.0
_LONGEST_REFERENCE = 30.0
"""Seconds of a recording that a cloning voice is given. The library itself uses the first 10."""
_END_SECONDS = 2.0
"""How long `close` waits for the sentence that is being made; it then ends by itself, and unheard."""
_WARM = "Ready."
_TIE = "^"


@dataclass(frozen=True, slots=True)
class Settings:
    """``voice``: a speaker's name or number; for Pocket the recording (a WAV file) to sound like. ``speed``: 1 is the
    voice's own. ``language``: a code, where the voice has several. ``steps``: of denoising (Supertonic, Pocket).
    ``deadline``: seconds for one sentence."""

    path: Path | None = None
    voice: str = ""
    speed: float = 1.0
    language: str = ""
    threads: int = 1
    provider: str = "cpu"
    precision: str = "int8"
    steps: int = 5
    deadline: float = 60.0


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is not ours: it is if it is called ``sherpa-onnx``, or if the option ``engine``
    names us. Raises ``ConfigError``."""
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    return SherpaVoice(model or ENGINE, _settings(options))


def _settings(options: Mapping[str, Any]) -> Settings:
    option_values.known(ENGINE, options, _OPTIONS)
    voice = options.get("voice", "")
    return Settings(
        path=option_values.path(ENGINE, options),
        voice=str(voice) if type(voice) is int else option_values.text(ENGINE, options, "voice"),
        speed=option_values.number(ENGINE, options, "speed", 1.0, 0.25, 4.0),
        language=option_values.text(ENGINE, options, "language", "").strip().lower(),
        threads=option_values.whole(ENGINE, options, "threads", sherpa_runtime.default_threads(), 1, 64),
        provider=option_values.one_of(ENGINE, options, "provider", "cpu", sherpa_runtime.PROVIDERS),
        precision=option_values.one_of(ENGINE, options, "precision", "int8", sherpa_runtime.PRECISIONS),
        steps=option_values.whole(ENGINE, options, "steps", 5, 1, 100),
        deadline=option_values.number(ENGINE, options, "deadline", 60.0, 0.1, 3600.0),
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    native: Any
    library: Any
    plan: VoicePlan
    speaker: int
    language: str
    phonemiser: Phonemiser | None
    symbols: frozenset[str]
    reference: tuple[Samples, int] | None
    """The recording to sound like, and its rate."""


class SherpaVoice:
    """See `locara.engines.contracts.Voice`. It gives a sentence at a time (Pocket: a second), and no word times: the
    library has none."""

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._lane = Lane("sherpa-tts", stage="tts", model=model)
        self._loaded: _Loaded | None = None
        self._making: CalledBack[Samples] | None = None
        self._rate = 24_000

    @property
    def info(self) -> EngineInfo:
        """What it is, and once loaded which family and speaker."""
        loaded = self._loaded
        note: str = "" if loaded is None else loaded.plan.family
        if loaded is not None and len(loaded.plan.speakers) > 1:
            note += f", {loaded.plan.speakers[loaded.speaker]}"
        return EngineInfo(
            engine=ENGINE,
            model=self._model,
            licence="Apache-2.0 (the library; each voice has its own)",
            device=self._settings.provider,
            note=note,
        )

    @property
    def rate(self) -> int:
        """Hertz, the model's own; known after `load`."""
        return self._rate

    @property
    def language(self) -> str:
        """The language it speaks, empty if the files do not say it."""
        return self._loaded.language if self._loaded is not None else self._settings.language

    async def load(self) -> None:
        """Checks the files, loads them and speaks one word. Raises ``ModelMissing``, ``EngineMissing``, ``EngineFailed``,
        ``ConfigError`` for a speaker or language it has not, or ``EngineTimeout``."""
        await self._lane.run(self._load, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Ends its threads and the phonemes' program, and frees the weights."""
        loaded, self._loaded = self._loaded, None
        if self._making is not None:
            await asyncio.to_thread(self._making.close, _END_SECONDS)
        if loaded is not None and loaded.phonemiser is not None:
            loaded.phonemiser.kill()
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``. Closing the iterator stops it at the end of the sentence that is being made; nothing of
        that is given out any more. Raises ``EngineFailed`` or ``EngineTimeout``."""
        if self._loaded is None:
            raise sherpa_runtime.not_loaded("tts", self._model)
        if not text.strip():
            return
        loaded = self._loaded
        stream = self._lane.stream(
            lambda: self._start(loaded, text), deadline=self._settings.deadline, abandon=self._stop
        )
        async with aclosing(cast("AsyncGenerator[Samples, None]", stream)) as pieces:
            async for samples in pieces:
                yield Speech(samples)

    def _stop(self) -> None:
        if self._making is not None:
            self._making.stop()

    def _start(self, loaded: _Loaded, text: str) -> Iterator[Samples]:
        if self._making is not None:
            self._making.close()  # of a call that was cut off: the library is entered by one at a time
        self._making = CalledBack(lambda give: self._make(loaded, text, give), name="sherpa-tts-make")
        return self._making

    def _make(self, loaded: _Loaded, text: str, give: Callable[[Samples], bool]) -> None:
        """One call for each sentence, so that the first does not wait for the phonemes of all; inside of one, Pocket and
        others call back several times."""
        going, called = True, False

        def take(samples: Any, _progress: float) -> int:
            nonlocal going, called
            called = True
            # The library frees its samples when this returns.
            going = going and give(np.array(samples, np.float32))
            return int(going)

        try:
            # Half a surrogate pair cannot be handed over; a question mark stands in its place.
            for sentence in phonemes.sentences(text.encode("utf-8", "replace").decode()):
                settings = self._generation(loaded, sentence)
                if settings is None:
                    continue
                called = False
                made = loaded.native.generate(sentence, settings, take)
                if not called and len(made.samples):  # 2.0.1 calls back for all families but Kitten
                    take(made.samples, 1.0)
                if not going:
                    return
        except LocaraError:
            raise
        except Exception as error:  # what the native code throws is RuntimeError or IndexError
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise EngineFailed(
                f"tts: {self._model} failed: {said}", stage="tts", model=self._model,
                hint=f"locara models verify {self._model}, or choose another voice",
            ) from error  # fmt: skip

    def _generation(self, loaded: _Loaded, sentence: str) -> Any:
        """What the library is told for one sentence; None if there is nothing in it that can be said."""
        if not any(one.isalnum() for one in sentence):
            return None
        plan, chosen = loaded.plan, loaded.library.GenerationConfig()
        chosen.sid = loaded.speaker
        chosen.speed = self._settings.speed
        if plan.family in ("supertonic", "pocket"):
            chosen.num_steps = self._settings.steps
        if plan.family == "supertonic":
            chosen.extra = {"lang": loaded.language}
        if loaded.reference is not None:
            chosen.reference_audio, chosen.reference_sample_rate = loaded.reference
        if loaded.phonemiser is not None:
            misaki = plan.family == "kokoro" and int(plan.metadata.get("version") or 1) > 1
            said = loaded.phonemiser.phonemes([sentence], tie=_TIE if misaki else "")[0]
            if not said:
                return None
            spelt = phonemes.kokoro(said, loaded.language) if misaki else phonemes.piper(said)
            # What the voice has no token for is left out here, because the library says so on stderr for each.
            chosen.phoneme_codepoints = [[ord(one) for one in spelt if one in loaded.symbols]]
        return chosen

    def _load(self) -> None:
        settings = self._settings
        folder = Folder(settings.path, stage="tts", model=self._model)
        plan = folder.planned(
            lambda: sherpa_voice_files.plan(folder.names, folder.header, precision=settings.precision)
        )
        symbols = _check(folder, plan)
        speaker, language = _speaker(plan, settings, self._model), ""
        if plan.family != "pocket":
            language = _language(plan, plan.speakers[speaker] if plan.speakers else "", settings, self._model)
        reference = _reference(folder, settings) if plan.family == "pocket" else None
        library = sherpa_runtime.library("tts", self._model)
        with sherpa_runtime.quiet_threads(settings.provider, settings.threads) as provider:
            native = folder.built(lambda: library.OfflineTts(_config(library, plan, folder.path, settings, provider)))
        phonemiser = Phonemiser(language, stage="tts", model=self._model) if plan.phonemes else None
        loaded = _Loaded(native, library, plan, speaker, language or "en", phonemiser, symbols, reference)
        try:
            made: list[Samples] = []
            self._make(loaded, _WARM, lambda samples: not made.append(samples))  # type: ignore[func-returns-value]
            if not made:
                raise folder.failed(f"the voice in {folder.path} loads, but gives no sound")
        except BaseException:
            if phonemiser is not None:
                phonemiser.kill()
            raise
        self._rate = int(native.sample_rate)
        self._loaded = loaded


def _check(folder: Folder, plan: VoicePlan) -> frozenset[str]:
    """What would end the process inside the library. Returns the voice's symbols."""
    symbols: dict[str, int] = {}
    if "tokens" in plan.files:
        single = plan.phonemes
        symbols = folder.tokens(plan.files["tokens"], single=single)
        needed = ("_", "^", "$") if single and plan.family in ("vits", "matcha") else ()
        if missing := [one for one in needed if one not in symbols]:
            raise folder.failed(f"{folder.path / plan.files['tokens']} has no symbol {missing[0]!r}")
    wanted = folder.planned(lambda: sherpa_voice_files.styles(plan))
    if wanted is not None:
        name = plan.files["voices"]
        size = (folder.path / name).stat().st_size
        if size != wanted:
            raise folder.failed(
                f"{folder.path / name} has {size} bytes, {wanted} belong to {len(plan.speakers)} voices: it is cut off, "
                "or another model's"
            )
    return frozenset(symbols)


def _speaker(plan: VoicePlan, settings: Settings, model: str) -> int:
    """The number of the wanted speaker."""
    if not settings.voice or plan.family == "pocket":
        return 0
    if settings.voice in plan.speakers:
        return plan.speakers.index(settings.voice)
    count = len(plan.speakers)
    if settings.voice.isdecimal() and (not count or int(settings.voice) < count):
        return int(settings.voice)
    names = ", ".join(plan.speakers[:8]) + (f" and {count - 8} more" if count > 8 else "")
    raise ConfigError(
        f"{model} has no voice {settings.voice!r}",
        hint=f"it has {names}" if count > 1 else "it has one: leave voice out",
    )


def _language(plan: VoicePlan, speaker: str, settings: Settings, model: str) -> str:
    """The language it will speak. Raises ``ConfigError`` for one it cannot."""
    if plan.family == "supertonic":
        base = (settings.language or "en").split("-")[0]
        if base not in SUPERTONIC_LANGUAGES:
            raise ConfigError(
                f"{model} does not speak {settings.language!r}", hint=f"it speaks {', '.join(SUPERTONIC_LANGUAGES)}"
            )
        return base
    own = sherpa_voice_files.language(plan, speaker)
    wanted = settings.language or own
    if plan.phonemes and wanted.split("-")[0] in ("zh", "cmn", "ja"):
        raise ConfigError(
            f"{model}: its {wanted} needs another way to phonemes, which this engine has not",
            hint="choose a voice of another language",
        )
    return wanted or "en-us"


def _reference(folder: Folder, settings: Settings) -> tuple[Samples, int]:
    """The recording to sound like: the option ``voice``, else the first WAV file of the folder."""
    own = [name for name in folder.names if name.lower().endswith(".wav")]
    if settings.voice:
        path = Path(settings.voice).expanduser()
        path = path if path.is_file() else folder.path / settings.voice
    elif own:
        path = folder.path / own[0]
    else:
        raise ConfigError(
            f"{folder.model} speaks in the voice of a recording, and none is named",
            hint="voice=... names a WAV file with some seconds of one voice",
        )
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise ConfigError(f"{path} has {8 * file.getsampwidth()} bits a sample", hint="save it with 16 bits")
            rate, channels = file.getframerate(), file.getnchannels()
            sound = file.readframes(int(_LONGEST_REFERENCE * rate))
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigError(f"{path} cannot be read as a WAV file: {error}", hint="name another recording") from error
    samples = np.frombuffer(sound, "<i2").astype(np.float32).reshape(-1, channels).mean(axis=1) / 32768.0
    if samples.size < rate:
        raise ConfigError(f"{path} is shorter than a second", hint="some seconds of one voice are needed")
    return samples.astype(np.float32), rate


def _config(library: Any, plan: VoicePlan, folder: Path, settings: Settings, provider: str) -> Any:
    """The library's own settings for this family."""
    files = {role: str(folder / name) for role, name in plan.files.items()}
    lexicon = ",".join(str(folder / name) for name in plan.lexicons) if not plan.phonemes else ""
    match plan.family:
        case "vits":
            family = {"vits": library.OfflineTtsVitsModelConfig(**files, lexicon=lexicon)}
        case "kokoro":
            family = {"kokoro": library.OfflineTtsKokoroModelConfig(**files, lexicon=lexicon)}
        case "kitten":
            family = {"kitten": library.OfflineTtsKittenModelConfig(**files)}
        case "matcha":
            own = {"acoustic_model": files["model"], "vocoder": files.get("vocoder", ""), "tokens": files["tokens"]}
            family = {"matcha": library.OfflineTtsMatchaModelConfig(**own, lexicon=lexicon)}
        case "pocket":
            files["vocab_json"], files["token_scores_json"] = files.pop("vocab"), files.pop("token_scores")
            family = {"pocket": library.OfflineTtsPocketModelConfig(**files)}
        case "supertonic":
            files["tts_json"], files["voice_style"] = files.pop("tts"), files.pop("voice")
            family = {"supertonic": library.OfflineTtsSupertonicModelConfig(**files)}
    model = library.OfflineTtsModelConfig(**family, num_threads=settings.threads, provider=provider)
    config = library.OfflineTtsConfig(model=model, max_num_sentences=1)
    if not config.validate():
        raise RuntimeError("it refuses these files")
    return config
