"""The client's events of the Realtime protocol: what each asks for. Pure; see `realtime_machine`.

What may live here: one method a client event. What cannot be done raises `Invalid`, before anything has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from locara.engines.contracts import Message
from locara.server import realtime_items as items
from locara.server import realtime_wire as wire
from locara.server.realtime_effects import (
    Configure,
    Disregard,
    Forget,
    Hear,
    Outbox,
    Press,
    Release,
    Remember,
    Respond,
    Truncate,
)
from locara.server.realtime_items import Book, Item
from locara.server.realtime_session import Meant, input_format, meant, tools, transcribes, updated
from locara.server.realtime_session_fields import check_making, refuse
from locara.server.realtime_speaking import Speaking
from locara.server.realtime_turns import LEAST_COMMIT, Turns
from locara.server.realtime_wire import JSON, ClientEvent, Invalid

_BYTES_PER_SECOND = {"audio/pcm": 48_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}

_STEERING = ("system", "tools", "speaks")
"""What only a language model can be told."""

_LEADING = ("answers", "interruptible")
"""What no model that leads the conversation can be told."""


class Asking:
    """See the file's head. ``session`` is replaced, never changed: whoever holds it holds a snapshot."""

    def __init__(
        self,
        out: Outbox,
        book: Book,
        turns: Turns,
        speaking: Speaking,
        session: JSON,
        *,
        conversation: str,
        omni: bool,
        leads: bool = False,
    ) -> None:
        self.session = session
        self.steers = not omni
        self.leads = leads
        """The model decides by itself when it speaks and when it stops."""
        self.now = 0.0
        """Seconds of the session's clock."""
        self._out = out
        self._book = book
        self._turns = turns
        self._speaking = speaking
        self._conversation = conversation
        self._quiet_since: float | None = None

    def ask(self, event: ClientEvent) -> None:
        """Does what is asked. Raises `Invalid`."""
        match event:
            case wire.SessionUpdate():
                self._update(event)
            case wire.Append():
                self._append(event)
            case wire.Commit():
                self._commit()
            case wire.Clear():
                self._clear()
            case wire.CreateResponse():
                self._create_response(event.response)
            case wire.CancelResponse():
                self._cancel(event)
            case wire.ClearOutput():
                raise Invalid("Over a WebSocket the player is the client's: it clears its own.", code="webrtc_only")
            case _:
                self._ask_of_items(event)

    def _ask_of_items(self, event: ClientEvent) -> None:
        match event:
            case wire.CreateItem():
                self._create_item(event)
            case wire.RetrieveItem():
                self._out.send("conversation.item.retrieved", item=self._book.items.get(event.item).wire())
            case wire.TruncateItem():
                self._truncate(event)
            case wire.DeleteItem():
                self._delete(event.item)

    # --- the session --------------------------------------------------------------------------------------------------

    def _update(self, event: wire.SessionUpdate) -> None:
        new = updated(self.session, event.session, spoken=self._speaking.spoken)
        before, after = meant(self.session), meant(new)
        if not self.steers and not after.speaks:
            raise refuse("output_modalities", "the model that runs here hears and speaks: it gives sound")
        if not self.steers and after.tools:
            raise refuse("tools", "the model that runs here cannot call functions", "unsupported_tool")
        if self.leads:
            _refuse_to_lead(new)
        if before.manual and not after.manual and self._turns.held:
            self._turns.clear()
            self._out.do(Disregard())
        self.session = new
        self._turns.transcribes = transcribes(new)
        detection = new["audio"]["input"]["turn_detection"] or {}
        self._turns.prefix = detection.get("prefix_padding_ms", 300) / 1000
        if changes := self._changes(before, after):
            self._out.do(Configure(changes))
        self._out.send("session.updated", session=new)

    def _changes(self, before: Meant, after: Meant) -> dict[str, Any]:
        names = ("patience", "attention", *(() if self.leads else _LEADING), *(_STEERING if self.steers else ()))
        return {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}

    # --- the input buffer ---------------------------------------------------------------------------------------------

    def _append(self, event: wire.Append) -> None:
        kind = input_format(self.session)
        if kind == "audio/pcm" and len(event.audio) % 2:
            raise Invalid("16-bit sound has an even number of bytes.", param="audio")
        if not event.audio:
            return
        if meant(self.session).manual:
            if not self._turns.held:
                self._turns.press(self.now)
                self._out.do(Press())
            self._turns.appended(len(event.audio) / _BYTES_PER_SECOND[kind])
        self._out.do(Hear(event.audio))

    def _commit(self) -> None:
        if meant(self.session).manual:
            seconds = self._turns.held_seconds
            if seconds < LEAST_COMMIT:
                raise Invalid(
                    "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer "
                    f"only has {1000 * seconds:.2f}ms of audio.",
                    code="input_audio_buffer_commit_empty",
                )
            self._turns.release()
            self._out.do(Release())
        elif self._turns.voice is None:
            raise Invalid(
                "Error committing input audio buffer: no speech is open. With turn detection on, the server commits.",
                code="input_audio_buffer_commit_empty",
            )
        else:
            self._out.do(Press(), Release())

    def _clear(self) -> None:
        self._turns.clear()
        self._out.do(Disregard())
        self._out.send("input_audio_buffer.cleared")

    # --- items --------------------------------------------------------------------------------------------------------

    def _create_item(self, event: wire.CreateItem) -> None:
        if len(self._book.items.all) >= items.MOST_ITEMS:
            raise Invalid(f"A conversation has at most {items.MOST_ITEMS} items.", code="too_many_items")
        item = items.read(event.item, self._out.new_id("item"))
        if item.characters + sum(one.characters for one in self._book.items.all) > items.MOST_CHARACTERS:
            raise Invalid(
                f"All items of a conversation have at most {items.MOST_CHARACTERS} characters: delete some.",
                code="string_above_max_length",
                param="item",
            )
        if item.type == "function_call_output" and self._book.items.call(item.call_id) is None:
            raise Invalid(
                f"There is no function call '{item.call_id}' in this conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )
        book = self._book
        at_end = not book.items.all or event.after in (None, book.items.all[-1].id)
        book.items = book.items.added(item, event.after)
        if item.type == "message" and item.text:
            self._out.do(Remember(item.id, item.role, item.text))
        elif item.type == "function_call" or not self._speaking.output(item.call_id, item.output):
            at_end = False  # the session knows nothing of it
        if not at_end:
            book.items = items.Items(book.items.all, rearranged=True)
        before = book.items.before(item.id)
        for kind in ("added", "done"):
            self._out.send(f"conversation.item.{kind}", previous_item_id=before, item=item.wire())

    def _truncate(self, event: wire.TruncateItem) -> None:
        item = self._book.items.get(event.item)
        if item.type != "message" or item.role != "assistant":
            raise Invalid("Only messages of the assistant can be truncated.", param="item_id")
        if event.content_index >= max(1, len(item.content)):
            raise Invalid(f"The item has {len(item.content)} parts.", param="content_index")
        # OpenAI refuses more than there is. Clients count what they played, are some milliseconds off, and take the refusal
        # for fatal: so it is made to fit, also for an item that was played to its end.
        end = min(event.audio_end_ms, item.audio_ms) if item.status != "in_progress" else event.audio_end_ms
        if item.turn is not None and item.status != "in_progress" and end < item.audio_ms:
            self._out.do(Truncate(item.id, item.turn, item.base[0] + end / 1000))
        elif item.turn is None and item.content and item.content[0].type == "output_audio" and end == 0:
            self._book.items = self._book.items.replaced(item.saying(""))
        where = {"item_id": item.id, "content_index": event.content_index}
        self._out.send("conversation.item.truncated", **where, audio_end_ms=end)

    def heard(self, id_: str, text: str) -> None:
        """See `Machine.heard`. ``text`` is of the whole reply, also of what an earlier item has said of it."""
        item = self._book.items.find(id_)
        if item is None or not item.content:
            return
        words = text[item.base[1] :].lstrip()
        if len(words) < len(item.content[0].text or ""):
            self._book.items = self._book.items.replaced(item.saying(words))

    def _delete(self, id_: str) -> None:
        item = self._book.items.get(id_)
        if item.status == "in_progress":
            raise Invalid(
                "The item is being made: cancel the response first.", code="item_in_progress", param="item_id"
            )
        self._book.items = self._book.items.without(id_)
        if item.type == "message":
            self._out.do(Forget(id_, item.turn, item.role))
        else:
            self._book.items = items.Items(self._book.items.all, rearranged=True)
        self._out.send("conversation.item.deleted", item_id=id_)

    # --- responses ----------------------------------------------------------------------------------------------------

    def auto(self, changes: Mapping[str, Any] | None = None) -> JSON:
        """The settings of a response: the session's, with ``changes``."""
        given = changes or {}
        audio = self.session["audio"].get("output", {})
        own = given.get("audio")
        own = own.get("output") if isinstance(own, Mapping) else None
        output = {
            "format": audio.get("format"),
            "voice": audio.get("voice"),
            **(own if isinstance(own, Mapping) else {}),
        }
        return {
            "output_modalities": given.get("output_modalities") or self.session.get("output_modalities", ["text"]),
            "audio": {"output": {**output, "format": audio.get("format")}},
            "max_output_tokens": given.get("max_output_tokens") or self.session.get("max_output_tokens", "inf"),
            "metadata": given.get("metadata"),
            "conversation_id": None if given.get("conversation") == "none" else self._conversation,
        }

    def _create_response(self, given: Mapping[str, Any]) -> None:
        if self.session["type"] == "transcription":
            raise Invalid("A transcription session does not answer.", code="invalid_session_type")
        active = self._speaking.response
        if active is not None:
            raise Invalid(
                f"Conversation already has an active response in progress: {active.id}. Wait until the response is "
                "finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        self._check_response(given)
        settings = self.auto(given)
        turn = self._speaking.resumable()
        own_way = any(given.get(name) is not None for name in ("input", "instructions", "tools"))
        if turn is not None and not own_way and settings["conversation_id"] is not None:
            self._speaking.resume(settings, turn)
            return
        wish = self._wish(given, settings)
        self._speaking.abandon()
        book = None if settings["conversation_id"] is not None else Book()
        response = self._speaking.begin(settings, turn=None, asked=True, book=book)
        asked = Respond(response.id, **wish, after_input=self._turns.unsettled)
        if self._turns.voice is not None and meant(self.session).answers == "auto" and not own_way:
            self._speaking.postpone(asked)
        else:
            self._speaking.ask(asked)
        self._quiet_since = None

    def _check_response(self, given: Mapping[str, Any]) -> None:
        try:
            check_making(given, "")
        except Invalid as error:
            error.message = error.message.replace("'session.", "'response.")
            error.param = (error.param or "").replace("session.", "response.", 1)
            raise Invalid(error.message, code=error.code, param=error.param) from None
        if given.get("conversation") not in (None, "auto", "none"):
            raise Invalid("'response.conversation' is auto or none.", param="response.conversation")
        metadata = given.get("metadata")
        if metadata is not None and not (isinstance(metadata, Mapping) and len(metadata) <= 16):
            raise Invalid("'response.metadata' is an object of at most 16 strings.", param="response.metadata")
        steered = given.get("instructions") or given.get("tools") or given.get("output_modalities") == ["text"]
        if not self.steers and steered:
            raise Invalid(
                "The model that runs here hears and speaks: it takes no instructions and no functions, and gives sound.",
                code="unsupported_by_model",
            )

    def _wish(self, given: Mapping[str, Any], settings: JSON) -> dict[str, Any]:
        wish: dict[str, Any] = {"record": settings["conversation_id"] is not None}
        if self.steers:
            if given.get("instructions") is not None:
                wish["system"] = given["instructions"]
            if given.get("tools") is not None or given.get("tool_choice") is not None:
                wish["tools"] = tools({**self.session, **{k: v for k, v in given.items() if v is not None}})
            wish["speaks"] = settings["output_modalities"] == ["audio"]
        told = self._messages(given)
        return wish if told is None else {**wish, "messages": told}

    def _messages(self, given: Mapping[str, Any]) -> tuple[Message, ...] | None:
        wanted = given.get("input")
        if wanted is None:
            return items.messages(self._book.items.all) if self._book.items.rearranged else None
        if not isinstance(wanted, list) or len(wanted) > items.MOST_ITEMS:
            raise Invalid("'response.input' is a list of items.", code="invalid_type", param="response.input")
        found: list[Item] = []
        for number, one in enumerate(wanted):
            where = f"response.input[{number}]"
            if not isinstance(one, Mapping):
                raise Invalid(f"'{where}' is an item.", code="invalid_type", param=where)
            if one.get("type") == "item_reference":
                found.append(self._book.items.get(wire.identifier(one, "id")))
            else:
                found.append(items.read(one, self._out.new_id("item"), where))
        return items.messages(tuple(found))

    def _cancel(self, event: wire.CancelResponse) -> None:
        active = self._speaking.response
        if active is None or event.response not in (None, active.id):
            raise Invalid("Cancellation failed: no active response found.", code="response_cancel_not_active")
        self._speaking.cancel()
        self._turns.tell()  # whoever has been speaking over it has the floor now
        self.rested()

    # --- silence ------------------------------------------------------------------------------------------------------

    def rested(self) -> None:
        """A response is over: from here the silence counts."""
        self._quiet_since = self.now

    def spoke(self) -> None:
        """The user speaks."""
        self._quiet_since = None

    def tick(self, t: float) -> None:
        """``idle_timeout_ms``: the assistant speaks again where nobody has answered it for so long."""
        self.now = max(self.now, t)
        since, detection = self._quiet_since, self.session["audio"]["input"]["turn_detection"]
        timeout = (detection or {}).get("idle_timeout_ms")
        if since is None or timeout is None or self._speaking.response is not None or self._turns.voice is not None:
            return
        if self.now - since >= timeout / 1000:
            self._quiet_since = None
            self._turns.timed_out(since, self.now)
            self._create_response({})


def _refuse_to_lead(session: JSON) -> None:
    """Raises `Invalid` where a client wants to say when the model speaks, which it decides by itself."""
    detection = session["audio"]["input"]["turn_detection"] or {}
    for name, does in (("create_response", "answers"), ("interrupt_response", "gives way")):
        if detection.get(name) is False:
            why = f"the model that runs here {does} when it wants to"
            raise refuse(f"audio.input.turn_detection.{name}", why, "unsupported_by_model")
