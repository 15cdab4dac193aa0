"""What a conversation does about its devices: follows their changes, tells them, and tells when a microphone is dead.

What may live here: the way from what happens to a device to the events, the ear, and whoever has learned something about
the device. When a lost one is opened again is decided in `locara.devices.reopening`, and done in `locara.devices.lasting`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from locara.audio import BLOCK
from locara.devices import reopening, watch
from locara.devices.choose import DEFAULT, Kind, hint_silent, pick
from locara.devices.contracts import DeviceInfo, Lists, Sink, Source
from locara.devices.lasting import LastingSink, LastingSource, Losses
from locara.devices.reopening import Change
from locara.errors import DeviceError
from locara.gate.dead import DeadMicrophone
from locara.gate.ear import Ear
from locara.voice import events as tell


class Following:
    """The source and the sink of a session, followed from its beginning to its end.

    ``path_changed`` is called when another device, or the same one opened anew, is heard or played on: what was learned of
    the way from the speaker to the microphone (delay, echo, levels) is void. It is the one place for that. It is called on
    the event loop; for a microphone, right before its first block is heard.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        *,
        emit: Callable[[tell.Event], None],
        now: Callable[[], float],
        path_changed: Callable[[Kind], None],
    ) -> None:
        self.source = LastingSource(source, self.changed)
        self.sink = LastingSink(sink, self.changed)
        self._emit = emit
        self._now = now
        self._path_changed = path_changed
        self._dead = DeadMicrophone()
        self._listing = next((one for one in (source, sink) if isinstance(one, Lists)), None)
        both: tuple[tuple[Kind, Source | Sink, Losses], ...] = (
            ("input", source, self.source.losses),
            ("output", sink, self.sink.losses),
        )
        self._listed: dict[Kind, Losses] = {kind: losses for kind, one, losses in both if isinstance(one, Lists)}

    def changed(self, change: Change) -> None:
        """Tells a change, and to whoever has learned something of the device that it is another one."""
        if change.change in ("back", "replaced", "default"):
            if change.kind == "input":
                self._dead = DeadMicrophone()
            self._path_changed(change.kind)
        event = tell.DeviceChanged(
            t=self._now(), device=change.device, hint=change.hint, kind=change.kind, change=change.change
        )
        self._emit(event)

    def listen_for_zeros(self, ear: Ear) -> None:
        """After each block of a microphone: tells when it is dead, within 20 ms of the ear's knowing it, and when it sounds
        again. What stands for the time of a loss, or was muted, does not count."""
        if self.source.lost or ear.muted:
            return
        verdict = self._dead.judge(BLOCK, dead=ear.dead)
        if verdict is True:
            hint = hint_silent(sys.platform)
            self._emit(tell.DeviceSilent(t=self._now(), device=self.source.losses.name, hint=hint))
        elif verdict is False:
            self.changed(reopening.sounding(self.source.losses.name))

    async def keep_watch(self) -> None:
        """Asks for the devices of this machine every two seconds, for as long as the session lasts: tells a new default
        where the default was asked for, and goes back to a device that was replaced. Nothing for files and the like."""
        if self._listing is None:
            return
        before: list[DeviceInfo] | None = None
        async for devices in watch.answers(self._listing.devices):
            if before is not None and devices and (news := watch.difference(before, devices)):
                for kind, losses in self._listed.items():
                    await self._noticed(kind, losses, news, devices)
            before = devices or before

    async def _noticed(self, kind: Kind, losses: Losses, news: watch.Difference, devices: list[DeviceInfo]) -> None:
        if losses.lost:
            return  # whatever comes back will say what it is
        if losses.replaced and any(one.kind == kind for one in news.added):
            with contextlib.suppress(DeviceError):
                pick(devices, losses.asked, kind)
                await losses.come_home()
                return
        if losses.asked == DEFAULT or losses.replaced:
            for one in news.default:
                if one.kind == kind:
                    losses.name = one.name
                    self.changed(reopening.new_default(kind, one.name))
