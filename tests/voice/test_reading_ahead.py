"""When the prompt is read ahead, and what of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from locara.engines.contracts import Message, Tool
from locara.testing import ReadingModel, ScriptedModel, run
from locara.voice.evidence import words_of
from locara.voice.reading_ahead import NEW_WORDS, PLACEHOLDER, TRIES, ReadingAhead, stable_words, worth_reading

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
SYSTEM = Message("system", "Be " + "very " * 40 + "brief.")


def of(count: int) -> str:
    return " ".join(WORDS[:count])


def test_the_stable_words_are_those_that_two_partials_agree_on() -> None:
    assert stable_words("what is the", "what is the time") == "what is the"
    assert stable_words("what is a", "what is the time") == "what is"
    assert stable_words("", "what") == ""
    assert stable_words("What's the", "what’s the time") == "what’s the"


@given(st.lists(st.sampled_from(WORDS)), st.lists(st.sampled_from(WORDS)))
def test_stable_words_are_a_beginning_of_both(before: list[str], now: list[str]) -> None:
    stable = stable_words(" ".join(before), " ".join(now))
    count = len(stable.split())
    assert stable.split() == now[:count]
    assert words_of(stable) == words_of(" ".join(before[:count]))
    assert count == min(len(before), len(now)) or before[count] != now[count]


def test_a_few_new_words_are_not_worth_a_request_and_words_taken_back_are_not_new() -> None:
    assert not worth_reading(PLACEHOLDER, of(NEW_WORDS - 1))
    assert worth_reading(PLACEHOLDER, of(NEW_WORDS))
    assert not worth_reading(of(NEW_WORDS), of(2 * NEW_WORDS - 1))
    assert not worth_reading(of(NEW_WORDS), of(NEW_WORDS - 2))
    assert worth_reading("some other words", of(NEW_WORDS))


def reading(
    llm: Any, use: Callable[[ReadingAhead], Coroutine[Any, Any, None]], history: Sequence[Message] = ()
) -> ReadingAhead:
    """Uses it in virtual time, and returns it."""

    async def main() -> ReadingAhead:
        ahead = ReadingAhead(llm, (), SYSTEM.content, lambda: history, deadline=5.0)
        await use(ahead)
        await ahead.close()
        return ahead

    return run(main())


def prompts(model: ReadingModel) -> list[str]:
    """The user's words of each prompt that was read ahead."""
    return [messages[-1].content for kind, _, _, messages in model.log if kind == "read"]


def test_the_history_is_read_when_a_turn_begins_and_not_again_while_it_stays_the_same() -> None:
    model = ReadingModel()
    history = [Message("user", "hello"), Message("assistant", "Hi.")]

    async def use(ahead: ReadingAhead) -> None:
        for _ in range(3):
            ahead.begins()
            await asyncio.sleep(2.0)
        history.append(Message("user", "more"))
        ahead.begins()
        await asyncio.sleep(2.0)

    ahead = reading(model, use, history)
    assert [messages for _, _, _, messages in model.log] == [
        (SYSTEM, *history[:2], Message("user", PLACEHOLDER)),
        (SYSTEM, *history, Message("user", PLACEHOLDER)),
    ]
    assert ahead.requests == 2
    assert 0.4 < ahead.seconds < 0.6  # of 45 and 5 words, a hundred a second


def test_of_what_is_wanted_while_one_is_read_only_the_newest_is_read() -> None:
    model = ReadingModel(words_per_second=20.0)

    async def use(ahead: ReadingAhead) -> None:
        ahead.begins()
        await asyncio.sleep(3.0)
        for count in (9, 10, 16, 16):
            ahead.heard(of(count))
            ahead.heard(of(count))
            await asyncio.sleep(0.01)
        await asyncio.sleep(5.0)

    reading(model, use)
    assert prompts(model) == [PLACEHOLDER, of(9)]  # seven more were not worth it
    assert all(first[2] <= second[1] for first, second in zip(model.log, model.log[1:], strict=False))


def test_a_request_is_stopped_when_the_reply_is_asked_and_what_was_waiting_is_forgotten() -> None:
    model = ReadingModel(words_per_second=1.0)

    async def use(ahead: ReadingAhead) -> None:
        ahead.begins()
        await asyncio.sleep(1.0)
        ahead.asked("what time is it")
        await asyncio.sleep(100.0)

    ahead = reading(model, use)
    assert [(kind, round(end - start, 2)) for kind, start, end, _ in model.log] == [("read", 1.0)]
    assert (ahead.requests, round(ahead.seconds, 2)) == (1, 1.0)


def test_a_quick_model_gets_only_the_history() -> None:
    model = ReadingModel(words_per_second=10_000.0)

    async def use(ahead: ReadingAhead) -> None:
        ahead.begins()
        await asyncio.sleep(1.0)
        ahead.heard(of(16))
        ahead.heard(of(16))
        await asyncio.sleep(1.0)

    reading(model, use)
    assert prompts(model) == [PLACEHOLDER]


class Refusing(ScriptedModel):
    """Counts, and does not read: it says so, raises or hangs."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.times = 0

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        self.times += 1
        if self.how == "raises":
            raise RuntimeError("no")
        await asyncio.sleep(1e6 if self.how == "hangs" else 0.0)
        return False


def test_an_engine_that_does_not_read_is_left_alone_after_a_few_times() -> None:
    for how in ("refuses", "raises", "hangs"):
        model = Refusing(how)
        history: list[Message] = []

        async def use(ahead: ReadingAhead, history: list[Message] = history) -> None:
            for number in range(6):
                history.append(Message("user", str(number)))
                ahead.begins()
                await asyncio.sleep(10.0)

        ahead = reading(model, use, history)
        assert model.times == TRIES
        assert (ahead.requests, ahead.seconds) == (0, 0.0)


def test_a_model_that_cannot_read_ahead_is_never_asked() -> None:
    async def use(ahead: ReadingAhead) -> None:
        ahead.begins()
        ahead.heard(of(16))
        ahead.asked(of(16))

    assert reading(ScriptedModel(), use).requests == 0
