"""Mini-Omni and Mini-Omni2 at the server of their own repositories: half duplex, one turn at a time, nothing remembered.

What may live here: the options, and the backend with its sessions. The server is ``server.py`` of gpt-omni/mini-omni (MIT):
``POST /chat`` with ``{"audio": base64 of a WAV file, "stream_stride", "max_tokens"}``. The answer is called ``audio/wav``
and is 16-bit samples at 24 kHz without any header, in pieces as they are made. It has one thread, so a second question waits
for the first; it keeps every question as a file in its folder for temporary ones; it hears 30 s of it, and tells no text.

The published checkpoints are pickles, for code of 2024 with its own copy of litgpt: they are not loaded by Locara.
"""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import wave
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np

from locara.audio import RATE, Samples, silence
from locara.engines import option_values
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    ReplyAudio,
    ReplyEnded,
    Signal,
    TurnEnd,
    VoiceBackend,
)
from locara.engines.contracts import EngineInfo
from locara.engines.lane import real_work
from locara.engines.local_servers import is_loopback
from locara.engines.loopback_aiohttp import client, mended
from locara.errors import ConfigError, EngineBusy, EngineFailed, EngineTimeout, LocaraError, SessionError, StageError

ENGINE = "mini-omni"
MODELS = ("mini-omni", "mini-omni2")
_OPTIONS = ("url", "deadline", "gap", "sessions")
_URL = "http://127.0.0.1:60808/chat"
_OUTPUT_RATE = 24_000
_JSON = {"Content-Type": "application/json"}
_HEARD_SECONDS = 30.0
"""What its recogniser's window holds; of a longer turn the end is sent, which mostly has the question."""
_MAX_TOKENS = 2048
"""Its own default: about two minutes of sound."""
_STRIDE = 4
"""Its own default: a piece of sound for each so many steps."""
_REPLY_BYTES = 5 * 60 * _OUTPUT_RATE * 2
"""More than its tokens can make: five minutes."""
_ENDED = 64
"""Sessions that have ended and are still known by their names, so that sound pushed a moment too late is no error."""
_UNTAKEN = 4096
"""Events that may wait: far more than the pieces of the longest reply."""


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The backend for `MODELS`, or any name with ``engine="mini-omni"``.

    ``url``: where its server is, ``http://127.0.0.1:60808/chat``. ``deadline``: seconds to the first sound of a reply (30).
    ``gap``: seconds from one piece of it to the next (10). ``sessions``: how many may talk with it (1); their questions wait
    for each other. Raises ``ConfigError``.
    """
    if model not in MODELS and options.get("engine") != ENGINE:
        return None
    option_values.known(ENGINE, options, _OPTIONS)
    return MiniOmni(
        model or MODELS[0],
        _address(option_values.text(ENGINE, options, "url", _URL)),
        deadline=option_values.number(ENGINE, options, "deadline", 30.0, 0.1, 600.0, "seconds"),
        gap=option_values.number(ENGINE, options, "gap", 10.0, 0.1, 600.0, "seconds"),
        sessions=option_values.whole(ENGINE, options, "sessions", 1, 1, 64),
    )


class MiniOmni:
    """One server. Implements `locara.engines.backend.VoiceBackend`."""

    def __init__(self, model: str, url: str, *, deadline: float, gap: float, sessions: int) -> None:
        self._model = model
        self._url = url
        self._deadline = deadline
        self._gap = gap
        self._http: aiohttp.ClientSession | None = None
        self._sessions: dict[str, _Session] = {}
        self._ended: OrderedDict[str, _Session] = OrderedDict()
        self._numbers = itertools.count(1)
        self._closed = False
        self.capabilities = BackendCapabilities(
            duplex="half",
            turn_owner="locara",
            input_rate=RATE,
            output_rate=_OUTPUT_RATE,
            cancels=True,
            max_sessions=sessions,
        )

    @property
    def info(self) -> EngineInfo:
        here = is_loopback(self._url)
        return EngineInfo(
            engine=ENGINE,
            model=self._model,
            licence="MIT",
            device="chosen by the server",
            where=self._url,
            note="" if here else "the sound of the conversation leaves this machine",
            sharing="shared",
        )

    async def load(self) -> None:
        """Asks it half a second of silence, and waits for the first sound. Raises ``StageError``."""
        self._open()
        answer = self.answer(silence(RATE // 2))
        try:
            async for _ in answer:
                return
        finally:
            await answer.aclose()
        raise self.failed("gave no sound", "look at its log")

    async def close(self) -> None:
        """Ends every session. May be called twice."""
        self._closed = True
        for name in list(self._sessions):
            await self.stop_session(name)
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def start_session(self, settings: BackendSettings) -> str:
        """See `locara.engines.backend.VoiceBackend`. It can be given neither instructions, nor a voice, nor tools."""
        self._open()
        for name, given in (
            ("instructions", settings.instructions),
            ("voice", settings.voice),
            ("tools", settings.tools),
        ):
            if given:
                raise ConfigError(f"omni: {self._model} can be given no {name}", hint=f"leave {name} out")
        most = self.capabilities.max_sessions
        if most is not None and sum(not one.over for one in self._sessions.values()) >= most:
            raise EngineBusy(
                f"omni: {self._model} has {most} sessions at once, and has them", stage="omni", model=self._model,
                hint="end one, or raise the option sessions",
            )  # fmt: skip
        name = f"mini-omni-{next(self._numbers)}"
        self._sessions[name] = _Session(self)
        return name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        self._found(session).push(samples)

    async def signal(self, session: str, signal: Signal) -> bool:
        """`TurnEnd`, `Cancel` and `Disregard` apply."""
        return self._found(session).told(signal)

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """See `locara.engines.backend.VoiceBackend`."""
        found = self._found(session)
        if found.streamed:
            raise SessionError(f"the events of {session} are taken already", hint="take them once, and pass them on")
        found.streamed = True
        return found.stream()

    async def stop_session(self, session: str) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        found = self._found(session)
        try:
            await found.stop()
        finally:
            self._sessions.pop(session, None)
            self._ended[session] = found
            while len(self._ended) > _ENDED:
                self._ended.popitem(last=False)

    async def answer(self, question: Samples) -> AsyncGenerator[Samples]:
        """One request: pieces of the reply as they come. Closing it closes the connection, which stops the server's work.
        Raises ``StageError``."""
        if self._http is None:
            self._http = client()
        asked = {"audio": _wav(question), "stream_stride": _STRIDE, "max_tokens": _MAX_TOKENS}
        body = io.BytesIO(
            json.dumps(asked).encode()
        )  # in blocks: 30 s are 1.3 MB, and aiohttp warns of as much in one piece
        came, rest = 0, b""
        try:
            with real_work():
                async with (
                    asyncio.timeout(self._deadline) as waiting,
                    self._http.post(self._url, data=body, headers=_JSON) as response,
                ):
                    if response.status != 200:
                        raise self.failed(f"answered {response.status}", "the address ends in /chat; look at its log")
                    async for block in response.content.iter_any():
                        waiting.reschedule(asyncio.get_running_loop().time() + self._gap)
                        came += len(block)
                        if came > _REPLY_BYTES:
                            raise self.failed("does not stop speaking", "start the server again")
                        whole = len(rest + block) // 2 * 2
                        sound, rest = (rest + block)[:whole], (rest + block)[whole:]
                        if sound:
                            yield np.frombuffer(sound, "<i2").astype(np.float32) / 32768.0
        except TimeoutError:
            what = f"gave no {'more ' if came else ''}sound within {self._gap if came else self._deadline:g} s"
            raise EngineTimeout(
                f"omni: {self._url} {what}", stage="omni", model=self._model,
                hint="it answers one question at a time: is somebody else asking? Or raise the option deadline",
            ) from None  # fmt: skip
        except (aiohttp.ClientError, OSError) as error:
            hint = mended(getattr(error, "os_error", error), "start it (python server.py), or correct the address")
            raise self.failed(f"{'broke off' if came else 'cannot be reached'}: {error}", hint) from None

    def failed(self, what: str, hint: str) -> EngineFailed:
        return EngineFailed(f"omni: {self._url} {what}", stage="omni", model=self._model, hint=hint)

    def _open(self) -> None:
        if self._closed:
            raise SessionError("the omni engine is closed", hint="start a new session")

    def _found(self, name: str) -> _Session:
        found = self._sessions.get(name) or self._ended.get(name)
        if found is None:
            raise StageError(
                f"omni: {ENGINE} has no session {name!r}", stage="omni", model=self._model,
                hint="take the name that start_session gave",
            )  # fmt: skip
        return found


class _Session:
    """One conversation: the turn as it is heard, and the reply that is under way."""

    def __init__(self, backend: MiniOmni) -> None:
        self.over = False
        self.streamed = False
        self._backend = backend
        self._turn = silence(0)
        self._asked = silence(0)
        """What the latest reply answers: if that is revoked, the turn goes on with it."""
        self._number = 0
        self._reply: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[BackendEvent] = asyncio.Queue()

    def push(self, samples: Samples) -> None:
        if not self.over:
            clean = np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
            self._turn = np.concatenate((self._turn, clean))[-round(_HEARD_SECONDS * RATE) :].astype(np.float32)

    def told(self, signal: Signal) -> bool:
        if self.over:
            return False
        match signal:
            case TurnEnd(reply=reply):
                self._cut()
                self._number, self._asked, self._turn = reply, self._turn, silence(0)
                self._reply = asyncio.create_task(self._answer(reply, self._asked), name="mini-omni-reply")
                return True
            case Cancel(reply=reply, revoke=revoke) if reply == self._number:
                cut = self._cut()
                if revoke:
                    later, self._turn = self._turn, self._asked
                    self._asked = silence(0)
                    self.push(later)
                return cut or revoke
            case Disregard():
                self._turn = silence(0)
                return True
        return False

    async def stream(self) -> AsyncIterator[BackendEvent]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    async def stop(self) -> None:
        reply = self._reply
        self._cut()
        if not self.over:
            self.over = True
            self._turn = self._asked = silence(0)
            self._events.put_nowait(Ended("stopped"))
        if reply is not None:
            await asyncio.gather(reply, return_exceptions=True)

    def _cut(self) -> bool:
        """The reply that is under way is over now; its task ends soon."""
        reply, self._reply = self._reply, None
        if reply is None or reply.done():
            return False
        reply.cancel()
        self._post(ReplyEnded(self._number, "cancelled"))
        return True

    async def _answer(self, reply: int, question: Samples) -> None:
        answer = self._backend.answer(question)
        try:
            if question.size:
                async for samples in answer:
                    self._post(ReplyAudio(reply, samples))
            self._finished(ReplyEnded(reply))
        except LocaraError as error:
            self._post(BackendFailed(error.code, error.message, error.hint, reply=reply))
            self._finished(ReplyEnded(reply, "failed"))
        except Exception as error:  # whatever it is, a reply ends
            what = f"omni: {self._backend.info.model}: {type(error).__name__}: {error}"
            self._post(BackendFailed("engine-failed", what, "report this: it should not happen", reply=reply))
            self._finished(ReplyEnded(reply, "failed"))
        finally:
            await answer.aclose()

    def _finished(self, ended: ReplyEnded) -> None:
        self._reply = None
        self._post(ended)

    def _post(self, event: BackendEvent) -> None:
        if self.over:
            return
        if self._events.qsize() < _UNTAKEN:
            self._events.put_nowait(event)
            return
        self.over = True
        while not self._events.empty():
            self._events.get_nowait()
        what = f"omni: {_UNTAKEN} events of {self._backend.info.model} were waiting and nobody took them"
        self._events.put_nowait(BackendFailed("consumer-slow", what, "read event_stream", fatal=True))
        self._events.put_nowait(Ended("failed"))
        if self._reply is not None:
            self._reply.cancel()


def _wav(samples: Samples) -> str:
    """A WAV file of 16 bits and 16 kHz, in base64."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((samples * 32767.0).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:  # a port that is no number
        good = False
    if not good or not url.isprintable() or " " in url:
        raise ConfigError(f"{ENGINE}: {url!r} is no address", hint=f'write it like url="{_URL}"')
    return url if parts.path.strip("/") else url.rstrip("/") + "/chat"
