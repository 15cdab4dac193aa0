"""The Swift sidecars themselves: compiled here, where there is a Swift compiler, and run against stand-ins for Apple's
frameworks (swift_stubs/). On a Mac they are compiled against the real frameworks too, and not run.

``LOCARA_SWIFTC`` names the compiler's command if it is not on the PATH, ``LOCARA_SWIFT_RUN`` a command in front of the
compiled programs (a container's, for example)."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from locara.audio import BLOCK
from locara.engines import apple_avspeech, apple_sfspeech, apple_speech, swift_program
from locara.engines.contracts import Speech
from locara.engines.sidecar_recogniser import Listening, SidecarRecogniser
from locara.engines.sidecar_voice import SidecarVoice
from locara.engines.swift_program import Toolchain
from locara.errors import EngineFailed

STUBS = Path(__file__).with_name("swift_stubs")
TENTH = 1_600
COMPILER = shlex.split(os.environ.get("LOCARA_SWIFTC", "")) or [one for one in [shutil.which("swiftc")] if one]
RUN = shlex.split(os.environ.get("LOCARA_SWIFT_RUN", ""))

pytestmark = pytest.mark.skipif(not COMPILER, reason="no swiftc (https://www.swift.org/install), or LOCARA_SWIFTC")
on_linux = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the real frameworks under these names")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name -> program, linked with the stand-ins."""
    folder = tmp_path_factory.mktemp("swift")
    for name in ("AVFoundation", "Speech"):
        subprocess.run(
            [*COMPILER, "-swift-version", "5", "-parse-as-library", "-emit-library", "-static", "-emit-module",
             "-emit-module-path", str(folder / f"{name}.swiftmodule"), "-module-name", name, "-I", str(folder),
             str(STUBS / f"{name}.swift"), "-o", str(folder / f"lib{name}.a")],
            check=True, capture_output=True, timeout=100,
        )  # fmt: skip
    tools = Toolchain(tuple(COMPILER), "of the test")
    more = ["-I", str(folder), "-L", str(folder), "-lSpeech", "-lAVFoundation"]
    return {
        name: swift_program.build(name, tools, folder / "built", stage="stt", model=name, more=more)
        for name in ("analyzer", "sfspeech", "avspeech")
    }


def _ear(programs: dict[str, Path], model: str, environment: str = "", **options: object) -> SidecarRecogniser:
    module = apple_sfspeech if model == "apple-sfspeech" else apple_speech
    name = "sfspeech" if model == "apple-sfspeech" else "analyzer"
    command = ["env", environment, *RUN, str(programs[name])] if environment else [*RUN, str(programs[name])]
    engine = module.create(model, {"program": command, **options})
    assert isinstance(engine, SidecarRecogniser)
    return engine


async def _push(listening: Listening, tenths: int) -> None:
    for _ in range(tenths * TENTH // BLOCK):
        await listening.push(np.full(BLOCK, 0.1, np.float32))
        await asyncio.sleep(0)


async def _partial(listening: Listening, text: str) -> None:
    for _ in range(1_000):
        if listening.heard.text == text:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(listening.heard)


@on_linux
@pytest.mark.parametrize(
    ("model", "environment"),
    [
        ("apple-dictation", ""),
        ("apple-dictation", "STUB_FORMAT=float"),  # sound has to be converted on the way
        ("apple-speech-analyzer", ""),
        ("apple-sfspeech", ""),
    ],
)
def test_a_recogniser_hears_turns_settles_twice_and_drops_what_is_dropped(
    programs: dict[str, Path], model: str, environment: str
) -> None:
    async def run() -> None:
        engine = _ear(programs, model, environment)
        try:
            await engine.load()
            for _ in range(3):
                listening = engine.open()
                await _push(listening, 3)
                await _partial(listening, "one two three")
                assert (await listening.settle()).text == "one two three"
                await _push(listening, 2)
                assert (await listening.settle()).text == "one two three one two"
                assert (await listening.settle()).text == "one two three one two"
                await listening.close()
            dropped = engine.open()
            await _push(dropped, 4)
            await dropped.close()
            listening = engine.open()
            await _push(listening, 1)
            assert (await listening.settle()).text == "one"
            await listening.close()
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(run(), 60))


@on_linux
@pytest.mark.parametrize(
    ("model", "environment", "language", "said", "hint"),
    [
        ("apple-dictation", "", "fr-FR", "fr-FR is not supported", "de-DE, en-US, ja-JP"),
        ("apple-dictation", "STUB_ASSETS=missing", "de-DE", "for de-DE is not on this Mac", "install=true"),
        ("apple-sfspeech", "STUB_ASSETS=missing", "de-DE", "sound is not sent to Apple", "Dictation"),
        ("apple-sfspeech", "STUB_PERMISSION=denied", "en-US", "does not let this app", "Speech Recognition"),
        ("apple-sfspeech", "STUB_PERMISSION=abort", "en-US", "NSSpeechRecognitionUsageDescription", "Terminal"),
        ("apple-sfspeech", "", "fr-FR", "does not know the language fr-FR", "en-US"),
    ],
)
def test_what_macos_does_not_have_or_does_not_allow_is_said(
    programs: dict[str, Path], model: str, environment: str, language: str, said: str, hint: str
) -> None:
    async def run() -> None:
        engine = _ear(programs, model, environment, language=language)
        try:
            await engine.load()
        finally:
            await engine.close()

    with pytest.raises(EngineFailed, match=said) as caught:
        asyncio.run(asyncio.wait_for(run(), 60))
    assert hint in caught.value.hint


