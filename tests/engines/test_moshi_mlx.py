"""Moshi on MLX: the files and the delay lines here, the model itself where its package is installed.

``LOCARA_MLX_PYTHON``: the interpreter of an environment that has ``moshi_mlx`` (Linux: ``pip install "mlx[cpu]"``, then
``--no-deps moshi_mlx``, numpy, safetensors, sentencepiece). With ``LOCARA_KYUTAI_PYTHON`` too, one that has ``moshi``, what
is said on MLX is held against what PyTorch says.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import registry
from locara.engines.backend import BackendSettings, Frame, VoiceBackend
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_mlx, moshi_mlx_files
from locara.engines.omni.delayed_tokens import DelayedTokens
from locara.errors import ConfigError, EngineFailed, ModelMissing
from locara.testing.conformance_backend import examine_backend

MLX_PYTHON = os.environ.get("LOCARA_MLX_PYTHON", "")
KYUTAI_PYTHON = os.environ.get("LOCARA_KYUTAI_PYTHON", "")
SCRIPTS = Path(__file__).parent / "models"
SOURCE = Path(__file__).parents[2] / "src"
needs_both = pytest.mark.skipif(
    not (MLX_PYTHON and KYUTAI_PYTHON), reason="LOCARA_MLX_PYTHON and LOCARA_KYUTAI_PYTHON name no two environments"
)
needs_mlx = pytest.mark.skipif(not MLX_PYTHON, reason="LOCARA_MLX_PYTHON names no environment with moshi_mlx")


def _script(python: str, name: str, *arguments: object) -> str:
    run = subprocess.run(
        [python, str(SCRIPTS / name), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


# --- the delays between the streams -----------------------------------------------------------------------------------


@given(
    delays=st.lists(st.integers(0, 3), min_size=2, max_size=6).map(lambda some: some + some),
    steps=st.integers(1, 12),
)
def test_the_delay_lines_are_one_long_array_of_all_tokens(delays: list[int], steps: int) -> None:
    """Against the plain way: all streams in one array with a column a frame, as the package keeps it."""
    made, padding, start = len(delays) // 2, -7, -9
    longest = max(delays)
    sequence = np.full((len(delays), steps + 8), -2)
    lines = DelayedTokens(delays, made, padding=padding, start=start)
    text = start
    for step in range(steps):
        heard = [1000 * step + stream for stream in range(made)]
        if step:
            sequence[made:, step - 1] = heard
        wanted = [
            int(sequence[stream, step - 1 - delay]) if step - 1 - delay >= 0 else padding
            for stream, delay in enumerate(delays)
        ]
        assert lines.read(heard) == (text, wanted)
        text = 50 + step
        said = [100_000 + 100 * step + stream for stream in range(made)]
        for stream, token in enumerate(said):
            if step - delays[stream] >= 0:
                sequence[stream, step - delays[stream]] = token
        whole = (50 + step - longest, sequence[:made, step - longest].tolist()) if step >= longest else None
        assert lines.made(text, said) == whole


# --- options and folders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({}, ModelMissing, "locara models pull moshiko-mlx-q4"),
        ({"path": "/no/such/folder"}, ModelMissing, "/no/such/folder"),
        ({"path": ".", "devise": "cpu"}, ConfigError, "'device'"),
        ({"path": ".", "device": "cuda"}, ConfigError, "auto, cpu, gpu"),
        ({"path": ".", "slots": 99}, ConfigError, "from 1 to 8"),
        ({"path": ".", "temperature": -1}, ConfigError, "from 0 to 2"),
        ({"path": ".", "realtime": "never"}, ConfigError, "check, ignore"),
    ],
)
def test_wrong_options_say_what_is_right(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as caught:
        moshi_mlx.create("moshiko-mlx-q4", options)
    assert told in f"{caught.value} {getattr(caught.value, 'hint', '')}"


def test_it_is_found_by_name_and_by_engine(tmp_path: Path) -> None:
    assert moshi_mlx.create("moshiko-pytorch-bf16", {}) is None
    backend = moshi_mlx.create("", {"engine": "moshi-mlx", "path": str(tmp_path), "slots": 2})
    assert isinstance(backend, VoiceBackend)
    told = backend.capabilities
    assert (told.duplex, told.input_rate, told.frame_seconds, told.max_sessions) == ("full", 24_000, 0.08, 2)
    assert (told.instructions, told.voices, told.max_session_seconds) == ("none", (), None)


Header = dict[str, tuple[str, tuple[int, ...]]]


def _weights(path: Path, header: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """A safetensors file of zeros."""
    size = {"F32": 4, "U32": 4, "BF16": 2, "I8": 1}
    at, told = 0, {}
    for name, (dtype, shape) in header.items():
        end = at + size[dtype] * int(np.prod(shape))
        told[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(told).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def _tokenizer(path: Path, pieces: int) -> None:
    """The outermost fields of a tokenizer's file, each a piece of one letter."""
    piece = b"\x0a\x01a"
    path.write_bytes((b"\x0a" + bytes([len(piece)]) + piece) * pieces)


