"""The scripted model that hears and speaks does what its script says, in the time it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from locara.audio import silence
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    ToolResult,
    ToolWanted,
    TurnEnd,
    UserText,
)
from locara.engines.contracts import ToolCall
from locara.testing import Fault, ScriptedBackend, run
from locara.testing.clock import VirtualLoop


def _now() -> float:
    import asyncio

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.time()


async def _until_end(stream: Any, reply: int) -> list[BackendEvent]:
    events: list[BackendEvent] = []
    async for event in stream:
        events.append(event)
        if isinstance(event, ReplyEnded) and event.reply == reply:
            break
    return events


def _text(events: list[BackendEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, ReplyText))


def test_it_counts_what_it_hears_and_answers_in_order() -> None:
    async def main() -> list[str]:
        backend, texts = ScriptedBackend(["One two.", "Three."], delay=0.5), []
        session = await backend.start_session(BackendSettings())
        stream = backend.event_stream(session)
        await backend.push_audio(session, silence(100))
        await backend.push_audio(session, silence(20))
        assert backend.heard == 120
        for reply in range(3):
            began = _now()
            assert await backend.signal(session, TurnEnd(reply))
            events = await _until_end(stream, reply)
            assert _now() - began >= 0.5
            sound = sum(one.samples.size for one in events if isinstance(one, ReplyAudio))
            assert sound == pytest.approx(len(_text(events)) / 15 * backend.capabilities.output_rate, abs=5)
            texts.append(_text(events))
        assert [one.size for one in backend.turns] == [120, 0, 0]
        await backend.close()
        assert [one async for one in stream] == [Ended("stopped")]
        return texts

    assert run(main()) == ["One two.", "Three.", "Three."]


def test_what_was_revoked_is_heard_again_and_what_was_disregarded_is_not() -> None:
    async def main() -> list[int]:
        backend = ScriptedBackend(["One two."])
        session = await backend.start_session(BackendSettings())
        stream = backend.event_stream(session)
        for reply, n in ((0, 10), (1, 20)):
            await backend.push_audio(session, silence(n))
            await backend.signal(session, TurnEnd(reply))
            assert await backend.signal(session, Cancel(reply, revoke=True))
        assert not await backend.signal(session, Cancel(1))
        await backend.signal(session, TurnEnd(2))
        events = await _until_end(stream, 2)
        assert [one for one in events if isinstance(one, ReplyEnded)] == [
            ReplyEnded(0, "cancelled"),
            ReplyEnded(1, "cancelled"),
            ReplyEnded(2),
        ]
        await backend.push_audio(session, silence(7))
        await backend.signal(session, Disregard())
        await backend.signal(session, TurnEnd(3))
        await backend.close()
        return [int(one.size) for one in backend.turns]

    assert run(main()) == [10, 30, 30, 0]


def test_it_waits_for_a_tool_and_says_what_it_understood() -> None:
    call = ToolCall("1", "clock", {})

    async def main() -> None:
        backend = ScriptedBackend([("Let me see.", call, " Noon.")], understands=["what time is it"])
        session = await backend.start_session(BackendSettings())
        stream: Any = backend.event_stream(session)
        await backend.signal(session, TurnEnd(0))
        assert await anext(stream) == UserText("what time is it", final=True)
        async for event in stream:
            if isinstance(event, ToolWanted):
                assert event == ToolWanted(0, call)
                break
        assert await backend.signal(session, ToolResult(0, call, "noon"))
        assert not await backend.signal(session, ToolResult(0, call, "noon"))
        assert _text(await _until_end(stream, 0)) == " Noon."
        await backend.close()

    run(main())


def test_a_fault_in_an_answer_fails_that_reply_and_no_other() -> None:
    async def main() -> None:
        backend = ScriptedBackend(["One."], fault=Fault("raises", "answer"))
        session = await backend.start_session(BackendSettings())
        stream = backend.event_stream(session)
        await backend.signal(session, TurnEnd(0))
        failed, ended = await _until_end(stream, 0)
        assert isinstance(failed, BackendFailed)
        assert (failed.reply, failed.fatal) == (0, False)
        assert ended == ReplyEnded(0, "failed")
        await backend.signal(session, TurnEnd(1))
        assert _text(await _until_end(stream, 1)) == "One."
        await backend.close()

    run(main())


def test_the_same_script_gives_the_same_sound() -> None:
    async def main() -> np.ndarray[Any, Any]:
        backend = ScriptedBackend(["One two three."])
        session = await backend.start_session(BackendSettings())
        await backend.signal(session, TurnEnd(0))
        events = await _until_end(backend.event_stream(session), 0)
        await backend.close()
        return np.concatenate([one.samples for one in events if isinstance(one, ReplyAudio)])

    assert np.array_equal(run(main()), run(main()))
