"""Both Whispers on genuine files: a tiny model that says a known text and hears high from low, in each program's format.

The weights are made here (`whisper_weights`). Both programs must give the same text: each has its own way from samples to
features, so a mistake in one of them shows.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import whisper_weights as weights  # type: ignore[import-not-found]

from locara.audio import RATE, Samples, silence
from locara.engines import faster_whisper, registry, whisper_cpp
from locara.engines.contracts import Recogniser, Transcript
from locara.engines.redecoding import RedecodingRecogniser, Stopped
from locara.errors import ConfigError, EngineFailed, ModelMissing
from locara.testing import Conversation, Line, play

NEEDS = {"faster-whisper": "ctranslate2", "whisper-cpp": "_pywhispercpp"}
CREATE = {"faster-whisper": faster_whisper.create, "whisper-cpp": whisper_cpp.create}
ENGINES = tuple(NEEDS)
LOW, HIGH = 200.0, 5000.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    """The files, by engine and whether they know English only."""
    root = tmp_path_factory.mktemp("whispers")
    paths: dict[tuple[str, bool], Path] = {}
    for english in (True, False):
        made = weights.saying(english)
        name = "en" if english else "multi"
        paths["faster-whisper", english] = weights.write_ctranslate2(root / name, *made)
        paths["whisper-cpp", english] = weights.write_ggml(root / f"ggml-{name}.bin", *made)
    return paths


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip(NEEDS[name], reason=f"the extra {name} is not installed")
    return name


def _create(engine: str, path: Path | None, **options: Any) -> RedecodingRecogniser:
    given = {"path": str(path)} if path is not None else {}
    made = CREATE[engine](f"{engine}-tiny", {"threads": 1, **given, **options})
    assert isinstance(made, RedecodingRecogniser)
    return made


def _run(recogniser: RedecodingRecogniser, work: Callable[[RedecodingRecogniser], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await recogniser.load()
            await work(recogniser)
        finally:
            await recogniser.close()
            await recogniser.close()

    asyncio.run(run())
    assert not [thread.name for thread in threading.enumerate() if thread.name == f"locara-{recogniser.info.engine}"]


async def _said(recogniser: Recogniser, sound: Samples, step: float = 0.1) -> tuple[list[str], Transcript]:
    listening = recogniser.open()
    news = []
    for start in range(0, sound.size, round(step * RATE)):
        if (text := await listening.push(sound[start : start + round(step * RATE)])) is not None:
            news.append(text)
        await asyncio.sleep(0)
    transcript = await listening.settle()
    await listening.close()
    return news, transcript


@pytest.mark.parametrize("english", [True, False])
def test_what_is_heard_decides_what_is_said(engine: str, english: bool, models: dict[tuple[str, bool], Path]) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        for hertz, word in ((LOW, "yes"), (HIGH, "no"), (LOW, "yes")):
            for seconds in (0.6, 2.0, 8.0):
                _, transcript = await _said(recogniser, weights.tone(hertz, seconds), step=1.0)
                assert transcript.text == f"go {word} now"
                assert transcript.confidence is not None
                assert transcript.confidence > 0.9

    _run(_create(engine, models[engine, english]), work)


@pytest.mark.parametrize("whole", [True, False])
def test_a_shortened_window_and_the_whole_one_say_the_same(
    engine: str, whole: bool, models: dict[tuple[str, bool], Path]
) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        assert (await _said(recogniser, weights.tone(HIGH, 1.0)))[1].text == "go no now"

    _run(_create(engine, models[engine, True], whole_window=whole), work)


def test_the_language_is_heard_once_and_told(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        assert "the one it hears" in recogniser.info.note
        assert "heard" not in recogniser.info.note
        await _said(recogniser, weights.tone(LOW, 2.0), step=2.0)
        assert "heard de" in recogniser.info.note
        await _said(recogniser, weights.tone(LOW, 2.0), step=2.0)
        assert recogniser.info.note.count("heard de") == 1

    _run(_create(engine, models[engine, False]), work)


def test_silence_is_no_words_and_costs_nothing(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        for sound in (silence(0), silence(RATE)):
            assert (await _said(recogniser, sound))[1] == Transcript("")

    _run(_create(engine, models[engine, True]), work)


def test_a_turn_of_a_minute_is_recognised_in_pieces(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    part = np.concatenate([weights.tone(LOW, 17.5), silence(RATE // 2)])
    sound = np.concatenate([part, part, part, weights.tone(LOW, 6.0)])

    async def work(recogniser: RedecodingRecogniser) -> None:
        _, transcript = await _said(recogniser, sound, step=60.0)
        assert transcript.text == "go yes now go yes now go yes now"

    _run(_create(engine, models[engine, True]), work)


def test_nothing_of_a_long_turn_is_heard_again_in_a_short_one(
    engine: str, models: dict[tuple[str, bool], Path]
) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        await _said(recogniser, weights.tone(LOW, 24.0), step=24.0)
        for seconds in (0.6, 1.0, 3.0):
            assert (await _said(recogniser, weights.tone(HIGH, seconds), step=3.0))[1].text == "go no now"

    _run(_create(engine, models[engine, True], partials="none"), work)


def test_two_turns_after_one_another_know_nothing_of_each_other(
    engine: str, models: dict[tuple[str, bool], Path]
) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        first = (await _said(recogniser, weights.tone(LOW, 1.0)))[1]
        await _said(recogniser, weights.tone(HIGH, 1.0))
        assert (await _said(recogniser, weights.tone(LOW, 1.0)))[1] == first

    _run(_create(engine, models[engine, True]), work)


def test_partial_texts_come_while_the_user_speaks(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        listening = recogniser.open()
        news: list[str] = []
        for _ in range(600):
            if (text := await listening.push(weights.tone(LOW, 0.1))) is not None:
                news.append(text)
            if news:
                break
            await asyncio.sleep(0.01)
        assert news == ["go yes now"]

    _run(_create(engine, models[engine, True]), work)


def test_a_decode_can_be_stopped_and_the_engine_lives_on(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    async def work(recogniser: RedecodingRecogniser) -> None:
        decoder = recogniser.decoder
        assert decoder is not None
        stop = threading.Event()
        stop.set()
        with pytest.raises(Stopped):
            decoder.decode(weights.tone(LOW, 1.0), final=True, stop=stop)
        listening = recogniser.open()
        await listening.push(weights.tone(LOW, 2.0))
        await listening.close()
        assert (await _said(recogniser, weights.tone(HIGH, 1.0)))[1].text == "go no now"

    _run(_create(engine, models[engine, True]), work)


def test_a_whole_conversation_runs_with_it(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    lines = [Line(0.5, "where are you now please tell me"), Line(6.0, "and what time is it")]
    result = play(Conversation(lines, replies=["Here I am.", "It is noon."]), stt=_create(engine, models[engine, True]))
    assert len(result.texts("final-transcript")) == 2
    assert all(text.startswith("go ") for text in result.texts("final-transcript"))
    assert [end.reason for end in result.turn_ends("assistant")] == ["finished", "finished"]
    assert result.of("error") == []


# --- what can be wrong ------------------------------------------------------------------------------------------------


def test_the_registry_finds_it_by_its_name(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    made = registry.create("stt", "whisper-tiny", {"engine": engine, "path": str(models[engine, True])})
    assert made.info.engine == engine
    assert made.info.model == "whisper-tiny"
    asyncio.run(made.close())


def test_another_engines_model_is_not_its_own(engine: str) -> None:
    assert CREATE[engine]("moonshine-tiny", {"path": "/"}) is None
    assert CREATE[engine]("", {}) is None


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"langage": "de"}, "'language'"),
        ({"language": 7}, "de"),
        ({"threads": 0}, "1 to 32"),
        ({"threads": True}, "1 to 32"),
        ({"partials": "al"}, "'all'"),
        ({"share": 0}, "0.05 to 1"),
        ({"deadline": "soon"}, "seconds"),
        ({"whole_window": 1}, "true or false"),
        ({"device": "cup"}, "'cpu'"),
        ({"path": 3}, "folder"),
    ],
)
def test_a_wrong_option_is_told_at_once_with_what_is_right(engine: str, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CREATE[engine](f"{engine}-tiny", options)
    assert engine in caught.value.message
    assert hint in caught.value.hint


def _fails(engine: str, path: Path | None, kind: type[Exception], *words: str, **options: Any) -> None:
    recogniser = _create(engine, path, **options)

    async def run() -> None:
        try:
            with pytest.raises(kind) as caught:
                await recogniser.load()
            told = getattr(caught.value, "message", "") + getattr(caught.value, "hint", "")
            for word in words:
                assert word in told
        finally:
            await recogniser.close()

    asyncio.run(run())


def test_missing_files_are_told_with_the_command_that_gets_them(engine: str, tmp_path: Path) -> None:
    _fails(engine, None, ModelMissing, f"locara models pull {engine}-tiny")
    _fails(engine, tmp_path / "nowhere", ModelMissing, "nowhere", f"locara models pull {engine}-tiny")
    _fails(engine, tmp_path, EngineFailed, str(tmp_path))


def test_a_language_that_the_model_does_not_know(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    _fails(engine, models[engine, True], ConfigError, "only knows English", language="de")
    _fails(engine, models[engine, False], ConfigError, "'xx'", language="xx")


def test_the_other_engines_files_are_told_apart(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    (other,) = set(ENGINES) - {engine}
    folder = models[other, True] if other == "faster-whisper" else models[other, True].parent
    _fails(engine, folder, EngineFailed, engine if engine == "whisper-cpp" else "whisper-cpp")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_off_is_told(
    engine: str, share: float, models: dict[tuple[str, bool], Path], tmp_path: Path
) -> None:
    source = models[engine, True]
    weights_file = source / "model.bin" if source.is_dir() else source
    raw = weights_file.read_bytes()
    target = tmp_path
    if source.is_dir():
        for name in ("config.json", "vocabulary.json"):
            (tmp_path / name).write_bytes((source / name).read_bytes())
    else:
        target = tmp_path / "ggml-tiny.bin"
    (tmp_path / ("model.bin" if source.is_dir() else "ggml-tiny.bin")).write_bytes(raw[: round(share * len(raw))])
    _fails(engine, target, EngineFailed, str(tmp_path), "locara models verify")


def test_noise_in_place_of_the_headers_is_told(
    engine: str, models: dict[tuple[str, bool], Path], tmp_path: Path
) -> None:
    source = models[engine, True]
    noise = np.random.default_rng(0).bytes(200_000)
    if source.is_dir():
        for name in ("config.json", "vocabulary.json"):
            (tmp_path / name).write_bytes((source / name).read_bytes())
        (tmp_path / "model.bin").write_bytes(noise)
        _fails(engine, tmp_path, EngineFailed, "model.bin")
    else:
        raw = source.read_bytes()
        for at in (0, 4, 60, 70_000, 200_000):
            broken = tmp_path / "ggml-tiny.bin"
            broken.write_bytes(raw[:at] + noise + raw[at + len(noise) :])
            _fails(engine, broken, EngineFailed, "ggml-tiny.bin")


@pytest.mark.parametrize("content", ["", "{", "[]", '["a"]', "\x00"])
def test_a_broken_vocabulary_is_told(content: str, models: dict[tuple[str, bool], Path], tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the extra faster-whisper is not installed")
    for name in ("config.json", "model.bin"):
        (tmp_path / name).write_bytes((models["faster-whisper", True] / name).read_bytes())
    (tmp_path / "vocabulary.json").write_text(content)
    _fails("faster-whisper", tmp_path, EngineFailed, "vocabulary.json")


def test_the_vocabulary_may_be_lines_of_text(models: dict[tuple[str, bool], Path], tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="the extra faster-whisper is not installed")
    source = models["faster-whisper", True]
    for name in ("config.json", "model.bin"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    tokens = json.loads((source / "vocabulary.json").read_text())
    (tmp_path / "vocabulary.txt").write_text("\n".join(tokens), encoding="utf-8")

    async def work(recogniser: RedecodingRecogniser) -> None:
        assert (await _said(recogniser, weights.tone(HIGH, 1.0)))[1].text == "go no now"

    _run(_create("faster-whisper", tmp_path), work)


def test_a_model_that_cannot_tell_languages_apart_needs_one_given(
    models: dict[tuple[str, bool], Path], tmp_path: Path
) -> None:
    pytest.importorskip("ctranslate2", reason="the extra faster-whisper is not installed")
    source = models["faster-whisper", False]
    for name in ("config.json", "model.bin"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    tokens = [token or "nothing" for token in json.loads((source / "vocabulary.json").read_text())]
    (tmp_path / "vocabulary.json").write_text(json.dumps(tokens))
    _fails("faster-whisper", tmp_path, ConfigError, "languages apart")

    async def work(recogniser: RedecodingRecogniser) -> None:
        assert (await _said(recogniser, weights.tone(LOW, 1.0)))[1].text == "go yes now"

    _run(_create("faster-whisper", tmp_path, language="de"), work)


def test_word_times_follow_one_another_within_the_sound(models: dict[tuple[str, bool], Path]) -> None:
    pytest.importorskip("ctranslate2", reason="the extra faster-whisper is not installed")

    async def work(recogniser: RedecodingRecogniser) -> None:
        transcript = (await _said(recogniser, weights.tone(LOW, 2.0), step=2.0))[1]
        assert [word.text for word in transcript.words] == ["go", "yes", "now"]
        times = [moment for word in transcript.words for moment in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= 2.0

    _run(_create("faster-whisper", models["faster-whisper", True], word_times=True, partials="none"), work)


def test_in_a_process_of_its_own_it_is_the_same(engine: str, models: dict[tuple[str, bool], Path]) -> None:
    more = {"word_times": True} if engine == "faster-whisper" else {}
    path = str(models[engine, True])

    async def said(process: str) -> Transcript:
        options = {"engine": engine, "path": path, "threads": 1, "partials": "none", "process": process, **more}
        recogniser: Any = registry.create("stt", "whisper-tiny", options)
        try:
            await recogniser.load()
            return (await _said(recogniser, weights.tone(HIGH, 2.0), step=2.0))[1]
        finally:
            await recogniser.close()

    here = asyncio.run(said("shared"))
    assert here.text == "go no now"
    assert bool(here.words) == bool(more)
    assert asyncio.run(said("own")) == here


# --- what must not happen ---------------------------------------------------------------------------------------------


def test_nothing_is_asked_of_any_network(
    engine: str, models: dict[tuple[str, bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    async def run() -> None:
        recogniser = _create(engine, models[engine, True])
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        try:
            await recogniser.load()
            assert (await _said(recogniser, weights.tone(LOW, 1.0)))[1].text == "go yes now"
        finally:
            await recogniser.close()

    asyncio.run(run())


_PROGRAM = """
import asyncio, sys
sys.path.insert(0, {tests!r})
import whisper_weights as weights
from locara.engines import registry

async def run():
    engine = registry.create("stt", "whisper", {{"engine": {engine!r}, "path": {path!r}, "threads": 1}})
    await engine.load()
    listening = engine.open()
    await listening.push(weights.tone(200.0, 1.0))
    assert (await listening.settle()).text == "go yes now"
    assert not {{"av", "requests", "huggingface_hub", "torch", "faster_whisper"}} & set(sys.modules)
    if {closes}:
        await engine.close()

asyncio.run(run())
"""


@pytest.mark.parametrize("closes", [True, False])
def test_a_program_ends_well_and_nothing_is_printed(
    engine: str, closes: bool, models: dict[tuple[str, bool], Path]
) -> None:
    tests = str(Path(__file__).resolve().parent)
    program = _PROGRAM.format(tests=tests, engine=engine, path=str(models[engine, True]), closes=closes)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