@on_linux
def test_a_model_that_is_missing_is_installed_when_that_was_asked_for(programs: dict[str, Path]) -> None:
    async def run() -> None:
        engine = _ear(programs, "apple-dictation", "STUB_ASSETS=missing", install=True)
        try:
            await engine.load()
        finally:
            await engine.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def _mouth(programs: dict[str, Path], environment: str = "", **options: object) -> SidecarVoice:
    command = (
        ["env", environment, *RUN, str(programs["avspeech"])] if environment else [*RUN, str(programs["avspeech"])]
    )
    voice = apple_avspeech.create("apple-avspeech", {"program": command, **options})
    assert isinstance(voice, SidecarVoice)
    return voice


@on_linux
def test_the_voice_speaks_with_words_and_what_was_stopped_is_not_heard_in_the_next_text(
    programs: dict[str, Path],
) -> None:
    async def run() -> None:
        voice = _mouth(programs)
        try:
            await voice.load()
            assert voice.rate == 22_050
            assert voice.language == "en-US"
            assert voice.info.word_times
            assert [one["name"] for one in voice.voices] == ["Samantha", "Anna"]
            for _ in range(3):
                long = cast("AsyncGenerator[Speech, None]", voice.speak("long " * 500))
                await anext(long)
                await long.aclose()
                text = "Grüße \N{GRINNING FACE} to you"
                pieces = [piece async for piece in voice.speak(text)]
                marks = [word for piece in pieces for word in piece.words]
                assert [text[word.start : word.end] for word in marks] == text.split()
                assert [word.at for word in marks] == [0, 1_102, 2_204, 3_306]
                sound = np.concatenate([piece.samples for piece in pieces])
                assert sound.size == 4 * 1_102
                assert np.allclose(np.abs(sound), 0.5, atol=1e-3)
        finally:
            await voice.close()

    asyncio.run(asyncio.wait_for(run(), 60))


@on_linux
@pytest.mark.parametrize(
    ("environment", "options", "said"),
    [
        ("", {"voice": "Siri"}, "has no voice Siri"),
        ("", {"language": "fr-FR"}, "no voice for fr-FR"),
        ("", {"personal": True}, "has no Personal Voice"),
        ("STUB_PERSONAL=no", {"personal": True}, "may not be used here"),
    ],
)
def test_a_voice_that_is_not_there_or_not_allowed_is_said(
    programs: dict[str, Path], environment: str, options: dict[str, object], said: str
) -> None:
    async def run() -> None:
        voice = _mouth(programs, environment, **options)
        try:
            await voice.load()
        finally:
            await voice.close()

    with pytest.raises(EngineFailed, match=said) as caught:
        asyncio.run(asyncio.wait_for(run(), 60))
    assert caught.value.hint


@on_linux
@pytest.mark.parametrize(
    ("environment", "options", "language", "name"),
    [("", {"voice": "anna"}, "de-DE", "Anna"), ("STUB_PERSONAL=yes", {"personal": True}, "en-US", "Mine")],
)
def test_a_voice_is_found_by_its_name_and_the_own_one_after_a_question(
    programs: dict[str, Path], environment: str, options: dict[str, object], language: str, name: str
) -> None:
    async def run() -> None:
        voice = _mouth(programs, environment, **options)
        try:
            await voice.load()
            assert (voice.language, voice.info.note) == (language, name)
        finally:
            await voice.close()

    asyncio.run(asyncio.wait_for(run(), 60))


@on_linux
def test_closing_the_pipe_ends_the_program(programs: dict[str, Path]) -> None:
    for name, arguments in (("analyzer", ["--locale", "en-US"]), ("sfspeech", []), ("avspeech", [])):
        ended = subprocess.run(
            [*RUN, str(programs[name]), *arguments], input=b"", capture_output=True, timeout=30, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert b'"ready"' in ended.stdout


@pytest.mark.skipif(sys.platform != "darwin", reason="Apple's frameworks are on a Mac only")
@pytest.mark.parametrize("name", ["analyzer", "sfspeech", "avspeech"])
def test_on_a_mac_the_sources_compile_against_the_real_frameworks(name: str, tmp_path: Path) -> None:
    tools = swift_program.toolchain(stage="stt", model=name)
    if name == "analyzer" and int(tools.sdk_version.partition(".")[0]) < 26:
        pytest.skip(f"the SDK here is that of macOS {tools.sdk_version}; SpeechAnalyzer came with 26")
    assert swift_program.build(name, tools, tmp_path, stage="stt", model=name).exists()
