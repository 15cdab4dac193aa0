"""sherpa-onnx (Apache-2.0) as a library: its import, its files on the disk, and what all its engines are told.

What may live here: what recognisers and voices of sherpa-onnx share. Which file is what stands in `sherpa_files` and
`sherpa_voice_files`; what they compute in `sherpa_stt` and `sherpa_tts`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from locara.engines import onnx_header
from locara.engines.onnx_header import Header, NotOnnx
from locara.engines.onnx_runtime import QUIET
from locara.engines.sherpa_files import WrongFiles
from locara.errors import EngineFailed, EngineMissing, LocaraError, ModelMissing, StageError

T = TypeVar("T")

ENGINE = "sherpa-onnx"
PROVIDERS = ("cpu", "cuda", "coreml")
PRECISIONS = ("int8", "fp16", "fp32")
MOST_THREADS = 4
"""More do not make these models faster: what is computed for one step of a stream is too small to be divided further."""
LARGEST_TEXT_FILE = 64 * 2**20
"""Bytes. ``tokens.txt`` and lexicons are read to be checked; the largest published lexicon has some 10 MB."""


def default_threads() -> int:
    """All cores but one, which the sound needs; at most `MOST_THREADS`."""
    return max(1, min(MOST_THREADS, (os.cpu_count() or 2) - 1))


def library(stage: str, model: str) -> Any:
    """The module ``sherpa_onnx``. Imports it: call this on a `Lane`. Raises ``EngineMissing`` or ``EngineFailed``."""
    if importlib.util.find_spec("sherpa_onnx") is None:
        raise EngineMissing(
            f"{stage}: {model} runs on sherpa-onnx, which is not installed",
            stage=stage, model=model, hint='pip install "locara[sherpa]"',
        )  # fmt: skip
    # Its wheel brings an ONNX Runtime of its own (2.0.1: 1.28.2). Newer ones report to their maker unless told not to.
    os.environ.setdefault(QUIET, "1")
    try:
        module = importlib.import_module("sherpa_onnx")
    except Exception as error:
        raise EngineFailed(
            f"{stage}: sherpa-onnx cannot be imported: {error!r}",
            stage=stage, model=model, hint='pip install --force-reinstall "locara[sherpa]"',
        ) from error  # fmt: skip
    return module


@contextmanager
def quiet_threads(provider: str, threads: int) -> Iterator[str]:
    """``provider`` as the library is told it, so that threads that wait sleep: by default those of ONNX Runtime spin, and
    on a machine that also listens and thinks that takes the cores from the others (a voice with two threads took 1.6
    times the processor time and was slower than with one). The library reads such settings from a file, while it loads.
    """
    if provider != "cpu" or threads == 1:
        yield provider
        return
    handle, name = tempfile.mkstemp(prefix="locara-", suffix=".conf")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            for pool in ("intra", "inter"):
                file.write(f"SessionConfig.session.{pool}_op.allow_spinning=0\n")
        yield f"{provider}:{name}"
    finally:
        Path(name).unlink(missing_ok=True)


# --- files ------------------------------------------------------------------------------------------------------------


class Folder:
    """A model's folder as it is found: its names, its headers, and errors that name the file."""

    def __init__(self, path: Path | None, *, stage: str, model: str) -> None:
        self.stage = stage
        self.model = model
        if path is None:
            raise ModelMissing(
                f"{stage}: where the files of {model} lie is not known",
                stage=stage, model=model, hint=f"locara models pull {model}, or name their folder with path=...",
            )  # fmt: skip
        self.path = path if path.is_dir() else path.parent
        try:
            if not path.exists():
                raise ModelMissing(
                    f"{stage}: {model}: there is no folder {path}",
                    stage=stage, model=model, hint=f"locara models pull {model}, or correct path=...",
                )  # fmt: skip
            self.names = tuple(sorted(self._names()))
        except OSError as error:
            raise self.failed(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _names(self) -> set[str]:
        names = set()
        for one in self.path.iterdir():
            if one.is_file():
                names.add(one.name)
            elif one.is_dir():  # one level: a tokenizer's folder
                names.update(f"{one.name}/{inner.name}" for inner in one.iterdir() if inner.is_file())
        return names

    def failed(self, why: str, hint: str = "") -> EngineFailed:
        """The error for files that cannot be used."""
        return EngineFailed(
            f"{self.stage}: {self.model}: {why}",
            stage=self.stage,
            model=self.model,
            hint=hint or f"locara models verify {self.model}; if a file is damaged, pull the model again",
        )

    def header(self, name: str) -> Header:
        """The header of an ONNX file. Raises ``EngineFailed``."""
        path = self.path / name
        try:
            return onnx_header.read(path)
        except NotOnnx as error:
            raise self.failed(f"{path} cannot be used: {error}") from error
        except OSError as error:
            raise self.failed(f"{path} cannot be read: {error.strerror or error}") from error

    def planned(self, make: Callable[[], T]) -> T:
        """What ``make`` returns; its ``WrongFiles`` becomes ``EngineFailed`` with the folder's name."""
        try:
            return make()
        except WrongFiles as error:
            raise self.failed(f"the files in {self.path} cannot be used: {error}") from error

    def tokens(self, name: str, *, single: bool = False) -> dict[str, int]:
        """Checks a ``tokens.txt``, because the library ends the process at a line it does not understand: each line is a
        symbol and a number, or a number alone for the space; ``single``: each symbol is one character and comes once.
        Returns symbol -> number. Raises ``EngineFailed``."""
        symbols: dict[str, int] = {}
        for number, line in enumerate(self.lines(name), 1):
            parts = line.split()
            if len(parts) == 1:
                parts.insert(0, " ")
            if len(parts) != 2 or not parts[1].lstrip("-").isdecimal():
                raise self.failed(f"{self.path / name}, line {number}: {line[:40]!r} is no symbol and number")
            symbol = parts[0]
            if single and symbol != "<BLNK>":
                if len(symbol) != 1:
                    raise self.failed(f"{self.path / name}, line {number}: {symbol[:40]!r} is not one character")
                if symbol in symbols:
                    raise self.failed(f"{self.path / name}, line {number}: {symbol!r} is there twice")
            symbols[symbol] = int(parts[1])
        if not symbols:
            raise self.failed(f"{self.path / name} has no symbols")
        return symbols

    def lines(self, name: str) -> list[str]:
        """The lines of a text file of the model. Raises ``EngineFailed``."""
        path = self.path / name
        try:
            if (size := path.stat().st_size) > LARGEST_TEXT_FILE:
                raise self.failed(f"{path} has {size} bytes: that is no list of symbols")
            return path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise self.failed(f"{path} is no text (UTF-8): {error.reason} at byte {error.start}") from error
        except OSError as error:
            raise self.failed(f"{path} cannot be read: {error.strerror or error}") from error

    def built(self, make: Callable[[], T]) -> T:
        """What ``make`` returns, a native object from these files; whatever it raises becomes ``EngineFailed``."""
        try:
            return make()
        except LocaraError:
            raise
        except Exception as error:  # ONNX Runtime's own words come as RuntimeError; a bad setting as ValueError
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise self.failed(f"sherpa-onnx cannot load the files in {self.path}: {said}") from error


def not_loaded(stage: str, model: str) -> StageError:
    """The error of an engine that is used before `load` or after `close`."""
    return EngineFailed(f"{stage}: {model} is not loaded", stage=stage, model=model, hint="await load() first")
