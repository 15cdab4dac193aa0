"""Devices that outlast their plugs: what was lost is opened again, and the conversation goes on.

What may live here: the acts of losing and coming back, for sources and for sinks. When to try and what to say is decided
in `locara.devices.reopening`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from locara.audio import BLOCK, Samples, silence
from locara.devices import reopening
from locara.devices.choose import Kind, called
from locara.devices.contracts import Reopened, Reopens, ReopensSink, Sink, Source
from locara.devices.reopening import STALL_SECONDS, Change, HeardClock, Outages
from locara.errors import DeviceError

T = TypeVar("T")
Told = Callable[[Change], None]

_LOOKS = 4  # in STALL_SECONDS; a blocked event loop costs one of them, so it is not taken for a silent device


class LastingSource:
    """The blocks of a source, also past its losses.

    A source that `Reopens` is opened again, and the time between is filled with silence, so that the session's clock runs
    on and everything keeps its place. With any other source a loss is the end, as an error. ``told`` is called for each
    change, on the loop: for ``back`` and ``replaced`` right before the first block of the new device.
    """

    def __init__(self, source: Source, told: Told) -> None:
        self.losses = Losses("input", source.name, source if isinstance(source, Reopens) else None, told)
        self._source = source

    @property
    def lost(self) -> bool:
        """True while silence stands for a device that is gone."""
        return self.losses.lost

    async def blocks(self) -> AsyncGenerator[Samples, None]:
        """Blocks as heard, and silence for the time in which nothing could be. Raises ``DeviceError`` when the source is
        lost for good."""
        loop = asyncio.get_running_loop()
        clock, taking = HeardClock(loop.time()), _Taking(self._source.blocks())
        try:
            while True:
                block, cause = await taking.next()
                if block is not None:
                    clock.heard(loop.time())
                    yield block
                    continue
                await taking.close()
                self.losses.begin(cause)
                returning = asyncio.create_task(self.losses.persist(self._attempt), name="locara-reopen")
                try:
                    while not returning.done():
                        for _ in range(clock.owed(loop.time())):
                            clock.filled()
                            yield silence(BLOCK)
                        await asyncio.wait({returning}, timeout=clock.until_next(loop.time()))
                    reopened, taking, block = returning.result()
                finally:
                    await _ended(returning)
                now = loop.time()
                for _ in range(clock.owed(now) - 1):
                    clock.filled()
                    yield silence(BLOCK)
                clock.resumed(now)
                self.losses.end(reopened)
                yield block
        finally:
            await taking.close()

    async def _attempt(self, device: Reopens, stand_in: bool) -> tuple[Reopened, _Taking, Samples]:
        """(what was opened, its blocks, the first of them): without a block nothing has come back."""
        reopened = await device.reopen(stand_in=stand_in)
        taking = _Taking(self._source.blocks())
        first, cause = await taking.next()
        if first is not None:
            return reopened, taking, first
        await taking.close()
        raise DeviceError(f"{called('input', reopened.name)} opened and {cause}")


class LastingSink:
    """Watches over an output with a clock of its own. While it is lost nothing is pulled, so the reply waits at the sample
    where it stood, and nothing counts as heard that was not played."""

    def __init__(self, sink: Sink, told: Told) -> None:
        self._sink = sink if isinstance(sink, ReopensSink) else None
        self.losses = Losses("output", sink.name, self._sink, told)

    @property
    def lost(self) -> bool:
        """True while the output is gone."""
        return self.losses.lost

    async def keep(self) -> None:
        """Opens the sink again whenever it is lost, for as long as it is not closed. Returns at once for a sink that
        cannot be. Raises ``DeviceError`` when it is lost for good."""
        while self._sink is not None:
            cause = await self._sink.until_lost()
            if not cause and not self.losses.homing:
                return
            self.losses.begin(cause)
            self.losses.end(await self.losses.persist(_reopen))


async def _reopen(device: Reopens, stand_in: bool) -> Reopened:
    return await device.reopen(stand_in=stand_in)


class Losses:
    """What one device goes through: lost, opened again, perhaps replaced by the default one for a while."""

    def __init__(self, kind: Kind, asked: str, device: Reopens | None, told: Told) -> None:
        self.lost = False
        self.replaced = False
        """True while the default device takes the place of the one that was asked for."""
        self.homing = False
        """True while it is left on purpose, for the one that was asked for."""
        self.asked = asked
        """The name that the app gave."""
        self.name = asked
        """What is open, as far as it is known."""
        self._kind: Kind = kind
        self._told = told
        self._device = device  # None: it cannot be opened again
        self._outages = Outages(device.give_up) if device is not None else Outages()

    async def come_home(self) -> None:
        """The device that was asked for is there again: leaves the one that took its place, and goes back to it."""
        if self._device is not None and self.replaced and not self.lost:
            self.homing = True
            with contextlib.suppress(DeviceError):  # one that does not end in time is left alone
                await self._device.close()

    def begin(self, cause: str) -> None:
        """It is gone. Raises ``DeviceError`` for one that cannot be opened again."""
        if self._device is None:
            other = "plug it in again, or choose another input"
            raise DeviceError(f"{self.name} {cause}", hint=other)
        self._outages.lost(asyncio.get_running_loop().time())
        self.lost = True
        if not self.homing:
            self._told(reopening.lost(self._kind, self.name, cause))

    def end(self, reopened: Reopened) -> None:
        """It is there again, or another one instead."""
        self._outages.back(asyncio.get_running_loop().time())
        still_away = self.homing and reopened.replaced
        self.lost, self.homing = False, False
        self.replaced, self.name = reopened.replaced, reopened.name
        if not still_away:
            self._told(reopening.returned(self._kind, reopened.name, self.asked, replaced=reopened.replaced))

    async def persist(self, attempt: Callable[[Reopens, bool], Awaitable[T]]) -> T:
        """Tries until it works or the device is given up, which raises ``DeviceError``."""
        assert self._device is not None
        loop, outages, why = asyncio.get_running_loop(), self._outages, ""
        while (left := outages.left(loop.time())) > 0.0:
            await asyncio.sleep(min(outages.pause(), left))
            try:
                async with asyncio.timeout_at(loop.time() + max(0.0, outages.left(loop.time()))):
                    return await attempt(self._device, self.homing or outages.stand_in(loop.time()))
            except DeviceError as error:
                why = error.message
            except (TimeoutError, OSError) as error:  # of a source or sink that is not ours
                why = str(error) or why
        raise DeviceError(
            f"{called(self._kind, self.name)} was lost and no other was found within {outages.give_up:g} s"
            + (f" ({why})" if why else ""),
            hint=f"plug it in again, or choose another {self._kind}, and start again",
        )


class _Taking:
    """Takes the blocks of a source, one after the other, and notices when none comes any more.

    Not by ``asyncio.timeout`` with a deadline: after a blocked event loop that has passed although the block is there. The
    source is looked at a few times instead, and a blocked loop costs one look.
    """

    def __init__(self, blocks: AsyncIterator[Samples]) -> None:
        self._blocks = blocks
        self._loop = asyncio.get_running_loop()

    async def next(self) -> tuple[Samples | None, str]:
        """The next block, or None and what became of the source instead."""
        try:
            async with asyncio.timeout(None) as limit:
                look = _Look(self._loop, limit)
                try:
                    return await anext(self._blocks), ""
                finally:
                    look.over()
        except StopAsyncIteration:
            return None, "was lost"
        except TimeoutError:
            return None, f"gave no sound for {STALL_SECONDS:g} s"
        except DeviceError as error:
            return None, f"was lost ({error.message})"

    async def close(self) -> None:
        """Ends the stream of blocks, where it can be ended before its end."""
        if isinstance(self._blocks, AsyncGenerator):
            await self._blocks.aclose()


class _Look:
    """Looks every half second whether a block is still awaited; the fourth time is too long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: asyncio.Timeout) -> None:
        self._loop = loop
        self._limit = limit
        self._left = _LOOKS
        self._timer = loop.call_later(STALL_SECONDS / _LOOKS, self._look)

    def over(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._limit.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(STALL_SECONDS / _LOOKS, self._look)


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancels what is still under way, and waits for it as long as a source is waited for."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=STALL_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()  # looked at, so that nobody complains that it was not
