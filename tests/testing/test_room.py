"""The virtual room: what is played comes back late, weak and shaped by the room, to the sample."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, dbfs, gain, samples_in, silence
from locara.errors import ConfigError
from locara.testing import Room, run


def heard(room: Room, played: list[Samples]) -> Samples:
    """What the microphone gets while the speaker plays these blocks, in the order of a session."""
    blocks = []
    for block in played:
        blocks.append(room.listen())
        room.sound(block)
    return np.concatenate(blocks)


def in_blocks(sound: Samples, blocks: int) -> list[Samples]:
    padded = np.concatenate((sound, silence(blocks * BLOCK)))[: blocks * BLOCK]
    return [padded[at : at + BLOCK] for at in range(0, padded.size, BLOCK)]


def noise(n: int, seed: int = 1) -> Samples:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


@given(st.integers(0, 3000))
def test_the_user_is_heard_to_the_sample_and_silence_goes_on_after(n: int) -> None:
    user, room = noise(n), Room(noise(n))
    got = np.concatenate([room.listen() for _ in range(12)])
    assert np.array_equal(got[:n], user)
    assert not got[n:].any()
    assert got.size == 12 * BLOCK
    assert room.said_all


@settings(deadline=None, max_examples=40)
@given(
    st.floats(BLOCK / RATE, 0.3),
    st.floats(-40, 0),
    st.lists(st.floats(-1, 1, width=32).filter(lambda one: abs(one) > 0.01), min_size=1, max_size=700),
)
def test_the_echo_is_what_was_played_later_weaker_and_shaped_by_the_room(
    delay: float, echo_db: float, response: list[float]
) -> None:
    shape = np.array(response, np.float32)
    played = noise(5 * BLOCK, seed=2)
    room = Room(silence(0), echo_db=echo_db, delay=delay, response=shape)
    # The speaker's block k sounds while block k is heard, so the echo lies `delay` after it on the same clock.
    got = heard(room, in_blocks(played, 30))
    expected = np.zeros(got.size + played.size + shape.size, np.float64)
    tail = np.convolve(played.astype(np.float64), shape / np.sqrt(np.sum(shape.astype(np.float64) ** 2))) * gain(
        echo_db
    )
    at = samples_in(delay)
    expected[at : at + tail.size] = tail
    assert np.allclose(got, np.clip(expected[: got.size], -1, 1), atol=1e-4)


def test_with_headphones_nothing_comes_back() -> None:
    assert not heard(Room(silence(0)), in_blocks(noise(10 * BLOCK), 30)).any()


def test_an_echo_comes_on_top_of_what_the_user_says_and_is_clipped() -> None:
    room = Room(np.full(10 * BLOCK, 0.6, np.float32), echo_db=0.0, delay=0.02)
    got = heard(room, [np.full(BLOCK, 0.3, np.float32)] * 5 + [np.full(BLOCK, 0.9, np.float32)] * 5)
    assert np.allclose(got[:BLOCK], 0.6)
    assert np.allclose(got[BLOCK : 6 * BLOCK], 0.9)
    assert np.allclose(got[6 * BLOCK :], 1.0)


def test_noise_has_its_level_and_is_the_same_each_time() -> None:
    def listen(seed: int) -> Samples:
        return heard(Room(silence(0), noise_dbfs=-50, seed=seed), in_blocks(silence(0), 100))

    assert dbfs(listen(1)) == pytest.approx(-50, abs=0.3)
    assert np.array_equal(listen(1), listen(1))
    assert not np.array_equal(listen(1), listen(2))


def test_an_echo_that_comes_before_it_was_played_is_refused() -> None:
    with pytest.raises(ConfigError, match="too short") as caught:
        Room(silence(0), delay=0.019)
    assert caught.value.hint


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_microphone_and_speaker_share_one_clock(rate: int) -> None:
    pulled: list[int] = []

    def pull(n: int) -> Samples:
        pulled.append(n)
        return np.full(n, 0.1, np.float32)

    async def main() -> tuple[list[Samples], list[float]]:
        room = Room(silence(100 * BLOCK), echo_db=-6, delay=0.04, output_rate=rate)
        await room.microphone.open()
        await room.speaker.open(pull)
        assert (room.speaker.rate, room.speaker.own_clock) == (rate, False)
        blocks, times = [], []
        async for block in room.microphone.blocks():
            room.speaker.advance()
            blocks.append(block)
            times.append(asyncio.get_running_loop().time())
            if room.microphone.exhausted:
                await room.microphone.close()
        await room.speaker.close()
        assert room.speaker.underruns == 0
        return blocks, times

    blocks, times = run(main())
    assert len(blocks) == 100
    assert times == pytest.approx([(k + 1) * BLOCK / RATE for k in range(100)])
    assert sum(pulled) == 100 * BLOCK * rate // RATE
    echo = np.concatenate(blocks)
    first = int(np.argmax(np.abs(echo) > 0.02))
    assert first == pytest.approx(0.04 * RATE, abs=0.003 * RATE)
    assert np.allclose(echo[first + 2 * BLOCK :], 0.1 * gain(-6), atol=0.002)


def test_the_echo_of_a_steady_sound_has_no_holes() -> None:
    async def main() -> Samples:
        room = Room(silence(0), echo_db=-6, delay=0.04)
        await room.speaker.open(lambda n: np.full(n, 0.1, np.float32))
        blocks = []
        for _ in range(10):
            blocks.append(room.listen())
            room.speaker.advance()
        return np.concatenate(blocks)

    echo = run(main())
    first = int(np.argmax(np.abs(echo) > 0.02))
    assert np.all(echo[first:] > 0.02)


def test_a_speaker_that_saturates_distorts_loud_sound_and_leaves_quiet_sound_alone() -> None:
    def peak(level: float) -> float:
        room = Room(silence(0), echo_db=0.0, delay=0.02, saturation=3.0)
        return float(np.abs(heard(room, in_blocks(np.full(BLOCK, level, np.float32), 3))).max())

    assert peak(0.01) == pytest.approx(0.01, rel=1e-3)
    assert peak(0.9) == pytest.approx(np.tanh(2.7) / 3, rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3 * BLOCK), st.integers(500, 5000))
def test_a_long_room_sounds_as_the_plain_sum_of_its_reflections(n: int, length: int) -> None:
    shape, played = noise(length, seed=3), noise(n, seed=4)
    room = Room(silence(0), echo_db=0.0, delay=0.02, response=shape)
    got = heard(room, in_blocks(played, 5 + -(-(n + length) // BLOCK)))
    whole = np.convolve(played.astype(np.float64), shape / np.sqrt(np.sum(shape.astype(np.float64) ** 2)))
    assert np.allclose(got[BLOCK : BLOCK + whole.size], np.clip(whole, -1, 1), atol=1e-4)
