"""The embedded recogniser. What it hears here is the embedded voice, which it understands badly: the texts are chosen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, pcm16, silence
from locara.engines import sphinx, sphinx_worker
from locara.engines.contracts import Forgets, Transcript
from locara.engines.espeak import create as create_voice
from locara.engines.quietness import is_nothing
from locara.errors import ConfigError, EngineFailed

_MEAN = "44.1,3.2,-1.5,5,-3,-2,-4,-2,0.5,-3,-2,-1,0.25"


def _engine(**options: Any) -> sphinx.Sphinx:
    engine = sphinx.create("pocketsphinx", options)
    assert isinstance(engine, sphinx.Sphinx)
    return engine


@pytest.fixture(scope="module")
def engine() -> Iterator[sphinx.Sphinx]:
    one = _engine()
    asyncio.run(one.load())
    yield one
    asyncio.run(one.close())
    asyncio.run(one.close())
    assert not one.child.alive
    assert not [t.name for t in threading.enumerate() if "pocketsphinx" in t.name or "locara-child" in t.name]


@pytest.fixture(scope="module")
def speech() -> dict[str, Samples]:
    return asyncio.run(_speech("yes please", "how are you"))


async def _speech(*texts: str) -> dict[str, Samples]:
    voice = create_voice("espeak-ng:en-gb", {"rate_wpm": 140})
    assert voice is not None
    said: dict[str, Samples] = {}
    try:
        await voice.load()
        for text in texts:
            sound = np.concatenate([piece.samples async for piece in voice.speak(text)])
            at = np.arange(0, sound.size, voice.rate / RATE)
            quiet = silence(RATE * 3 // 10)
            said[text] = np.concatenate([quiet, 0.5 * np.interp(at, np.arange(sound.size), sound), quiet]).astype("f4")
    finally:
        await voice.close()
    return said


async def _push(listening: sphinx.Listening, sound: Samples) -> list[str]:
    news = []
    for start in range(0, sound.size, BLOCK):
        if (text := await listening.push(sound[start : start + BLOCK])) is not None:
            news.append(text)
        await asyncio.sleep(0)
    return news


def _turn(engine: sphinx.Sphinx, work: Callable[[sphinx.Listening], Awaitable[None]], mean: str | None = None) -> None:
    async def run() -> None:
        engine.mean = mean
        listening = engine.open()
        try:
            await work(listening)
        finally:
            await listening.close()
            await listening.close()

    asyncio.run(asyncio.wait_for(run(), 60))


# --- names, options, memory -------------------------------------------------------------------------------------------


def test_only_its_own_names_are_answered() -> None:
    for model in ("", "pocketsphinx", "pocketsphinx-en-us"):
        assert sphinx.create(model, {}) is not None
    assert sphinx.create("whisper-tiny", {}) is None


@pytest.mark.parametrize(
    "options", [{"device": 3}, {"remember": "yes"}, {"deadline": -1}, {"deadline": True}, {"beam": 1}]
)
def test_bad_options_are_errors_that_name_the_option(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))) as caught:
        sphinx.create("pocketsphinx", options)
    assert caught.value.hint


def test_the_cache_lies_where_the_platform_wants_it() -> None:
    home = Path("/home/ann")
    assert sphinx.cache_dir({}, "linux", home) == home / ".cache" / "locara"
    assert sphinx.cache_dir({"XDG_CACHE_HOME": "relative"}, "linux", home) == home / ".cache" / "locara"
    assert sphinx.cache_dir({}, "darwin", home) == home / "Library" / "Caches" / "locara"
    assert sphinx.cache_dir({"LOCALAPPDATA": "L"}, "win32", home) == Path("L") / "locara" / "cache"
    assert sphinx.cache_dir({}, "win32", home) == home / "AppData" / "Local" / "locara" / "cache"
    for platform in ("linux", "darwin", "win32"):
        assert sphinx.cache_dir({"LOCARA_CACHE": "/x", "XDG_CACHE_HOME": "/y"}, platform, home) == Path("/x")


def test_a_mean_is_remembered_for_each_device(tmp_path: Path) -> None:
    memory = sphinx.Memory(tmp_path, "Mikrofon (größer als: USB/2)")
    assert memory.read() is None
    memory.write(_MEAN)
    memory.write(_MEAN)
    assert memory.read() == _MEAN
    assert sphinx.Memory(tmp_path, "another").read() is None
    assert [path.name for path in tmp_path.rglob("*.part")] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff\xfe",
        b'{"mean": 3}',
        b'{"mean": "1,2,3"}',
        b'{"mean": "' + b"nan," * 12 + b'1"}',
        b"0" * 9999,
    ],
)
def test_a_broken_memory_is_a_fresh_start(tmp_path: Path, content: bytes) -> None:
    memory = sphinx.Memory(tmp_path, "microphone")
    memory.file.parent.mkdir(parents=True)
    memory.file.write_bytes(content)
    assert memory.read() is None
    memory.write(_MEAN)
    assert memory.read() == _MEAN


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = sphinx.Memory(tmp_path / "file", "microphone")
    memory.write(_MEAN)
    assert memory.read() is None


# --- judging what was heard -------------------------------------------------------------------------------------------


def test_fillers_and_the_numbers_of_pronunciations_are_no_words() -> None:
    assert sphinx_worker.plain_text("<s> the(2) <sil> cat [NOISE] ++BREATH++ it's(12) [SPEECH] </s>") == "the cat it's"


def test_words_that_last_far_too_long_for_their_phones_are_noise() -> None:
    need = sphinx_worker.Word("need", 2.8, 3)
    assert sphinx_worker.spoken([need]) == []
    go, forward = sphinx_worker.Word("go", 0.17, 2), sphinx_worker.Word("forward", 0.52, 6)
    assert sphinx_worker.spoken([go, forward]) == ["go", "forward"]
    cough = sphinx_worker.Word("uh", 0.6, 1)
    assert sphinx_worker.spoken([go, forward, cough]) == ["go", "forward"]
    assert sphinx_worker.spoken([]) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), max_size=5))
def test_confidence_is_between_nothing_and_certain(parts: list[tuple[float, int]]) -> None:
    sure = sphinx_worker.confidence(parts)
    assert (sure is None) == (sum(count for _, count in parts) == 0)
    assert sure is None or 0.0 <= sure <= 1.0


def test_confidence_does_not_shrink_with_the_length_of_a_sentence() -> None:
    assert sphinx_worker.confidence([(0.5, 1)]) == pytest.approx(sphinx_worker.confidence([(0.5**8, 8)]))


def test_quiet_is_judged_against_the_speech_before_it() -> None:
    assert is_nothing([], -20.0)
    assert is_nothing([-55.0] * 500, -20.0)
    assert is_nothing([-55.0] * 500 + [-10.0] * 2, -20.0)  # a click
    assert not is_nothing([-55.0] * 500 + [-30.0] * 5, -20.0)
    assert not is_nothing([-55.0] * 500, -40.0)


@given(st.floats(-60, 60), st.integers(1, 6000))
def test_the_level_of_a_stream_is_found_behind_the_mean_it_began_with(offset: float, frames: int) -> None:
    before = 50.0
    after = (before * 500 + (before + offset) * frames) / (500 + frames)  # how the library moves its mean
    assert sphinx_worker.level_offset(f"{before},1", f"{after},1", frames) == pytest.approx(offset, abs=1e-6)


class Heard:
    """A call as the worker gets it, without a pipe."""

    def __init__(self, sound: bytes = b"") -> None:
        self.payload = sound
        self.fields: dict[str, Any] = {"cmn": None}


def test_an_unknown_microphone_costs_a_second_pass_only_where_it_is_needed(speech: dict[str, Samples]) -> None:
    """In this process, where the passes of the decoder can be counted."""
    turns: Any = sphinx_worker.Turns()
    turns.load(Heard())
    long = np.concatenate([speech["how are you"], speech["yes please"]])
    short = speech["yes please"][: int(1.5 * RATE)]
    for sound, gain, passes in ((long, 1.0, 1), (long, 0.01, 2), (short, 1.0, 2)):
        counted = 1
        second = turns._decode_whole

        def count(second: Callable[[], None] = second) -> None:
            nonlocal counted
            counted += 1
            second()

        turns._decode_whole = count
        turns.begin(Heard())
        turns.push(Heard(pcm16((gain * sound).astype(np.float32))))
        text = turns.settle(Heard())["text"]
        turns._decode_whole = second
        assert counted == passes, (gain, sound.size)
        assert text


# --- recognising ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_a_turn_is_recognised_with_and_without_knowing_the_microphone(
    engine: sphinx.Sphinx, speech: dict[str, Samples], known: bool
) -> None:
    learnt: list[str | None] = [None]

    async def first(listening: sphinx.Listening) -> None:
        await _push(listening, np.concatenate([speech["how are you"], speech["yes please"]]))
        await listening.settle()

    if known:
        _turn(engine, first)
        learnt[0] = engine.mean
        assert sphinx.is_mean(learnt[0])

    async def work(listening: sphinx.Listening) -> None:
        news = await _push(listening, speech["how are you"])
        news += await _push(listening, silence(BLOCK))
        transcript = await listening.settle()
        assert {"how", "are", "you"} & set(transcript.text.split())
        assert transcript.confidence is not None
        assert 0 < transcript.confidence <= 1
        assert len(news) == len(set(news))

    _turn(engine, work, learnt[0])


def test_partial_texts_come_while_the_user_speaks(engine: sphinx.Sphinx, speech: dict[str, Samples]) -> None:
    async def work(listening: sphinx.Listening) -> None:
        texts = await _push(listening, speech["how are you"])
        until = time.monotonic() + 20
        while not texts and time.monotonic() < until:
            await asyncio.sleep(0.02)
            texts += await _push(listening, silence(BLOCK))
        assert texts
        assert all(one != other for one, other in pairwise(texts))

    _turn(engine, work)


def test_settling_again_after_nothing_but_quiet_gives_the_same_without_work(
    engine: sphinx.Sphinx, speech: dict[str, Samples]
) -> None:
    async def work(listening: sphinx.Listening) -> None:
        await _push(listening, speech["yes please"])
        first = await listening.settle()
        assert first.text
        hiss = (np.random.default_rng(1).standard_normal(RATE // 2) * 0.0005).astype(np.float32)
        for quiet in (silence(0), silence(RATE // 2), hiss):
            await _push(listening, quiet)
            assert await listening.settle() is first

    _turn(engine, work)


@pytest.mark.parametrize("mean", [None, _MEAN])
def test_a_turn_that_goes_on_after_a_pause_covers_both_parts(
    engine: sphinx.Sphinx, speech: dict[str, Samples], mean: str | None
) -> None:
    async def work(listening: sphinx.Listening) -> None:
        await _push(listening, speech["yes please"])
        before = (await listening.settle()).text.split()
        assert before
        await _push(listening, speech["how are you"])
        both = (await listening.settle()).text.split()
        assert len(both) > len(before)
        assert set(before) & set(both)
        assert {"how", "are", "you"} & set(both)

    _turn(engine, work, mean)


def test_silence_and_hiss_are_no_words(engine: sphinx.Sphinx) -> None:
    hiss = (np.random.default_rng(3).standard_normal(RATE) * 0.02).astype(np.float32)
    for sound in (silence(0), silence(RATE), hiss):

        async def work(listening: sphinx.Listening, sound: Samples = sound) -> None:
            await _push(listening, sound)
            assert await listening.settle() == Transcript("")

        _turn(engine, work)
        assert engine.mean is None  # and they teach nothing about the microphone


def test_pushing_never_waits_for_the_decoder(engine: sphinx.Sphinx, speech: dict[str, Samples]) -> None:
    sound, pid = speech["how are you"], engine.child.pid
    assert pid is not None

    async def work(listening: sphinx.Listening) -> None:
        if sys.platform != "win32":  # it stands still meanwhile: whoever waited for it would wait for ever
            os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                for start in range(0, sound.size, BLOCK):
                    began = time.thread_time()
                    await listening.push(sound[start : start + BLOCK])
                    assert time.thread_time() - began < 0.02
                    await asyncio.sleep(0)
        finally:
            if sys.platform != "win32":
                os.kill(pid, signal.SIGCONT)
        assert (await listening.settle()).text  # all of it has been decoded all the same

    _turn(engine, work)


def test_a_settle_that_was_cancelled_loses_nothing(engine: sphinx.Sphinx, speech: dict[str, Samples]) -> None:
    async def work(listening: sphinx.Listening) -> None:
        await listening.push(speech["yes please"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listening.settle(), 0.05)
        assert {"yes", "please"} & set((await listening.settle()).text.split())

    _turn(engine, work)


def test_a_new_recognition_ends_the_one_before_it(engine: sphinx.Sphinx, speech: dict[str, Samples]) -> None:
    async def work(listening: sphinx.Listening) -> None:
        await _push(listening, speech["yes please"])
        newer = engine.open()
        with pytest.raises(EngineFailed, match="ended"):
            await listening.push(silence(BLOCK))
        assert (await newer.settle()).text == ""
        await newer.close()
        with pytest.raises(EngineFailed, match="ended"):
            await newer.settle()

    _turn(engine, work)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_process_killed_in_a_turn_fails_that_turn_and_the_next_starts_it_again(
    engine: sphinx.Sphinx, speech: dict[str, Samples]
) -> None:
    async def killed(listening: sphinx.Listening) -> None:
        await listening.push(speech["yes please"])
        settling = asyncio.create_task(listening.settle())
        for _ in range(5000):
            await asyncio.sleep(0.001)
            if listening._life:  # the turn has begun in the process
                break
        assert engine.child.pid is not None
        os.kill(engine.child.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed) as caught:
            await settling
        assert caught.value.stage == "stt"
        with pytest.raises(EngineFailed, match="died"):
            await listening.settle()

    async def after(listening: sphinx.Listening) -> None:
        await _push(listening, speech["yes please"])
        assert {"yes", "please"} & set((await listening.settle()).text.split())

    _turn(engine, killed)
    _turn(engine, after)


def test_a_named_device_is_remembered_beyond_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: dict[str, Samples]
) -> None:
    monkeypatch.setenv("LOCARA_CACHE", str(tmp_path))

    async def run(sound: Samples) -> str | None:
        engine = _engine(device="mic")
        await engine.load()
        before = engine.mean
        listening = engine.open()
        await listening.push(sound)
        await listening.settle()
        await listening.close()
        await engine.close()
        return before if before is not None else engine.mean

    learnt = asyncio.run(run(np.concatenate([speech["how are you"], speech["yes please"]])))
    assert sphinx.is_mean(learnt)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert json.loads(file.read_text())["mean"] == learnt
    assert asyncio.run(run(silence(0))) == learnt


def test_only_a_named_device_is_remembered_and_only_if_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCARA_CACHE", str(tmp_path))
    for options, kept in (
        ({}, 0),
        ({"device": "mic", "remember": False}, 0),
        ({"remember": True}, 1),
        ({"device": "m"}, 2),
    ):
        engine = _engine(**options)
        engine.learn(_MEAN)
        assert engine.mean == _MEAN
        assert sum(path.is_file() for path in tmp_path.rglob("*")) == kept


def test_real_speech_is_understood_as_well_as_was_measured(engine: sphinx.Sphinx) -> None:
    shared = os.environ.get("LOCARA_SHARED")
    if not shared:
        pytest.skip("LOCARA_SHARED names no folder with recordings")

    miniaudio = pytest.importorskip("miniaudio")
    right = 0
    wanted = {"ps_goforward": "go forward ten meters", "cards_003": "seven of clubs", "cards_004": "five five"}
    for name, text in wanted.items():
        file = Path(shared) / "audio" / "read" / f"{name}.flac"
        decoded = miniaudio.decode_file(str(file), miniaudio.SampleFormat.FLOAT32, nchannels=1, sample_rate=RATE)
        sound = np.array(decoded.samples, dtype=np.float32)

        async def work(listening: sphinx.Listening, sound: Samples = sound, text: str = text) -> None:
            nonlocal right
            await _push(listening, sound)
            right += len(set(text.split()) & set((await listening.settle()).text.split()))

        _turn(engine, work)
    assert right >= 6  # of 8 different words


def test_between_two_sessions_how_a_microphone_sounds_is_forgotten() -> None:
    """A server lends the same recogniser to one client after another."""
    engine = sphinx.Sphinx("pocketsphinx", sphinx.Settings())
    mean = ",".join(["1.5"] * 13)
    engine.learn(mean)
    assert engine.mean == mean
    engine.forget_session()
    assert engine.mean is None
    assert isinstance(engine, Forgets)


def test_closing_waits_for_the_thread_without_holding_the_event_loop() -> None:
    """A server's loop stood for two seconds when a client left while its session started."""

    async def work() -> bool:
        engine = sphinx.Sphinx("pocketsphinx", sphinx.Settings())
        free = threading.Event()
        busy = asyncio.create_task(engine.lane.run(lambda: free.wait(20), deadline=30))
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.3, free.set)  # only a loop that goes on does this
        await engine.close()
        done = free.is_set()
        free.set()
        await asyncio.gather(busy, return_exceptions=True)
        return done

    assert asyncio.run(work())
