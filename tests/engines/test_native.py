"""The word ``native``: the rules, and what they are on this machine."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara import voice
from locara.engines import espeak_program, native, registry
from locara.engines.native_choice import Chosen, NativeKind, Part, Refused, System, choose
from locara.errors import ConfigError, EngineMissing

EVERYTHING = frozenset(get_args(Part))


@pytest.mark.parametrize(
    ("kind", "system", "model"),
    [
        ("stt", System("darwin", (26, 1), EVERYTHING), "apple-dictation"),
        ("tts", System("darwin", (26, 1), EVERYTHING), "apple-avspeech"),
        ("tts", System("darwin", (13, 2), EVERYTHING), "apple-avspeech"),
        ("tts", System("win32", (10, 0, 26100), EVERYTHING), "windows-tts"),
        ("tts", System("linux", (), EVERYTHING), "espeak-ng-program"),
    ],
)
def test_what_a_system_brings_is_taken_with_a_reason(kind: NativeKind, system: System, model: str) -> None:
    chosen = choose(kind, system)
    assert isinstance(chosen, Chosen)
    assert chosen.model == model
    assert chosen.why


@pytest.mark.parametrize(
    ("kind", "system", "why", "hint"),
    [
        ("stt", System("darwin", (15, 6), EVERYTHING), "came with macOS 26", "moonshine"),
        ("stt", System("darwin", (26, 1)), "no Swift", "xcode-select --install"),
        ("tts", System("darwin", (26, 1)), "no Swift", "xcode-select --install"),
        ("stt", System("win32", (10,), EVERYTHING), "package identity", "moonshine"),
        ("tts", System("win32", (10,)), "not installed", 'pip install "locara[windows]"'),
        ("stt", System("linux", (), EVERYTHING), "no recogniser", "moonshine"),
        (
            "tts",
            System("linux", (), install="sudo dnf install espeak-ng"),
            "not installed",
            "sudo dnf install espeak-ng",
        ),
        ("vad", System("darwin", (26, 1), EVERYTHING), "SpeechDetector", "silero"),
        ("llm", System("darwin", (26, 1), EVERYTHING), "Xcode", "auto"),
        ("tts", System("freebsd14", (), EVERYTHING), "freebsd14", "kokoro"),
    ],
)
def test_what_a_system_does_not_have_is_said_with_what_to_do(
    kind: NativeKind, system: System, why: str, hint: str
) -> None:
    refused = choose(kind, system)
    assert isinstance(refused, Refused)
    assert why in refused.why
    assert hint in refused.hint


@given(
    st.sampled_from(get_args(NativeKind)),
    st.sampled_from(["darwin", "win32", "linux", "sunos5", ""]),
    st.lists(st.integers(0, 40), max_size=3).map(tuple),
    st.frozensets(st.sampled_from(get_args(Part))),
)
def test_there_is_always_an_answer_and_what_is_chosen_is_an_engine_here(
    kind: NativeKind, platform: str, version: tuple[int, ...], parts: frozenset[Part]
) -> None:
    answer = choose(kind, System(platform, version, parts))
    if isinstance(answer, Refused):
        assert answer.why
        assert answer.hint
    else:
        assert answer.model in registry.models(kind)
        assert not isinstance(choose(kind, System(platform, version, EVERYTHING)), Refused)


def test_only_the_word_itself_is_answered() -> None:
    for create in (native.create_stt, native.create_tts, native.create_vad, native.create_llm):
        for model in ("", "silero", "espeak-ng", "apple-dictation", "Native"):
            create(model, {})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a Linux system has")
def test_on_linux_there_is_no_recogniser_and_no_detector() -> None:
    for kind, said in (("stt", "no recogniser"), ("vad", "silero"), ("llm", "auto")):
        with pytest.raises(EngineMissing) as caught:
            registry.create(kind, "native", {})  # type: ignore[arg-type]
        assert said in caught.value.explain()
    with pytest.raises(EngineMissing, match="no recogniser"):
        voice.session(stt="native", input="none", output="none")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a Linux system has")
@pytest.mark.skipif(espeak_program.find() is None, reason="the program espeak-ng is not installed")
def test_on_linux_the_voice_is_the_program_and_the_plan_says_so() -> None:
    async def run() -> None:
        session = voice.session(tts={"model": "native", "voice": "de"}, llm="built-in", input="none", output="none")
        async with session:
            plan = session.plan["tts"]
            assert plan["engine"] == "espeak-ng-program"
            assert plan["model"] == "espeak-ng-program:de"
            assert plan["why"] == "the program espeak-ng is installed"

    asyncio.run(run())
    with pytest.raises(ConfigError, match="no option"):
        registry.create("tts", "native", {"speed": 3})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a Linux system has")
def test_without_the_program_the_error_has_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(EngineMissing, match="not installed") as caught:
        registry.create("tts", "native", {})
    assert "espeak-ng" in caught.value.hint
