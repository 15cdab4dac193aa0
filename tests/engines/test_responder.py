"""The built-in responder as an engine: conversations, tools, timers on the loop's clock, and its bounds."""

from __future__ import annotations

import asyncio
import json
import re
import selectors
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import pytest

from locara.engines.contracts import Announces, BringsTools, Message, ToolCall
from locara.engines.responder import Responder, create
from locara.errors import ConfigError, EngineFailed, SessionError

T = TypeVar("T")
NOW = datetime(2025, 6, 3, 14, 10)  # a Tuesday


class Jumping(selectors.DefaultSelector):
    """Waits nowhere: the loop's clock jumps to the next timer."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose ``time()`` is what its timers have waited."""

    def __init__(self) -> None:
        self.selector = Jumping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.jumped


def run(conversation: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(asyncio.wait_for(conversation, 10 * 86400))


class Talk:
    """A conversation with the responder, its tools run as a session runs them once a turn is committed."""

    def __init__(self, engine: Responder) -> None:
        self.engine = engine
        self.messages: list[Message] = [Message("system", "Answer in one sentence.")]
        self.calls: list[ToolCall] = []

    async def pieces(self) -> list[str | ToolCall]:
        return [piece async for piece in self.engine.reply(self.messages, self.engine.tools)]

    async def __call__(self, text: str) -> str:
        self.messages.append(Message("user", text))
        pieces = await self.pieces()
        if pieces and isinstance(pieces[0], ToolCall):
            call = pieces[0]
            assert len(pieces) == 1
            self.calls.append(call)
            tool = next(tool for tool in self.engine.tools if tool.name == call.name)
            assert tool.side_effects
            result = json.dumps(tool.run(**call.arguments))
            self.messages += [Message("assistant", "", (call,)), Message("tool", result, tool_call_id=call.id)]
            pieces = await self.pieces()
        said = "".join(cast("list[str]", pieces))
        self.messages.append(Message("assistant", said))
        return said


@asynccontextmanager
async def talking() -> AsyncIterator[Talk]:
    engine = create("built-in", {"now": lambda: NOW, "system": "be brief"})
    assert isinstance(engine, Responder)
    await engine.load()
    try:
        yield Talk(engine)
    finally:
        await engine.close()


def conversation(*said: str) -> list[str]:
    async def talk() -> list[str]:
        async with talking() as say:
            return [await say(one) for one in said]

    return run(talk())


def test_only_its_own_name_makes_it() -> None:
    assert create("qwen2.5-3b-instruct-q4", {"temperature": 1}) is None
    engine = create("built-in", {})
    assert isinstance(engine, BringsTools)
    assert isinstance(engine, Announces)
    assert "no language model" in engine.info.note
    assert "English only" in engine.info.note
    assert engine.info.where == "this process"


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        create("built-in", {"temperature": 1})
    with pytest.raises(ConfigError, match="now"):
        create("built-in", {"now": "noon"})


def test_time_date_and_sums() -> None:
    said = conversation(
        "What time is it?",
        "one time is at",
        "what day is it",
        "what's tomorrow's date",
        "half of ninety",
        "ten divided by zero",
    )
    assert said[:2] == ["It's ten past two."] * 2
    assert said[2] == "It's Tuesday, June third, 2025."
    assert said[3] == "Tomorrow is Wednesday, June fourth, 2025."
    assert said[4].startswith("That's 45,")
    assert "nothing can be divided by zero" in said[5]


def test_units_that_do_not_measure_the_same_are_refused() -> None:
    said = conversation("convert five pounds to kilograms", "convert five pounds to meters", "how many ounces in a cup")
    assert said == [
        "That's about 2.268 kilograms, for 5 pounds.",
        "That doesn't work, pounds and meters measure different things.",
        "That's 8 fluid ounces, for 1 cup.",
    ]


def test_it_says_honestly_what_it_is_and_shorter_the_second_time() -> None:
    first, second, who = conversation("can i get a large latte", "tell me a joke", "who are you")
    assert "can i get a large latte" in first
    assert "without a language model" in first
    assert "set timers" in first
    assert "tell me a joke" in second
    assert len(second) < len(first) / 2
    assert "without a language model" in who


def test_nothing_heard_is_no_wish() -> None:
    assert conversation("...", "") == ["Sorry, I didn't catch that."] * 2


def test_it_says_again_what_it_said_and_what_it_is_told_to() -> None:
    assert conversation("say that again", "what time is it", "say that again", "repeat after me the quick brown fox") == [
        "I haven't said anything yet.", "It's ten past two.", "It's ten past two.", "The quick brown fox.",
    ]  # fmt: skip


def test_it_remembers_and_recalls() -> None:
    said = conversation(
        "what did i tell you", "where is my bike", "remember that my bike is in the garage", "where's my bike?",
        "remember my bike is in the kitchen", "where is my bike", "remember i'm allergic to nuts", "what did i tell you",
        "where are my keys", "what is the date of the party", "remember that the date of the party is june third",
        "what is the date of the party",
    )  # fmt: skip
    assert said[0].startswith("Nothing yet")
    assert "You haven't told me" in said[1]
    assert said[2] == "Got it. Your bike is in the garage."
    assert said[3] == "Your bike is in the garage."
    assert said[5] == "Your bike is in the kitchen."
    assert said[7] == "You told me this: Your bike is in the kitchen. You are allergic to nuts."
    assert "You haven't told me" in said[8]
    assert "party" not in said[9] or "can't answer" in said[9]
    assert said[11] == "The date of the party is june third."


def test_a_reply_changes_nothing_until_its_tool_is_run() -> None:
    async def speculate() -> None:
        async with talking() as say:
            for text in ("set a timer for five minutes", "remember that my bike is red"):
                say.messages.append(Message("user", text))
                for _ in range(3):
                    (call,) = await say.pieces()
                    assert isinstance(call, ToolCall)
            assert await say("what timers do i have") == "There's no timer running."
            assert (await say("what did i tell you")).startswith("Nothing yet")

    run(speculate())


def test_timers_are_set_asked_about_and_cancelled() -> None:
    async def cook() -> None:
        async with talking() as say:
            assert await say("cancel the timer") == "There's no timer running."
            assert await say("set a timer") == "For how long?"
            assert await say("five minutes") == "Five minutes, starting now."
            assert await say("set a pasta timer for eleven minutes") == "Pasta timer, eleven minutes, starting now."
            await asyncio.sleep(50)
            assert await say("how long is left on the pasta timer") == "Ten minutes and ten seconds left."
            assert (await say("what timers do i have")).startswith(
                "You have a five minute timer with four minutes and ten seconds"
            )
            assert (await say("cancel the timer")).startswith(
                "Which one? You have a five minute timer and a pasta timer"
            )
            assert await say("the pasta one") == "Cancelled. The pasta timer is off."
            assert (await say("cancel the seven minute timer")).startswith("There's no such timer.")
            assert await say("cancel the timer") == "Cancelled. The five minute timer is off."
            assert await say("how much time is left") == "There's no timer running."

    run(cook())


def test_timers_ring_in_order_at_their_time() -> None:
    async def wait() -> list[tuple[float, str]]:
        async with talking() as say:
            loop = asyncio.get_running_loop()
            rung: list[tuple[float, str]] = []

            def note(text: str) -> None:
                rung.append((loop.time(), text))

            async def listen() -> None:
                async for text in say.engine.announcements():
                    note(text)

            listening = asyncio.create_task(listen())
            await asyncio.sleep(1)
            for text in (
                "set a timer for five minutes",
                "set a timer for thirty seconds",
                "remind me to call my mum in two minutes",
            ):
                await say(text)
            await say("set a pasta timer for one minute")
            await say("cancel the pasta timer")
            await asyncio.sleep(3600)
            await say.engine.close()
            await asyncio.wait_for(listening, 1)
        return rung

    assert run(wait()) == [
        (31.0, "Your thirty second timer is done."),
        (121.0, "Reminder: call your mum."),
        (301.0, "Your five minute timer is done."),
    ]


def test_a_tool_may_run_on_another_thread() -> None:
    async def wait() -> str:
        async with talking() as say:
            announced = say.engine.announcements()
            first = asyncio.ensure_future(anext(announced))
            await asyncio.sleep(0.01)
            thread = threading.Thread(target=say.engine.tools[0].run, kwargs={"seconds": 1})
            thread.start()
            thread.join(5)
            return await asyncio.wait_for(first, 5)

    assert asyncio.run(wait()) == "Your one second timer is done."


def test_close_ends_everything_and_may_come_twice() -> None:
    async def end() -> set[asyncio.Task[Any]]:
        async with talking() as say:
            await say("set a timer for an hour")
            listening = asyncio.create_task(anext(say.engine.announcements(), None))
            await asyncio.sleep(1)
            await say.engine.close()
            await say.engine.close()
            assert await asyncio.wait_for(listening, 1) is None
            with pytest.raises(SessionError, match="closed"):
                await say("hello")
            with pytest.raises(SessionError):
                say.engine.tools[0].run(seconds=5)
        return asyncio.all_tasks() - {asyncio.current_task()}

    left = run(end())
    assert all("wait_for" in repr(task) for task in left)


def test_it_must_be_loaded_first_and_a_broken_clock_is_told() -> None:
    async def unloaded() -> None:
        async for _ in Responder().reply([Message("user", "hello")]):
            pass

    with pytest.raises(SessionError, match="not loaded"):
        asyncio.run(unloaded())
    with pytest.raises(EngineFailed, match="first reply") as failed:
        asyncio.run(Responder(lambda: cast("datetime", None)).load())
    assert failed.value.hint


def test_timers_and_memory_are_bounded() -> None:
    async def fill() -> None:
        async with talking() as say:
            assert "24 hours" in await say("set a timer for thirty hours")
            assert "too short" in await say("set a timer for zero seconds")
            for _ in range(20):
                assert "starting now" in await say("set a timer for one hour")
            assert "one too many" in await say("set a timer for one hour")
            set_timer, cancel_timer, remember = (tool.run for tool in say.engine.tools)
            assert not set_timer(seconds=60)["ok"]
            assert await say("cancel all timers") == "Cancelled. All twenty timers are off."
            for wrong in (0, -1, 86_401, float("nan"), float("inf"), "ten", True):
                assert not set_timer(seconds=wrong)["ok"]
            assert cancel_timer(ids=[99, "1"]) == {"ok": True, "cancelled": []}
            assert not cancel_timer(ids="1")["ok"]
            for place in range(100):
                assert remember(text=f"thing number {place} is here")["ok"]
            assert "100 things" in await say("remember that the key is under the mat")
            assert not remember(text="x" * 301)["ok"]
            assert not remember(text="  ")["ok"]
            assert "too long" in await say("remember that " + "my bike is red and " * 30)

    run(fill())


def test_a_timer_that_rang_before_it_was_cancelled_is_not_said_to_be_cancelled() -> None:
    async def race() -> str:
        async with talking() as say:
            await say("set a timer for one second")
            say.messages.append(Message("user", "cancel the timer"))
            (call,) = await say.pieces()
            assert isinstance(call, ToolCall)
            await asyncio.sleep(2)
            await anext(say.engine.announcements())
            result = json.dumps(say.engine.tools[1].run(**call.arguments))
            say.messages += [Message("assistant", "", (call,)), Message("tool", result, tool_call_id=call.id)]
            return "".join(cast("list[str]", await say.pieces()))

    assert run(race()) == "It had already rung."


@pytest.mark.parametrize("content", ["not json", "null", '{"ok": false}', "[1]"])
def test_a_failed_tool_is_not_told_as_a_success(content: str) -> None:
    async def fail() -> str:
        async with talking() as say:
            call = ToolCall("1", "set_timer", {"seconds": 5})
            say.messages += [
                Message("user", "x"),
                Message("assistant", "", (call,)),
                Message("tool", content, tool_call_id="1"),
            ]
            return "".join(cast("list[str]", await say.pieces()))

    assert run(fail()) == "Sorry, that did not work."


def test_replies_come_in_words_and_begin_with_a_short_clause() -> None:
    async def talk() -> None:
        async with talking() as say:
            for text in (
                "what time is it", "what day is it", "half of ninety", "convert ten miles to kilometers",
                "set a timer for an hour and a half", "remember that my bike is in the garage", "where is my bike",
                "how much time is left", "what did i tell you", "who are you", "hello", "thanks", "goodbye",
                "can i get a large latte", "cancel the timer", "five divided by zero",
            ):  # fmt: skip
                reply = await say(text)
                first = re.split(r"[,.:;?!](?:\s|$)", reply)[0]
                assert len(first.split()) <= 8, reply
                assert reply[-1] in ".?!"
                assert not re.search(r"[*_#`/+=<>{}\[\]()|~^]|  ", reply), reply
            say.messages.append(Message("user", "who are you"))
            pieces = await say.pieces()
            assert len(pieces) > 5
            assert all(len(str(piece).split()) == 1 for piece in pieces)

    run(talk())


@pytest.mark.parametrize(
    "text", ["- " * 1000, "(" * 2000, "remind me in " + "- " * 900, "half of " * 300, "minus " * 300]
)
def test_odd_long_text_is_answered(text: str) -> None:
    assert conversation("set a timer", text)[1].startswith("Sorry")


def test_long_text_is_answered_and_said_back_only_in_part() -> None:
    (reply,) = conversation("blah " * 5000)
    assert "and so on" in reply
    assert len(reply.split()) < 60
