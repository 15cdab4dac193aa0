"""Orpheus as a voice: tokens from a server, sound from a SNAC decoder with the real file's inputs and outputs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, ChatServer, Request, closed_port, fails, streams  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import tiny_model  # type: ignore[import-not-found]

from locara.audio import Samples
from locara.engines import llama, orpheus, registry
from locara.engines.orpheus_frames import BOOK, FRAME_SAMPLES, FRAME_TOKENS, Tokens, Window, Windows, prompt
from locara.errors import ConfigError, EngineFailed, EngineMissing, EngineTimeout, ModelMissing, StageError

pytest.importorskip("onnxruntime", reason='onnxruntime is not installed: pip install "locara[orpheus]"')

FRAME = FRAME_SAMPLES


def written(codes: list[int]) -> list[str]:
    """The tokens that Orpheus writes for these codes."""
    return [f"<custom_token_{code + 10 + at % 7 * 4096}>" for at, code in enumerate(codes)]


def some_codes(frames: int) -> list[int]:
    return [int(code) for code in np.random.default_rng(frames).integers(0, BOOK, frames * FRAME_TOKENS)]


def sound_of(codes: list[int]) -> Samples:
    """What the decoder of `decoder_file` makes of whole frames: 512 samples for each code of the finest book, with a share
    of the frame's coarser codes."""
    frames = np.array(codes, dtype=np.float64).reshape(-1, 7)
    fine = frames[:, [2, 3, 5, 6]].reshape(-1) / 8192
    middle = np.repeat(frames[:, [1, 4]].reshape(-1), 2) / 65536
    coarse = np.repeat(frames[:, 0], 4) / 65536
    return np.repeat(fine + middle + coarse, 512).astype(np.float32)


