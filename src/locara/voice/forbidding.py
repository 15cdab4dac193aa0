"""What a conversation does when the gate does not let sound through any more: revoked, or `locara mute`.

It tells, too, when the gate lowers what is played.

What may live here: noticing it, and the words and news that follow. That nothing is heard and nothing sounds is the gate's
work, done before anybody here knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from locara.devices.choose import Kind
from locara.devices.contracts import Sink, Source
from locara.errors import CapabilityDenied
from locara.gate.bursts import Passing
from locara.gate.opening import Grant, refusal
from locara.voice import events as tell
from locara.voice import moves


class Forbidding:
    """Looked at once for each block heard. ``emit`` tells each change once, as ``device-changed`` with ``change`` ``muted``
    or ``unmuted``; a grant that was taken back as a fatal ``error``."""

    def __init__(
        self, source: Source, sink: Sink, grant: Grant, *, emit: Callable[[tell.Event], None], now: Callable[[], float]
    ) -> None:
        self._devices: dict[Kind, Source | Sink] = {"input": source, "output": sink}
        self._shut: dict[Kind, bool] = {"input": False, "output": False}
        self._passing = Passing.FREE
        self._grant = grant
        self.revoked = False
        """A grant was taken back: the session ends."""
        self._emit = emit
        self._now = now

    def look(self, kind: Kind, *, shut: bool, muted: bool = False) -> Iterator[moves.Happened]:
        """``shut``: what the ear (``"input"``) or the mouth says. ``muted``: by the user of this session, too. What the turn
        machine must know of a change: a turn of which nothing more is heard, a reply that is not heard any more."""
        if shut is self._shut[kind]:
            return
        self._shut[kind] = shut
        device = self._devices[kind]
        error = refusal(device, self._grant) if shut else None
        if isinstance(error, CapabilityDenied):
            yield from self._revoked(kind, error)
            return
        hint = error.explain() if error is not None else "it is allowed again"
        change = "muted" if shut else "unmuted"
        self._emit(tell.DeviceChanged(t=self._now(), device=device.name, hint=hint, kind=kind, change=change))
        if kind == "output" and shut:
            yield moves.Interrupt()
        elif kind == "input" and not muted:
            yield moves.Muted() if shut else moves.Unmuted()

    def _revoked(self, kind: Kind, error: CapabilityDenied) -> Iterator[moves.Happened]:
        """A grant that was taken back does not come again in this session: that is its end."""
        if not self.revoked:
            self.revoked = True
            self._emit(
                tell.Error(
                    t=self._now(), code=error.code, message=error.message, stage=kind, fatal=True, hint=error.hint
                )
            )
            yield moves.Stop("revoked")

    def limited(self, passing: Passing) -> None:
        """Tells when too many loud sounds have begun within a minute, and what became of it."""
        if passing is self._passing:
            return
        worse = (Passing.FREE, Passing.LOWERED, Passing.MUTED).index
        if worse(passing) > worse(self._passing):
            done = "it is lowered by 15 dB" if passing is Passing.LOWERED else "nothing of it is let through"
            message = f"more loud sounds begin within a minute than speech has: {done} until it is less"
            hint = (
                "does the app say something in a loop? session.interrupt() ends it; `locara mute` silences everything"
            )
            code = "too-many-bursts"
            self._emit(tell.Error(t=self._now(), code=code, message=message, stage="output", hint=hint))
        self._passing = passing

    def metrics(self) -> dict[str, float]:
        """1.0 for what is let through, 0.0 for what is not."""
        return {f"{kind}_allowed": float(not shut) for kind, shut in self._shut.items()}
