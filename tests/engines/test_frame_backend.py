"""A frame model in its own process, as a backend: the parrot for how it should go, and a toy for every fault."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from locara import testing, voice
from locara.audio import Samples, silence
from locara.devices.pushed import PushedSource
from locara.devices.wav import read_wav
from locara.engines import frame_backend
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Ended,
    Frame,
    Lag,
    Played,
    UserTyped,
    VoiceBackend,
)
from locara.engines.contracts import EngineInfo, Tool
from locara.engines.frame_backend import FrameBackend
from locara.engines.frame_model import FrameFacts
from locara.engines.isolated import Environment
from locara.engines.omni.parrot_worker import FRAME, RATE, Parrot
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineMissing, EngineTimeout, SessionError, StageError
from locara.testing.conformance_backend import examine_backend
from locara.voice.events import LlmToken, TurnEnd

T = TypeVar("T")
Make = Callable[..., FrameBackend]
_EXPECTED = FrameFacts(RATE, FRAME, slots=1)


def parrot(slots: int = 1, late: float = 60.0, **more: Any) -> FrameBackend:
    where = Environment("parrot", "numpy", "numpy", "locara.engines.omni.parrot_worker")
    info = EngineInfo("parrot", "parrot", "Apache-2.0")
    return FrameBackend(info, where, {"slots": slots}, expected=_EXPECTED, python=sys.executable, late=late, **more)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Make:
    """``toy(slots=..., step=...)``; ``more``: of the backend."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "models"))
    where = Environment("toy", "numpy", "toy-package", "toy_frame_worker")

    def make(more: dict[str, Any] | None = None, **options: Any) -> FrameBackend:
        rest = {"realtime": "ignore", "late": 60.0, **(more or {})}
        return FrameBackend(
            EngineInfo("toy", "toy", "MIT"), where, options, expected=_EXPECTED, python=sys.executable, **rest
        )

    return make


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert not [one.name for one in threading.enumerate() if one.name.startswith("locara-link")]


def using(backend: FrameBackend, work: Callable[[FrameBackend], Awaitable[T]], seconds: float = 60.0) -> T:
    """``work`` with a loaded backend, which is closed afterwards and leaves no task and no process."""

    async def whole() -> T:
        pid = None
        try:
            async with asyncio.timeout(seconds):
                await backend.load()
                pid = backend.pid
                return await work(backend)
        finally:
            await backend.close()
            await backend.close()
            assert backend.pid is None
            assert pid is None or _gone(pid)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(whole())


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def tone(frames: float, level: float = 0.3, frame: int = FRAME) -> Samples:
    return np.full(round(frames * frame), level, dtype=np.float32)


