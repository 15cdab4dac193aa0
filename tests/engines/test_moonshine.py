"""Moonshine's streaming models on genuine files: a tiny one that says a known text and hears high from low."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import moonshine_weights  # type: ignore[import-not-found]
import numpy as np
import pytest
import whisper_weights  # type: ignore[import-not-found]

from locara.audio import BLOCK, RATE, Samples, silence
from locara.engines import moonshine, registry
from locara.engines.contracts import Transcript
from locara.errors import ConfigError, EngineFailed, ModelMissing
from locara.testing import Conversation, Line, play

LOW, HIGH = 200.0, 5000.0


def tone(hertz: float, seconds: float) -> Samples:
    sound: Samples = whisper_weights.tone(hertz, seconds)
    return sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("moonshine_voice", "onnx", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed: the extra moonshine, and dev for its weights")
    return Path(moonshine_weights.write(tmp_path_factory.mktemp("moonshine")))


@pytest.fixture
def engine(folder: Path) -> Iterator[moonshine.Moonshine]:
    yield _create(folder)
    assert not [thread.name for thread in threading.enumerate() if thread.name == "locara-moonshine"]


def _create(folder: Path | None, **options: Any) -> moonshine.Moonshine:
    given = {"path": str(folder)} if folder is not None else {}
    made = moonshine.create("moonshine-tiny-streaming", {**given, **options})
    assert isinstance(made, moonshine.Moonshine)
    return made


def _run(engine: moonshine.Moonshine, work: Callable[[moonshine.Moonshine], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await engine.load()
            await work(engine)
        finally:
            await engine.close()
            await engine.close()

    asyncio.run(run())


async def _said(engine: moonshine.Moonshine, sound: Samples, step: int = BLOCK) -> tuple[list[str], Transcript]:
    hearing = engine.open()
    news = []
    for start in range(0, sound.size, step):
        if (text := await hearing.push(sound[start : start + step])) is not None:
            news.append(text)
        if hearing._flight is not None:
            await asyncio.wait([hearing._flight])
    transcript = await hearing.settle()
    await hearing.close()
    return news, transcript


def test_what_is_heard_decides_what_is_said_and_partial_texts_come_before(engine: moonshine.Moonshine) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        for hertz, word in ((LOW, "yes"), (HIGH, "no"), (LOW, "yes")):
            for seconds in (0.9, 2.0, 8.0):
                news, transcript = await _said(engine, tone(hertz, seconds))
                assert transcript == Transcript(f"go {word} now")
                assert news[-1] == transcript.text
                assert len(news) == len(set(news))

    _run(engine, work)


def test_the_end_of_a_turn_is_not_held_back(engine: moonshine.Moonshine) -> None:
    """Low for long, then high: the last sound outweighs the rest only if all of it is heard."""

    async def work(engine: moonshine.Moonshine) -> None:
        sound = np.concatenate([tone(LOW, 1.0), 8.0 * tone(HIGH, 0.06)])
        assert (await _said(engine, sound, step=sound.size))[1].text == "go no now"

    _run(engine, work)


def test_settling_again_costs_nothing_and_a_turn_goes_on(engine: moonshine.Moonshine) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        hearing = engine.open()
        await hearing.push(tone(LOW, 1.0))
        first = await hearing.settle()
        assert await hearing.settle() is first
        await hearing.push(silence(RATE // 4))
        assert await hearing.settle() is first
        await hearing.push(10.0 * tone(HIGH, 1.0))
        assert (await hearing.settle()).text == "go no now"
        await hearing.close()

    _run(engine, work)


def test_silence_is_no_words(engine: moonshine.Moonshine) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        for sound in (silence(0), silence(2 * RATE)):
            assert (await _said(engine, sound))[1] == Transcript("")

    _run(engine, work)


@pytest.mark.parametrize("step", [BLOCK * 25, 80 * RATE])
def test_a_turn_of_a_minute_is_cut_where_it_is_quiet(engine: moonshine.Moonshine, step: int) -> None:
    part = np.concatenate([tone(LOW, 19.0), silence(RATE)])
    sound = np.concatenate([part, part, part, tone(LOW, 6.0)])

    async def work(engine: moonshine.Moonshine) -> None:
        text = (await _said(engine, sound, step=step))[1].text.split()
        assert text[:3] == ["go", "yes", "now"]
        assert text.count("go") in (3, 4)

    _run(engine, work)


def test_a_newer_recognition_ends_the_older_one(engine: moonshine.Moonshine) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        older = engine.open()
        await older.push(tone(LOW, 1.0))
        newer = engine.open()
        with pytest.raises(EngineFailed, match="ended"):
            await older.push(tone(LOW, 0.1))
        await older.close()
        await newer.push(tone(HIGH, 1.0))
        assert (await newer.settle()).text == "go no now"
        await newer.close()
        await newer.close()

    _run(engine, work)


def test_a_cancelled_settle_loses_nothing(engine: moonshine.Moonshine) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        hearing = engine.open()
        await hearing.push(tone(LOW, 1.0))
        settling = asyncio.create_task(hearing.settle())
        await asyncio.sleep(0)
        settling.cancel()
        await asyncio.wait([settling])
        assert (await hearing.settle()).text == "go yes now"
        await hearing.close()

    _run(engine, work)


@pytest.mark.parametrize("partials", ["all", "none"])
def test_partial_texts_can_be_left_out(folder: Path, partials: str) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        news, transcript = await _said(engine, tone(LOW, 2.0))
        assert bool(news) == (partials == "all")
        assert transcript.text == "go yes now"

    _run(_create(folder, partials=partials), work)


def test_a_whole_conversation_runs_with_it(engine: moonshine.Moonshine) -> None:
    result = play(Conversation([Line(0.5, "where are you now please tell me")], replies=["Here I am."]), stt=engine)
    assert [text.split()[0] for text in result.texts("final-transcript")] == ["go"]
    assert [end.reason for end in result.turn_ends("assistant")] == ["finished"]
    assert result.of("error") == []


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"stepp": 1}, "'step'"), ({"step": 0}, "0.08"), ({"partials": "stable"}, "all, none"), ({"path": 1}, "folder")],
)
def test_a_wrong_option_is_told_at_once(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        moonshine.create("moonshine-tiny-streaming", options)
    assert hint in caught.value.hint


def test_another_engines_model_is_not_its_own() -> None:
    assert moonshine.create("whisper-tiny", {"path": "/"}) is None
    assert moonshine.create("", {}) is None
    made = registry.create("stt", "moonshine-of-mine", {"engine": "moonshine", "path": "/"})
    assert made.info.model == "moonshine-of-mine"
    asyncio.run(made.close())


def _fails(path: Path | None, kind: type[Exception], *words: str) -> None:
    engine = _create(path)

    async def run() -> None:
        try:
            with pytest.raises(kind) as caught:
                await engine.load()
            told = getattr(caught.value, "message", "") + getattr(caught.value, "hint", "")
            for word in words:
                assert word in told
        finally:
            await engine.close()

    asyncio.run(run())


def test_missing_files_are_told_with_the_command_that_gets_them(folder: Path, tmp_path: Path) -> None:
    _fails(None, ModelMissing, "locara models pull moonshine-tiny-streaming")
    _fails(tmp_path / "nowhere", ModelMissing, "nowhere")
    _fails(tmp_path, EngineFailed, "frontend.ort", "tokenizer.bin")
    (tmp_path / "encoder_model.ort").write_bytes(b"")
    _fails(tmp_path, EngineFailed, "cannot stream")


def _copy(folder: Path, to: Path, **changed: bytes) -> Path:
    for one in folder.iterdir():
        (to / one.name).write_bytes(changed.get(one.stem, one.read_bytes()))
    return to


@pytest.mark.parametrize("name", ["frontend", "encoder", "adapter", "cross_kv", "decoder_kv"])
def test_a_graph_that_is_cut_off_or_of_another_format_is_told(folder: Path, tmp_path: Path, name: str) -> None:
    whole = (folder / f"{name}.ort").read_bytes()
    _fails(_copy(folder, tmp_path, **{name: b""}), EngineFailed, f"{name}.ort", "locara models verify")
    _fails(_copy(folder, tmp_path, **{name: b"\x08\x00\x00\x00" + whole[:600]}), EngineFailed, f"{name}.ort")
    _fails(_copy(folder, tmp_path, **{name: whole[: len(whole) // 2]}), EngineFailed, str(tmp_path))


def test_a_front_end_in_two_files_runs_too(folder: Path, tmp_path: Path) -> None:
    async def work(engine: moonshine.Moonshine) -> None:
        for hertz, word in ((LOW, "yes"), (HIGH, "no")):
            news, transcript = await _said(engine, tone(hertz, 2.0))
            assert transcript == Transcript(f"go {word} now")
            assert news

    moonshine_weights.write(tmp_path, split=True)
    assert not (tmp_path / "frontend.ort").exists()
    _run(_create(tmp_path), work)
    weights = tmp_path / "frontend.weights.ort"
    whole = weights.read_bytes()
    for torn in (b"", b"\x08\x00\x00\x00" + whole[:200], whole[: len(whole) // 2]):
        weights.write_bytes(torn)
        _fails(tmp_path, EngineFailed, str(tmp_path), "locara models verify")
    weights.unlink()
    _fails(tmp_path, EngineFailed, "frontend.weights.ort is missing")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"total_lookahead": "x"}'])
def test_broken_settings_are_told(folder: Path, tmp_path: Path, content: bytes) -> None:
    _fails(_copy(folder, tmp_path, streaming_config=content), EngineFailed, "streaming_config.json")


def test_a_tokenizer_of_nothing_is_told(folder: Path, tmp_path: Path) -> None:
    _fails(_copy(folder, tmp_path, tokenizer=b""), EngineFailed, str(tmp_path))


# --- what must not happen ---------------------------------------------------------------------------------------------


def test_nothing_is_asked_of_any_network(engine: moonshine.Moonshine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    async def run() -> None:
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        try:
            await engine.load()
            assert (await _said(engine, tone(LOW, 1.0)))[1].text == "go yes now"
        finally:
            await engine.close()

    asyncio.run(run())


_PROGRAM = """
import asyncio, sys
sys.path.insert(0, {tests!r})
import whisper_weights
from locara.engines import registry

async def run():
    engine = registry.create("stt", "moonshine", {{"engine": "moonshine", "path": {path!r}, "process": {process!r}}})
    await engine.load()
    listening = engine.open()
    await listening.push(whisper_weights.tone(200.0, 1.0))
    assert (await listening.settle()).text == "go yes now"
    assert not {{"sounddevice", "requests", "huggingface_hub", "torch"}} & set(sys.modules)
    assert ("moonshine_voice" in sys.modules) == ({process!r} == "shared")
    if {closes}:
        await engine.close()

asyncio.run(run())
"""


@pytest.mark.parametrize(("closes", "process"), [(True, "shared"), (False, "shared"), (True, "own")])
def test_a_program_ends_well_here_and_in_a_process_of_its_own(folder: Path, closes: bool, process: str) -> None:
    tests = str(Path(__file__).resolve().parent)
    program = _PROGRAM.format(tests=tests, path=str(folder), closes=closes, process=process)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
