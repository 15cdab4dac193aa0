"""Servers that do what they should not: close, stall, send garbage, other rates, too much, in another order, or refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from realtime_engine_fakes import Mlx, VllmDuplex  # type: ignore[import-not-found]
from realtime_fakes import KEY, Fake, OpenAI, Plan, described, tone  # type: ignore[import-not-found]
from realtime_talking import Talk, backend, until  # type: ignore[import-not-found]

from locara.audio import pcm16
from locara.engines.backend import BackendFailed, BackendSettings, Cancel, Ended, Lag, ReplyAudio, TurnEnd
from locara.engines.omni import realtime_connection, realtime_outbox, realtime_session
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineTimeout, StageError

RATE = 24_000
Deed = Callable[[Any, web.WebSocketResponse, dict[str, Any]], Awaitable[bool]]


def on(kind: str, do: Callable[[Any, web.WebSocketResponse], Awaitable[None]], *, instead: bool = True) -> Deed:
    """Mischief in the moment in which a client says ``kind``."""

    async def deed(server: Any, socket: web.WebSocketResponse, message: dict[str, Any]) -> bool:
        if message["type"] != kind:
            return False
        await do(server, socket)
        return instead

    return deed


async def asked(said: Talk, reply: int = 1) -> None:
    await said.push(tone(0.2, RATE))
    await said.tell(TurnEnd(reply))


def beginning(make: Any, plan: Plan, expected: type[StageError], match: str, **options: Any) -> StageError:
    """A session that must not begin, and why. Nothing is left open."""

    async def talk() -> StageError:
        async with make(plan) as server:
            made = backend(f"realtime:{options.pop('dialect', 'openai')}:{server.url}#m", **options)
            with pytest.raises(expected, match=match) as caught:
                await made.start_session(BackendSettings())
            await until(lambda: not server.open)
            return caught.value

    error = asyncio.run(talk())
    assert error.hint
    assert error.stage == "omni"
    return error


def of_a_session(plan: Plan, until: Callable[[Talk], bool], make: Any = OpenAI, **options: Any) -> Talk:
    """What comes of one question."""

    async def talk() -> Talk:
        async with make(plan) as server, Talk(backend(f"realtime:{server.url}", **options)) as said:
            await asked(said)
            await said.until(lambda: until(said))
        return said

    return asyncio.run(talk())


# --- it does not begin ------------------------------------------------------------------------------------------------


def test_a_server_that_says_nothing_is_told_after_the_deadline() -> None:
    async def silent(server: Fake, socket: web.WebSocketResponse) -> bool:
        await socket.receive()
        return True

    beginning(OpenAI, Plan(first=silent), EngineTimeout, "did not begin", start_deadline=0.2)


def test_a_server_that_closes_at_once_is_told() -> None:
    async def closes(server: Fake, socket: web.WebSocketResponse) -> bool:
        await socket.close(code=1011, message=b"Server is not healthy")
        return True

    beginning(OpenAI, Plan(first=closes), EngineFailed, "closed the connection|not healthy")


@pytest.mark.parametrize("code", [1013, 1008])
def test_a_full_server_is_busy(code: int) -> None:
    async def full(server: Fake, socket: web.WebSocketResponse) -> bool:
        error = {"type": "session_limit_reached", "message": "All 1 session slots are in use."}
        if code == 1008:
            await server.tell(socket, type="error", error=error)
        await socket.close(code=code)
        return True

    beginning(OpenAI, Plan(first=full), EngineBusy, "no place")


def test_a_session_that_is_refused_says_what_the_server_says() -> None:
    async def refuse(server: Any, socket: web.WebSocketResponse) -> None:
        await server.refuse(socket, {}, "invalid_value", "Unsupported voice")

    beginning(OpenAI, Plan(mischief=on("session.update", refuse)), EngineFailed, "Unsupported voice")


def test_other_rates_than_were_asked_for_are_told_with_the_option() -> None:
    async def other(server: Any, socket: web.WebSocketResponse) -> None:
        session = {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}
        await Fake.tell(server, socket, type="session.updated", session=session)

    error = beginning(OpenAI, Plan(mischief=on("session.update", other)), EngineFailed, "16000 Hz")
    assert "input_rate=16000" in error.message


def test_the_wrong_dialect_is_told_when_the_engine_is_loaded() -> None:
    async def talk() -> None:
        async with Mlx() as server:
            with pytest.raises(EngineFailed, match="does not begin"):
                await backend(f"realtime:openai:{server.url}", start_deadline=2.0).start_session(BackendSettings())
        async with VllmDuplex() as server:
            with pytest.raises(EngineTimeout, match="said nothing"):
                await backend(f"realtime:openai:{server.url}", start_deadline=0.2).load()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("status", "expected", "match"),
    [
        (401, EngineFailed, "401"),
        (403, EngineFailed, "403"),
        (404, EngineFailed, "404"),
        (429, EngineBusy, "429"),
        (503, EngineBusy, "503"),
        (200, EngineFailed, "200"),
    ],
)
def test_an_answer_that_is_no_websocket_is_told_with_what_to_do(
    status: int, expected: type[StageError], match: str
) -> None:
    class Other(OpenAI):  # type: ignore[misc]
        async def _serve(self, request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text="secret body")

    error = beginning(Other, Plan(), expected, match)
    assert "secret" not in error.explain()


def test_a_wrong_key_is_told_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)

    async def talk() -> None:
        async with OpenAI(key="another") as server:
            made = backend(f"realtime:{server.url}?token=hidden", api_key_env="SOME_KEY")
            with pytest.raises(EngineFailed, match="401") as caught:
                await made.load()
            told = caught.value.explain() + repr(caught.value.__cause__) + repr(made.info)
            assert KEY not in told
            assert "hidden" not in told
            assert "api_key_env" in caught.value.hint

    asyncio.run(talk())


def test_a_key_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    made = backend("realtime:ws://127.0.0.1:9/v1/realtime", api_key_env="SOME_KEY")
    with pytest.raises(ConfigError, match="SOME_KEY is not set"):
        asyncio.run(made.load())


def test_nobody_listening_is_told() -> None:
    with pytest.raises(EngineFailed, match="cannot connect"):
        asyncio.run(backend("realtime:ws://127.0.0.1:9/v1/realtime").load())


def test_a_redirect_is_not_followed() -> None:
    class Elsewhere(OpenAI):  # type: ignore[misc]
        async def _serve(self, request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound("http://127.0.0.1:9/elsewhere")

    beginning(Elsewhere, Plan(), EngineFailed, "leads to another address")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def talk() -> None:
        async with OpenAI(context=context) as server:
            with pytest.raises(EngineFailed, match=r"the certificate of .* cannot be trusted"):
                await backend(f"realtime:wss://localhost:{server.port}/v1/realtime").load()

    asyncio.run(talk())


def test_a_server_that_speaks_no_tls_is_told() -> None:

    async def talk() -> None:
        async with OpenAI() as server:
            with pytest.raises(EngineFailed, match=r"certificate|cannot connect"):
                await backend(f"realtime:wss://127.0.0.1:{server.port}/v1/realtime").load()

    asyncio.run(talk())


def test_starting_that_is_cancelled_leaves_nothing() -> None:
    async def silent(server: Fake, socket: web.WebSocketResponse) -> bool:
        await socket.receive()
        return True

    async def talk() -> None:
        async with OpenAI(Plan(first=silent)) as server:
            task = asyncio.create_task(backend(f"realtime:{server.url}").start_session(BackendSettings()))
            await until(lambda: bool(server.open))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not server.open)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(talk())


# --- it goes wrong on the way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(1000, "closed"), (1001, "closed"), (1011, "failed"), (1013, "failed")])
def test_a_server_that_closes_ends_the_session_and_its_reply(code: int, reason: str) -> None:
    async def close(server: Any, socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=b"gone")

    said = of_a_session(Plan(mischief=on("response.create", close)), lambda said: bool(said.of(Ended)))
    assert said.of(Ended) == [Ended(reason)]  # type: ignore[arg-type]
    assert said.ended(1) == "failed"
    fatal = [one for one in said.of(BackendFailed) if one.fatal]
    assert len(fatal) == (reason == "failed")


def test_a_connection_that_breaks_is_told() -> None:
    async def abort(server: Any, socket: web.WebSocketResponse) -> None:
        socket._req.transport.abort()  # type: ignore[union-attr]

    said = of_a_session(Plan(mischief=on("response.create", abort)), lambda said: bool(said.of(Ended)))
    [told] = said.of(BackendFailed)
    assert (told.code, told.fatal) == ("connection-lost", True)


def test_a_reply_that_never_comes_fails_and_the_session_goes_on() -> None:
    async def nothing(server: Any, socket: web.WebSocketResponse) -> None:
        server.plan.mischief = None

    async def talk() -> None:
        plan = Plan(mischief=on("response.create", nothing))
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}", deadline=0.3)) as said:
            await asked(said, 1)
            await said.until(lambda: said.ended(1) == "failed")
            [told] = said.of(BackendFailed)
            assert (told.code, told.reply, told.fatal) == ("engine-timeout", 1, False)

    asyncio.run(talk())


def test_after_a_cancelled_reply_that_never_ends_the_next_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from locara.engines.omni import realtime_say

    monkeypatch.setattr(realtime_say, "CANCEL_SECONDS", 0.1)

    async def deaf(server: Any, socket: web.WebSocketResponse) -> None:
        response = server.responses[socket]
        response.task.cancel()
        response.over = True  # and does not say so

    async def talk() -> None:
        plan = Plan(reply_seconds=20.0, pause=0.01, mischief=on("response.cancel", deaf))
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await asked(said, 1)
            await said.until(lambda: said.sound(1).size > 0)
            await said.tell(Cancel(1))
            plan.reply_seconds = 0.1
            await asked(said, 2)
            await said.until(lambda: said.ended(2) == "finished")

    asyncio.run(talk())


def test_a_reply_that_the_server_cannot_make_fails_with_its_reason() -> None:
    async def fail(server: Any, socket: web.WebSocketResponse) -> None:
        details = {
            "type": "failed",
            "error": {"type": "server_error", "code": "rate_limit_exceeded", "message": "later"},
        }
        await Fake.tell(server, socket, type="response.created", response=described("r", "in_progress"))
        await Fake.tell(server, socket, type="response.done", response=described("r", "failed", details))

    said = of_a_session(Plan(mischief=on("response.create", fail)), lambda said: said.ended(1) == "failed")
    [told] = said.of(BackendFailed)
    assert "later" in told.message
    assert told.reply == 1


def test_a_refused_question_fails_alone() -> None:
    async def refuse(server: Any, socket: web.WebSocketResponse, message: dict[str, Any]) -> bool:
        if message["type"] != "response.create":
            return False
        await server.refuse(socket, message, "invalid_value", "not now")
        server.plan.mischief = None
        return True

    async def talk() -> None:
        async with OpenAI(Plan(mischief=refuse)) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await asked(said, 1)
            await said.until(lambda: said.ended(1) == "failed")
            await asked(said, 2)
            await said.until(lambda: said.ended(2) == "finished")

    asyncio.run(talk())


GARBAGE = (
    "", "null", "[]", "{", '"text"', "{}", '{"type": 3}', "[" * 5000,
    '{"type":"response.output_audio.delta"}',
    '{"type":"response.output_audio.delta","delta":"%%%","response_id":"r"}',
    '{"type":"response.output_audio.delta","delta":"QQ==","response_id":"r"}',
    '{"type":"response.output_audio.delta","delta":"","response_id":7}',
    '{"type":"response.done","response":"no"}',
    '{"type":"response.created","response":{"id":{}}}',
    '{"type":"error","error":7}',
    '{"type":"something.of.another.kind","deep":{"er":[1]}}',
)  # fmt: skip


def test_garbage_between_the_events_of_a_reply_does_no_harm() -> None:
    async def garbage(server: Any, socket: web.WebSocketResponse) -> None:
        for one in GARBAGE:
            await socket.send_str(one)
        await socket.send_bytes(b"\x00\x01")

    said = of_a_session(
        Plan(mischief=on("response.create", garbage, instead=False)), lambda said: said.ended(1) == "finished"
    )
    assert said.text(1) == "Hello there."
    told = said.of(BackendFailed)
    assert not any(one.fatal for one in told)
    assert len(told) <= 5


def test_a_known_event_with_a_wrong_shape_is_told_by_its_name() -> None:
    async def wrong(server: Any, socket: web.WebSocketResponse) -> None:
        await socket.send_str('{"type":"response.output_audio.delta","delta":"QQ==","response_id":"r"}')

    said = of_a_session(
        Plan(mischief=on("response.create", wrong, instead=False)), lambda said: said.ended(1) == "finished"
    )
    [told] = said.of(BackendFailed)
    assert "response.output_audio.delta with half a sample" in told.message


def test_nothing_but_garbage_ends_the_session() -> None:
    async def garbage(server: Any, socket: web.WebSocketResponse) -> None:
        for _ in range(40):
            await socket.send_str("nonsense")

    said = of_a_session(Plan(mischief=on("response.create", garbage)), lambda said: bool(said.of(Ended)))
    assert said.of(BackendFailed)[-1].code == "bad-events"
    assert said.of(Ended) == [Ended("failed")]


def test_sound_at_another_rate_ends_the_session_with_the_option_to_give() -> None:
    async def other(server: Any, socket: web.WebSocketResponse) -> None:
        piece = server.pieces()[0]
        await socket.send_str(
            json.dumps(
                {"type": "response.output_audio.delta", "delta": piece, "response_id": "r", "sample_rate_hz": 48_000}
            )
        )

    said = of_a_session(Plan(mischief=on("response.create", other)), lambda said: bool(said.of(Ended)))
    [told] = said.of(BackendFailed)
    assert told.code == "wrong-rate"
    assert "output_rate=48000" in told.hint


def test_events_that_come_twice_or_too_late_are_heard_once() -> None:
    class Doubled(OpenAI):  # type: ignore[misc]
        async def tell(self, socket: web.WebSocketResponse, **message: Any) -> None:
            message["event_id"] = f"event_{next(self.ids)}"
            for _ in range(2):
                await super().tell(socket, **message)

    async def talk() -> None:
        async with Doubled(Plan(late=True)) as server, Talk(backend(f"realtime:{server.url}")) as said:
            await asked(said)
            await said.until(lambda: said.ended(1) == "finished")
            assert said.text(1) == "Hello there."
            assert said.sound(1).size == round(0.4 * RATE)

    asyncio.run(talk())


def test_pieces_before_their_response_is_announced_are_heard() -> None:
    async def backwards(server: Any, socket: web.WebSocketResponse) -> None:
        where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
        for piece in server.pieces():
            await Fake.tell(server, socket, type="response.output_audio.delta", delta=piece, **where)
        await Fake.tell(server, socket, type="response.created", response=described("r", "in_progress"))
        await Fake.tell(server, socket, type="response.done", response=described("r", "completed"))

    said = of_a_session(Plan(mischief=on("response.create", backwards)), lambda said: said.ended(1) == "finished")
    assert said.sound(1).size == round(0.4 * RATE)


def test_sound_before_the_session_is_ready_belongs_to_nothing() -> None:
    async def early(server: Any, socket: web.WebSocketResponse) -> None:
        where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
        await server.tell(socket, type="response.output_audio.delta", delta=server.pieces()[0], **where)

    said = of_a_session(
        Plan(mischief=on("session.update", early, instead=False)), lambda said: said.ended(1) == "finished"
    )
    assert said.sound(1).size == round(0.4 * RATE)


def test_a_message_of_ten_megabytes_is_one_message() -> None:
    async def large(server: Any, socket: web.WebSocketResponse) -> None:
        piece = base64.b64encode(pcm16(tone(150.0, RATE))).decode()
        where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
        await socket.send_str(json.dumps({"type": "response.output_audio.delta", "delta": piece, **where}))
        await Fake.tell(server, socket, type="response.done", response=described("r", "completed"))

    said = of_a_session(Plan(mischief=on("response.create", large)), lambda said: said.ended(1) == "finished")
    assert said.sound(1).size == 150 * RATE


def test_a_message_that_is_too_large_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_connection, "MOST_BYTES", 1 << 20)

    async def large(server: Any, socket: web.WebSocketResponse) -> None:
        await socket.send_str(json.dumps({"type": "conversation.item.added", "item": "x" * (2 << 20)}))

    said = of_a_session(Plan(mischief=on("response.create", large)), lambda said: bool(said.of(Ended)))
    assert said.of(BackendFailed)[-1].code == "message-too-big"


def test_a_reader_that_reads_nothing_loses_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_session, "MOST_UNREAD_SECONDS", 1.0)

    async def talk() -> None:
        async with OpenAI(Plan(reply_seconds=5.0)) as server:
            made = backend(f"realtime:{server.url}")
            name = await made.start_session(BackendSettings())
            await made.push_audio(name, tone(0.2, RATE))
            await made.signal(name, TurnEnd(1))
            await until(lambda: not server.open)
            async with asyncio.timeout(10):
                events = [event async for event in made.event_stream(name)]
            assert events[-1] == Ended("failed")
            assert not any(isinstance(one, ReplyAudio) for one in events)
            await made.close()

    asyncio.run(talk())


def test_a_server_that_takes_nothing_is_left_and_sound_that_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_outbox, "BEHIND_SECONDS", 2.0)

    async def stuck(server: Any, socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(3600)

    async def talk() -> None:
        plan = Plan(mischief=on("input_audio_buffer.append", stuck))
        async with OpenAI(plan) as server, Talk(backend(f"realtime:{server.url}", deadline=1.0)) as said:
            block = tone(2.0, RATE)
            async with asyncio.timeout(60):
                while not said.of(Ended):  # until the buffers of both sockets are full, and a second more
                    await said.backend.push_audio(said.name, block)
                    await asyncio.sleep(0.01)
            assert said.of(BackendFailed)[-1].code == "connection-stalled"
            assert said.of(Lag)

    asyncio.run(talk())
