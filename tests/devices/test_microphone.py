"""What a microphone does whatever library drives it: a scripted library, so that its troubles can be had on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import DeviceInfo
from locara.devices.library import Running
from locara.devices.soundcard import Microphone, Speaker
from locara.errors import DeviceError


@dataclass
class Card:
    """A sound library with one device, which is used by the test."""

    rate: int = RATE
    delay: float = 0.02
    lost: bool = False
    gaps: int = 0
    stopped: int = 0
    first: int = BLOCK
    heard: list[Callable[[Samples], None]] = field(default_factory=list)
    fill: list[Callable[[int], Samples]] = field(default_factory=list)

    def devices(self) -> list[DeviceInfo]:
        return []

    def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
        self.heard.append(heard)
        heard(np.zeros(self.first, dtype=np.float32))
        return self

    def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
        self.fill.append(fill)
        return self

    def stop(self) -> None:
        self.stopped += 1


async def opened(card: Card) -> Microphone:
    mic = Microphone("scripted", library=card)
    await mic.open()
    return mic


def tone(seconds: float, rate: int) -> Samples:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_another_rate_is_changed_to_the_sessions() -> None:
    async def listen() -> Samples:
        card = Card(rate=48_000)
        mic = await opened(card)
        blocks: Any = mic.blocks()
        first = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.02)
        got = list[Samples]()
        for at in range(0, 48_000, 1000):
            card.heard[0](tone(1.0, 48_000)[at : at + 1000])
        got.append(await first)
        while len(got) < 49:
            got.append(await anext(blocks))
        assert {block.shape for block in got} == {(BLOCK,)}
        await blocks.aclose()
        await mic.close()
        return np.concatenate(got)

    heard = asyncio.run(listen())
    spectrum = np.abs(np.fft.rfft(heard))
    assert spectrum.argmax() * RATE / heard.size == pytest.approx(440, abs=1)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.02)


def test_a_process_that_stands_still_has_not_lost_its_microphone() -> None:
    async def listen() -> int:
        card = Card()
        mic = await opened(card)
        blocks: Any = mic.blocks()
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.05)
        time.sleep(1.2)  # noqa: ASYNC251 - nothing of this process runs, as when the computer sleeps
        await asyncio.sleep(0.05)
        card.heard[0](np.ones(BLOCK, dtype=np.float32))
        block = await waiting
        await blocks.aclose()
        await mic.close()
        assert card.stopped == 1
        return int(block.sum())

    assert asyncio.run(listen()) == BLOCK


def test_bad_samples_of_a_card_are_silence() -> None:
    async def listen() -> None:
        card = Card()
        mic = await opened(card)
        blocks: Any = mic.blocks()
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.02)
        card.heard[0](np.full(BLOCK, np.nan, dtype=np.float32))
        assert not (await waiting).any()
        await blocks.aclose()
        await mic.close()

    asyncio.run(listen())


def test_a_silent_card_is_lost_after_a_second_and_one_that_says_so_at_once() -> None:
    async def ends(card: Card) -> float:
        mic = await opened(card)
        began = time.perf_counter()
        async for _ in mic.blocks():
            pass
        await mic.close()
        return time.perf_counter() - began

    async def both() -> list[float]:
        return list(await asyncio.gather(ends(Card()), ends(Card(lost=True))))

    silent, said = asyncio.run(both())
    assert 0.9 < silent < 5.0
    assert said < 0.5


def test_a_card_that_opens_and_stays_mute_is_closed_and_named() -> None:
    async def use() -> None:
        card = Card(first=0)
        with pytest.raises(DeviceError, match=r"'scripted' opened but gave no samples within 5 s") as raised:
            await opened(card)
        assert raised.value.hint
        assert card.stopped == 1

    asyncio.run(use())


def test_gaps_that_the_library_reports_are_counted_and_remembered() -> None:
    async def use() -> None:
        card = Card(gaps=3)
        mic, sink = await opened(card), Speaker(library=card)
        await sink.open(lambda n: np.zeros(n, dtype=np.float32))
        assert (mic.overruns, sink.underruns) == (3, 3)
        await mic.close()
        await sink.close()
        assert (mic.overruns, sink.underruns) == (3, 3)

    asyncio.run(use())


@pytest.mark.parametrize("given", [0, 100, 480, 1000])
def test_a_speaker_gets_as_many_samples_as_it_asks_for(given: int) -> None:
    async def use() -> None:
        card = Card()
        sink = Speaker(library=card)
        await sink.open(lambda _: np.ones(given, dtype=np.float64))
        samples = card.fill[0](480)
        assert samples.shape == (480,)
        assert samples.dtype == np.float32
        assert samples.sum() == min(given, 480)
        assert sink.underruns == (given != 480)
        await sink.close()

    asyncio.run(use())


def test_counts_are_of_all_openings() -> None:
    async def use() -> None:
        card = Card(gaps=3)
        mic, sink = await opened(card), Speaker(library=card)
        await sink.open(lambda n: np.zeros(n - 1, dtype=np.float32))
        card.fill[0](480)
        assert (mic.overruns, sink.underruns) == (3, 4)
        blocks: Any = mic.blocks()
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.01)
        card.heard[0](np.zeros(6 * RATE, dtype=np.float32))  # more than the ring holds
        await waiting
        lost = mic.overruns - 3
        assert lost == RATE // BLOCK
        await mic.reopen(stand_in=False)
        await sink.reopen(stand_in=False)
        assert (mic.overruns, sink.underruns) == (6 + lost, 7)
        await blocks.aclose()
        await mic.close()
        await sink.close()
        assert (mic.overruns, sink.underruns) == (6 + lost, 7)

    asyncio.run(use())


def test_the_thread_of_a_device_that_hung_disturbs_the_next_one_no_more() -> None:
    async def use() -> None:
        card, asked = Card(), list[int]()
        mic, sink = await opened(card), Speaker(library=card)
        await sink.open(lambda n: asked.append(n) or np.ones(n, dtype=np.float32))  # type: ignore[func-returns-value]
        await mic.reopen(stand_in=False)
        await sink.reopen(stand_in=False)
        blocks: Any = mic.blocks()
        waiting = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0.02)
        card.heard[0](np.full(BLOCK, 0.5, dtype=np.float32))
        card.heard[1](np.full(BLOCK, 0.25, dtype=np.float32))
        assert (await waiting)[0] == 0.25
        assert not card.fill[0](480).any()
        assert asked == []
        assert card.fill[1](480).all()
        await blocks.aclose()
        await mic.close()
        await sink.close()

    asyncio.run(use())


def test_the_default_device_stands_in_only_where_it_may() -> None:
    class Without(Card):
        def devices(self) -> list[DeviceInfo]:
            return [DeviceInfo("Built-in", "input", True, "x"), DeviceInfo("Loud", "output", True, "x")]

        def capture(self, device: str, heard: Callable[[Samples], None]) -> Running:
            if device != "default":
                raise DeviceError(f"there is no {device}")
            return super().capture(device, heard)

        def playback(self, device: str, rate: int, fill: Callable[[int], Samples]) -> Running:
            if device != "default":
                raise DeviceError(f"there is no {device}")
            return super().playback(device, rate, fill)

    async def use() -> None:
        for device in (Microphone("headset", library=Without()), Speaker("headset", library=Without())):
            with pytest.raises(DeviceError, match="there is no headset"):
                await device.reopen(stand_in=False)
            reopened = await device.reopen(stand_in=True)
            assert reopened.replaced
            assert reopened.name in ("Built-in", "Loud")
            assert device.name == "headset"
            await device.close()

    asyncio.run(use())


def test_a_speaker_is_lost_when_nobody_pulls_and_keeps_its_rate() -> None:
    async def use() -> None:
        card = Card(rate=24_000)
        sink = Speaker(library=card)
        sound = tone(2.0, 24_000)
        given = [0]

        def pull(n: int) -> Samples:
            given[0] += n
            return sound[given[0] - n : given[0]]

        await sink.open(pull)
        watching = asyncio.ensure_future(sink.until_lost())
        for _ in range(15):  # it is asked for a while
            card.fill[0](480)
            await asyncio.sleep(0.02)
        assert not watching.done()
        assert await asyncio.wait_for(watching, 5) == "was lost"
        card.rate = 48_000
        before = given[0]
        await sink.reopen(stand_in=False)
        played = np.concatenate([card.fill[1](960) for _ in range(40)])
        assert sink.rate == 24_000
        assert given[0] - before == pytest.approx(40 * 480, abs=200)
        assert np.abs(np.fft.rfft(played)).argmax() * 48_000 / played.size == pytest.approx(440, abs=2)
        await sink.close()
        assert await sink.until_lost() == ""

    asyncio.run(use())
