"""Text to speech by Piper, as a program of its own that the user has installed (GPL-3.0-or-later; never imported here).

What may live here: the voice, where its program and its files are. The program itself stands in `piper_program`. Piper's
voices also run inside `sherpa_tts`, without Piper, in the form that sherpa-onnx publishes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from locara.audio import Samples
from locara.engines import onnx_header
from locara.engines.contracts import EngineInfo, Speech, Voice
from locara.engines.lane import Lane
from locara.engines.option_values import known, number, text
from locara.engines.option_values import path as folder_of
from locara.engines.phonemes import sentences
from locara.engines.piper_program import Program
from locara.errors import ConfigError, EngineFailed, EngineMissing, ModelMissing

MODELS = ("piper",)
"""And any name with ``engine="piper"`` and a ``path``."""

_OPTIONS = ("engine", "path", "program", "voice", "speed", "language", "deadline")
_LOAD_SECONDS = 90.0
"""A Python program that imports ONNX Runtime and loads 60 to 110 MB: 1 to 5 s, much more from a cold slow disk."""
_MARGIN = (
    1.0  # seconds that the lane waits longer than the program: then the program's own error is the one that is seen
)
_WARM = "Ready."


@dataclass(frozen=True, slots=True)
class Settings:
    """``program``: the command that starts Piper; empty searches for it. ``voice``: a speaker's name or number. ``speed``:
    1 is the voice's own. ``deadline``: seconds for one sentence."""

    path: Path | None = None
    program: tuple[str, ...] = ()
    voice: str = ""
    speed: float = 1.0
    language: str = ""
    deadline: float = 30.0


