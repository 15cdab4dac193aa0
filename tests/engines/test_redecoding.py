"""Streaming by decoding again, with a decoder whose answers are known: when it is asked, what is reused, what is cut."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from locara.audio import RATE, Samples, silence
from locara.engines.contracts import EngineInfo, TimedWord, Transcript
from locara.engines.quietness import quietest
from locara.engines.redecoding import Decoded, Pace, Redecoding, RedecodingRecogniser, Stopped, wait_between
from locara.errors import EngineFailed, EngineTimeout, SessionError


def voice(seconds: float) -> Samples:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)))).astype(np.float32)


class Counting:
    """Hears one word a second of sound: "w0 w1 ..." by the place in what it is given."""

    info = EngineInfo(engine="counting", model="counting", licence="none")

    def __init__(self) -> None:
        self.calls: list[tuple[float, bool]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.fails: Exception | None = None
        self.firm = True
        self.closed = 0
        self.told = threading.Event()

    def decode(self, samples: Samples, *, final: bool, stop: threading.Event) -> Decoded:
        self.calls.append((samples.size / RATE, final))
        while not self.hold.wait(0.005):
            if stop.is_set():
                self.told.set()
                raise Stopped
        if self.fails is not None:
            raise self.fails
        words = [f"w{at}" for at in range(round(samples.size / RATE))]
        times = tuple(TimedWord(word, at, at + 1) for at, word in enumerate(words))
        return Decoded(" ".join(words), 0.5, times, firm=self.firm)

    def close(self) -> None:
        self.closed += 1


def _run(work: Callable[[RedecodingRecogniser, Counting], Awaitable[None]], **pace: Any) -> Counting:
    decoder = Counting()

    async def run() -> None:
        engine = RedecodingRecogniser(Counting.info, lambda: decoder, Pace(**pace))
        await engine.load()
        assert decoder.calls == [(1.0, False)]
        decoder.calls.clear()
        try:
            await work(engine, decoder)
        finally:
            decoder.hold.set()
            await engine.close()
            await engine.close()
        assert not [t for t in threading.enumerate() if t.name == "locara-counting"]

    asyncio.run(run())
    return decoder


async def _push(listening: Redecoding, sound: Samples, step: float = 0.1) -> list[str]:
    news = []
    size = round(step * RATE)
    for start in range(0, sound.size, size):
        if (text := await listening.push(sound[start : start + size])) is not None:
            news.append(text)
        if listening._flight is not None:
            await asyncio.wait([listening._flight])
    return news


def test_partial_texts_come_and_a_settle_after_quiet_costs_nothing() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        news = await _push(listening, voice(3.0))
        assert news == sorted(set(news), key=len)
        assert news[-1].startswith("w0 w1")
        before = len(decoder.calls)
        first = await listening.settle()
        assert first.text == "w0 w1 w2"
        assert len(decoder.calls) <= before + 1
        await _push(listening, silence(RATE))
        count = len(decoder.calls)
        assert await listening.settle() is first
        assert len(decoder.calls) == count

    _run(work)


def test_a_decode_that_covered_all_words_is_the_transcript() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        await _push(listening, np.concatenate([voice(2.0), silence(RATE)]))
        count = len(decoder.calls)
        assert (await listening.settle()).text.startswith("w0 w1")
        assert len(decoder.calls) == count

    _run(work)


def test_a_doubtful_partial_is_decoded_once_more_with_effort() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        decoder.firm = False
        listening = engine.open()
        await _push(listening, np.concatenate([voice(2.0), silence(RATE)]))
        assert not any(final for _, final in decoder.calls)
        await listening.settle()
        assert [final for _, final in decoder.calls].count(True) == 1
        await listening.settle()
        assert [final for _, final in decoder.calls].count(True) == 1

    _run(work)


def test_silence_is_never_decoded() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        assert await listening.settle() == Transcript("")
        await _push(listening, silence(3 * RATE))
        assert await listening.settle() == Transcript("")
        assert decoder.calls == []

    _run(work)


def test_a_turn_that_goes_on_covers_both_parts() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        await _push(listening, voice(2.0))
        assert (await listening.settle()).text == "w0 w1"
        await _push(listening, voice(2.0))
        assert (await listening.settle()).text == "w0 w1 w2 w3"

    _run(work)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_long_turn_is_cut_at_its_quiet_moments_and_nothing_is_lost(at_once: bool) -> None:
    part = np.concatenate([voice(17.5), silence(RATE // 2)])
    sound = np.concatenate([part, part, part, voice(5.0)])

    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        await _push(listening, sound, step=60.0 if at_once else 0.5)
        transcript = await listening.settle()
        assert all(seconds <= 30 for seconds, _ in decoder.calls)
        heads = [text for text in transcript.text.split() if text == "w0"]
        assert len(heads) == 3
        assert len(transcript.text.split()) in (58, 59, 60)
        times = [word.start for word in transcript.words]
        assert times == sorted(times)
        assert times[-1] > 55

    _run(work, partials="none" if at_once else "all")


def test_what_follows_a_cut_is_decoded_again_even_if_all_of_it_had_been_decoded_before_the_cut() -> None:
    sound = np.concatenate([voice(17.0), silence(RATE // 2), voice(7.5), silence(RATE // 2)])

    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        await _push(listening, sound)
        assert (await listening.settle()).text.split().count("w0") == 1
        await _push(listening, silence(2 * RATE))  # now it is too long, and is cut in the pause
        transcript = await listening.settle()
        assert transcript.text.split().count("w0") == 2
        assert len(transcript.text.split()) >= 24

    _run(work)


def test_the_quiet_moment_is_found() -> None:
    sound = np.concatenate([voice(1.0), silence(RATE // 2), voice(1.0)])
    assert abs(quietest(sound, 0, sound.size) - 1.25 * RATE) < 0.2 * RATE


def test_pushing_never_waits_for_the_decoder_and_decodes_do_not_pile_up() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        decoder.hold.clear()
        listening = engine.open()
        for _ in range(100):
            assert await listening.push(voice(0.1)) is None
        await asyncio.sleep(0.05)
        assert len(decoder.calls) == 1
        decoder.hold.set()
        assert (await listening.settle()).text.split()[-1] == "w9"
        assert len(decoder.calls) == 2

    _run(work)


def test_settling_does_not_wait_for_a_decode_that_lacks_the_last_words() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        decoder.hold.clear()
        await listening.push(voice(1.0))
        await asyncio.sleep(0.02)
        await listening.push(voice(1.0))
        settling = asyncio.create_task(listening.settle())
        await asyncio.to_thread(decoder.told.wait, 30.0)
        decoder.hold.set()
        assert (await settling).text == "w0 w1"
        assert [final for _, final in decoder.calls] == [False, True]

    _run(work)


def test_decoding_takes_its_share_of_the_time_and_no_more() -> None:
    assert wait_between(Pace(step=0.5, share=0.5), 0.0) == 0.5
    assert wait_between(Pace(step=0.5, share=0.5), 1.0) == 2.0
    assert wait_between(Pace(step=0.5, share=0.25), 1.0) == 4.0


@pytest.mark.parametrize("partials", ["all", "stable", "none"])
def test_partials_are_all_or_stable_or_none(partials: str) -> None:
    told: list[str] = []

    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        told.extend(await _push(listening, voice(4.0)))
        if partials == "none":
            assert decoder.calls == []
        assert (await listening.settle()).text == "w0 w1 w2 w3"

    _run(work, partials=partials)
    assert bool(told) == (partials != "none")
    if partials == "stable":
        assert "w3" not in told[-1]


def test_a_cancelled_settle_loses_nothing_and_the_engine_stays_usable() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        decoder.hold.clear()
        await listening.push(voice(0.4))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listening.settle(), 0.05)
        decoder.hold.set()
        await listening.push(voice(1.6))
        assert (await listening.settle()).text == "w0 w1"

    _run(work)


def test_closing_stops_what_is_being_decoded_and_the_next_turn_starts_fresh() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        decoder.hold.clear()
        await listening.push(voice(2.0))
        await asyncio.sleep(0.02)
        await listening.close()
        await listening.close()
        with pytest.raises(EngineFailed, match="ended"):
            await listening.push(voice(0.1))
        newer = engine.open()
        decoder.hold.set()
        await newer.push(voice(1.0))
        assert (await newer.settle()).text == "w0"

    _run(work)


def test_a_newer_recognition_ends_the_older_one_also_while_it_settles() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        older = engine.open()
        decoder.hold.clear()
        await older.push(voice(2.0))
        settling = asyncio.create_task(older.settle())
        await asyncio.sleep(0.02)
        engine.open()
        with pytest.raises(EngineFailed, match="ended"):
            await settling

    _run(work)


def test_a_decode_that_fails_is_told_and_the_next_one_covers_everything() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        decoder.fails = EngineFailed("broken", stage="stt")
        await listening.push(voice(2.0))
        with pytest.raises(EngineFailed, match="broken"):
            await listening.settle()
        decoder.fails = None
        text = (await listening.settle()).text.split()
        assert text[:2] == ["w0", "w1"]

    _run(work)


def test_a_decoder_that_hangs_is_given_up_at_the_deadline() -> None:
    async def work(engine: RedecodingRecogniser, decoder: Counting) -> None:
        listening = engine.open()
        decoder.hold.clear()
        await listening.push(voice(0.3))
        began = time.monotonic()
        with pytest.raises(EngineTimeout):
            await listening.settle()
        assert time.monotonic() - began < 30
        decoder.hold.set()
        assert (await listening.settle()).text == ""

    _run(work, deadline=0.2)


def test_an_engine_that_is_not_loaded_or_closed_says_so() -> None:
    async def run() -> None:
        engine = RedecodingRecogniser(Counting.info, Counting, Pace())
        with pytest.raises(EngineFailed, match="not loaded"):
            await engine.open().push(voice(0.1))
        await engine.close()
        with pytest.raises(SessionError):
            await engine.load()

    asyncio.run(run())
