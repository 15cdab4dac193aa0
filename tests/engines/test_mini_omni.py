"""The backend for Mini-Omni's own server, against one written from its ``server.py``: one thread, raw samples, no words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from aiohttp import web

from locara import voice
from locara.audio import RATE, Samples
from locara.engines import registry
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Played,
    ReplyAudio,
    ReplyEnded,
    TurnEnd,
    UserTyped,
    VoiceBackend,
)
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineTimeout, LocaraError
from locara.testing import EnergyDetector, Room, Spoken
from locara.testing.conformance_backend import examine_backend
from locara.testing.scripted import speech_like
from locara.voice.events import AudioChunk, Error, Event
from locara.voice.events import TurnEnd as TurnEnded

NOTHING = BackendSettings()


@dataclass
class Seen:
    """What the server was asked. ``cut``: answers that nobody waited for."""

    asked: list[Samples] = field(default_factory=list)
    cut: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def serving(
    *, seconds: float = 0.6, status: int = 200, wait: float = 0.0, pause: float = 0.0, drop: int | None = None
) -> AsyncIterator[tuple[str, Seen]]:
    """Answers each question with a tone of so many ``seconds``, in pieces of odd length. ``wait`` before the first,
    ``pause`` between two; ``drop``: the connection ends after so many pieces."""
    seen = Seen()
    thread = asyncio.Lock()  # app.run(threaded=False)

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if status != 200:
            return web.Response(status=status, text="<h1>Internal Server Error</h1>")
        async with thread:
            with wave.open(io.BytesIO(base64.b64decode(body["audio"]))) as file:
                assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
                heard = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32767)
            seen.asked.append(heard)
            assert (body["stream_stride"], body["max_tokens"]) == (4, 2048)
            at = np.arange(round(seconds * 24_000)) / 24_000
            sound = (0.3 * 32767 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()
            response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
            await response.prepare(request)
            try:
                await asyncio.sleep(wait)
                for number, start in enumerate(range(0, len(sound), 4097)):
                    if number == drop:
                        assert request.transport is not None
                        request.transport.abort()
                        return response
                    await response.write(sound[start : start + 4097])
                    await asyncio.sleep(pause)
            except (ConnectionError, asyncio.CancelledError):
                seen.cut += 1
                seen.ended.set()
                raise
            return response

    app = web.Application(client_max_size=1 << 24)  # Flask takes any
    app.router.add_post("/chat", chat)
    runner = web.AppRunner(app, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/chat", seen
    finally:
        await runner.cleanup()


def make(url: str, options: Mapping[str, Any] = {}) -> VoiceBackend:
    return cast(VoiceBackend, registry.create("omni", "mini-omni", {"url": url, **options}))


@contextlib.asynccontextmanager
async def talking(url: str, options: Mapping[str, Any] = {}) -> AsyncIterator[tuple[VoiceBackend, str]]:
    backend = make(url, options)
    try:
        yield backend, await backend.start_session(NOTHING)
    finally:
        await backend.close()
    assert [one for one in asyncio.all_tasks() if one.get_name() == "mini-omni-reply"] == []


async def until_ended(backend: VoiceBackend, session: str, reply: int) -> list[BackendEvent]:
    events: list[BackendEvent] = []
    async with asyncio.timeout(20):
        async for event in backend.event_stream(session):
            events.append(event)
            if isinstance(event, ReplyEnded) and event.reply == reply:
                break
    return events


def tone(seconds: float, level: float = 0.2) -> Samples:
    return np.full(round(seconds * RATE), level, np.float32)


def test_a_turn_is_answered_with_its_sound_whole() -> None:
    async def main() -> None:
        async with serving() as (url, seen), talking(url) as (backend, session):
            await backend.load()
            for block in np.array_split(tone(1.0), 7):
                await backend.push_audio(session, block)
            assert await backend.signal(session, TurnEnd(4))
            events = await until_ended(backend, session, 4)
            assert seen.asked[-1].size == RATE
            assert np.allclose(seen.asked[-1], 0.2, atol=1e-4)
        sound = np.concatenate([one.samples for one in events if isinstance(one, ReplyAudio)])
        assert sound.size == round(0.6 * 24_000)
        expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(sound.size) / 24_000)
        assert np.allclose(sound, expected, atol=1e-3)
        assert events[-1] == ReplyEnded(4)

    asyncio.run(main())


def test_only_the_last_thirty_seconds_of_a_long_turn_are_sent() -> None:
    async def main() -> None:
        async with serving() as (url, seen), talking(url) as (backend, session):
            for level in (0.1, 0.2, 0.3, 0.4):
                await backend.push_audio(session, tone(10, level))
            await backend.signal(session, TurnEnd(1))
            await until_ended(backend, session, 1)
            assert seen.asked[0].size == 30 * RATE
            assert seen.asked[0][0] == pytest.approx(0.2, abs=1e-3)

    asyncio.run(main())


def test_a_cancelled_reply_ends_and_the_server_stops_working_for_it() -> None:
    async def main() -> None:
        async with serving(seconds=20, pause=0.02) as (url, seen), talking(url) as (backend, session):
            await backend.push_audio(session, tone(0.5))
            await backend.signal(session, TurnEnd(1))
            events: list[BackendEvent] = []
            async for event in backend.event_stream(session):
                events.append(event)
                if isinstance(event, ReplyAudio) and len(events) == 2:
                    assert await backend.signal(session, Cancel(1))
                    assert not await backend.signal(session, Cancel(1))
                if isinstance(event, ReplyEnded):
                    break
            assert events[-1] == ReplyEnded(1, "cancelled")
            await asyncio.wait_for(seen.ended.wait(), 5)
            await backend.stop_session(session)

    asyncio.run(main())


def test_a_revoked_turn_goes_on_with_what_was_said_before() -> None:
    async def main() -> None:
        async with serving(wait=0.2) as (url, seen), talking(url) as (backend, session):
            await backend.push_audio(session, tone(0.5, 0.1))
            await backend.signal(session, TurnEnd(1))
            await backend.push_audio(session, tone(0.25, 0.3))
            assert await backend.signal(session, Cancel(1, revoke=True))
            await backend.push_audio(session, tone(0.25, 0.5))
            await backend.signal(session, TurnEnd(2))
            events = await until_ended(backend, session, 2)
            assert [one for one in events if isinstance(one, ReplyEnded)] == [ReplyEnded(1, "cancelled"), ReplyEnded(2)]
            assert np.allclose(
                seen.asked[-1], np.concatenate((tone(0.5, 0.1), tone(0.25, 0.3), tone(0.25, 0.5))), atol=1e-3
            )

    asyncio.run(main())


def test_what_was_no_turn_is_not_sent_and_what_does_not_apply_says_so() -> None:
    async def main() -> None:
        async with serving() as (url, seen), talking(url) as (backend, session):
            await backend.push_audio(session, tone(3))
            assert await backend.signal(session, Disregard())
            await backend.push_audio(session, tone(0.5))
            for signal in (Played(1, 0.5), UserTyped("hi"), Cancel(7)):
                assert not await backend.signal(session, signal)
            await backend.signal(session, TurnEnd(1))
            await until_ended(backend, session, 1)
            assert [one.size for one in seen.asked] == [RATE // 2]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("behaviour", "options", "code", "words"),
    [
        ({"status": 500}, {}, "engine-failed", "answered 500"),
        ({"status": 404}, {}, "engine-failed", "answered 404"),
        ({"wait": 5}, {"deadline": 0.3}, "engine-timeout", "no sound within 0.3 s"),
        ({"pause": 5}, {"gap": 0.3}, "engine-timeout", "no more sound within 0.3 s"),
        ({"drop": 2}, {}, "engine-failed", "broke off"),
    ],
    ids=["500", "404", "silent", "stalls", "drops"],
)
def test_a_reply_that_fails_says_why_and_the_session_goes_on(
    behaviour: dict[str, Any], options: dict[str, Any], code: str, words: str
) -> None:
    async def main() -> None:
        async with serving(seconds=1.0, **behaviour) as (url, _), talking(url, options) as (backend, session):
            await backend.push_audio(session, tone(0.5))
            await backend.signal(session, TurnEnd(1))
            events = await until_ended(backend, session, 1)
            assert events[-1] == ReplyEnded(1, "failed")
            told = events[-2]
            assert isinstance(told, BackendFailed)
            assert (told.code, told.reply, told.fatal) == (code, 1, False)
            assert words in told.message
            assert told.hint
            assert await backend.signal(session, TurnEnd(2))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [({"status": 500}, EngineFailed), ({"wait": 5}, EngineTimeout), ({"seconds": 0}, EngineFailed)],
)
def test_a_server_that_cannot_answer_is_refused_when_it_is_loaded(
    behaviour: dict[str, Any], kind: type[LocaraError]
) -> None:
    async def main() -> None:
        async with serving(**behaviour) as (url, _):
            backend = make(url, {"deadline": 0.3})
            with pytest.raises(kind) as caught:
                await backend.load()
            assert caught.value.hint
            await backend.close()
        nobody = make("http://127.0.0.1:9/chat")
        with pytest.raises(EngineFailed, match="cannot be reached"):
            await nobody.load()
        await nobody.close()

    asyncio.run(main())


def test_settings_options_and_places() -> None:
    async def main() -> None:
        async with talking("http://127.0.0.1:9/chat") as (backend, _):
            with pytest.raises(EngineBusy):
                await backend.start_session(NOTHING)
            for settings in (BackendSettings(instructions="x"), BackendSettings(voice="y")):
                with pytest.raises(ConfigError):
                    await backend.start_session(settings)

    asyncio.run(main())
    for options in ({"url": "ws://h"}, {"url": "http://"}, {"gap": 0}, {"sessions": 0}, {"voice": "a"}):
        with pytest.raises(ConfigError) as caught:
            registry.create("omni", "mini-omni", options)
        assert caught.value.hint
    assert make("http://10.0.0.1:60808").info.note


def test_it_keeps_the_contract_of_all_backends() -> None:
    async def main() -> None:
        async with serving(pause=0.01) as (url, _):
            outcomes = await examine_backend(lambda: make(url))
            assert [one for one in outcomes if one.verdict == "failed"] == []

    asyncio.run(main())


def test_a_whole_session_with_it() -> None:
    async def main() -> list[Event]:
        async with serving(seconds=1.0) as (url, seen):
            room = Room(speech_like([Spoken(0.5, 1.7, "")], 2.0))
            session = voice.session(
                omni={"model": "mini-omni", "engine": "mini-omni", "url": url},
                vad=EnergyDetector(),
                input=room.microphone,
                output=room.speaker,
            )
            events: list[Event] = []

            async def follow() -> None:
                async for event in session.events():
                    events.append(event)

            following = asyncio.create_task(follow())
            async with session:
                await asyncio.wait([asyncio.create_task(session.wait_ended())], timeout=5.0)
            await following
            assert len(seen.asked) >= 2  # when it was loaded, and the turn
            return events

    events = asyncio.run(main())
    assert [one for one in events if isinstance(one, Error)] == []
    ends = [(one.who, one.reason) for one in events if isinstance(one, TurnEnded)]
    assert ends == [("user", "complete"), ("assistant", "finished")]
    spoken = sum(one.samples.size / one.sample_rate for one in events if isinstance(one, AudioChunk))
    assert spoken == pytest.approx(1.0, 0.05)


def test_a_session_that_was_stopped_in_the_middle_of_a_reply_ends_once() -> None:
    async def main() -> None:
        async with serving(seconds=20, pause=0.02) as (url, seen), talking(url) as (backend, session):
            await backend.push_audio(session, tone(0.5))
            await backend.signal(session, TurnEnd(1))
            stream = backend.event_stream(session)
            assert isinstance(await anext(stream), ReplyAudio)
            await backend.stop_session(session)
            await backend.stop_session(session)
            rest = [event async for event in stream]
            assert rest[-1] == Ended("stopped")
            assert sum(isinstance(one, Ended) for one in rest) == 1
            await asyncio.wait_for(seen.ended.wait(), 5)
            await backend.push_audio(session, tone(0.1))
            assert not await backend.signal(session, TurnEnd(2))

    asyncio.run(main())
