"""The assistant's side of a Realtime conversation: which response the session's reply belongs to. Pure.

What may live here: the one active response, the calls of functions that wait for the client, and what became of replies
that the client cancelled. The session numbers a reply by the turn in which it is; a response that the client asked for
learns its number from the first that comes of it.

A reply that calls a function waits inside the session, but ends as a response; it goes on as the next one that the client
asks for, once it has the function's output.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from locara.audio import Samples
from locara.server.realtime_effects import Answer, Called, Interrupt, Outbox, Rendered, Respond
from locara.server.realtime_items import Book
from locara.server.realtime_response import RATE, Response
from locara.server.realtime_wire import JSON

_FADE = round(0.04 * RATE)
"""Samples after a response that was cut which are still its own: the block with the fade-out, and one more."""

_EARLY = 16
"""Blocks of sound that may come before the event that says whose they are: both wake up in the same moment."""

_AFTER_CALL = 0.4
"""Seconds of silence after which what was said before a call is taken to be over."""

_REMEMBERED = 64
"""Replies whose end is remembered: what still comes of one is dropped."""

ENDED: dict[str, tuple[str, str | None]] = {
    "finished": ("completed", None),
    "empty": ("completed", None),
    "interrupted": ("cancelled", "turn_detected"),
    "cancelled": ("cancelled", "client_cancelled"),
    "stopped": ("cancelled", "client_cancelled"),
    "failed": ("failed", None),
}
"""Reason of the session's turn-end -> status and reason of the response."""


@dataclass(slots=True)
class Waiting:
    """A call that waits for its output. ``gone``: the reply that it was for has ended, but what came of it is remembered."""

    turn: int | None
    output: str | None = None
    gone: bool = False


