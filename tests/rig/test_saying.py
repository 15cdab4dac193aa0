"""What an app has said: word for word, when the floor is free, with a handle that ends when it was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from locara.testing import Conversation, Line, Result, ScriptedModel, play
from locara.voice import Session
from locara.voice.history import Said

from .scenes import LONG, Voices, at_times, check_story


def _said(result: Result) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in result.history if isinstance(one, Said)]


def test_what_the_app_says_is_said_word_for_word_in_order_and_awaited() -> None:
    done: list[tuple[str, float]] = []

    async def acts(session: Session) -> None:
        clock = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        texts = ("The first thing.", "The second thing.", "The third thing.")
        for text, handle in [(text, session.say(text)) for text in texts]:
            await handle
            done.append((text, clock.time()))

    result = play(Conversation([], more=8.0), acts=acts)
    check_story(result)
    assert result.texts("llm-token") == ["The first thing.", "The second thing.", "The third thing."]
    assert [text for role, text in _said(result)] == ["The first thing.", "The second thing.", "The third thing."]
    assert {role for role, text in _said(result)} == {"assistant"}
    ends = [one.t for one in result.turn_ends("assistant")]
    assert [text for text, _ in done] == ["The first thing.", "The second thing.", "The third thing."]
    assert all(abs(when - end) <= 0.04 for (_, when), end in zip(done, ends, strict=True))
    assert not result.turn_ends("user")
    assert result.metrics["turns"] == 0


def test_what_the_app_says_waits_for_the_user() -> None:
    talk = Conversation([Line(0.5, "what time is it now")], replies=["It is noon."])
    result = play(talk, acts=at_times((1.0, lambda s: s.say("By the way, it rains."))))
    check_story(result)
    assert [one.turn for one in result.turn_ends("assistant")] == [0, 1]
    assert _said(result)[1:] == [("assistant", "It is noon."), ("assistant", "By the way, it rains.")]


def test_what_the_app_says_can_be_interrupted_and_the_handle_ends() -> None:
    ended: list[float] = []

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        await session.say(LONG)
        ended.append(asyncio.get_running_loop().time())

    talk = Conversation([Line(3.0, "stop please")], replies=["Fine."], more=4.0)
    model = ScriptedModel(["Fine."])
    result = play(talk, acts=acts, llm=model, tts=Voices())
    check_story(result)
    barge = result.of("barge-in")[0]
    assert abs(ended[0] - barge.t) <= 0.04
    assert LONG.startswith(barge.heard_text)
    assert 0 < len(barge.heard_text) < len(LONG)
    assert _said(result)[0] == ("assistant", barge.heard_text)
    assert model.asked[-1][-2].content.startswith(barge.heard_text)


def test_interrupt_ends_all_handles_also_of_what_was_never_begun() -> None:
    ended: list[str] = []

    async def one(session: Session, text: str) -> None:
        await session.say(text)
        ended.append(text)

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        waiting = [asyncio.create_task(one(session, text)) for text in (LONG, "Never.")]
        await asyncio.sleep(2.0)
        session.interrupt()
        await asyncio.sleep(1.0)
        session.say("Afterwards.")
        await asyncio.sleep(3.0)
        for task in waiting:
            task.cancel()

    result = play(Conversation([], more=8.0), acts=acts)
    check_story(result)
    assert result.texts("llm-token")[-1] == "Afterwards."
    assert "Never." not in "".join(result.texts("llm-token"))
    assert sorted(ended) == sorted([LONG, "Never."])


def test_each_handle_belongs_to_its_own_text_also_after_an_interrupt() -> None:
    when: dict[str, float] = {}

    async def one(session: Session, text: str) -> None:
        await session.say(text)
        when[text] = asyncio.get_running_loop().time()

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        tasks = [asyncio.create_task(one(session, "The first of them.")), asyncio.create_task(one(session, "Never."))]
        await asyncio.sleep(0.5)
        session.interrupt()
        await asyncio.sleep(0.5)
        tasks.append(asyncio.create_task(one(session, "The very last of them.")))
        await asyncio.sleep(4.0)
        for task in tasks:
            task.cancel()

    result = play(Conversation([], more=7.0), acts=acts)
    last = result.turn_ends("assistant")[-1].t
    assert when.get("The very last of them.") == pytest.approx(last, abs=0.04)


def test_too_many_things_to_say_are_refused_with_an_error_and_no_handle_hangs() -> None:
    ended: list[int] = []

    async def one(session: Session, number: int) -> None:
        await session.say(f"Number {number}.")
        ended.append(number)

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.1)
        tasks = [asyncio.create_task(one(session, number)) for number in range(20)]
        await asyncio.sleep(25.0)
        for task in tasks:
            task.cancel()

    result = play(Conversation([], more=27.0), acts=acts)
    check_story(result)
    errors = result.of("error")
    assert errors
    assert {one.code for one in errors} == {"too-many-sayings"}
    assert all(one.hint for one in errors)
    assert len(result.turn_ends("assistant")) + len(errors) == 20
    assert sorted(ended) == list(range(20))


class Announcing(ScriptedModel):
    """A model that has something to say by itself after half a second."""

    async def announcements(self) -> AsyncIterator[str]:
        """One text."""
        await asyncio.sleep(0.5)
        yield "Your timer rings, it has been ringing for a while."


def test_the_handle_of_a_text_does_not_end_with_an_announcement() -> None:
    when: list[float] = []

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.6)
        await session.say("By the way, it rains.")
        when.append(asyncio.get_running_loop().time())

    talk = Conversation([Line(0.3, "well then")], replies=["Well."], more=10.0)
    result = play(talk, acts=acts, llm=Announcing(["Well."]))
    check_story(result)
    tokens = [one for one in result.of("llm-token") if one.text == "By the way, it rains."]
    end = next(one for one in result.turn_ends("assistant") if one.turn == tokens[0].turn)
    assert when[0] == pytest.approx(end.t, abs=0.04)
