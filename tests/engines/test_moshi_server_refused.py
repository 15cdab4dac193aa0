"""What the backend for Moshi's own servers refuses: servers that are none, or behave badly, names and options."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from locara.engines import registry
from locara.engines.backend import BackendEvent, BackendSettings, Frame, VoiceBackend
from locara.engines.contracts import Tool
from locara.errors import ConfigError, EngineFailed, EngineTimeout, LocaraError

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines.moshi_servers import Seen, serving, speaking
    from tests.engines.moshi_talk import NOTHING, PLEX, RATE, failure, frames_of, talk, tones, using
else:
    from moshi_servers import Seen, serving, speaking
    from moshi_talk import NOTHING, PLEX, RATE, failure, frames_of, talk, tones, using


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
        async for _ in socket:
            pass

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
        ("ws://h:1/api/chat#flavour=personaplex&voice=NATM1&sessions=3&stall=5.5", {}, "start", "ws://h:1/api/chat"),
        ("moshika", {"engine": "moshi-server", "url": "ws://h:1"}, "none", "ws://h:1/api/chat"),
        ("personaplex-7b-v1", {"engine": "moshi-server", "url": "ws://h:1/x/lm"}, "start", "ws://h:1/x/lm"),
    ],
)
def test_names_and_addresses_that_are_its_own(model: str, options: dict[str, Any], flavour: str, url: str) -> None:
    backend = cast(VoiceBackend, registry.create("omni", model, options))
    assert backend.capabilities.instructions == flavour
    assert backend.info.where == url
    assert isinstance(backend, VoiceBackend)
    assert backend.capabilities.max_sessions == (3 if "sessions=3" in model else 1)
    assert bool(backend.info.note) == ("127.0.0.1" not in url)


@pytest.mark.parametrize("told", ["sessions=many", "sessions=1.5", "voice", "=", "voice=NATF0", "path=x&sesions=2"])
def test_options_behind_an_address_that_cannot_work_are_refused(told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create("omni", f"ws://127.0.0.1:1/api/chat#{told}", {})
    assert caught.value.hint


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
        {"instructions": "Be nice."},
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


def _certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Somebody's own, as these servers are started with: made by openssl, for 127.0.0.1."""
    import shutil
    import subprocess

    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context, cert


def test_a_server_with_a_certificate_of_its_own_is_trusted_where_that_is_given_and_refused_where_not(
    tmp_path: Path,
) -> None:
    context, cert = _certificate(tmp_path)

    async def ask() -> None:
        async with serving(speaking("python"), context) as (url, _):
            async with using(url) as backend:
                with pytest.raises(EngineFailed, match="not vouched for") as caught:
                    await backend.load()
                assert "certificate" in caught.value.hint
            async with using(url, {"certificate": str(cert)}) as backend:
                await backend.load()
                session = await backend.start_session(NOTHING)
                assert len(frames_of(await talk(backend, session, tones(0.8), wanted=4))) == 4
            async with using(url.replace("wss", "ws")) as backend:
                with pytest.raises(EngineFailed):
                    await backend.load()

    asyncio.run(ask())
