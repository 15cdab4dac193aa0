"""Supertonic on genuine files: a small one that is as long as its tokens say and as loud as its steps."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import supertonic_weights as weights  # type: ignore[import-not-found]
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import registry, supertonic, supertonic_files
from locara.engines.contracts import Speech
from locara.engines.sentence_voice import SentenceVoice
from locara.errors import ConfigError, EngineFailed, LocaraError, ModelMissing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("onnxruntime", "onnx"):
        pytest.importorskip(module, reason=f"{module} is not installed: the extra supertonic, and dev for its weights")
    return Path(weights.write(tmp_path_factory.mktemp("supertonic")))


def _create(folder: Path | None, **options: Any) -> SentenceVoice:
    path = {} if folder is None else {"path": str(folder)}
    made = supertonic.create("supertonic-3", {**path, "threads": 1, **options})
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


def _tokens(piece: Speech, speed: float = 1.0) -> int:
    return round(piece.samples.size / float(weights.RATE) * speed / float(weights.TOKEN_SECONDS))


def test_each_sentence_is_as_long_and_as_loud_as_the_graphs_say(folder: Path) -> None:
    voice, pieces = _said(folder, "Hello there. Grüß Gott", speed=1.0, steps=4)
    assert [_tokens(piece) for piece in pieces] == [len("<en>Hello there.</en>"), len("<en>Gru\u0308ß Gott.</en>")]
    assert all(np.allclose(piece.samples, 4 * weights.STEP_LEVEL) for piece in pieces)
    assert (voice.rate, voice.language, voice.info.note) == (44_100, "en", "F1, 4 steps")
    assert not voice.info.word_times


def test_speed_voice_and_language_are_the_ones_that_were_asked_for(folder: Path) -> None:
    voice, pieces = _said(folder, "Hello.", speed=2.0, voice="M1", language="de-DE")
    assert [_tokens(piece, 2.0) for piece in pieces] == [len("<de>Hello.</de>")]
    assert (voice.language, voice.info.note) == ("de", "M1, 5 steps")
    assert _said(folder, "Hello.", language="na")[0].language == ""


def test_the_same_text_always_sounds_the_same_and_what_cannot_be_said_is_left_out(folder: Path) -> None:
    assert _said(folder, " ... 你好 😀 ")[1] == []
    _, one = _said(folder, "Hello.")
    _, two = _said(folder, "Hello. 😀")
    assert np.array_equal(one[0].samples, two[0].samples)


def test_it_stops_in_the_middle_and_speaks_again(folder: Path) -> None:
    async def run() -> None:
        voice = _create(folder, steps=20)
        try:
            await voice.load()
            for _ in range(3):
                async with aclosing(cast(Any, voice.speak("One. Two. Three. Four. " * 20))) as stream:
                    await anext(stream)
            assert len([piece async for piece in voice.speak("One. Two.")]) == 2
        finally:
            await voice.close()

    asyncio.run(run())


def test_nothing_is_asked_of_any_network_and_the_package_is_not_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert _said(folder, "Hello.")[1]
    assert not {"supertonic", "soundfile"} & set(sys.modules)


def test_the_tokens_are_those_of_its_makers_package(folder: Path) -> None:
    if importlib.util.find_spec("supertonic") is None:
        pytest.skip("the package supertonic is not installed: it is no dependency, only compared with here")
    # In a process of its own: importing it loads a downloader, and libsndfile.
    texts = [
        "Hello , world — it’s [5] o'clock/now", "“Grüß” Gott!", "e.g., a_b @ home #3", "One\n two   three", "a ☆ b\\c",
        "¿Qué tal? ¡Bien!", "ends with a bracket)", "I’m — here...",
    ]  # fmt: skip
    program = (
        "import json, sys; from supertonic.core import UnicodeProcessor as P; p = P(sys.argv[1]);"
        "print(json.dumps([p([t], 'en')[0][0].tolist() for t in json.loads(sys.argv[2])]))"
    )
    indexer = folder / "onnx" / "unicode_indexer.json"
    done = subprocess.run(
        [sys.executable, "-c", program, str(indexer), json.dumps(texts)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    known = weights.known()
    for text, theirs in zip(texts, json.loads(done.stdout), strict=True):
        ours = supertonic_files.tokens(supertonic_files.cleaned(text), "en", known)[0].tolist()
        assert ours == [one for one in theirs if one >= 0], text


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"stepps": 1}, "'steps'"),
        ({"speed": 3}, "0.7 to 2"),
        ({"steps": 0}, "1 to 100"),
        ({"language": "tlh"}, "en, ko"),
    ],
)
def test_a_wrong_option_is_told_at_once(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        supertonic.create("supertonic-3", options)
    assert hint in caught.value.hint


def test_another_engines_model_is_not_its_own() -> None:
    assert supertonic.create("supertonic-3-sherpa", {"path": "/"}) is None
    assert registry.create("tts", "mine", {"engine": "supertonic", "path": "/"}).info.engine == "supertonic"


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
    _fails(None, ModelMissing, "locara models pull supertonic-3")
    _fails(tmp_path / "nowhere", ModelMissing, "nowhere")
    _fails(tmp_path, EngineFailed, "onnx/duration_predictor.onnx and 5 more")
    _fails(folder, ConfigError, "no voice 'F9'", "F1, M1", voice="F9")


def _copy(folder: Path, to: Path, name: str, content: bytes | None) -> Path:
    for one in folder.rglob("*.*"):
        other = to / one.relative_to(folder)
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(content if content is not None and one.name == name else one.read_bytes())
    return to


@pytest.mark.parametrize("name", ["duration_predictor", "text_encoder", "vector_estimator", "vocoder"])
def test_a_graph_that_is_cut_off_or_another_models_is_told(folder: Path, tmp_path: Path, name: str) -> None:
    whole = (folder / "onnx" / f"{name}.onnx").read_bytes()
    torn = _copy(folder, tmp_path / "torn", f"{name}.onnx", whole[: len(whole) // 2])
    _fails(torn, EngineFailed, f"{name}.onnx", "locara models verify")
    other = "vocoder" if name != "vocoder" else "text_encoder"
    swapped = _copy(folder, tmp_path / "other", f"{name}.onnx", (folder / "onnx" / f"{other}.onnx").read_bytes())
    _fails(swapped, EngineFailed, f"{name}.onnx is another model's")


@pytest.mark.parametrize("name", ["tts.json", "unicode_indexer.json", "F1.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"ae": 1}', b"[1.5]", b'{"style_ttl": {"dims": [1], "data": [1]}}', b"\xff\xfe"],
)
def test_settings_and_voices_that_are_broken_are_told(folder: Path, tmp_path: Path, name: str, content: bytes) -> None:
    _fails(_copy(folder, tmp_path, name, content), EngineFailed, name, "locara models verify")


# --- pure steps -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_a_cleaned_text_is_on_one_line_has_an_end_and_no_tags(text: str) -> None:
    cleaned = supertonic_files.cleaned(text)
    assert cleaned == " ".join(cleaned.split())
    assert not set("<>[]|#_") & set(cleaned)
    assert not cleaned or not cleaned[-1].isalnum()


@given(st.text(max_size=60))
def test_tokens_are_never_ones_that_the_model_does_not_know(text: str) -> None:
    assert (supertonic_files.tokens(text, "en", weights.known()) >= 0).all()
