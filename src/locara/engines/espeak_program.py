"""The voice that most Linux systems bring or have one command away: the program ``espeak-ng``, as it is installed.

What may live here: this one voice. The program is GPL-3.0-or-later and stays a program of its own: it gets text on its
input and gives sound on its output, once for each text. Beside `espeak` (the same synthesiser from a package, kept running,
with exact word times) it is for systems without that package, and for voices that the system has and the package has not.

``--stdin`` reads the text to its end before anything is said, ``--stdout`` writes a WAV file whose length is not known yet,
``-b 1`` says that the text is UTF-8. SSML needs ``-m``, which is never given.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from locara.audio import from_pcm16
from locara.engines.contracts import EngineInfo, Speech, Voice
from locara.engines.lane import Lane
from locara.engines.option_values import known, number
from locara.engines.wav_header import wav_format
from locara.errors import ConfigError, EngineFailed, EngineMissing

MODELS = ("espeak-ng-program",)
"""And ``espeak-ng-program:VOICE``, for example ``espeak-ng-program:de``."""
NAME = "espeak-ng-program"
PROGRAMS = ("espeak-ng", "espeak")
"""Looked for in this order; the older one knows the same options."""

_OPTIONS = ("voice", "rate_wpm", "pitch", "program", "deadline")
_FIRST_BYTES = 2_646  # 60 ms at 22,050 Hz: the first piece, as small as the program writes them
_MORE_BYTES = 8_820  # 200 ms: from then on
_MARGIN = 1.0  # seconds that the lane waits longer
_LAST_WORDS = 600  # characters of what it said to its error output

_INSTALL = {
    "debian": "sudo apt-get install espeak-ng",
    "ubuntu": "sudo apt-get install espeak-ng",
    "fedora": "sudo dnf install espeak-ng",
    "rhel": "sudo dnf install espeak-ng",
    "arch": "sudo pacman -S espeak-ng",
    "suse": "sudo zypper install espeak-ng",
    "opensuse": "sudo zypper install espeak-ng",
    "alpine": "sudo apk add espeak-ng",
    "void": "sudo xbps-install espeak-ng",
    "gentoo": "sudo emerge app-accessibility/espeak-ng",
    "nixos": "nix-env -iA nixos.espeak-ng",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """``rate_wpm``: words a minute; ``pitch``: 0 to 99; ``program``: another path; ``deadline``: seconds for each piece."""

    voice: str = "en-us"
    rate_wpm: int = 175
    pitch: int = 50
    program: str = ""
    deadline: float = 10.0


def create(model: str, options: Mapping[str, Any], *, why: str = "") -> Voice | None:
    """The voice, or None when ``model`` is not ours. Raises ``ConfigError`` for options it does not know."""
    name, _, named = model.partition(":")
    if name not in MODELS:
        return None
    known(NAME, options, _OPTIONS)
    voice = options.get("voice", named or "en-us")
    if named and voice != named:
        raise ConfigError(f"two voices: {named!r} and {voice!r}", hint="name the voice once")
    if not isinstance(voice, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+/() -]{0,60}", voice):
        raise ConfigError(f"{voice!r} is no voice of espeak-ng", hint="for example en-us, en-gb or de")
    program = options.get("program", "")
    if not isinstance(program, str | os.PathLike):
        raise ConfigError(f"{NAME}: program is {program!r}", hint="it must be the path of espeak-ng")
    settings = Settings(
        voice,
        round(number(NAME, options, "rate_wpm", 175, 80, 450)),
        round(number(NAME, options, "pitch", 50, 0, 99)),
        os.fspath(program),
        number(NAME, options, "deadline", 10.0, 0.1, 600),
    )
    return EspeakProgram(settings, why)


def find(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """The path of the program, None if it is not installed."""
    return next((path for name in PROGRAMS if (path := which(name))), None)


def install_command(platform: str, os_release: str) -> str:
    """The exact command that installs the program here. ``os_release``: the text of ``/etc/os-release``."""
    if platform == "darwin":
        return "brew install espeak-ng"
    if platform == "win32":
        return "winget install eSpeak-NG.eSpeak-NG"
    told = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?', os_release, re.MULTILINE))
    for name in (told.get("ID", ""), *told.get("ID_LIKE", "").split()):
        if (command := _INSTALL.get(name.partition("-")[0])) is not None:
            return command
    return "install the package espeak-ng of your system, for example: sudo apt-get install espeak-ng"


def missing(platform: str = sys.platform) -> EngineMissing:
    """The program is not there, and how to get it."""
    told = ""
    with contextlib.suppress(OSError):
        told = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    return EngineMissing(
        "tts: the program espeak-ng is not installed", stage="tts", model=NAME, hint=install_command(platform, told)
    )


def spoken(text: str) -> str:
    """The text as the program must get it: without what it takes for phonemes (``[[...]]``), and without zeros."""
    return re.sub(r"\[(?=\[)", "[ ", text.replace("\0", " "))


class _Utterance:
    """One run of the program."""

    def __init__(self, command: list[str], text: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=sys.platform != "win32",  # a terminal's Ctrl-C is for us
        )
        # Both on threads of their own: a program that does not read, or complains at length, must not hold us.
        self._said = bytearray()
        self._threads = [
            threading.Thread(target=self._write, args=(text,), name="locara-espeak-write", daemon=True),
            threading.Thread(target=self._listen, name="locara-espeak-listen", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of its output; nothing at the end."""
        return cast("IO[bytes]", self.process.stdout).read(size)

    def shut(self) -> str:
        """Ends it, takes everything back, and gives what it complained about."""
        self.process.kill()
        self.process.wait(2.0)
        for thread in self._threads:
            thread.join(2.0)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                cast("IO[bytes]", pipe).close()
        return self._said.decode("utf-8", "replace").strip()[-_LAST_WORDS:]

    def _write(self, text: str) -> None:
        pipe = cast("IO[bytes]", self.process.stdin)
        with contextlib.suppress(OSError, ValueError):
            pipe.write(text.encode("utf-8", "replace"))
        with contextlib.suppress(OSError, ValueError):
            pipe.close()

    def _listen(self) -> None:
        pipe = cast("IO[bytes]", self.process.stderr)
        with contextlib.suppress(OSError, ValueError):
            while data := pipe.read1(4096):  # type: ignore[attr-defined]
                self._said += data
                del self._said[: -4 * _LAST_WORDS]


