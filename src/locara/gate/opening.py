"""Where a source or a sink is opened: the one place for that in the whole house, and so the one where leave is asked.

What may live here: what a device needs leave for, asking for it, opening, and the last look at every block that goes out.
A test walks all call sites in `src` and `examples` and fails on any other way to a device (`tests/gate/test_walk.py`).

Nothing here can hold an app that runs in this process and means harm: it can open the sound card by itself. See
docs/gate.md for what that leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from locara.audio import Samples, clean, silence
from locara.devices.choose import DEFAULT
from locara.devices.contracts import Lists, Pull, Remote, Sink, Source
from locara.devices.pushed import PushedSource
from locara.errors import CapabilityDenied, LocaraError, SoundMuted
from locara.gate.mouth import CEILING
from locara.gate.switch import Switch, default_switch
from locara.manifest.values import Capability

Allowed = Callable[[], bool]
"""One look, for every block and from any thread: a few microseconds, never waits, never raises."""


class Grant(Protocol):
    """What an app was granted."""

    async def demand(self, capability: Capability) -> None:
        """Asked for before a device is opened. Returns, or raises ``CapabilityDenied`` or ``CapabilityPending``."""
        ...

    def holds(self, capability: Capability) -> bool:
        """Whether it is granted at this moment; see `Allowed` for what it may cost."""
        ...

    def opened(self, capability: Capability, device: str) -> None:
        """Noted: this device of the machine is open."""
        ...

    def started(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """Noted, where a device is open: it runs, with these models."""
        ...

    def closed(self, reason: str = "") -> None:
        """Noted: all of them are closed. May be called twice."""
        ...


class Unasked:
    """Everything is granted: for code that its own user runs by hand, and for tests."""

    async def demand(self, capability: Capability) -> None:
        """Returns."""

    def holds(self, capability: Capability) -> bool:
        """True."""
        return True

    def opened(self, capability: Capability, device: str) -> None:
        """Not noted."""

    def started(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """Not noted."""

    def closed(self, reason: str = "") -> None:
        """Not noted."""


def needed(device: Source | Sink) -> tuple[Capability, ...]:
    """What leave a source or a sink needs. None for files, pushed sound, silence and objects of the app's own; for a
    device of this machine, or of a client of the server, its kind, and ``device.speaker.select`` for an output that is not
    the default one."""
    if not isinstance(device, Lists | Remote):
        return ()
    if hasattr(device, "blocks"):
        return ("device.microphone",)
    return ("device.speaker",) if device.name == DEFAULT else ("device.speaker", "device.speaker.select")


def live(device: Source | Sink) -> bool:
    """Whether somebody is heard, or hears, at this moment: then the switch for all sessions holds for it. Not so for files
    and for the rig, which nobody hears."""
    return isinstance(device, Lists | PushedSource) or bool(getattr(device, "own_clock", False))


def allowed(device: Source | Sink, grant: Grant, switch: Switch | None = None) -> Allowed:
    """The look at each block of ``device``: is it still granted, and is sound switched on for this user?"""
    capabilities, watched = needed(device), live(device)
    switch = switch or default_switch()

    def look() -> bool:
        return all(grant.holds(one) for one in capabilities) and not (watched and switch.muted)

    return look


def refusal(device: Source | Sink, grant: Grant) -> LocaraError:
    """Why `allowed` says no, for a person."""
    for capability in needed(device):
        if not grant.holds(capability):
            return CapabilityDenied(
                f"{capability} is not granted any more",
                hint="see `locara grants list`; `locara grants allow` grants it",
            )
    return SoundMuted(
        "all sound of Locara is switched off for you (`locara mute`)", hint="`locara unmute` allows it again"
    )


def microphone(name: str = DEFAULT) -> Source:
    """A microphone of this machine by name, part of a name, or ``"default"``; not opened."""
    from locara.devices import listing

    return listing.microphone(name)


def speaker(name: str = DEFAULT) -> Sink:
    """A speaker of this machine by name, part of a name, or ``"default"``; not opened."""
    from locara.devices import listing

    return listing.speaker(name)


async def open_source(source: Source, grant: Grant) -> None:
    """Opens it, where that is granted. Its blocks must go through an `Ear`, which has the look at them.

    Raises ``CapabilityDenied``, ``DeviceError`` or ``AudioError``."""
    for capability in needed(source):
        await grant.demand(capability)
    await source.open()
    if capabilities := needed(source):
        grant.opened(capabilities[0], source.name)


async def open_sink(sink: Sink, pull: Pull, grant: Grant, switch: Switch | None = None) -> None:
    """Opens it, where that is granted. ``pull`` is a `Mouth`'s ``render`` or goes there; whatever it gives, nothing above
    the ceiling leaves, and nothing at all once that is not allowed any more.

    Raises ``CapabilityDenied`` or ``DeviceError``."""
    for capability in needed(sink):
        await grant.demand(capability)
    await sink.open(Last(pull, allowed(sink, grant, switch)))
    if capabilities := needed(sink):
        grant.opened(capabilities[0], sink.name)


class Last:
    """The last line before a sink. The mouth has faded and limited already: this only holds what was promised, should
    anything before it be wrong."""

    def __init__(self, pull: Pull, look: Allowed) -> None:
        self._pull = pull
        self._look = look
        self._was = look()

    def __call__(self, n: int) -> Samples:
        """The next ``n`` samples. The first block after it was forbidden is left to the mouth, which fades out in it."""
        look = self._look()
        now, self._was = look or self._was, look
        samples = self._pull(n)
        if not now:
            return silence(n)
        if not samples.any():  # most of the time; what is no number is not 0 either
            return samples
        samples = clean(samples)[0]
        return np.clip(samples, -CEILING, CEILING)
