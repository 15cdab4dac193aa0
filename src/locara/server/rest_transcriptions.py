"""``POST /v1/audio/transcriptions``: a recording in, its words out, as a whole or piece by piece.

What may live here: the order in which it happens. The form is read in `rest_form`, judged in `rest_wanted`, the text is
written in `rest_captions`; recognising is `locara.transcribe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

from aiohttp import web

from locara.audio import Samples
from locara.devices.decoding import decoding
from locara.engines.contracts import Detector, Recogniser
from locara.server.rest_answering import while_there
from locara.server.rest_captions import event, joined, written
from locara.server.rest_desk import Desk
from locara.server.rest_engines import lent
from locara.server.rest_errors import refusal_of, wrong
from locara.server.rest_form import Form, form
from locara.server.rest_models import Chosen
from locara.server.rest_names import language_of
from locara.server.rest_streaming import begin, send
from locara.server.rest_wanted import TextWanted, text_wanted
from locara.transcribe import Segment, Transcriber
from locara.voice.brain import Deadlines

LEAST_SECONDS = 0.1
"""Of a recording, as OpenAI's limit: shorter is a mistake of whoever recorded it."""


class Recording:
    """Sound on its way to the recogniser, and how long it was so far in seconds."""

    def __init__(self, pieces: AsyncIterator[Samples], rate: int) -> None:
        self._pieces = pieces
        self.rate = rate
        self.seconds = 0.0

    async def __aiter__(self) -> AsyncGenerator[Samples]:
        async for piece in self._pieces:
            self.seconds += piece.size / self.rate
            yield piece
        if self.seconds < LEAST_SECONDS:
            raise wrong(f"the recording has {self.seconds:.2f} s; {LEAST_SECONDS} are the least", "file")


async def transcribe(desk: Desk, request: web.Request) -> web.StreamResponse:
    """The answer. Raises what `locara.server.rest_errors` knows."""
    limits = desk.settings.limits
    async with desk.jobs.place():
        given = await form(request, limits.upload_bytes, limits.body_seconds)
        wanted = text_wanted(given.fields)
        if given.file is None:
            raise wrong('there is no file: send the recording as the part "file"', "file")
        return await while_there(request, _answered(desk, request, given, wanted))


async def _answered(desk: Desk, request: web.Request, given: Form, wanted: TextWanted) -> web.StreamResponse:
    assert given.file is not None
    chosen = await asyncio.to_thread(desk.models.choose, "stt", wanted.model, wanted.language)
    async with desk.jobs.turn(), decoding(given.file) as (pieces, rate), _transcriber(desk, chosen, wanted) as one:
        given.file = None  # decoded from a copy, or by another process: the upload is not kept any longer
        recording = Recording(pieces, rate)
        async with aclosing(one.stream(recording, rate)) as segments:
            if wanted.stream:
                return await _streamed(request, wanted, segments)
            found = [segment async for segment in segments if segment.final]
    text, kind = written(wanted, found, recording.seconds, language_of(chosen.row, wanted.language))
    return web.Response(text=text, content_type=kind, charset="utf-8", headers=_headers(wanted))


@asynccontextmanager
async def _transcriber(desk: Desk, chosen: Chosen, wanted: TextWanted) -> AsyncIterator[Transcriber]:
    vad = desk.settings.stages.get("vad")
    async with lent(desk.pool, "stt", chosen.stage) as recogniser, lent(desk.pool, "vad", vad) as detector:
        if wanted.words and not recogniser.info.word_times:
            raise wrong(
                f"{recogniser.info.model} gives no times of words: ask for segments, or for another model",
                "timestamp_granularities",
            )
        yield Transcriber(cast(Recogniser, recogniser), cast(Detector, detector), Deadlines())


async def _streamed(request: web.Request, wanted: TextWanted, segments: AsyncGenerator[Segment]) -> web.StreamResponse:
    """Server-sent events. A delta is sent when its words are settled: what was sent is never taken back."""
    found: list[Segment] = []
    response: web.StreamResponse | None = None
    try:
        async for segment in segments:
            response = response or await begin(request, "text/event-stream", _headers(wanted))
            if segment.final:
                text = segment.text.strip()
                await send(response, event({"type": "transcript.text.delta", "delta": f" {text}" if found else text}))
                found.append(segment)
    except Exception as error:
        if response is None:
            raise
        await send(response, event(refusal_of(error).body()))
    else:
        response = response or await begin(request, "text/event-stream", _headers(wanted))
        await send(response, event({"type": "transcript.text.done", "text": joined(found)}))
    await response.write_eof()
    return response


def _headers(wanted: TextWanted) -> dict[str, str]:
    return {"Locara-Unused": ", ".join(wanted.unused)} if wanted.unused else {}
