"""A recogniser whose work is done by a sidecar: one turn after the other, each in segments that end where we settle.

What may live here: this side of the dialogue, for any recogniser that a sidecar brings. Which program that is, and what it
is told at its start, belongs to the engine's own file.

Orders: ``begin {turn}``, sound, ``settle {turn, segment}``, ``drop {turn}``. Answers: ``partial {turn, segment, text}``
(the text since the last ``final``, may still change), ``final {turn, segment, text, confidence?}`` (a piece that stays),
``done {turn, segment}`` (all of this segment is final), ``error {turn, message, hint?}``. Turns and segments are numbered:
what comes late belongs to a number that is over, and is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from locara.audio import RATE, Samples, pcm16, silence
from locara.engines.contracts import EngineInfo, Transcript
from locara.engines.lane import Lane
from locara.engines.sidecar import Message, Sidecar
from locara.errors import EngineFailed, LocaraError

START_SECONDS = 80.0
"""To compile on first use, to start and to warm up: less than the 90 s that a session waits for a stage to load."""
_MARGIN = (
    1.0  # seconds that the lane waits longer than the sidecar: then the sidecar's own error is the one that is seen
)
_UNSPACED = ("zh", "yue", "ja", "th", "lo", "km", "my")  # languages written without spaces between words


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of a turn: pieces that stay, text that may still change, the last segment that is done."""

    turn: int
    joint: str = " "
    pieces: tuple[tuple[str, float | None], ...] = ()
    volatile: str = ""
    done: int = -1
    failure: tuple[str, str] | None = None

    def after(self, message: Message) -> Heard:  # noqa: PLR0911  one way out for each kind of message
        """After one message of the sidecar. What is for another turn, late or of no known type changes nothing."""
        if message.get("turn") != self.turn:
            return self
        kind, text, segment = message["type"], message.get("text"), message.get("segment")
        if kind == "error":
            said = str(message.get("message") or "it failed and did not say why")
            return dataclasses.replace(self, failure=(said, str(message.get("hint") or "")))
        if isinstance(segment, bool) or not isinstance(segment, int) or segment <= self.done:
            return self
        if kind == "done":
            return dataclasses.replace(self, volatile="", done=segment)
        if not isinstance(text, str) or kind not in ("partial", "final"):
            return self
        text = text.strip()
        if kind == "partial":
            return dataclasses.replace(self, volatile=text)
        piece = (text, _confidence(message.get("confidence")))
        return dataclasses.replace(self, pieces=(*self.pieces, piece) if text else self.pieces, volatile="")

    @property
    def text(self) -> str:
        """Everything so far."""
        return self.joint.join(part for part in (*(text for text, _ in self.pieces), self.volatile) if part)

    @property
    def transcript(self) -> Transcript:
        """The pieces that stay; their confidence weighted by length, None if a piece has none."""
        known = [(len(text), sure) for text, sure in self.pieces if sure is not None]
        sure = None
        if known and len(known) == len(self.pieces):
            sure = sum(size * one for size, one in known) / sum(size for size, _ in known)
        return Transcript(self.joint.join(text for text, _ in self.pieces), sure)


