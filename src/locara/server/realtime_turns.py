"""The user's side of a Realtime conversation: from speech to a committed item with its transcript. Pure.

What may live here: the turns that are open, and the events that tell of them. A turn has an item id from its beginning,
as the protocol wants it; the item itself is made when the turn is committed.

``speech_started`` stops the player of every stock client, so it is only told of a voice that has the floor: while the
assistant speaks, that is known when it is interrupted. A turn that was told and then was none ends with ``speech_stopped``
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from locara.server.realtime_clock import AppendClock
from locara.server.realtime_effects import Outbox
from locara.server.realtime_items import Book, Item, Part
from locara.voice.evidence import ONSET_SECONDS

LEAST_COMMIT = 0.1
"""Seconds: what OpenAI wants of a buffer that is committed by hand."""


@dataclass(slots=True)
class Turn:
    """A user's turn that is open. ``turn``: the session's number; None as long as it does not know of it. Times in seconds
    of the session's clock. ``by_hand``: the client says where it begins and ends. ``dropped``: it is cleared."""

    item: str
    turn: int | None
    began: float
    stopped: float | None = None
    by_hand: bool = False
    told: bool = False
    committed: bool = False
    dropped: bool = False
    appended: float = 0.0


class Turns:
    """All that are open: one by voice, or some by hand whose transcripts are still to come."""

    def __init__(self, out: Outbox, book: Book, clock: AppendClock) -> None:
        self._out = out
        self._book = book
        self._clock = clock
        self._open: list[Turn] = []
        self._held: Turn | None = None
        self.prefix = 0.3
        """Seconds before the voice that count to it."""
        self.transcribes = False
        """The client wants transcripts."""

    # --- by voice -----------------------------------------------------------------------------------------------------

    @property
    def voice(self) -> Turn | None:
        """The open turn that a voice began."""
        return next((turn for turn in self._open if not turn.by_hand), None)

    def speech_started(self, turn: int, t: float, *, tell: bool) -> None:
        """The session opened a turn, or takes it up again after a pause."""
        if self._by_number(turn) is not None:
            return
        pressed = next((one for one in self._open if one.by_hand and one.turn is None), None)
        if pressed is not None:
            pressed.turn = turn
            return
        if self.voice is not None:  # a session has one at a time; should its end have been missed, this is it
            self._stop_telling(self.voice)
            self._open.remove(self.voice)
        self._open.append(Turn(self._out.new_id("item"), turn, max(0.0, t - ONSET_SECONDS)))
        if tell:
            self.tell()

    def tell(self) -> None:
        """Tells of the voice, if that was not done."""
        turn = self.voice
        if turn is None or turn.told:
            return
        turn.told = True
        start = self._clock.milliseconds(max(0.0, turn.began - self.prefix))
        self._out.send("input_audio_buffer.speech_started", audio_start_ms=start, item_id=turn.item)

    def speech_ended(self, turn: int, t: float) -> None:
        """The voice pauses, perhaps for good."""
        one = self._by_number(turn)
        if one is not None:
            one.stopped = t

    # --- by hand ------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        """Whether sound was appended by hand and not committed."""
        return self._held is not None

    def press(self, t: float) -> None:
        """The first sound of a turn by hand."""
        self._held = Turn(self._out.new_id("item"), None, t, by_hand=True)
        self._open.append(self._held)

    def appended(self, seconds: float) -> None:
        """Sound of the turn by hand."""
        if self._held is not None:
            self._held.appended += seconds

    @property
    def held_seconds(self) -> float:
        """How much sound waits to be committed."""
        return 0.0 if self._held is None else self._held.appended

    def release(self) -> None:
        """It is committed: its item is there at once, its transcript comes later."""
        turn, self._held = self._held, None
        assert turn is not None
        self._commit(turn)

    @property
    def unsettled(self) -> bool:
        """Whether a turn by hand is committed and the session has not ended it yet."""
        return any(turn.by_hand and turn.committed for turn in self._open)

    def clear(self) -> None:
        """What was appended is no turn."""
        for turn in self._open:
            if not turn.committed:
                turn.dropped = True
                self._stop_telling(turn)
        self._held = None
        self._open = [turn for turn in self._open if turn.by_hand]

    # --- its end ------------------------------------------------------------------------------------------------------

    def transcribed(self, turn: int, text: str, t: float) -> None:
        """The session's last word on what was said."""
        one = self._by_number(turn)
        if one is None or one.dropped:
            return
        if not one.committed:
            self._commit(one)
        self._transcript(one, text, t)

    def answered(self, turn: int) -> None:
        """A reply to this turn begins, so it is committed: of a model that gives no words there is no other news."""
        one = self._by_number(turn)
        if one is not None and not one.committed and not one.dropped:
            self._commit(one)
            self._unknown(one)

    def ended(self, turn: int, t: float, *, was_one: bool) -> None:
        """The session has ended the turn. ``was_one`` False: it was noise, or a word in passing."""
        one = self._by_number(turn)
        if one is None:
            return
        if one.by_hand and one.committed and not one.dropped:
            self._transcript(one, "", t)  # silence was committed; or it has its transcript, and this does nothing
        elif was_one:
            self.answered(turn)
        else:
            self._stop_telling(one)
        self._open = [other for other in self._open if other is not one]

    def timed_out(self, start: float, end: float) -> None:
        """Nobody spoke for the time that was set: the silence is committed, for the model to react to."""
        item = self._out.new_id("item")
        times = {"audio_start_ms": self._clock.milliseconds(start), "audio_end_ms": self._clock.milliseconds(end)}
        self._out.send("input_audio_buffer.timeout_triggered", **times, item_id=item)
        self._commit(Turn(item, None, start, by_hand=True))

    # --- its parts ----------------------------------------------------------------------------------------------------

    def _by_number(self, turn: int) -> Turn | None:
        return next((one for one in self._open if one.turn == turn), None)

    def _stop_telling(self, turn: Turn) -> None:
        if turn.told:
            turn.told = False
            stop = turn.began if turn.stopped is None else turn.stopped
            end = self._clock.milliseconds(stop)
            self._out.send("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id=turn.item)

    def _commit(self, turn: Turn) -> None:
        if not turn.by_hand:
            self.tell()
        for one in self._open:
            self._stop_telling(one)
        turn.committed = True
        last = self._book.items.all[-1].id if self._book.items.all else None
        self._out.send("input_audio_buffer.committed", previous_item_id=last, item_id=turn.item)
        item = Item(turn.item, "message", "user", content=(Part("input_audio"),), turn=turn.turn)
        self._book.items = self._book.items.added(item)
        for kind in ("added", "done"):
            self._out.send(f"conversation.item.{kind}", previous_item_id=last, item=item.wire())

    def _transcript(self, turn: Turn, text: str, t: float) -> None:
        item = self._book.items.find(turn.item)
        if item is None or item.content[0].text is not None:
            return
        self._book.items = self._book.items.replaced(replace(item.saying(text), turn=turn.turn))
        if not self.transcribes:
            return
        where = {"item_id": turn.item, "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        if text:
            self._out.send(f"{kind}.delta", **where, delta=text)
        seconds = turn.appended or max(0.0, (t if turn.stopped is None else turn.stopped) - turn.began)
        usage = {"type": "duration", "seconds": round(seconds, 3)}
        self._out.send(f"{kind}.completed", **where, transcript=text, usage=usage)

    def _unknown(self, turn: Turn) -> None:
        if self.transcribes:
            error = {
                "type": "server_error",
                "code": "no_transcript",
                "message": "The model that runs here hears and speaks, and gives no transcript of what it hears.",
                "param": None,
            }
            kind = "conversation.item.input_audio_transcription.failed"
            self._out.send(kind, item_id=turn.item, content_index=0, error=error)
