"""What goes over the wire to and from an OpenAI-compatible chat server.

What may live here: pure parsers of what such servers send (server-sent events, tool calls in fragments,
the reason of an error), and the JSON that they get. No connection, no clock: those are `openai_compatible`'s.
"""

from __future__ import annotations

import base64
import codecs
import io
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from locara.audio import RATE, Samples, pcm16
from locara.engines.contracts import Message, Sound, Tool, ToolCall

_LIMIT = 4 << 20  # characters of one event, or of a whole answer; nobody's reply is longer
_CALLS = 64


# --- what servers send ------------------------------------------------------------------------------------------------


class Events:
    """Server-sent events out of blocks of bytes cut anywhere. ``whole``: the body is one JSON text instead, from a server
    that does not stream."""

    def __init__(self, *, whole: bool = False) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)  # CR, LF and CRLF all end a line
        self._whole = whole
        self._line: list[str] = []
        self._data: list[str] = []
        self._held = 0

    def push(self, block: bytes) -> Iterator[str]:
        """The data of each event that is now complete. Raises ``ValueError`` past 4 million characters."""
        text = self._decoder.decode(block)
        self._held += len(text)
        if self._held > _LIMIT:
            raise ValueError("sent more in one event than a reply can be")
        *ended, rest = [text] if self._whole else text.split("\n")
        for line in ended:
            yield from self._take("".join((*self._line, line)))
            self._line.clear()
        self._line.append(rest)
        if ended:
            self._held = len(rest) + sum(map(len, self._data))

    def flush(self) -> Iterator[str]:
        """What the end of the stream completes."""
        rest = "".join((*self._line, self._decoder.decode(b"", True)))
        if self._whole:
            yield rest
            return
        yield from self._take(rest)
        yield from self._take("")

    def _take(self, line: str) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
                self._data.clear()
            return
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif name == "error":  # llama-server's own kind of event
            self._data.append(f'{{"error":{value}}}')


class Calls:
    """Joins the fragments in which tool calls are streamed."""

    def __init__(self) -> None:
        self._slots: list[dict[str, Any]] = []

    def add(self, fragments: Any) -> None:
        """``fragments``: the ``tool_calls`` of one delta, of whatever a server may send."""
        for fragment in fragments if isinstance(fragments, list) else ():
            if not isinstance(fragment, Mapping):
                continue
            function = fragment.get("function")
            function = function if isinstance(function, Mapping) else {}
            slot = self._slot(fragment.get("index"), str(fragment.get("id") or ""), str(function.get("name") or ""))
            arguments = function.get("arguments")
            slot["arguments"] += json.dumps(arguments) if isinstance(arguments, Mapping) else str(arguments or "")

    def decoded(self, numbers: Iterator[int]) -> Iterator[ToolCall]:
        """The calls in order; ``numbers`` makes the ids a server left out. Raises ``ValueError``."""
        for slot in self._slots:
            try:
                arguments = json.loads(slot["arguments"] or "{}")
            except ValueError as error:
                raise ValueError(f"the arguments of {slot['name']!r} are not JSON ({error})") from None
            if not slot["name"] or not isinstance(arguments, dict):
                raise ValueError(f"the call of {slot['name']!r} has no name, or arguments that are no object")
            yield ToolCall(slot["id"] or f"call_{next(numbers)}", slot["name"], arguments)

    def _slot(self, index: Any, id_: str, name: str) -> dict[str, Any]:
        """Where a fragment belongs. Some servers give every call the index 0, or none: a new id then means a new call."""
        slot: dict[str, Any]
        for slot in reversed(self._slots):
            other = name and id_ and slot["id"] and id_ != slot["id"]
            if slot["index"] == index and not other and not (index is None and name):
                slot["id"] = slot["id"] or id_
                slot["name"] = slot["name"] or name
                return slot
        if len(self._slots) >= _CALLS:
            return {"arguments": ""}  # a model in a loop; the calls it made are kept
        fresh = {"index": index, "id": id_, "name": name, "arguments": ""}
        self._slots.append(fresh)
        return fresh


def reason_in(text: str) -> str:
    """The sentence in the body of an error, whatever form the server gives it."""
    try:
        found = json.loads(text)
    except ValueError:
        found = "" if "<" in text[:200] else text  # a page of HTML explains nothing
    for name in ("error", "message", "detail"):
        if isinstance(found, Mapping):
            found = found.get(name, found)
    return " ".join(found.split())[:300] if isinstance(found, str) else ""


# --- what servers get -------------------------------------------------------------------------------------------------


OPENING = "…"
"""Stands for the user's silence where the assistant spoke first."""


def merged(messages: Sequence[Message]) -> list[Message]:
    """The same conversation with its sides in turn. Templates of Gemma, Mistral and Llama 2 refuse two messages of one
    side in a row (a reply that failed, something said unasked), and a conversation that the assistant begins. Only the
    end of what is merged ever changes, so what was read ahead still serves."""
    out: list[Message] = []
    for message in messages:
        before = out[-1] if out else None
        if message.role == "assistant" and (before is None or before.role == "system"):
            out.append(Message("user", OPENING))
        elif before is not None and before.role == message.role != "tool" and not before.tool_calls:
            joined = "\n".join(text for text in (before.content, message.content) if text)
            out[-1] = replace(message, content=joined, sounds=(*before.sounds, *message.sounds))
            continue
        out.append(message)
    return out


def message_json(one: Message) -> dict[str, Any]:
    """A message as servers get it; the arguments of tool calls are JSON within JSON, sounds are parts of the content
    (``input_audio`` of OpenAI's chat completions)."""
    out: dict[str, Any] = {"role": one.role, "content": _sendable(one.content)}
    if one.sounds:
        text = [{"type": "text", "text": out["content"]}] if one.content else []
        out["content"] = [*(_sound_json(sound) for sound in one.sounds), *text]
    if one.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
            }
            for call in one.tool_calls
        ]
    if one.role == "tool":
        out["tool_call_id"] = one.tool_call_id
    return out


def _sound_json(sound: Sound) -> dict[str, Any]:
    data = base64.b64encode(wav(sound.samples)).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def wav(samples: Samples) -> bytes:
    """A WAV file: 16 kHz, one channel, 16 bits (RIFF, WAVE_FORMAT_PCM)."""
    data = pcm16(samples)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16,
                       b"data", len(data))  # fmt: skip
    return head + data


def _sendable(text: str) -> str:
    """Halves of characters (a broken recogniser, a tool's raw output) are no JSON, and servers refuse all of it."""
    return text.encode("utf-8", "replace").decode()


def tool_json(one: Tool) -> dict[str, Any]:
    """A tool as servers get it."""
    function = {"name": one.name, "description": one.description, "parameters": dict(one.parameters)}
    return {"type": "function", "function": function}
