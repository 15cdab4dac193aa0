"""Programs in Swift that come as source and are compiled where they run, with Apple's Command Line Tools.

What may live here: finding the compiler, compiling once, keeping the result. A program that came compiled would have to be
signed and notarised for every Mac; what a Mac compiles for itself it also runs. The result is kept under a stamp of the
source and of the tools, so that a new version of either makes a new program.

Never run on a Mac by us: the commands are those of Apple's documentation (``man xcrun``, ``man xcode-select``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from locara.engines.sphinx import cache_dir
from locara.errors import EngineFailed, EngineMissing

SOURCES = Path(__file__).with_name("swift")
SHARED = "wire.swift"
"""Part of every program."""

_ASK_SECONDS = 15.0  # xcrun looks through its SDKs the first time
_COMPILE_SECONDS = 70.0  # a few seconds are usual; the whole start has 80 s
FLAGS = ("-O", "-parse-as-library", "-swift-version", "5")

Run = Callable[[Sequence[str], float], str]
"""Runs a command, at most so many seconds, and gives its standard output. Raises ``OSError`` or ``SubprocessError``."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Swift compiler, and what it compiles against. ``sdk_version`` is empty where there is no SDK (not on a Mac)."""

    compiler: tuple[str, ...]
    version: str
    sdk: str = ""
    sdk_version: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """The compiler with its flags, without files."""
        return (*self.compiler, *FLAGS, *(("-sdk", self.sdk) if self.sdk else ()))


def run(command: Sequence[str], seconds: float) -> str:
    """See `Run`."""
    done = subprocess.run(list(command), capture_output=True, timeout=seconds, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode("utf-8", "replace").strip()


def toolchain(*, stage: str, model: str, run: Run = run) -> Toolchain:
    """The compiler of this Mac's Command Line Tools (or of Xcode). Raises ``EngineMissing`` with the command to get it."""
    try:
        # Asked first: without the tools, /usr/bin/swiftc is a stub that opens a window instead of answering.
        run(["xcode-select", "-p"], _ASK_SECONDS)
        compiler = run(["xcrun", "--sdk", "macosx", "--find", "swiftc"], _ASK_SECONDS)
        return Toolchain(
            (compiler,),
            run([compiler, "--version"], _ASK_SECONDS),
            run(["xcrun", "--sdk", "macosx", "--show-sdk-path"], _ASK_SECONDS),
            run(["xcrun", "--sdk", "macosx", "--show-sdk-version"], _ASK_SECONDS),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineMissing(
            f"{stage}: {model} is compiled on this Mac, and there is no Swift compiler: {error}",
            stage=stage, model=model, hint="xcode-select --install",
        ) from error  # fmt: skip


def sources(name: str) -> dict[str, bytes]:
    """The files of one program, by name, the shared one first."""
    return {file: (SOURCES / file).read_bytes() for file in (SHARED, f"{name}.swift")}


def stamp(files: Mapping[str, bytes], tools: Toolchain) -> str:
    """What the compiled program depends on, as 16 hexadecimal digits."""
    known = hashlib.sha256()
    for part in (*tools.command, tools.version, tools.sdk_version):
        known.update(part.encode() + b"\0")
    for name, content in sorted(files.items()):
        known.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return known.hexdigest()[:16]


def program(name: str, *, stage: str, model: str, sdk: int = 0) -> list[str]:
    """The command line of a program: compiled now, if it was not before. Blocks. ``sdk``: the least version of macOS's SDK
    that its source needs. Raises ``EngineMissing`` or ``EngineFailed``."""
    tools = toolchain(stage=stage, model=model)
    if sdk and int(tools.sdk_version.partition(".")[0] or 0) < sdk:
        raise EngineMissing(
            f"{stage}: {model} needs the SDK of macOS {sdk}, and the Command Line Tools here have {tools.sdk_version}",
            stage=stage,
            model=model,
            hint="update them: System Settings > General > Software Update, or softwareupdate --list",
        )
    folder = cache_dir(os.environ, sys.platform, Path.home()) / "swift"
    return [str(build(name, tools, folder, stage=stage, model=model))]


def build(name: str, tools: Toolchain, folder: Path, *, stage: str, model: str, more: Sequence[str] = ()) -> Path:
    """The compiled program in ``folder``, whole or not at all; programs under an older stamp are removed. ``more``: further
    arguments of the compiler. Raises ``EngineFailed``."""
    files = sources(name)
    wanted = folder / f"{name}-{stamp(files, tools)}"
    if wanted.exists():
        return wanted
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as work:
            for file, content in files.items():
                (Path(work) / file).write_bytes(content)
            out = Path(work) / "program"
            paths = [str(Path(work) / file) for file in files]
            subprocess.run(
                [*tools.command, *paths, *more, "-o", str(out)],
                capture_output=True, timeout=_COMPILE_SECONDS, check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            out.replace(wanted)
    except subprocess.CalledProcessError as error:
        said = "\n".join(error.stderr.decode("utf-8", "replace").strip().splitlines()[:12])
        raise EngineFailed(
            f"{stage}: {model}: its program {name}.swift could not be compiled:\n{said}",
            stage=stage,
            model=model,
            hint="please report this with the lines above: nobody has compiled it with these tools yet",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(
            f"{stage}: {model}: its program {name}.swift was not compiled within {_COMPILE_SECONDS:g} s",
            stage=stage, model=model, hint="try again when this Mac has less to do",
        ) from error  # fmt: skip
    except OSError as error:
        raise EngineFailed(
            f"{stage}: {model}: its program could not be kept in {str(folder)!r}: {error}",
            stage=stage, model=model, hint="set LOCARA_CACHE to a folder that can be written",
        ) from error  # fmt: skip
    for old in folder.glob(f"{name}-*"):
        if old != wanted:
            with contextlib.suppress(OSError):  # another process may be running it; then it stays
                old.unlink()
    return wanted
