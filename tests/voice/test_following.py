"""What a conversation makes of what happens to its devices, without a conversation."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from locara.audio import BLOCK, Samples, silence
from locara.devices import reopening, watch
from locara.devices.contracts import DeviceInfo, Reopened
from locara.devices.null import NullSink, SilentSource
from locara.gate.ear import Ear
from locara.testing import EnergyDetector
from locara.voice import events as tell
from locara.voice.following import Following

NOISE = np.full(BLOCK, 1e-4, dtype=np.float32)


class Told:
    """A `Following` over ``source`` and ``sink``, and what it told."""

    def __init__(self, source: Any = None, sink: Any = None) -> None:
        self.events: list[tell.Event] = []
        self.paths: list[str] = []
        self.ear = Ear(EnergyDetector())
        self.it = Following(
            source or SilentSource(), sink or NullSink(), emit=self.events.append, now=lambda: 0.0,
            path_changed=self._path_changed,
        )  # fmt: skip

    def _path_changed(self, kind: str) -> None:
        self.paths.append(kind)
        self.ear.device_changed()

    def hear(self, block: Samples, seconds: float) -> list[str]:
        """The news of so many seconds of ``block``."""
        before = len(self.events)
        for _ in range(round(seconds / 0.02)):
            self.ear.hear(block)
            self.it.listen_for_zeros(self.ear)
        return [getattr(one, "change", one.type) for one in self.events[before:]]


def test_silence_that_stands_for_a_loss_is_no_dead_microphone() -> None:
    told = Told()
    told.hear(NOISE, 1.0)
    told.it.source.losses.lost = True
    assert told.hear(silence(BLOCK), 5.0) == []
    told.it.source.losses.lost = False
    told.it.changed(reopening.returned("input", "x", "x", replaced=False))
    assert told.hear(silence(BLOCK), 0.3) == [], "zeros from before it came back were counted"
    assert told.hear(silence(BLOCK), 0.2) == ["device-silent"]


def test_a_device_that_came_back_dead_is_told_again() -> None:
    told = Told()
    assert told.hear(silence(BLOCK), 0.5) == ["device-silent"]
    assert told.hear(NOISE, 1.0) == ["sounding"]
    told.it.changed(reopening.returned("input", "x", "x", replaced=False))
    assert told.hear(silence(BLOCK), 0.5) == ["device-silent"]


def test_a_muted_microphone_is_not_dead() -> None:
    told = Told()
    told.ear.muted = True
    assert told.hear(NOISE, 5.0) == []


def test_the_way_of_the_echo_is_another_with_another_device_and_not_with_a_loss() -> None:
    told = Told()
    told.it.changed(reopening.lost("input", "x", "was lost"))
    told.it.changed(reopening.sounding("x"))
    assert told.paths == []
    told.it.changed(reopening.returned("output", "x", "x", replaced=False))
    told.it.changed(reopening.returned("input", "y", "x", replaced=True))
    told.it.changed(reopening.new_default("output", "z"))
    assert told.paths == ["output", "input", "output"]


class Listed(NullSink):
    """A speaker that was asked for by ``asked``."""

    give_up = 30.0

    def __init__(self, asked: str) -> None:
        super().__init__()
        self.asked = asked
        self.closed = 0

    @property
    def name(self) -> str:
        return self.asked

    def devices(self) -> list[DeviceInfo]:
        return []

    async def until_lost(self) -> str:
        return ""

    async def reopen(self, *, stand_in: bool) -> Reopened:
        return Reopened(self.asked)

    async def close(self) -> None:
        self.closed += 1


BEFORE = [DeviceInfo("Built-in", "output", True, "x")]
AFTER = [DeviceInfo("Built-in", "output", False, "x"), DeviceInfo("Headset", "output", True, "x")]


def _noticed(sink: Listed, *, replaced: bool = False) -> list[str]:
    told = Told(sink=sink)
    losses = told.it.sink.losses
    losses.replaced = replaced
    asyncio.run(told.it._noticed("output", losses, watch.difference(BEFORE, AFTER), AFTER))
    return [getattr(one, "change", one.type) for one in told.events]


def test_a_new_default_concerns_whoever_asked_for_the_default() -> None:
    assert _noticed(Listed("default")) == ["default"]
    assert _noticed(Listed("Built-in")) == []


def test_a_replaced_device_that_is_plugged_in_again_is_gone_back_to() -> None:
    headset = Listed("Headset")
    assert _noticed(headset, replaced=True) == []
    assert headset.closed == 1
    other = Listed("Studio")
    assert _noticed(other, replaced=True) == ["default"]
    assert other.closed == 0