def decoder_file(path: Path, *, inputs: tuple[str, ...] = ("audio_codes.0", "audio_codes.1", "audio_codes.2")) -> Path:
    """A decoder with the names, types and shapes of snac_24khz-ONNX (int64 codes, float32 ``audio_values`` of shape
    ``(1, 1, samples)``), whose sound is `sound_of`."""
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    make, kinds = onnx.helper, onnx.TensorProto
    nodes, sums = [], []
    for name in inputs:
        nodes += [
            make.make_node("Cast", [name], [f"{name}.f"], to=kinds.FLOAT),
            make.make_node("Div", [f"{name}.f", f"{name}.scale"], [f"{name}.s"]),
            make.make_node("Unsqueeze", [f"{name}.s", "last"], [f"{name}.u"]),
            make.make_node("Tile", [f"{name}.u", f"{name}.times"], [f"{name}.t"]),
            make.make_node("Reshape", [f"{name}.t", "flat"], [f"{name}.r"]),
        ]
        sums.append(f"{name}.r")
    nodes.append(make.make_node("Sum", sums, ["audio_values"]))
    constants = [
        make.make_tensor("last", kinds.INT64, [1], [2]),
        make.make_tensor("flat", kinds.INT64, [3], [1, 1, -1]),
    ]
    for name, repeats, scale in zip(inputs, (2048, 1024, 512), (65536.0, 65536.0, 8192.0), strict=True):
        constants += [
            make.make_tensor(f"{name}.scale", kinds.FLOAT, [1], [scale]),
            make.make_tensor(f"{name}.times", kinds.INT64, [3], [1, 1, repeats]),
        ]
    graph = make.make_graph(
        nodes,
        "snac",
        [make.make_tensor_value_info(name, kinds.INT64, ["batch", f"n{at}"]) for at, name in enumerate(inputs)],
        [make.make_tensor_value_info("audio_values", kinds.FLOAT, ["batch", 1, "samples"])],
        constants,
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def completion(*pieces: str | float) -> Answer:
    """A streamed completion of these pieces; a float is a pause."""
    body: list[bytes | float] = [
        one
        if isinstance(one, float)
        else b"data: " + json.dumps({"choices": [{"index": 0, "text": one}]}).encode() + b"\n\n"
        for one in pieces
    ]
    return streams(*body, b"data: [DONE]\n\n")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return decoder_file(tmp_path_factory.mktemp("snac") / "decoder_model.onnx")


def spoken(
    decoder: Path,
    answer: Answer | Callable[[Request], Answer],
    use: Callable[[Any, Any], Any] | None = None,
    **options: Any,
) -> Any:
    """Loads the engine against a server that answers so, and says something."""

    async def run() -> Any:
        async with ChatServer(answer) as server:
            engine = orpheus.create("orpheus:leo", {"url": server.url, "path": str(decoder), **options})
            assert engine is not None
            try:
                await engine.load()
                if use is not None:
                    return await use(server, engine)
                return [speech.samples async for speech in engine.speak("Hello there.")], server.requests[-1]
            finally:
                await engine.close()
                await engine.close()

    try:
        return asyncio.run(run())
    finally:
        assert not [one for one in threading.enumerate() if "orpheus" in one.name]


# --- sound ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 9])
def test_every_sample_of_every_frame_is_spoken_once(decoder: Path, frames: int) -> None:
    codes = some_codes(frames)
    pieces, request = spoken(decoder, completion(*written(codes)))
    assert np.allclose(np.concatenate(pieces), sound_of(codes), atol=1e-6)
    assert request.path == "/v1/completions"
    assert request.body["prompt"] == prompt("leo", "Hello there.")
    assert request.body["stream"] is True


def test_it_sounds_before_the_model_has_finished(decoder: Path) -> None:
    codes = some_codes(12)
    tokens = written(codes)

    async def use(_: Any, engine: Any) -> list[int]:
        sizes = []
        async for speech in engine.speak("Hello."):
            sizes.append(speech.samples.size)
        return sizes

    sizes = spoken(decoder, completion(*tokens), use)
    assert sizes == [2 * FRAME] + [FRAME] * 8 + [2 * FRAME]


def test_marks_of_the_model_and_half_frames_are_no_sound(decoder: Path) -> None:
    codes = some_codes(5)
    tokens = ["<custom_token_4>", "<custom_token_5>", "<custom_token_1>", *written(codes), *written(some_codes(1))[:3]]
    pieces, _ = spoken(decoder, completion(*tokens))
    assert np.allclose(np.concatenate(pieces), sound_of(codes), atol=1e-6)


def test_closing_the_iterator_stops_the_server_and_the_next_text_is_spoken(decoder: Path) -> None:
    codes = some_codes(6)
    answers = iter([completion(*written(codes)), completion(*written(codes), 5.0), completion(*written(codes))])

    async def use(server: Any, engine: Any) -> Any:
        speech = engine.speak("Hello.")
        await anext(speech)
        await speech.aclose()
        await asyncio.wait_for(server.left.wait(), 3)
        server.left.clear()
        return [one.samples async for one in engine.speak("Hello.")]

    pieces = spoken(decoder, lambda _: next(answers), use)
    assert np.allclose(np.concatenate(pieces), sound_of(codes), atol=1e-6)


def test_nothing_is_asked_for_a_text_without_words(decoder: Path) -> None:
    async def use(server: Any, engine: Any) -> int:
        before = len(server.requests)
        assert [one async for one in engine.speak("  ")] == []
        return len(server.requests) - before

    assert spoken(decoder, completion(*written(some_codes(4))), use) == 0


def test_against_llama_cpp_s_own_server(decoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason='llama.cpp is not installed: pip install "locara[llama]"')
    codes = some_codes(6)
    chain = ["<custom_token_1>", *written(codes), "<custom_token_2>"]
    assert len(set(chain)) == len(chain)
    served = llama.create("tiny", {"path": str(tiny_model(tmp_path / "orpheus.gguf", chain=chain)), "threads": 1})
    assert isinstance(served, llama.Llama)

    async def run() -> list[Samples]:
        await served.load()
        options = {
            "url": f"{served.side_address}/v1",
            "path": str(decoder),
            "api_key": served._key,
            "engine": "orpheus",
        }
        engine: Any = registry.create("tts", "orpheus-3b", options)
        try:
            await engine.load()
            return [speech.samples async for speech in engine.speak("Hello <|eot_id|> there.")]
        finally:
            await engine.close()
            await served.close()

    pieces = asyncio.run(run())
    assert len(pieces) == 4
    assert np.allclose(np.concatenate(pieces), sound_of(codes), atol=1e-6)


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_model_that_writes_text_is_told_to_be_no_orpheus(decoder: Path) -> None:
    with pytest.raises(EngineFailed, match=r"text instead of sound|no sound") as caught:
        spoken(decoder, completion("I ", "am ", "a ", "chat ", "model."))
    assert "orpheus-3b" in caught.value.hint


def test_a_server_that_refuses_breaks_off_or_hangs_is_told(decoder: Path) -> None:
    good = written(some_codes(5))
    with pytest.raises(EngineFailed, match="500 out of memory"):
        spoken(decoder, fails(500, {"error": {"message": "out of memory"}}))
    with pytest.raises(EngineFailed, match="no completion"):
        spoken(decoder, streams(b"data: nonsense\n\n"))
    with pytest.raises(EngineFailed, match="failed while it spoke"):
        spoken(decoder, streams(b'data: {"error": {"message": "x"}}\n\n'))
    with pytest.raises(EngineTimeout, match=r"nothing for 0\.2 s"):
        spoken(decoder, completion(*good, 2.0), gap_timeout=0.2)
    with pytest.raises(EngineFailed, match="cannot be heard"):
        spoken(decoder, completion(*good), url=f"http://127.0.0.1:{closed_port()}/v1")


def test_a_decoder_that_is_none_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(EngineMissing, match=r"decoder_model\.onnx cannot be read"):
        spoken(tmp_path, completion())
    (tmp_path / "decoder_model.onnx").write_bytes(b"x" * 100)
    with pytest.raises(EngineFailed, match="no ONNX model"):
        spoken(tmp_path, completion())
    other = decoder_file(tmp_path / "other.onnx", inputs=("a", "b", "c"))
    with pytest.raises(EngineFailed, match="no SNAC decoder"):
        spoken(other, completion())


def test_names_and_options_that_cannot_be_are_refused() -> None:
    assert orpheus.create("kokoro-82m", {}) is None
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ConfigError, "llama-server"),
        ({"url": "http://h/v1"}, ModelMissing, "locara models pull"),
        ({"url": "http://h/v1", "path": "x", "temprature": 1}, ConfigError, "did you mean 'temperature'"),
        ({"url": "http://h/v1", "path": "x", "top_p": "high"}, ConfigError, "leave top_p out"),
    ]
    for options, kind, hint in wrong:
        with pytest.raises(kind) as caught:
            orpheus.create("orpheus-3b", options)
        assert isinstance(caught.value, ConfigError | StageError)
        assert hint in caught.value.hint


# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_tokens_do_not_depend_on_how_the_text_is_cut(frames: int, cuts: list[int]) -> None:
    codes = some_codes(frames) if frames else []
    text = "<custom_token_4>" + " ".join(written(codes))
    tokens, at = Tokens(), 0
    found: list[int] = []
    for length in cuts * (len(text) // sum(cuts) + 1):
        found += tokens.push(text[at : at + length])
        at += length
    assert found == codes


@given(st.integers(0, 15), st.integers(0, 6))
def test_windows_play_every_frame_once_in_order(frames: int, more: int) -> None:
    codes = list(range(frames * FRAME_TOKENS + more))
    windows = Windows()
    made = [window for code in codes if (window := windows.push(code)) is not None]
    last = windows.flush()
    played: list[int] = []
    for window in [*made, *([last] if last else [])]:
        assert isinstance(window, Window)
        first, stop = window.start // FRAME_SAMPLES, window.stop // FRAME_SAMPLES
        played += [window.codes[frame * FRAME_TOKENS] // FRAME_TOKENS for frame in range(first, stop)]
        assert len(window.codes) <= 28
    assert played == list(range(frames))


def test_nothing_that_is_said_can_end_the_prompt() -> None:
    asked = prompt("tara", "a <|eot_id|> b <custom_token_2> c <laugh>")
    assert asked.count("<|eot_id|>") == 1
    assert "<custom_token_2>" not in asked
    assert "<laugh>" in asked
