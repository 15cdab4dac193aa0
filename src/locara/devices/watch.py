"""What has been plugged in, taken away, or made the default, seen by asking again and again.

What may live here: the asking, off the event loop, and the comparison of two answers.

Why asking, and not miniaudio's notifications: they do not come from every backend ("some backends perform automatic stream
routing without any kind of notification", miniaudio's manual), and its Python package does not pass them on. Following a
new default is not done here either: PulseAudio and PipeWire move the streams that asked for the default, and miniaudio
does the same on CoreAudio and WASAPI. PortAudio's list stands still while a stream is open, so nothing is seen with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from locara.devices import listing
from locara.devices.contracts import DeviceInfo
from locara.devices.native import off_loop
from locara.errors import DeviceError

ASK_SECONDS = 2.0
"""Seconds between two questions. One costs under a millisecond of processor time and 1.5 ms of waiting (PulseAudio)."""

_DEADLINE = 5.0  # seconds for an answer; a hung sound server gets no second question meanwhile


@dataclass(frozen=True, slots=True)
class Difference:
    """What has changed between two answers. ``default``: the new default of a kind, where it is another one."""

    added: tuple[DeviceInfo, ...] = ()
    removed: tuple[DeviceInfo, ...] = ()
    default: tuple[DeviceInfo, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.default)


def difference(before: Sequence[DeviceInfo], after: Sequence[DeviceInfo]) -> Difference:
    """Devices are told apart by kind and name; several of one name count as one."""
    keys_before, keys_after = ({(one.kind, one.name) for one in some} for some in (before, after))
    defaults_before = {(one.kind, one.name) for one in before if one.is_default}
    return Difference(
        added=tuple(one for one in after if (one.kind, one.name) not in keys_before),
        removed=tuple(one for one in before if (one.kind, one.name) not in keys_after),
        default=tuple(one for one in after if one.is_default and (one.kind, one.name) not in defaults_before),
    )


async def answers(
    ask: Callable[[], list[DeviceInfo]] = listing.list_devices, *, every: float = ASK_SECONDS
) -> AsyncIterator[list[DeviceInfo]]:
    """The devices now, and again every ``every`` seconds. Where the sound system does not answer there is no answer, not an
    empty one."""
    while True:
        answer: list[DeviceInfo] | None = None
        with contextlib.suppress(DeviceError):
            answer = await off_loop(ask, deadline=_DEADLINE, what="listing the devices")
        if answer is not None:
            yield answer
        await asyncio.sleep(every)
