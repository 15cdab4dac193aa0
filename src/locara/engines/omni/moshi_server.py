"""Moshi and PersonaPlex at their own servers: ``python -m moshi.server``, Kyutai's Rust servers, and NVIDIA's.

What may live here: the options, and the backend with its sessions. Sound that is no speech comes all the time, and so does
silence: such a server gives a frame for each frame, and neither says nor can be told anything of turns.

    voice.session(omni={"model": "moshi-7b", "engine": "moshi-server", "url": "ws://127.0.0.1:8998/api/chat"})

A connection that was lost is not made again: the server begins a new conversation with every connection.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import ssl
import statistics
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import numpy as np

from locara.audio import Samples, silence
from locara.engines import option_values
from locara.engines.backend import BackendCapabilities, BackendEvent, BackendSettings, Signal, VoiceBackend
from locara.engines.contracts import EngineInfo
from locara.engines.lane import real_work
from locara.engines.local_servers import is_loopback
from locara.engines.loopback_ws import client
from locara.engines.omni import moshi_wire as wire
from locara.engines.omni import opus
from locara.engines.omni.moshi_dialling import Place, address, dial, hang_up
from locara.engines.omni.moshi_pace import FRAME_SECONDS
from locara.engines.omni.moshi_session import MoshiSession
from locara.errors import AudioError, ConfigError, EngineBusy, EngineTimeout, SessionError, StageError

ENGINE = "moshi-server"
MODELS = ("moshi-server", "personaplex-server")
_OPTIONS = ("url", "flavour", "voice", "instructions", "deadline", "stall", "sessions", "certificate")
_URL = "ws://127.0.0.1:8998/api/chat"
_DEADLINE: Mapping[wire.Flavour, float] = {"moshi": 10.0, "personaplex": 60.0}
"""Seconds to the handshake. PersonaPlex reads the voice first, some 60 steps of the model."""
_VOICE = "NATF2"
"""The voice of PersonaPlex's own examples."""
_PROBE_FRAMES = 12
"""Sent at once when it is loaded: a second of sound, to see how long the server takes for a frame."""
_ENDED = 64
"""Sessions that have ended and are still known by their names, so that sound pushed a moment too late is no error."""
_NUMBERS: Mapping[str, Callable[[str], float | int]] = {"deadline": float, "stall": float, "sessions": int}
_FILE = re.compile(r"[^/\\\x00-\x1f]{1,200}")


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The backend for `MODELS`, for an address that ends in ``/api/chat``, or for any name with ``engine="moshi-server"``.

    ``url``: where the server is, ``ws://127.0.0.1:8998/api/chat``. ``flavour``: ``moshi`` or ``personaplex``. ``voice``:
    PersonaPlex's, where a session names none: ``NATF0`` to ``VARM4``, or a file of the server's folder. ``instructions``:
    its role, where a session names none. ``deadline``: seconds to the handshake (10; PersonaPlex 60, and 20 ms more for each
    character of its role). ``stall``: seconds of sound without an answer after which the server is given up (10).
    ``sessions``: how many conversations it holds at once; without it 1, as Moshi's Python server and PersonaPlex's, which
    let a second one wait without a word, and as many as come for a Rust server. ``certificate``: a PEM file to trust for
    ``wss``. Where only a name can be given, options go behind an address: ``ws://.../api/chat#sessions=4&stall=5``.
    Raises ``ConfigError``.
    """
    given = model if model.startswith(("ws://", "wss://")) else None
    mine = given is not None and urlsplit(given).path.rstrip("/").endswith(wire.CHAT)
    if not (mine or model in MODELS or options.get("engine") == ENGINE):
        return None
    if given is not None:
        given, _, told = given.partition("#")
        options = {**_told(told), **options}
    option_values.known(ENGINE, options, _OPTIONS)
    url = _address(given or option_values.text(ENGINE, options, "url", _URL))
    usual = "personaplex" if "personaplex" in model else "moshi"
    flavour = cast(wire.Flavour, option_values.one_of(ENGINE, options, "flavour", usual, ("moshi", "personaplex")))
    place = Place(
        url=url,
        flavour=flavour,
        model=(model if given is None else "") or flavour,
        deadline=option_values.number(ENGINE, options, "deadline", _DEADLINE[flavour], 0.1, 3600.0, "seconds"),
    )
    for name in ("voice", "instructions"):
        if flavour == "moshi" and name in options:
            raise ConfigError(
                f'{ENGINE}: Moshi can be given no {name}, flavour="personaplex" can', hint=f"leave {name} out"
            )
    voice = _voice(option_values.text(ENGINE, options, "voice", _VOICE))
    return MoshiServer(
        place,
        voice=voice,
        role=option_values.text(ENGINE, options, "instructions"),
        stall=option_values.number(ENGINE, options, "stall", 10.0, 0.5, 600.0, "seconds"),
        sessions=option_values.whole(ENGINE, options, "sessions", 1, 1, 4096) if "sessions" in options else None,
        certificate=_certificate(options.get("certificate")),
    )


class MoshiServer:
    """One server. Implements `locara.engines.backend.VoiceBackend`."""

    def __init__(
        self, place: Place, *, voice: str, role: str, stall: float, sessions: int | None, certificate: Path | None
    ) -> None:
        self._place = place
        self._voice = voice
        self._role = role
        self._stall = stall
        self._sessions_told = sessions
        self._certificate = certificate
        self._http: aiohttp.ClientSession | None = None
        self._numbers = itertools.count(1)
        self._opening = 0
        self._sessions: dict[str, MoshiSession] = {}
        self._ended: OrderedDict[str, MoshiSession] = OrderedDict()
        self._closed = False
        told = place.flavour == "personaplex"
        self._capabilities = BackendCapabilities(
            duplex="full",
            turn_owner="model",
            input_rate=wire.RATE,
            output_rate=wire.RATE,
            frame_seconds=FRAME_SECONDS,
            clocked=True,
            marks_replies=False,
            instructions="start" if told else "none",
            voices=wire.VOICES if told else (),
            max_sessions=sessions or 1,
        )

    @property
    def info(self) -> EngineInfo:
        here = is_loopback(self._place.url)
        return EngineInfo(
            engine=ENGINE,
            model=self._place.model,
            licence="that of the served model",
            device="chosen by the server",
            where=self._place.shown,
            note="" if here else "the sound of the conversation leaves this machine",
            sharing="shared",
        )

    @property
    def capabilities(self) -> BackendCapabilities:
        """``max_session_seconds`` and ``max_sessions`` are known once it is loaded: a Rust server says by its handshake that
        it is one."""
        return self._capabilities

    async def load(self) -> None:
        """Has a conversation of a second with the server: it hears, it answers, and it is fast enough. Raises
        ``StageError``."""
        self._open()
        opus.require("omni", self._place.model)
        socket, handshake = await self._dial(self._voice, "")
        try:
            seconds = await self._probe(socket)
        finally:
            await hang_up(socket)
        if seconds > FRAME_SECONDS:
            raise self._place.failed(
                f"takes {seconds * 1000:.0f} ms for a frame of {FRAME_SECONDS * 1000:.0f} ms: it is slower than speech",
                "run it on a faster accelerator, or with smaller weights (int8, int4)",
            )
        if handshake.rust:
            self._capabilities = replace(
                self._capabilities, max_session_seconds=wire.RUST_SECONDS, max_sessions=self._sessions_told
            )

    async def close(self) -> None:
        """Ends every conversation, and the connections. May be called twice."""
        self._closed = True
        await asyncio.gather(*(self.stop_session(name) for name in list(self._sessions)))
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def start_session(self, settings: BackendSettings) -> str:
        """See `locara.engines.backend.VoiceBackend`. ``settings``: with Moshi, nothing; with PersonaPlex, ``voice`` (one of
        ``capabilities.voices``, or a file of the server's folder) and ``instructions`` (its role)."""
        self._open()
        voice, role = self._checked(settings)
        busy = sum(not one.over for one in self._sessions.values()) + self._opening
        if self._capabilities.max_sessions is not None and busy >= self._capabilities.max_sessions:
            raise EngineBusy(
                f"omni: {self._place.shown} holds {busy} conversation{'s' if busy > 1 else ''} at once, and has them",
                stage="omni",
                model=self._place.model,
                hint="end one; or say by the option sessions that it holds more",
            )
        opus.require("omni", self._place.model)
        self._opening += 1
        try:
            socket, handshake = await self._dial(voice, role)
        finally:
            self._opening -= 1
        if self._closed:
            await hang_up(socket)
            raise SessionError("the omni engine was closed", hint="start a new session")
        name = f"moshi-{next(self._numbers)}"
        self._sessions[name] = MoshiSession(name, self._place, socket, handshake, self._stall)
        return name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        self._found(session).push(samples)

    async def signal(self, session: str, signal: Signal) -> bool:
        """Nothing can be told to such a server but sound: always False."""
        self._found(session)
        return False

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """See `locara.engines.backend.VoiceBackend`."""
        found = self._found(session)
        if found.streamed:
            raise SessionError(f"the events of {session} are taken already", hint="take them once, and pass them on")
        found.streamed = True
        return found.events()

    async def stop_session(self, session: str) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        found = self._found(session)
        try:
            await found.stop()
        finally:
            self._put_away(found)

    # --- small parts --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._closed:
            raise SessionError("the omni engine is closed", hint="start a new session")

    def _found(self, name: str) -> MoshiSession:
        found = self._sessions.get(name) or self._ended.get(name)
        if found is None:
            raise StageError(
                f"omni: {ENGINE} has no session {name!r}",
                stage="omni",
                model=self._place.model,
                hint="take the name that start_session gave",
            )
        if found.over and name in self._sessions:
            self._put_away(found)
        return found

    def _put_away(self, session: MoshiSession) -> None:
        """Its place is free; its name is known for a while."""
        self._sessions.pop(session.name, None)
        self._ended[session.name] = session
        while len(self._ended) > _ENDED:
            self._ended.popitem(last=False)

    def _checked(self, settings: BackendSettings) -> tuple[str, str]:
        """Voice and role. Raises ``ConfigError`` for what this server cannot be told."""
        if settings.tools:
            raise ConfigError(f"omni: {self._place.model} cannot use tools", hint="leave tools out, or use a pipeline")
        if self._place.flavour == "moshi" and (settings.instructions or settings.voice):
            what = "instructions" if settings.instructions else "voice"
            raise ConfigError(
                f"omni: Moshi can be given no {what}",
                hint='leave them out, or serve PersonaPlex (flavour="personaplex")',
            )
        voice = _voice(settings.voice or self._voice)
        role = settings.instructions or self._role
        address(self._place, voice, role)  # too long?
        return voice, role

    async def _dial(self, voice: str, role: str) -> tuple[aiohttp.ClientWebSocketResponse, wire.Handshake]:
        if self._http is None:
            trusted = None
            if self._certificate is not None:
                trusted = await asyncio.to_thread(ssl.create_default_context, cafile=self._certificate)
            self._http = client(trusted)
        return await dial(self._http, self._place, voice, role)

    async def _probe(self, socket: aiohttp.ClientWebSocketResponse) -> float:
        """Seconds that the server takes for a frame: the median, between one of its messages with sound and the next."""
        encoder, decoder = opus.Encoder(), opus.Decoder()
        frames: list[float] = []
        held = 0
        clock = asyncio.get_running_loop().time
        try:
            with real_work():
                async with asyncio.timeout(self._stall):
                    for _ in range(_PROBE_FRAMES):
                        await socket.send_bytes(wire.encode(wire.Pages(encoder.encode(silence(wire.FRAME)))))
                    while len(frames) < _PROBE_FRAMES // 2:
                        message = await socket.receive()
                        if message.type is not aiohttp.WSMsgType.BINARY:
                            raise self._place.failed("closed the connection when it was given sound", "look at its log")
                        said = wire.parse(message.data)
                        if isinstance(said, wire.Pages):
                            held += decoder.decode(said.data).size
                            frames += [clock()] * (held // wire.FRAME - len(frames))
        except TimeoutError:
            raise EngineTimeout(
                f"omni: {self._place.shown} was given {_PROBE_FRAMES * FRAME_SECONDS:.2g} s of sound, and gave"
                f" {held / wire.RATE:.2g} s back within {self._stall:.3g} s",
                stage="omni",
                model=self._place.model,
                hint="the server hangs, or is far too slow: look at its log; or raise the option stall",
            ) from None
        except AudioError as error:
            raise self._place.failed(f"sends sound that cannot be read: {error}", error.hint) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._place.failed(f"broke off: {error}", "look at its log") from None
        return float(statistics.median(np.diff(frames)))


def _told(fragment: str) -> dict[str, Any]:
    """The options behind an address, which a server is never sent."""
    try:
        told = dict(parse_qsl(fragment, keep_blank_values=True, strict_parsing=True)) if fragment else {}
        return {name: _NUMBERS[name](value) if name in _NUMBERS else value for name, value in told.items()}
    except ValueError:
        raise ConfigError(
            f"{ENGINE}: #{fragment} are no options", hint="write them like #flavour=personaplex&voice=NATM1&sessions=4"
        ) from None


def _address(url: str) -> str:
    parts = urlsplit(url)
    try:
        good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # a port that is no number
        good = False
    if not good or " " in url:
        raise ConfigError(f"{ENGINE}: {url!r} is no address of a WebSocket", hint=f'write it like url="{_URL}"')
    return url if parts.path.strip("/") else url.rstrip("/") + wire.CHAT


def _voice(name: str) -> str:
    if not _FILE.fullmatch(name) or name in (".", ".."):
        raise ConfigError(
            f"{ENGINE}: voice {name!r} is no name of a voice",
            hint=f"{', '.join(wire.VOICES)}, or a file of the server's folder of voices, without its folder",
        )
    return name


def _certificate(given: Any) -> Path | None:
    if given is None:
        return None
    path = Path(given).expanduser() if isinstance(given, str | Path) else None
    try:
        if path is None:
            raise OSError("it must name a file")
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{ENGINE}: certificate={str(given)!r} cannot be read: {error}", hint="give a PEM file with the certificate"
        ) from None
    return path
