"""One Wyoming connection: events in, one job at a time, events out.

What may live here: the order of events of the two services. Frames are read in `wyoming_wire`; recognising and speaking is
`locara.transcribe` and `locara.speech`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from locara.audio import Samples
from locara.engines.contracts import Detector, Recogniser, Voice
from locara.server import wyoming_wire as wire
from locara.server.rest_desk import Desk
from locara.server.rest_engines import lent
from locara.server.rest_errors import refusal_of
from locara.server.rest_sound import RATE, Leaving, cut
from locara.server.uses import LOOK, WYOMING, used
from locara.server.wyoming_info import info
from locara.server.wyoming_wire import Event, Form
from locara.speech import Speaker
from locara.transcribe import Transcriber
from locara.voice.brain import Deadlines

IDLE_SECONDS = 60.0
"""Without a frame and without work, a connection is closed after so long; clients connect anew for each request."""
FRAME_SECONDS = 20.0
"""From the first line of a frame to its end."""
WRITE_SECONDS = 30.0
"""A client that takes nothing for so long keeps an engine from others."""
WAITING_CHUNKS = 64
"""Chunks that wait for the recogniser; then the connection is not read on, and the client has to wait."""
AUDIO_SECONDS = 3600.0
"""Of one recording."""
TEXT_CHARACTERS = 20_000
"""Of all that is to be spoken in one go: half an hour."""
CHUNK_SECONDS = 0.1

_CHUNK = round(CHUNK_SECONDS * RATE) * 2  # bytes


@dataclass(slots=True)
class _Coming:
    """Something that comes in pieces and is worked at meanwhile; None ends it. ``taken``: how much of it there was."""

    queue: asyncio.Queue[Any] = field(default_factory=lambda: asyncio.Queue(WAITING_CHUNKS))
    taken: float = 0.0
    form: Form | None = None


class Connection:
    """One client. `run` until it leaves."""

    def __init__(self, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._desk = desk
        self._reader = reader
        self._writer = writer
        self._job: asyncio.Task[None] | None = None
        self._wanted = ("", "")  # model and language of the next transcript
        self._sound: _Coming | None = None
        self._text: _Coming | None = None

    @property
    def working(self) -> bool:
        """Whether something is recognised or spoken."""
        return self._job is not None and not self._job.done()

    async def run(self) -> None:
        """Serves the client until it leaves, is silent for too long, or says what is no frame."""
        try:
            while (told := await self._next()) is not None:
                try:
                    await self._take(told)
                except Exception as error:  # what one event asks for cannot be: the next one may
                    await self._refuse(error)
        except Exception as error:  # nothing that follows could be told from the rest of a broken frame
            with contextlib.suppress(Exception):
                await self._refuse(error)
        finally:
            await self._end_job()

    async def _next(self) -> Event | None:
        """The next event; None when the client has left or is silent."""
        while True:
            open_ones = self._sound is not None or self._text is not None  # it is the client's turn to say something
            working = self._job is not None and not self._job.done() and not open_ones
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    line = await self._reader.readline()
                break
            except TimeoutError:
                if not working:
                    return None
            except ValueError:
                raise wire.wrong(f"a line is longer than {wire.LINE_BYTES} bytes") from None
            except ConnectionError:
                return None
        if not line:
            return None
        head = wire.head(line)
        try:
            async with asyncio.timeout(FRAME_SECONDS):
                data = await self._reader.readexactly(head.data_length)
                payload = await self._reader.readexactly(head.payload_length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except TimeoutError:
            raise wire.wrong(f"a frame was not complete within {FRAME_SECONDS:g} s") from None
        return wire.event(head, data, payload)

    async def _take(self, told: Event) -> None:
        match told.type:
            case "describe":
                await self._send(info(await asyncio.to_thread(self._desk.models.listed)))
            case "ping":
                await self._send(Event("pong", {"text": wire.text_of(told, "text", 1000)}))
            case "transcribe":
                self._wanted = wire.text_of(told, "name", 200), wire.text_of(told, "language", 20)
            case "audio-start":
                await self._begin_sound(wire.form_of(told))
            case "audio-chunk":
                await self._more_sound(told)
            case "audio-stop":
                await self._end(self._sound)
                self._sound = None
            case "synthesize-start":
                await self._begin_text(told)
            case "synthesize-chunk":
                await self._more_text(wire.text_of(told, "text", TEXT_CHARACTERS, needed=True))
            case "synthesize-stop":
                await self._end(self._text)
                self._text = None
            case "synthesize" if self._text is None:  # inside a stream it is a copy for those that know no streams
                text = wire.text_of(told, "text", TEXT_CHARACTERS, needed=True)
                voice = wire.voice_of(told)
                await self._start(lambda: self._speak(_at_once(text), voice, streamed=False))
            case _:
                pass  # clients expect that what is not known is dropped

    # --- speech to text -----------------------------------------------------------------------------------------------

    async def _begin_sound(self, form: Form) -> _Coming:
        coming = _Coming(form=form)
        wanted, self._wanted = self._wanted, ("", "")
        await self._start(lambda: self._transcribe(coming, *wanted))
        self._sound = coming
        return coming

    async def _more_sound(self, told: Event) -> None:
        form = wire.form_of(told)
        coming = self._sound or await self._begin_sound(form)
        if coming.form != form:
            raise wire.wrong("the sound changes its form within one recording")
        samples = wire.samples_of(told.payload, form)
        coming.taken += samples.size / form.rate
        if coming.taken > AUDIO_SECONDS:
            raise wire.wrong(f"the recording is longer than {AUDIO_SECONDS:g} s")
        await self._put(coming, samples)

    async def _transcribe(self, coming: _Coming, name: str, language: str) -> None:
        desk = self._desk
        assert coming.form is not None
        chosen = await asyncio.to_thread(desk.models.choose, "stt", name or "default", language)
        found: list[str] = []
        async with (
            desk.jobs.place(),
            desk.jobs.turn(),
            lent(desk.pool, "stt", chosen.stage) as recogniser,
            lent(desk.pool, "vad", desk.settings.stages.get("vad")) as detector,
        ):
            with used(WYOMING, "device.microphone", {"stt": recogniser.info}) as look:
                one = Transcriber(cast(Recogniser, recogniser), cast(Detector, detector), Deadlines())
                sound = cast(AsyncGenerator[Samples], _pieces(coming, look))
                said = {"language": language} if language else {}
                async with aclosing(one.stream(sound, coming.form.rate)) as segments:
                    await self._send(Event("transcript-start", said))
                    async for segment in segments:
                        if segment.final:
                            text = segment.text.strip()
                            await self._send(Event("transcript-chunk", {"text": f" {text}" if found else text}))
                            found.append(text)
        await self._send(Event("transcript", {"text": " ".join(found), **said}))
        await self._send(Event("transcript-stop"))

    # --- text to speech -----------------------------------------------------------------------------------------------

    async def _begin_text(self, told: Event) -> None:
        voice, coming = wire.voice_of(told), _Coming()
        text = cast(AsyncGenerator[str], _pieces(coming))
        await self._start(lambda: self._speak(text, voice, streamed=True))
        self._text = coming

    async def _more_text(self, text: str) -> None:
        if self._text is None:
            raise wire.wrong("synthesize-chunk comes after synthesize-start")
        self._text.taken += len(text)
        if self._text.taken > TEXT_CHARACTERS:
            raise wire.wrong(f"the text is longer than {TEXT_CHARACTERS} characters")
        await self._put(self._text, text)

    async def _speak(self, text: AsyncGenerator[str], voice: tuple[str, str, str], *, streamed: bool) -> None:
        desk = self._desk
        name, language, speaker = voice
        chosen = await asyncio.to_thread(desk.models.choose, "tts", name or "default", language, speaker)
        form = {"rate": RATE, "width": 2, "channels": 1}
        leaving = Leaving()
        async with desk.jobs.place(), desk.jobs.turn(), lent(desk.pool, "tts", chosen.stage) as engine:
            with used(WYOMING, "device.speaker", {"tts": engine.info}) as look:
                await self._send(Event("audio-start", {**form, "timestamp": 0}))
                one = Speaker(cast(Voice, engine), Deadlines())
                async with aclosing(text), aclosing(one.stream(text, sample_rate=RATE)) as pieces:
                    async for piece in pieces:
                        for part in cut(piece.samples):
                            look()
                            await self._sound_out(leaving.push(part), form)
                            await asyncio.sleep(0)
                await self._sound_out(leaving.finish(), form)
        await self._send(Event("audio-stop", {"timestamp": round(leaving.samples * 1000 / RATE)}))
        if streamed:
            await self._send(Event("synthesize-stopped"))

    async def _sound_out(self, data: bytes, form: dict[str, int]) -> None:
        for at in range(0, len(data), _CHUNK):
            await self._send(Event("audio-chunk", form, data[at : at + _CHUNK]))

    # --- jobs and frames ----------------------------------------------------------------------------------------------

    async def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins a job when the last one is done: a connection has one engine at a time. What still came for the last one
        is over."""
        await self._end(self._sound)
        await self._end(self._text)
        self._sound = self._text = None
        if self._job is not None:
            await asyncio.wait((self._job,))
        self._job = asyncio.create_task(self._do(work), name="wyoming-job")

    async def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:  # whatever an engine does: the client is told, the connection goes on
            with contextlib.suppress(Exception):
                await self._refuse(error)

    async def _put(self, coming: _Coming, piece: Any) -> None:
        """Gives it to the job; drops it where the job has failed."""
        job = self._job
        if job is None or job.done():
            return
        putting = asyncio.ensure_future(coming.queue.put(piece))
        await asyncio.wait((putting, job), return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()

    async def _end(self, coming: _Coming | None) -> None:
        if coming is not None:
            await self._put(coming, None)

    async def _end_job(self) -> None:
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)

    async def _refuse(self, error: Exception) -> None:
        refusal = refusal_of(error)
        await self._send(Event("error", {"text": refusal.message, "code": refusal.code or refusal.type}))

    async def _send(self, told: Event) -> None:
        """One frame, whole: frames of a job and answers to a ping do not mix. Raises ``ConnectionError``."""
        self._writer.write(wire.encoded(told))
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise ConnectionResetError("the client took nothing in time") from None


async def _pieces(coming: _Coming, look: LOOK | None = None) -> AsyncGenerator[Any]:
    """Raises ``ConfigError`` where nothing comes for too long: pings keep a connection, not an engine."""
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                piece = await coming.queue.get()
        except TimeoutError:
            raise wire.wrong(f"nothing of what was begun came for {IDLE_SECONDS:g} s") from None
        if piece is None:
            return
        if look is not None:
            look()
        yield piece


async def _at_once(text: str) -> AsyncGenerator[str]:
    yield text