@dataclass(frozen=True, slots=True)
class PiperVoiceFiles:
    """A voice as Piper publishes it: ``NAME.onnx`` and ``NAME.onnx.json``, and what the second says."""

    model: Path
    rate: int
    language: str
    length: float
    speakers: Mapping[str, int]
    count: int


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is not ours: it is if it is called ``piper``, or if the option ``engine`` names
    us. Raises ``ConfigError``."""
    if model not in MODELS and options.get("engine") != "piper":
        return None
    known("piper", options, _OPTIONS)
    voice = options.get("voice", "")
    return Piper(
        model or MODELS[0],
        Settings(
            path=folder_of("piper", options),
            program=_command(options.get("program")),
            voice=str(voice) if type(voice) is int else text("piper", options, "voice"),
            speed=number("piper", options, "speed", 1.0, 0.25, 4.0),
            language=text("piper", options, "language", ""),
            deadline=number("piper", options, "deadline", 30.0, 0.1, 600.0),
        ),
    )


def _command(program: Any) -> tuple[str, ...]:
    """What starts Piper: one word (the program, or the Python that has it), or the whole command as a list."""
    if program is None:
        return ()
    if isinstance(program, str) and program:
        word = str(Path(program).expanduser())
        return (word, "-m", "piper") if Path(word).stem.lower().startswith("python") else (word,)
    if isinstance(program, list | tuple) and program and all(isinstance(one, str) and one for one in program):
        return tuple(program)
    raise ConfigError(
        f"piper: program is {program!r}", hint="it is the path of the program, or its command as a list of words"
    )


def find(program: Sequence[str], model: str) -> tuple[str, ...]:
    """The command: the one that was named, ``piper`` on the path, or the module of this Python. Raises
    ``EngineMissing``."""
    if program:
        if shutil.which(program[0]) is None:
            raise _missing(f"there is no program {program[0]!r}", model)
        return tuple(program)
    beside = shutil.which("piper", path=str(Path(sys.executable).parent))
    if found := beside or shutil.which("piper"):
        return (found,)
    if importlib.util.find_spec("piper") is not None:  # found, not imported
        return (sys.executable, "-m", "piper")
    raise _missing("the program piper is not installed", model)


def _missing(why: str, model: str) -> EngineMissing:
    return EngineMissing(
        f"tts: {model}: {why}",
        stage="tts",
        model=model,
        hint="pip install piper-tts, best into an environment of its own (it is under the GPL and only ever run as a "
        'program), and name it: {"program": "/path/to/that/environment/bin/piper"}',
    )


def files(path: Path | None, model: str) -> PiperVoiceFiles:
    """The voice at ``path``: its ONNX file, or the folder that holds one. Raises ``ModelMissing`` or ``EngineFailed``."""
    if path is None or not path.exists():
        where = "where its files lie is not known" if path is None else f"there is no {path}"
        raise ModelMissing(
            f"tts: {model}: {where}", stage="tts", model=model,
            hint=f"locara models pull {model}, or name its .onnx file with path=...",
        )  # fmt: skip
    found = path
    if path.is_dir():
        voices = [one for one in sorted(path.glob("*.onnx")) if one.with_name(one.name + ".json").is_file()]
        if len(voices) != 1:
            has = ", ".join(one.name for one in voices) or "none"
            raise _failed(f"{path} must hold one voice (NAME.onnx and NAME.onnx.json), it holds {has}", model)
        found = voices[0]
    try:
        onnx_header.read(found)
        config = found.with_name(found.name + ".json")
        told = json.loads(config.read_text(encoding="utf-8"))
        speakers = {str(name): int(one) for name, one in dict(told.get("speaker_id_map") or {}).items()}
        return PiperVoiceFiles(
            model=found,
            rate=int(told["audio"]["sample_rate"]),
            language=str(told.get("espeak", {}).get("voice", "")),
            length=float(told.get("inference", {}).get("length_scale", 1.0)),
            speakers=speakers,
            count=int(told.get("num_speakers", 1)),
        )
    except onnx_header.NotOnnx as error:
        raise _failed(f"{found} cannot be used: {error}", model) from error
    except OSError as error:
        raise _failed(f"{error.filename} cannot be read: {error.strerror or error}", model) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(f"{config} is no description of a Piper voice: {error!r}", model) from error


def _failed(why: str, model: str) -> EngineFailed:
    return EngineFailed(f"tts: {model}: {why}", stage="tts", model=model, hint=f"locara models verify {model}")


class Piper:
    """See `locara.engines.contracts.Voice`. It gives a sentence at a time and no word times.

    A cut-off text leaves at most one sentence in the making. The next text waits a moment for that; if it takes longer,
    the program is ended, and started again for the next text.
    """

    def __init__(self, model: str, settings: Settings) -> None:
        self._model = model
        self._settings = settings
        self._lane = Lane("piper", stage="tts", model=model)
        self._program: Program | None = None
        self._files: PiperVoiceFiles | None = None
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(
            engine="piper",
            model=self._model,
            licence="GPL-3.0-or-later (a separate program; each voice has its own)",
            where="child process",
        )

    @property
    def rate(self) -> int:
        """Hertz, the voice's own; known after `load`."""
        return self._files.rate if self._files is not None else 22_050

    @property
    def language(self) -> str:
        """As espeak-ng calls it, for example ``en-us``."""
        return self._settings.language or (self._files.language if self._files is not None else "")

    async def load(self) -> None:
        """Starts the program and speaks one word. Raises ``ModelMissing``, ``EngineMissing``, ``EngineFailed``,
        ``ConfigError`` for a speaker it has not, or ``EngineTimeout``."""
        await self._lane.run(self._load, deadline=_LOAD_SECONDS + _MARGIN, abandon=self._kill)

    async def close(self) -> None:
        """Ends the program and the thread."""
        self._closed = True
        await asyncio.to_thread(self._kill)
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, a sentence at a time. Raises ``EngineFailed`` when the program dies; the next text
        starts it again."""
        if self._files is None or self._closed:
            raise EngineFailed(
                f"tts: {self._model} is not loaded", stage="tts", model=self._model, hint="await load() first"
            )
        lines = [_line(one) for one in sentences(text) if any(letter.isalnum() for letter in one)]
        if not lines:
            return
        # The lane's deadline has room for a program that must be started again.
        stream = self._lane.stream(
            lambda: self._spoken(lines), deadline=_LOAD_SECONDS + self._settings.deadline, abandon=self._abandon
        )
        async with aclosing(cast("AsyncGenerator[Samples, None]", stream)) as pieces:
            async for samples in pieces:
                yield Speech(samples)

    def _spoken(self, lines: Sequence[str]) -> Iterator[Samples]:
        program = self._running()
        for line in lines:
            yield program.speak(line, self._settings.deadline)[0]

    def _running(self) -> Program:
        """The program, started if none runs."""
        program = self._program
        if program is not None and program.alive:
            return program
        self._kill()
        assert self._files is not None
        started = Program(_arguments(self._settings, self._files, self._model), model=self._model)
        self._program = started
        if self._closed:  # meanwhile; whoever closed has not seen this one
            started.kill()
        started.speak(_WARM, _LOAD_SECONDS)
        return started

    def _load(self) -> None:
        self._files = files(self._settings.path, self._model)
        self._running()

    def _abandon(self) -> None:
        if self._program is not None:
            self._program.abandon()

    def _kill(self) -> None:
        if self._program is not None:
            self._program.kill()


def _arguments(settings: Settings, voice: PiperVoiceFiles, model: str) -> list[str]:
    command = [*find(settings.program, model), "--model", str(voice.model.resolve())]
    if settings.voice:
        command += ["--speaker", str(_speaker(settings.voice, voice, model))]
    if settings.speed != 1.0:
        command += ["--length-scale", f"{voice.length / settings.speed:.4f}"]
    return command


def _speaker(wanted: str, voice: PiperVoiceFiles, model: str) -> int:
    if wanted in voice.speakers:
        return voice.speakers[wanted]
    if wanted.isdecimal() and int(wanted) < voice.count:
        return int(wanted)
    names = list(voice.speakers)
    has = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "one"
    raise ConfigError(f"{model} has no voice {wanted!r}", hint=f"it has {has}")


def _line(sentence: str) -> str:
    """One line; and no ``[[``, which would be read as phonemes."""
    return " ".join(sentence.replace("[[", "[ [").split())
