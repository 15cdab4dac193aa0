"""The end-of-turn model: which file is taken, what is refused, and one answer of it.

The real weights are not part of the project. Where they are, ``LOCARA_SMART_TURN=/path/to/smart-turn-v3.2-cpu.onnx``
runs the tests that need them; the others use small models of the same shape that are made here.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara.audio import RATE, Samples
from locara.engines import hugging_face, onnx_runtime, prosody, registry, smart_turn
from locara.engines.blended_turn import blended
from locara.engines.contracts import TurnDetector
from locara.engines.smart_turn_features import features
from locara.errors import AudioError, ConfigError, EngineFailed, EngineMissing, EngineTimeout


def _runtime_or_skip() -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'locara[smart-turn]'")


def _sound(seconds: float = 1.0) -> Samples:
    return (np.random.default_rng(3).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def _rising() -> Samples:
    """Three seconds of a tone that rises from 100 Hz, loudest at 1.2 s: as unfinished as a tone can sound."""
    t = np.arange(3 * RATE) / RATE
    return (0.3 * np.sin(2 * np.pi * (100 * t + 600 * t * t)) * np.exp(-1.5 * np.abs(t - 1.2))).astype(np.float32)


def _model(path: Path, *, endless: bool = False, shape: tuple[Any, ...] = ("n", 80, 800)) -> Path:
    """A model of the same interface: the sigmoid of the mean. ``endless``: for any sound but silence it never ends."""
    onnx = pytest.importorskip("onnx", reason="pip install onnx")
    make, kind = onnx.helper, onnx.TensorProto
    fixed = [
        make.make_tensor(name, kind.FLOAT, [], [value]) for name, value in (("shift", 1.4), ("many", 1e9), ("no", 0.0))
    ]
    fixed += [make.make_tensor("one", kind.INT64, [1], [1]), make.make_tensor("rest", kind.INT64, [2], [1, 2])]
    fixed += [make.make_tensor("yes", kind.BOOL, [], [True])]
    nodes = [make.make_node("ReduceMean", ["input_features", "rest"], ["mean"], keepdims=0)]
    last = "mean"
    if endless:
        body = make.make_graph(
            [make.make_node("Identity", ["cond_in"], ["cond_out"]), make.make_node("Sin", ["held"], ["next"])],
            "body",
            [
                make.make_tensor_value_info("turn", kind.INT64, []),
                make.make_tensor_value_info("cond_in", kind.BOOL, []),
                make.make_tensor_value_info("held", kind.FLOAT, None),
            ],
            [
                make.make_tensor_value_info("cond_out", kind.BOOL, []),
                make.make_tensor_value_info("next", kind.FLOAT, None),
            ],
        )
        nodes += [
            make.make_node("ReduceMax", ["input_features"], ["top"], keepdims=0),
            make.make_node("Add", ["top", "shift"], ["above"]),  # below zero for silence, whose features are -1.5
            make.make_node("Mul", ["above", "many"], ["wished"]),
            make.make_node("Clip", ["wished", "no", "many"], ["kept"]),
            make.make_node("Cast", ["kept"], ["count"], to=kind.INT64),
            make.make_node("Loop", ["count", "yes", "mean"], ["done"], body=body),
        ]
        last = "done"
    nodes += [make.make_node("Sigmoid", [last], ["likely"]), make.make_node("Unsqueeze", ["likely", "one"], ["logits"])]
    graph = make.make_graph(
        nodes,
        "tiny",
        [make.make_tensor_value_info("input_features", kind.FLOAT, shape)],
        [make.make_tensor_value_info("logits", kind.FLOAT, ["n", 1])],
        fixed,
    )
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


async def _ask(detector: TurnDetector, samples: Samples) -> float:
    try:
        await detector.load()
        return await detector.finished(samples)
    finally:
        await detector.close()


def _made(detector: TurnDetector | None) -> TurnDetector:
    assert detector is not None
    return detector


def _detector(path: Path | None) -> smart_turn.SmartTurn:
    return smart_turn.SmartTurn(path)


# --- names and options ------------------------------------------------------------------------------------------------


def test_it_is_found_by_its_name() -> None:
    assert isinstance(registry.create("turn", "smart-turn", {"blend": False}), smart_turn.SmartTurn)
    assert smart_turn.create("turn-1-mini", {}) is None


def test_prosody_is_asked_too_unless_told_otherwise(tmp_path: Path) -> None:
    _runtime_or_skip()
    tiny = str(_model(tmp_path / "tiny.onnx"))
    both, alone, second = (
        _made(smart_turn.create("smart-turn", {"path": tiny})),
        _made(smart_turn.create("smart-turn", {"path": tiny, "blend": False})),
        _made(prosody.create("prosody", {})),
    )
    sound = np.concatenate((_rising()[:RATE], np.zeros(RATE // 5, np.float32)))
    told = [asyncio.run(_ask(one, sound)) for one in (both, alone, second)]
    assert told[0] == pytest.approx(blended(told[1], told[2], smart_turn.BLEND))
    assert len({round(one, 3) for one in told}) == 3
    assert "prosody" in both.info.note
    assert both.seconds == 8.0


def test_a_mistyped_option_and_a_path_that_is_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="pfad"):
        smart_turn.create("smart-turn", {"pfad": "x"})
    for wrong in (3, "", ["a"]):
        with pytest.raises(ConfigError, match="path"):
            smart_turn.create("smart-turn", {"path": wrong})
    with pytest.raises(ConfigError, match="blend"):
        smart_turn.create("smart-turn", {"blend": "no"})
    with pytest.raises(ConfigError, match="weights"):
        smart_turn.create("smart-turn", {"weights": 3})


# --- which file -------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_with_what_to_fetch_from_where(tmp_path: Path) -> None:
    detector = smart_turn.create("smart-turn", {"path": str(tmp_path / "gone.onnx")})
    assert detector is not None
    with pytest.raises(EngineMissing, match="there is no file") as missing:
        asyncio.run(_ask(detector, _sound()))
    assert str(tmp_path / "gone.onnx") in missing.value.message
    for word in ("smart-turn-v3.2-cpu.onnx", "8.7 MB", "BSD-2-Clause", "pipecat-ai/smart-turn-v3", '"path"'):
        assert word in missing.value.hint


def test_without_a_path_the_cache_of_hugging_face_is_searched(tmp_path: Path) -> None:
    here = {"HF_HUB_CACHE": str(tmp_path)}
    with pytest.raises(EngineMissing, match="not in the cache") as missing:
        smart_turn.find(None, here)
    assert str(tmp_path) in missing.value.message
    home = tmp_path / "models--pipecat-ai--smart-turn-v3"
    for revision in ("aaa", "bbb"):
        (home / "snapshots" / revision).mkdir(parents=True)
        (home / "snapshots" / revision / "smart-turn-v3.1-cpu.onnx").touch()
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("aaa", encoding="utf-8")
    assert smart_turn.find(None, here) == home / "snapshots" / "aaa" / "smart-turn-v3.1-cpu.onnx"


def test_the_cache_is_where_the_client_keeps_it(tmp_path: Path) -> None:
    assert hugging_face.cache({"HF_HUB_CACHE": "/c"}) == Path("/c")
    assert hugging_face.cache({"HF_HOME": "/h"}) == Path("/h/hub")
    assert hugging_face.cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/huggingface/hub")
    assert hugging_face.cache({}) == Path.home() / ".cache" / "huggingface" / "hub"
    assert list(hugging_face.snapshots("a/b", {"HF_HUB_CACHE": str(tmp_path / "none")})) == []


def test_in_a_folder_the_newest_version_for_processors_is_taken(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match="no single ONNX file"):
        smart_turn.find(tmp_path)
    (tmp_path / "mine.onnx").touch()
    assert smart_turn.find(tmp_path).name == "mine.onnx"
    (tmp_path / "other.onnx").touch()
    with pytest.raises(EngineMissing, match="no single ONNX file"):
        smart_turn.find(tmp_path)
    for name in (
        "smart-turn-v3.0.onnx",
        "smart-turn-v3.10-gpu.onnx",
        "smart-turn-v3.10-cpu.onnx",
        "smart-turn-v3.9-cpu.onnx",
    ):
        (tmp_path / name).touch()
    assert smart_turn.find(tmp_path).name == "smart-turn-v3.10-cpu.onnx"


# --- what is in the file ----------------------------------------------------------------------------------------------


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    _runtime_or_skip()
    wrong = tmp_path / "smart-turn-v3.2-cpu.onnx"
    for content in (b"", b"<html>not found</html>", os.urandom(2_000)):
        wrong.write_bytes(content)
        with pytest.raises(EngineFailed, match="no ONNX model") as failed:
            asyncio.run(_ask(_detector(wrong), _sound()))
        assert str(wrong) in failed.value.message
        assert "huggingface.co" in failed.value.hint


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _runtime_or_skip()
    monkeypatch.setattr(onnx_runtime, "LARGEST", 1_000)
    (tmp_path / "film.onnx").write_bytes(bytes(1_001))
    with pytest.raises(EngineFailed, match="the most that is read"):
        asyncio.run(_ask(_detector(tmp_path / "film.onnx"), _sound()))


def test_a_model_of_another_shape_is_told(tmp_path: Path) -> None:
    _runtime_or_skip()
    other = _model(tmp_path / "whisper.onnx", shape=("n", 80, 3000))
    with pytest.raises(EngineFailed, match=r"no Smart Turn v3 model.*3000"):
        asyncio.run(_ask(_detector(other), _sound()))


def test_a_missing_runtime_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineMissing, match="onnxruntime") as missing:
        onnx_runtime.library(stage="turn", model="smart-turn", extra="smart-turn")
    assert "locara[smart-turn]" in missing.value.hint


# --- answers ----------------------------------------------------------------------------------------------------------


def test_it_answers_with_a_probability_and_names_its_file(tmp_path: Path) -> None:
    _runtime_or_skip()
    detector = _detector(_model(tmp_path / "tiny.onnx"))
    answer = asyncio.run(_ask(detector, _sound()))
    expected = 1 / (1 + np.exp(-float(features(_sound()).mean())))
    assert answer == pytest.approx(expected, abs=1e-5)
    assert detector.info.note == "tiny.onnx"
    assert detector.seconds == 8.0


def test_it_wants_to_be_loaded_and_can_be_closed_twice(tmp_path: Path) -> None:
    _runtime_or_skip()
    detector = _detector(_model(tmp_path / "tiny.onnx"))

    async def misuse() -> None:
        with pytest.raises(EngineFailed, match="not loaded"):
            await detector.finished(_sound())
        await detector.load()
        with pytest.raises(AudioError, match="shape"):
            await detector.finished(np.zeros((2, 10), np.float32))
        await detector.close()
        await detector.close()
        with pytest.raises(EngineFailed, match="not loaded"):
            await detector.finished(_sound())

    asyncio.run(misuse())


def test_a_cancelled_question_stops_and_leaves_it_usable(tmp_path: Path) -> None:
    _runtime_or_skip()
    detector = _detector(_model(tmp_path / "endless.onnx", endless=True))

    async def cancel() -> float:
        await detector.load()
        for after in (0.0, 0.1):
            question = asyncio.create_task(detector.finished(_sound()))
            await asyncio.sleep(after)
            question.cancel()
            await asyncio.gather(question, return_exceptions=True)
            assert question.cancelled()
        try:
            return await detector.finished(np.zeros(RATE, np.float32))
        finally:
            await detector.close()

    assert asyncio.run(cancel()) == pytest.approx(1 / (1 + np.exp(1.5)), abs=1e-5)


def test_an_answer_that_takes_too_long_ends_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _runtime_or_skip()
    monkeypatch.setattr(smart_turn, "_ANSWER_SECONDS", 0.1)
    with pytest.raises(EngineTimeout, match="smart-turn"):
        asyncio.run(_ask(_detector(_model(tmp_path / "endless.onnx", endless=True)), _sound()))


def test_nothing_is_reported_to_the_maker_of_the_runtime(tmp_path: Path) -> None:
    """Where its reports are on, the library writes an identifier of the device into the user's cache folder at once."""
    _runtime_or_skip()
    model = _model(tmp_path / "tiny.onnx")
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import asyncio, os, sys; from pathlib import Path; from locara.engines.smart_turn import SmartTurn\n"
        "asyncio.run(SmartTurn(Path(sys.argv[1])).load()); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    unset = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "XDG_CACHE_HOME"}
    environment = {key: value for key, value in os.environ.items() if key not in unset} | {"HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(model)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "1", done.stderr
    assert list(home.rglob("*")) == []


# --- the real weights -------------------------------------------------------------------------------------------------


def test_the_real_model_answers_as_its_reference_does() -> None:
    place = os.environ.get("LOCARA_SMART_TURN")
    if not place:
        pytest.skip("set LOCARA_SMART_TURN to smart-turn-v3.2-cpu.onnx to run the real model")
    _runtime_or_skip()

    async def ask() -> list[float]:
        detector = _detector(Path(place))
        await detector.load()
        try:
            return [await detector.finished(one) for one in (np.zeros(RATE, np.float32), _sound(9.0), _rising())]
        finally:
            await detector.close()

    assert asyncio.run(ask()) == pytest.approx(REAL, abs=0.02)


REAL = (0.9870, 0.9446, 0.3386)
"""`LocalSmartTurnAnalyzerV3` of pipecat-ai 1.14 for the same sounds, on onnxruntime 1.32, x86-64. Integer kernels differ
a little from one kind of processor to the next."""
