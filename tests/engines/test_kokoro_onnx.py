"""Kokoro on genuine files: a small one whose sound says which symbols it was given."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import kokoro_weights  # type: ignore[import-not-found]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import kokoro_files, kokoro_onnx, registry
from locara.engines.contracts import Speech
from locara.engines.sentence_voice import SentenceVoice, audible
from locara.errors import ConfigError, EngineFailed, LocaraError, ModelMissing

TEXT = "The kettle is on top of the stove. In 1984, it was here."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("onnxruntime", "onnx", "espeakng_loader"):
        pytest.importorskip(module, reason=f"{module} is not installed: the extra kokoro, and dev for its weights")
    return Path(kokoro_weights.write(tmp_path_factory.mktemp("kokoro")))


def _create(folder: Path | None, **options: Any) -> SentenceVoice:
    path = {} if folder is None else {"path": str(folder)}
    made = kokoro_onnx.create("kokoro-82m", {**path, "threads": 1, **options})
    assert isinstance(made, SentenceVoice)
    return made


def _said(folder: Path, text: str, **options: Any) -> tuple[SentenceVoice, list[Speech]]:
    async def run() -> tuple[SentenceVoice, list[Speech]]:
        voice = _create(folder, **options)
        try:
            await voice.load()
            return voice, [piece async for piece in voice.speak(text)]
        finally:
            await voice.close()
            await voice.close()

    return asyncio.run(run())


def test_a_text_becomes_its_phonemes_sentence_by_sentence_and_words_have_times(folder: Path) -> None:
    voice, pieces = _said(folder, TEXT)
    spoken = [kokoro_weights.spoken(piece.samples) for piece in pieces]
    assert spoken[0] == "ðə kˈɛɾᵊl ɪz ˌɔn tˈɑp ʌvðə stˈOv."
    assert spoken[1].startswith("ɪn nˈIntinhˈʌndɹɪd ˈAɾi fˈɔɹ, ɪt wʌz hˈɪɹ")
    assert (voice.rate, voice.language, voice.info.word_times) == (24_000, "en-us", True)
    assert voice.info.note == "af_heart, en-us"
    marks = [mark for piece in pieces for mark in piece.words]
    assert [TEXT[mark.start : mark.end] for mark in marks] == TEXT.split()
    # Symbol after symbol, with one of padding before the first: "of" begins with "ʌvðə", "it" after the comma.
    at = {TEXT[mark.start : mark.end]: mark.at / kokoro_weights.STEP for mark in marks}
    assert at["The"] == 1 + spoken[0].index("ðə")
    assert at["of"] == 1 + spoken[0].index("ʌvðə")
    second = pieces[0].samples.size / kokoro_weights.STEP
    assert at["1984,"] == second + 1 + spoken[1].index("nˈIn")
    assert at["it"] == second + 1 + spoken[1].index("ɪt")


def test_speed_and_voice_and_language_are_the_ones_that_were_asked_for(folder: Path) -> None:
    _, usual = _said(folder, "Hello.")
    voice, fast = _said(folder, "Hello.", speed=2.0, voice="bf_emma")
    assert fast[0].samples.size * 2 == usual[0].samples.size
    assert (voice.language, voice.info.note) == ("en-gb", "bf_emma, en-gb")
    voice, french = _said(folder, "Bonjour.", voice="ff_siwis")
    assert voice.language == "fr-fr"
    assert "ʁ" in kokoro_weights.spoken(french[0].samples)


def test_what_cannot_be_said_is_left_out_and_long_texts_are_said_whole(folder: Path) -> None:
    assert _said(folder, " ... 😀 ")[1] == []
    text = "and the bread is in the oven " * 12
    pieces = _said(folder, text)[1]
    assert len(pieces) > 1
    assert sum(kokoro_weights.spoken(piece.samples).count("ˈʌvən") for piece in pieces) == 12


def test_a_file_without_durations_or_vocabulary_and_with_whole_speeds_works_too(folder: Path, tmp_path: Path) -> None:
    kokoro_weights.write(tmp_path, timed=False, whole_speed=True, vocabulary=False)
    voice, pieces = _said(tmp_path, "Hello.", speed=1.2)
    assert kokoro_weights.spoken(pieces[0].samples) == "həlˈO."
    assert not voice.info.word_times
    assert pieces[0].words == ()


def test_it_stops_in_the_middle_and_speaks_again(folder: Path) -> None:
    async def run() -> None:
        voice = _create(folder)
        try:
            await voice.load()
            for _ in range(3):
                async with aclosing(cast(Any, voice.speak("One. Two. Three. Four. " * 20))) as stream:
                    await anext(stream)
            assert len([piece async for piece in voice.speak("One. Two.")]) == 2
        finally:
            await voice.close()

    asyncio.run(run())


def test_nothing_is_asked_of_any_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert _said(folder, "Hello.")[1]


_PROGRAM = """
import asyncio, sys
from pathlib import Path
from locara.engines import registry

async def run():
    voice = registry.create("tts", "kokoro-82m", {{"engine": "kokoro-onnx", "path": {path!r}}})
    await voice.load()
    assert [piece async for piece in voice.speak("Hello.")]
    maps = Path("/proc/self/maps")
    assert not maps.exists() or "espeak" not in maps.read_text()
    assert not {{"espeakng_loader", "phonemizer", "kokoro_onnx", "requests", "huggingface_hub"}} & set(sys.modules)
    await voice.close()

