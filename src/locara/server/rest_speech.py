"""``POST /v1/audio/speech``: text in, sound out, the first of it when the first clause is spoken.

What may live here: the order in which it happens. What is asked is judged in `rest_wanted`, the bytes are made in
`rest_sound`; speaking is `locara.speech`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from aiohttp import web

from locara.audio import Samples
from locara.engines.contracts import Voice
from locara.server.rest_answering import ClientGone, while_there
from locara.server.rest_captions import event
from locara.server.rest_desk import Desk
from locara.server.rest_engines import lent
from locara.server.rest_errors import refusal_of, wrong
from locara.server.rest_form import body
from locara.server.rest_names import OPENAI_VOICES
from locara.server.rest_sound import RATE, WAV_HEADER, Leaving, cut
from locara.server.rest_streaming import begin, cut_off, send
from locara.server.rest_wanted import SpeechWanted, speech_wanted
from locara.server.uses import LOOK, REST, used
from locara.speech import Speaker
from locara.speech.tempo import Tempo
from locara.voice.brain import Deadlines

TYPES = {"wav": "audio/wav", "pcm": "audio/pcm"}


async def speak(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The answer. Raises what `locara.server.rest_errors` knows."""
    async with desk.jobs.place():
        wanted = speech_wanted(await body(request, desk.settings.limits.body_seconds))
        return await while_there(request, _answered(desk, request, wanted))


async def _answered(desk: Desk, request: web.Request, wanted: SpeechWanted) -> web.StreamResponse:
    voice = "" if wanted.voice.lower() in OPENAI_VOICES else wanted.voice
    chosen = await asyncio.to_thread(desk.models.choose, "tts", wanted.model, "", voice)
    async with desk.jobs.turn(), lent(desk.pool, "tts", chosen.stage) as engine:
        speaker = Speaker(cast(Voice, engine), Deadlines())
        with used(REST, "device.speaker", {"tts": engine.info}) as look:
            async with aclosing(_sound(speaker, wanted, look)) as pieces:
                return await (_as_events if wanted.events else _as_bytes)(request, wanted, pieces)


async def _sound(speaker: Speaker, wanted: SpeechWanted, look: LOOK) -> AsyncGenerator[bytes]:
    """16-bit samples, none of them empty. Raises ``Refused`` where the voice says nothing at all."""
    leaving, tempo = Leaving(), Tempo(RATE, wanted.speed)

    def left(samples: Samples) -> bytes:
        return leaving.push(tempo.push(samples))

    async with aclosing(speaker.stream(wanted.text, sample_rate=RATE)) as pieces:
        async for piece in pieces:
            for part in cut(piece.samples):
                look()
                if data := left(part):
                    yield data
                await asyncio.sleep(0)
    if data := leaving.push(tempo.finish()) + leaving.finish():
        yield data
    if not leaving.samples:
        raise wrong("nothing of input can be spoken: it has no words", "input")


async def _as_bytes(request: web.Request, wanted: SpeechWanted, pieces: AsyncGenerator[bytes]) -> web.StreamResponse:
    response: web.StreamResponse | None = None
    try:
        async for data in pieces:
            if response is None:  # not before: an error until here has a status of its own
                response = await begin(request, TYPES[wanted.format], _headers(wanted))
                await send(response, WAV_HEADER if wanted.format == "wav" else b"")
            await send(response, data)
    except Exception as error:
        if response is None:
            raise
        cut_off(request)
        raise ClientGone from error
    assert response is not None
    await response.write_eof()
    return response


async def _as_events(request: web.Request, wanted: SpeechWanted, pieces: AsyncGenerator[bytes]) -> web.StreamResponse:
    response: web.StreamResponse | None = None
    header = WAV_HEADER if wanted.format == "wav" else b""
    try:
        async for data in pieces:
            response = response or await begin(request, "text/event-stream", _headers(wanted))
            audio = base64.b64encode(header + data).decode()
            header = b""
            await send(response, event({"type": "speech.audio.delta", "audio": audio}))
    except Exception as error:
        if response is None:
            raise
        await send(response, event(refusal_of(error).body()))
    else:
        assert response is not None
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}  # nobody is billed
        await send(response, event({"type": "speech.audio.done", "usage": usage}))
    await response.write_eof()
    return response


def _headers(wanted: SpeechWanted) -> dict[str, str]:
    return {"Locara-Unused": ", ".join(wanted.unused)} if wanted.unused else {}
