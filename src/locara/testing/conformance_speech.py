"""The checks for engines that deal with sound: recognisers, voices, detectors of voice and of turn ends, wake words.

What may live here: checks, each one promise of `locara.engines.contracts`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast

import numpy as np

from locara.audio import BLOCK, RATE, Samples
from locara.engines.contracts import Detector, Kind, Recogniser, Speech, Transcript, TurnDetector, Voice, WakeWord
from locara.testing.conformance import Check, NotForThis, Specimen, expect, refuses

_LONG_SECONDS = 45  # of sound in one turn: longer than the 30 s window of Whisper
_PATIENCE_SECONDS = 5  # of silence after the sound, until the first text must be there
_LONG_TEXT = "The kettle is on and the bread is in the oven, " * 6


def _noise(seconds: float, level: float = 0.05) -> Samples:
    sound: Samples = (level * np.random.default_rng(3).standard_normal(round(seconds * RATE))).astype(np.float32)
    return sound


# --- recognisers ------------------------------------------------------------------------------------------------------


async def _turn(engine: Recogniser, sound: Samples, block: int = BLOCK) -> tuple[list[str], Transcript]:
    recognition = engine.open()
    try:
        partials = []
        for start in range(0, sound.size, block):
            text = await recognition.push(sound[start : start + block])
            if text is not None:
                expect(isinstance(text, str), f"push gave {type(text).__name__}, neither text nor None")
                partials.append(text)
        return partials, _good(await recognition.settle())
    finally:
        await recognition.close()


def _good(got: Transcript) -> Transcript:
    expect(isinstance(got, Transcript), f"settle gave {type(got).__name__}")
    sure = got.confidence
    expect(sure is None or 0.0 <= sure <= 1.0, f"a confidence of {sure}")
    expect(got.text == got.text.strip(), f"{got.text!r} has space around it")
    return got


async def _settles_on_nothing(engine: Recogniser, specimen: Specimen) -> None:
    _, got = await _turn(engine, np.zeros(0, np.float32))
    expect(got.text == "", f"it understood {got.text!r} where nothing was said")


async def _recognises(engine: Recogniser, specimen: Specimen) -> None:
    await _turn(engine, specimen.sound)


async def _partials(engine: Recogniser, specimen: Specimen) -> None:
    if not engine.info.streaming:
        raise NotForThis("its info says that it does not stream")
    # As a microphone gives it: an engine may decode beside, and tell at the next push. A busy machine gets more time.
    recognition = engine.open()
    quiet = np.zeros(BLOCK, np.float32)
    heard = False
    try:
        for start in range(0, specimen.sound.size + _PATIENCE_SECONDS * RATE, BLOCK):
            block = specimen.sound[start : start + BLOCK]
            heard = await recognition.push(block if block.size else quiet) is not None or heard
            if heard:
                break
            await asyncio.sleep(BLOCK / RATE)
        settled = await recognition.settle()
    finally:
        await recognition.close()
    if not heard and not settled.text:
        raise NotForThis("it understood nothing in this sound")
    expect(heard, "no text came before the turn was settled")


async def _goes_on_after_settling(engine: Recogniser, specimen: Specimen) -> None:
    recognition = engine.open()
    half = specimen.sound.size // 2
    try:
        await recognition.push(specimen.sound[:half])
        first = await recognition.settle()
        again = await recognition.settle()
        expect(first.text == again.text, f"settled twice without new sound: {first.text!r}, then {again.text!r}")
        await recognition.push(specimen.sound[half:])
        _good(await recognition.settle())
    finally:
        await recognition.close()


async def _opens_anew(engine: Recogniser, specimen: Specimen) -> None:
    left_open = engine.open()
    await left_open.push(specimen.sound[:RATE])
    await _turn(engine, specimen.sound)
    await left_open.close()
    await left_open.close()


async def _survives_cancelling(engine: Recogniser, specimen: Specimen) -> None:
    recognition = engine.open()
    for wait in (0.0, 0.005, 0.05):
        task = asyncio.create_task(recognition.settle())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(recognition.push(specimen.sound)), 5.0)
        await asyncio.sleep(wait)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
    await recognition.close()
    await _turn(engine, specimen.sound)


async def _hears_a_long_turn(engine: Recogniser, specimen: Specimen) -> None:
    long = np.tile(specimen.sound, math.ceil(_LONG_SECONDS * RATE / specimen.sound.size))[: _LONG_SECONDS * RATE]
    await _turn(engine, long, block=RATE)


async def _survives_odd_samples(engine: Recogniser, specimen: Specimen) -> None:
    odd = np.concatenate((np.zeros(RATE, np.float32), 4.0 * _noise(0.5), np.ones(RATE // 2, np.float32)))
    for block in (1, 7, odd.size):
        await _turn(engine, odd[: 200 if block < BLOCK else odd.size], block=block)


async def _refuses_after_the_end(engine: Recogniser, specimen: Specimen) -> None:
    recognition = engine.open()
    await recognition.push(specimen.sound[:RATE])
    await recognition.close()
    await refuses(recognition.push(specimen.sound[:RATE]))
    await refuses(recognition.settle())
    await _turn(engine, specimen.sound[:RATE])


# --- voices -----------------------------------------------------------------------------------------------------------


async def _speech(engine: Voice, text: str) -> list[Speech]:
    async with aclosing(cast(Any, engine.speak(text))) as stream:
        return [piece async for piece in stream]


async def _speaks(engine: Voice, specimen: Specimen) -> None:
    pieces = await _speech(engine, specimen.text)
    expect(8_000 <= engine.rate <= 96_000, f"a rate of {engine.rate} Hz")
    sound = np.concatenate([piece.samples for piece in pieces]) if pieces else np.zeros(0, np.float32)
    expect(sound.dtype == np.float32 and sound.ndim == 1, f"samples are {sound.dtype} of {sound.ndim} dimensions")
    expect(bool(np.isfinite(sound).all()), "some samples are no numbers")
    expect(sound.size > engine.rate // 10, f"only {sound.size / engine.rate:.2f} s of sound")
    expect(float(np.abs(sound).max()) <= 2.0, "samples far outside -1 to 1")


async def _marks_words(engine: Voice, specimen: Specimen) -> None:
    if not engine.info.word_times:
        raise NotForThis("its info says that it has no word times")
    pieces = await _speech(engine, specimen.text)
    marks = [mark for piece in pieces for mark in piece.words]
    total = sum(piece.samples.size for piece in pieces)
    expect(len(marks) >= len(specimen.text.split()) - 2, f"{len(marks)} marks for {len(specimen.text.split())} words")
    expect([m.at for m in marks] == sorted(m.at for m in marks), "marks go back in time")
    for mark in marks:
        expect(0 <= mark.at <= total, f"a mark at sample {mark.at} of {total}")
        expect(0 <= mark.start < mark.end <= len(specimen.text), f"a mark of characters {mark.start} to {mark.end}")


async def _speaks_in_pieces(engine: Voice, specimen: Specimen) -> None:
    if not engine.info.streaming:
        raise NotForThis("its info says that it does not stream")
    expect(len(await _speech(engine, specimen.text)) > 1, "all of it came in one piece")


async def _speaks_odd_texts(engine: Voice, specimen: Specimen) -> None:
    for text in (
        "",
        "   ",
        "...",
        "😀",
        "Grüß Gott, 你好, \x00 and \ud83d.",
        "a",
        "7",
        "Dr. No said: 3.5 %!",
        "<b>&amp;",
    ):
        await _speech(engine, text)


async def _speaks_long_texts(engine: Voice, specimen: Specimen) -> None:
    pieces = await _speech(engine, _LONG_TEXT)
    expect(sum(piece.samples.size for piece in pieces) > engine.rate, "less than a second for a long text")


async def _stops_speaking(engine: Voice, specimen: Specimen) -> None:
    for _ in range(3):
        stream = cast(Any, engine.speak(_LONG_TEXT))
        await anext(stream, None)
        await stream.aclose()
    task = asyncio.create_task(_speech(engine, _LONG_TEXT))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    expect(bool(await _speech(engine, specimen.text)), "after being stopped it says nothing")


# --- detectors --------------------------------------------------------------------------------------------------------


async def _gives_probabilities(engine: Detector, specimen: Specimen) -> None:
    for sound in (specimen.sound, np.zeros(RATE, np.float32), 3.0 * _noise(1.0)):
        for start in range(0, sound.size - engine.window, engine.window):
            chance = engine.probability(sound[start : start + engine.window])
            expect(0.0 <= chance <= 1.0, f"a probability of {chance}")


async def _forgets(engine: Detector, specimen: Specimen) -> None:
    windows = [specimen.sound[start : start + engine.window] for start in range(0, RATE, engine.window)]
    engine.reset()
    first = [engine.probability(window) for window in windows]
    engine.reset()
    again = [engine.probability(window) for window in windows]
    expect(np.allclose(first, again, atol=1e-3), "after reset the same sound gets other probabilities")


async def _is_quiet_in_silence(engine: Detector, specimen: Specimen) -> None:
    engine.reset()
    silence = np.zeros(engine.window, np.float32)
    expect(max(engine.probability(silence) for _ in range(60)) < 0.5, "digital silence is speech to it")


async def _answers_for_any_sound(engine: TurnDetector, specimen: Specimen) -> None:
    pause = np.zeros(RATE // 4, np.float32)
    for sound in (specimen.sound, pause, pause[:1], _noise(12.0), np.zeros(0, np.float32)):
        chance = await engine.finished(np.concatenate((sound, pause))[-round(engine.seconds * RATE) :])
        expect(0.0 <= chance <= 1.0, f"a probability of {chance}")


async def _stops_answering(engine: TurnDetector, specimen: Specimen) -> None:
    task = asyncio.create_task(engine.finished(specimen.sound))
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    await engine.finished(specimen.sound)


async def _listens_for_its_word(engine: WakeWord, specimen: Specimen) -> None:
    expect(bool(engine.word), "it names no word")
    expect(0.0 < engine.threshold <= 1.0, f"a threshold of {engine.threshold}")
    for start in range(0, specimen.sound.size - engine.window, engine.window):
        chance = engine.probability(specimen.sound[start : start + engine.window])
        expect(chance is None or 0.0 <= chance <= 1.0, f"a probability of {chance}")


CHECKS: Mapping[Kind, dict[str, Check]] = {
    "stt": {
        "nothing said": _settles_on_nothing,
        "recognises": _recognises,
        "streams": _partials,
        "goes on after settling": _goes_on_after_settling,
        "next turn": _opens_anew,
        "cancel": _survives_cancelling,
        "45 s": _hears_a_long_turn,
        "odd samples": _survives_odd_samples,
        "after the end": _refuses_after_the_end,
    },
    "tts": {
        "speaks": _speaks,
        "word times": _marks_words,
        "streams": _speaks_in_pieces,
        "odd texts": _speaks_odd_texts,
        "long text": _speaks_long_texts,
        "cancel": _stops_speaking,
    },
    "vad": {
        "probabilities": _gives_probabilities,
        "reset": _forgets,
        "silence": _is_quiet_in_silence,
    },
    "turn": {"any sound": _answers_for_any_sound, "cancel": _stops_answering},
    "wake": {"probabilities": _listens_for_its_word},
}
"""Kind -> name -> check."""
