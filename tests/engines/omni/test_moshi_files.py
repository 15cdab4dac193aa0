"""What is wrong with a folder of Moshi's is told before anything heavy is loaded: file, tensor, expected, got, remedy."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.engines import safetensors_header
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_files, moshi_shapes
from locara.engines.omni.sentencepiece_pieces import NotSentencePiece, Piece, PieceText
from locara.engines.omni.sentencepiece_pieces import read as read_pieces
from locara.engines.safetensors_header import NotSafetensors

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
blank: Any = importlib.import_module("moshi_blank")
Change = Callable[[Path], object]


def test_a_whole_folder_is_read(tmp_path: Path) -> None:
    files = moshi_files.read(blank.write(tmp_path))
    assert (files.family, files.quantized, files.voices, len(files.pieces)) == ("moshi", False, (), 12)
    assert files.config["dep_q"] == 8
    assert files.parameters == sum(math.prod(one.shape) for one in safetensors_header.read(files.weights).values())
    assert files.tokenizer == tmp_path / "tokenizer.model"


def test_attention_may_lie_in_one_piece_or_apart(tmp_path: Path) -> None:
    blank.write(tmp_path)
    expected = list(moshi_shapes.language_model(blank.SIZES))
    for way in (0, 1, 2):
        blank.safetensors(tmp_path / "model.safetensors", blank.shapes(expected, way))
        moshi_files.read(tmp_path)


def test_codebooks_may_have_their_older_names(tmp_path: Path) -> None:
    blank.write(tmp_path)
    for way in (0, 1, 2):
        blank.safetensors(tmp_path / "mimi.safetensors", blank.shapes(moshi_shapes.codec(blank.MIMI), way), "F32")
        moshi_files.read(tmp_path)


def test_a_folder_without_a_configuration_is_moshi_as_first_published(tmp_path: Path) -> None:
    blank.write(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(Trouble, match=r"emb\.0\.weight should have the shape \[2049, 4096\] and has \[7, 8\]"):
        moshi_files.read(tmp_path)


def test_the_published_sizes_add_up_to_the_published_count() -> None:
    for books, billions in ((8, 7.688), (16, 8.371)):  # counted in the packages themselves
        shapes = blank.shapes(moshi_shapes.language_model({**moshi_shapes.PUBLISHED, "dep_q": books}))
        assert round(sum(map(math.prod, shapes.values())) / 1e9, 3) == billions


def test_personaplex_is_known_by_its_sixteen_codebooks_or_its_voices(tmp_path: Path) -> None:
    files = moshi_files.read(blank.write(tmp_path, dep_q=16))
    assert (files.family, files.config["dep_q"]) == ("personaplex", 16)
    shapes = blank.shapes(moshi_shapes.language_model({**blank.SIZES, "dep_q": 16}))
    blank.safetensors(tmp_path / "model.safetensors", {**shapes, "trained.with": (1,)})
    assert moshi_files.read(tmp_path).config["dep_q"] == 16  # NVIDIA's program reads what it knows
    blank.write(tmp_path)
    assert moshi_files.read(tmp_path).family == "moshi"
    (tmp_path / "voices").mkdir()
    for name in ("NATF0.pt", "NATF0.wav", "mine.wav", "readme.txt"):
        (tmp_path / "voices" / name).write_bytes(b"")
    files = moshi_files.read(tmp_path)
    assert (files.family, files.voices, files.config["dep_q"]) == ("personaplex", ("NATF0", "mine"), 8)
    assert moshi_files.read(tmp_path, "moshi").family == "moshi"


def _cut(name: str, size: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def _set(**values: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        told = {**json.loads(path.read_text()), **values}
        path.write_text(json.dumps({name: value for name, value in told.items() if value is not None}))

    return change


def _weights(**other: tuple[int, ...] | None) -> Change:
    """The language model with tensors of other shapes, or without them. ``__`` stands for a dot."""

    def change(folder: Path) -> None:
        shapes = blank.shapes(moshi_shapes.language_model(blank.SIZES))
        for name, shape in other.items():
            shapes.pop(name.replace("__", "."), None)
            if shape is not None:
                shapes[name.replace("__", ".")] = shape
        blank.safetensors(folder / "model.safetensors", shapes)

    return change


def _typed(dtype: str) -> Change:
    return lambda folder: blank.safetensors(
        folder / "model.safetensors", blank.shapes(moshi_shapes.language_model(blank.SIZES)), dtype
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_cut("model.safetensors", 4000), "ends inside its header"),
        (_cut("model.safetensors", -10), "a part of it is missing: "),
        (_cut("mimi.safetensors", 3), "does not begin like one (3 bytes)"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.pt"), "only model.pt, which is a pickle"),
        (lambda folder: (folder / "mimi.safetensors").unlink(), "mimi.safetensors is missing"),
        (lambda folder: (folder / "tokenizer.model").unlink(), "tokenizer.model is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(99)), "a file of torch.save"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04" + bytes(99)), "it is a pickle"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"version https://git-lfs" + bytes(99)), "Git LFS"),
        (lambda folder: (folder / "mimi.safetensors").write_bytes(b"<!doctype html>" + bytes(99)), "it is a web page"),
        (_weights(out_norm__alpha=None), "out_norm.alpha is missing"),
        (_weights(out_norm__alpha=(1, 1, 9)), "out_norm.alpha should have the shape [1, 1, 8] and has [1, 1, 9]"),
        (_weights(linears__8__weight=(6, 4)), "linears.8.weight belongs to another model"),
        (_weights(emb__0__scales=(6, 4)), "has weights for MLX"),
        (_typed("I64"), "should be one of BF16, F16, F32 and is I64"),
        (_typed("I8"), "should be one of BF16, F16, F32 and is I8"),
        (lambda folder: blank.tokenizer(folder / "tokenizer.model", blank.PIECES[:-1]), "11 pieces, and the model 12"),
        (_cut("tokenizer.model", 90), "no SentencePiece model, or not all of one"),
        (lambda folder: (folder / "tokenizer.model").write_bytes(b""), "no pieces in 0 bytes"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "it is no object"),
        (lambda folder: (folder / "mimi.json").write_text("{}"), "does not say 'quantizer'"),
        (_set(dim=16), "emb.0.weight should have the shape [7, 16] and has [7, 8]"),
        (_set(dim="8"), "dim is '8'"),
        (_set(delays=[0, 1]), "delays must be 17 times 0 or 1"),
        (_set(context=None), "does not say context"),
        (_set(stt_config={"audio_delay_seconds": 0.5}), "is a speech to text of Kyutai's"),
        (_set(tts_config={"audio_delay": 1.28}), "is a voice of Kyutai's"),
        (_set(model_type="hibiki"), "another model of the family (hibiki)"),
        (_set(lora_name="lora.safetensors"), "names LoRA weights"),
        (_set(moshi_name="../../etc/passwd"), "passwd is missing"),
        (
            lambda folder: (folder / "mimi.json").write_text(
                json.dumps({**blank.MIMI, "quantizer": {**blank.MIMI["quantizer"], "bins": 7}})
            ),
            "embedding_sum should have the shape [7, 2] and has [6, 2]",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_a_remedy(tmp_path: Path, change: Change, told: str) -> None:
    change(blank.write(tmp_path))
    with pytest.raises(Trouble) as caught:
        moshi_files.read(tmp_path)
    assert told in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_weights_in_eight_bits_are_known_as_such(tmp_path: Path) -> None:
    blank.write(tmp_path)
    shapes = blank.shapes(moshi_shapes.language_model(blank.SIZES))
    scales = {f"{name}_scb": (shape[0],) for name, shape in shapes.items()}
    blank.safetensors(tmp_path / "model.safetensors", {**shapes, **scales}, "I8")
    assert moshi_files.read(tmp_path).quantized


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="there is no folder"):
        moshi_files.read(tmp_path / "nowhere")


@pytest.mark.parametrize("length", [0x3C, 0x80, 0x180, 0x2880])
def test_a_header_may_have_any_length(tmp_path: Path, length: int) -> None:
    """A length whose first byte is that of a pickle, or of a web page, is a length."""
    head = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode().ljust(length)
    (tmp_path / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"x")
    assert set(safetensors_header.read(tmp_path / "a.safetensors")) == {"a"}


@given(st.binary(max_size=200))
def test_no_bytes_make_the_header_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "some.safetensors"
    for content in (data, len(data).to_bytes(8, "little") + data, (len(data) + 2).to_bytes(8, "little") + b"{}" + data):
        path.write_bytes(content)
        with contextlib.suppress(NotSafetensors):
            safetensors_header.read(path)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=4), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)))
def test_no_header_makes_the_reader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.safetensors"
    head = json.dumps(
        {**header, "a": {"dtype": header.get("x", "F32"), "shape": header.get("y", [1]), "data_offsets": [0, 4]}}
    )
    path.write_bytes(len(head.encode()).to_bytes(8, "little") + head.encode() + bytes(4))
    with contextlib.suppress(NotSafetensors):
        safetensors_header.read(path)


# --- pieces -----------------------------------------------------------------------------------------------------------


def _text(pieces: list[tuple[str, int]]) -> list[str]:
    reader = PieceText([Piece(*one) for one in pieces], silent=(0, 3))
    return [reader.next(token) for token in range(len(pieces))]


def test_pieces_keep_the_space_before_a_word() -> None:
    pieces = [("<unk>", 2), ("▁the", 1), ("▁ket", 1), ("<pad>", 3), ("tle", 1), ("</s>", 3), ("▁", 1), ("unused", 5)]
    assert _text(pieces) == ["", " the", " ket", "", "tle", "", " ", ""]


def test_bytes_are_held_back_until_their_character_is_whole() -> None:
    pieces = [("", 2), ("<0xE2>", 6), ("<0x82>", 6), ("", 3), ("<0xAC>", 6), ("<0x41>", 6)]
    assert _text(pieces) == ["", "", "", "", "€", "A"]


def test_bytes_that_are_cut_off_by_a_word_are_marked() -> None:
    assert _text([("", 2), ("<0xE2>", 6), ("<0x82>", 6), ("", 3), ("▁so", 1)]) == ["", "", "", "", "\ufffd so"]
    assert PieceText([Piece("a")]).next(7) == ""


@given(st.lists(st.tuples(st.text(max_size=20), st.sampled_from([1, 4, 5])), min_size=1, max_size=20))
def test_pieces_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.model"
    blank.tokenizer(path, pieces)
    assert read_pieces(path.read_bytes()) == tuple(Piece(*one) for one in pieces)


@given(st.binary(max_size=100))
def test_no_bytes_make_the_piece_reader_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(NotSentencePiece):
        assert read_pieces(data)
