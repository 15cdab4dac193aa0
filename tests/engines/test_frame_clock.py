"""When a frame model steps and for whom: in virtual time, with any pattern of arrivals and any cost of a step."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from locara.engines.frame_clock import GATHER_SECONDS, LATE_SECONDS, FrameClock, Prompt, Rest, Step

FRAME = 0.08


@dataclass
class Ran:
    """What happened. ``waits``: session -> seconds from a frame's arrival to the start of its step; ``done``: to its end."""

    heard: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    skipped: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    done: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    prompts: list[tuple[float, int]] = field(default_factory=list)
    steps: int = 0
    most_waiting: int = 0


def run(
    clock: FrameClock[tuple[float, int]],
    arrivals: Iterable[tuple[float, int]],
    cost: Callable[[int], float],
    *,
    prompts: Sequence[int] = (),
    prompt_cost: float = 0.0,
) -> Ran:
    """``arrivals``: (time, session), sorted. ``cost``: seconds of a step for so many. ``prompts``: sessions that are being
    opened all the time."""
    ran, now, numbers = Ran(), 0.0, defaultdict[int, int](int)
    coming = iter(arrivals)
    upcoming = next(coming, None)
    for session in prompts:
        clock.begin(session)

    def deliver(until: float) -> None:
        nonlocal upcoming
        while upcoming is not None and upcoming[0] <= until:
            at, session = upcoming
            clock.push(session, (at, numbers[session]), at)
            numbers[session] += 1
            ran.most_waiting = max(ran.most_waiting, *clock.waiting.values())
            upcoming = next(coming, None)

    while upcoming is not None or any(clock.waiting.values()):
        deliver(now)
        match clock.next(now):
            case Step(frames, skips):
                for session, skip in skips.items():
                    before = ran.heard[session][-1] if ran.heard[session] else -1
                    assert skip.frames == frames[session][1] - before - 1, (
                        "what was skipped lies just before this frame"
                    )
                    ran.skipped[session] += skip.frames
                began, now = now, now + cost(len(frames))
                ran.steps += 1
                deliver(now)
                for session, (at, number) in frames.items():
                    ran.heard[session].append(number)
                    ran.waits[session].append(began - at)
                    ran.done[session].append(now - at)
            case Prompt(session):
                ran.prompts.append((now, session))
                began, now = now, now + prompt_cost
                deliver(now)
                clock.prompted(began, now)
            case Rest(seconds):
                assert seconds is None or seconds > 0
                ends = [now + seconds] if seconds is not None else []
                ends += [upcoming[0]] if upcoming is not None else []
                assert ends, "it rests although frames wait and nothing comes"
                now = max(now, min(ends))
    return ran


def opened(sessions: Iterable[int], **options: float) -> FrameClock[tuple[float, int]]:
    clock = FrameClock[tuple[float, int]](FRAME, **options)
    for session in sessions:
        clock.begin(session)
        clock.opened(session)
    return clock


def regular(phases: Sequence[float], frames: int, jitter: float = 0.0, seed: int = 1) -> list[tuple[float, int]]:
    """Session n begins at ``phases[n]`` and sends ``frames`` frames at the pace of the clock."""
    dice = random.Random(seed)
    return sorted(
        (phase + n * FRAME + dice.uniform(0, jitter), session)
        for session, phase in enumerate(phases)
        for n in range(frames)
    )


_arrivals = st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 3)), max_size=120).map(
    lambda gaps: list(zip(itertools.accumulate(gap for gap, _ in gaps), (session for _, session in gaps), strict=True))
)


@given(_arrivals, st.floats(0, 0.3), st.floats(0, 0.05), st.sampled_from([0.08, 0.2, 0.5, 2.0]))
def test_each_frame_is_heard_once_and_in_order_or_told_as_skipped(
    arrivals: list[tuple[float, int]], cost: float, each: float, late: float
) -> None:
    ran = run(opened(range(4), late=late), arrivals, lambda n: cost + each * n)
    for session in range(4):
        pushed = sum(one == session for _, one in arrivals)
        assert ran.heard[session] == sorted(set(ran.heard[session]))
        assert len(ran.heard[session]) + ran.skipped[session] == pushed
        if pushed:
            assert ran.heard[session][-1] == pushed - 1, "the latest frame is never the one that is dropped"
    assert ran.most_waiting <= max(1, int(late / FRAME + 1e-9))


@given(st.lists(st.floats(0, FRAME), min_size=1, max_size=8), st.floats(0, 0.07), st.integers(0, 99))
def test_a_model_that_keeps_up_skips_nothing_and_lets_nobody_wait_for_longer_than_a_step(
    phases: list[float], cost: float, seed: int
) -> None:
    ran = run(opened(range(len(phases))), regular(phases, 40, jitter=0.01, seed=seed), lambda _: cost)
    assert not any(ran.skipped.values())
    for session in range(len(phases)):
        assert ran.heard[session] == list(range(40))
        assert max(ran.waits[session]) <= GATHER_SECONDS + cost + 1e-9


