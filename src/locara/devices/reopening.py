"""What to do about a device that is lost: when to try again, how long, and how much silence stands for the time it was gone.

What may live here: decisions and numbers, as values and small classes that are told the time. Nothing here waits, opens or
listens; that is `locara.devices.lasting`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

from locara.audio import BLOCK, RATE
from locara.devices.choose import Kind, called

GIVE_UP_SECONDS = 30.0
"""A conversation waits so long for a device: time to plug a headset in again, or to restart a sound server."""

LOYAL_SECONDS = 2.0
"""A device that was asked for by name is waited for so long before the default one takes its place: a USB or Bluetooth
device that changes its format is away for 1 to 2 s and comes back."""

STEADY_SECONDS = 2.0
"""A device that was opened again and is lost sooner than this has not come back: the same outage goes on, with its
pauses and its deadline, else a loose plug would be opened again some ten times a second."""

STALL_SECONDS = 2.0
"""A source that gives no block for so long is lost. Microphones of this machine say so themselves after 1 s."""

_FIRST_PAUSE = 0.1  # seconds before the second attempt; each later pause is twice as long
_LONGEST_PAUSE = 1.0  # seconds between two attempts
_RECENT = 100  # blocks from which it is known how the sound stands against the time: 2 s, so that drift does not add up
_STANDSTILL_SECONDS = 10.0  # a longer time at once without any block is a computer that slept, not time that was heard

ChangeOf = Literal["lost", "back", "replaced", "default", "sounding"]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a device: ``lost``; ``back``, opened again; ``replaced`` by the default one; another ``default``
    was chosen in the system; ``sounding`` again after digital zeros."""

    kind: Kind
    change: ChangeOf
    device: str
    hint: str


def lost(kind: Kind, device: str, cause: str) -> Change:
    """A device has gone. ``cause``: what was seen of it, such as ``"was lost"``."""
    meanwhile = "what you say meanwhile is not heard" if kind == "input" else "the reply waits where it stands"
    return Change(
        kind, "lost", device, f"{called(kind, device)} {cause}; plug it in again or choose another: {meanwhile}"
    )


def returned(kind: Kind, device: str, asked: str, *, replaced: bool) -> Change:
    """A device has been opened again, or the default one instead of it."""
    if replaced:
        return Change(kind, "replaced", device, f"{called(kind, device)} takes the place of {asked!r}")
    return Change(kind, "back", device, f"{called(kind, device)} is back; the conversation goes on")


def new_default(kind: Kind, device: str) -> Change:
    """Another default was chosen in the system, and the conversation follows it."""
    return Change(
        kind, "default", device, f"{called(kind, device)} is the default now; the conversation goes on with it"
    )


def sounding(device: str) -> Change:
    """A microphone that gave digital zeros gives sound."""
    return Change("input", "sounding", device, f"{called('input', device)} gives sound again")


class Outages:
    """The losses of one device, and how each of them is dealt with. All times in seconds of any one clock."""

    def __init__(self, give_up: float = GIVE_UP_SECONDS) -> None:
        self.give_up = give_up
        self._began = 0.0
        self._attempts = 0
        self._back_at: float | None = None

    def lost(self, now: float) -> None:
        """It is gone. Soon after it came back, that is the same outage."""
        if self._back_at is None or now - self._back_at >= STEADY_SECONDS:
            self._began, self._attempts = now, 0

    def back(self, now: float) -> None:
        """It gives sound, or takes it."""
        self._back_at = now

    def pause(self) -> float:
        """Seconds to wait before the next attempt, which is then counted: none before the first, then ever longer."""
        attempt, self._attempts = self._attempts, self._attempts + 1
        return 0.0 if attempt == 0 else min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt - 1, 16))

    def left(self, now: float) -> float:
        """Seconds until it is given up."""
        return self._began + self.give_up - now

    def stand_in(self, now: float) -> bool:
        """Whether the default device may take its place by now."""
        return now - self._began >= LOYAL_SECONDS


class HeardClock:
    """Where the sound that was heard stands against a clock, so that time without sound can be filled with as much silence.

    Block ``k`` cannot come before ``began + k * BLOCK / RATE``, only later: the earliest of the recent ones tells where
    the sound stands, however late some of them were. Whole blocks are filled; what is left over is made up for at the next
    gap, so the session's clock is never more than one block, 20 ms, behind, and errors do not add up.
    """

    def __init__(self, now: float) -> None:
        self._blocks = 0
        self._left_over = 0.0
        self._beginnings = deque([now], maxlen=_RECENT)

    def heard(self, now: float) -> None:
        """A block has come."""
        self._blocks += 1
        self._beginnings.append(now - self._blocks * BLOCK / RATE)

    def owed(self, now: float) -> int:
        """Blocks of silence that are due by now."""
        due = (now - self._began) * RATE / BLOCK - self._blocks
        if due * BLOCK / RATE > _STANDSTILL_SECONDS:
            self._begin(now, 0.0)
            return 0
        return max(0, int(due + 1e-6))

    def until_next(self, now: float) -> float:
        """Seconds until one more is due."""
        return max(0.0, self._began + (self._blocks + 1) * BLOCK / RATE - now)

    def filled(self) -> None:
        """A block of silence stands for time in which nothing was heard."""
        self._blocks += 1

    def resumed(self, now: float) -> None:
        """The first block of the device that came back has come, and everything before it is filled."""
        left_over = now - self._began - (self._blocks + 1) * BLOCK / RATE
        self._blocks += 1
        self._begin(now, max(0.0, left_over))

    @property
    def _began(self) -> float:
        return min(self._beginnings) - self._left_over

    def _begin(self, now: float, left_over: float) -> None:
        self._beginnings.clear()
        self._beginnings.append(now - self._blocks * BLOCK / RATE)
        self._left_over = left_over
