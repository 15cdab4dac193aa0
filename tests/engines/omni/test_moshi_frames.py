"""Moshi and PersonaPlex with random weights, frame by frame, against the package itself; then through their process.

Needs ``LOCARA_KYUTAI_PYTHON``: an interpreter that has ``moshi``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import locara
from locara.engines import registry
from locara.engines.backend import BackendSettings, Ended, Frame, VoiceBackend
from locara.engines.omni import moshi
from locara.errors import ConfigError, EngineBusy, LocaraError, ModelMissing
from locara.testing.conformance_backend import examine_backend

PYTHON = os.environ.get("LOCARA_KYUTAI_PYTHON", "")
_MODELS = Path(__file__).parents[1] / "models"
_FRAME = 1920


def _run(script: str, *arguments: object) -> str:
    if not PYTHON:
        pytest.skip("LOCARA_KYUTAI_PYTHON names no interpreter with moshi")
    source = str(Path(locara.__file__).parents[1])
    environment = {**os.environ, "NO_TORCH_COMPILE": "1", "PYTHONPATH": source}
    command = [PYTHON, str(_MODELS / script), *map(str, arguments)]
    done = subprocess.run(command, check=False, timeout=110, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Moshi, with a window of 40 frames, and PersonaPlex."""
    place = tmp_path_factory.mktemp("moshi")
    _run("moshi_random.py", place / "moshi", "moshi", 40)
    _run("moshi_random.py", place / "personaplex", "personaplex", 200)
    return place / "moshi", place / "personaplex"


@pytest.mark.parametrize("case", ["one", "long", "batch", "sampled", "persona"])
def test_every_frame_is_the_packages_own(folders: tuple[Path, Path], case: str) -> None:
    found = json.loads(_run("moshi_reference.py", *folders, case))[case]
    for talk in found:
        assert talk["ours"] == talk["theirs"] == talk["same"] > 10
        # In a batch the same sums are made in another order.
        assert talk["apart"] <= (1e-5 if case in ("batch", "persona") else 0.0)
        assert talk["loudest"] > 0.1
        assert len({json.dumps(one) for one in talk["tokens"]}) > 10  # else it would prove little
        assert _plain(talk["text"]) == _plain("".join(talk["written"]))
    if case == "persona":
        many, again = found[0]["steps"]
        assert many > 40
        assert again == 1  # the prompt was kept


def _plain(text: str) -> str:
    """Without what stands for bytes and signs, which the package's server shows as they are."""
    return re.sub(r"<0x..>|</?s>|[^A-Za-z ]", "", re.sub(r"<0x([2-7].)>", lambda one: chr(int(one[1], 16)), text))


# --- its process ------------------------------------------------------------------------------------------------------


def _backend(folder: Path, **options: Any) -> VoiceBackend:
    more = {"realtime": "ignore", "late": 60.0, "precision": "fp32", "temperature": 0.0, "text_temperature": 0.0}
    made = registry.create(
        "omni", "mine", {"engine": "moshi", "path": str(folder), "python": PYTHON, **more, **options}
    )
    assert isinstance(made, VoiceBackend)
    return made


def _sound(frames: int) -> Any:
    time = np.arange(frames * _FRAME) / 24_000
    return (0.1 * np.sin(2 * np.pi * 190 * time)).astype(np.float32)


async def _talk(engine: VoiceBackend, frames: int, instructions: str = "", voice: str = "") -> list[Frame]:
    """What it says to a tone, which comes in uneven pieces."""
    session = await engine.start_session(BackendSettings(instructions, voice))
    try:
        for piece in np.array_split(_sound(frames), 7):
            await engine.push_audio(session, piece)
        found: list[Frame] = []
        async with asyncio.timeout(60):
            async for event in engine.event_stream(session):
                if isinstance(event, Frame):
                    found.append(event)
                if len(found) == frames - (0 if voice else 1):
                    break
        return found
    finally:
        await engine.stop_session(session)


def test_moshi_says_in_its_own_process_what_the_package_says(folders: tuple[Path, Path]) -> None:
    _run("moshi_reference.py", *folders, "tone")
    wanted = np.load(folders[0] / "tone.npy")
    assert wanted.shape == (11, _FRAME)

    async def talk() -> None:
        engine = _backend(folders[0], slots=2)
        await engine.load()
        try:
            can = engine.capabilities
            assert (can.duplex, can.turn_owner, can.input_rate, can.output_rate) == ("full", "model", 24_000, 24_000)
            assert (can.frame_seconds, can.clocked, can.marks_replies, can.max_sessions) == (0.08, True, False, 2)
            first, second = await asyncio.gather(_talk(engine, 12), _talk(engine, 12))
            third = await _talk(engine, 12)
            assert [one.text for one in first] == [one.text for one in second] == [one.text for one in third]
            for talk in (first, second, third):
                assert np.abs(np.stack([one.samples for one in talk]) - wanted).max() < 1e-5
            assert max(float(np.abs(one.samples).max()) for one in first) > 0.1
            assert [one.heard for one in first] == [_FRAME * number for number in range(2, 13)]
            sessions = [await engine.start_session(BackendSettings()) for _ in range(2)]
            with pytest.raises(EngineBusy):
                await engine.start_session(BackendSettings())
            with pytest.raises(ConfigError, match="cannot be told what it is"):
                await engine.start_session(BackendSettings(instructions="Be brief."))
            await engine.stop_session(sessions[0])
            events = [one async for one in engine.event_stream(sessions[0])]
            assert events[-1] == Ended("stopped")
        finally:
            await engine.close()

    asyncio.run(talk())


