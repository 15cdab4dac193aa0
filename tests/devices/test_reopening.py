"""When a lost device is tried again, and how much silence stands for the time it was gone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE
from locara.devices import reopening
from locara.devices.reopening import GIVE_UP_SECONDS, LOYAL_SECONDS, STEADY_SECONDS, HeardClock, Outages

SECONDS = BLOCK / RATE


def test_the_first_attempt_is_at_once_and_the_pauses_grow_to_a_second() -> None:
    outages = Outages()
    outages.lost(0.0)
    pauses = [outages.pause() for _ in range(40)]
    assert pauses[0] == 0.0
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[1] <= 0.2
    assert set(pauses[8:]) == {1.0}


def test_a_device_that_is_lost_as_soon_as_it_is_back_keeps_its_deadline_and_its_pauses() -> None:
    outages = Outages()
    outages.lost(100.0)
    for _ in range(6):
        outages.pause()
    outages.back(105.0)
    outages.lost(105.0 + STEADY_SECONDS - 0.1)
    assert outages.left(110.0) == pytest.approx(GIVE_UP_SECONDS - 10.0)
    assert outages.pause() == 1.0
    outages.back(110.0)
    outages.lost(110.0 + STEADY_SECONDS)
    assert outages.left(110.0 + STEADY_SECONDS) == GIVE_UP_SECONDS
    assert outages.pause() == 0.0


def test_the_default_device_may_stand_in_only_after_a_while() -> None:
    outages = Outages()
    outages.lost(5.0)
    assert not outages.stand_in(5.0 + LOYAL_SECONDS - 0.01)
    assert outages.stand_in(5.0 + LOYAL_SECONDS)


late = st.floats(0.0, 0.015)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e5, 1e5), st.lists(st.tuples(st.integers(1, 150), st.floats(0.0, 8.0)), max_size=6), st.data())
def test_after_any_losses_the_clock_is_at_most_a_block_and_the_lateness_off(
    began: float, parts: list[tuple[int, float]], data: st.DataObject
) -> None:
    """Each part: so many blocks, each a little late, then so many seconds of nothing, filled as it is due."""
    clock, now, blocks = HeardClock(began), began, 0
    for number, (heard, gone) in enumerate(parts):
        for at in range(heard):
            now += SECONDS
            if at == 0 and number > 0:  # the first block of the device that came back
                for _ in range(clock.owed(now) - 1):
                    clock.filled()
                    blocks += 1
                clock.resumed(now)
            else:
                clock.heard(now + data.draw(late))
            blocks += 1
        until = now + gone
        while now < until:
            now = min(until, now + 0.1)
            for _ in range(clock.owed(now)):
                clock.filled()
                blocks += 1
        assert abs((now - began) - blocks * SECONDS) <= SECONDS + 0.015 + 1e-6


def test_blocks_that_come_late_once_do_not_move_the_clock() -> None:
    clock = HeardClock(0.0)
    for block in range(1, 51):
        clock.heard(block * SECONDS + (0.4 if block == 50 else 0.0))
    assert clock.owed(51 * SECONDS) == 1
    assert clock.until_next(50.5 * SECONDS) == pytest.approx(0.5 * SECONDS)


def test_a_computer_that_slept_an_hour_gets_no_hour_of_silence() -> None:
    clock = HeardClock(0.0)
    for block in range(1, 51):
        clock.heard(block * SECONDS)
    assert clock.owed(3600.0) == 0
    assert clock.owed(3600.0 + 5 * SECONDS + 0.001) == 5


def test_every_change_is_a_sentence_that_names_the_device() -> None:
    for change in (
        reopening.lost("input", "USB Headset", "was lost"),
        reopening.returned("output", "USB Headset", "USB Headset", replaced=False),
        reopening.returned("output", "Built-in", "USB Headset", replaced=True),
        reopening.new_default("input", "USB Headset"),
        reopening.sounding("USB Headset"),
    ):
        assert change.device in change.hint
        assert "\n" not in change.hint
    assert "the microphone was lost" in reopening.lost("input", "default", "was lost").hint
    assert "'USB Headset'" in reopening.returned("output", "Built-in", "USB Headset", replaced=True).hint
