"""Which file of a folder is what: names and headers as sherpa-onnx publishes them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.onnx_header import Header, Tensor
from locara.engines.sherpa_files import Plan, WrongFiles, check_symbols, frames, languages, plan, tail
from locara.engines.sherpa_needs import NEEDED


def _read(told: Mapping[str, Header]) -> object:
    return lambda name: told.get(name, Header())


def _needs(key: str, role: str, **more: str) -> Header:
    return Header({**dict.fromkeys(NEEDED[key].get(role, ()), "1"), **more})


@pytest.mark.parametrize(
    ("names", "headers", "family", "streaming"),
    [
        (
            "encoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx decoder-epoch-99-avg-1-chunk-16-left-128.onnx "
            "joiner-epoch-99-avg-1-chunk-16-left-128.int8.onnx tokens.txt bpe.model README.md",
            {
                "encoder-epoch-99-avg-1-chunk-16-left-128.int8.onnx": _needs(
                    "zipformer2", "encoder", model_type="zipformer2"
                ),
                "decoder-epoch-99-avg-1-chunk-16-left-128.onnx": _needs("zipformer2", "decoder"),
            },
            "zipformer-transducer",
            True,
        ),
        (
            "encoder.int8.onnx decoder.int8.onnx joiner.int8.onnx tokens.txt",
            {"encoder.int8.onnx": _needs("nemo-transducer", "encoder")},
            "nemo-transducer",
            False,
        ),
        (
            "encoder.int8.onnx decoder.int8.onnx joiner.int8.onnx tokens.txt",
            {"encoder.int8.onnx": _needs("nemo-streaming-transducer", "encoder")},
            "nemo-streaming-transducer",
            True,
        ),
        (
            "tiny.en-encoder.int8.onnx tiny.en-decoder.int8.onnx tiny.en-encoder.onnx tiny.en-decoder.onnx "
            "tiny.en-tokens.txt test_wavs/0.wav",
            {"tiny.en-encoder.int8.onnx": _needs("whisper", "encoder", is_multilingual="0")},
            "whisper",
            False,
        ),
        (
            "preprocess.onnx encode.int8.onnx uncached_decode.int8.onnx cached_decode.int8.onnx tokens.txt",
            {},
            "moonshine",
            False,
        ),
        ("encoder_model.ort decoder_model_merged.ort tokens.txt", {}, "moonshine-v2", False),
        (
            "conv_frontend.onnx encoder.int8.onnx decoder.int8.onnx tokenizer/vocab.json tokenizer/merges.txt",
            {},
            "qwen3-asr",
            False,
        ),
        (
            "model.int8.onnx model.onnx tokens.txt",
            {"model.int8.onnx": _needs("sense-voice", "model", model_type="sense_voice_ctc")},
            "sense-voice",
            False,
        ),
        (
            "model.int8.onnx tokens.txt am.mvn",
            {"model.int8.onnx": _needs("paraformer", "model", model_type="paraformer")},
            "paraformer",
            False,
        ),
        (
            "encoder.int8.onnx decoder.int8.onnx tokens.txt",
            {"encoder.int8.onnx": _needs("streaming-paraformer", "encoder", model_type="paraformer")},
            "streaming-paraformer",
            True,
        ),
        (
            "encoder.int8.onnx decoder.int8.onnx tokens.txt",
            {"encoder.int8.onnx": _needs("canary", "encoder", model_type="EncDecMultiTaskModel")},
            "canary",
            False,
        ),
        (
            "model.onnx tokens.txt",
            {"model.onnx": _needs("nemo-streaming-ctc", "model", model_type="EncDecCTCModelBPE")},
            "nemo-streaming-ctc",
            True,
        ),
    ],
)
def test_published_folders_are_known(names: str, headers: Mapping[str, Header], family: str, streaming: bool) -> None:
    made = plan(names.split(), _read(headers))  # type: ignore[arg-type]
    assert (made.family, made.streaming) == (family, streaming)


def test_of_several_precisions_the_wanted_one_is_taken() -> None:
    names = "preprocess.onnx encode.int8.onnx encode.onnx uncached_decode.onnx cached_decode.onnx tokens.txt".split()
    assert plan(names, _read({})).files["encoder"] == "encode.int8.onnx"  # type: ignore[arg-type]
    assert plan(names, _read({}), precision="fp32").files["encoder"] == "encode.onnx"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "headers", "said"),
    [
        ("", {}, "it is empty"),
        ("model.gguf config.json", {}, "no .onnx file"),
        ("encoder.onnx decoder.onnx joiner.onnx tokens.txt", {}, "model_type"),
        ("encoder.onnx tokens.txt", {}, "does not say what it is"),
        ("model.onnx tokens.txt", {"model.onnx": Header({"model_type": "tdnn"})}, "tdnn"),
        ("preprocess.onnx encode.onnx cached_decode.onnx tokens.txt", {}, "uncached decoder is missing"),
        ("preprocess.onnx encode.onnx cached_decode.onnx uncached_decode.onnx", {}, "tokens is missing"),
        (
            "tiny-encoder.onnx tiny-decoder.onnx tiny-tokens.txt",
            {"tiny-encoder.onnx": Header({"n_mels": "80"})},
            "no metadata 'n_text_layer'",
        ),
        (
            "encoder.onnx decoder.onnx joiner.onnx tokens.txt",
            {
                "encoder.onnx": _needs("nemo-transducer", "encoder", vocab_size="1024"),
                "joiner.onnx": Header(outputs=(Tensor("outputs", ("B", 1, 1, 513)),)),
            },
            "of two models",
        ),
    ],
)
def test_a_folder_that_is_no_model_is_refused_with_the_reason(
    names: str, headers: Mapping[str, Header], said: str
) -> None:
    with pytest.raises(WrongFiles, match=said):
        plan(names.split(), _read(headers))  # type: ignore[arg-type]


@given(
    st.lists(
        st.sampled_from("encoder.onnx decoder.onnx joiner.onnx model.onnx tokens.txt preprocess.onnx x.ort".split())
    ),
    st.dictionaries(st.sampled_from(["model_type", "n_mels", "window_size", "vocab_size"]), st.text(max_size=8)),
)
def test_no_folder_makes_it_fail_otherwise(names: list[str], told: dict[str, str]) -> None:
    with contextlib.suppress(WrongFiles):
        assert plan(names, lambda _: Header(told)).files


def test_the_symbols_must_be_the_models() -> None:
    made = Plan("nemo-transducer", {"tokens": "tokens.txt"}, {}, vocabulary=2)
    check_symbols(made, {"a": 0, "b": 1, "<blk>": 2})
    for wrong in ({"a": 0, "<blk>": 1}, {"a": 0, "b": 1, "c": 2}, {}):
        with pytest.raises(WrongFiles, match="tokens"):
            check_symbols(made, wrong)
    with pytest.raises(WrongFiles, match="<blk>"):
        check_symbols(Plan("zipformer-ctc", {"tokens": "tokens.txt"}, {}), {"a": 0})


def test_languages_are_those_of_the_model() -> None:
    told = {"is_multilingual": "1", "all_language_codes": "en,de,yue"}
    assert languages(Plan("whisper", {}, told)) == ("en", "de", "yue")
    assert languages(Plan("whisper", {}, {"is_multilingual": "0"})) == ("en",)
    assert languages(Plan("moonshine", {}, {})) == ()
    assert languages(Plan("nemo-streaming-transducer", {}, {"prompt_dictionary": "{}"})) is None


@given(st.integers(0, 5000), st.integers(1, 200), st.integers(0, 100), st.integers(0, 50))
def test_the_tail_is_just_enough(heard: int, shift: int, more: int, late: int) -> None:
    window = shift + more
    silence = tail(heard, window, shift, late)
    steps = max(0, (heard + silence - window) // shift + 1)
    assert steps * shift >= heard + late  # every frame has been taken as a step's own
    assert silence <= late + window + shift


def test_a_models_chunks_are_read_from_its_metadata() -> None:
    assert frames(Plan("zipformer-transducer", {}, {"T": "77", "decode_chunk_len": "64"})) == (77, 64)
    assert frames(Plan("nemo-streaming-transducer", {}, {"window_size": "121", "chunk_shift": "112"})) == (121, 112)
