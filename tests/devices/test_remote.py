"""A client's microphone and speaker: paced, caught up with, marked, and heard as far as the client says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples, silence
from locara.devices.remote import LEAD_SECONDS, RemoteMicrophone, RemoteSpeaker
from locara.errors import ConfigError, DeviceError
from locara.gate.heard import HeardProgress
from locara.gate.mouth import Progress
from locara.testing import clock


def virtual(work: Coroutine[Any, Any, Any]) -> Any:
    """In virtual time."""
    return clock.run(work)


def ramp(seconds: float) -> Samples:
    """Each sample is another one."""
    return np.linspace(0.1, 0.9, round(seconds * RATE), dtype=np.float32)


async def heard(microphone: RemoteMicrophone, blocks: int) -> tuple[Samples, list[float]]:
    """So many blocks, and when each came."""
    loop = asyncio.get_running_loop()
    began, out, at = loop.time(), [], []
    async for block in microphone.blocks():
        out.append(block)
        at.append(loop.time() - began)
        if len(out) == blocks:
            break
    return np.concatenate(out), at


def test_a_recording_sent_at_once_is_heard_faster_than_real_time_and_whole() -> None:
    async def work() -> tuple[Samples, list[float]]:
        microphone = RemoteMicrophone()
        await microphone.open()
        microphone.push(ramp(10.0), RATE)
        return await heard(microphone, 500)

    samples, at = virtual(work())

    assert np.array_equal(samples, ramp(10.0))
    assert at[-1] < 1.0
    assert at[-1] >= 0.38  # the last part comes at its usual pace


def test_sound_at_its_usual_pace_is_heard_at_its_usual_pace() -> None:
    async def work() -> list[float]:
        microphone = RemoteMicrophone()
        await microphone.open()

        async def push() -> None:
            for k in range(100):
                microphone.push(ramp(2.0)[k * BLOCK : (k + 1) * BLOCK], RATE)
                await asyncio.sleep(BLOCK / RATE)

        pushing = asyncio.create_task(push())
        _, at = await heard(microphone, 100)
        await pushing
        return at

    at = virtual(work())
    assert 1.9 <= at[-1] <= 2.2


def test_a_mark_is_reached_after_what_was_pushed_before_it_and_before_what_came_after() -> None:
    async def work() -> tuple[list[int], Samples]:
        microphone = RemoteMicrophone()
        await microphone.open()
        given = 0
        reached: list[int] = []
        microphone.push(ramp(0.05), RATE)  # two and a half blocks
        microphone.mark(lambda: reached.append(given))
        microphone.push(np.full(BLOCK, 0.95, dtype=np.float32), RATE)
        out = []
        async for block in microphone.blocks():
            given += 1
            out.append(block)
            if given == 4:
                break
        return reached, np.concatenate(out)

    reached, samples = virtual(work())

    assert reached == [3]
    assert np.array_equal(samples[:800], ramp(0.05))
    assert not samples[800:960].any()
    assert np.all(samples[960:] == np.float32(0.95))


def test_a_mark_on_nothing_is_reached_with_the_next_block() -> None:
    async def work() -> bool:
        microphone = RemoteMicrophone()
        await microphone.open()
        reached: list[bool] = []
        microphone.mark(lambda: reached.append(True))
        await heard(microphone, 2)
        return bool(reached)

    assert virtual(work())


def test_marks_do_not_wait_for_a_microphone_that_was_closed() -> None:
    async def work() -> list[str]:
        microphone = RemoteMicrophone()
        await microphone.open()
        reached: list[str] = []
        microphone.push(ramp(5.0), RATE)
        microphone.mark(lambda: reached.append("before"))
        hearing = asyncio.create_task(heard(microphone, 10_000))
        await asyncio.sleep(0.01)
        await microphone.close()
        await asyncio.wait_for(asyncio.gather(hearing, return_exceptions=True), 2.0)
        microphone.mark(lambda: reached.append("after"))
        return reached

    assert virtual(work()) == ["before", "after"]


class Player:
    """Pulled from: silence, and from a sample on a tone of some length."""

    def __init__(self, begins: int, n: int) -> None:
        self.at = 0
        self.begins, self.ends = begins, begins + n

    def pull(self, n: int) -> Samples:
        out = silence(n)
        low, high = max(self.begins, self.at), min(self.ends, self.at + n)
        if high > low:
            out[low - self.at : high - self.at] = 0.5
        self.at += n
        return out


def test_sound_is_rendered_a_lead_ahead_and_silence_is_not_sent() -> None:
    sent: list[tuple[float, int, int]] = []

    async def work() -> int:
        loop = asyncio.get_running_loop()
        began = loop.time()
        speaker = RemoteSpeaker(lambda at, samples: sent.append((loop.time() - began, at, samples.size)), 24_000)
        await speaker.open(Player(24_000, 48_000).pull)
        await asyncio.sleep(6.0)
        pulled = speaker.pulled
        await speaker.close()
        return pulled

    pulled = virtual(work())

    assert abs(pulled / 24_000 - 6.0) < 0.05
    assert sent[0][1] == 24_000
    assert abs(sent[0][0] - 1.0) < 0.03, "the first sound after silence is sent when it is due, not later"
    assert sum(n for _, _, n in sent) == round((2.0 + 0.5) * 24_000), (
        "the sound, and half a second of the silence after"
    )
    ahead = [at / 24_000 - when for when, at, _ in sent[20:95]]
    assert min(ahead) >= LEAD_SECONDS - 0.045
    assert max(ahead) <= LEAD_SECONDS + 0.005


def test_what_is_heard_is_what_the_client_says_and_never_more_than_there_was() -> None:
    async def work() -> list[float]:
        speaker = RemoteSpeaker(lambda _at, _samples: None, 24_000, reports=True)
        await speaker.open(Player(0, 24_000).pull)
        await asyncio.sleep(0.5)
        found: list[float] = [speaker.heard]
        speaker.heard_until(4_800)
        found.append(speaker.heard)
        speaker.heard_until(2_400)
        found.append(speaker.heard)
        speaker.heard_until(10**9)
        found.append(speaker.heard - speaker.pulled)
        await asyncio.sleep(3.0)  # half a second of silence was sent and is not reported, the rest never was
        speaker.heard_until(36_000)
        found.append(round(speaker.heard / 24_000, 1))
        await speaker.close()
        return found

    heard_ = virtual(work())
    assert heard_[:3] == [0, 4_800, 4_800]
    assert heard_[3] <= 0
    assert heard_[4] == 3.5


def test_of_a_client_that_never_reports_the_clock_says_it() -> None:
    async def work() -> float:
        speaker = RemoteSpeaker(lambda _at, _samples: None, 24_000)
        await speaker.open(Player(0, 240_000).pull)
        await asyncio.sleep(2.0)
        value = speaker.heard / 24_000
        await speaker.close()
        return value

    assert abs(virtual(work()) - 2.0) < 0.05


def test_while_it_stands_nothing_is_rendered_and_then_it_goes_on() -> None:
    async def work() -> list[float]:
        speaker = RemoteSpeaker(lambda _at, _samples: None, 24_000)
        await speaker.open(Player(0, 240_000).pull)
        await asyncio.sleep(1.0)
        speaker.stand()
        await asyncio.sleep(0.1)
        stood = speaker.pulled
        await asyncio.sleep(5.0)
        still = speaker.pulled
        speaker.go_on()
        await asyncio.sleep(1.0)
        after = speaker.pulled
        await speaker.close()
        await speaker.close()
        return [still - stood, round((after - still) / 24_000, 1)]

    assert virtual(work()) == [0, 1.1]


def test_impossible_rates_and_a_second_opening_are_refused() -> None:
    async def work() -> None:
        speaker = RemoteSpeaker(lambda _at, _samples: None, 24_000)
        await speaker.open(Player(0, 0).pull)
        with pytest.raises(DeviceError):
            await speaker.open(Player(0, 0).pull)
        with pytest.raises(DeviceError):
            speaker.advance()
        await speaker.close()

    virtual(work())
    with pytest.raises(ConfigError):
        RemoteSpeaker(lambda _at, _samples: None, 4_000)


def test_the_reply_is_where_it_was_when_so_much_of_the_stream_had_been_rendered() -> None:
    kept = HeardProgress()
    kept.rendered(480, Progress(-1, 0, None))
    kept.rendered(480, Progress(3, 480, 480))
    kept.rendered(480, Progress(3, 960, 960))

    assert kept.at(0) == Progress(-1, 0, None)
    assert kept.at(959) == Progress(-1, 0, None)
    assert kept.at(960) == Progress(3, 480, 480)
    assert kept.at(10_000) == Progress(3, 960, 960)
    assert kept.at(10_000) == Progress(3, 960, 960)
