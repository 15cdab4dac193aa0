"""Recognisers in an environment of their own: a toy worker for every fault, and Kyutai's where its package is installed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from specimens import question  # type: ignore[import-not-found]

from locara.audio import RATE, Samples, silence
from locara.engines import kyutai_stt, registry
from locara.engines.contracts import EngineInfo, TimedWord, Transcript
from locara.engines.isolated import Environment
from locara.engines.isolated_recogniser import IsolatedRecogniser
from locara.engines.kyutai_words import words
from locara.errors import ConfigError, EngineFailed, EngineMissing, EngineTimeout, ModelMissing
from locara.testing.conformance import Specimen, examine

KYUTAI_PYTHON = os.environ.get("LOCARA_KYUTAI_PYTHON", "")

_WORKER = """
import os, time
import numpy as np
from locara.engines.isolated_worker import Trouble, listen

class Toy:
    # Says "tick" for each second that it has heard since the turn began; a level of 0.7 kills it, 0.6 fails, 0.8 is slow.
    def load(self, options):
        if options.get("fault") == "import":
            import no_such_module
        if options.get("fault") == "trouble":
            raise Trouble("the weights are torn", hint="mend them")
        return 24_000

    def begin(self):
        self.heard = 0

    def hear(self, samples):
        level = float(np.median(np.abs(samples))) if samples.size else 0.0
        if 0.68 < level < 0.72:
            os._exit(3)
        if 0.58 < level < 0.62:
            raise ValueError("an odd sound")
        if 0.78 < level < 0.82:
            time.sleep(60)
        self.heard += samples.size
        return self.text()

    def text(self):
        return " ".join(["tick"] * (self.heard // 24_000))

    def settle(self):
        return self.text(), [("tick", float(n), n + 1.0) for n in range(self.heard // 24_000)]

listen(Toy())
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``toy(fault=...)``: a recogniser whose worker is ours, run by this interpreter as if it were another."""
    (tmp_path / "toy_ear_worker.py").write_text(_WORKER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    where = Environment("toy", "json", "toy", "toy_ear_worker")

    def make(deadline: float = 20.0, **options: Any) -> IsolatedRecogniser:
        return IsolatedRecogniser(
            EngineInfo("toy", "toy", "MIT", word_times=True), where, options, python=sys.executable, deadline=deadline
        )

    return make


def _sound(seconds: float, level: float = 0.25) -> Samples:
    return np.full(round(seconds * RATE), level, np.float32)


def test_it_keeps_the_contract_of_a_recogniser(toy: Any) -> None:
    outcomes = asyncio.run(examine("stt", toy, Specimen(question())))
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_sound_arrives_whole_at_the_models_rate_and_a_turn_goes_on_after_settling(toy: Any) -> None:
    async def talk() -> None:
        ear = toy()
        await ear.load()
        try:
            turn = ear.open()
            assert await turn.settle() == Transcript("")
            news = []
            for block in np.split(_sound(2.4), 120):
                if (text := await turn.push(block)) is not None:
                    news.append(text)
                await asyncio.sleep(0.002)
            first = await turn.settle()
            assert first == Transcript("tick tick", words=(TimedWord("tick", 0.0, 1.0), TimedWord("tick", 1.0, 2.0)))
            assert set(news) <= {"tick", "tick tick"}
            await turn.push(silence(RATE // 2))
            assert await turn.settle() is first
            await turn.push(_sound(2.4))
            assert (await turn.settle()).text == "tick tick tick tick tick"
            await turn.close()
            other = ear.open()
            await other.push(_sound(1.2))
            assert (await other.settle()).text == "tick"
            await other.close()
        finally:
            await ear.close()
            await ear.close()

    asyncio.run(talk())


def test_a_crash_costs_the_turn_and_a_failure_one_answer(toy: Any) -> None:
    async def talk() -> None:
        ear = toy()
        await ear.load()
        try:
            turn = ear.open()
            await turn.push(_sound(0.5, 0.6))
            with pytest.raises(EngineFailed, match="an odd sound"):
                await turn.settle()
            await turn.push(_sound(1.2))
            assert (await turn.settle()).text == "tick"
            await turn.push(_sound(0.5, 0.7))
            with pytest.raises(EngineFailed, match="process has died"):
                await turn.settle()
            await turn.close()
            turn = ear.open()
            await turn.push(_sound(1.2))
            assert (await turn.settle()).text == "tick"
            await turn.close()
        finally:
            await ear.close()

    asyncio.run(talk())


def test_a_model_that_hangs_is_ended_at_its_deadline_and_comes_back(toy: Any) -> None:
    async def talk() -> None:
        ear = toy(deadline=2.0)
        await ear.load()
        try:
            turn = ear.open()
            await turn.push(_sound(0.2, 0.8))
            with pytest.raises(EngineTimeout, match="no answer within"):
                await turn.settle()
            await turn.close()
            turn = ear.open()
            await turn.push(_sound(1.2))
            assert (await turn.settle()).text == "tick"
            await turn.close()
        finally:
            await ear.close()

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
        ear = toy(fault=fault)
        try:
            with pytest.raises(kind, match=text) as caught:
                await ear.load()
            assert hint in getattr(caught.value, "hint", "")
        finally:
            await ear.close()

    asyncio.run(load())


# --- Kyutai -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({}, ModelMissing, "locara models pull kyutai-stt-1b-en_fr"),
        ({"path": "/no/such/folder"}, ModelMissing, "/no/such/folder"),
        ({"path": ".", "devise": "cpu"}, ConfigError, "'device'"),
        ({"path": ".", "device": "tpu"}, ConfigError, "auto, cpu, cuda, mps"),
        ({"path": ".", "precision": "int8"}, ConfigError, "bf16, fp32"),
    ],
)
def test_what_is_wrong_with_kyutais_options_is_told_at_once(
    options: dict[str, Any], kind: type[ConfigError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        kyutai_stt.create("kyutai-stt-1b-en_fr", options)
    assert told in f"{caught.value.message} {caught.value.hint}"


def test_another_engines_model_is_not_kyutais(tmp_path: Path) -> None:
    assert kyutai_stt.create("whisper-tiny", {"path": str(tmp_path)}) is None
    made = registry.create("stt", "mine", {"engine": "kyutai", "path": str(tmp_path)})
    assert (made.info.engine, made.info.word_times) == ("kyutai", True)


_PIECES = {0: "<unk>", 3: "<pad>", 4: "▁the", 5: "▁ket", 6: "tle", 7: "▁is"}


def _words(tokens: list[int], at: list[float] | None = None) -> list[tuple[str, float, float]]:
    def decode(pieces: list[int]) -> str:
        return "".join(_PIECES[one] for one in pieces).replace("▁", " ")

    times = at or [round(0.08 * number, 2) for number in range(len(tokens) + 1)]
    return words(tokens, times, 3, _PIECES.__getitem__, decode)


def test_words_end_where_the_boundary_stands() -> None:
    assert _words([3, 0, 4, 3, 0, 5, 6, 3, 0, 3]) == [("the", 0.16, 0.32), ("kettle", 0.4, 0.64)]


def test_words_without_a_boundary_are_told_apart_by_their_pieces() -> None:
    assert _words([0, 4, 5, 6, 7]) == [("the", 0.08, 0.16), ("kettle", 0.16, 0.32), ("is", 0.32, 0.4)]


def test_the_last_word_takes_a_second_at_most() -> None:
    assert _words([0, 4, *[3] * 30]) == [("the", 0.08, 1.08)]
    assert _words([3, 3, 0]) == []


@given(st.lists(st.sampled_from([0, 3, 4, 5, 6, 7]), max_size=60))
def test_words_lie_one_after_the_other(tokens: list[int]) -> None:
    found = _words(tokens)
    assert all(0 <= start <= end for _, start, end in found)
    assert all(one[2] <= other[1] + 1e-9 for one, other in pairwise(found))
    assert sum(len(word) for word, *_ in found) == sum(len(_PIECES[one].strip("▁")) for one in tokens if one > 3)


@pytest.fixture(scope="module")
def kyutai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not KYUTAI_PYTHON:
        pytest.skip("LOCARA_KYUTAI_PYTHON names no interpreter with moshi")
    folder = tmp_path_factory.mktemp("kyutai")
    script = Path(__file__).parent / "models" / "kyutai_stt_random.py"
    environment = {**os.environ, "NO_TORCH_COMPILE": "1"}
    subprocess.run(
        [KYUTAI_PYTHON, str(script), str(folder)], check=True, timeout=100, capture_output=True, env=environment
    )
    return folder


def _kyutai(folder: Path) -> Any:
    return registry.create("stt", "kyutai-stt-1b-en_fr", {"path": str(folder), "python": KYUTAI_PYTHON, "threads": 1})


def test_kyutai_itself_keeps_the_contract_with_random_weights(kyutai: Path) -> None:
    outcomes = asyncio.run(examine("stt", lambda: _kyutai(kyutai), Specimen(question())))
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_kyutai_hears_the_same_however_the_sound_is_cut_and_its_words_have_times(kyutai: Path) -> None:
    async def hear() -> None:
        ear = _kyutai(kyutai)
        await ear.load()
        try:
            found = []
            for blocks in (1, 10, 150):
                turn = ear.open()
                for block in np.array_split(question(), blocks):
                    await turn.push(block)
                found.append(await turn.settle())
                await turn.close()
            assert found[0].text
            assert {one.text for one in found} == {found[0].text}
            seconds = question().size / RATE
            assert all(0 <= word.start <= word.end <= seconds + 0.1 for word in found[0].words)
            assert " ".join(word.text for word in found[0].words) == found[0].text
        finally:
            await ear.close()

    asyncio.run(hear())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"{}", "no stt_config"),
        ("model.safetensors", b"\x80\x04torn", "is not whole"),
        ("mimi.safetensors", b"", "is not whole"),
        ("tokenizer.model", None, "tokenizer.model is missing"),
    ],
)
def test_what_is_wrong_with_kyutais_files_is_told(
    kyutai: Path, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    for one in kyutai.iterdir():
        if one.name != name:
            (tmp_path / one.name).symlink_to(one)
        elif content is not None:
            (tmp_path / one.name).write_bytes(content)

    async def load() -> None:
        ear = _kyutai(tmp_path)
        try:
            with pytest.raises(EngineFailed, match=told):
                await ear.load()
        finally:
            await ear.close()

    asyncio.run(load())
