"""Sources and sinks that are lost, tried again, replaced and come back, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import Pull, Reopened
from locara.devices.lasting import LastingSink, LastingSource
from locara.devices.reopening import GIVE_UP_SECONDS, LOYAL_SECONDS, STALL_SECONDS, Change
from locara.errors import DeviceError

from .virtual_time import run

SECONDS = BLOCK / RATE


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Loose:
    """A microphone on a loose plug: the value of each sample is the time at which its block was heard. ``gone``: when
    nobody is there; ``hangs``: it does not end when it is lost, and gives nothing; ``elsewhere``: the default device is
    there meanwhile."""

    gone: tuple[tuple[float, float], ...] = ()
    hangs: bool = False
    elsewhere: bool = False
    give_up: float = GIVE_UP_SECONDS
    name: str = "headset"
    exhausted: bool = False
    overruns: int = 0
    attempts: list[float] = field(default_factory=list)
    listening: int = 0
    closed: bool = False

    def there(self) -> bool:
        return not any(begin <= now() < end for begin, end in self.gone)

    async def open(self) -> None:
        self.closed = False

    async def blocks(self) -> AsyncIterator[Samples]:
        self.listening += 1
        own = self.standing_in
        try:
            while not self.closed:
                await asyncio.sleep(SECONDS)
                if not self.there() and not own:
                    if self.hangs:
                        await asyncio.sleep(1e6)
                    return
                yield np.full(BLOCK, now(), dtype=np.float32)
        finally:
            self.listening -= 1

    standing_in = False

    async def reopen(self, *, stand_in: bool) -> Reopened:
        self.attempts.append(now())
        self.closed = False
        self.standing_in = not self.there() and stand_in and self.elsewhere
        if not self.there() and not self.standing_in:
            raise DeviceError("nobody is there")
        return Reopened("built-in", replaced=True) if self.standing_in else Reopened(self.name)

    async def close(self) -> None:
        self.closed = True


def heard(source: Loose, seconds: float) -> tuple[Samples, list[Change], list[tuple[float, float]]]:
    """The first sample of each block, the changes, and (when it came, how long the clock says that was)."""

    async def listen() -> tuple[Samples, list[Change], list[tuple[float, float]]]:
        changes: list[Change] = []
        lasting = LastingSource(source, changes.append)
        got: list[float] = []
        clock: list[tuple[float, float]] = []
        async with aclosing(lasting.blocks()) as blocks:
            async for block in blocks:
                assert block.shape == (BLOCK,)
                got.append(float(block[0]))
                clock.append((now(), len(got) * SECONDS))
                assert lasting.lost == (got[-1] == 0.0)
                if now() >= seconds:
                    break
        assert source.listening == 0, "a stream of blocks was left open"
        assert len(asyncio.all_tasks()) == 1, "an attempt goes on"
        return np.array(got), changes, clock

    return run(listen())


@pytest.mark.parametrize("hangs", [False, True])
def test_what_was_gone_is_silence_of_the_same_length_and_the_clock_goes_on(hangs: bool) -> None:
    samples, changes, clock = heard(Loose(gone=((2.0, 5.3),), hangs=hangs), 8.0)
    assert [one.change for one in changes] == ["lost", "back"]
    noticed = STALL_SECONDS + 0.1 if hangs else 0.1
    assert all(-1e-6 <= came - says <= (noticed if 2.0 <= came < 5.5 else SECONDS + 1e-6) for came, says in clock)
    at = np.flatnonzero(samples == 0.0) * SECONDS
    assert at[0] == pytest.approx(2.0, abs=2 * SECONDS)
    assert 5.3 <= at[-1] + SECONDS <= 6.3 + 2 * SECONDS  # the pauses between attempts are up to 1 s
    assert np.all(np.diff(np.flatnonzero(samples == 0.0)) == 1), "silence stands in one piece"
    after = samples[-20:]
    position = (np.arange(samples.size - 20, samples.size) + 1) * SECONDS
    assert np.abs(after - position).max() <= SECONDS + 1e-3, "what is heard afterwards stands where it was heard"


def test_it_is_tried_at_once_and_then_ever_more_seldom() -> None:
    source = Loose(gone=((1.0, 21.0),))
    heard(source, 24.0)
    gaps = np.diff(source.attempts)
    assert source.attempts[0] == pytest.approx(1.0, abs=2 * SECONDS)
    assert gaps[0] == pytest.approx(0.1, abs=0.01)
    assert gaps.max() <= 1.0 + 0.01
    assert len(gaps) < 30


def test_a_device_that_does_not_come_back_ends_with_what_was_tried() -> None:
    source = Loose(gone=((1.0, 1e9),), give_up=12.0)
    with pytest.raises(
        DeviceError, match=r"'headset' was lost and no other was found within 12 s \(nobody is"
    ) as raised:
        heard(source, 60.0)
    assert "plug it in" in raised.value.hint
    assert source.attempts[-1] <= 13.1


def test_a_loose_plug_does_not_get_a_new_deadline_each_time_it_touches() -> None:
    # There for 0.3 s in every 1.3 s: never long enough to be back.
    flicker = tuple((1.0 + 1.3 * k, 2.0 + 1.3 * k) for k in range(100))
    with pytest.raises(DeviceError):
        heard(Loose(gone=flicker, give_up=12.0), 100.0)


def test_a_named_device_is_waited_for_and_then_replaced_by_the_default_one() -> None:
    short = Loose(gone=((1.0, 1.0 + LOYAL_SECONDS - 0.5),), elsewhere=True)
    assert [one.change for one in heard(short, 6.0)[1]] == ["lost", "back"]
    _, changes, _ = heard(Loose(gone=((1.0, 1e9),), elsewhere=True), 8.0)
    assert [(one.change, one.device) for one in changes] == [("lost", "headset"), ("replaced", "built-in")]


def test_it_goes_back_to_the_device_that_was_asked_for() -> None:
    source = Loose(gone=((1.0, 6.0),), elsewhere=True)

    async def listen() -> tuple[list[Change], list[float]]:
        changes: list[Change] = []
        lasting = LastingSource(source, changes.append)
        zeros: list[float] = []
        async with aclosing(lasting.blocks()) as blocks:
            async for block in blocks:
                if not block.any():
                    zeros.append(now())
                if now() > 7.0 and lasting.losses.replaced and not lasting.losses.homing:
                    await lasting.losses.come_home()
                if now() > 9.0:
                    break
        return changes, zeros

    changes, zeros = run(listen())
    assert [(one.change, one.device) for one in changes] == [
        ("lost", "headset"), ("replaced", "built-in"), ("back", "headset")]  # fmt: skip
    assert sum(when > 7.0 for when in zeros) <= 3


def test_a_source_that_cannot_be_opened_again_ends_as_an_error() -> None:
    class Once:
        name, exhausted, overruns = "a pipe", False, 0

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def blocks(self) -> AsyncIterator[Samples]:
            yield np.zeros(BLOCK, dtype=np.float32)

    async def listen() -> int:
        return len([block async for block in LastingSource(Once(), lambda _: None).blocks()])

    with pytest.raises(DeviceError, match="a pipe was lost"):
        run(listen())


def test_a_blocked_event_loop_is_no_silent_device() -> None:
    class Behind(Loose):
        async def blocks(self) -> AsyncIterator[Samples]:
            for number in range(100):
                await asyncio.sleep(SECONDS)
                if number == 50:  # nothing of this process runs for a while, and then everything is due at once
                    asyncio.get_running_loop()._jumping.now += 30.0  # type: ignore[attr-defined]
                yield np.ones(BLOCK, dtype=np.float32)
            await asyncio.sleep(1e6)

    async def listen() -> list[Change]:
        changes: list[Change] = []
        async with aclosing(LastingSource(Behind(), changes.append).blocks()) as blocks:
            for _ in range(99):
                await anext(blocks)
        return changes

    assert run(listen()) == []


def test_a_session_that_stops_in_the_middle_of_an_attempt_leaves_nothing() -> None:
    class Slow(Loose):
        async def reopen(self, *, stand_in: bool) -> Reopened:
            await asyncio.sleep(20)
            raise DeviceError("too late")

    async def listen() -> None:
        async def take() -> None:
            async with aclosing(LastingSource(Slow(gone=((1.0, 9e9),)), lambda _: None).blocks()) as blocks:
                async for _ in blocks:
                    pass

        taking = asyncio.create_task(take())
        await asyncio.sleep(3.0)
        assert len(asyncio.all_tasks()) == 3
        taking.cancel()
        await asyncio.wait({taking})
        assert len(asyncio.all_tasks()) == 1

    run(listen())


# --- the output -------------------------------------------------------------------------------------------------------


@dataclass
class LooseSpeaker:
    """A speaker that pulls 20 ms at a time while it is there."""

    gone: tuple[tuple[float, float], ...] = ()
    give_up: float = GIVE_UP_SECONDS
    name: str = "headset"
    rate: int = 24_000
    own_clock: bool = True
    delay: float = 0.02
    underruns: int = 0
    pull: Pull | None = None
    open_: bool = False

    def there(self) -> bool:
        return not any(begin <= now() < end for begin, end in self.gone)

    async def open(self, pull: Pull) -> None:
        self.pull, self.open_ = pull, True

    def advance(self, blocks: int = 1) -> None: ...

    async def until_lost(self) -> str:
        assert self.pull is not None
        while self.open_:
            await asyncio.sleep(0.02)
            if not self.there():
                return "was lost"
            self.pull(480)
        return ""

    async def reopen(self, *, stand_in: bool) -> Reopened:
        if not self.there():
            raise DeviceError("nobody is there")
        return Reopened(self.name)

    async def close(self) -> None:
        self.open_ = False


def test_a_lost_output_pulls_nothing_and_goes_on_when_it_is_back() -> None:
    async def play() -> tuple[list[float], list[Change]]:
        pulls: list[float] = []

        def pull(n: int) -> Samples:
            pulls.append(now())
            return np.zeros(n, dtype=np.float32)

        sink, changes = LooseSpeaker(gone=((2.0, 4.0),)), list[Change]()
        await sink.open(pull)
        lasting = LastingSink(sink, changes.append)
        keeping = asyncio.create_task(lasting.keep())
        await asyncio.sleep(3.0)
        assert lasting.lost
        await asyncio.sleep(5.0)
        assert not lasting.lost
        await sink.close()
        await asyncio.wait_for(keeping, 1.0)
        return pulls, changes

    pulls, changes = run(play())
    assert not [when for when in pulls if 2.01 < when < 4.0]
    assert [when for when in pulls if when > 6.1]
    assert [one.change for one in changes] == ["lost", "back"]


def test_an_output_that_stays_away_is_given_up() -> None:
    async def play() -> None:
        sink = LooseSpeaker(gone=((1.0, 1e9),), give_up=5.0)
        await sink.open(lambda n: np.zeros(n, dtype=np.float32))
        await LastingSink(sink, lambda _: None).keep()

    with pytest.raises(DeviceError, match="the speaker 'headset' was lost"):
        run(play())
