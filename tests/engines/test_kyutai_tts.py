"""Kyutai's voice: its options and where its words stand here; the model itself where its package is installed.

``LOCARA_KYUTAI_PYTHON``: the interpreter of an environment that has ``moshi``.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import kyutai_tts, registry
from locara.engines.contracts import Speech, Voice
from locara.engines.kyutai_tts_words import spans
from locara.errors import ConfigError, EngineFailed, ModelMissing

KYUTAI_PYTHON = os.environ.get("LOCARA_KYUTAI_PYTHON", "")
SCRIPTS = Path(__file__).parent / "models"
SOURCE = Path(__file__).parents[2] / "src"
SUFFIX = ".wav.1e68beda@240.safetensors"


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({}, ModelMissing, "locara models pull kyutai-tts-1.6b-en_fr"),
        ({"path": "/no/such/folder"}, ModelMissing, "/no/such/folder"),
        ({"path": ".", "devise": "cpu"}, ConfigError, "'device'"),
        ({"path": ".", "precision": "int8"}, ConfigError, "bf16, fp16, fp32"),
        ({"path": ".", "codebooks": 64}, ConfigError, "from 8 to 32"),
        ({"path": ".", "language": "de"}, ConfigError, "en, fr"),
        ({"path": ".", "voice": 7}, ConfigError, "must be text"),
    ],
)
def test_wrong_options_say_what_is_right(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as caught:
        kyutai_tts.create("kyutai-tts-1.6b-en_fr", options)
    assert told in f"{caught.value} {getattr(caught.value, 'hint', '')}"


def test_it_is_found_by_name_and_speaks_its_language(tmp_path: Path) -> None:
    assert kyutai_tts.create("kokoro-82m", {"path": str(tmp_path)}) is None
    made: Any = registry.create("tts", "mine", {"engine": "kyutai", "path": str(tmp_path), "language": "fr"})
    assert (made.info.engine, made.info.word_times, made.language) == ("kyutai", True, "fr")


def test_words_are_found_in_the_text_though_signs_were_left_out() -> None:
    text = "Well (it\N{RIGHT SINGLE QUOTATION MARK}s late): go  home!"
    spoken = ["Well", "it's", "late", "go", "home!"]  # as the package cuts it
    assert [text[start:end] for start, end in spans(text, spoken)] == [
        "Well", "it\N{RIGHT SINGLE QUOTATION MARK}s", "late", "go", "home!",
    ]  # fmt: skip


def test_a_word_that_does_not_stand_in_the_text_takes_none_of_it() -> None:
    assert spans("one two", ["one", "zwei", "two"]) == [(0, 3), (3, 3), (4, 7)]
    assert spans("", ["one"]) == [(0, 0)]


@given(st.text(alphabet="ab ()\N{RIGHT SINGLE QUOTATION MARK}:.", max_size=30))
def test_words_lie_one_after_the_other_inside_the_text(text: str) -> None:
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace(":", " ").replace("(", "").replace(")", "")
    found = spans(text, plain.split())
    assert all(0 <= start < end <= len(text) for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not KYUTAI_PYTHON:
        pytest.skip("LOCARA_KYUTAI_PYTHON names no interpreter with moshi")
    made = tmp_path_factory.mktemp("kyutai-tts")
    _script("kyutai_tts_random.py", made)
    return made


def _script(name: str, *arguments: object) -> str:
    run = subprocess.run(
        [KYUTAI_PYTHON, str(SCRIPTS / name), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "NO_TORCH_COMPILE": "1"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def _voice(folder: Path, **options: Any) -> Any:
    return registry.create("tts", "kyutai-tts-1.6b-en_fr", {"path": str(folder), "python": KYUTAI_PYTHON, **options})


async def _speech(voice: Voice, text: str) -> list[Speech]:
    return [piece async for piece in voice.speak(text)]


def test_its_sound_is_that_of_the_package_sample_for_sample(folder: Path) -> None:
    text = "The kettle (it\N{RIGHT SINGLE QUOTATION MARK}s on) is: on the oven."
    told = json.loads(_script("kyutai_tts_reference.py", folder, text))
    assert told["equal"]
    assert told["again"]
    assert told["stopped"] == 0
    assert told["loud"] > 0.01
    assert [text[start:end] for _, start, end in told["words"]] == [
        "The", "kettle", "it\N{RIGHT SINGLE QUOTATION MARK}s", "on", "is", "on", "the", "oven.",
    ]  # fmt: skip
    times = [at for at, *_ in told["words"]]
    assert times == sorted(set(times))
    assert all(0 <= at < told["frames"] * 1920 for at in times)


def test_it_speaks_frame_by_frame_stops_at_once_and_says_which_words_sound(folder: Path) -> None:
    async def talk() -> None:
        voice = _voice(folder, precision="fp32", temperature=0.0, codebooks=8, voice="bert")
        await voice.load()
        try:
            assert voice.rate == 24_000
            text = "please tell me what time it is"
            whole = await _speech(voice, text)
            assert {piece.samples.size for piece in whole} == {1920}
            heard = 0
            words = []
            for piece in whole:
                for mark in piece.words:  # told with the frame in which it begins
                    assert heard <= mark.at < heard + piece.samples.size
                    words.append(text[mark.start : mark.end])
                heard += piece.samples.size
            assert words == text.split()
            stream = voice.speak(text * 40)
            await anext(stream)
            await stream.aclose()
            async with asyncio.timeout(30):
                again = await _speech(voice, text)
            assert np.array_equal(_all(again), _all(whole))
            assert await _speech(voice, " ... ") == []
        finally:
            await voice.close()

    asyncio.run(talk())


def _all(speech: list[Speech]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in speech])


def _without_config(folder: Path) -> dict[str, Any]:
    (folder / "config.json").unlink()
    return {}


def _recogniser(folder: Path) -> dict[str, Any]:
    (folder / "config.json").write_text(json.dumps({"stt_config": {}}))
    return {}


def _no_voice(folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / "voices")
    return {}


def _narrow_voice(folder: Path) -> dict[str, Any]:
    source = folder / "tokenizer-e351c8d8-checkpoint125.safetensors"
    (folder / f"mine{SUFFIX}").write_bytes(source.read_bytes())
    return {"voice": "mine"}


def _cut(folder: Path) -> dict[str, Any]:
    path = folder / "dsm_tts_1e68beda@240.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return {}


def _other_sizes(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dim": 64}))
    return {}


@pytest.mark.parametrize(
    ("spoil", "told", "hint"),
    [
        (_without_config, "config.json is missing", "download"),
        (_recogniser, "is no voice that this engine runs", "kyutai/tts-1.6b-en_fr"),
        (_cut, "is not whole", "download"),
        (_other_sizes, "not whole, or another one", "download"),
        (_no_voice, "there is no voice in", "kyutai/tts-voices"),
        (lambda _: {"voice": "carl"}, "no voice 'carl'", "voices/anna, voices/bert"),
        (_narrow_voice, "no speaker_wavs", "made for this model"),
        (lambda _: {"guidance": 2.2}, "guidance is 2.2", "1, 1.5, 2"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], dict[str, Any]], told: str, hint: str
) -> None:
    mine = tmp_path / "model"
    shutil.copytree(folder, mine)
    options = spoil(mine)

    async def load() -> None:
        voice = _voice(mine, **options)
        try:
            with pytest.raises(EngineFailed, match="could not be loaded") as caught:
                await voice.load()
            assert told in str(caught.value)
            assert hint in caught.value.hint
        finally:
            await voice.close()

    asyncio.run(load())
