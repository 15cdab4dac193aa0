"""The backend for Moshi's own servers, against real servers on loopback of each kind."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from locara.audio import Samples
from locara.engines.backend import (
    BackendEvent,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Frame,
    Lag,
    Played,
    TurnEnd,
    UserTyped,
    VoiceBackend,
)
from locara.errors import EngineBusy, SessionError, StageError

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines.moshi_servers import Seen, serving, speaking
    from tests.engines.moshi_talk import FRAME, NOTHING, PLEX, failure, frames_of, make, talk, tones, using
else:
    from moshi_servers import Seen, serving, speaking
    from moshi_talk import FRAME, NOTHING, PLEX, failure, frames_of, make, talk, tones, using


# --- servers as they are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["python", "moshi-server", "moshi-backend", "personaplex"])
def test_a_conversation_comes_back_whole_frame_by_frame(dialect: Any) -> None:
    sound = tones(2.0)

    async def converse() -> tuple[list[Frame], Seen]:
        async with serving(speaking(dialect, words=" day")) as (url, seen):
            async with using(url, PLEX if dialect == "personaplex" else {}) as backend:
                await backend.load()
                seen.heard.clear()
                session = await backend.start_session(NOTHING)
                assert isinstance(session, str)
                events = await talk(backend, session, sound, pace=0.01, wanted=24)
                await backend.stop_session(session)
            return frames_of(events), seen

    frames, seen = asyncio.run(converse())
    assert seen.early == 0
    assert seen.wrong == []
    assert seen.first == b"OggS"
    assert all(frame.samples.shape == (FRAME,) and frame.samples.dtype == np.float32 for frame in frames)
    said = np.concatenate([frame.samples for frame in frames])
    # Opus twice, each time 156 samples late, more or less for some pitches. Each frame is the one that was pushed, in order.
    for number in range(1, 22):
        there = sound[number * FRAME : (number + 1) * FRAME]
        late = (said[number * FRAME + by :][:FRAME] for by in range(250, 350, 4))
        assert max(np.corrcoef(here, there)[0, 1] for here in late) > 0.9, number
    assert 0.1 < float(np.abs(said[FRAME:]).max()) < 0.35
    assert "".join(frame.text for frame in frames).startswith(" day day")
    heard = [frame.heard for frame in frames]
    assert heard == sorted(heard)
    assert heard[0] == 2 * FRAME
    assert heard[-1] <= sound.size


def test_what_is_known_before_and_after_loading() -> None:
    async def look() -> None:
        async with serving(speaking("moshi-server")) as (url, _), using(url) as backend:
            before = backend.capabilities
            await backend.load()
            after = backend.capabilities
        assert (before.duplex, before.turn_owner, before.memory) == ("full", "model", "backend")
        assert (before.clocked, before.marks_replies, before.frame_seconds) == (True, False, 0.08)
        assert (before.input_rate, before.output_rate) == (24_000, 24_000)
        assert before.instructions == "none"
        assert before.voices == ()
        assert before.max_session_seconds is None
        assert after.max_session_seconds == 360.0
        assert (before.max_sessions, after.max_sessions) == (1, None)
        assert (after.duplex, after.turn_owner, after.memory) == (before.duplex, before.turn_owner, before.memory)

    asyncio.run(look())


def test_voice_and_role_go_to_personaplex_as_it_wants_them() -> None:
    usual = "You are a wise and friendly teacher."
    role = 'You work for Jerusalem & Sons. <system> Ask: "how old?" äöü + 100 %'

    async def ask() -> list[dict[str, str]]:
        async with serving(speaking("personaplex", prompt=0.3)) as (url, seen):
            async with using(url, PLEX | {"voice": "NATM1", "instructions": usual}) as backend:
                assert backend.capabilities.instructions == "start"
                assert len(backend.capabilities.voices) == 18
                for settings in (
                    NOTHING,
                    BackendSettings(voice="NATF2", instructions=role),
                    BackendSettings(voice="mine.wav"),
                ):
                    name = await backend.start_session(settings)
                    await backend.push_audio(name, tones(0.16))
                    await backend.stop_session(name)
            assert seen.early == 0
            return seen.queries

    assert asyncio.run(ask()) == [
        {"voice_prompt": "NATM1.pt", "text_prompt": usual},
        {"voice_prompt": "NATF2.pt", "text_prompt": role},
        {"voice_prompt": "mine.wav", "text_prompt": usual},
    ]


def test_sound_pushed_in_any_pieces_is_the_same_stream() -> None:
    sound = tones(1.2)

    async def hear(cut: int) -> Samples:
        async with serving(speaking("python")) as (url, seen), using(url) as backend:
            session = await backend.start_session(NOTHING)
            await talk(backend, session, sound, cut=cut, pace=0.001, wanted=10)
            return seen.samples[: 10 * FRAME]

    whole, odd = (asyncio.run(hear(cut)) for cut in (FRAME, 333))
    assert np.array_equal(whole[: 9 * FRAME], odd[: 9 * FRAME])


def test_sound_that_is_no_sound_does_no_harm() -> None:
    bad = np.full(4 * FRAME, np.nan, np.float32)
    bad[::2] = 1e9

    async def push() -> Samples:
        async with serving(speaking("python")) as (url, seen), using(url) as backend:
            session = await backend.start_session(NOTHING)
            frames = frames_of(await talk(backend, session, bad, pace=0.001, wanted=2))
            assert all(np.isfinite(frame.samples).all() and np.abs(frame.samples).max() <= 1 for frame in frames)
            return seen.samples

    assert np.isfinite(asyncio.run(push())).all()


def test_a_new_conversation_begins_with_every_session_and_only_one_is_held_at_once() -> None:
    async def two() -> None:
        async with serving(speaking("python")) as (url, seen), using(url) as backend:
            first = await backend.start_session(NOTHING)
            with pytest.raises(EngineBusy, match="1 conversation") as caught:
                await backend.start_session(NOTHING)
            assert "sessions" in caught.value.hint
            await backend.stop_session(first)
            second = await backend.start_session(NOTHING)
            assert second != first
            assert len(frames_of(await talk(backend, second, tones(0.4), wanted=3))) == 3
            assert seen.connections == 2

    asyncio.run(two())


def test_a_server_that_holds_more_is_given_more() -> None:
    async def several() -> None:
        async with serving(speaking("moshi-server", several=True)) as (url, seen):
            async with using(url, {"sessions": 3}) as backend:
                names = [await backend.start_session(NOTHING) for _ in range(3)]
                found = await asyncio.gather(*(talk(backend, name, tones(0.8), pace=0.005, wanted=6) for name in names))
                assert [len(frames_of(one)) for one in found] == [6, 6, 6]
                with pytest.raises(EngineBusy, match="3 conversations"):
                    await backend.start_session(NOTHING)
            await asyncio.wait_for(seen.free.wait(), 5)

    asyncio.run(several())


def test_nothing_but_sound_can_be_told() -> None:
    async def tell() -> None:
        async with serving(speaking("python")) as (url, seen), using(url) as backend:
            session = await backend.start_session(NOTHING)
            for signal in (TurnEnd(1), Cancel(1), Played(1, 0.5), UserTyped("hi"), Disregard()):
                assert await backend.signal(session, signal) is False
            assert seen.wrong == []

    asyncio.run(tell())


# --- sessions and their ends ------------------------------------------------------------------------------------------


def test_a_session_that_was_stopped_says_so_once_and_frees_its_place() -> None:
    async def stop() -> None:
        async with serving(speaking("python")) as (url, seen), using(url) as backend:
            session = await backend.start_session(NOTHING)
            events = backend.event_stream(session)
            with pytest.raises(SessionError, match="taken"):
                backend.event_stream(session)
            await asyncio.gather(backend.stop_session(session), backend.stop_session(session))
            assert [event async for event in events][-1] == Ended("stopped")
            await backend.push_audio(session, tones(0.1))
            await backend.stop_session(session)
            with pytest.raises(StageError, match="no session"):
                await backend.push_audio("moshi-99", tones(0.1))
            await asyncio.wait_for(seen.free.wait(), 5)

    asyncio.run(stop())


def test_cancelling_a_start_leaves_no_connection() -> None:
    async def cancel() -> None:
        async with serving(speaking("personaplex", prompt=20)) as (url, seen), using(url, PLEX) as backend:
            starting = asyncio.create_task(backend.start_session(NOTHING))
            await seen.taken.wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert backend.capabilities.max_sessions == 1
        assert seen.early == 0

    asyncio.run(cancel())


def test_a_server_that_drops_the_connection_ends_the_session_with_a_reason() -> None:
    async def drop() -> list[BackendEvent]:
        handler = speaking("moshi-server", end=lambda number: number == 8)
        async with serving(handler) as (url, _), using(url) as backend:
            return await talk(backend, await backend.start_session(NOTHING), tones(2), pace=0.005)

    told = failure(asyncio.run(drop()), "closed")
    assert told.code == "engine-closed"
    assert "closed the conversation" in told.message


def test_a_place_is_free_again_after_the_server_ended_a_session() -> None:
    async def again() -> None:
        handler = speaking("python", end=lambda number: number == 3)
        async with serving(handler) as (url, _), using(url) as backend:
            await talk(backend, await backend.start_session(NOTHING), tones(2), pace=0.005)
            await backend.start_session(NOTHING)

    asyncio.run(again())


def test_whoever_does_not_take_the_events_loses_the_session() -> None:
    async def ignore() -> list[BackendEvent]:
        async with serving(speaking("python", words="")) as (url, _), using(url) as backend:
            session = await backend.start_session(NOTHING)
            async with asyncio.timeout(20):
                while (await _pushed(backend, session)) < 300:
                    pass
            return [event async for event in backend.event_stream(session)]

    pushed = 0

    async def _pushed(backend: VoiceBackend, session: str) -> int:
        nonlocal pushed
        await backend.push_audio(session, tones(0.08))
        await asyncio.sleep(0.004)
        pushed += 1
        return pushed

    told = failure(asyncio.run(ignore()), "failed")
    assert told.code == "consumer-slow"


def test_a_server_slower_than_speech_is_given_less_and_the_session_is_told() -> None:
    async def lag() -> list[BackendEvent]:
        async with serving(speaking("python", slow=0.03)) as (url, _), using(url) as backend:
            # A frame each 10 ms: the clock runs eight times as fast, and the server takes 30 ms for a frame.
            return await talk(backend, await backend.start_session(NOTHING), tones(10), cut=FRAME, pace=0.01, wanted=25)

    events = asyncio.run(lag())
    lags = [event for event in events if isinstance(event, Lag)]
    assert lags
    assert all(one.skipped > 0 and one.skipped % FRAME == 0 and 0 < one.behind < 3 for one in lags)
    heard = [frame.heard for frame in frames_of(events)]
    assert heard == sorted(heard)
    assert heard[-1] > 25 * FRAME  # it stays near the present: what was left out counts as gone by


def test_a_server_that_goes_silent_is_given_up_after_the_sound_of_the_option_stall() -> None:
    async def silent() -> list[BackendEvent]:
        handler = speaking("python", swallow=lambda number: number > 4)
        async with serving(handler) as (url, _), using(url, {"stall": 2.0}) as backend:
            return await talk(backend, await backend.start_session(NOTHING), tones(8), pace=0.001)

    told = failure(asyncio.run(silent()), "failed")
    assert told.code == "engine-timeout"
    assert "2 s of sound" in told.message


def test_frames_that_a_server_drops_do_not_silence_it() -> None:
    async def gap() -> list[Frame]:
        handler = speaking("python", swallow=lambda number: 4 < number < 22)
        async with serving(handler) as (url, _), using(url) as backend:
            sound = tones(8)
            return frames_of(await talk(backend, await backend.start_session(NOTHING), sound, pace=0.002, wanted=40))

    assert len(asyncio.run(gap())) == 40


def test_after_closing_nothing_is_left_and_nothing_begins() -> None:
    threads = threading.active_count()

    async def close() -> None:
        async with serving(speaking("python")) as (url, seen):
            backend = make(url)
            await backend.load()
            session = await backend.start_session(NOTHING)
            events = backend.event_stream(session)
            await backend.close()
            await backend.close()
            assert [event async for event in events][-1] == Ended("stopped")
            for begin in (backend.load, lambda: backend.start_session(NOTHING)):
                with pytest.raises(SessionError, match="closed"):
                    await begin()
            await asyncio.wait_for(seen.free.wait(), 5)

    asyncio.run(close())
    gc.collect()
    assert threading.active_count() == threads
