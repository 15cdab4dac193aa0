"""The items of a Realtime conversation, in their order: messages, calls of functions, and what came of them. Pure.

What may live here: frozen items, their wire form, their order, and the way from them to a model's messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from locara.engines.contracts import Message, ToolCall
from locara.server.realtime_wire import JSON, Invalid, identifier, wanted

MOST_ITEMS = 2_000
"""In one conversation: a turn every two seconds for an hour."""

MOST_TEXT = 100_000
"""Characters of one item: eight times what a model is given of a whole conversation."""

MOST_CHARACTERS = 4_000_000
"""Of all items of a conversation: five hours of speech."""

Kind = Literal["message", "function_call", "function_call_output"]
_ROLES = ("user", "assistant", "system")
_TEXT_OF = {"user": "input_text", "system": "input_text", "assistant": "output_text"}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message. Of ``input_audio`` and ``output_audio``, ``text`` is the transcript; None: not known."""

    type: str
    text: str | None = None

    def wire(self) -> JSON:
        """As JSON. ``transcript`` is there also where it is null: a stock client dies without it."""
        return {"type": self.type, "transcript" if self.type.endswith("_audio") else "text": self.text}


@dataclass(frozen=True, slots=True)
class Item:
    """One entry. ``turn``: of the session, where it was spoken in one. ``base``: seconds and characters of the assistant's
    reply in that turn that lie before this item (a reply that called a function continues in another item).
    ``audio_ms``: how much sound of it was sent."""

    id: str
    type: Kind
    role: str = ""
    status: str = "completed"
    content: tuple[Part, ...] = ()
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    turn: int | None = None
    base: tuple[float, int] = (0.0, 0)
    audio_ms: int = 0

    def wire(self) -> JSON:
        """As JSON, without sound."""
        head: JSON = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        if self.type == "message":
            return {**head, "role": self.role, "content": [part.wire() for part in self.content]}
        if self.type == "function_call":
            return {**head, "call_id": self.call_id, "name": self.name, "arguments": self.arguments}
        return {**head, "call_id": self.call_id, "output": self.output}

    @property
    def characters(self) -> int:
        """How much of the server's memory it takes, about."""
        return sum(len(part.text or "") for part in self.content) + len(self.arguments) + len(self.output)

    @property
    def text(self) -> str:
        """What it says, as far as that is known."""
        return " ".join(part.text for part in self.content if part.text)

    def saying(self, text: str | None) -> Item:
        """The same with other words in its one part."""
        return replace(self, content=(replace(self.content[0], text=text), *self.content[1:])) if self.content else self


@dataclass(frozen=True, slots=True)
class Items:
    """All of them, oldest first. ``rearranged``: not in the order in which the session came to know of them, or it does not
    know some of them: a response is then given the messages from here."""

    all: tuple[Item, ...] = ()
    rearranged: bool = False

    def find(self, id_: str) -> Item | None:
        """The item with this id."""
        return next((item for item in reversed(self.all) if item.id == id_), None)

    def get(self, id_: str) -> Item:
        """The same; raises `Invalid` where there is none."""
        item = self.find(id_)
        if item is None:
            raise Invalid(f"There is no item '{id_}' in this conversation.", code="item_not_found", param="item_id")
        return item

    def call(self, call_id: str) -> Item | None:
        """The function call with this ``call_id``."""
        return next(
            (item for item in reversed(self.all) if item.type == "function_call" and item.call_id == call_id), None
        )

    def before(self, id_: str) -> str | None:
        """The id of the item before this one; None for the first."""
        ids = [item.id for item in self.all]
        at = ids.index(id_) if id_ in ids else 0
        return ids[at - 1] if at else None

    def added(self, item: Item, after: str | None = None) -> Items:
        """With one more: at the end, after the item named, or first (``"root"``). Raises `Invalid`."""
        if self.find(item.id) is not None:
            raise Invalid(f"There is an item '{item.id}' already.", code="item_id_exists", param="item.id")
        if after is None or (self.all and after == self.all[-1].id):
            return replace(self, all=(*self.all, item))
        if after == "root":
            return Items((item, *self.all), rearranged=self.rearranged or bool(self.all))
        at = next((n for n, one in enumerate(self.all) if one.id == after), None)
        if at is None:
            raise Invalid(f"There is no item '{after}' to follow.", code="item_not_found", param="previous_item_id")
        return Items((*self.all[: at + 1], item, *self.all[at + 1 :]), rearranged=True)

    def replaced(self, item: Item) -> Items:
        """With this item in place of the one with its id."""
        return replace(self, all=tuple(item if one.id == item.id else one for one in self.all))

    def without(self, id_: str) -> Items:
        """Without this one."""
        return replace(self, all=tuple(one for one in self.all if one.id != id_))


