"""Tools: plain Python callables with type hints, as the model sees them, and how one of them is run.

A tool acts on the world unless it says otherwise: ``@voice.tool(side_effects=False)`` lets it run for a turn that is
still being decided. The description is the docstring, the parameters come from the type hints.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from locara.engines.contracts import Tool
from locara.engines.lane import real_work
from locara.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_locara_side_effects"
_SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@overload
def tool(function: F) -> F: ...
@overload
def tool(function: F, *, side_effects: bool) -> F: ...
@overload
def tool(*, side_effects: bool = ...) -> Callable[[F], F]: ...
def tool(function: F | None = None, *, side_effects: bool = True) -> F | Callable[[F], F]:
    """Marks a callable as a tool. ``side_effects=False``: it only looks, and may run before the turn is decided."""

    def mark(inner: F) -> F:
        setattr(inner, _MARK, side_effects)
        return inner

    return mark if function is None else mark(function)


def as_tool(function: Callable[..., Any] | Tool) -> Tool:
    """A callable as the model sees it. Raises ``ConfigError`` where a parameter has no usable type."""
    if isinstance(function, Tool):
        return function
    name = getattr(function, "__name__", "")
    if not callable(function) or not name.isidentifier():
        raise ConfigError(f"{function!r} is not a tool", hint="pass plain functions with type hints as tools=[...]")
    hints = _hints(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(
                f"tool {name}: parameter {parameter.name} cannot be given by name",
                hint="a tool takes named parameters with type hints",
            )
        properties[parameter.name] = _schema(hints.get(parameter.name, str), f"{name}({parameter.name})")
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    return Tool(
        name=name,
        description=inspect.getdoc(function) or name.replace("_", " "),
        parameters={"type": "object", "properties": properties, "required": required},
        run=function,
        side_effects=getattr(function, _MARK, True),
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        name = getattr(function, "__name__", repr(function))
        raise ConfigError(
            f"tool {name}: its type hints cannot be read: {error}",
            hint="the types must be importable where the tool is defined, not only for a type checker",
        ) from error


def _schema(hint: Any, where: str) -> dict[str, Any]:
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, Sequence, tuple) and arguments:
        return {"type": "array", "items": _schema(arguments[0], where)}
    if origin in (dict, Mapping) or hint is dict:
        return {"type": "object"}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        rest = [one for one in arguments if one is not type(None)]
        if len(rest) == 1:
            return _schema(rest[0], where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    raise ConfigError(
        f"tool {where}: the type {hint!r} cannot be described to a model",
        hint="use str, int, float, bool, list[...], dict, Literal[...] or an Enum",
    )


async def run(tool_: Tool, arguments: Mapping[str, Any], deadline: float) -> Any:
    """What the tool gives back; a failure is a result too, for the model to read."""
    try:
        async with asyncio.timeout(deadline) as limit:
            arguments = _members(tool_, arguments)
            if inspect.iscoroutinefunction(tool_.run):
                return await tool_.run(**arguments)
            if tool_.inline:
                return tool_.run(**arguments)
            with real_work():
                result = await asyncio.to_thread(tool_.run, **arguments)
            return await result if inspect.isawaitable(result) else result
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            return {"error": f"{tool_.name} gave no result within {deadline:g} s"}
        return {"error": f"{type(error).__name__}: {error}"}


def unknown(name: str, tools: Iterable[Tool]) -> dict[str, str]:
    """The result of a call to a tool that there is not, for the model to read."""
    return {"error": f"there is no tool {name!r}; there are: {', '.join(one.name for one in tools) or 'none'}"}


def _members(tool_: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The model gives an enum's value; the function gets the member."""
    try:
        hints = typing.get_type_hints(tool_.run)
    except (NameError, TypeError):  # a `Tool` that was made by hand, with a schema of its own
        return dict(arguments)
    given = dict(arguments)
    for name, value in arguments.items():
        hint = hints.get(name)
        if isinstance(hint, type) and issubclass(hint, enum.Enum) and not isinstance(value, hint):
            given[name] = hint(value)
    return given
