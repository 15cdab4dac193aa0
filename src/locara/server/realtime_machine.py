"""The Realtime protocol as a machine: what happens goes in, effects come out. Pure; one for each connection.

What may live here: who answers what. The parts are `realtime_turns` (the user), `realtime_speaking` (the assistant),
`realtime_asking` (the client's events). Only one task may call it (`realtime_actor`), so there is one order of everything.
"""

from __future__ import annotations

from typing import Any

from locara.server.places import without_places
from locara.server.realtime_asking import Asking
from locara.server.realtime_clock import AppendClock
from locara.server.realtime_effects import Called, Close, Configure, Effect, Lapsed, Outbox, Over, Rendered, Tick
from locara.server.realtime_items import Book
from locara.server.realtime_session import fresh, meant, transcribes
from locara.server.realtime_speaking import Speaking
from locara.server.realtime_turns import Turns
from locara.server.realtime_wire import JSON, ClientEvent, Invalid
from locara.voice import events

NO_TURN = frozenset("no-words backchannel echo no-speech hallucination muted replaced cancelled stopped failed".split())
"""Reasons of a user's turn-end for which nothing was said to us. (Words that were, come as a final transcript before.)"""

CLOSES = {"stopped": (1001, "the server stops"), "revoked": (1008, "the permission was taken back")}
"""Reason of session-end -> close code and reason. Clients reconnect on 1001 and 1011, not on 1008."""


