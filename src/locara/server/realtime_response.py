"""One response of the Realtime protocol, from ``response.created`` to its one ``response.done``. Pure.

What may live here: the events of a response in their order, whatever ends it. The words of a spoken response are sent with
the sound that says them, so at a barge-in the transcript ends about where the sound did.

Sound is counted in samples at ``RATE`` of this response's stream: what was handed to the output is known from the session's
``audio-chunk`` events, what left it from `Response.rendered`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from locara.audio import Samples
from locara.server.realtime_effects import Outbox, SendSound
from locara.server.realtime_items import Book, Item, Part
from locara.server.realtime_wire import JSON

RATE = 24_000
"""Hertz of what is rendered."""

_SOUNDING = 1e-5
"""-100 dBFS: below it a block is silence."""

Status = Literal["completed", "cancelled", "failed", "incomplete"]


class Response:
    """One response. ``out`` takes its events, ``book`` its items."""

    def __init__(self, out: Outbox, book: Book, settings: JSON, *, turn: int | None, asked: bool) -> None:
        """``settings``: ``output_modalities``, ``audio``, ``max_output_tokens``, ``metadata``, ``conversation_id`` (None:
        out of band). ``asked``: the client asked for it; else it answers a turn by itself."""
        self.id = out.new_id("resp")
        self.turn = turn
        self.asked = asked
        self._book = book
        self.started = False
        """Something of the reply itself has come."""
        self.done = False
        self.calls: list[str] = []
        """Ids of the calls that it made."""
        self.failure: JSON | None = None
        self.base = (0.0, 0)
        """Seconds and characters of the session's reply that an earlier response has already sent."""
        self._out = out
        self._settings = settings
        self._spoken = settings["output_modalities"] == ["audio"]
        self._output: list[str] = []
        self._message: Item | None = None
        self._open = False
        self._text = ""
        self._sent = 0
        self._tokens = 0
        self._marks: deque[tuple[int, int]] = deque()  # (samples handed before, characters told after)
        self._marked = 0
        self._handed = 0
        self._rendered = 0  # sent
        self._left = 0  # the same with the pause that is not sent yet
        self._quiet: list[Samples] = []
        out.send("response.created", response=self._wire("in_progress"))

    # --- what it grows by ---------------------------------------------------------------------------------------------

    @property
    def sounding(self) -> bool:
        """Whether sound of it was sent."""
        return self._rendered > 0

    @property
    def unrendered(self) -> float:
        """Seconds of sound that were handed to the output and have not left it. Never less than it is: silence at the
        beginning leaves unseen."""
        return max(0, self._handed - self._left) / RATE if self._spoken else 0.0

    @property
    def quiet(self) -> float:
        """Seconds of silence since the last sound."""
        return sum(block.size for block in self._quiet) / RATE

    @property
    def progress(self) -> tuple[float, int]:
        """Seconds and characters of the session's reply that this response and those before it have sent."""
        return self.base[0] + self._rendered / RATE, self.base[1] + len(self._text)

    @property
    def exhausted(self) -> bool:
        """Whether it has reached ``max_output_tokens``, and all up to there was sent."""
        most = self._settings["max_output_tokens"]
        return most != "inf" and self._tokens >= most and (not self._spoken or self._sent >= len(self._text))

    def told(self, text: str) -> None:
        """The next words of the reply."""
        self.started = True
        most = self._settings["max_output_tokens"]
        if most != "inf" and self._tokens >= most:
            return
        self._tokens += 1
        self._text += text
        if not self._spoken:
            self._send_text(len(self._text))

    def handed(self, n: int, text: str) -> None:
        """``n`` samples were handed to the output, in which ``text`` begins to be spoken."""
        self.started = True
        if text:
            self._marked += len(text)
            self._marks.append((self._handed, self._marked))
        self._handed += n

    def rendered(self, samples: Samples) -> None:
        """Sound has left the output. Silence waits for the next sound: a pause at the end is not sent."""
        if not self._spoken or self.done:
            return
        self._left += samples.size
        if not np.any(np.abs(samples) > _SOUNDING):
            if self.sounding:
                self._quiet.append(samples)
            return
        self._send_words()
        quiet, self._quiet = self._quiet, []
        self._send_sound(np.concatenate([*quiet, samples]) if quiet else samples)

    def called(self, call_id: str, name: str, arguments: str) -> None:
        """The model calls a function. Its arguments come whole."""
        self.started = True
        self._send_text(len(self._text))
        item = Item(self._out.new_id("item"), "function_call", call_id=call_id, name=name, arguments=arguments)
        self.calls.append(call_id)
        at = self._add(replace(item, status="in_progress", arguments=""))
        where = {"response_id": self.id, "item_id": item.id, "output_index": at, "call_id": call_id}
        self._out.send("response.function_call_arguments.delta", **where, delta=arguments)
        self._out.send("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        self._finish_item(item, at)

    # --- its end ------------------------------------------------------------------------------------------------------

    def end(self, status: Status, reason: str | None = None) -> None:
        """The end, once: everything that is open is closed first. What was not said is only told where it ends well."""
        if self.done:
            return
        self.done = True
        if status == "completed":
            self._send_text(len(self._text))
        self._close_message("completed" if status == "completed" else "incomplete")
        details: JSON | None = None
        if status != "completed":
            details = {"type": status, "reason": reason, "error": self.failure if status == "failed" else None}
        self._out.send("response.done", response=self._wire(status, details))

    # --- its parts ----------------------------------------------------------------------------------------------------

    def _send_words(self) -> None:
        while self._marks and self._marks[0][0] <= self._rendered:
            self._send_text(min(self._marks.popleft()[1], len(self._text)))

    def _send_text(self, until: int) -> None:
        if until <= self._sent:
            return
        delta, self._sent = self._text[self._sent : until], until
        kind = "output_audio_transcript" if self._spoken else "output_text"
        self._out.send(f"response.{kind}.delta", **self._part(), delta=delta)

    def _send_sound(self, samples: Samples) -> None:
        head = {"type": "response.output_audio.delta", **self._part()}
        self._rendered += samples.size
        self._out.do(SendSound(head, samples))

    def _part(self) -> JSON:
        """The place of the message's one part; opens the message where it is not."""
        if self._message is None:
            self._message = Item(self._out.new_id("item"), "message", "assistant", turn=self.turn, base=self.base)
            self._open = True
            at = self._add(replace(self._message, status="in_progress"))
            where = {"response_id": self.id, "item_id": self._message.id, "output_index": at, "content_index": 0}
            self._out.send("response.content_part.added", **where, part=self._as_part(""))
        at = self._output.index(self._message.id)
        return {"response_id": self.id, "item_id": self._message.id, "output_index": at, "content_index": 0}

    def _as_part(self, text: str) -> JSON:
        return {"type": "audio", "transcript": text} if self._spoken else {"type": "text", "text": text}

    def _close_message(self, status: str) -> None:
        if self._message is None or not self._open:
            return
        self._open = False
        where, text = self._part(), self._text[: self._sent]
        if self._spoken:
            head = {"type": "response.output_audio.delta", **where}
            self._out.do(SendSound(head, np.zeros(0, np.float32), last=True))
            self._out.send("response.output_audio.done", **where)
            self._out.send("response.output_audio_transcript.done", **where, transcript=text)
        else:
            self._out.send("response.output_text.done", **where, text=text)
        self._out.send("response.content_part.done", **where, part=self._as_part(text))
        part = Part("output_audio" if self._spoken else "output_text", text)
        sent = round(1000 * self._rendered / RATE)
        item = replace(self._message, content=(part,), status=status, turn=self.turn, audio_ms=sent)
        self._finish_item(item, where["output_index"])

    def _add(self, item: Item) -> int:
        self._output.append(item.id)
        at = len(self._output) - 1
        self._out.send("response.output_item.added", response_id=self.id, output_index=at, item=item.wire())
        self._book.items = self._book.items.added(item)
        if self._recorded:
            before = self._book.items.before(item.id)
            self._out.send("conversation.item.added", previous_item_id=before, item=item.wire())
        return at

    def _finish_item(self, item: Item, at: int) -> None:
        self._book.items = self._book.items.replaced(item)
        if self._recorded:
            before = self._book.items.before(item.id)
            self._out.send("conversation.item.done", previous_item_id=before, item=item.wire())
        self._out.send("response.output_item.done", response_id=self.id, output_index=at, item=item.wire())

    @property
    def _recorded(self) -> bool:
        return self._settings["conversation_id"] is not None

    def _wire(self, status: str, details: JSON | None = None) -> JSON:
        found = (self._book.items.find(one) for one in self._output)
        closed = status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [item.wire() for item in found if item is not None],
            **self._settings,
            "usage": _usage(self._tokens) if closed else None,
        }


def _usage(tokens: int) -> dict[str, Any]:
    """Output as pieces of text that the model gave. What it read is not counted here, and nothing is billed."""
    return {
        "total_tokens": tokens,
        "input_tokens": 0,
        "output_tokens": tokens,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": tokens, "audio_tokens": 0},
    }