class Speaking:
    """See the file's head."""

    def __init__(self, out: Outbox, book: Book) -> None:
        self._out = out
        self._book = book
        self.response: Response | None = None
        """The active one."""
        self.waiting: dict[str, Waiting] = {}
        self.base: tuple[float, int] = (0.0, 0)
        """How much of the waiting reply was sent."""
        self.spoken = False
        """Sound was sent, so the voice stands."""
        self._closed: deque[int] = deque(maxlen=_REMEMBERED)
        self._stale: set[str] = set()
        self._deferred: list[Respond] = []
        self._postponed: Respond | None = None
        self._early: deque[Rendered] = deque(maxlen=_EARLY)
        self._fence = 0
        self._at = 0
        self._calls: deque[Called] = deque()
        self._callers: deque[int] = deque()
        self._call_over: float | None = None
        self._now = 0.0

    # --- asked for ----------------------------------------------------------------------------------------------------

    def begin(self, settings: JSON, *, turn: int | None, asked: bool, book: Book | None = None) -> Response:
        """A new response. ``book``: for one out of band."""
        self.response = Response(self._out, book or self._book, settings, turn=turn, asked=asked)
        return self.response

    def ask(self, wish: Respond) -> None:
        """Asks the session for it; not before it is known what of a cancelled one still comes."""
        if self._stale:
            self._deferred.append(wish)
        else:
            self._out.do(wish)

    def postpone(self, wish: Respond) -> None:
        """The user is speaking, and will be answered: that answer is the response. It is only asked for if nothing was
        said."""
        self._postponed = wish

    def turn_over(self, *, was_one: bool) -> None:
        """The turn that a postponed response waited for."""
        wish, self._postponed = self._postponed, None
        if wish is not None and not was_one and self.response is not None and self.response.id == wish.response:
            self.ask(wish)

    def cancel(self, reason: str = "client_cancelled") -> None:
        """Ends the active response, and the reply behind it."""
        response = self.response
        if response is None:
            return
        if response.turn is None and not self._undefer(response.id):
            self._stale.add(response.id)
        self._end("cancelled", reason)
        self._out.do(Interrupt())

    def _undefer(self, response: str) -> bool:
        if self._postponed is not None and self._postponed.response == response:
            self._postponed = None
            return True
        kept = [wish for wish in self._deferred if wish.response != response]
        found, self._deferred = len(kept) < len(self._deferred), kept
        return found

    def over(self, response: str) -> None:
        """The session knows no more of what was asked for."""
        self._stale.discard(response)
        if self.response is not None and self.response.id == response and self.response.turn is None:
            self._end("cancelled", "client_cancelled")
        if not self._stale:
            deferred, self._deferred = self._deferred, []
            self._out.do(*deferred)

    # --- what the session tells ---------------------------------------------------------------------------------------

    def of(self, turn: int, settings: JSON | None) -> Response | None:
        """The response that the session's reply in ``turn`` is; begun with ``settings`` where there is none. None: it is
        over for the client."""
        if turn in self._closed:
            return None
        response = self.response
        if response is None and any(one.turn == turn for one in self.waiting.values()):
            self._leave_waiting(turn)  # it goes on, though nobody gave it what it waited for
            self._out.do(Interrupt())
            return None
        if response is None or response.turn is None:
            if self._stale:
                self._closed.append(turn)
                return None
            if response is None:
                return None if settings is None else self.begin(settings, turn=turn, asked=False)
            response.turn = turn
        return response if response.turn == turn else None

    def handed(self, response: Response, samples: Samples, text: str) -> None:
        """The reply's sound was handed to the output."""
        response.handed(int(samples.size), text)
        early, self._early = self._early, deque(maxlen=_EARLY)
        for block in early:
            self.rendered(block)

    def rendered(self, block: Rendered) -> None:
        """Sound left the output."""
        self._at = block.at + int(block.samples.size)
        response = self.response
        if block.at < self._fence:
            return
        if response is None or not response.started:
            self._early.append(block)
            return
        if block.held and float(abs(block.samples).max(initial=0.0)) < 1e-5:
            return  # it stands still: the client's player shall not be ahead of it when it goes on
        response.rendered(block.samples)
        self.spoken = self.spoken or response.sounding
        self.look_at_limits()

    def look_at_limits(self) -> None:
        """What ends a response beside its reply's end: a call whose preamble is over, or ``max_output_tokens``."""
        response = self.response
        if response is None:
            return
        if response.calls:
            if response.unrendered == 0.0 or response.quiet >= _AFTER_CALL or self._now >= (self._call_over or 0.0):
                self._end_with_call(response)
        elif response.exhausted:
            self._end("incomplete", "max_output_tokens")
            self._out.do(Interrupt())

    def tick(self, t: float) -> None:
        """The session's clock."""
        self._now = t
        self.look_at_limits()

    def ended(self, turn: int, reason: str, settings: JSON) -> bool:
        """The session's reply is over. True: a response ended with it."""
        if any(one.turn == turn for one in self.waiting.values()) and self.response is None:
            self._leave_waiting(turn)
            return False
        if self.response is None and (turn in self._closed or reason in ("cancelled", "stopped", "interrupted")):
            return False
        if reason == "cancelled" and self.response is not None and self.response.turn is None:
            return False  # the end of one that was cancelled before it was known
        response = self.of(turn, settings)
        if response is None:
            return False
        self._leave_waiting(turn)
        status, why = ENDED.get(reason, ("failed", None))
        self._end(status, why)
        return True

    def failed(self, turn: int | None, error: JSON) -> bool:
        """The reply in ``turn`` has failed; its end will say so. True: it is known whose failure that is."""
        response = self.response
        if response is not None and turn is not None and response.turn in (turn, None):
            response.failure = error
            return True
        return turn is not None and (turn in self._closed or any(one.turn == turn for one in self.waiting.values()))

    # --- calls --------------------------------------------------------------------------------------------------------

    def calls(self, turn: int, settings: JSON) -> None:
        """The session says that the reply in ``turn`` calls a function."""
        self._callers.append(turn)
        self._pair(settings)

    def called(self, call: Called, settings: JSON) -> None:
        """The call itself: the function was run, which means that the client is to be asked."""
        self._calls.append(call)
        self._pair(settings)

    def _pair(self, settings: JSON) -> None:
        while self._calls and self._callers:
            call, turn = self._calls.popleft(), self._callers.popleft()
            response = self.of(turn, settings)
            if response is None:
                self._out.do(Answer(call.call_id, '{"error": "the user cancelled it"}'))
                continue
            response.called(call.call_id, call.name, call.arguments)
            self.waiting[call.call_id] = Waiting(turn)
            self._call_over = self._now + response.unrendered + 1.0
            self.look_at_limits()

    def _end_with_call(self, response: Response) -> None:
        self._call_over = None
        self._end("completed", None, stays=True)
        self.base = response.progress

    def output(self, call_id: str, output: str) -> bool:
        """The client gives what came of a call. False: none waits for that."""
        waiting = self.waiting.get(call_id)
        if waiting is None:
            return False
        waiting.output = output
        if waiting.gone:
            del self.waiting[call_id]
            self._out.do(Answer(call_id, output))
        return True

    def lapsed(self, call_id: str) -> None:
        """Nobody waits any more for what comes of this call."""
        one = self.waiting.pop(call_id, None)
        if one is not None and one.turn is not None and not one.gone:
            self._leave_waiting(one.turn)  # the model goes on with an error, which the client did not ask for
            self._out.do(Interrupt())

    def resumable(self) -> int | None:
        """The turn whose reply can go on, because every call of it has its output."""
        live = {call: one for call, one in self.waiting.items() if not one.gone}
        if not live or any(one.output is None for one in live.values()):
            return None
        return next(iter(live.values())).turn

    def resume(self, settings: JSON, turn: int) -> None:
        """Its reply goes on as a response of its own."""
        response = self.begin(settings, turn=turn, asked=True)
        response.base = self.base
        for call, one in list(self.waiting.items()):
            if not one.gone:
                del self.waiting[call]
                self._out.do(Answer(call, one.output or ""))

    def abandon(self) -> None:
        """The client goes another way: a reply that still waits for its functions ends."""
        turns = {one.turn for one in self.waiting.values() if not one.gone}
        for turn in turns:
            if turn is not None:
                self._leave_waiting(turn)
                self._out.do(Interrupt())

    def _leave_waiting(self, turn: int) -> None:
        """The reply in ``turn`` is over; what its functions give is still remembered."""
        self._closed.append(turn)
        for call, one in list(self.waiting.items()):
            if one.turn == turn and not one.gone:
                one.gone = True
                if one.output is not None:
                    del self.waiting[call]
                    self._out.do(Answer(call, one.output))

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _end(self, status: str, reason: str | None, *, stays: bool = False) -> None:
        response, self.response = self.response, None
        assert response is not None
        response.end(status, reason)  # type: ignore[arg-type]
        if response.turn is not None and not stays:
            self._closed.append(response.turn)
            for one in self.waiting.values():
                one.gone = one.gone or one.turn == response.turn
        self._early.clear()
        self._fence = self._at + _FADE if status != "completed" else self._at