class Machine:
    """One connection's protocol state."""

    def __init__(
        self,
        *,
        mark: str,
        model: str,
        voice: str,
        instructions: str,
        transcription: bool = False,
        omni: bool = False,
        leads: bool = False,
    ) -> None:
        """``mark``: makes its ids unlike those of other connections. ``omni``: one model hears and speaks, and takes neither
        instructions nor functions. ``leads``: and it decides by itself when it speaks and when it stops."""
        self.clock = AppendClock()
        out, book = Outbox(mark), Book()
        turns, speaking = Turns(out, book, self.clock), Speaking(out, book)
        session = fresh(
            id_=out.new_id("sess"), model=model, voice=voice, instructions=instructions, transcription=transcription
        )
        self._over = False
        self._out = out
        self._turns = turns
        self._speaking = speaking
        self._asking = Asking(
            out, book, turns, speaking, session, conversation=out.new_id("conv"), omni=omni, leads=leads
        )

    @property
    def session(self) -> JSON:
        """The session object as it is now."""
        return self._asking.session

    @property
    def active(self) -> bool:
        """Whether a response is under way."""
        return self._speaking.response is not None

    # --- what happens -------------------------------------------------------------------------------------------------

    def open(self) -> list[Effect]:
        """The connection is there, and a conversation behind it."""
        self._out.send("session.created", session=self.session)
        self._turns.transcribes = transcribes(self.session)
        means = meant(self.session)
        settings: dict[str, Any] = {
            "patience": means.patience,
            "attention": means.attention,
            "tail": 0.0,  # a commit is exact: what was appended is the turn
        }
        if not self._asking.leads:
            settings |= {"answers": means.answers, "interruptible": means.interruptible}
        if self._asking.steers:
            settings |= {"system": means.system, "tools": means.tools, "speaks": means.speaks}
        self._out.do(Configure(settings))
        return self._out.take()

    def asked(self, event: ClientEvent) -> list[Effect]:
        """The client asks for something. What cannot be done is an error event, and nothing else."""
        if self._over:
            return []
        try:
            self._asking.ask(event)
        except Invalid as error:
            error.about = error.about or event.event_id
            self.refused(error)
        return self._out.take()

    def refuse(self, error: Invalid) -> list[Effect]:
        """What the client sent cannot be read, or could not be done."""
        if not self._over:
            self.refused(error)
        return self._out.take()

    def refused(self, error: Invalid) -> None:
        """The same, laid down."""
        told = {
            "type": "invalid_request_error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "event_id": error.about,
        }
        self._out.send("error", error=told)

    def happened(self, news: Rendered | Called | Lapsed | Over | Tick) -> list[Effect]:
        """Sound left the gate, a function is called, time passes."""
        if self._over:
            return []
        match news:
            case Rendered():
                self._speaking.rendered(news)
            case Called():
                self._speaking.called(news, self._asking.auto())
            case Lapsed(call_id=call):
                self._speaking.lapsed(call)
            case Over(response=response):
                self._speaking.over(response)
            case Tick(t=t):
                self._speaking.tick(t)
                self._asking.tick(t)
        return self._out.take()

    def heard(self, item: str, text: str) -> None:
        """Of the assistant's item only this was heard; the answer to `Truncate`."""
        self._asking.heard(item, text)

    def told(self, event: events.Event) -> list[Effect]:
        """The session tells of something."""
        if self._over:
            return []
        self._asking.now = max(self._asking.now, event.t)
        match event:
            case events.SpeechStart(turn=int(turn)):
                self._speech_started(turn, event.t)
            case events.SpeechEnd(turn=int(turn)):
                self._turns.speech_ended(turn, event.t)
            case events.FinalTranscript(turn=int(turn)):
                self._turns.transcribed(turn, event.text, event.t)
            case events.TurnEnd(who="user", turn=int(turn)):
                self._turn_ended(turn, event.t, was_one=event.reason not in NO_TURN)
            case events.Rejected(turn=int(turn)):
                self._turn_ended(turn, event.t, was_one=False)
            case events.Error():
                self._failed(event)
            case events.SessionEnd():
                self._ended(event.reason)
            case _:
                self._reply(event)
        return self._out.take()

    # --- the session's events -----------------------------------------------------------------------------------------

    def _speech_started(self, turn: int, t: float) -> None:
        response = self._speaking.response
        before_it_began = response is not None and response.asked and not response.started
        self._turns.speech_started(turn, t, tell=response is None or before_it_began)
        voice = self._turns.voice
        if before_it_began and voice is not None and voice.turn == turn and meant(self.session).interruptible:
            self._speaking.cancel("turn_detected")  # nothing was said yet: the floor is the user's at once
        self._asking.spoke()

    def _turn_ended(self, turn: int, t: float, *, was_one: bool) -> None:
        voice = self._turns.voice
        self._turns.ended(turn, t, was_one=was_one)
        if voice is not None and voice.turn == turn:
            self._speaking.turn_over(was_one=was_one or voice.committed)

    def _reply(self, event: events.Event) -> None:
        turn = event.turn
        if turn is None:
            return
        if isinstance(event, events.BargeIn):
            self._turns.tell()
            self._speaking.ended(turn, "interrupted", self._asking.auto())
        elif isinstance(event, events.TurnEnd):
            self._reply_ended(turn, event.reason)
        elif isinstance(event, events.LlmToken | events.AudioChunk | events.ToolCalled):
            self._reply_grew(turn, event)

    def _reply_grew(self, turn: int, event: events.LlmToken | events.AudioChunk | events.ToolCalled) -> None:
        self._turns.answered(turn)
        if isinstance(event, events.ToolCalled):
            self._speaking.calls(turn, self._asking.auto())
            return
        response = self._speaking.of(turn, self._asking.auto())
        if response is None:
            return
        if isinstance(event, events.LlmToken):
            response.told(event.text)
            self._speaking.look_at_limits()
        else:
            self._speaking.handed(response, event.samples, event.text)

    def _reply_ended(self, turn: int, reason: str) -> None:
        self._turns.answered(turn)
        if reason == "interrupted" and self.active:
            self._turns.tell()
        if self._speaking.ended(turn, reason, self._asking.auto()):
            self._turns.tell()  # whoever has been speaking over it has the floor now
            self._asking.rested()

    def _failed(self, event: events.Error) -> None:
        error = {"type": "server_error", "code": event.code, "message": without_places(event.message)}
        if event.stage != "stt" and self._speaking.failed(event.turn, error):
            return
        self._out.send("error", error={**error, "param": None, "event_id": None})

    def _ended(self, reason: str) -> None:
        self._over = True
        self._speaking.cancel()
        code, why = CLOSES.get(reason, (1011, f"the conversation ended: {reason}"))
        self._out.do(Close(code, why))