def test_an_hour_brings_no_drift() -> None:
    frames = round(3600 / FRAME)
    ran = run(opened(range(3)), regular([0.0, 0.03, 0.031], frames, jitter=0.02), lambda _: 0.03)
    for session in range(3):
        assert len(ran.heard[session]) == frames
        assert ran.skipped[session] == 0
        assert max(ran.waits[session]) < FRAME


def test_sessions_of_nearly_the_same_phase_share_every_step() -> None:
    phases = [0.0003 * session for session in range(32)]  # the last comes 9.3 ms after the first
    ran = run(opened(range(32)), regular(phases, 100), lambda _: 0.02)
    assert ran.steps <= 101  # only the first is not expected


def test_sessions_of_any_phase_share_steps_by_themselves_while_the_model_computes() -> None:
    dice = random.Random(3)
    phases = [dice.uniform(0, FRAME) for _ in range(32)]
    ran = run(opened(range(32)), regular(phases, 100), lambda _: 0.035)
    assert not any(ran.skipped.values())
    assert ran.steps < 350, "32 sessions alone would need 3200"
    assert max(max(waits) for waits in ran.waits.values()) <= 0.035 + GATHER_SECONDS + 1e-9


def test_one_session_alone_never_waits() -> None:
    ran = run(opened([0]), regular([0.0], 50), lambda _: 0.02)
    assert max(ran.waits[0]) == 0.0


def test_who_has_stopped_sending_is_waited_for_no_longer() -> None:
    gone = [(0.001, 1)]
    ran = run(opened([0, 1]), sorted(regular([0.0], 50) + gone), lambda _: 0.001)
    assert sum(wait > 0 for wait in ran.waits[0]) <= 2


def test_a_model_that_is_too_slow_stays_at_the_present_and_says_what_it_skipped() -> None:
    ran = run(opened([0]), regular([0.0], 500), lambda _: 0.2)
    assert ran.skipped[0] + len(ran.heard[0]) == 500
    assert 0.5 * 500 < ran.skipped[0] < 0.7 * 500  # it hears 80 of 200 ms
    assert max(ran.done[0]) <= LATE_SECONDS + 0.2 + 1e-9


def test_a_stall_of_the_network_is_caught_up_when_it_was_short_and_skipped_when_it_was_long() -> None:
    def with_stall(seconds: float) -> list[tuple[float, int]]:
        return sorted(
            (max(at, 2.0 + seconds) if 2.0 <= at < 2.0 + seconds else at, one) for at, one in regular([0.0], 99)
        )

    short = run(opened([0]), with_stall(0.4), lambda _: 0.02)
    assert not short.skipped[0]
    assert short.waits[0][-1] == 0.0
    long = run(opened([0]), with_stall(3.0), lambda _: 0.02)
    assert 20 <= long.skipped[0] <= 40
    assert long.waits[0][-1] == 0.0


@given(st.integers(1, 3), st.floats(0.001, 0.06), st.floats(0.001, 0.06))
def test_openings_go_on_in_turn_and_nobodys_sound_stops(openings: int, cost: float, prompt_cost: float) -> None:
    new = range(10, 10 + openings)
    arrivals = regular([0.0, 0.02], 60)
    ran = run(opened([0, 1]), arrivals, lambda _: cost, prompts=new, prompt_cost=prompt_cost)
    assert not any(ran.skipped.values()) or 2 * cost + prompt_cost > FRAME
    if 2 * cost + prompt_cost <= FRAME:
        late = max(*ran.done[0], *ran.done[1])
        assert late <= GATHER_SECONDS + 2 * cost + prompt_cost + 1e-9
    times = [at for at, _ in ran.prompts]
    assert (
        max(later - at for at, later in itertools.pairwise(times)) <= FRAME + cost + prompt_cost + GATHER_SECONDS + 1e-9
    )
    turns = [sum(one == session for _, one in ran.prompts) for session in new]
    assert max(turns) - min(turns) <= 1


def test_a_prompt_is_left_to_later_when_it_would_run_into_the_next_frame() -> None:
    ran = run(opened([0]), regular([0.0], 100), lambda _: 0.03, prompts=[9], prompt_cost=0.03)
    assert max(ran.waits[0][3:]) < 1e-9, "two of 30 ms after a step of 30 ms would end after the frame of 80 ms"
    assert len(ran.prompts) >= 90


def test_what_waits_of_a_session_that_ends_is_dropped_and_its_number_is_unknown() -> None:
    clock = opened([0, 1])
    clock.push(0, (0.0, 0), 0.0)
    clock.push(1, (0.0, 0), 0.0)
    clock.end(0)
    clock.push(0, (0.0, 1), 0.01)
    assert clock.next(0.02) == Step({1: (0.0, 0)})
    clock.begin(2)
    clock.end(2)
    assert clock.next(0.03) == Rest(None)
