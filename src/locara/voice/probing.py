"""How fast an engine is here: a recording recognised, a sentence said, a reply begun. Real inferences, timed.

What may live here: the four measurements and their figures. Which models are measured, and where the figures are kept, is
the business of whoever asks. Each takes a loaded engine, and ends by its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from locara.audio import BLOCK, RATE, Samples, resample
from locara.engines.backend import (
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Ended,
    Frame,
    ReplyAudio,
    ReplyEnded,
    TurnEnd,
    VoiceBackend,
)
from locara.engines.contracts import LanguageModel, Message, Recogniser, Sound, ToolCall, Voice
from locara.errors import EngineFailed
from locara.voice.streams import each

SENTENCE = "The train to the coast leaves at ten past nine, and the weather will be fine all day."
"""85 characters, about five seconds of speech: long enough for a steady pace."""

QUESTION = "Tell me in three sentences what a lighthouse is for."

MOST_TOKENS = 40
"""Enough for a pace; a model that writes on is stopped."""


@dataclass(frozen=True, slots=True)
class Measured:
    """``real_time_factor``: seconds of work for a second of sound. ``first``: seconds until the settled text of what had
    just been pushed, the first sound, or the first token. ``tokens_a_second``: pieces of text after the first. ``load``:
    seconds to load and warm up. ``what``: what was understood, said or answered, so that a person can judge it."""

    real_time_factor: float | None = None
    first: float | None = None
    tokens_a_second: float | None = None
    load: float | None = None
    what: str = ""


def better(one: Measured, other: Measured) -> Measured:
    """The smaller times and the faster pace of two measurements of the same thing."""

    def least(a: float | None, b: float | None) -> float | None:
        return min((value for value in (a, b) if value is not None), default=None)

    pace = max((value for value in (one.tokens_a_second, other.tokens_a_second) if value is not None), default=None)
    factor = least(one.real_time_factor, other.real_time_factor)
    return Measured(factor, least(one.first, other.first), pace, least(one.load, other.load), one.what)


async def recogniser(engine: Recogniser, recording: Samples, deadline: float) -> Measured:
    """``recording`` (float32 at 16 kHz) pushed block by block as fast as it is taken, then settled."""
    clock = asyncio.get_running_loop().time
    began = clock()
    async with asyncio.timeout(deadline):
        recognition = engine.open()
        try:
            for at in range(0, recording.size, BLOCK):
                await recognition.push(recording[at : at + BLOCK])
            pushed = clock()
            got = await recognition.settle()
        finally:
            await recognition.close()
    ended = clock()
    return Measured((ended - began) / (recording.size / RATE), ended - pushed, what=got.text)


async def voice(engine: Voice, deadline: float, text: str = SENTENCE) -> Measured:
    """``text`` said, and thrown away. Raises ``EngineFailed`` when nothing sounded."""
    clock = asyncio.get_running_loop().time
    began = clock()
    first: float | None = None
    samples = 0
    async with asyncio.timeout(deadline), contextlib.aclosing(engine.speak(text)) as speech:  # type: ignore[type-var]
        async for piece in speech:
            samples += piece.samples.size
            if first is None and piece.samples.size:
                first = clock() - began
    if first is None:
        raise EngineFailed(f"tts: {engine.info.model} made no sound", stage="tts", model=engine.info.model)
    return Measured((clock() - began) / (samples / engine.rate), first, what=text)


async def model(engine: LanguageModel, deadline: float) -> Measured:
    """One question answered, at most `MOST_TOKENS` pieces of it. Raises ``EngineFailed`` when nothing came."""
    clock = asyncio.get_running_loop().time
    began = clock()
    times: list[float] = []
    text = ""
    asked = [Message("user", QUESTION)]
    async with asyncio.timeout(deadline), contextlib.aclosing(engine.reply(asked)) as reply:  # type: ignore[type-var]
        async for piece in reply:
            if isinstance(piece, ToolCall) or not piece:
                continue
            times.append(clock())
            text += piece
            if len(times) >= MOST_TOKENS:
                break
    if not times:
        raise EngineFailed(f"llm: {engine.info.model} answered nothing", stage="llm", model=engine.info.model)
    pace = (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else None
    return Measured(first=times[0] - began, tokens_a_second=pace, what=text.strip())


async def backend(engine: VoiceBackend, recording: Samples, deadline: float) -> Measured:
    """``recording`` (float32 at 16 kHz) said to it in a session of its own. ``first``: from the end of the turn to the first
    sound, and ``real_time_factor`` of the reply; of a model that leads its turns, which is given the recording at the pace
    of the clock, only ``first``: from the first sound in to the first sound out. Raises ``EngineFailed`` where none came."""
    async with asyncio.timeout(deadline):
        session = await engine.start_session(BackendSettings())
        try:
            return await _answered(engine, session, recording, deadline)
        finally:
            await engine.stop_session(session)


async def _answered(engine: VoiceBackend, session: str, recording: Samples, deadline: float) -> Measured:
    clock, can = asyncio.get_running_loop().time, engine.capabilities
    sound = resample(recording, RATE, can.input_rate)
    step = round(can.input_rate * BLOCK / RATE)
    began = clock()

    async def say() -> None:
        for number, at in enumerate(range(0, sound.size, step), 1):
            await engine.push_audio(session, sound[at : at + step])
            if can.turn_owner != "locara":
                await asyncio.sleep(max(0.0, began + number * BLOCK / RATE - clock()))

    saying = asyncio.create_task(say(), name="probe-say")
    try:
        if can.turn_owner == "locara":
            await saying
            began = clock()
            messages = (Message("user", "", sounds=(Sound(recording),)),) if can.memory == "locara" else ()
            await engine.signal(session, TurnEnd(0, messages))
        events = each(engine.event_stream(session), first=deadline, then=deadline)
        async with contextlib.aclosing(events):  # type: ignore[type-var]
            first, samples = await _sounded(engine, events, until_end=can.turn_owner == "locara")
    finally:
        saying.cancel()
        await asyncio.wait([saying])
    factor = (clock() - began) / (samples / can.output_rate) if can.turn_owner == "locara" else None
    return Measured(factor, first - began)


async def _sounded(engine: VoiceBackend, events: AsyncIterator[BackendEvent], *, until_end: bool) -> tuple[float, int]:
    """When the first sound came, and how many samples did; ``until_end``: of the whole reply."""
    first, samples, why = None, 0, "made no sound"
    async for event in events:
        if isinstance(event, ReplyAudio | Frame) and event.samples.size:
            first = asyncio.get_running_loop().time() if first is None else first
            samples += event.samples.size
        elif isinstance(event, BackendFailed):
            why = event.message
        if isinstance(event, ReplyEnded | Ended) or (first is not None and not until_end):
            break
    if first is None:
        raise EngineFailed(f"omni: {engine.info.model}: {why}", stage="omni", model=engine.info.model)
    return first, samples