class Book:
    """The one place where a conversation's items stand."""

    def __init__(self) -> None:
        self.items = Items()


def messages(items: tuple[Item, ...]) -> tuple[Message, ...]:
    """What a model is given of them. Left out is what has no words, and a call without an output, or an output without a
    call: servers refuse them."""
    called = {item.call_id for item in items if item.type == "function_call"}
    answered = {item.call_id for item in items if item.type == "function_call_output"} & called
    told: list[Message] = []
    for item in items:
        if item.type != "message" and item.call_id not in answered:
            continue
        if item.type == "function_call":
            call = ToolCall(item.call_id, item.name, _arguments(item.arguments))
            told.append(Message("assistant", "", tool_calls=(call,)))
        elif item.type == "function_call_output":
            told.append(Message("tool", item.output, tool_call_id=item.call_id))
        elif item.text:
            role: Any = item.role
            told.append(Message(role, item.text))
    return tuple(told)


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read(given: Mapping[str, Any], new_id: str, where: str = "item") -> Item:
    """An item as a client gives it; ``new_id`` where it has none. Raises `Invalid`."""
    try:
        return _read(given, new_id)
    except Invalid as error:
        error.param = f"{where}.{error.param}" if error.param else where
        raise


def _read(given: Mapping[str, Any], new_id: str) -> Item:
    id_ = new_id if given.get("id") is None else identifier(given, "id")
    kind = wanted(given, "type", str, "a type of item")
    if kind == "message":
        role = wanted(given, "role", str, "a role")
        if role not in _ROLES:
            raise Invalid(f"'role' is one of {', '.join(_ROLES)}.", param="role")
        content = wanted(given, "content", list, "a list of parts")
        return Item(id_, "message", role, content=tuple(_part(role, one, n) for n, one in enumerate(content)))
    if kind == "function_call":
        name, call = identifier(given, "name"), given.get("call_id") or id_
        arguments = _bounded(wanted(given, "arguments", str, "JSON as a string"), "arguments")
        return Item(id_, "function_call", call_id=str(call), name=name, arguments=arguments)
    if kind == "function_call_output":
        output = _bounded(wanted(given, "output", str, "a string"), "output")
        return Item(id_, "function_call_output", call_id=identifier(given, "call_id"), output=output)
    raise Invalid("'type' is message, function_call or function_call_output.", param="type")


def _part(role: str, given: Any, number: int) -> Part:
    where = f"content[{number}]"
    if not isinstance(given, dict):
        raise Invalid("A part of a message is an object.", code="invalid_type", param=where)
    kind = given.get("type")
    if kind in (_TEXT_OF[role], "text"):  # "text" was the Beta's name, and some libraries still say it
        return Part(_TEXT_OF[role], _bounded(wanted(given, "text", str, "a string"), f"{where}.text"))
    if kind in ("input_audio", "output_audio") and (kind == "input_audio") == (role == "user"):
        if not isinstance(given.get("transcript"), str):
            raise Invalid(
                "Sound inside an item cannot be understood here: append it to the input audio buffer and commit it, or "
                "give its 'transcript'.",
                code="unsupported_content",
                param=where,
            )
        return Part(kind, _bounded(given["transcript"], f"{where}.transcript"))
    if kind == "input_image":
        raise Invalid("The models here see no pictures.", code="unsupported_content", param=where)
    raise Invalid(f"A part of a {role} message is of type {_TEXT_OF[role]}.", param=f"{where}.type")


def _bounded(text: str, param: str) -> str:
    if len(text) > MOST_TEXT:
        raise Invalid(f"It is longer than {MOST_TEXT} characters.", code="string_above_max_length", param=param)
    return text
