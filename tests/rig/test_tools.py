"""Tools in a conversation: when they run, what comes back, what is told and remembered."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from locara import voice
from locara.engines.contracts import ToolCall
from locara.testing import Conversation, Line, Result, ScriptedModel, play
from locara.voice.history import Used

from .scenes import check_story, names

ASK = Line(0.5, "what time is it now")
END = ASK.end


def _talk(
    function: Any,
    *,
    lines: Sequence[Line] = (ASK,),
    before: str = "",
    arguments: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Conversation:
    call = ToolCall("call-1", function.__name__, arguments or {})
    first: list[str | ToolCall] = [before, call] if before else [call]
    return Conversation(lines, replies=[first, "It is noon."], settings={"tools": [function], **settings})


def _call(function: Any, **options: Any) -> Result:
    result = play(_talk(function, **options))
    check_story(result)
    return result


def _texts(result: Result) -> str:
    return "".join(result.texts("llm-token"))


def plain(city: str = "here") -> dict[str, str]:
    """The time in a city."""
    return {"time": "12:00", "city": city}


async def waiting(city: str = "here") -> dict[str, str]:
    """The same, later."""
    await asyncio.sleep(0.4)
    return {"time": "12:00", "city": city}


@pytest.mark.parametrize("function", [plain, waiting])
def test_a_tool_is_called_with_its_arguments_and_its_result_is_told(function: Any) -> None:
    result = _call(function, arguments={"city": "Rome"})
    call, answer = result.of("tool-call", "tool-result")
    assert (call.name, call.arguments) == (function.__name__, {"city": "Rome"})
    assert (answer.result, answer.interrupted) == ({"time": "12:00", "city": "Rome"}, False)
    assert _texts(result) == "It is noon."
    used = [one for one in result.history if isinstance(one, Used)]
    assert [(one.call.name, one.result) for one in used] == [(function.__name__, {"time": "12:00", "city": "Rome"})]
    kinds = [
        kind for kind in names(result.events) if kind in ("final-transcript", "tool-call", "tool-result", "llm-token")
    ]
    assert kinds[:3] == ["final-transcript", "tool-call", "tool-result"]


def test_the_model_gets_the_result() -> None:
    model = ScriptedModel([[ToolCall("call-1", "plain", {})], "It is noon."])
    play(_talk(plain), llm=model)
    assert len(model.asked) == 2
    assert [one.role for one in model.asked[1][-2:]] == ["assistant", "tool"]
    assert json.loads(model.asked[1][-1].content) == {"time": "12:00", "city": "here"}
    assert model.asked[1][-1].tool_call_id == "call-1"


def test_a_tool_that_raises_is_a_result_too() -> None:
    def broken() -> str:
        """It breaks."""
        raise ValueError("the oven is cold")

    result = _call(broken)
    assert "the oven is cold" in result.of("tool-result")[0].result["error"]
    assert _texts(result) == "It is noon."
    assert not result.of("error")


def test_a_tool_that_takes_too_long_is_given_up() -> None:
    async def endless() -> str:
        """It never ends."""
        await asyncio.sleep(1e6)
        return ""

    result = _call(endless, deadlines=voice.Deadlines(tool=1.0))
    call, answer = result.of("tool-call", "tool-result")
    assert "endless" in answer.result["error"]
    assert answer.t - call.t == pytest.approx(1.0, abs=0.05)
    assert _texts(result) == "It is noon."


def test_a_tool_that_is_not_there_or_gets_wrong_arguments_is_told_to_the_model() -> None:
    wrong = _call(plain, arguments={"town": "Rome"})
    assert "town" in wrong.of("tool-result")[0].result["error"]
    model = ScriptedModel([[ToolCall("call-1", "fancy", {})], "It is noon."])
    missing = play(_talk(plain), llm=model)
    check_story(missing)
    assert "fancy" in model.asked[1][-1].content
    assert _texts(missing) == "It is noon."


def test_a_tool_that_only_looks_runs_before_the_turn_is_decided_and_is_told_after() -> None:
    ran: list[float] = []

    async def look() -> str:
        """It looks."""
        ran.append(asyncio.get_running_loop().time())
        return "12:00"

    result = _call(voice.tool(side_effects=False)(look))
    assert len(ran) == 1
    assert END < ran[0] < END + 0.45, "while the pause is still being waited for"
    assert result.of("tool-call")[0].t >= result.of("final-transcript")[0].t > ran[0]


def test_a_tool_with_side_effects_runs_only_after_the_final_transcript() -> None:
    ran: list[float] = []

    async def act() -> str:
        """It acts."""
        ran.append(asyncio.get_running_loop().time())
        return "done"

    result = _call(act)
    assert len(ran) == 1
    assert ran[0] >= result.of("final-transcript")[0].t
    assert result.of("final-transcript")[0].t <= END + 0.5


def test_a_tool_never_acts_for_a_turn_that_goes_on() -> None:
    ran: list[float] = []

    async def act() -> str:
        """It acts."""
        ran.append(asyncio.get_running_loop().time())
        return "done"

    lines = (Line(0.5, "turn the lights off"), Line(0.5 + 19 / 14 + 0.4, "in the kitchen only please"))
    result = _call(act, lines=lines)
    assert result.metrics["wasted"] == 1.0
    assert result.texts("final-transcript") == ["turn the lights off in the kitchen only please"]
    assert len(ran) == 1
    assert ran[0] >= result.of("final-transcript")[0].t


def test_a_looking_tool_of_a_turn_that_goes_on_is_not_told_twice() -> None:
    ran: list[int] = []

    async def look() -> str:
        """It looks."""
        ran.append(len(ran))
        return "12:00"

    lines = (Line(0.5, "turn the lights off"), Line(0.5 + 19 / 14 + 0.4, "in the kitchen only please"))
    result = _call(voice.tool(side_effects=False)(look), lines=lines)
    assert len(ran) == 2
    told = [one for one in result.of("tool-result") if not one.interrupted]
    assert len(told) == 1
    assert len(result.of("tool-call")) == len(result.of("tool-result"))


def test_the_result_of_an_interrupted_tool_is_still_told_and_remembered() -> None:
    async def slow() -> str:
        """It takes three seconds."""
        await asyncio.sleep(3.0)
        return "the cake is baked"

    lines = (ASK, Line(3.6, "stop please now"))
    talk = Conversation(
        lines,
        replies=[["Let me see what the oven says about it today. ", ToolCall("call-1", "slow", {})], "Fine.", "Fine."],
        settings={"tools": [slow]},
    )
    result = play(talk)
    check_story(result)
    assert result.turn_ends("assistant")[0].reason == "interrupted"
    answer = result.of("tool-result")[0]
    assert (answer.result, answer.interrupted, answer.turn) == ("the cake is baked", True, 0)
    used = [one for one in result.history if isinstance(one, Used)]
    assert [one.result for one in used] == ["the cake is baked"]


def test_what_the_model_says_before_its_tool_is_heard_while_it_runs() -> None:
    result = _call(waiting, before="Let me look at the clock for you. ")
    answer = result.of("tool-result")[0]
    assert _texts(result) == "Let me look at the clock for you. It is noon."
    heard = [one.t for one in result.of("audio-chunk") if one.text.strip()]
    assert heard[0] < answer.t


def test_a_plain_function_runs_in_a_thread_and_the_sound_goes_on() -> None:
    threads: list[str] = []

    def blocking() -> str:
        """It blocks for real."""
        threads.append(threading.current_thread().name)
        time.sleep(0.3)
        return "done"

    result = _call(blocking, before="Let me look at the clock for you. ")
    assert threads[0] != threading.main_thread().name
    assert result.of("tool-result")[0].result == "done"
    assert result.metrics["slowest_step"] < 0.25


def test_a_model_that_only_calls_tools_is_stopped() -> None:
    model = ScriptedModel([[ToolCall("call-1", "plain", {})]])
    result = play(_talk(plain), llm=model)
    check_story(result)
    assert len(model.asked) <= 10
    assert [one.stage for one in result.of("error")] == ["llm"]
    assert len(result.turn_ends("assistant")) == 1


def test_a_result_that_is_not_json_reaches_the_model_as_text() -> None:
    def odd() -> Any:
        """It gives an object."""
        return {1, 2}

    model = ScriptedModel([[ToolCall("call-1", "odd", {})], "It is noon."])
    result = play(_talk(odd), llm=model)
    check_story(result)
    assert "1" in model.asked[1][-1].content
    assert not result.of("error")


def test_a_tool_may_take_longer_than_a_reply_may_stall() -> None:
    """A person answers in it: half a minute, and the reply goes on."""

    async def ask_somebody() -> str:
        """Asks somebody."""
        await asyncio.sleep(30.0)
        return "yes"

    calls: list[list[str | ToolCall]] = [[ToolCall("1", "ask_somebody", {})], ["They said yes."]]
    result = play(Conversation([Line(1.0, "ask them please")], calls, settings={"tools": [ask_somebody]}))

    assert not result.of("error")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert "They said yes." in "".join(result.texts("llm-token"))
