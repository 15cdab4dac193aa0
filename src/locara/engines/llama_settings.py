"""The options of the llama.cpp engine, understood and checked, and the file they mean.

What may live here: `Settings` and the way to them from what a person wrote, and the checks of the file before anything is
loaded. The library is not touched here.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.engines.free_memory import free_memory
from locara.engines.gguf import GgufError, Header, check_whole, read
from locara.errors import ConfigError, EngineFailed, ModelMissing

ENGINE = "llama"

CONTEXT = 4096
"""Tokens, where none are asked for: the 12,000 characters of history a session gives, its system text, tools and a reply."""

LEAST_CONTEXT = 512
"""Below this not even a system text and one exchange fit."""

BATCH = 64
"""Tokens that are read at once on a CPU. Reading can only be stopped between two batches, and working memory grows with them
(4 bytes for each token and each word of the vocabulary: 39 MB for Qwen's 151,936). Measured with a Q4_0 file of Qwen2.5
0.5B's shape, CPU time for a token of the prompt: 10.5 ms with 32, 9.1 with 64, 9.6 with 128, 9.3 with 256, 9.2 with 512."""

GPU_BATCH = 512
"""The same where a graphics card computes: it needs many tokens at once to be busy, and is done with them in no time."""

MOST_TOKENS = 1024
"""Of one reply, where no limit is given: more than six minutes of speech. A small model can go round in circles for ever."""

MARGIN = 256 << 20
"""Bytes that stay free beside the model: for the voice, the recogniser and the rest of the conversation."""

OPTIONS = (
    "path", "engine", "context", "threads", "gpu_layers", "temperature", "top_p", "max_tokens", "seed",
    "reasoning", "mmproj", "read_ahead", "check_memory", "audio_input", "timeout", "gap_timeout", "load_timeout",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """What was understood. Times in seconds. ``threads`` 0 and ``gpu_layers`` None: as many as is good here."""

    model: str
    path: Path
    mmproj: Path | None = None
    context: int | None = None
    threads: int = 0
    gpu_layers: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = MOST_TOKENS
    seed: int | None = None
    reasoning: bool = False
    read_ahead: bool = True
    check_memory: bool = True
    audio_input: bool = False
    first: float = 20.0
    gap: float = 10.0
    load: float = 85.0
    """A little less than the session's own deadline, so that this engine's sentence is the one that is read."""

    @property
    def cores(self) -> int:
        """Threads to compute with: one core stays free for the sound. All of them together stall when the machine is
        busy, because each step of OpenMP waits for the slowest."""
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


def understand(model: str, options: Mapping[str, Any]) -> Settings | None:
    """Name and options as `Settings`. None when they mean no GGUF file.

    Raises ``ConfigError`` for an option that cannot work, ``ModelMissing`` where the engine is named and no file is.
    """
    named = options.get("engine") == ENGINE
    if not named and ("url" in options or model.lower().startswith(("http://", "https://"))):
        return None  # a server's model, which may well be called after its file
    where: Any = options.get("path")
    if where is None and model.lower().endswith(".gguf"):
        where = model
    if where is None:
        if not named:
            return None
        raise ModelMissing(
            f"llm: the files of {model or 'a model'} are not on this machine",
            stage="llm",
            model=model,
            hint=f'`locara models pull {model or "MODEL"}`, or give a GGUF file as the option "path"',
        )
    if not isinstance(where, str | os.PathLike):
        raise ConfigError(f"llm: path={where!r} is no path", hint="give a GGUF file, or the folder it lies in")
    path = Path(where).expanduser()
    if not named and path.suffix.lower() != ".gguf":
        return None
    for name in options:
        if name not in OPTIONS:
            close = difflib.get_close_matches(name, OPTIONS, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"it knows: {', '.join(OPTIONS)}"
            raise ConfigError(f"llm: llama has no option {name!r}", hint=hint)
    mmproj = options.get("mmproj")
    return Settings(
        model=Path(model).stem if model.lower().endswith(".gguf") else (model or path.stem),
        path=path,
        mmproj=None if mmproj is None else Path(mmproj).expanduser(),
        context=_whole(options, "context", least=LEAST_CONTEXT),
        threads=_whole(options, "threads", least=1) or 0,
        gpu_layers=_whole(options, "gpu_layers", least=0),
        temperature=_number(options, "temperature", most=5.0),
        top_p=_number(options, "top_p", most=1.0),
        max_tokens=_whole(options, "max_tokens", least=1) or MOST_TOKENS,
        seed=_whole(options, "seed", least=0),
        reasoning=_flag(options, "reasoning", default=False),
        read_ahead=_flag(options, "read_ahead", default=True),
        check_memory=_flag(options, "check_memory", default=True),
        audio_input=_flag(options, "audio_input", default=False),
        first=_number(options, "timeout", most=3600.0) or 20.0,
        gap=_number(options, "gap_timeout", most=3600.0) or 10.0,
        load=_number(options, "load_timeout", most=3600.0) or 85.0,
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a model, their headers read. ``context``: tokens it will keep in mind."""

    model: Header
    mmproj: Header | None
    context: int

    @property
    def hears(self) -> bool:
        """Whether it takes sound: it has a projector for it."""
        return self.mmproj is not None and self.mmproj.hears


def find(settings: Settings) -> Found:
    """The files, checked before anything is loaded.

    Raises ``ModelMissing`` where there is none, ``EngineFailed`` for one that is damaged or something else, or that does
    not fit into the memory that is free, ``ConfigError`` where there are several or the context cannot be had.
    """
    main, beside = _files(settings)
    header = _whole_file(settings, main)
    if header.architecture in ("", "clip"):
        what = "a projector for images or sound (mmproj)" if header.architecture == "clip" else "GGUF without a model"
        raise _unusable(settings, main, f"it is {what}, and no language model", "name the model's own GGUF file")
    projector = settings.mmproj or beside
    mmproj = _whole_file(settings, projector) if projector is not None else None
    if mmproj is not None and mmproj.architecture != "clip":
        raise _unusable(settings, projector or main, "it is no projector (mmproj)", "name the model's own mmproj file")
    if settings.audio_input and not (mmproj is not None and mmproj.hears):
        raise EngineFailed(
            f"llm: {settings.model} takes no sound: it has no projector for it",
            stage="llm",
            model=settings.model,
            hint='give the model\'s mmproj file as the option "mmproj", or leave audio_input out',
        )
    most = header.context
    if settings.context and most and settings.context > most:
        raise ConfigError(
            f"llm: context={settings.context} is more than {settings.model} was trained for ({most} tokens)",
            hint=f"give context={most} or less",
        )
    context = settings.context or min(CONTEXT, most or CONTEXT)
    if settings.check_memory and not settings.gpu_layers:
        _fits(settings, header, mmproj, context)
    return Found(header, mmproj, context)


def _files(settings: Settings) -> tuple[Path, Path | None]:
    """The model's file (of a split one, the first), and a projector that lies beside it in a folder of its own."""
    path = settings.path
    if path.is_file():
        return path, None
    if not path.is_dir():
        raise ModelMissing(
            f"llm: {path} does not exist",
            stage="llm",
            model=settings.model,
            hint=f"`locara models pull {settings.model}`, or look at the path",
        )
    found = sorted(one for one in path.iterdir() if one.suffix.lower() == ".gguf")
    projectors = [one for one in found if "mmproj" in one.name.lower()]
    models = [one for one in found if one not in projectors and not _later_part(one.stem)]
    if not models:
        raise ModelMissing(
            f"llm: there is no GGUF file in {path}",
            stage="llm",
            model=settings.model,
            hint=f"`locara models pull {settings.model}`, or name the file itself",
        )
    if len(models) > 1:
        names = ", ".join(one.name for one in models[:6])
        raise ConfigError(f"llm: there are several models in {path}: {names}", hint='name one of them as "path"')
    return models[0], projectors[0] if len(projectors) == 1 else None


def _later_part(stem: str) -> bool:
    """Whether it is a further file of a split model: ``name-00002-of-00003``; llama.cpp finds those by the first."""
    pieces = stem.rsplit("-", 3)
    return len(pieces) == 4 and pieces[2] == "of" and pieces[1].isdigit() and int(pieces[1]) > 1


def _whole_file(settings: Settings, path: Path) -> Header:
    try:
        header = read(path)
        check_whole(header)
    except GgufError as error:
        hint = f"fetch it again (`locara models pull {settings.model}`), or name another file"
        raise _unusable(settings, path, str(error), hint) from None
    except OSError as error:
        raise _unusable(settings, path, f"it cannot be read: {error.strerror or error}", "look at the path") from None
    return header


def _fits(settings: Settings, header: Header, mmproj: Header | None, context: int) -> None:
    free = free_memory()
    weights = header.size * max(1, header.parts) + (mmproj.size if mmproj else 0)  # parts of a split model are alike
    needed = weights + header.cache_bytes(context) + header.compute_bytes(BATCH)
    if free is None or needed + MARGIN <= free:
        return
    smaller = (
        "a smaller context=..., or a smaller model"
        if header.cache_bytes(context) > weights // 2
        else "a smaller model, or one of a smaller quantisation"
    )
    raise EngineFailed(
        f"llm: {settings.model} needs about {needed / 1e9:.1f} GB of memory ({weights / 1e9:.1f} GB of weights, "
        f"{header.cache_bytes(context) / 1e9:.1f} GB for {context} tokens), and {free / 1e9:.1f} GB are free",
        stage="llm",
        model=settings.model,
        hint=f"choose {smaller}; check_memory=False tries it all the same",
    )


def _unusable(settings: Settings, path: Path, why: str, hint: str) -> EngineFailed:
    return EngineFailed(f"llm: {path} cannot be used: {why}", stage="llm", model=settings.model, hint=hint)


def _whole(options: Mapping[str, Any], name: str, *, least: int) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 31:
        raise ConfigError(f"llm: {name}={value!r} is no whole number of at least {least}", hint=f"or leave {name} out")
    return value


def _number(options: Mapping[str, Any], name: str, *, most: float) -> float | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ConfigError(f"llm: {name}={value!r} is no number from 0 to {most:g}", hint=f"or leave {name} out")
    return float(value)


def _flag(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"llm: {name}={value!r} is neither true nor false", hint=f"or leave {name} out")
    return value