asyncio.run(run())
"""


def test_espeak_is_never_in_this_process(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(path=str(folder))],
        capture_output=True, text=True, timeout=100, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"vioce": "x"}, "'voice'"),
        ({"speed": 3}, "0.5 to 2"),
        ({"threads": 0}, "1 to 64"),
        ({"language": "?"}, "en-US"),
    ],
)
def test_a_wrong_option_is_told_at_once(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kokoro_onnx.create("kokoro-82m", options)
    assert hint in caught.value.hint


def test_another_engines_model_is_not_its_own() -> None:
    assert kokoro_onnx.create("piper", {"path": "/"}) is None
    assert registry.create("tts", "mine", {"engine": "kokoro-onnx", "path": "/"}).info.engine == "kokoro-onnx"


def _fails(folder: Path | None, kind: type[LocaraError], *words: str, **options: Any) -> None:
    async def run() -> None:
        voice = _create(folder, **options)
        try:
            with pytest.raises(kind) as caught:
                await voice.load()
            told = f"{caught.value.message} {caught.value.hint}"
            assert all(word in told for word in words), told
        finally:
            await voice.close()

    asyncio.run(run())


def test_missing_files_are_told_with_the_command_that_gets_them(folder: Path, tmp_path: Path) -> None:
    _fails(None, ModelMissing, "locara models pull kokoro-82m")
    _fails(tmp_path / "nowhere", ModelMissing, "nowhere")
    _fails(tmp_path, EngineFailed, ".onnx file")
    (tmp_path / "kokoro-v1.0.onnx").write_bytes(b"")
    _fails(tmp_path, EngineFailed, "voices-v1.0.bin")


def test_a_voice_or_language_that_it_has_not_is_told_with_those_that_it_has(folder: Path) -> None:
    _fails(folder, ConfigError, "no voice 'af_hart'", "af_heart, bf_emma", voice="af_hart")
    _fails(folder, ConfigError, "another way to phonemes", voice="jf_alpha")


def _copy(folder: Path, to: Path, name: str, content: bytes) -> Path:
    for one in folder.iterdir():
        (to / one.name).write_bytes(content if one.name == name else one.read_bytes())
    return to


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_graph_that_is_cut_off_is_told(folder: Path, tmp_path: Path, keep: float) -> None:
    whole = (folder / "kokoro-v1.0.onnx").read_bytes()
    torn = _copy(folder, tmp_path, "kokoro-v1.0.onnx", whole[: int(keep if keep >= 1 else keep * len(whole))])
    _fails(torn, EngineFailed, "kokoro-v1.0.onnx", "locara models verify")


class _Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self._file,)


@pytest.mark.parametrize("case", ["torn", "pickle", "raw", "flat"])
def test_voices_that_are_broken_or_would_be_unpickled_are_told(folder: Path, tmp_path: Path, case: str) -> None:
    name = "voices-v1.0.bin"
    _copy(folder, tmp_path, name, (folder / name).read_bytes()[:5000] if case == "torn" else b"\0" * 4096)
    ran = tmp_path / "it ran"
    if case in ("pickle", "flat"):
        told = np.array([_Bomb(ran)], dtype=object) if case == "pickle" else np.zeros((510, 4), np.float32)
        with (tmp_path / name).open("wb") as file:
            np.savez(file, af_heart=told)
    _fails(tmp_path, EngineFailed, name, "locara models verify")
    assert not ran.exists()


def test_another_models_graph_is_told(folder: Path, tmp_path: Path) -> None:
    from onnx_graph import Graph  # type: ignore[import-not-found]

    graph = Graph()
    graph.output("y", graph.input("x", (1,)), (1,))
    _copy(folder, tmp_path, "", b"")
    graph.save(tmp_path / "kokoro-v1.0.onnx")
    _fails(tmp_path, EngineFailed, "is no Kokoro", "it takes x")


# --- pure steps -------------------------------------------------------------------------------------------------------


def test_the_symbols_are_the_114_of_the_model() -> None:
    assert len(kokoro_files.SYMBOLS) == 114
    assert [kokoro_files.SYMBOLS[one] for one in ";A$ˈᵻ".replace("$", " ")] == [1, 24, 16, 156, 177]
    assert kokoro_files.symbols({"kokoro_config": "{"}) is kokoro_files.SYMBOLS


@given(st.text(alphabet="abˈ ,?😀", max_size=80), st.integers(1, 20))
def test_portions_lose_nothing_that_is_known(spelt: str, most: int) -> None:
    portions = kokoro_files.portions(spelt, kokoro_files.SYMBOLS, most)
    assert all(0 < len(one) <= most for one in portions)
    assert "".join("".join(portions).split()) == "".join("".join(spelt.split()).replace("😀", ""))


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 100_000))
def test_edges_lie_inside_the_sound_in_order(durations: list[int], samples: int) -> None:
    at = kokoro_files.edges(durations, samples)
    assert at == sorted(at)
    assert all(0 <= one <= samples for one in at)
    assert len(at) in (0, len(durations) - 1)


def test_silence_at_the_ends_is_cut_and_a_quiet_voice_is_not() -> None:
    sound = np.concatenate([np.zeros(24_000), np.full(2400, 0.01), np.zeros(24_000)]).astype(np.float32)
    assert audible(sound, 24_000) == (24_000 - 720, 26_400 + 6000)
    assert audible(np.zeros(500, np.float32), 24_000) == (0, 500)
    assert audible(np.full(500, np.nan, np.float32), 24_000) == (0, 500)
