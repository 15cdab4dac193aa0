"""The program espeak-ng as a voice. What is only about our side is run against a program of the test, too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import struct
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples, dbfs
from locara.engines import espeak_program, registry
from locara.engines.contracts import SpeaksLanguage, Speech
from locara.engines.wav_header import Format, wav_format
from locara.errors import ConfigError, EngineFailed, EngineMissing, EngineTimeout

real = pytest.mark.skipif(espeak_program.find() is None, reason="the program espeak-ng is not installed")
unix = pytest.mark.skipif(sys.platform == "win32", reason="a script cannot be started as a program there")

HEADER = (
    b"RIFF\x24\xf0\xff\x7fWAVEfmt \x10\0\0\0\1\0\1\0"
    + struct.pack("<IIHH", 22_050, 44_100, 2, 16)
    + b"data\0\xf0\xff\x7f"
)


@asynccontextmanager
async def _voice(model: str = "espeak-ng-program", **options: Any) -> AsyncIterator[espeak_program.EspeakProgram]:
    before = set(threading.enumerate())
    voice = espeak_program.create(model, options)
    assert isinstance(voice, espeak_program.EspeakProgram)
    try:
        await voice.load()
        yield voice
    finally:
        await voice.close()
        await voice.close()
        assert voice._now is None
    new = set(threading.enumerate()) - before
    assert not [thread.name for thread in new if thread.name.startswith("locara")]


async def _said(voice: espeak_program.EspeakProgram, text: str) -> Samples:
    pieces = [piece.samples async for piece in voice.speak(text)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


# --- names, options, pure parts ---------------------------------------------------------------------------------------


def test_only_its_own_names_are_answered() -> None:
    for model in ("espeak-ng-program", "espeak-ng-program:de"):
        assert espeak_program.create(model, {"engine": "espeak-ng-program", "path": "/x"}) is not None
    for model in ("", "espeak-ng", "espeak-ng:de", "native"):
        assert espeak_program.create(model, {}) is None
    assert registry.create("tts", "espeak-ng-program", {}).info.engine == "espeak-ng-program"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_wpm": 20}, "rate_wpm"),
        ({"pitch": 100}, "pitch"),
        ({"speed": 1}, "speed"),
        ({"ptich": 1}, "did you mean 'pitch'"),
        ({"voice": "-v"}, "voice"),
        ({"voice": 3}, "voice"),
        ({"deadline": 0}, "deadline"),
        ({"program": 3}, "program"),
    ],
)
def test_bad_options_are_errors_that_name_the_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        espeak_program.create("espeak-ng-program", options)
    assert said in caught.value.explain()


@pytest.mark.parametrize(
    ("platform", "os_release", "command"),
    [
        ("linux", 'ID=debian\nNAME="Debian"', "sudo apt-get install espeak-ng"),
        ("linux", 'ID=linuxmint\nID_LIKE="ubuntu debian"', "sudo apt-get install espeak-ng"),
        ("linux", "ID=fedora", "sudo dnf install espeak-ng"),
        ("linux", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"', "sudo zypper install espeak-ng"),
        (
            "linux",
            "ID=unheard-of",
            "install the package espeak-ng of your system, for example: sudo apt-get install espeak-ng",
        ),
        ("linux", "", "install the package espeak-ng of your system, for example: sudo apt-get install espeak-ng"),
        ("darwin", "", "brew install espeak-ng"),
        ("win32", "", "winget install eSpeak-NG.eSpeak-NG"),
    ],
)
def test_a_missing_program_has_the_systems_own_command(platform: str, os_release: str, command: str) -> None:
    assert espeak_program.install_command(platform, os_release) == command


def test_the_newer_program_is_taken_before_the_older() -> None:
    assert espeak_program.find(lambda name: f"/bin/{name}") == "/bin/espeak-ng"
    assert espeak_program.find(lambda name: "/bin/espeak" if name == "espeak" else None) == "/bin/espeak"
    assert espeak_program.find(lambda _: None) is None


@given(st.integers(0, len(HEADER) + 20), st.booleans())
def test_a_header_is_understood_however_it_is_cut(size: int, extra: bool) -> None:
    chunk = b"LIST\3\0\0\0abc\0" if extra else b""
    data = (HEADER[:36] + chunk + HEADER[36:] + b"\1" * 20)[:size]
    found = wav_format(data)
    assert found == (Format(22_050, 44 + len(chunk)) if size >= 44 + len(chunk) else None)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_header_no_header_yet_or_an_error(data: bytes) -> None:
    for start in (b"", HEADER[:12], HEADER[:20]):
        with contextlib.suppress(ValueError):  # and no other
            found = wav_format(start + data)
            assert found is None or 8_000 <= found.rate <= 48_000


@given(st.text(alphabet="[]a\0 ", max_size=20))
def test_no_text_is_taken_for_phonemes(text: str) -> None:
    spoken = espeak_program.spoken(text)
    assert "[[" not in spoken
    assert "\0" not in spoken
    assert spoken.replace(" ", "") == text.replace("\0", "").replace(" ", "")


# --- the real program -------------------------------------------------------------------------------------------------


@real
def test_a_text_is_spoken_in_small_pieces() -> None:
    async def run() -> None:
        async with _voice() as voice:
            assert voice.rate == 22_050
            assert "GPL" in voice.info.licence
            assert voice.info.note.startswith("espeak-ng 1.")
            assert isinstance(voice, SpeaksLanguage)
            assert voice.language == "en-us"
            pieces = [piece async for piece in voice.speak("Grüß Gott, naïve café. It costs 42 €.")]
            assert pieces[0].samples.size <= 0.061 * 22_050
            assert all(piece.samples.size <= 0.201 * 22_050 for piece in pieces)
            sound = np.concatenate([piece.samples for piece in pieces])
            assert 2 < sound.size / 22_050 < 8
            assert dbfs(sound) > -35
            again = await _said(voice, "Grüß Gott, naïve café. It costs 42 €.")
            assert np.array_equal(sound, again)
            assert (await _said(voice, " \n")).size == 0

    asyncio.run(run())


@real
def test_voice_and_rate_are_the_programs() -> None:
    async def run() -> None:
        async with _voice("espeak-ng-program:de", rate_wpm=120) as voice:
            slow = await _said(voice, "Guten Tag.")
            assert voice.language == "de"
        async with _voice("espeak-ng-program", voice="de", rate_wpm=300, pitch=80) as voice:
            assert (await _said(voice, "Guten Tag.")).size < 0.6 * slow.size

    asyncio.run(run())


@real
@pytest.mark.parametrize("text", ["\0", "\ud83d", "[[h@'loU]] <speak>&", "-v de", "\u202e" * 50, "x" * 3000, "--help"])
def test_strange_texts_are_spoken_or_silent_and_never_an_error(text: str) -> None:
    async def run() -> None:
        async with _voice() as voice:
            await _said(voice, text)

    asyncio.run(run())


@real
def test_an_unknown_voice_is_an_error_with_the_programs_words() -> None:
    async def run() -> None:
        async with _voice("espeak-ng-program:zz"):
            pass

    with pytest.raises(EngineFailed, match="voice does not exist") as caught:
        asyncio.run(run())
    assert "--voices" in caught.value.hint


@real
def test_closing_the_iterator_ends_the_program_and_the_next_text_is_whole() -> None:
    async def run() -> None:
        async with _voice() as voice:
            whole = await _said(voice, "Hello there.")
            for _ in range(3):
                long = cast("AsyncGenerator[Speech, None]", voice.speak("word " * 20_000))
                await anext(long)
                now = voice._now
                assert now is not None
                await asyncio.wait_for(long.aclose(), 2)
                assert np.array_equal(await asyncio.wait_for(_said(voice, "Hello there."), 5), whole)
                assert now.process.poll() is not None

    asyncio.run(run())


@real
def test_cancelling_the_task_that_listens_leaves_the_voice_usable() -> None:
    async def run() -> None:
        async with _voice() as voice:

            async def listen() -> None:
                async for _ in voice.speak("word " * 20_000):
                    await asyncio.sleep(0)

            task = asyncio.create_task(listen())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await asyncio.wait_for(_said(voice, "Hello."), 5)).size

    asyncio.run(run())


@real
def test_closing_while_it_speaks_leaves_nothing() -> None:
    async def run() -> None:
        async with _voice() as voice:
            speech = voice.speak("word " * 20_000)
            await anext(speech)
            await asyncio.wait_for(voice.close(), 5)

    asyncio.run(run())


# --- programs that are none -------------------------------------------------------------------------------------------


def _program(folder: Path, code: str) -> Path:
    path = folder / "espeak-ng"
    path.write_text(f"#!{sys.executable}\nimport sys, time, os\nHEADER = {HEADER!r}\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _load(**options: Any) -> None:
    async def run() -> None:
        async with _voice(**options):
            pass

    asyncio.run(asyncio.wait_for(run(), 30))


@unix
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.stderr.write('no data'); sys.exit(2)", "exit status 2: no data"),
        ("pass", "exit status 0"),
        ("os.write(1, b'hello, I am a shell, and no speech')", "no WAV file"),
        ("os.write(1, HEADER.replace(bytes([1, 0, 1, 0]), bytes([1, 0, 2, 0])))", "2 channels"),
        ("os.write(1, HEADER + bytes(99)); os.kill(os.getpid(), 9)", "exit status -9"),
        ("sys.stdin.read(); os.write(1, HEADER)", "made no sound"),
    ],
)
def test_a_program_that_fails_is_an_error_that_says_how(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(EngineFailed, match=said):
        _load(program=_program(tmp_path, code))


@unix
def test_a_program_that_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(EngineTimeout):
        _load(program=_program(tmp_path, "time.sleep(60)"), deadline=0.5)
    assert time.monotonic() - began < 20


@unix
def test_closing_the_iterator_ends_a_program_that_hangs_in_the_middle(tmp_path: Path) -> None:
    code = "text = sys.stdin.read(); os.write(1, HEADER + bytes(4000)); time.sleep(60 if 'hang' in text else 0)"

    async def run() -> None:
        async with _voice(program=_program(tmp_path, code), deadline=40) as voice:
            speech = cast("AsyncGenerator[Speech, None]", voice.speak("hang"))
            await anext(speech)
            listening = asyncio.ensure_future(anext(speech))
            await asyncio.sleep(0.1)
            listening.cancel()
            await asyncio.wait([listening])
            await speech.aclose()
            assert (await asyncio.wait_for(_said(voice, "Go on."), 10)).size == 2_000

    asyncio.run(asyncio.wait_for(run(), 30))


@unix
def test_a_program_that_complains_without_end_or_does_not_read_does_not_hold_us(tmp_path: Path) -> None:
    noisy = "sys.stderr.write('x' * 2_000_000); os.write(1, HEADER + bytes(4000))"

    async def run() -> None:
        async with _voice(program=_program(tmp_path, noisy)) as voice:
            assert (await _said(voice, "word " * 200_000)).size == 2_000

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_missing_program_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert shutil.which("espeak-ng") is None
    with pytest.raises(EngineMissing, match="not installed") as caught:
        _load()
    assert "espeak-ng" in caught.value.hint
    with pytest.raises(EngineFailed, match="could not be started"):
        _load(program="/no/such/espeak-ng")
