"""Names in, a session out: the one place that builds. Everything that can be wrong with the names is said here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from locara.consent import apps
from locara.consent.access import Access
from locara.devices.contracts import Sink, Source
from locara.engines import registry
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import (
    Detector,
    Engine,
    Kind,
    LanguageModel,
    Recogniser,
    Tool,
    TurnDetector,
    Voice,
)
from locara.errors import ConfigError, EngineMissing, ModelMissing
from locara.gate import opening
from locara.manifest.values import Manifest
from locara.offline import forbid_network
from locara.voice import tools as tooling
from locara.voice.attention_setting import Setting, understood
from locara.voice.brain import Brain, Deadlines, usual_deadlines
from locara.voice.conversation import Session
from locara.voice.declaring import Declared
from locara.voice.duplex import DuplexBrain
from locara.voice.endings import PATIENCE
from locara.voice.falling_back import FallingBack
from locara.voice.half_cascade import HalfCascadeBrain
from locara.voice.history import HISTORY_CHARACTERS, LEAST_CHARACTERS
from locara.voice.lending import Lent, lent
from locara.voice.loop import Parts
from locara.voice.misheard import AUTO, as_setting
from locara.voice.not_had import NotHad, model_named
from locara.voice.omni import HalfDuplexBrain
from locara.voice.omni_stage import PIPELINE, OmniStage, of_session
from locara.voice.pipeline import PipelineBrain
from locara.voice.state import Rules

Stage = str | Mapping[str, Any] | Engine | Lent | None
"""How a stage is named: a model's name, ``{"model": ..., other options}``, an engine object, or None for the default."""

DEFAULTS: dict[Kind, str] = {
    "vad": "silero",
    "turn": "prosody",
    "stt": "pocketsphinx",
    "llm": "auto",
    "tts": "espeak-ng",
}
"""What works offline from the installation alone."""

SYSTEM = (
    "You are a voice assistant. What you write is spoken aloud: answer in one or two short sentences, in plain words, "
    "without lists, headings, code or emoji. If the user's words make no sense, they were probably misheard: ask."
)
"""What a language model is told if the app tells it nothing."""