def test_personaplex_is_who_it_is_told_to_be(folders: tuple[Path, Path]) -> None:
    async def talk() -> None:
        engine = _backend(folders[1])
        await engine.load()
        try:
            assert (engine.capabilities.instructions, engine.capabilities.voices) == ("start", ("ANNA", "BERT"))
            anna = await _talk(engine, 8, instructions="You are the kettle.", voice="ANNA")
            other = await _talk(engine, 8, instructions="You are the bread in the oven.", voice="ANNA")
            again = await _talk(engine, 8, instructions="You are the kettle.", voice="ANNA")
            bert = await _talk(engine, 8, instructions="You are the kettle.", voice="BERT")
            told = [b"".join(one.samples.tobytes() for one in each) for each in (anna, other, again, bert)]
            assert told[0] == told[2]
            assert len(set(told)) == 3
            with pytest.raises(ConfigError, match="no voice 'ANNE'"):
                await engine.start_session(BackendSettings(voice="ANNE"))
            with pytest.raises(ConfigError, match="the role has"):
                await engine.start_session(BackendSettings(instructions="the kettle " * 200))
            assert len(await _talk(engine, 4, voice="BERT")) == 4
        finally:
            await engine.close()

    asyncio.run(talk())


@pytest.mark.parametrize("which", [0, 1])
def test_it_keeps_the_contract_of_a_backend(folders: tuple[Path, Path], which: int) -> None:
    outcomes = asyncio.run(examine_backend(lambda: _backend(folders[which], slots=2)))
    assert all(outcome.passed for outcome in outcomes), outcomes


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("model.safetensors", b"\x80\x04torn", "it is a pickle"),
        ("tokenizer.model", None, "tokenizer.model is missing"),
        ("voices/BERT.pt", b"PK\x03\x04torn", "is no voice of PersonaPlex's"),
    ],
)
def test_what_is_wrong_with_its_files_is_told(
    folders: tuple[Path, Path], tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    (tmp_path / "voices").mkdir()
    for one in (*folders[1].glob("*.*"), *folders[1].glob("voices/*")):
        place = tmp_path / one.relative_to(folders[1])
        if str(place.relative_to(tmp_path)) != name:
            place.symlink_to(one)
        elif content is not None:
            place.write_bytes(content)

    async def load() -> None:
        engine = _backend(tmp_path, voice="BERT")
        try:
            await engine.load()
            await engine.start_session(BackendSettings())
        finally:
            await engine.close()

    with pytest.raises(LocaraError, match=told) as caught:
        asyncio.run(load())
    assert caught.value.hint


# --- its options, without anything ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({}, ModelMissing, "locara models pull moshiko-pytorch-bf16"),
        ({"path": "/no/such/folder"}, ModelMissing, "/no/such/folder"),
        ({"path": ".", "devise": "cpu"}, ConfigError, "'device'"),
        ({"path": ".", "device": "tpu"}, ConfigError, "auto, cpu, cuda, mps"),
        ({"path": ".", "precision": "int8"}, ConfigError, "auto, bf16, fp16, fp32"),
        ({"path": ".", "slots": 0}, ConfigError, "from 1 to 256"),
        ({"path": ".", "temperature": -1}, ConfigError, "from 0 to 5"),
        ({"path": ".", "seed": 1.5}, ConfigError, "whole number"),
        ({"path": ".", "realtime": "no"}, ConfigError, "check, ignore"),
    ],
)
def test_what_is_wrong_with_its_options_is_told_at_once(
    options: dict[str, Any], kind: type[ConfigError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        moshi.create("moshiko-pytorch-bf16", options)
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_another_engines_model_is_not_moshis(tmp_path: Path) -> None:
    assert moshi.create("qwen2.5-omni-7b", {"path": str(tmp_path)}) is None
    made = registry.create("omni", "personaplex-7b-v1", {"path": str(tmp_path)})
    assert isinstance(made, VoiceBackend)
    assert (made.info.engine, made.capabilities.instructions) == ("moshi", "start")
    assert made.info.licence == "LicenseRef-NVIDIA-Open-Model"
    made = registry.create("omni", "", {"engine": "moshi", "path": str(tmp_path)})
    assert isinstance(made, VoiceBackend)
    assert (made.info.model, made.capabilities.instructions) == ("moshiko-pytorch-bf16", "none")


def test_the_worker_is_named_as_it_is_started() -> None:
    assert sys.modules[moshi.create.__module__]._ENVIRONMENT.worker == "locara.engines.omni.moshi_worker"