_CONFIG = {"dim": 64, "text_card": 5, "n_q": 16, "dep_q": 8, "card": 2048}


def _folder(
    folder: Path, header: Header | None = None, *, name: str = "model.q4.safetensors", config: object = None
) -> Path:
    """One that holds together, but for what a test takes from it. Quantised to 4 bits in groups of 32."""
    folder.mkdir(exist_ok=True)
    usual: Header = {f"depformer.slices.{n}.linear_out.weight": ("BF16", (4, 4)) for n in range(8)}
    usual |= {"text_linear.weight": ("U32", (5, 8)), "text_linear.scales": ("BF16", (5, 2))}
    usual |= {"text_linear.biases": ("BF16", (5, 2))}
    _weights(folder / name, usual | (header or {}))
    books = {f"quantizer.rvq_rest.vq.layers.{n}._codebook.embedding_sum": ("F32", (4, 2)) for n in range(31)}
    books |= {"quantizer.rvq_first.vq.layers.0._codebook.embedding_sum": ("F32", (4, 2))}
    _weights(folder / "tokenizer-e351c8d8-checkpoint125.safetensors", books)
    _tokenizer(folder / "tokenizer_spm_32k_3.model", 5)
    (folder / "config.json").write_text(json.dumps(_CONFIG if config is None else config))
    return folder


def test_a_folder_says_how_its_weights_are_stored(tmp_path: Path) -> None:
    found = moshi_mlx_files.read(_folder(tmp_path))
    assert (found.bits, found.torch_layout, found.books, len(found.pieces)) == (4, False, 32, 5)
    assert (found.config["context"], found.config["dim"]) == (3000, 64)
    eight = {"text_linear.weight": ("U32", (5, 16)), "text_linear.scales": ("BF16", (5, 1))}
    # Whatever the file is called: the name can be changed.
    assert moshi_mlx_files.read(_folder(tmp_path, eight)).bits == 8  # type: ignore[arg-type]


