"""Tools: what the model is told of a function, what is refused, and what becomes of a call."""

from __future__ import annotations

import asyncio
import enum
import functools
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Optional

import pytest

from locara import testing
from locara.engines.contracts import Tool
from locara.errors import ConfigError
from locara.voice.tools import as_tool, run, tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def lamp(
    name: str,
    level: int,
    share: float,
    on: bool = True,
    colour: Colour = Colour.RED,
    mode: Literal["slow", "fast"] = "slow",
    rooms: list[str] | None = None,
    note: Optional[str] = None,  # noqa: UP045 -- the old spelling is what many apps have
    pairs: Sequence[list[int]] = (),
    more: Mapping[str, Any] | None = None,
    rest: dict = {},  # type: ignore[type-arg]  # noqa: B006
) -> str:
    """Sets a lamp.

    In any colour.
    """
    return f"{name} {level} {share} {on} {colour} {mode} {rooms} {note} {pairs} {more} {rest}"


def test_the_model_sees_name_docstring_and_types() -> None:
    made = as_tool(lamp)
    assert (made.name, made.description) == ("lamp", "Sets a lamp.\n\nIn any colour.")
    assert made.side_effects is True
    assert made.parameters == {
        "type": "object",
        "required": ["name", "level", "share"],
        "properties": {
            "name": {"type": "string"},
            "level": {"type": "integer"},
            "share": {"type": "number"},
            "on": {"type": "boolean"},
            "colour": {"enum": ["red", "blue"]},
            "mode": {"enum": ["slow", "fast"]},
            "rooms": {"type": "array", "items": {"type": "string"}},
            "note": {"type": "string"},
            "pairs": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            "more": {"type": "object"},
            "rest": {"type": "object"},
        },
    }


def test_a_parameter_without_a_type_is_text() -> None:
    def note(text) -> None: ...  # type: ignore[no-untyped-def]

    assert as_tool(note).parameters["properties"] == {"text": {"type": "string"}}


def test_without_a_docstring_the_name_describes_it() -> None:
    def open_the_door() -> None: ...

    assert as_tool(open_the_door).description == "open the door"
    assert as_tool(open_the_door).parameters == {"type": "object", "properties": {}, "required": []}


def test_a_tool_says_whether_it_acts() -> None:
    @tool
    def acts() -> None: ...

    @tool(side_effects=False)
    def looks() -> None: ...

    assert as_tool(acts).side_effects is True
    assert as_tool(looks).side_effects is False


def test_a_method_is_a_tool_without_its_self() -> None:
    class House:
        @tool(side_effects=False)
        def rooms(self, floor: int) -> int:
            return floor + 3

    made = as_tool(House().rooms)
    assert made.parameters["required"] == ["floor"]
    assert made.side_effects is False
    assert asyncio.run(run(made, {"floor": 1}, 5)) == 4


def test_a_ready_tool_is_taken_as_it_is() -> None:
    ready = Tool("x", "y", {}, print)
    assert as_tool(ready) is ready


def with_rest(*rest: int) -> None: ...
def with_names(**names: int) -> None: ...
def by_place(one: int, /) -> None: ...
def with_set(ones: set[int]) -> None: ...
def with_object(one: threading.Thread) -> None: ...
def with_either(one: int | str) -> None: ...
def with_bare_list(ones: list) -> None: ...  # type: ignore[type-arg]


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (with_rest, "rest"),
        (with_names, "names"),
        (by_place, "one"),
        (with_set, "with_set\\(ones\\)"),
        (with_object, "with_object\\(one\\)"),
        (with_either, "with_either\\(one\\)"),
        (with_bare_list, "with_bare_list\\(ones\\)"),
        (lambda: None, "lambda"),
        (functools.partial(lamp, "x"), "partial"),
        (3, "3"),
    ],
)
def test_what_cannot_be_described_is_refused_with_a_hint(function: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        as_tool(function)
    assert caught.value.hint


def test_a_type_that_cannot_be_found_is_refused_with_a_hint() -> None:
    def look(at: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigError, match="look") as caught:
        as_tool(look)
    assert caught.value.hint


# --- running ----------------------------------------------------------------------------------------------------------


def call(function: Any, deadline: float = 5.0, **arguments: Any) -> Any:
    return asyncio.run(run(function if isinstance(function, Tool) else as_tool(function), arguments, deadline))


def test_a_plain_function_runs_in_a_thread_of_its_own() -> None:
    def where(add: int) -> tuple[str, int]:
        return threading.current_thread().name, add + 1

    name, number = call(where, add=1)
    assert number == 2
    assert name != threading.current_thread().name


def test_a_coroutine_and_an_inline_tool_run_on_the_loop() -> None:
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert call(where) == threading.current_thread().name
    inline = Tool("where", "", {}, lambda: threading.current_thread().name, inline=True)
    assert call(inline) == threading.current_thread().name


def raises() -> None:
    raise ValueError("no lamp there")


async def raises_later() -> None:
    raise KeyError("lamp")


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (raises, {}, "ValueError: no lamp there"),
        (raises_later, {}, "KeyError: 'lamp'"),
        (raises, {"colour": 1}, "TypeError"),
        (lamp, {}, "TypeError"),
        (Tool("x", "", {}, raises, inline=True), {}, "ValueError: no lamp there"),
    ],
)
def test_a_failure_is_a_result_for_the_model(function: Any, arguments: dict[str, Any], said: str) -> None:
    result = call(function, **arguments)
    assert set(result) == {"error"}
    assert said in result["error"]


def test_a_tool_that_is_too_slow_gives_an_error_and_nobody_waits() -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    release = threading.Event()

    def stuck() -> None:
        release.wait(10)

    async def both() -> tuple[Any, Any, float]:
        began = time.monotonic()
        try:
            return await run(as_tool(slow), {}, 0.05), await run(as_tool(stuck), {}, 0.05), time.monotonic() - began
        finally:
            release.set()

    one, other, took = asyncio.run(both())
    assert one == {"error": "slow gave no result within 0.05 s"}
    assert other == {"error": "stuck gave no result within 0.05 s"}
    assert took < 5


def test_a_timeout_of_the_tools_own_is_its_own_failure() -> None:
    async def ask() -> None:
        raise TimeoutError("the lamp did not answer")

    assert call(ask, deadline=60) == {"error": "TimeoutError: the lamp did not answer"}


def test_an_enum_parameter_gets_the_member() -> None:
    def paint(colour: Colour) -> str:
        return colour.name

    assert call(paint, colour="blue") == "BLUE"


def test_a_tool_in_a_thread_costs_real_time_in_virtual_time() -> None:
    def work() -> str:
        time.sleep(0.05)
        return "done"

    async def main() -> tuple[Any, float]:
        began = asyncio.get_running_loop().time()
        return await run(as_tool(work), {}, 1.0), asyncio.get_running_loop().time() - began

    result, took = testing.run(main())
    assert result == "done"
    assert 0.03 <= took < 0.9


def test_cancelling_a_call_cancels_the_coroutine() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async def main() -> None:
        task = asyncio.create_task(run(as_tool(slow), {}, 30))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["ended"]


def test_a_plain_function_that_gives_back_a_coroutine_is_awaited() -> None:
    async def answer() -> int:
        return 42

    def ask() -> object:
        return answer()

    assert asyncio.run(run(as_tool(ask), {}, 5.0)) == 42