class EspeakProgram:
    """See `locara.engines.contracts.Voice`."""

    def __init__(self, settings: Settings, why: str = "") -> None:
        self._settings = settings
        self._why = why
        self._lane = Lane("espeak-program", stage="tts", model=NAME)
        self._program = settings.program
        self._now: _Utterance | None = None
        self._rate = 22_050
        self._note = "robotic"

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return EngineInfo(
            engine=NAME,
            model=f"{NAME}:{self._settings.voice}",
            licence="GPL-3.0-or-later (a separate program)",
            where="child process",
            note=self._note,
            why=self._why,
        )

    @property
    def rate(self) -> int:
        """Hertz, 22,050 for its own voices; known after ``load``."""
        return self._rate

    @property
    def language(self) -> str:
        """The language of its voice: ``en-us+f3`` speaks ``en-us``. Empty for a voice with another kind of name."""
        name = self._settings.voice.partition("+")[0].lower()
        return name if re.fullmatch(r"[a-z]{2,3}(-[a-z0-9-]+)?", name) else ""

    async def load(self) -> None:
        """Finds the program and speaks one word. Raises ``EngineMissing``, ``EngineFailed`` or ``EngineTimeout``."""
        await self._lane.run(self._warm, deadline=self._settings.deadline + _MARGIN, abandon=self._kill)

    async def close(self) -> None:
        """Ends a program that runs, and the thread."""
        await asyncio.to_thread(self._end)

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``, in pieces of 60 to 200 ms. Closing the iterator ends the program.

        Raises ``EngineFailed`` when the program fails.
        """
        if not text.strip():
            return
        stream = self._lane.stream(lambda: self._pieces(text), deadline=self._settings.deadline, abandon=self._kill)
        async with aclosing(cast("AsyncGenerator[Speech, None]", stream)) as items:
            async for speech in items:
                yield speech

    def _end(self) -> None:
        self._kill()
        self._lane.close()
        now, self._now = self._now, None
        if now is not None:  # a text that nobody took to its end
            now.shut()

    def _kill(self) -> None:
        """Ends what it says now; from any thread."""
        now = self._now
        if now is not None:
            with contextlib.suppress(OSError):
                now.process.kill()

    # On the lane's thread:

    def _warm(self) -> None:
        found = self._program or find()
        if found is None:
            raise missing()
        self._program = found
        made = 0
        for speech in self._pieces("Ready."):
            made += speech.samples.size
        if not made:
            raise self._failed("it made no sound")
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run([found, "--version"], capture_output=True, timeout=5, check=False).stdout
            if version := re.search(rb"text-to-speech: ([0-9][\w.-]*)", told):
                self._note = f"espeak-ng {version[1].decode()}, robotic"

    def _pieces(self, text: str) -> Iterator[Speech]:
        chosen = self._settings
        command = [self._program, "--stdin", "--stdout", "-b", "1", "-v", chosen.voice]
        command += ["-s", str(chosen.rate_wpm), "-p", str(chosen.pitch)]
        try:
            now = self._now = _Utterance(command, spoken(text))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not chosen.program:
                raise missing() from error
            raise self._failed(f"{self._program!r} could not be started: {error}") from error
        heard, form, ended = b"", None, False
        try:
            while data := now.read(_FIRST_BYTES if form is None else _MORE_BYTES):
                heard += data
                if form is None:
                    form = wav_format(heard)
                    if form is None:
                        continue
                    self._rate, heard = form.rate, heard[form.size :]
                even = len(heard) - len(heard) % 2
                if even:
                    yield Speech(from_pcm16(heard[:even]))
                    heard = heard[even:]
            now.process.wait(2.0)
            ended = True
        except ValueError as error:
            raise self._failed(f"what {self._program!r} wrote cannot be read: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise self._failed("it closed its output and does not end") from error
        finally:
            self._now = None
            said = now.shut()
        if ended and (now.process.returncode != 0 or form is None):
            raise self._failed(f"it failed, exit status {now.process.returncode}" + (f": {said}" if said else ""))

    def _failed(self, why: str) -> EngineFailed:
        return EngineFailed(
            f"tts: {NAME}: {why}", stage="tts", model=NAME,
            hint=f"try a voice that {self._program or 'espeak-ng'} --voices lists, or the embedded voice espeak-ng",
        )  # fmt: skip