def _cut(folder: Path) -> None:
    path = folder / "model.q4.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def _pickled(folder: Path) -> None:
    (folder / "model.q4.safetensors").rename(folder / "pytorch_model.bin")


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without("model.q4.safetensors"), "model.safetensors is missing"),
        (_without("tokenizer-e351c8d8-checkpoint125.safetensors"), "checkpoint125.safetensors is missing"),
        (_without("tokenizer_spm_32k_3.model"), "tokenizer_spm_32k_3.model is missing"),
        (_cut, "is not whole, or not in the format safetensors"),
        (_pickled, "could run any program"),
        (lambda folder: _tokenizer(folder / "tokenizer_spm_32k_3.model", 8), "8 pieces"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "it is no object"),
        (lambda folder: _folder(folder, config={**_CONFIG, "stt_config": {"a": 1}}), "it has stt_config"),
        (lambda folder: _folder(folder, config={**_CONFIG, "dep_q": 16}), "makes 8 codebooks"),
        (lambda folder: _folder(folder, {"out_norm.weight": ("I8", (64,))}), "out_norm.weight is I8"),
        (lambda folder: _folder(folder, {"text_emb.weight": ("U32", (6, 8))}), "its scales are missing"),
        (lambda folder: _folder(folder, {"text_linear.scales": ("BF16", (5, 4))}), "4 bits in groups of 16"),
        (lambda folder: _weights(folder / "tokenizer-e351c8d8-checkpoint125.safetensors", {}), "0 codebooks"),
    ],
)
def test_a_folder_that_is_not_whole_says_what_is_wrong(
    tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(_folder(tmp_path))
    with pytest.raises(Trouble) as caught:
        moshi_mlx_files.read(tmp_path)
    assert told in str(caught.value)
    assert caught.value.hint


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``made("q4")``: the folder of a random model, written once."""
    home = tmp_path_factory.mktemp("moshi-mlx")

    def make(kind: str) -> Path:
        folder = home / kind
        if not folder.exists():
            _script(MLX_PYTHON, "moshi_mlx_random.py", folder, kind)
        return folder

    return make


@needs_mlx
def test_its_tokens_are_those_of_the_package_past_its_wall_and_in_every_conversation(made: Any) -> None:
    told = json.loads(_script(MLX_PYTHON, "moshi_mlx_reference.py", made("bf16"), 44))
    assert told["likeliest"]
    assert told["sampled"]
    assert told["again"]
    assert told["kinds"] > 10
    assert told["context"] < 30  # 44 steps are past its window, and past the 20 that the package's loop was given
    assert told["stops_at"] == 20
    assert told["wrong_from"] == told["ring"]  # why the package's own rings are not used


@pytest.fixture(scope="module")
def personaplex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("personaplex")
    _script(KYUTAI_PYTHON, "moshi_random.py", folder, "personaplex", 90)
    return folder


@needs_both
def test_it_hears_and_says_what_pytorch_does_also_past_its_window(tmp_path: Path) -> None:
    _script(KYUTAI_PYTHON, "moshi_random.py", tmp_path, "moshi", 24)
    _script(KYUTAI_PYTHON, "moshi_torch_reference.py", tmp_path, 60)
    wanted = np.load(tmp_path / "reference.npz")
    _script(MLX_PYTHON, "moshi_mlx_frames.py", tmp_path)
    got = np.load(tmp_path / "mlx.npz")
    assert len(set(wanted["text"].tolist())) > 10
    for name in ("heard", "text", "codes"):
        assert np.array_equal(got[name], wanted[name]), name
    assert np.abs(got["said"] - wanted["said"]).max() < 1e-4


@needs_both
@pytest.mark.parametrize("voice", ["ANNA", "BERT"])  # as sound, and as the embeddings of NVIDIA's program
def test_personaplex_hears_voice_and_role_as_on_pytorch(personaplex: Path, tmp_path: Path, voice: str) -> None:
    for which, python in (("torch", KYUTAI_PYTHON), ("mlx", MLX_PYTHON)):
        _script(python, "personaplex_frames.py", which, personaplex, voice, "You are kind.", tmp_path / f"{which}.npz")
    wanted, got = (np.load(tmp_path / f"{which}.npz") for which in ("torch", "mlx"))
    assert wanted["text"].tolist() == got["text"].tolist()
    assert np.abs(wanted["said"]).max() > 0.01
    assert np.abs(got["said"] - wanted["said"]).max() < 1e-4


@needs_both
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (BackendSettings(voice="CARL"), "CARL"),
        (BackendSettings(instructions="You are kind and patient. " * 20), "fewer words"),
        (BackendSettings(voice="EVIL"), "os.system"),
    ],
)
def test_a_voice_or_a_role_that_cannot_be_is_refused(personaplex: Path, settings: BackendSettings, told: str) -> None:
    with zipfile.ZipFile(personaplex / "voices" / "EVIL.pt", "w") as archive:
        archive.writestr("EVIL/data.pkl", b"cos\nsystem\n(S'false'\ntR.")

    async def start() -> None:
        options = {"engine": "moshi-mlx", "path": str(personaplex), "python": MLX_PYTHON, "realtime": "ignore"}
        backend = registry.create("omni", "", options)
        assert isinstance(backend, VoiceBackend)
        await backend.load()
        try:
            assert backend.capabilities.instructions == "start"
            assert {"ANNA", "BERT"} <= set(backend.capabilities.voices)
            with pytest.raises((EngineFailed, ConfigError)) as caught:
                await backend.start_session(settings)
            assert told in f"{caught.value} {caught.value.hint}"
        finally:
            await backend.close()

    asyncio.run(start())


async def _frames(backend: VoiceBackend, sound: np.ndarray) -> list[Frame]:
    """One conversation: all of ``sound``, and as many frames as it has."""
    session = await backend.start_session(BackendSettings())
    try:
        await backend.push_audio(session, sound.astype(np.float32).reshape(-1))
        frames: list[Frame] = []
        async with asyncio.timeout(60):
            async for event in backend.event_stream(session):
                if isinstance(event, Frame):
                    frames.append(event)
                    if event.heard >= sound.size:
                        break
        return frames
    finally:
        await backend.stop_session(session)


@needs_mlx
@pytest.mark.parametrize("kind", ["bf16", "q8", "q4"])
def test_a_conversation_in_its_own_process_and_another_one_after_it(made: Any, kind: str) -> None:
    options = {
        "engine": "moshi-mlx", "path": str(made(kind)), "python": MLX_PYTHON, "device": "cpu", "realtime": "ignore",
        "late": 10.0, "temperature": 0.0, "text_temperature": 0.0, "slots": 2,
    }  # fmt: skip
    sound = 0.2 * np.random.default_rng(2).standard_normal((8, 1920))

    async def talk() -> None:
        backend = registry.create("omni", f"moshiko-mlx-{kind}", options)
        assert isinstance(backend, VoiceBackend)
        await backend.load()
        try:
            first = await _frames(backend, sound)
            both = await asyncio.gather(_frames(backend, sound), _frames(backend, -sound))
            with pytest.raises((EngineFailed, ConfigError), match="cannot be told what it is"):
                await backend.start_session(BackendSettings(instructions="Be brief."))
        finally:
            await backend.close()
        assert [frame.samples.shape for frame in first] == [(1920,)] * len(first)
        assert len(first) >= 7
        assert max(float(np.abs(frame.samples).max()) for frame in first) > 0.01
        again, other = both
        assert [frame.text for frame in again] == [frame.text for frame in first]
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first, again, strict=True))
        assert any(not np.array_equal(a.samples, b.samples) for a, b in zip(first, other, strict=False))

    asyncio.run(talk())


@needs_mlx
def test_it_keeps_the_contract_of_a_backend(made: Any) -> None:
    options = {
        "engine": "moshi-mlx", "path": str(made("bf16")), "python": MLX_PYTHON, "device": "cpu", "realtime": "ignore",
        "slots": 2,
    }  # fmt: skip

    def make() -> VoiceBackend:
        backend = registry.create("omni", "", options)
        assert isinstance(backend, VoiceBackend)
        return backend

    outcomes = asyncio.run(examine_backend(make))
    assert all(outcome.passed for outcome in outcomes), [one for one in outcomes if not one.passed]


@needs_mlx
def test_weights_of_other_shapes_are_refused_with_the_tensor_that_differs(made: Any, tmp_path: Path) -> None:
    source = made("bf16")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "depformer_dim": 128}))

    async def load() -> None:
        options = {"engine": "moshi-mlx", "path": str(tmp_path), "python": MLX_PYTHON, "device": "cpu"}
        backend = registry.create("omni", "", options)
        assert isinstance(backend, VoiceBackend)
        try:
            with pytest.raises(EngineFailed, match=r"does not hold a whole Moshi.*depformer\.slices"):
                await backend.load()
        finally:
            await backend.close()

    asyncio.run(load())
