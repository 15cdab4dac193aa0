"""Several consumers of one session's events, and one that never reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from locara.testing import Conversation, Line, ScriptedVoice, play, run
from locara.voice import Session
from locara.voice.events import Event
from locara.voice.loop import EVENTS_WAITING

from .scenes import LONG, check_story, scene

TALK = Conversation([Line(0.5, "what time is it now"), Line(5.0, "and what day is it")], replies=["Noon.", "Sunday."])


def test_every_consumer_gets_every_event() -> None:
    others: list[list[Event]] = [[], []]

    async def collect(session: Session, into: list[Event]) -> None:
        async for event in session.events():
            into.append(event)

    tasks: list[asyncio.Task[None]] = []

    async def acts(session: Session) -> None:
        tasks.extend(asyncio.create_task(collect(session, one)) for one in others)
        await asyncio.sleep(60)

    result = play(TALK, acts=acts)
    check_story(result)
    assert all(one == result.events[1:] for one in others), "they came after session-start, and get all that follows"
    assert all(task.done() for task in tasks)


def test_a_consumer_that_leaves_takes_nothing_from_the_others() -> None:
    seen: list[Event] = []

    async def acts(session: Session) -> None:
        async for event in session.events():
            seen.append(event)
            if len(seen) == 5:
                return

    alone = play(TALK)
    result = play(TALK, acts=acts)
    assert len(seen) == 5
    assert result.events == alone.events


def test_a_consumer_that_never_reads_slows_nobody_and_is_told_what_it_lost() -> None:
    async def main() -> tuple[list[Event], list[Event]]:
        it = scene(
            [Line(0.5 + 11.0 * n, "tell me all about it") for n in range(4)], [LONG], tts=ScriptedVoice(chunk=0.01)
        )
        sleeping: AsyncIterator[Event] = it.session.events()
        it.collect()
        async with it.session:
            await asyncio.sleep(44.0)
        assert it.collecting is not None
        await it.collecting
        return it.events, [event async for event in sleeping]

    read, late = run(main())
    assert len(read) > EVENTS_WAITING
    assert not any(one.dropped for one in read)
    assert len([one for one in read if one.type == "turn-end"]) == 8
    assert len(late) == EVENTS_WAITING
    assert late[0].dropped == len(read) - len(late), "the next event it gets says so"
    assert not any(one.dropped for one in late[1:])
    for kind in ("session-start", "speech-start", "speech-end", "final-transcript", "turn-end", "session-end"):
        assert sum(one.type == kind for one in late) == sum(one.type == kind for one in read), f"{kind} is never lost"


def test_raw_streams_can_be_read_by_several_and_not_at_all() -> None:
    sizes: list[int] = [0, 0]

    async def acts(session: Session) -> None:
        async def count(number: int) -> None:
            async for block in session.raw_output():
                sizes[number] += block.size

        await asyncio.gather(count(0), count(1))

    result = play(TALK, acts=acts)
    assert sizes[0] == sizes[1]
    assert result.output.size - sizes[0] <= result.output_rate // 10


def test_events_asked_for_before_the_start_begin_with_the_start() -> None:
    async def main() -> list[str]:
        it = scene([Line(0.5, "what time is it now")], ["Noon."])
        it.collect()
        await asyncio.sleep(0)
        async with it.session:
            await asyncio.sleep(5.0)
        assert it.collecting is not None
        await it.collecting
        return [event.type for event in it.events]

    kinds = run(main())
    assert kinds[0] == "session-start"
    assert kinds[-1] == "session-end"


def test_events_asked_for_after_the_end_end_at_once() -> None:
    async def main() -> list[Event]:
        it = scene([], ["Noon."])
        async with it.session:
            await asyncio.sleep(0.5)
        async with asyncio.timeout(5):
            return [event async for event in it.session.events()]

    assert run(main()) == []