def _confidence(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return None
    return float(value)


def joint(locale: str) -> str:
    """What stands between two pieces of text in this language."""
    return "" if locale.lower().replace("_", "-").split("-")[0] in _UNSPACED else " "


class SidecarRecogniser:
    """See `locara.engines.contracts.Recogniser`. ``deadline``: seconds to wait for a settled text."""

    def __init__(
        self,
        info: EngineInfo,
        command: Callable[[], Sequence[str]],
        *,
        locale: str,
        deadline: float,
        start_deadline: float = START_SECONDS,
        explain: Callable[[int | None, str], tuple[str, str] | None] = lambda _code, _words: None,
    ) -> None:
        self.deadline = deadline
        self.locale = locale
        self.sidecar = Sidecar(command, stage="stt", model=info.model, listener=self._heard, explain=explain)
        self.lane = Lane(info.engine, stage="stt", model=info.model)
        self.current: Listening | None = None
        self.start_deadline = start_deadline
        self._info = info
        self._turns = 0

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._info

    async def load(self) -> None:
        """Starts the program and recognises half a second of silence. Raises ``StageError``."""
        await self.lane.run(self.wake, deadline=self.start_deadline + _MARGIN, abandon=self.sidecar.kill)
        warm = self.open()
        try:
            await warm.push(silence(RATE // 2))
            await warm.settle()
        finally:
            await warm.close()

    async def close(self) -> None:
        """Ends the program and the thread."""
        # It keeps nothing that would have to be saved: ending it also frees the lane, whatever that waits for.
        await asyncio.to_thread(self.sidecar.kill)
        self.lane.close()

    def open(self) -> Listening:
        """A new recognition. The one before it, if it is still open, cannot be used any longer."""
        self._turns += 1
        self.current = Listening(self, self._turns)
        return self.current

    def wake(self) -> None:
        """Blocking, on the lane: makes sure that the program runs."""
        ready = self.sidecar.start(self.start_deadline)
        note = str(ready.get("note") or "")
        if note:
            self._info = dataclasses.replace(self._info, note=note)

    def _heard(self, message: Message) -> None:
        listening = self.current
        if listening is not None:
            listening.heard = listening.heard.after(message)


class Listening:
    """One turn being recognised. See `locara.engines.contracts.Recognition`."""

    def __init__(self, engine: SidecarRecogniser, turn: int) -> None:
        self.heard = Heard(turn, joint(engine.locale))
        """Written by the reading thread, under ``changed``; read anywhere."""
        self._engine = engine
        self._turn = turn
        self._life = 0  # of the program that has begun this turn
        self._segment = 0  # the one that sound goes into
        self._unsettled = False
        self._given = ""
        self._closed = False

    async def push(self, samples: Samples) -> str | None:
        """The next samples at 16 kHz. Returns the text so far when it has changed, else None."""
        self._check()
        if not samples.size:
            return self._news()
        if not self._life:
            await self._engine.lane.run(self._begin, deadline=self._engine.start_deadline + _MARGIN)
            self._check()
        self._check_life()
        self._engine.sidecar.sound(pcm16(samples))
        self._unsettled = True
        return self._news()

    async def settle(self) -> Transcript:
        """The best transcript of everything pushed so far; without new sound, the same as before, at once."""
        self._check()
        if not self._life:
            return Transcript("")
        self._check_life()
        if self._unsettled:
            self._engine.sidecar.order("settle", turn=self._turn, segment=self._segment)
            self._segment += 1
            self._unsettled = False
        if self.heard.done < self._segment - 1:
            given_up: list[bool] = []
            await self._engine.lane.run(
                lambda: self._wait(self._segment - 1, given_up),
                deadline=self._engine.deadline + _MARGIN,
                abandon=lambda: self._give_up(given_up),
            )
        self._raise_failure()
        settled = self.heard.transcript
        self._given = settled.text
        return settled

    async def close(self) -> None:
        """Ends this recognition. Never raises."""
        if self._closed:
            return
        self._closed = True
        if self._engine.current is self:
            self._engine.current = None
        if self._life == self._engine.sidecar.lives and self._engine.sidecar.alive:
            with contextlib.suppress(LocaraError):
                self._engine.sidecar.order("drop", turn=self._turn)

    def _news(self) -> str | None:
        self._raise_failure()
        text = self.heard.text
        if text == self._given:
            return None
        self._given = text
        return text

    def _raise_failure(self) -> None:
        if self.heard.failure is not None:
            said, hint = self.heard.failure
            raise self._engine.sidecar.failed(said, hint=hint or "the next turn tries again")

    def _check(self) -> None:
        if self._closed or self._engine.current is not self:
            raise self._engine.sidecar.failed("this recognition has ended", hint="open() a new one for each turn")

    def _check_life(self) -> None:
        if self._life == self._engine.sidecar.lives and self._engine.sidecar.alive:
            return
        why = self._engine.sidecar.died()
        raise EngineFailed(
            f"{why.message}; the words of this turn are lost", stage="stt", model=why.model,
            hint=why.hint or "the next turn starts it again",
        )  # fmt: skip

    def _give_up(self, given_up: list[bool]) -> None:
        with self._engine.sidecar.changed:
            given_up.append(True)
            self._engine.sidecar.changed.notify_all()

    # On the lane's thread:

    def _begin(self) -> None:
        self._engine.wake()
        self._engine.sidecar.order("begin", turn=self._turn)
        self._life = self._engine.sidecar.lives

    def _wait(self, segment: int, given_up: list[bool]) -> None:
        self._engine.sidecar.wait(
            lambda: self.heard.done >= segment or self.heard.failure is not None,
            deadline=self._engine.deadline,
            given_up=lambda: bool(given_up) or self._closed,
        )
