"""The examples run as they are, and do what they say."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.server.ipc_running import TOKEN, allow, running

from locara import cli
from locara.devices.wav import read_wav
from locara.engines import registry
from locara.errors import ConfigError, EngineMissing
from locara.testing.conformance_backend import examine_backend
from locara.voice import Said

FOLDER = Path(__file__).parents[1] / "examples"
Load = Callable[[str], ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Imports an example by its name, anew."""

    def import_(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return import_


def test_every_example_is_tested_here() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in FOLDER.glob("*.py"):
        assert f'load("{path.stem}")' in tested, f"{path.name} has no test"


def test_talk_in_code_answers_both_questions_of_the_recording(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = load("talk_in_code")
    answer = tmp_path / "answer.wav"
    history = talk.main([talk.QUESTION, str(answer), "--simulated", "--llm", "built-in"])
    assert [said.role for said in history] == ["user", "assistant"] * 2
    assert [said.text for said in history if said.role == "user"] == ["what time is it", "what is twelve times seven"]
    assert "84" in history[3].text
    samples, rate = read_wav(answer)
    recorded, recorded_rate = read_wav(talk.QUESTION)
    assert samples.size / rate >= recorded.size / recorded_rate, "the answer is as long as the conversation"
    assert np.abs(samples).max() > 0.05
    assert len(re.findall(r"answered \d\.\d\d s after your last sound", capsys.readouterr().out)) == 2


def test_the_app_with_a_manifest_answers_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FOLDER / "app"
    monkeypatch.syspath_prepend(str(app))
    spec = importlib.util.spec_from_file_location("example_app", app / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "example_app", module)
    try:
        spec.loader.exec_module(module)
        history = module.main(["--output", str(tmp_path / "answer.wav"), "--simulated"])
    finally:
        sys.modules.pop("settings", None)
    assert [said.role for said in history] == ["user", "assistant"] * 2
    assert "you said: what time is it" in capsys.readouterr().out
    samples, _ = read_wav(tmp_path / "answer.wav")
    assert np.abs(samples).max() > 0.05


def test_push_audio_hears_what_the_app_pushes(load: Load) -> None:
    told = load("push_audio").main(["--simulated", "--llm", "built-in"])
    heard = [event.text for event in told if event.type == "final-transcript"]
    assert heard == ["what time is it", "what is twelve times seven"]
    assert not [event for event in told if event.type == "error"]


def test_over_ipc_asks_a_server_and_writes_what_it_answered(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))
    example, answer = load("over_ipc"), tmp_path / "answer.wav"

    async def serve_and_ask() -> list[Said]:
        allow()
        async with running(monkeypatch, ["It is noon."], hears="what time is it") as server:
            command = [server.url, TOKEN, str(Path(cli.__file__).with_name("question.wav")), str(answer)]
            said: list[Said] = await asyncio.to_thread(example.main, command)
            return said

    said = asyncio.run(asyncio.wait_for(serve_and_ask(), 60))
    assert [one.text for one in said[:2]] == ["what time is it", "It is noon."]
    assert "server: It is noon." in capsys.readouterr().out
    samples, rate = read_wav(answer)
    assert samples.size / rate >= len("It is noon.") / 15
    assert np.abs(samples).max() > 0.05


def test_own_tool_acts_once_and_only_for_the_whole_wish(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    example = load("own_tool")
    result = example.converse()
    assert result.texts("final-transcript") == ["switch on the lamp in the kitchen"]
    assert example.switched == ["kitchen"]
    assert example.lamps == {"kitchen": True, "hall": False}
    kinds = [event.type for event in result.of("final-transcript", "tool-call", "tool-result")]
    assert kinds == ["final-transcript", "tool-call", "tool-result", "tool-call", "tool-result"]
    assert result.metrics["wasted"] == 1, "the reply to the first half was thrown away"
    assert len(example.looked) == 2, "a tool that only looks may run for a turn that is not decided"
    example.switched.clear()
    example.looked.clear()
    example.main()
    assert "switched 1 time(s)" in capsys.readouterr().out


def test_own_backend_hears_syllables_and_says_how_many(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    result = load("own_backend").main()
    assert [one.text for one in result.history if isinstance(one, Said) and one.role == "assistant"] == [
        "I heard 4 syllables.",  # what time is it
        "I heard 6 syllables.",  # what is twelve times seven
    ]
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    assert not result.of("error")
    assert np.abs(result.output).max() > 0.05
    assert "s  I heard 6 syllables." in capsys.readouterr().out


def test_own_backend_keeps_the_contract_of_backends(load: Load) -> None:
    outcomes = asyncio.run(examine_backend(load("own_backend").Syllables))
    assert all(outcome.passed for outcome in outcomes), outcomes
    assert {one.check for one in outcomes if one.verdict == "not claimed"} == {"whole frames", "typed text", "busy"}


def test_own_voice_speaks_morse_code_in_a_conversation(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load("own_voice").main()
    out = capsys.readouterr().out
    assert "Morse code Here I am." in out
    assert "turn-end: finished" in out


def test_own_voice_is_found_by_its_name_like_any_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What `pip install` leaves behind of a package with this entry point; see docs/engines.md.
    plugin = tmp_path / "locara_morse-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: locara-morse\nVersion: 1.0\n", encoding="utf-8")
    (plugin / "entry_points.txt").write_text("[locara.tts]\nmorse = own_voice:create\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(FOLDER))
    try:
        voice = registry.create("tts", "morse", {"wpm": 25})
        assert voice.info.engine == "morse"
        assert "morse" in registry.models("tts")
        with pytest.raises(ConfigError, match="no option speed"):
            registry.create("tts", "morse", {"speed": 2})
        with pytest.raises(EngineMissing) as caught:
            registry.create("tts", "morze", {})
        assert "did you mean 'morse'" in caught.value.hint
    finally:
        sys.modules.pop("own_voice", None)
