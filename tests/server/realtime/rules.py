"""What holds for every stream of server events of the Realtime protocol, whatever was said.

What may live here: the rules, and `check`, which applies them. They are our own reading of OpenAI's documentation and of
what stock clients die of; see docs/realtime.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Event = dict[str, Any]


def check(events: Sequence[Event], *, ended: bool = True) -> None:
    """Raises ``AssertionError`` for the first rule that is broken. ``ended``: nothing may be left open."""
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == len(ids), "every event has an id of its own"
    _responses(events, ended=ended)
    _items(events, ended=ended)
    _speech(events)


def _responses(events: Sequence[Event], *, ended: bool) -> None:
    active: str | None = None
    over: set[str] = set()
    open_parts: set[str] = set()
    open_items: set[str] = set()
    text: dict[str, str] = {}
    for event in events:
        kind = event["type"]
        if kind == "response.created":
            assert active is None, "one active response"
            active = event["response"]["id"]
            assert active not in over
            assert event["response"]["status"] == "in_progress"
        elif kind == "response.done":
            assert event["response"]["id"] == active, "a response ends once, and only where it was created"
            assert event["response"]["status"] in ("completed", "cancelled", "failed", "incomplete")
            assert not open_parts, "no part is left open"
            assert not open_items, "no item is left open"
            over.add(event["response"]["id"])
            active = None
        elif kind.startswith("response."):
            assert event["response_id"] == active, f"nothing of a response after its end: {kind}"
            _part(event, kind, open_items, open_parts, text)
    if ended:
        assert active is None, "every response has its end"


def _part(event: Event, kind: str, open_items: set[str], open_parts: set[str], text: dict[str, str]) -> None:
    item = event.get("item_id") or event["item"]["id"]
    if kind == "response.output_item.added":
        assert item not in open_items
        open_items.add(item)
        text[item] = ""
        return
    assert item in open_items, f"{kind} of an item that is not open"
    if kind == "response.output_item.done":
        open_items.remove(item)
        assert item not in open_parts
        content = event["item"].get("content")
        if content:
            assert content[0].get("transcript", content[0].get("text")) == text[item]
    elif kind == "response.content_part.added":
        assert event["part"]["type"] in ("audio", "text")
        open_parts.add(item)
    elif kind == "response.content_part.done":
        open_parts.remove(item)
        assert event["part"].get("transcript", event["part"].get("text")) == text[item]
    elif kind in ("response.output_text.delta", "response.output_audio_transcript.delta"):
        assert item in open_parts
        text[item] += event["delta"]
    elif kind == "response.function_call_arguments.delta":
        text[item] += event["delta"]
    elif kind in ("response.output_text.done", "response.output_audio_transcript.done"):
        assert text[item] == event.get("text", event.get("transcript")), "deltas add up"
    elif kind == "response.function_call_arguments.done":
        assert text[item] == event["arguments"], "deltas add up"
    elif kind == "response.output_audio.delta":
        assert item in open_parts
        assert event["delta"]


def _items(events: Sequence[Event], *, ended: bool) -> None:
    added: list[str] = []
    done: set[str] = set()
    for event in events:
        if event["type"] == "conversation.item.added":
            item = event["item"]
            assert item["id"] not in added
            assert event["previous_item_id"] is None or event["previous_item_id"] in added
            added.append(item["id"])
            if item.get("role") == "user":
                assert all("transcript" in part for part in item["content"] if part["type"] == "input_audio")
        elif event["type"] == "conversation.item.done":
            assert event["item"]["id"] in added
            assert event["item"]["id"] not in done
            done.add(event["item"]["id"])
        elif event["type"].startswith("conversation.item.input_audio_transcription"):
            assert event["item_id"] in added
    if ended:
        assert set(added) == done, "every added has its done"


def _speech(events: Sequence[Event]) -> None:
    speaking: str | None = None
    for event in events:
        if event["type"] == "input_audio_buffer.speech_started":
            assert speaking is None, "speech begins once"
            speaking = event["item_id"]
            start = event["audio_start_ms"]
        elif event["type"] == "input_audio_buffer.speech_stopped":
            assert event["item_id"] == speaking
            assert event["audio_end_ms"] >= start
            speaking = None
        elif event["type"] == "input_audio_buffer.committed":
            assert speaking is None, "speech stops before it is committed"
