"""The Python client: the shape of a session, over a real server; what it had played is what was heard."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from locara import cli, client
from locara.devices.wav import read_wav
from locara.errors import ConfigError, LocaraError, ManifestError, SessionError
from locara.voice import Said, tool
from locara.voice import events as tell
from tests.server.ipc_running import LONG, MANIFEST, TOKEN, allow, run, running

QUESTION = Path(cli.__file__).with_name("question.wav")
WORDS = LONG.split()


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


async def until(events: Any, kind: type[tell.Event], **fields: Any) -> Any:
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, kind) and all(getattr(event, name) == one for name, one in fields.items()):
                return event
    raise AssertionError(f"no {kind.type} with {fields}")


def test_it_has_the_shape_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, ["It is noon."]) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                assert connection.hello["server"].startswith("locara ")
                session = connection.session()
                events, output = session.events(), session.raw_output()
                async with session:
                    assert set(session.plan) >= {"stt", "llm", "tts"}
                    await session.push_audio(np.zeros(1600, dtype=np.float32), 16_000)
                    await session.send_text("what time is it")
                    assert (await until(events, tell.SessionStart)).plan == session.plan
                    assert (await until(events, tell.FinalTranscript)).text == "what time is it"
                    ended = await until(events, tell.TurnEnd, who="assistant")
                    assert ended.reason == "finished"
                    assert [said.text for said in await session.history() if isinstance(said, Said)] == [
                        "what time is it",
                        "It is noon.",
                    ]
                    assert (await session.metrics())["seconds_heard"] > 0.5
                    await session.mute()
                    with pytest.raises(SessionError, match="has a conversation"):
                        await connection.session().start()
                assert await session.wait_ended() == "stopped"
                assert isinstance(await until(events, tell.SessionEnd), tell.SessionEnd)
                sound = np.concatenate([block async for block in output])
                assert sound.size / 24_000 >= len("It is noon.") / 15
                with pytest.raises(SessionError, match="closed"):
                    session.say("too late")
            assert server.seats.taken == 0

    run(work())


@pytest.mark.parametrize("word_times", [True, False])
def test_history_is_what_a_client_had_played_that_plays_700_ms_late(
    monkeypatch: pytest.MonkeyPatch, word_times: bool
) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, word_times=word_times) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                session = connection.session(delay=0.7)
                events, output = session.events(), session.raw_output()
                played: list[int] = []

                async def listen() -> None:
                    async for block in output:
                        played.append(block.size)

                listening = asyncio.create_task(listen())
                async with session:
                    await session.send_text("go")
                    while sum(played) < 2.0 * 24_000:
                        await asyncio.sleep(0.02)
                    ahead = session._received / 24_000 - sum(played) / 24_000  # noqa: SLF001
                    assert ahead > 0.5, "it was sent well before it was played"
                    await session.interrupt()
                    await until(events, tell.TurnEnd, who="assistant", reason="cancelled")
                    heard = sum(played) / 24_000
                    said = (await session.history())[-1]
                listening.cancel()
                assert isinstance(said, Said)
                assert said.interrupted
                truth = count_of(heard)
                got = len(said.text.split())
                assert abs(got - truth) <= 1, f"{heard:.2f} s were played, which are {truth} words; history has {got}"

    run(work())


def test_a_voice_that_cuts_in_is_told_what_the_client_had_played(monkeypatch: pytest.MonkeyPatch) -> None:
    voice, rate = read_wav(QUESTION)
    voice = voice[: 2 * rate]  # "what time is it"

    async def work() -> None:
        allow()
        async with running(monkeypatch, hears="stop that right now please") as server:
            async with await client.connect(server.url, TOKEN) as connection:
                session = connection.session(delay=0.7)
                events, output = session.events(), session.raw_output()
                played: list[int] = []

                async def listen() -> None:
                    async for block in output:
                        played.append(block.size)

                listening = asyncio.create_task(listen())
                async with session:
                    await session.send_text("go")
                    while sum(played) < 1.0 * 24_000:
                        await asyncio.sleep(0.02)
                    cut = asyncio.create_task(until(events, tell.BargeIn))
                    for at in range(0, voice.size, rate // 10):
                        session.push_audio(voice[at : at + rate // 10], rate)
                        await asyncio.sleep(0.1)
                        if cut.done():
                            break
                    barge_in = await cut
                    heard = sum(played) / 24_000
                    truth = count_of(heard)
                    got = len(barge_in.heard_text.split())
                    assert abs(got - truth) <= 1, f"{heard:.2f} s, {truth} words were played; told were {got}"
                    assert LONG.startswith(barge_in.heard_text)
                    assert abs(barge_in.heard_ms / 1000 - heard) < 0.25
                    said = [one for one in await session.history() if isinstance(one, Said)][1]
                    assert said.text == barge_in.heard_text
                listening.cancel()

    run(work())


def count_of(seconds: float) -> int:
    """Words of `LONG` that have begun after so many seconds: the scripted voice says 15 characters a second."""
    begun, at = 0, 0
    for word in WORDS:
        begun += at / 15 <= seconds
        at += len(word) + 1
    return begun


def test_it_goes_on_by_itself_when_the_connection_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                session = connection.session()
                events, output = session.events(), session.raw_output()
                async with session:
                    await session.send_text("go")
                    blocks = 0
                    cuts = 0
                    finished = asyncio.create_task(until(events, tell.TurnEnd, who="assistant"))
                    total = 0
                    async for block in output:
                        blocks += 1
                        total += block.size
                        if blocks in (40, 110):
                            cuts += 1
                            connection._socket._response.connection.transport.abort()  # type: ignore[union-attr]  # noqa: SLF001
                        if finished.done():
                            break
                        if total >= len(LONG) / 15 * 24_000:
                            break
                    ended = await finished
                    assert (ended.reason, cuts) == ("finished", 2)
                    assert ended.dropped == 0
                    assert [said.text for said in await session.history() if isinstance(said, Said)] == ["go", LONG]

    run(work())


def test_when_the_server_has_forgotten_it_the_session_ends_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, grace_seconds=0.2) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                session = connection.session()
                events = session.events()
                await session.start()
                (seat,) = server.seats._taken  # noqa: SLF001
                session._key["resume_token"] = "x" * 43  # noqa: SLF001
                connection._socket._response.connection.transport.abort()  # type: ignore[union-attr]  # noqa: SLF001
                error = await until(events, tell.Error)
                assert (error.code, error.fatal) == ("session-state", True)
                assert await session.wait_ended() == "connection-lost"
                await session.stop()

    run(work())


def test_a_tool_of_the_client_runs_in_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    from locara.engines.contracts import ToolCall

    done: list[str] = []

    @tool
    def lamp(room: str) -> str:
        """Switches a lamp on."""
        done.append(room)
        return f"the lamp in the {room} is on"

    async def work() -> None:
        allow()
        replies = [[ToolCall("t1", "lamp", {"room": "hall"})], "Done."]
        async with running(monkeypatch, replies) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                session = connection.session(tools=[lamp])
                events = session.events()
                async with session:
                    await session.send_text("switch on the lamp")
                    result = await until(events, tell.ToolResult)
                    assert result.result == "the lamp in the hall is on"
                    assert (await until(events, tell.TurnEnd, who="assistant")).reason == "finished"

    run(work())
    assert done == ["hall"]


def test_errors_are_those_of_a_session_in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server:
            async with await client.connect(server.url, TOKEN) as connection:
                for options, kind, code in (
                    ({"manifest": MANIFEST}, LocaraError, "capability-denied"),
                    ({"manifest": "[app]\n"}, ManifestError, "bad-manifest"),
                    ({"patience": "quik"}, LocaraError, "bad-message"),
                    ({"llm": {"model": "x", "path": "/etc"}}, ConfigError, "bad-config"),
                ):
                    session = connection.session(**options)  # type: ignore[arg-type]
                    with pytest.raises(kind) as told:
                        await session.start()
                    assert told.value.code == code
                    assert told.value.hint
                with pytest.raises(ConfigError, match="cannot be read"):
                    connection.session(manifest=tmp_path / "nothing.toml")
            with pytest.raises(LocaraError) as refused:
                await client.connect(server.url, "wrong-token")
            assert refused.value.code == "unauthorized"
        with pytest.raises(client.ConnectionLost, match="no Locara server"):
            await client.connect(server.url, TOKEN)
        with pytest.raises(ConfigError):
            await client.connect("localhost", TOKEN)

    run(work())


def test_a_server_that_stops_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            connection = await client.connect(server.url, TOKEN)
            session = connection.session()
            events = session.events()
            await session.start()
            began = time.monotonic()
            await server.seats.close()
            ended = await until(events, tell.SessionEnd)
            assert ended.reason == "stopped"
            assert time.monotonic() - began < 15
            await session.stop()
            await connection.close()

    run(work())


