"""The engines of macOS as far as they can be checked without one: names, options, errors, compiling and keeping.

That the Swift itself works is looked at in test_swift_programs.py, where there is a compiler."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from locara.engines import apple_avspeech, apple_sfspeech, apple_speech, apple_system, registry, swift_program
from locara.engines.contracts import SpeaksLanguage
from locara.engines.sidecar_recogniser import SidecarRecogniser
from locara.engines.sidecar_voice import SidecarVoice
from locara.engines.swift_program import Toolchain
from locara.errors import ConfigError, EngineFailed, EngineMissing

FAKE = [sys.executable, str(Path(__file__).with_name("fake_sidecar.py"))]
ANY = ["any-program"]


def test_only_their_own_names_are_answered() -> None:
    for model in apple_speech.MODELS:
        assert apple_speech.create(model, {"program": ANY}) is not None
    assert apple_sfspeech.create("apple-sfspeech", {"program": "any-program"}) is not None
    for model in ("apple-avspeech", "apple-avspeech:Samantha"):
        assert apple_avspeech.create(model, {"program": ANY}) is not None
    for module in (apple_speech, apple_sfspeech, apple_avspeech):
        for model in ("", "native", "whisper-tiny", "apple", ":x"):
            assert module.create(model, {}) is None


def test_they_come_in_through_the_registry() -> None:
    engine = registry.create("stt", "apple-dictation", {"engine": "apple-speech", "path": "/x", "program": ANY})
    assert engine.info.engine == "apple-speech"
    assert {"apple-dictation", "apple-speech-analyzer", "apple-sfspeech"} <= set(registry.models("stt"))
    assert "apple-avspeech" in registry.models("tts")


@pytest.mark.skipif(sys.platform == "darwin", reason="there they are")
@pytest.mark.parametrize(
    ("module", "model"),
    [
        (apple_speech, "apple-dictation"),
        (apple_sfspeech, "apple-sfspeech"),
        (apple_avspeech, "apple-avspeech"),
    ],
)
def test_elsewhere_they_are_missing_and_say_what_to_use(module: Any, model: str) -> None:
    with pytest.raises(EngineMissing, match="part of macOS") as caught:
        module.create(model, {})
    assert "use a" in caught.value.hint


@pytest.mark.parametrize(
    ("told", "version"), [("26.1", (26, 1)), ("16.0", (26, 0)), ("15.7.1", (15, 7, 1)), ("10.16", (10, 16)), ("", ())]
)
def test_the_version_of_macos_is_read_also_where_an_older_number_is_told(told: str, version: tuple[int, ...]) -> None:
    assert apple_system.mac_version(told) == version


@pytest.mark.parametrize(
    ("module", "model", "options", "said"),
    [
        (apple_speech, "apple-dictation", {"langauge": "de"}, "did you mean 'language'"),
        (apple_speech, "apple-dictation", {"language": "English please"}, "language"),
        (apple_speech, "apple-dictation", {"install": "yes"}, "install"),
        (apple_speech, "apple-dictation", {"deadline": 0}, "deadline"),
        (apple_speech, "apple-dictation", {"program": []}, "program"),
        (apple_speech, "apple-dictation", {"program": 3}, "program"),
        (apple_sfspeech, "apple-sfspeech", {"install": True}, "no option"),
        (apple_avspeech, "apple-avspeech", {"rate": 2}, "rate"),
        (apple_avspeech, "apple-avspeech", {"pitch": True}, "pitch"),
        (apple_avspeech, "apple-avspeech", {"voice": "--personal"}, "voice"),
        (apple_avspeech, "apple-avspeech:Anna", {"voice": "Samantha"}, "two voices"),
        (apple_avspeech, "apple-avspeech", {"personal": 1}, "personal"),
    ],
)
def test_bad_options_are_errors_that_name_the_option(
    module: Any, model: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        module.create(model, options)
    assert said in caught.value.explain()
    assert caught.value.hint


def test_a_sidecar_of_the_apps_own_is_told_what_ours_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"import sys, pathlib; pathlib.Path({str(told)!r}).write_text(' '.join(sys.argv[1:])); sys.exit(4)"
    for engine, words in (
        (
            apple_speech.create(
                "apple-dictation", {"language": "de_DE", "install": True, "program": [sys.executable, "-c", script]}
            ),
            "--model dictation --locale de-DE --install",
        ),
        (
            apple_avspeech.create("apple-avspeech:Anna", {"personal": True, "program": [sys.executable, "-c", script]}),
            "--rate 0.5 --pitch 1 --voice Anna --personal",
        ),
    ):
        assert engine is not None
        with pytest.raises(EngineFailed, match="exit status 4"):
            asyncio.run(_load(engine))
        assert told.read_text() == words


async def _load(engine: Any) -> None:
    try:
        await engine.load()
    finally:
        await engine.close()


def test_a_whole_turn_and_a_whole_text_through_the_engines() -> None:
    async def run() -> None:
        ear = apple_speech.create("apple-dictation", {"program": [*FAKE, "stt", "none"]})
        mouth = apple_avspeech.create("apple-avspeech", {"program": [*FAKE, "tts", "none"]})
        assert isinstance(ear, SidecarRecogniser)
        assert isinstance(mouth, SidecarVoice)
        assert isinstance(mouth, SpeaksLanguage)
        try:
            await ear.load()
            await mouth.load()
            listening = ear.open()
            sound = [piece async for piece in mouth.speak("Hello there.")]
            for piece in sound:
                await listening.push(piece.samples)
            assert (await listening.settle()).text == "one"
            assert mouth.language == "en-US"
        finally:
            await ear.close()
            await mouth.close()

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGABRT")
def test_a_terminal_that_may_not_recognise_speech_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM_PROGRAM", "vscode")
    engine = apple_sfspeech.create("apple-sfspeech", {"program": [*FAKE, "stt", "aborts-at-start"]})
    with pytest.raises(EngineFailed, match="Visual Studio Code does not declare") as caught:
        asyncio.run(_load(engine))
    assert "Terminal" in caught.value.hint
    assert apple_system.aborted(-signal.SIGSEGV, "", {}) is None
    assert "the app that started it" in (apple_system.aborted(134, "", {}) or ("",))[0]


# --- compiling --------------------------------------------------------------------------------------------------------

_COMPILER = """#!{python}
import pathlib, sys
log = pathlib.Path({log!r})
log.write_text(log.read_text() + "compiled\\n" if log.exists() else "compiled\\n")
if {fails}:
    sys.stderr.write("wire.swift:3:1: error: no such module 'Speech'\\n")
    sys.exit(1)
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
out.write_text("program")
assert all(pathlib.Path(one).exists() for one in sys.argv if one.endswith(".swift"))
"""


def _tools(folder: Path, *, fails: bool = False, version: str = "6.2") -> Toolchain:
    compiler = folder / "swiftc"
    compiler.write_text(_COMPILER.format(python=sys.executable, log=str(folder / "log"), fails=fails))
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    return Toolchain((sys.executable, str(compiler)), version)


def _compiled(folder: Path) -> int:
    log = folder / "log"
    return log.read_text().count("compiled") if log.exists() else 0


def test_a_program_is_compiled_once_and_again_for_new_tools(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = swift_program.build("analyzer", _tools(tmp_path), cache, stage="stt", model="m")
    assert swift_program.build("analyzer", _tools(tmp_path), cache, stage="stt", model="m") == first
    assert _compiled(tmp_path) == 1
    other = swift_program.build("sfspeech", _tools(tmp_path), cache, stage="stt", model="m")
    newer = swift_program.build("analyzer", _tools(tmp_path, version="6.3"), cache, stage="stt", model="m")
    assert newer != first
    assert sorted(cache.iterdir()) == sorted([other, newer])  # nothing half done, nothing old


def test_a_source_that_does_not_compile_is_an_error_with_the_compilers_words(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="no such module 'Speech'") as caught:
        swift_program.build("analyzer", _tools(tmp_path, fails=True), tmp_path / "cache", stage="stt", model="m")
    assert "report" in caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineFailed, match="could not be kept") as caught:
        swift_program.build("analyzer", _tools(tmp_path), tmp_path / "file" / "cache", stage="stt", model="m")
    assert "LOCARA_CACHE" in caught.value.hint


def test_without_the_command_line_tools_the_error_says_how_to_get_them() -> None:
    asked: list[str] = []

    def run(command: Sequence[str], _seconds: float) -> str:
        asked.append(command[0])
        raise subprocess.CalledProcessError(2, command)

    with pytest.raises(EngineMissing) as caught:
        swift_program.toolchain(stage="stt", model="apple-dictation", run=run)
    assert caught.value.hint == "xcode-select --install"
    assert asked == ["xcode-select"]  # nothing that opens a window


def test_the_toolchain_is_what_xcrun_says() -> None:
    answers = {
        "xcode-select -p": "/Library/Developer/CommandLineTools",
        "xcrun --sdk macosx --find swiftc": "/usr/bin/swiftc",
        "/usr/bin/swiftc --version": "Apple Swift version 6.2",
        "xcrun --sdk macosx --show-sdk-path": "/SDKs/MacOSX.sdk",
        "xcrun --sdk macosx --show-sdk-version": "26.1",
    }
    tools = swift_program.toolchain(stage="stt", model="m", run=lambda command, _: answers[" ".join(command)])
    assert tools.command == ("/usr/bin/swiftc", *swift_program.FLAGS, "-sdk", "/SDKs/MacOSX.sdk")
    assert tools.sdk_version == "26.1"


@pytest.mark.parametrize("name", ["analyzer", "sfspeech", "avspeech"])
def test_the_sources_are_in_the_package(name: str) -> None:
    files = swift_program.sources(name)
    assert list(files) == ["wire.swift", f"{name}.swift"]
    assert all(b"Experimental" in content for content in files.values())
    assert os.fspath(swift_program.SOURCES).endswith("swift")