def talk(seed: int, seconds: float) -> Samples:
    """Bursts of noise, each followed by a pause."""
    dice = np.random.default_rng(seed)
    parts: list[Samples] = []
    while sum(part.size for part in parts) < seconds * RATE:
        parts.append(dice.uniform(-0.6, 0.6, int(dice.integers(FRAME // 2, 8 * FRAME))).astype(np.float32))
        parts.append(silence(int(dice.integers(FRAME, 14 * FRAME))))
    whole = np.concatenate(parts)
    return whole[: whole.size - whole.size % FRAME]


def alone(sound: Samples, settings: BackendSettings | None = None) -> list[tuple[Samples, str]]:
    """What the parrot answers when it is called directly."""
    model = Parrot()
    model.load({}, lambda _: None)
    named = settings or BackendSettings()
    list(model.open(0, {"voice": named.voice, "instructions": named.instructions}))
    said: list[tuple[Samples, str]] = []
    for frame in sound.reshape(-1, FRAME):
        samples, text = model.step({0: frame})[0]
        if samples is not None:
            said.append((samples, text))
    return said


async def spoken(events: AsyncIterator[BackendEvent], count: int) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
        event = await anext(events)
        assert isinstance(event, Frame), event
        frames.append(event)
    return frames


async def rest(events: AsyncIterator[BackendEvent]) -> list[BackendEvent]:
    return [event async for event in events]


def assert_same(frames: list[Frame], expected: list[tuple[Samples, str]]) -> None:
    assert [frame.text for frame in frames] == [text for _, text in expected]
    for frame, (samples, _) in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.samples, samples)


# --- as it should go --------------------------------------------------------------------------------------------------


def test_a_conversation_is_sample_by_sample_what_the_model_says_when_it_is_called_directly() -> None:
    sound = talk(1, 6.0)

    async def work(backend: FrameBackend) -> None:
        assert isinstance(backend, VoiceBackend)
        can = backend.capabilities
        assert (can.duplex, can.turn_owner, can.clocked, can.marks_replies) == ("full", "model", True, False)
        assert (can.input_rate, can.output_rate, can.frame_seconds, can.max_sessions) == (RATE, RATE, 0.08, 1)
        assert (can.instructions, can.voices) == ("start", ("plain", "quiet"))
        assert backend.info.sharing == "shared"
        settings = BackendSettings(instructions="you are a bird", voice="quiet")
        session = await backend.start_session(settings)
        events = backend.event_stream(session)
        dice, at = np.random.default_rng(2), 0
        while at < sound.size:  # any length, none at a frame's border
            more = int(dice.integers(0, 2 * FRAME))
            await backend.push_audio(session, sound[at : at + more])
            at += more
        expected = alone(sound, settings)
        frames = await spoken(events, len(expected))
        assert_same(frames, expected)
        assert [frame.heard for frame in frames] == [(n + 2) * FRAME for n in range(len(frames))]
        assert backend.counts["frames"] == sound.size // FRAME
        assert not await backend.signal(session, Played(1, 0.5))
        assert not await backend.signal(session, UserTyped("hello"))
        await backend.stop_session(session)
        await backend.stop_session(session)
        await backend.push_audio(session, sound)
        assert await rest(events) == [Ended("stopped")]

    using(parrot(), work)


def test_conversations_in_one_batch_are_what_each_is_alone_and_a_place_that_is_used_again_is_new() -> None:
    sounds = [talk(3, 5.0), talk(4, 5.0), talk(5, 3.0)]
    quiet = BackendSettings(voice="quiet")

    async def hold(backend: FrameBackend, sound: Samples, settings: BackendSettings, cut: bool = False) -> None:
        session = await backend.start_session(settings)
        for frame in sound.reshape(-1, FRAME):
            await backend.push_audio(session, frame)
            await asyncio.sleep(0)
        events = backend.event_stream(session)
        expected = alone(sound, settings)
        frames = await spoken(events, len(expected) // 2 if cut else len(expected))
        assert_same(frames, expected[: len(frames)])
        await backend.stop_session(session)

    async def work(backend: FrameBackend) -> None:
        await asyncio.gather(hold(backend, sounds[0], quiet), hold(backend, sounds[1], BackendSettings(), cut=True))
        await asyncio.gather(hold(backend, sounds[2], BackendSettings()), hold(backend, sounds[0], quiet))
        assert backend.counts["steps"] < backend.counts["frames"], "nothing was ever stepped together"

    using(parrot(slots=2), work)


def test_it_keeps_what_every_backend_promises() -> None:
    outcomes = asyncio.run(examine_backend(lambda: parrot(slots=2)))
    assert all(outcome.passed for outcome in outcomes), outcomes


def test_a_whole_session_with_it_also_on_a_virtual_clock() -> None:
    async def converse() -> tuple[list[str], str, float]:
        backend, source = parrot(), PushedSource("a microphone")
        session = voice.session(omni=backend, input=source, output="none")
        question, rate = read_wav(str(files("locara.cli") / "question.wav"))
        loop, told, said = asyncio.get_running_loop(), list[str](), ""

        async def push() -> None:
            began = loop.time()
            sound = np.concatenate([silence(rate), question, silence(3 * rate)])
            for at in range(0, sound.size, rate // 50):
                await asyncio.sleep(max(0.0, began + at / rate - loop.time()))
                await session.push_audio(sound[at : at + rate // 50], rate)

        events = session.events()
        async with session:
            pushing = asyncio.create_task(push())
            async for event in events:
                if event.type not in ("audio-chunk", "session-start"):
                    told.append(event.type)
                if isinstance(event, LlmToken):
                    said += event.text
                if isinstance(event, TurnEnd) and event.who == "assistant":
                    break
            await pushing
            skipped = session.metrics()["omni_skipped_seconds"]
        return told, said, skipped

    told, said, skipped = testing.run(converse())
    assert told == ["speech-start", "speech-end", "llm-token", "turn-end", "turn-end"]
    assert re.fullmatch(r"I heard [01]\.\d\d seconds\.", said)
    assert skipped == 0


def test_a_role_is_read_while_another_conversation_goes_on(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        first = await backend.start_session(BackendSettings())
        events = backend.event_stream(first)
        opening = asyncio.create_task(backend.start_session(BackendSettings(instructions="steps=40 each=0.005")))
        heard = 0
        while not opening.done():
            await backend.push_audio(first, tone(1))
            await spoken(events, 1)
            heard += 1
        assert heard > 5
        second = await opening
        await backend.push_audio(second, tone(2))
        assert len(await spoken(backend.event_stream(second), 2)) == 2

    using(toy(slots=2), work)


def test_a_session_that_may_last_so_long_ends_then_and_frees_its_place(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        session = await backend.start_session(BackendSettings())
        await backend.push_audio(session, tone(9))
        events = await rest(backend.event_stream(session))
        assert [type(event) for event in events] == [*[Frame] * 5, Ended]
        assert events[-1] == Ended("limit")
        await backend.start_session(BackendSettings())

    using(toy(limit=0.4), work)


def test_a_sample_that_is_no_number_reaches_the_model_as_silence(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        session = await backend.start_session(BackendSettings())
        sound = tone(1)
        sound[3:5] = np.nan, np.inf
        await backend.push_audio(session, sound)
        (frame,) = await spoken(backend.event_stream(session), 1)
        assert frame.samples[3:5].tolist() == [0.0, 0.0]
        assert frame.samples[5] == sound[5]

    using(toy(), work)


# --- places -----------------------------------------------------------------------------------------------------------


def test_who_comes_when_all_places_are_taken_is_told_and_gets_the_next_that_is_free(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        first = await backend.start_session(BackendSettings())
        opening = asyncio.create_task(backend.start_session(BackendSettings(instructions="steps=1000 each=0.01")))
        await asyncio.sleep(0.1)
        with pytest.raises(EngineBusy, match="holds 2 conversations"):
            await backend.start_session(BackendSettings())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await backend.start_session(BackendSettings())
        await backend.stop_session(first)
        third = await backend.start_session(BackendSettings())
        await backend.push_audio(third, tone(1))
        await spoken(backend.event_stream(third), 1)

    using(toy(slots=2), work)


def test_settings_that_cannot_be_kept_are_refused_and_the_place_stays_free(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        with pytest.raises(ConfigError, match="not for me") as told:
            await backend.start_session(BackendSettings(instructions="refuse"))
        assert told.value.hint == "say something else"
        with pytest.raises(EngineFailed, match="out of memory"):
            await backend.start_session(BackendSettings(instructions="break"))
        with pytest.raises(ConfigError, match="no voice 'plane'"):
            await backend.start_session(BackendSettings(voice="plane"))
        with pytest.raises(ConfigError, match="tools"):
            await backend.start_session(BackendSettings(tools=(Tool("t", "", {}, print),)))
        await backend.start_session(BackendSettings())

    using(toy(), work)


def test_a_name_that_is_no_session_is_told_and_events_are_taken_once(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        session = await backend.start_session(BackendSettings())
        backend.event_stream(session)
        with pytest.raises(SessionError, match="twice"):
            backend.event_stream(session)
        for name in ("toy-2", "toy-0", "nobody", "", "toy-x"):
            with pytest.raises(StageError, match="no session"):
                await backend.push_audio(name, tone(1))
            with pytest.raises(StageError, match="no session"):
                await backend.stop_session(name)

    using(toy(), work)


# --- too slow ---------------------------------------------------------------------------------------------------------


def test_a_model_that_sleeps_tells_its_lag_and_stays_at_the_present(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        session = await backend.start_session(BackendSettings())
        for n in range(50):
            await backend.push_audio(session, tone(1, n / 1000))
        events, heard, skipped = backend.event_stream(session), 0, 0
        while heard + skipped < 50 * FRAME:
            event = await anext(events)
            if isinstance(event, Lag):
                assert event.skipped % FRAME == 0
                assert event.behind >= 0.16
                skipped += event.skipped
            else:
                assert isinstance(event, Frame)
                heard += FRAME
                assert event.heard == heard + skipped
                last = event
        assert skipped > 30 * FRAME
        assert last.samples[0] == np.float32(49 / 1000), "the latest sound was not heard"
        assert backend.counts["skipped_seconds"] == skipped / RATE
        assert backend.counts["step_median"] >= 0.05

    using(toy({"late": 0.16}, step=0.05), work)


def test_a_machine_that_cannot_keep_up_is_refused_with_the_numbers(toy: Make) -> None:
    with pytest.raises(EngineFailed, match=r"a frame of 20 ms takes \d+ ms here .*: \d+\.\d times too slow") as told:
        using(toy({"realtime": "check"}, frame=480, step=0.045), _nothing)
    for remedy in ("GPU", "quantisation", "remote", "pipeline", "realtime="):
        assert remedy in told.value.hint
    using(toy({"realtime": "ignore"}, frame=480, step=0.045), _nothing)


def test_a_machine_that_keeps_up_is_measured_and_remembers_it(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        assert 0.005 <= backend.checked.median <= backend.checked.p95 <= backend.checked.worst
        await backend.start_session(BackendSettings())

    using(toy({"realtime": "check"}, step=0.005), work)


async def _nothing(_backend: FrameBackend) -> None:
    pass


# --- what breaks ------------------------------------------------------------------------------------------------------


async def _both_end(backend: FrameBackend, sound: Samples) -> list[BackendEvent]:
    """Two sessions, of which one hears ``sound``: both must end, for the same reason, which is returned."""
    sessions = [await backend.start_session(BackendSettings()) for _ in range(2)]
    await backend.push_audio(sessions[0], sound)
    ends: list[list[BackendEvent]] = [[], []]
    for one, end in zip(sessions, ends, strict=True):
        end += [event for event in await rest(backend.event_stream(one)) if not isinstance(event, Frame)]
    assert ends[0] == ends[1]
    assert ends[0][-1] == Ended("failed")
    await backend.push_audio(sessions[0], sound)  # nothing
    return ends[0]


@pytest.mark.parametrize(
    ("level", "code", "said"),
    [
        (0.7, "engine-failed", "its process has died: exit status 7"),
        (0.6, "engine-failed", "ValueError: an odd sound"),
        (0.5, "engine-failed", r"a frame of shape \(7,\), not \(1920,\)"),
        (0.8, "engine-timeout", "it made no step for 2 s; its process was ended"),
    ],
)
def test_a_model_that_dies_raises_or_hangs_ends_every_session_and_can_be_had_again(
    toy: Make, level: float, code: str, said: str
) -> None:
    async def work(backend: FrameBackend) -> None:
        pid = backend.pid
        failed, _ = await _both_end(backend, tone(1, level))
        assert isinstance(failed, BackendFailed)
        assert (failed.code, failed.fatal, failed.reply) == (code, True, None)
        assert failed.hint
        assert re.search(said, failed.message), failed.message
        session = await backend.start_session(BackendSettings())
        assert backend.pid not in (None, pid)
        await backend.push_audio(session, tone(1))
        await spoken(backend.event_stream(session), 1)

    using(toy({"hang": 2.0}, slots=2), work)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_a_process_that_is_killed_or_stands_still_is_told_and_replaced(toy: Make, number: str) -> None:
    async def work(backend: FrameBackend) -> None:
        session = await backend.start_session(BackendSettings())
        events = backend.event_stream(session)
        await backend.push_audio(session, tone(1))
        await spoken(events, 1)
        pid = backend.pid
        assert pid is not None
        os.kill(pid, getattr(signal, number))
        await backend.push_audio(session, tone(1))
        failed, ended = [event for event in await rest(events) if not isinstance(event, Frame)]
        assert ended == Ended("failed")
        assert isinstance(failed, BackendFailed)
        assert number in failed.message or "no step for" in failed.message
        await backend.load()
        assert await backend.start_session(BackendSettings()) != session

    using(toy({"hang": 2.0}), work)


def test_a_prompt_that_never_ends_is_told(toy: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_backend, "PROMPT_SECONDS", 1.0)
    monkeypatch.setattr(frame_backend, "PROMPT_MOST_SECONDS", 1.4)

    async def work(backend: FrameBackend) -> None:
        with pytest.raises(EngineTimeout, match="not ready to talk within"):
            await backend.start_session(BackendSettings(instructions="steps=1000 each=0.05"))
        with pytest.raises(EngineTimeout, match="no sign"):
            await backend.start_session(BackendSettings(instructions="hang"))
        await backend.start_session(BackendSettings())

    using(toy(), work)


def test_who_does_not_take_events_loses_the_session_and_nobody_else_does(toy: Make) -> None:
    async def work(backend: FrameBackend) -> None:
        sleepy, awake = [await backend.start_session(BackendSettings()) for _ in range(2)]
        asleep, events = backend.event_stream(sleepy), backend.event_stream(awake)
        for _ in range(300):
            await backend.push_audio(sleepy, tone(1))
            await backend.push_audio(awake, tone(1))
            await spoken(events, 1)
        *frames, failed, ended = await rest(asleep)
        assert len(frames) == 256
        assert isinstance(failed, BackendFailed)
        assert (failed.code, failed.fatal, ended) == ("events-not-taken", True, Ended("failed"))
        await backend.start_session(BackendSettings())

    using(toy(slots=2, frame=240), work)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("import", EngineMissing, "no_such_module"),
        ("trouble", EngineFailed, "could not be loaded: the weights are torn"),
        ("die", EngineFailed, r"exit status 3; it said: famous last words"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why_and_what_to_do(
    toy: Make, fault: str, error: type[StageError], said: str
) -> None:
    with pytest.raises(error, match=said) as told:
        using(toy(fault=fault), _nothing)
    assert told.value.hint
    assert told.value.stage == "omni"


@pytest.mark.parametrize(
    "writes",
    [
        "os.write(1, b'Hello, world. ' * 20)",
        "os.write(1, encode({'kind': 'nonsense'}))",
        "os.write(1, encode({'kind': 'step', 'took': 1, 'said': [[1, 2]]}))",
        "os.write(1, encode({'kind': 'loaded', 'rate': 0, 'frame': 1920, 'slots': 1, 'voices': []}))",
        "os.write(1, encode({'kind': 'loaded'}))",
    ],
)
def test_a_process_that_says_what_is_no_message_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    (tmp_path / "garbage_worker.py").write_text(
        f"import os, time\nfrom locara.engines.frames import encode\n{writes}\ntime.sleep(60)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    where = Environment("garbage", "numpy", "garbage", "garbage_worker")
    backend = FrameBackend(EngineInfo("g", "g", "MIT"), where, {}, expected=_EXPECTED, python=sys.executable)
    with pytest.raises(EngineFailed, match=r"no message|must say|its rate"):
        using(backend, _nothing)


def test_closing_or_cancelling_while_it_is_loaded_ends_that(toy: Make) -> None:
    async def work() -> None:
        backend = toy(fault="hang")
        loading = asyncio.create_task(backend.load())
        while backend.progress != "hanging":  # noqa: ASYNC110  it is told to a person, not to a program
            await asyncio.sleep(0.01)
        await backend.close()
        with pytest.raises(EngineFailed, match="closed"):
            await loading
        again = asyncio.create_task(backend.load())
        await asyncio.sleep(0.02)
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
        assert backend.pid is None

    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 50, "it waited for the model"


def test_an_environment_that_is_not_there_is_told_with_the_commands_that_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCARA_ENVIRONMENTS", str(tmp_path))
    where = Environment("nowhere", "no_such_module", "no-such-package", "toy_frame_worker")
    backend = FrameBackend(EngineInfo("n", "n", "MIT"), where, {}, expected=_EXPECTED)
    with pytest.raises(EngineMissing) as told:
        using(backend, _nothing)
    assert "pip install no-such-package" in told.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by a signal")
def test_when_our_own_process_dies_the_worker_ends_by_itself() -> None:
    program = f"""
import asyncio, os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_frame_backend import BackendSettings, parrot

async def main():
    backend = parrot()
    await backend.start_session(BackendSettings())
    print(backend.pid, flush=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -9, ended.stderr
    until = time.monotonic() + 20
    while not _gone(int(ended.stdout)):
        assert time.monotonic() < until, "the worker still runs"
        time.sleep(0.02)
