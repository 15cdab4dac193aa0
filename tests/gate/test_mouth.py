"""The mouth: what is played leaves in order, once, at its level; standing still and stopping are exact and do not click."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import Samples, silence
from locara.gate.bursts import LOWERED_GAIN, LOWERED_ONSETS, MUTED_ONSETS, Passing
from locara.gate.mouth import (
    AUDIBLE,
    CEILING,
    DUCK_GAIN,
    FADE_IN_SECONDS,
    FADE_SECONDS,
    RAMP_SECONDS,
    SHUT_SECONDS,
    Mouth,
    Progress,
    lead_of,
)

RATE = 8_000
FADE = round(FADE_SECONDS * RATE)
RAMP = round(RAMP_SECONDS * RATE)
FADING = 1.0 / (FADE - 1)
"""The most by which the level may change from one sample to the next while it fades."""
RAMPING = 2.0 / RAMP
"""The same for a change of level; a ramp over a block of two samples takes both steps at once."""


def sound(first: int, n: int) -> Samples:
    """Samples of which no two neighbours within 1000 are alike, so that order and number can be seen."""
    return (0.1 + 0.0005 * ((first + np.arange(n)) % 1000)).astype(np.float32)


def steady(n: int, level: float = 0.5) -> Samples:
    return np.full(n, level, dtype=np.float32)


def render(mouth: Mouth, n: int, block: int) -> Samples:
    """``n`` samples, in blocks."""
    return np.concatenate([mouth.render(min(block, n - at)) for at in range(0, n, block)])


# Exactness is checked without the fade at the beginning of a reply, which has tests of its own at the end.


class Checked:
    """A mouth, and beside it the books of what must come out."""

    def __init__(self) -> None:
        self.mouth = Mouth(RATE, fade_in=0.0)
        self.queue: list[tuple[int, Samples]] = []
        self.playing = -1
        self.played = 0
        self.loud_from: int | None = None
        self.cut = -1
        self.wanted = 1.0
        self.held = False
        self.faded = 0  # samples for which it has been held
        self.steady = 0  # samples since the level last began to change
        self.fading = 0  # samples for which a reply that was hushed may still be heard
        self.made: dict[int, int] = {}

    def play(self, reply: int, n: int, quiet: int) -> None:
        piece = sound(self.made.get(reply, 0), n)
        piece[:quiet] = AUDIBLE / 2
        self.made[reply] = self.made.get(reply, 0) + n
        self.mouth.play(reply, piece)
        if reply > self.cut and n:
            self.queue.append((reply, piece))

    def duck(self) -> None:
        self.mouth.duck()
        self.wanted, self.steady = DUCK_GAIN, 0

    def go_on(self) -> None:
        self.mouth.go_on()
        self.wanted, self.steady, self.held = 1.0, 0, False

    def hold(self) -> None:
        if self.fading:
            self.render(FADE)  # nobody holds a reply that has not begun
        self.mouth.hold()
        self.steady, self.held = 0, True

    def hush(self, reply: int) -> None:
        self.mouth.hush(reply)
        if self.playing <= reply and self.played:
            self.fading = FADE
        self.cut = max(self.cut, reply)
        self.wanted, self.steady, self.held, self.faded = 1.0, 0, False, 0
        self.queue = [one for one in self.queue if one[0] > self.cut]

    def next_samples(self, n: int) -> list[tuple[int, Samples]]:
        """What is to leave next, at most ``n`` samples, in pieces of one reply each."""
        pieces: list[tuple[int, Samples]] = []
        for reply, samples in self.queue:
            if n <= 0:
                break
            pieces.append((reply, samples[:n]))
            n -= samples[:n].size
        return pieces

    def take(self, n: int) -> None:
        """Books ``n`` samples as played."""
        while n:
            reply, samples = self.queue.pop(0)
            if reply != self.playing:
                self.playing, self.played, self.loud_from = reply, 0, None
            now = samples[:n]
            lead = lead_of(now)
            if self.loud_from is None and lead < now.size:
                self.loud_from = self.played + lead
            self.played += now.size
            n -= now.size
            if now.size < samples.size:
                self.queue.insert(0, (reply, samples[now.size :]))

    def render(self, n: int) -> None:
        before = self.mouth.progress
        out = self.mouth.render(n)
        after = self.mouth.progress
        self.moved = after.played - (before.played if before.reply == after.reply else 0)
        assert out.shape == (n,)
        assert out.dtype == np.float32
        assert n == 0 or float(np.max(np.abs(out))) <= CEILING
        if self.held:
            self.check_standing(out)
        else:
            if self.faded:
                self.skip_what_was_heard(out)
            self.check_going(out)
        self.check_progress()

    def check_standing(self, out: Samples) -> None:
        left = max(0, FADE - self.faded)
        assert not out[left:].any(), "it does not stand still"
        expected = np.concatenate([silence(0), *(one for _, one in self.next_samples(FADE))])[self.faded :][: out.size]
        gains = out[: expected.size] / expected
        assert np.all((gains >= 0) & (gains <= 1.0 + 1e-6))
        assert np.all(np.diff(gains) <= 1e-6), "the fade does not fall"
        self.faded += out.size

    def skip_what_was_heard(self, out: Samples) -> None:
        """A hold that was taken back before it stood: what was heard meanwhile is counted now, or comes again."""
        waiting = sum(one.size for _, one in self.queue)
        ahead = min(self.faded, waiting)
        sounds = int(np.flatnonzero(out)[-1]) + 1 if out.any() else 0
        again = self.moved == min(out.size, waiting) and sounds in (self.moved, 0)
        if self.faded < FADE and not again:
            self.take(ahead)
        self.faded = 0

    def check_going(self, out: Samples) -> None:
        pieces = self.next_samples(out.size)
        fade = 0
        if self.fading:  # the end of the hushed reply comes first, as long as its fade at most
            places = [k for k in range(min(self.fading, out.size) + 1) if self.fits(out[k:], pieces)]
            places = [k for k in places if sum(one.size for _, one in self.next_samples(out.size - k)) == self.moved]
            assert places, "after its fade something of the hushed reply is heard, or the next one is not whole"
            fade = places[0]
        else:
            assert self.fits(out, pieces), "what leaves is not what was played"
        pieces = self.next_samples(out.size - fade)
        total = sum(one.size for _, one in pieces)
        self.fading = 0 if total else max(0, self.fading - out.size)
        assert not out[fade + total :].any(), "sound out of nothing"
        if total and self.steady >= 2 * max(RAMP, out.size):
            expected = np.concatenate([one for _, one in pieces]) * np.float32(self.wanted)
            assert np.array_equal(out[fade : fade + total], np.clip(expected, -CEILING, CEILING))
        self.steady = self.steady + total if total else 1 << 30
        self.take(total)

    def fits(self, out: Samples, pieces: list[tuple[int, Samples]]) -> bool:
        expected = np.concatenate([one for _, one in pieces])[: out.size] if pieces else out[:0]
        if out[expected.size :].any():
            return False
        if not expected.size:
            return True
        gains = out[: expected.size] / expected
        in_range = bool(np.all((gains >= -1e-6) & (gains <= 1.0 + 1e-6)))
        smooth = bool(np.all(np.abs(np.diff(gains)) <= max(RAMPING, FADING) + 1e-6))
        return in_range and smooth

    def check_progress(self) -> None:
        progress = self.mouth.progress
        if progress.played or self.played == 0:
            if progress.reply == self.playing:
                audible = None if self.loud_from is None else self.played - self.loud_from
                assert progress == Progress(self.playing, self.played, audible)
            else:  # the next one is at the door
                assert progress.played == 0
        if self.queue and progress.reply > self.playing:
            assert progress == Progress(progress.reply, 0, None)


SIZES = st.one_of(st.integers(1, 40), st.integers(1, 600))
MOVES = st.one_of(
    st.tuples(st.just("play"), st.integers(1, 1500), st.integers(0, 200)),
    st.tuples(st.just("next"), st.integers(1, 1500), st.integers(0, 200)),
    st.tuples(st.sampled_from(["duck", "hold", "go_on", "hush"])),
    st.tuples(st.just("render"), SIZES, st.integers(1, 6)),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(MOVES, max_size=40))
def test_whatever_is_asked_of_it_everything_leaves_in_order_once_and_at_its_level(
    moves: list[tuple[object, ...]],
) -> None:
    checked, reply = Checked(), 1
    for move in moves:
        match move:
            case ("play", int(n), int(quiet)):
                checked.play(reply, n, quiet)
            case ("next", int(n), int(quiet)):
                if checked.queue:
                    checked.hush(reply)  # the next reply begins when the one before it has ended, one way or the other
                reply += 1
                checked.play(reply, n, quiet)
            case ("hush",):
                checked.hush(reply)
                checked.play(reply, 50, 0)  # refused: its maker did not know yet
                reply += 1
            case ("render", int(n), int(times)):
                for _ in range(times):
                    checked.render(n)
            case (str(name),):
                getattr(checked, name)()
    checked.go_on()
    for _ in range(200):
        checked.render(500)
    assert not checked.queue, "something was never played"


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=40), st.sampled_from([-1.0, 1.0, np.inf]))
def test_nothing_leaves_above_the_ceiling(values: list[float], peak: float) -> None:
    mouth = Mouth(RATE)
    mouth.play(1, np.array([*values, peak], np.float32))
    assert np.max(np.abs(mouth.render(50))) <= CEILING


def test_what_is_no_number_never_leaves() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, np.array([0.1, np.nan, 0.1], np.float32))
    assert np.all(np.isfinite(mouth.render(10)))


# --- the clock of played samples --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=6), st.integers(1, 40))
def test_audible_counts_from_the_first_sample_that_can_be_heard(runs: list[tuple[int, bool]], block: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    everything = np.concatenate([steady(n, 0.2 if loud else AUDIBLE) for n, loud in runs])
    for n, loud in runs:
        mouth.play(3, steady(n, 0.2 if loud else AUDIBLE))
    heard = 0
    while heard < everything.size:
        mouth.render(block)
        heard = min(heard + block, everything.size)
        loud_at = np.flatnonzero(everything[:heard] > AUDIBLE)
        assert mouth.progress == Progress(3, heard, heard - int(loud_at[0]) if loud_at.size else None)


@pytest.mark.parametrize(
    ("samples", "lead"), [([], 0), ([0, 0], 2), ([0, -0.5, 0], 1), ([0.5], 0), ([AUDIBLE, 0.1], 1)]
)
def test_the_lead_is_what_passes_before_something_is_heard(samples: list[float], lead: int) -> None:
    assert lead_of(np.array(samples, np.float32)) == lead


def test_before_anything_is_played_there_is_no_progress() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    assert not mouth.render(100).any()
    assert mouth.progress == Progress(-1, 0, None)


def test_a_block_of_no_samples_is_empty() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, steady(10))
    assert mouth.render(0).shape == (0,)
    assert mouth.progress.played == 0


# --- standing still ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [1, 37, 480, 1000])
def test_a_held_reply_goes_on_from_the_exact_sample(before: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, sound(0, 3000))
    mouth.render(before)
    mouth.hold()
    fading = mouth.render(400)
    assert np.array_equal(fading[:1], sound(before, 1))
    assert not fading[FADE:].any()
    assert not render(mouth, 5000, 160).any()
    assert mouth.progress.played == before
    mouth.go_on()
    coming = mouth.render(400)
    expected = sound(before, 400)
    assert coming[0] == 0.0
    assert np.all(np.diff(coming / expected) >= -1e-6), "the level does not rise"
    assert np.array_equal(mouth.render(400), sound(before + 400, 400))
    assert mouth.progress.played == before + 800


def test_held_before_anything_sounds_nothing_is_heard_and_nothing_lost() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.hold()
    mouth.render(100)
    mouth.play(1, sound(0, 500))
    assert not mouth.render(200).any()
    mouth.go_on()
    assert np.array_equal(mouth.render(500), sound(0, 500))


def test_a_hushed_reply_that_stood_still_ends_without_a_sound() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, steady(3000))
    mouth.render(100)
    mouth.hold()
    render(mouth, 400, 80)
    mouth.hush(1)
    assert not render(mouth, 1000, 80).any()
    mouth.play(2, sound(0, 200))
    assert np.array_equal(mouth.render(200), sound(0, 200))


def test_a_hold_at_the_very_end_that_is_taken_back_loses_no_count() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, sound(0, 52))
    mouth.render(50)
    mouth.hold()
    mouth.render(2)
    mouth.go_on()
    mouth.render(500)
    assert mouth.progress.played == 52


def test_what_comes_while_it_stands_still_is_not_heard() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, sound(0, 100))
    mouth.render(400)
    mouth.hold()
    mouth.render(400)
    mouth.play(1, sound(100, 1000))
    assert not mouth.render(400).any()
    mouth.go_on()
    mouth.render(400)
    assert np.array_equal(mouth.render(300), sound(500, 300))


class HeldMeanwhile(Mouth):
    """The session's thread says ``hold`` at the worst moment: while the output's thread fills its block."""

    armed = True

    def _count(self, samples: Samples) -> None:
        super()._count(samples)
        if self.armed:
            self.armed = False
            self.hold()


def test_a_hold_during_a_block_fades_out_in_the_next() -> None:
    mouth = HeldMeanwhile(RATE, fade_in=0.0)
    mouth.play(1, steady(3000))
    assert np.array_equal(mouth.render(400), steady(400))
    assert np.count_nonzero(mouth.render(400)) >= FADE - 1


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [0, 1, 7])
def test_a_hushed_reply_fades_and_is_gone(reply: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(reply, steady(2000))
    mouth.play(reply, steady(2000))
    mouth.render(400)
    mouth.hush(reply)
    out = render(mouth, 1000, 400)
    assert out[0] == np.float32(0.5), "it clicks"
    assert np.max(np.abs(np.diff(out))) <= 0.5 * FADING + 1e-6, "it clicks"
    assert not out[FADE:].any()
    mouth.play(reply, steady(100))
    assert not render(mouth, 1000, 400).any()
    mouth.play(reply + 1, sound(0, 300))
    assert np.array_equal(mouth.render(300), sound(0, 300))


def test_hushing_a_reply_takes_all_before_it_too_and_none_after_it() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    for reply in (1, 2, 3):
        mouth.play(reply, sound(100 * reply, 200))
    mouth.hush(2)
    mouth.hush(1)
    assert np.array_equal(mouth.render(200), sound(300, 200))


def test_a_hushed_reply_is_the_last_that_was_lowered() -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, steady(2000))
    mouth.duck()
    mouth.render(400)
    mouth.hush(1)
    mouth.play(2, sound(0, 800))
    out = mouth.render(400)
    assert float(out[0]) == pytest.approx(0.5 * DUCK_GAIN), "the end is louder than what was heard"
    assert any(np.array_equal(out[k:], sound(0, 400 - k)) for k in range(1, FADE + 1)), "the next is not at its level"


@pytest.mark.parametrize("left", [0, 1, 50])
def test_the_next_reply_has_its_full_level_however_little_was_left_of_the_last(left: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, steady(400 + left))
    mouth.render(400)
    mouth.hush(1)
    mouth.play(2, sound(0, 800))
    out = mouth.render(400)
    assert any(np.array_equal(out[k:], sound(0, 400 - k)) for k in range(left + 1)), "the next is not at its level"


@pytest.mark.parametrize("act", ["hush", "hold"])
@pytest.mark.parametrize(("left", "block"), [(3, 400), (50, 400), (2000, 16), (2000, 80)])
def test_stopping_and_standing_still_fade_wherever_the_output_is(act: str, left: int, block: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, steady(400 + left))
    mouth.play(1, steady(2000))
    mouth.render(400)
    if act == "hush":
        mouth.hush(1)
    else:
        mouth.hold()
    out = np.concatenate(([0.5], render(mouth, 800, block)))
    assert np.max(np.abs(np.diff(out))) <= 0.5 * 2.1 * FADING


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["duck", "go_on", ""]), st.integers(1, 500)), min_size=1, max_size=20),
    st.lists(st.integers(1, 700), min_size=1, max_size=8),
)
def test_changes_of_level_never_click(moves: list[tuple[str, int]], chunks: list[int]) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    for n in [*chunks, 20_000]:
        mouth.play(1, steady(n))
    out = [mouth.render(1)]
    for act, n in moves:
        if act:
            getattr(mouth, act)()
        out.append(mouth.render(n))
    assert np.max(np.abs(np.diff(np.concatenate(out)))) <= 0.5 * RAMPING + 1e-6


@pytest.mark.parametrize("block", [20, 160, 400])
def test_ducking_takes_a_ramp_and_is_exact_from_then_on(block: int) -> None:
    mouth = Mouth(RATE, fade_in=0.0)
    mouth.play(1, sound(0, 4000))
    mouth.render(100)
    mouth.duck()
    out = render(mouth, 1200, block)
    done = max(RAMP, block)
    assert out[RAMP // 2] > 0.1 * 2 * DUCK_GAIN, "it jumps"
    assert np.array_equal(out[done:], sound(100 + done, 1200 - done) * np.float32(DUCK_GAIN))
    mouth.go_on()
    out = render(mouth, 1200, block)
    assert np.array_equal(out[done:], sound(1300 + done, 1200 - done))


# --- two threads ------------------------------------------------------------------------------------------------------


def test_one_thread_plays_and_another_renders_and_nothing_is_lost() -> None:
    mouth, total = Mouth(48_000, fade_in=0.0), 500_000
    everything = (0.1 + 0.1 * np.arange(total) / total).astype(np.float32)
    random = np.random.default_rng(1)

    def play() -> None:
        at = 0
        while at < total:
            n = int(random.integers(1, 900))
            mouth.play(5, everything[at : at + n])
            at += n
            if at % 7 == 0:
                time.sleep(0.0005)

    player = threading.Thread(target=play)
    player.start()
    heard: list[Samples] = []
    count, deadline = 0, time.monotonic() + 20
    while count < total and time.monotonic() < deadline:
        out = mouth.render(int(1 + len(heard) % 500))
        assert mouth.progress.played >= count
        heard.append(out[out > 0])
        count += heard[-1].size
    player.join(10)
    assert not player.is_alive()
    assert np.array_equal(np.concatenate(heard), everything)
    assert mouth.progress == Progress(5, total, total)


def test_while_one_thread_turns_the_knobs_the_clock_and_the_sound_agree() -> None:
    mouth, stop = Mouth(48_000), threading.Event()
    mouth.play(1, sound(0, 300_000))

    def turn() -> None:
        while not stop.is_set():
            for act in (mouth.duck, mouth.hold, mouth.go_on):
                act()
                time.sleep(0.0003)

    turner = threading.Thread(target=turn)
    turner.start()
    try:
        deadline = time.monotonic() + 20
        while mouth.progress.played < 200_000 and time.monotonic() < deadline:
            before = mouth.progress.played
            out = mouth.render(480)
            moved = mouth.progress.played - before
            assert 0 <= moved <= 480 + FADE_SECONDS * 48_000, "more has left than was asked for and heard fading"
            assert float(np.max(out)) < 0.6
    finally:
        stop.set()
        turner.join(5)
    mouth.go_on()
    mouth.render(2000)
    at = mouth.progress.played
    assert at >= 200_000
    assert np.array_equal(mouth.render(500), sound(at, 500))


# --- beginning, and being forbidden -----------------------------------------------------------------------------------


def test_a_reply_that_begins_with_a_sound_comes_up_within_5_ms() -> None:
    mouth, fade = Mouth(RATE), round(FADE_IN_SECONDS * RATE)
    mouth.play(1, steady(800))
    out = render(mouth, 800, 160)
    assert 0.0 < out[0] <= 0.5 / fade + 1e-6
    assert np.all(np.diff(out[:fade]) > 0)
    assert np.array_equal(out[fade:], steady(800 - fade))
    assert mouth.progress == Progress(1, 800, 800), "the clock of what can be heard has moved"
    mouth.play(2, steady(800))
    assert mouth.render(160)[0] <= 0.5 / fade + 1e-6, "the next reply clicks"


def test_a_reply_that_begins_in_silence_is_not_touched() -> None:
    mouth = Mouth(RATE)
    whole = np.concatenate((silence(5), steady(400, 0.3)))
    mouth.play(1, whole)
    assert np.array_equal(mouth.render(405), whole)


@pytest.mark.parametrize("block", [37, 160, 400])
def test_what_is_forbidden_falls_silent_within_a_block_and_goes_on_from_there(block: int) -> None:
    allowed = True
    mouth = Mouth(RATE, lambda: allowed, fade_in=0.0)
    mouth.play(1, steady(4000))
    mouth.render(block)
    allowed = False
    last = mouth.render(block)
    assert mouth.shut
    assert last[-1] == 0.0
    assert np.abs(np.diff(last)).max() <= 0.5 / min(block - 1, SHUT_SECONDS * RATE - 1) + 1e-6, "it clicks"
    assert not render(mouth, 20 * block, block).any()
    assert mouth.progress.played == 2 * block, "what nobody heard was counted"
    allowed = True
    coming = mouth.render(block)
    assert coming[0] == 0.0
    assert np.all(np.diff(coming) >= 0)
    assert mouth.progress.played == 3 * block


def test_what_was_hushed_while_it_was_forbidden_does_not_come_again() -> None:
    allowed = True
    mouth = Mouth(RATE, lambda: allowed, fade_in=0.0)
    mouth.play(1, steady(4000))
    mouth.render(160)
    allowed = False
    render(mouth, 480, 160)
    mouth.hush(1)
    mouth.play(2, sound(0, 300))
    allowed = True
    assert np.array_equal(mouth.render(300), sound(0, 300))


def test_many_short_loud_sounds_are_lowered_and_then_not_let_through() -> None:
    mouth = Mouth(RATE)
    shot = np.concatenate((np.sign(np.sin(np.arange(240) * 0.7)) * 0.5, np.zeros(2160))).astype(np.float32)
    peaks, passing = [], []
    for number in range(260):  # one every 0.3 s
        mouth.play(number, shot)
        peaks.append(float(np.abs(render(mouth, shot.size, 160)).max()))
        passing.append(mouth.passing)
    assert min(peaks[:LOWERED_ONSETS]) > 0.4
    lowered = peaks[LOWERED_ONSETS + 1 : MUTED_ONSETS]
    assert passing[LOWERED_ONSETS + 1] is Passing.LOWERED
    assert max(lowered) < 0.5 * LOWERED_GAIN + 1e-3
    assert passing[-1] is Passing.MUTED, "whoever goes on is let through again"
    assert max(peaks[MUTED_ONSETS + 1 :]) == 0.0
    render(mouth, 40 * RATE, 1600)
    assert mouth.passing is Passing.FREE


def test_speech_with_many_pauses_is_let_through() -> None:
    mouth = Mouth(RATE)
    word = np.concatenate((np.sin(np.arange(2400) * 0.3) * 0.5, np.zeros(4000))).astype(np.float32)
    for _ in range(100):  # a word every 0.8 s, for 80 s
        mouth.play(1, word)
    render(mouth, 100 * word.size, 160)
    assert mouth.passing is Passing.FREE
