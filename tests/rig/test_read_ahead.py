"""The prompt is read while the user speaks: the reply comes sooner, never later, and it is always the same reply."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from locara.engines.contracts import Message, Tool
from locara.testing import Conversation, Line, Noise, ReadingModel, Result, ScriptedModel, play
from locara.voice import Session, building
from locara.voice.history import HISTORY_CHARACTERS, INTERRUPTED

from .scenes import LONG, check_story

SYSTEM = "Answer in one sentence. " * 50
QUESTION = "what time does the early train to the coast leave on sunday mornings in the winter"
LINES = [Line(1.0, QUESTION), Line(12.0, "and when does it come back again")]


@pytest.fixture(autouse=True)
def _long_system_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an option of a stage that is named; the rig's engines are objects, so it is the default that is long."""
    monkeypatch.setattr(building, "SYSTEM", SYSTEM)


def converse(model: ScriptedModel) -> Result:
    result = play(Conversation(LINES), llm=model)
    check_story(result)
    return result


def waits(result: Result) -> list[float]:
    """Seconds that each turn waited for the first token, after its decision and its text."""
    return [round(one.latency.llm_first_token, 2) for one in result.turn_ends("user")]


def test_a_prompt_that_was_read_ahead_costs_the_turn_nothing() -> None:
    ahead, cold = ReadingModel(["At nine.", "At five."]), ReadingModel(["At nine.", "At five."], reads_ahead=False)
    fast, slow = converse(ahead), converse(cold)
    assert waits(slow)[0] > 1.5  # 200 words of system prompt, a hundred a second
    assert waits(fast) == [0.0, 0.0]
    for kind in ("final-transcript", "llm-token"):
        assert fast.texts(kind) == slow.texts(kind)
    assert fast.history == slow.history
    assert fast.metrics["read_ahead"] >= 3.0  # the system prompt, the first question's words, the second turn's history
    assert fast.metrics["read_ahead_seconds"] > 1.5
    assert slow.metrics["read_ahead"] == slow.metrics["read_ahead_seconds"] == 0.0


def test_what_is_read_ahead_is_a_beginning_of_what_the_reply_is_asked_with() -> None:
    model = ReadingModel(["At nine.", "At five."])
    converse(model)
    for turn in (0, 1):
        (asked,) = [one[3] for one in model.log if one[0] == "reply" and one[3][-1].content == LINES[turn].text]
        read = [one[3] for one in model.log if one[0] == "read" and len(one[3]) == len(asked)]
        assert read
        for messages in read:
            assert messages[:-1] == asked[:-1]
            assert messages[-1].content == "…" or asked[-1].content.startswith(messages[-1].content)
    assert any(one[3][-1].content not in ("…", QUESTION) and one[0] == "read" for one in model.log)


def test_nothing_is_read_ahead_while_a_reply_is_made() -> None:
    model = ReadingModel([LONG, LONG], words_per_second=40.0)
    talk = Conversation([LINES[0], Line(8.5, "stop that please now and tell me something quite different from this")])
    result = play(talk, llm=model)
    assert result.of("barge-in")
    cut = result.of("barge-in")[0].t
    replies = [(one.t, one.who) for one in result.of("turn-end")]
    began = [start for kind, start, _, _ in model.log if kind == "read"]
    heard = result.turn_ends("user")[0].t
    assert not [start for start in began if heard <= start < cut - 0.05], (began, replies)


def test_after_an_interruption_the_history_that_is_read_says_so() -> None:
    model = ReadingModel([LONG, "Fine."])
    talk = Conversation([LINES[0], Line(9.5, "stop that please now and tell me something quite different from this")])
    result = play(talk, llm=model)
    check_story(result)
    (asked,) = [one[3] for one in model.log if one[0] == "reply" and len(one[3]) > 2]
    read = [one[3] for one in model.log if one[0] == "read" and len(one[3]) > 2]
    assert asked[-2].content.endswith(INTERRUPTED)
    assert read
    assert all(messages[:-1] == asked[:-1] for messages in read)


class Faulty(ScriptedModel):
    """Answers well, and reads badly."""

    def __init__(self, how: str) -> None:
        super().__init__(["At nine.", "At five."])
        self.how = how

    async def read(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> bool:
        if self.how == "raises":
            raise RuntimeError("no")
        await asyncio.sleep(1e6)
        return True


@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_an_engine_that_reads_badly_changes_nothing_else(how: str) -> None:
    good, bad = converse(ScriptedModel(["At nine.", "At five."])), converse(Faulty(how))
    assert [one.type for one in bad.events] == [one.type for one in good.events]
    assert waits(bad) == waits(good)
    assert bad.metrics["errors"] == 0.0


def test_a_noise_reads_nothing_anew() -> None:
    model = ReadingModel()
    play(Conversation([Noise(1.0, 0.5), Noise(4.0, 0.5)], settings={"not_understood": None}), llm=model)
    assert len(model.log) == 1  # the system prompt and nothing else


def test_of_a_long_conversation_what_is_read_ahead_begins_as_the_reply_will() -> None:
    model = ReadingModel(["Noted."], words_per_second=1e6)

    async def acts(session: Session) -> None:
        for number in range(6):
            session.send_text(f"{number} " + "word " * (HISTORY_CHARACTERS // 15))
            await asyncio.sleep(2.0)

    play(Conversation([Line(14.0, "when does the early train leave")], more=4.0), llm=model, acts=acts)
    kinds = [kind for kind, *_ in model.log]
    *_, ahead = (messages for kind, *_, messages in model.log if kind == "read")
    *_, reply = (messages for kind, *_, messages in model.log if kind == "reply")
    assert "read" in kinds[-3:]
    assert ahead[:-1] == reply[:-1]
    assert sum(len(one.content) for one in reply) < 2 * HISTORY_CHARACTERS
