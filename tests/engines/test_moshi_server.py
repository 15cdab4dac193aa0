"""The backend for Moshi's own servers, against real servers on loopback: good ones of each kind, and bad ones."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from locara.audio import Samples
from locara.engines import registry
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
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
from locara.engines.contracts import Tool
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineTimeout, LocaraError, SessionError, StageError

pytest.importorskip("sphn", reason="the extra opus is not installed")

from aiohttp import web

if TYPE_CHECKING:
    from tests.engines.moshi_servers import FRAME, RATE, Seen, serving, speaking
else:
    from moshi_servers import FRAME, RATE, Seen, serving, speaking

NOTHING = BackendSettings()
PLEX = {"flavour": "personaplex"}


def make(url: str, options: Mapping[str, Any] = {}) -> VoiceBackend:
    return cast(VoiceBackend, registry.create("omni", "moshi-server", {"url": url, **options}))


@asynccontextmanager
async def using(url: str, options: Mapping[str, Any] = {}) -> AsyncIterator[VoiceBackend]:
    backend = make(url, options)
    try:
        yield backend
    finally:
        await backend.close()
    await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("moshi-")] == []


def tones(seconds: float) -> Samples:
    """A new tone each frame, so that every frame can be told from every other."""
    frames = round(seconds * RATE / FRAME)
    at = np.arange(FRAME) / RATE
    rise = np.minimum(1, np.minimum(np.arange(FRAME), np.arange(FRAME)[::-1]) / 200)
    return np.concatenate([0.4 * rise * np.sin(2 * np.pi * (300 + 150 * (n % 11)) * at) for n in range(frames)]).astype(
        np.float32
    )


async def talk(
    backend: VoiceBackend,
    session: str,
    sound: Samples,
    *,
    cut: int = 700,
    pace: float = 0.0,
    wanted: int = 1 << 30,
) -> list[BackendEvent]:
    """Pushes sound in pieces, and returns what comes of it until ``wanted`` frames have, or the session ends."""
    events: list[BackendEvent] = []
    frames = 0

    async def push() -> None:
        for at in range(0, sound.size, cut):
            await backend.push_audio(session, sound[at : at + cut])
            await asyncio.sleep(pace)

    pushing = asyncio.create_task(push())
    try:
        async with asyncio.timeout(30):
            async for event in backend.event_stream(session):
                events.append(event)
                frames += isinstance(event, Frame)
                if frames >= wanted:
                    break
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
    return events


def frames_of(events: list[BackendEvent]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def failure(events: list[BackendEvent], reason: str) -> BackendFailed:
    """The session has ended once, for this reason, and says why."""
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == reason
    told = events[-2]
    assert isinstance(told, BackendFailed)
    assert told.fatal
    assert told.hint
    assert sum(isinstance(event, Ended) for event in events) == 1
    return told


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
        assert (after.duplex, after.turn_owner, after.memory) == (before.duplex, before.turn_owner, before.memory)

    asyncio.run(look())


def test_voice_and_role_go_to_personaplex_as_it_wants_them() -> None:
    role = 'You work for Jerusalem & Sons. <system> Ask: "how old?" äöü + 100 %'

    async def ask() -> list[dict[str, str]]:
        async with serving(speaking("personaplex", prompt=0.3)) as (url, seen):
            async with using(url, PLEX | {"voice": "NATM1"}) as backend:
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
        {"voice_prompt": "NATM1.pt", "text_prompt": ""},
        {"voice_prompt": "NATF2.pt", "text_prompt": role},
        {"voice_prompt": "mine.wav", "text_prompt": ""},
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


# --- servers that are none --------------------------------------------------------------------------------------------

Misbehaves = Callable[[web.Request, web.WebSocketResponse, Seen], Awaitable[None]]


async def _closes(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.close()


async def _silent(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.receive()


async def _text(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.send_json({"type": "session.created"})
    await socket.receive()


async def _sound_first(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.send_bytes(b"\x01OggS")
    await socket.receive()


async def _refuses(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.send_bytes(b"\x05CUDA out of memory")
    await socket.receive()


async def _torn(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    assert request.transport is not None
    request.transport.write(b"\xff\xff\xff\xff garbage that is no WebSocket frame")
    await asyncio.sleep(0.3)


async def _huge(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
    await socket.send_bytes(bytes(1 << 20))
    await socket.receive()


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        (_closes, EngineFailed, "closed the connection before its handshake"),
        (_silent, EngineTimeout, "gave no handshake within 0.3 s"),
        (_text, EngineFailed, "another kind of server.*session.created"),
        (_sound_first, EngineFailed, "before its handshake"),
        (_refuses, EngineFailed, "CUDA out of memory"),
        (_torn, EngineFailed, "no WebSocket message"),
        (_huge, EngineFailed, "no WebSocket message"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_server_that_does_not_begin_well_is_refused(handler: Misbehaves, kind: type[LocaraError], words: str) -> None:
    async def begin() -> None:
        async with serving(handler) as (url, _), using(url, {"deadline": 0.3}) as backend:
            for begin in (backend.load, lambda: backend.start_session(NOTHING)):
                with pytest.raises(kind, match=words) as caught:
                    await begin()
                assert caught.value.hint
                assert url in caught.value.message

    asyncio.run(begin())


def _after(*messages: bytes | str) -> Misbehaves:
    """Greets, waits for a message of ours, and says this."""

    async def handler(request: web.Request, socket: web.WebSocketResponse, seen: Seen) -> None:
        await socket.send_bytes(b"\x00")
        await socket.receive()
        for message in messages:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)
        await asyncio.sleep(5)

    return handler


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ((b"\x01this is no Ogg at all, however long one looks at it",), "cannot be read: this is no Ogg/Opus"),
        ((b"\x05the model has crashed",), "says: the model has crashed"),
        (tuple(b"\x02" + b"word " * 100 for _ in range(10)), "text without any sound"),
        ((bytes(1 << 18),), "no WebSocket message"),
    ],
    ids=["garbage", "error", "only-text", "huge"],
)
def test_what_a_server_says_wrong_ends_the_session_with_a_reason(messages: tuple[bytes, ...], words: str) -> None:
    async def listen() -> list[BackendEvent]:
        async with serving(_after(*messages)) as (url, _), using(url) as backend:
            return await talk(backend, await backend.start_session(NOTHING), tones(1))

    assert words in failure(asyncio.run(listen()), "failed").message


def test_messages_of_other_kinds_are_passed_over() -> None:
    import sphn

    writer = sphn.OpusStreamWriter(RATE)
    sound = b"".join(bytes(writer.append_pcm(tones(0.08))) for _ in range(2))
    strange = (
        b"",
        b"\x03\x01",
        b"\x04{}",
        b"\x06",
        b"\x08png",
        b"\x63?",
        "text",
        b"\x02 so",
        b"\x07\x03 far",
        b"\x01" + sound,
    )

    async def listen() -> list[Frame]:
        async with serving(_after(*strange)) as (url, _), using(url) as backend:
            return frames_of(await talk(backend, await backend.start_session(NOTHING), tones(1), wanted=2))

    assert [frame.text for frame in asyncio.run(listen())] == [" so far", ""]


def test_a_voice_that_personaplex_does_not_have_is_named_in_the_error() -> None:
    async def ask() -> None:
        async with serving(speaking("personaplex")) as (url, _), using(url, PLEX) as backend:
            with pytest.raises(EngineFailed, match=r"has no voice 'VARF0\.pt'") as caught:
                await backend.start_session(BackendSettings(voice="VARF0"))
            assert "voice-prompt-dir" in caught.value.hint
            assert await backend.start_session(NOTHING)  # the place is free

    asyncio.run(ask())


def test_a_server_that_has_another_guest_is_given_up_with_that_guess() -> None:
    async def wait() -> None:
        lock = asyncio.Lock()
        async with lock, serving(speaking("python", alone=lock)) as (url, _), using(url, {"deadline": 0.3}) as backend:
            with pytest.raises(EngineTimeout) as caught:
                await backend.start_session(NOTHING)
            assert "one conversation at a time" in caught.value.hint

    asyncio.run(wait())


def test_a_server_too_slow_for_speech_is_refused_with_its_figures() -> None:
    async def load() -> None:
        async with serving(speaking("python", slow=0.2)) as (url, _), using(url) as backend:
            with pytest.raises(EngineFailed, match=r"takes 2\d\d ms for a frame of 80 ms") as caught:
                await backend.load()
            assert "faster" in caught.value.hint

    asyncio.run(load())


def test_addresses_where_nobody_is_or_somebody_else() -> None:
    async def ask() -> None:
        async with serving(speaking("python")) as (url, _):
            host = url.removeprefix("ws://").partition("/")[0]
            for address, words, hint in (
                (f"ws://{host}/v1/realtime", "answered 404", "/api/chat"),
                ("ws://127.0.0.1:9/api/chat", "cannot be reached", "start it"),
                ("ws://no-such-host.invalid/api/chat", "cannot be reached", "start it"),
                (f"wss://{host}/api/chat", "TLS", "ws://"),
            ):
                async with using(address) as backend:
                    with pytest.raises(EngineFailed, match=words) as caught:
                        await backend.load()
                    assert hint in caught.value.hint

    asyncio.run(ask())


def test_a_password_in_an_address_is_never_shown() -> None:
    async def ask() -> None:
        async with using("ws://me:secret@127.0.0.1:9/api/chat?token=hidden") as backend:
            with pytest.raises(EngineFailed) as caught:
                await backend.load()
            assert "secret" not in caught.value.explain()
            assert "hidden" not in caught.value.explain()
            assert "secret" not in backend.info.where

    asyncio.run(ask())


# --- names and options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "flavour", "url"),
    [
        ("moshi-server", {}, "none", "ws://127.0.0.1:8998/api/chat"),
        ("personaplex-server", {}, "start", "ws://127.0.0.1:8998/api/chat"),
        ("ws://10.0.0.7:8998/api/chat", {}, "none", "ws://10.0.0.7:8998/api/chat"),
        ("wss://example.org/api/chat", {"flavour": "personaplex"}, "start", "wss://example.org/api/chat"),
        ("moshika", {"engine": "moshi-server", "url": "ws://h:1"}, "none", "ws://h:1/api/chat"),
        ("personaplex-7b-v1", {"engine": "moshi-server", "url": "ws://h:1/x/lm"}, "start", "ws://h:1/x/lm"),
    ],
)
def test_names_and_addresses_that_are_its_own(model: str, options: dict[str, Any], flavour: str, url: str) -> None:
    backend = cast(VoiceBackend, registry.create("omni", model, options))
    assert backend.capabilities.instructions == flavour
    assert backend.info.where == url
    assert isinstance(backend, VoiceBackend)
    assert bool(backend.info.note) == ("127.0.0.1" not in url)


@pytest.mark.parametrize("model", ["ws://127.0.0.1:8000/v1/realtime", "moshi-7b", ""])
def test_names_that_are_not(model: str) -> None:
    from locara.engines.omni.moshi_server import create

    assert create(model, {}) is None


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://127.0.0.1:8998/api/chat"},
        {"url": "ws://"},
        {"url": "ws://127.0.0.1:x/api/chat"},
        {"url": "ws://127.0.0.1/a b"},
        {"flavour": "person"},
        {"voice": "NATF2"},
        {"flavour": "personaplex", "voice": "../../etc/passwd"},
        {"flavour": "personaplex", "voice": ""},
        {"deadline": 0},
        {"stall": True},
        {"sessions": 0},
        {"certificate": "/no/such/file.pem"},
        {"temperature": 1},
    ],
    ids=str,
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("omni", "moshi-server", options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, BackendSettings(instructions="Be nice.")),
        ({}, BackendSettings(voice="NATF2")),
        (PLEX, BackendSettings(voice="a/b.pt")),
        (PLEX, BackendSettings(instructions="word " * 2000)),
        (PLEX, BackendSettings(tools=(Tool("clock", "the time", {}, lambda: 0),))),
    ],
    ids=["moshi-role", "moshi-voice", "folder", "long", "tools"],
)
def test_settings_that_a_server_cannot_keep_are_refused_before_anything_is_sent(
    options: dict[str, Any], settings: BackendSettings
) -> None:
    async def begin() -> None:
        async with using("ws://127.0.0.1:9/api/chat", options) as backend:
            with pytest.raises(ConfigError) as caught:
                await backend.start_session(settings)
            assert caught.value.hint

    asyncio.run(begin())


def test_the_longest_role_that_is_taken_arrives() -> None:
    async def ask() -> None:
        async with serving(speaking("personaplex")) as (url, seen), using(url, PLEX) as backend:
            role = "x" * 7900
            await backend.start_session(BackendSettings(instructions=role))
            assert seen.queries[-1]["text_prompt"] == role

    asyncio.run(ask())


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
