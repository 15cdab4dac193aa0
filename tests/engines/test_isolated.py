"""Voices in an environment of their own: a toy worker for every fault, and Pocket TTS itself where it is installed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.engines import environments, f5_tts, pocket_tts, registry, xtts
from locara.engines.contracts import EngineInfo, Speech
from locara.engines.isolated import Environment, IsolatedVoice
from locara.errors import ConfigError, EngineFailed, EngineMissing, ModelMissing
from locara.testing.conformance import Specimen, examine

POCKET_PYTHON = os.environ.get("LOCARA_POCKET_TTS_PYTHON", "")

_WORKER = """
import os, time
import numpy as np
from locara.engines.isolated_worker import Trouble, work

class Toy:
    def load(self, options):
        if options.get("fault") == "import":
            import no_such_module
        if options.get("fault") == "trouble":
            raise Trouble("the weights are torn", hint="mend them")
        return 16_000

    def speak(self, text, stop):
        if "crash" in text:
            os._exit(3)
        for n in range(len(text)):
            if stop.wait(60 if "hang" in text and n else 0):
                return
            yield np.full(800, n / 1000, np.float32)

work(Toy())
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``toy(fault=...)``: a voice whose worker is ours, run by this interpreter as if it were another."""
    (tmp_path / "toy_voice_worker.py").write_text(_WORKER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    where = Environment("toy", "json", "toy", "toy_voice_worker")

    def make(**options: Any) -> IsolatedVoice:
        return IsolatedVoice(EngineInfo("toy", "toy", "MIT"), where, options, language="de", python=sys.executable)

    return make


async def _speech(voice: IsolatedVoice, text: str) -> list[Speech]:
    return [piece async for piece in voice.speak(text)]


def test_it_keeps_the_contract_of_a_voice(toy: Any) -> None:
    outcomes = asyncio.run(examine("tts", toy, Specimen(np.zeros(16_000, np.float32))))
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_it_speaks_stops_at_once_and_comes_back_after_a_crash(toy: Any) -> None:
    async def talk() -> None:
        voice = toy()
        await voice.load()
        try:
            assert (voice.rate, voice.language, voice.info.where) == (
                16_000,
                "de",
                "child process, its own environment",
            )
            assert [round(float(piece.samples[0]) * 1000) for piece in await _speech(voice, "abc")] == [0, 1, 2]
            assert await _speech(voice, " ... ") == []
            stream = voice.speak("hang on")
            await anext(stream)
            await stream.aclose()
            async with asyncio.timeout(30):  # the worker would wait for a minute
                assert len(await _speech(voice, "ab")) == 2
            with pytest.raises(EngineFailed, match="process has died"):
                await _speech(voice, "crash")
            assert len(await _speech(voice, "ab")) == 2
        finally:
            await voice.close()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("fault", "kind", "text", "hint"),
    [
        ("import", EngineMissing, "no_such_module", "install toy into that environment"),
        ("trouble", EngineFailed, "the weights are torn", "mend them"),
    ],
)
def test_what_goes_wrong_while_loading_says_what_to_do(
    toy: Any, fault: str, kind: type[Exception], text: str, hint: str
) -> None:
    async def load() -> None:
        voice = toy(fault=fault)
        try:
            with pytest.raises(kind, match=text) as caught:
                await voice.load()
            assert hint in getattr(caught.value, "hint", "")
        finally:
            await voice.close()

    asyncio.run(load())


def test_the_environment_is_looked_for_in_order_and_its_absence_is_two_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCARA_ENVIRONMENTS", str(tmp_path))
    find = {"stage": "tts", "model": "m"}
    assert environments.python("x", "json", "x", **find) == sys.executable
    with pytest.raises(EngineMissing, match="environment of its own") as caught:
        environments.python("x", "no_such_module", '"x>=1"', **find)
    assert "-m venv" in caught.value.hint
    assert '-m pip install "x>=1"' in caught.value.hint
    own = tmp_path / "x" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    own.parent.mkdir(parents=True)
    own.touch()
    assert environments.python("x", "no_such_module", "x", **find) == str(own)
    assert environments.python("x", "json", "x", given=sys.executable, **find) == sys.executable
    with pytest.raises(ConfigError, match="no Python interpreter"):
        environments.python("x", "json", "x", given=str(tmp_path / "absent"), **find)


def test_the_folder_is_the_platforms_own() -> None:
    home = Path("/home/a")
    assert environments.folder("x", {}, "linux", home) == Path("/home/a/.local/share/locara/environments/x")
    assert environments.folder("x", {"XDG_DATA_HOME": "/d"}, "linux", home) == Path("/d/locara/environments/x")
    assert "Application Support" in str(environments.folder("x", {}, "darwin", home))
    assert environments.folder("x", {"LOCALAPPDATA": "/l"}, "win32", home) == Path("/l/locara/environments/x")


@pytest.mark.parametrize(
    ("model", "options", "kind", "text"),
    [
        ("pocket-tts", {}, ModelMissing, "needs its weights"),
        ("pocket-tts", {"path": "x", "voise": "alba"}, ConfigError, "no option 'voise'"),
        ("f5-tts", {"path": "x"}, ConfigError, "voice of a recording"),
        ("f5-tts", {}, ModelMissing, "needs its weights"),
        ("xtts-v2", {"path": "x", "voice": "a.wav", "language": "klingon"}, ConfigError, "does not speak 'klingon'"),
        ("xtts-v2", {"path": "x"}, ConfigError, "voice of a recording"),
        ("xtts-v2", {"path": "x", "voice": "a.wav", "sped": 1}, ConfigError, "no option 'sped'"),
    ],
)
def test_bad_options_say_what_is_wrong(model: str, options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        registry.create("tts", model, options)


def test_each_knows_its_own_models_and_its_licence() -> None:
    for module in (pocket_tts, f5_tts, xtts):
        assert module.create("something-else", {"path": "x"}) is None
    made = f5_tts.create("my-f5", {"engine": "f5-tts", "path": "x", "voice": "a.wav", "voice_text": "hello"})
    assert made is not None
    assert "not for commercial use" in made.info.licence


@pytest.mark.skipif(not POCKET_PYTHON, reason="LOCARA_POCKET_TTS_PYTHON names no interpreter with pocket-tts")
def test_pocket_tts_itself_keeps_the_contract_with_random_weights(tmp_path: Path) -> None:
    script = Path(__file__).parent / "models" / "pocket_tts_random.py"
    subprocess.run([POCKET_PYTHON, str(script), str(tmp_path)], check=True, timeout=100, capture_output=True)
    options = {"path": str(tmp_path), "python": POCKET_PYTHON}
    outcomes = asyncio.run(
        examine("tts", lambda: registry.create("tts", "pocket-tts", options), Specimen(np.zeros(16_000, np.float32)))
    )
    assert all(outcome.passed for outcome in outcomes), outcomes
