"""What waits, and what is kept: in order, bounded, and every sample accounted for."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.omni.realtime_kept import KEPT_SECONDS, Kept
from locara.engines.omni.realtime_outbox import BEHIND_SECONDS, Outbox

RATE = 1_000


def ramp(start: int, size: int) -> Any:
    return np.arange(start, start + size, dtype=np.float32)


@given(st.lists(st.one_of(st.integers(1, 400), st.sampled_from(["commit", "revoke", "forget"])), max_size=40))
def test_a_turn_that_goes_on_has_its_sound_from_the_beginning(steps: list[int | str]) -> None:
    kept = Kept(RATE)
    at = 0
    turn: list[int] = []
    before: list[int] = []
    for step in steps:
        if isinstance(step, int):
            kept.push(ramp(at, step))
            turn += range(at, at + step)
            at += step
        elif step == "commit":
            assert np.concatenate([*kept.commit(), ramp(0, 0)]).tolist() == turn
            before, turn = turn, []
        elif step == "revoke":
            turn, before = before + turn, []
            assert np.concatenate([*kept.revoke(), ramp(0, 0)]).tolist() == turn
        else:
            kept.forget()
            turn = []
        assert kept.pushed == len(turn)


def test_a_turn_that_is_too_long_is_not_kept_and_the_next_one_is() -> None:
    kept = Kept(RATE)
    for _ in range(int(KEPT_SECONDS) + 1):
        kept.push(ramp(0, RATE))
    assert not kept.whole
    assert kept.commit() == []
    assert not kept.whole
    kept.push(ramp(0, 5))
    kept.commit()
    assert kept.whole


def test_a_held_turn_that_is_too_long_keeps_its_latest_part_and_tells_the_rest() -> None:
    kept = Kept(RATE, held=True)
    skipped = sum(kept.push(ramp(number * RATE, RATE)) for number in range(int(KEPT_SECONDS) + 3))
    assert skipped == 3 * RATE
    sound = np.concatenate(kept.commit())
    assert sound.size == KEPT_SECONDS * RATE
    assert sound[0] == 3 * RATE


@given(st.lists(st.one_of(st.integers(1, 2000), st.just("message"), st.just("take")), max_size=60))
def test_what_waits_is_sent_in_order_and_what_is_left_out_is_told(steps: list[int | str]) -> None:
    box = Outbox(RATE, 0.1)
    at, messages, skipped = 0, 0, 0
    taken: list[float] = []
    numbers: list[int] = []

    def take() -> bool:
        item = box.next()
        if item is None:
            return False
        if isinstance(item, np.ndarray):
            taken.extend(item.tolist())
        else:
            numbers.append(item["n"])
        return True

    for step in steps:
        if isinstance(step, int):
            skipped += box.sound(ramp(at, step))
            at += step
        elif step == "message":
            box.message({"n": messages})
            messages += 1
        else:
            take()
    box.message({"n": messages})
    while take():
        pass
    assert numbers == list(range(messages + 1))
    assert taken == sorted(taken)
    assert len(taken) + skipped == at
    assert skipped == 0 or at > BEHIND_SECONDS * RATE
