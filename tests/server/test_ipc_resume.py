"""A connection that drops in the middle of a reply: the conversation goes on from the exact sample, on another one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from locara.audio import Samples, from_pcm16, pcm16
from locara.client.frames import Frame

from .ipc_running import LONG, Raw, Running, allow, run, running

START = "voice.session_start"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


async def rendered(server: Running, into: list[Samples]) -> None:
    """Everything that the session renders, from the beginning of its stream."""
    (seat,) = server.seats._taken  # noqa: SLF001
    missing = seat.speaker.pulled
    into.append(np.zeros(missing, dtype=np.float32))
    async for block in seat.session.raw_output():
        into.append(block)


def key(started: dict[str, Any]) -> dict[str, Any]:
    return {"session": started["session"], "resume_token": started["resume_token"]}


def end(frames: list[Frame]) -> int:
    return frames[-1].end if frames else 0


def last_event(line: Raw) -> int:
    return max((one["seq"] for one in line.told if "seq" in one), default=0)


async def standing(server: Running) -> None:
    """Until the server has noticed that nobody is there."""
    (seat,) = server.seats._taken  # noqa: SLF001
    async with asyncio.timeout(10):
        while not seat.speaker.stands:
            await asyncio.sleep(0.01)


def test_a_reply_goes_on_from_the_exact_sample_after_two_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            whole: list[Samples] = []
            frames: list[Frame] = []
            events: list[dict[str, Any]] = []
            seq = 0
            async with server.line() as line:
                started = await line.ask(START, reports=False)
                recording = asyncio.create_task(rendered(server, whole))
                await line.ask("session.send_text", text="go")
                await line.until(lambda: len(line.sound) > 30)
                line.reset()
                await standing(server)
                frames += line.sound
                events += [one for one in line.told if "seq" in one]
                seq = last_event(line)
            for count in (20, 10_000):
                async with server.line() as line:
                    await asyncio.sleep(0.3)  # nothing may be rendered meanwhile
                    resumed = await line.ask("session.resume", **key(started), after=seq, received=end(frames))
                    assert resumed["missed"] == 0
                    assert resumed["output_at"] == end(frames), "the very next sample"
                    if count < 1000:
                        await line.until(lambda: len(line.sound) > count)
                        line.reset()
                        await standing(server)
                    else:
                        await line.until(lambda: any(one["reason"] == "finished" for one in line.events("turn-end")))
                        said = (await line.ask("session.history"))["history"]
                        assert [one["text"] for one in said] == ["go", LONG]
                        assert not said[-1]["interrupted"]
                        await line.ask("ping")
                    frames += line.sound
                    events += [one for one in line.told if "seq" in one]
                    seq = last_event(line) or seq
            recording.cancel()
            assert [one["seq"] for one in events] == list(range(1, len(events) + 1)), "no event lost or twice"
            at = 0
            played = np.zeros(end(frames), dtype=np.float32)
            for frame in frames:
                assert frame.at >= at, "no sample twice"
                played[frame.at : frame.end] = frame.samples
                at = frame.end
            truth = np.concatenate(whole)
            size = min(truth.size, played.size)  # the recording is a block or two behind
            assert np.count_nonzero(truth) > 24000 * 4
            assert not played[size:].any()
            played, truth = played[:size], truth[:size]
            np.testing.assert_array_equal(played, from_pcm16(pcm16(truth)))

    run(work())


def test_sound_that_was_on_its_way_is_sent_again_but_nothing_that_was_played(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            async with server.line() as line:
                started = await line.ask(START)
                await line.ask("session.send_text", text="go")
                await line.until(lambda: len(line.sound) > 20)
                there = line.sound[9].end + 7  # as if the rest was in the network when it died
                await line.tell("playback.ack", played_ms=line.sound[5].end / 24)
                await line.ask("ping")
                line.reset()
                await standing(server)
            async with server.line() as line:
                resumed = await line.ask("session.resume", **key(started), after=0, received=there)
                assert resumed["output_at"] == there
                await line.until(lambda: len(line.sound) > 5)
                assert line.sound[0].at == there
                assert all(one.at == two.end for two, one in zip(line.sound, line.sound[1:], strict=False))
                await line.until(lambda: line.events("session-start"))

    run(work())


def test_what_is_wrong_with_a_resume_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, grace_seconds=0.6) as server:
            async with server.line() as line, server.line() as other:
                started = await line.ask(START)
                pass_ = key(started)
                taken = await other.ask("session.resume", **pass_, after=0, received=0)
                assert taken["error"]["code"] == "session-taken", "its client is alive"
                assert taken["error"]["retry_after"] > 0
                line.reset()
                await standing(server)
                wrong = {**pass_, "resume_token": "x" * 43}
                assert (await other.ask("session.resume", **wrong, after=0, received=0))["error"]["code"] == "session-state"
                ahead = await other.ask("session.resume", **pass_, after=0, received=10**9)
                assert ahead["error"]["code"] == "bad-message"
                assert "seq" in await other.ask("session.resume", **pass_, after=0, received=0)
                twice = await other.ask("session.resume", **pass_, after=0, received=0)
                assert twice["error"]["code"] == "session-state", "it has one already"
                other.reset()
                await standing(server)
            async with server.line() as late:
                async with asyncio.timeout(10):
                    while server.seats.taken:
                        await asyncio.sleep(0.05)
                gone = await late.ask("session.resume", **pass_, after=0, received=0)
                assert gone["error"]["code"] == "session-state"
                assert "grace" in gone["error"]["hint"]

    run(work())


def test_a_silent_connection_gives_way_to_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line, server.line() as other:
            started = await line.ask(START)
            await asyncio.sleep(1.6)
            assert "seq" in await other.ask("session.resume", **key(started), after=0, received=0)
            await line.until(lambda: any("closing" in one for one in line.told))
            assert next(one["closing"]["reason"] for one in line.told if "closing" in one) == "resumed"
            await line.until(lambda: line.ws.closed)
            await other.ask("session.send_text", text="go")
            await other.until(lambda: other.sound)
            assert server.seats.taken == 1

    run(work())


def test_a_flush_that_was_lost_with_the_connection_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            async with server.line() as line:
                started = await line.ask(START)
                await line.ask("session.send_text", text="go")
                await line.until(lambda: len(line.sound) > 20)
                there = end(line.sound)
                await line.ask("session.interrupt")
                await line.event("turn-end", 2)
                line.reset()
                await standing(server)
            async with server.line() as line:
                await line.ask("session.resume", **key(started), after=0, received=there)
                await line.until(lambda: any(one.get("playback") == "flush" for one in line.told))
                await line.ask("ping")
                assert not line.sound

    run(work())


def test_a_reader_that_never_reads_is_closed_and_its_conversation_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, outgoing=64, grace_seconds=0.5) as server, server.line() as good:
            await good.ask(START)
            async with server.line() as line:
                await line.ask(START, audio_chunks=True, output_rate=48000)
                line.reading.cancel()
                line.ws._response.connection.transport.pause_reading()  # type: ignore[union-attr]  # noqa: SLF001
                for number in range(200):
                    await line.ws.send_str(
                        f'{{"id": {1000 + number}, "method": "models.list", "params": {{}}}}'
                    )
                async with asyncio.timeout(20):
                    while server.seats.taken > 1:
                        await asyncio.sleep(0.05)
            await good.ask("session.send_text", text="still served?")
            await good.event("final-transcript")

    run(work())
