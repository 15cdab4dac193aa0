"""The engines that are examined here, each with what it takes to make one: a real model, or a small one in its format.

What may live here: one `Specimen` an engine. An engine whose package is not installed says which extra brings it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from locara.audio import RATE, Resampler, Samples, from_pcm16
from locara.engines.contracts import Kind

NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Engine:
    """``options`` makes the engine's options, with a folder it may write weights into. ``needs``: modules of an extra;
    ``program``: one that must be installed. ``variable``: of the environment, that names another interpreter.
    ``known``: checks that it is known not to pass, and why: they are shown, and a pass is then a failure."""

    name: str
    kind: Kind
    model: str
    options: Callable[[Path], Mapping[str, Any]] = field(default=lambda _: NO_OPTIONS)
    needs: tuple[str, ...] = ()
    program: str = ""
    variable: str = ""
    extra: str = ""
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The engine, and the model where that says more."""
        return self.name if self.model in ("", self.name) else f"{self.name}: {self.model}"

    @property
    def missing(self) -> str:
        """Why it cannot be examined here, or nothing."""
        if self.program and shutil.which(self.program) is None:
            return f"the program {self.program} is not installed"
        if self.variable and not os.environ.get(self.variable):
            return f"{self.variable} names no interpreter that has its package"
        absent = [name for name in self.needs if find_spec(name) is None]
        return f"{', '.join(absent)} is not installed: the extra {self.extra}" if absent else ""


@cache
def question() -> Samples:
    """Real speech: the recorded question that comes with the program, its first three seconds at 16 kHz."""
    import locara.cli

    with wave.open(str(Path(locara.cli.__file__).parent / "question.wav")) as file:
        sound, rate = from_pcm16(file.readframes(3 * file.getframerate())), file.getframerate()
    return sound if rate == RATE else Resampler(rate, RATE).push(sound, last=True)


def _tiny_model(folder: Path) -> Mapping[str, Any]:
    """A GGUF file whose words are known, for llama.cpp."""
    from tiny_gguf import tiny_model  # type: ignore[import-not-found]

    return {"path": str(tiny_model(folder / "tiny.gguf")), "threads": 1}


def _whisper_folder(folder: Path) -> Mapping[str, Any]:
    """A tiny Whisper as CTranslate2 has it. The weights say a known text whatever they hear."""
    weights = import_module("whisper_weights")
    return {"path": str(weights.write_ctranslate2(folder, *weights.saying())), "threads": 1}


def _whisper_file(folder: Path) -> Mapping[str, Any]:
    """The same as whisper.cpp has it."""
    weights = import_module("whisper_weights")
    return {"path": str(weights.write_ggml(folder / "ggml-tiny.en.bin", *weights.saying())), "threads": 1}


def _moonshine_folder(folder: Path) -> Mapping[str, Any]:
    """A tiny streaming Moonshine."""
    return {"path": str(import_module("moonshine_weights").write(folder))}


def _sherpa(module: str, model: str) -> Callable[[Path], Mapping[str, Any]]:
    """A model of sherpa-onnx that is made here: tokens for tones, or tones for tokens."""

    def make(folder: Path) -> Mapping[str, Any]:
        getattr(import_module(module), model)(folder)
        return {"path": str(folder), "threads": 1}

    return make


_SHERPA = ("sherpa_onnx", "onnx")


def _kokoro_folder(folder: Path) -> Mapping[str, Any]:
    """A Kokoro whose sound says which phonemes it was given."""
    return {"path": str(import_module("kokoro_weights").write(folder)), "threads": 1}


def _supertonic_folder(folder: Path) -> Mapping[str, Any]:
    """A Supertonic that is as long as its text."""
    return {"path": str(import_module("supertonic_weights").write(folder)), "threads": 1}


def _kyutai_folder(folder: Path) -> Mapping[str, Any]:
    """A small Kyutai with random weights, made and run by the interpreter that has its package."""
    return _kyutai("kyutai_stt_random.py", folder)


def _kyutai_voice(folder: Path) -> Mapping[str, Any]:
    """The same for its voice."""
    return {**_kyutai("kyutai_tts_random.py", folder), "codebooks": 8}  # a quarter of the steps


def _kyutai(name: str, folder: Path) -> Mapping[str, Any]:
    if "LOCARA_KYUTAI_PYTHON" not in os.environ:
        return NO_OPTIONS
    python = os.environ["LOCARA_KYUTAI_PYTHON"]
    script = Path(__file__).parent / "models" / name
    environment = {**os.environ, "NO_TORCH_COMPILE": "1"}
    subprocess.run([python, str(script), str(folder)], check=True, timeout=100, capture_output=True, env=environment)
    return {"path": str(folder), "python": python, "threads": 1}


ENGINES: tuple[Engine, ...] = (
    Engine("silero", "vad", "silero"),
    Engine("prosody", "turn", "prosody"),
    Engine("pocketsphinx", "stt", "pocketsphinx"),
    Engine("faster-whisper", "stt", "tiny weights", _whisper_folder, needs=("ctranslate2",), extra="faster-whisper"),
    Engine("whisper-cpp", "stt", "tiny weights", _whisper_file, needs=("_pywhispercpp",), extra="whisper-cpp"),
    Engine("moonshine", "stt", "tiny weights", _moonshine_folder, needs=("moonshine_voice", "onnx"), extra="moonshine"),
    Engine(
        "sherpa-onnx",
        "stt",
        "tiny zipformer",
        _sherpa("sherpa_models", "zipformer_transducer"),
        _SHERPA,
        extra="sherpa",
    ),
    Engine(
        "sherpa-onnx",
        "stt",
        "tiny NeMo transducer",
        _sherpa("sherpa_models", "nemo_transducer"),
        _SHERPA,
        extra="sherpa",
    ),
    Engine("sherpa-onnx", "tts", "tiny Piper voice", _sherpa("sherpa_voice_models", "piper"), _SHERPA, extra="sherpa"),
    Engine("sherpa-onnx", "tts", "tiny Kokoro", _sherpa("sherpa_voice_models", "kokoro"), _SHERPA, extra="sherpa"),
    Engine("kyutai", "stt", "random weights", _kyutai_folder, variable="LOCARA_KYUTAI_PYTHON"),
    Engine("kyutai", "tts", "random weights", _kyutai_voice, variable="LOCARA_KYUTAI_PYTHON"),
    Engine("espeak-ng", "tts", "espeak-ng"),
    Engine("espeak-ng-program", "tts", "espeak-ng-program", program="espeak-ng"),
    Engine("kokoro-onnx", "tts", "tiny weights", _kokoro_folder, needs=("onnxruntime", "onnx"), extra="kokoro"),
    Engine("supertonic", "tts", "tiny weights", _supertonic_folder, needs=("onnxruntime", "onnx"), extra="supertonic"),
    Engine("built-in", "llm", "built-in"),
    Engine("llama", "llm", "tiny", _tiny_model, needs=("xllamacpp",), extra="llama"),
    Engine("micro-wake-word", "wake", "", needs=("pymicro_wakeword",), extra="wake"),
)
"""In the order of the table in the documentation."""