def session(
    *,
    stt: Stage = None,
    llm: Stage = None,
    tts: Stage = None,
    omni: Stage = None,
    vad: Stage = None,
    turn_detection: Stage = None,
    tools: Sequence[Callable[..., Any] | Tool] = (),
    input: str | os.PathLike[str] | Source = "default",  # noqa: A002  the contract names it so
    output: str | os.PathLike[str] | Sink = "default",
    patience: Literal["quick", "normal", "patient"] = "normal",
    attention: Setting = "open",
    idle: float | None = None,
    idle_prompt: str | None = None,
    not_understood: str | None = AUTO,
    echo: Literal["auto", "headphones", "cancel", "half-duplex"] = "auto",
    noise_suppression: bool = False,
    gain_control: bool = False,
    deadlines: Deadlines | None = None,
    end_with_input: bool = False,
    language: str | None = None,
    recommended: bool = False,
    manifest: Manifest | str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Session:
    """A conversation, not started yet: use it with ``async with``.

    ``stt``, ``llm``, ``tts``, ``vad``, ``omni``: a model's name, ``{"model": name, ...}`` with options (``llm`` takes
    ``system``, ``url``, ``history``, how many characters of the conversation it is given, and ``audio_input``: the model
    hears the user itself, without an ``stt``), or an engine object. ``omni`` takes ``instructions`` and ``voice``, as far as
    the model does; an ``stt`` beside it hears the same and gives the user's words. What is left out is the best of what is
    on this machine and fits it, else what works from the installation alone; for ``llm``, a model server that already runs
    comes first. ``recommended``: what is left out is the best that fits, and ``ModelMissing`` says what to pull.
    ``language``: a code such as ``de``, for what is chosen so.
    ``turn_detection``: the end-of-turn model, ``"silence"`` for none (words and silence then decide alone).
    ``tools``: plain callables with type hints; one with side effects (the default) runs only for a turn that is decided.
    ``input``, ``output``: ``"default"``, a device's name or a part of it, the path of a WAV file, ``"push"`` (see
    ``push_audio``), ``"none"``, or a source or sink object.
    ``patience``: how long a pause may be before the turn is over.
    ``attention``: ``"open"``; ``"push-to-talk"``: only the key opens a turn; ``"wake-word"``: voice does, after the word,
    and for some seconds after an exchange. ``{"mode": "wake-word", "word": "hey jarvis", "follow_up": 8.0}`` says which
    word and how many seconds; ``threshold`` and ``engine`` are more options.
    ``idle``: after so many seconds without a sound of either side there is a ``user-idle`` event, and ``idle_prompt``, if
    there is one, is said: once, until the user speaks again.
    ``not_understood``: what is said to somebody who surely spoke to us and of whom no word was found: once, until a turn is
    answered. ``"auto"``: "Sorry, I didn't catch that." in the voice's language. None: nothing.
    ``echo``: ``"cancel"`` listens while it speaks and takes its own voice out of what it hears; ``"headphones"`` listens
    and expects no echo; ``"half-duplex"`` does not listen while it speaks; ``"auto"`` cancels for a microphone and a
    speaker of this machine, and expects no echo elsewhere.
    ``noise_suppression``, ``gain_control``: less noise, and one level, for the recogniser; decisions never hear them.
    ``end_with_input``: ends when a recording has ended and everything is said.
    ``manifest``: which app this is, as its ``locara.toml`` says: left out, ``LOCARA_MANIFEST``, else the nearest one above
    the running program. With one, a model that it does not declare does not load; a microphone or a speaker of this machine
    is opened only where a person has granted it, with or without one.
    ``offline``: promises that this whole process, from here to its end, connects to nothing but this machine; see
    `locara.offline.forbid_network`, also for what listens or connects on this machine. A manifest may promise it, too.

    Raises ``ConfigError``, ``EngineMissing``, ``ManifestError`` and ``ModelNotDeclared`` here, ``CapabilityDenied``,
    ``ConsentError``, ``StageError`` and ``DeviceError`` from ``start()``.
    """
    if patience not in PATIENCE:
        raise ConfigError(f"patience={patience!r} is not known", hint='use "quick", "normal" or "patient"')
    if echo not in ("auto", "headphones", "cancel", "half-duplex"):
        raise ConfigError(f"echo={echo!r} is not known", hint='use "auto", "headphones", "cancel" or "half-duplex"')
    app = apps.this_app(manifest)
    if offline or app.offline:
        forbid_network()
    deadlines = deadlines or usual_deadlines(omni=omni is not None)
    declared = Declared(app)
    declared.word(attention)
    attending = understood(attention, idle, idle_prompt)
    why: dict[str, str] = {"wake": attending.why}
    chosen: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    omni, vad, turn_detection = declared.omni(omni), declared.stage("vad", vad), declared.stage("turn", turn_detection)
    if omni is None:
        stt, llm, tts = declared.stage("stt", stt), declared.stage("llm", llm), declared.stage("tts", tts)
    elif stt is not None or app.variant == "omni":
        stt = declared.stage("stt", stt)
    if omni is None and not declared.strict:
        from locara.voice import choosing

        unnamed: dict[str, Stage] = {"stt": stt, "llm": llm, "tts": tts}
        if isinstance(llm, Mapping) and llm.get("audio_input"):
            del unnamed["stt"]  # the model hears by itself
        chosen, reasons = choosing.unnamed(unnamed, language=language, recommended=recommended)
    stt, llm, tts = chosen.get("stt", stt), chosen.get("llm", llm), chosen.get("tts", tts)
    source, own_microphone = _source(input)
    hears = isinstance(llm, Mapping) and bool(llm.get("audio_input"))
    if stt is None and omni is None and own_microphone and not hears:
        # The default recogniser remembers how this microphone sounds: its first words are then understood like later ones.
        stt = {"device": source.name}
    loans = lent(stt, llm, tts, omni, vad, turn_detection)
    brain = _brain(stt, llm, tts, omni, tools, deadlines, why)
    stands_in = of_session(omni, ()).fallback
    if stands_in is not None:
        make = _pipeline(stands_in, declared, language, tools, deadlines, why)
        brain = FallingBack(brain, make, deadlines, is_lent=lambda one: any(one is other for other in loans))
    why.update(reasons)
    sink, own_speaker = _sink(output)
    led = brain.lead == "model" and stands_in is None
    return Session(
        Parts(
            brain=brain,
            detector=cast(Detector, _engine("vad", vad, why)),
            source=source,
            sink=sink,
            turn=None if led else _turn_detector(turn_detection, why),
            rules=Rules(
                patience=PATIENCE[patience],
                open_mic=attending.mode != "push-to-talk",
                follow_up=attending.follow_up,
                idle=attending.idle,
                idle_prompt=attending.idle_prompt,
                not_understood=as_setting(not_understood),
            ),
            wake=attending.wake,
            half_duplex=echo == "half-duplex",
            cancel_echo=echo == "cancel" or (echo == "auto" and own_microphone and own_speaker),
            noise_suppression=noise_suppression,
            gain_control=gain_control,
            microphone=own_microphone,
            why=why,
            deadlines=deadlines,
            end_with_input=end_with_input,
            history_characters=_history_characters(llm),
            make=lambda kind, stage, why: _engine(kind, declared.stage(kind, stage), why),
            grant=Access(app),
            lent=loans,
        )
    )


def _history_characters(llm: Stage) -> int:
    wanted = llm.get("history", HISTORY_CHARACTERS) if isinstance(llm, Mapping) else HISTORY_CHARACTERS
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < LEAST_CHARACTERS:
        raise ConfigError(
            f'llm={{"history": {wanted!r}}}: how many characters of the conversation the model is given',
            hint=f"a whole number of at least {LEAST_CHARACTERS}; a token is about four characters",
        )
    return wanted


def _brain(
    stt: Stage,
    llm: Stage,
    tts: Stage,
    omni: Stage,
    tools: Sequence[Callable[..., Any] | Tool],
    deadlines: Deadlines,
    why: dict[str, str],
) -> Brain:
    if omni is not None:
        told = of_session(omni, tuple(tooling.as_tool(one) for one in tools))
        return _omni_brain(stt, llm, tts, told, deadlines, why)
    system = str(llm.get("system", SYSTEM)) if isinstance(llm, Mapping) else SYSTEM
    if isinstance(llm, Mapping) and llm.get("audio_input"):
        if stt is not None:
            raise ConfigError("with audio_input the model hears by itself", hint="leave stt= out, or audio_input")
        return HalfCascadeBrain(
            cast(LanguageModel, _engine("llm", llm, why)),
            cast(Voice, _engine("tts", tts, why)),
            system=system,
            tools=tuple(tooling.as_tool(one) for one in tools),
            deadlines=deadlines,
        )
    return PipelineBrain(
        cast(Recogniser, _engine("stt", stt, why)),
        cast(LanguageModel, _engine("llm", llm, why)),
        cast(Voice, _engine("tts", tts, why)),
        system=system,
        tools=tuple(tooling.as_tool(one) for one in tools),
        deadlines=deadlines,
    )


def _omni_brain(
    stt: Stage, llm: Stage, tts: Stage, omni: OmniStage, deadlines: Deadlines, why: dict[str, str]
) -> Brain:
    """``stt`` beside it: a recogniser that hears the same, for the user's words."""
    if llm is not None or tts is not None:
        raise ConfigError(
            "omni= is one model that thinks and speaks",
            hint="leave llm= and tts= out, or leave omni= out; an stt= beside it gives the user's words",
        )
    try:
        backend = cast(VoiceBackend, _engine("omni", omni.stage, why))
    except (EngineMissing, ModelMissing) as error:
        if omni.fallback is None:
            raise
        backend = NotHad(model_named(omni.stage), error)
    side = None if stt is None else cast(Recogniser, _engine("stt", stt, why))
    can = backend.capabilities
    if can.duplex == "full" or can.turn_owner != "locara":
        return DuplexBrain(backend, side=side, settings=omni.settings, deadlines=deadlines)
    return HalfDuplexBrain(backend, side, settings=omni.settings, deadlines=deadlines)


def _pipeline(
    named: Mapping[str, Any],
    declared: Declared,
    language: str | None,
    tools: Sequence[Callable[..., Any] | Tool],
    deadlines: Deadlines,
    why: dict[str, str],
) -> Callable[[], Brain]:
    """What stands in for a model that cannot be had; looked for only when it is needed."""
    stages: dict[str, Any] = {kind: declared.stage(kind, named.get(kind)) for kind in PIPELINE}

    def made() -> Brain:
        from locara.voice import choosing

        found = {} if declared.strict else choosing.unnamed(stages, language=language)[0]
        stt, llm, tts = (found.get(kind, stages[kind]) for kind in PIPELINE)
        return _brain(stt, llm, tts, None, tools, deadlines, why)

    return made


def _turn_detector(stage: Stage, why: dict[str, str]) -> TurnDetector | None:
    if stage == "silence":
        return None
    return cast(TurnDetector, _engine("turn", stage, why))


def engine_for(kind: Kind, stage: Stage) -> Engine:
    """One engine, not loaded, for ``stage`` named as in `session`. Raises ``ConfigError``, ``EngineMissing`` and
    ``ModelMissing``."""
    return _engine(kind, stage, {})


def _engine(kind: Kind, stage: Stage, why: dict[str, str]) -> Engine:
    from locara.voice import naming

    if stage is None:
        why[kind] = "works offline from the installation alone" if kind != "llm" else ""
        return registry.create(kind, DEFAULTS[kind], {})
    if isinstance(stage, str):
        why[kind] = "asked for by name"
        return naming.named(kind, stage, {})
    if isinstance(stage, Mapping):
        options = dict(stage)
        model = options.pop("model", "")
        options.pop("system", None)
        if not options.get("audio_input"):
            options.pop("audio_input", None)  # for the engine too: a server says whether its model takes sound
        if kind == "llm":
            options.pop("history", None)
        if isinstance(model, Lent) or (hasattr(model, "load") and hasattr(model, "info")):
            return _given(kind, cast(Engine | Lent, model), why)
        if not isinstance(model, str):
            raise ConfigError(f'{kind}={{"model": {model!r}}}: a model is named by a string', hint="see `plan`")
        why[kind] = "asked for by name" if model else "the default of this stage"
        return naming.named(kind, model or DEFAULTS.get(kind, ""), options)
    if not isinstance(stage, Lent) and not (hasattr(stage, "load") and hasattr(stage, "info")):
        raise ConfigError(
            f"{kind}={stage!r} is no engine",
            hint='give a model\'s name, {"model": name, ...} or an object that keeps locara.engines.contracts',
        )
    return _given(kind, stage, why)


def _given(kind: Kind, engine: Engine | Lent, why: dict[str, str]) -> Engine:
    """An object instead of a name."""
    if isinstance(engine, Lent):
        why[kind] = engine.why
        return engine.engine
    why[kind] = "given by the app"
    return engine


_SOUND_FILES = frozenset({".wav", ".wave", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif"})


def is_file(name: str) -> bool:
    """Whether a name means a sound file, not a device. Other formats than WAV are then refused by their right name."""
    return Path(name).suffix.lower() in _SOUND_FILES


def _source(wanted: str | os.PathLike[str] | Source) -> tuple[Source, bool]:
    """The source, and whether it is a microphone of this machine."""
    if isinstance(wanted, os.PathLike) or (isinstance(wanted, str) and is_file(wanted)):
        from locara.devices.wav import WavSource

        return WavSource(Path(wanted)), False
    if isinstance(wanted, str):
        from locara.devices.null import SilentSource
        from locara.devices.pushed import PushedSource

        if wanted == "push":
            return PushedSource(), False
        if wanted == "none":
            return SilentSource(), False
        return opening.microphone(wanted), True
    if not hasattr(wanted, "blocks"):
        raise ConfigError(f"input={wanted!r} is no source", hint="see locara.devices.contracts.Source")
    return wanted, False


def _sink(wanted: str | os.PathLike[str] | Sink) -> tuple[Sink, bool]:
    """The sink, and whether it is a speaker of this machine."""
    if isinstance(wanted, os.PathLike) or (isinstance(wanted, str) and is_file(wanted)):
        from locara.devices.wav import WavSink

        if Path(wanted).suffix.lower() not in (".wav", ".wave"):
            raise ConfigError(
                f"output={str(wanted)!r}: only WAV files are written", hint="give it a name ending in .wav"
            )
        return WavSink(Path(wanted)), False
    if isinstance(wanted, str):
        from locara.devices.null import NullSink

        if wanted == "none":
            return NullSink(), False
        return opening.speaker(wanted), True
    if not hasattr(wanted, "advance"):
        raise ConfigError(f"output={wanted!r} is no sink", hint="see locara.devices.contracts.Sink")
    return wanted, False
