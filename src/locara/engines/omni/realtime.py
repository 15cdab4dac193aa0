"""A model at a realtime WebSocket server, here or elsewhere: OpenAI's protocol, and what others have made of it.

What may live here: `create` and the backend, which only keeps its sessions apart. What a server says and wants is data
(`realtime_dialects`), what follows from it is pure (`realtime_parse`, `realtime_say`), and a conversation is a
`realtime_session`. docs/remote.md tells which server is reached how.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from locara.audio import Samples
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendSettings,
    Signal,
    VoiceBackend,
)
from locara.engines.contracts import EngineInfo
from locara.engines.lane import real_work
from locara.engines.omni import realtime_connection as connection
from locara.engines.omni import realtime_shapes as shapes
from locara.engines.omni.realtime_connection import STAGE, Gone
from locara.engines.omni.realtime_session import RealtimeSession
from locara.engines.omni.realtime_settings import ENGINE, Settings, understand
from locara.errors import EngineBusy, EngineFailed, EngineTimeout, SessionError

MODELS = (ENGINE,)
BUSY_SECONDS = 3.0
"""A server with one place has not always noticed yet that the last conversation is over."""
_BUSY_PAUSE = 0.25
_ENDED_KEPT = 32
"""Sessions that are over, and whose last events may still be asked for."""


def create(model: str, options: Mapping[str, Any]) -> VoiceBackend | None:
    """The backend for ``realtime:ws://host:port/v1/realtime#model``, ``realtime:DIALECT:wss://...``, an address that ends in
    ``/realtime`` or ``/live/sessions``, or the same as ``url``; None when the name is not for this engine.

    ``options``: ``url``, ``dialect`` (a name in `realtime_dialects.DIALECTS`; ``openai`` where nothing is said), ``model``
    (which the server serves), ``voice``, ``api_key_env`` (the name of the environment variable that holds the key),
    ``headers`` (no secrets), ``deadline`` (seconds for the next event of a reply, 20), ``start_deadline`` (seconds for a
    session to begin, 120), ``input_rate`` and ``output_rate`` (hertz, where the server's differ from its dialect's),
    ``replies`` (``"derived"`` for a model that sends its sound without a break), ``transcription`` (OpenAI: the model that
    writes down what the user says). Where only a name can be given, options go behind an address:
    ``#model&voice=marin&api_key_env=OPENAI_API_KEY``.
    Raises ``ConfigError``.
    """
    settings = understand(model, options)
    return None if settings is None else RealtimeBackend(settings)


class RealtimeBackend:
    """One server. As many sessions as it has places; each is a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = itertools.count(1)
        self._sessions: dict[str, RealtimeSession] = {}
        self._closed = False
        self._left = -BUSY_SECONDS
        """When a connection of ours was last closed, on the clock of the loop."""

    @property
    def info(self) -> EngineInfo:
        settings = self._settings
        return EngineInfo(
            engine=ENGINE,
            model=settings.model or settings.shown,
            licence="that of the served model",
            device="chosen by the server",
            where=settings.shown,
            note="" if settings.here else "the sound of the conversation leaves this machine",
            sharing="shared",
        )

    @property
    def capabilities(self) -> BackendCapabilities:
        """As the dialect has them; the rates as the server told them when it was loaded."""
        dialect = self._settings.dialect
        return BackendCapabilities(
            duplex=dialect.duplex,
            turn_owner=dialect.turn_owner,
            input_rate=dialect.input_rate,
            output_rate=dialect.output_rate,
            frame_seconds=dialect.frame_seconds,
            clocked=dialect.clocked,
            marks_replies=dialect.marks_replies,
            user_text=dialect.user_text,
            cancels=dialect.cancel != "never",
            truncates=dialect.truncates,
            wants_played=dialect.wants_played,
            takes_text=dialect.takes_text,
            tools=dialect.tools,
            instructions="start" if dialect.instructions else "none",
            max_session_seconds=dialect.max_session_seconds,
            max_sessions=dialect.max_sessions,
            resumes=dialect.resumes,
        )

    async def load(self) -> None:
        """Connects once, and reads what the server says of itself. Nothing is inferred: at many servers that costs money,
        and others load their model only for a session. Raises ``StageError`` and ``ConfigError``."""
        if self._settings.dialect.encoding == "opus":
            from locara.engines.omni.realtime_opus import demand

            demand(self._settings.dialect.name)
        try:
            with real_work():
                async with asyncio.timeout(self._settings.start_deadline):
                    await self._look()
        except TimeoutError:
            raise EngineTimeout(
                f"{STAGE}: {self._settings.shown} said nothing within {self._settings.start_deadline:g} s", stage=STAGE,
                model=self._settings.model, hint="is it a realtime server, and the dialect right?",
            ) from None  # fmt: skip
        self._closed = False

    async def _look(self) -> None:
        link = await connection.connect(self._settings)
        try:
            if self._settings.dialect.first == "server":
                message = shapes.decoded(await link.receive()) or {}
                kind = self._settings.dialect.events.get(str(message.get("type")))
                if kind != "created":
                    raise self._not_created(message)
                self._take_rates(message)
        except Gone as gone:
            raise connection.refused(
                self._settings,
                f"close-{gone.code}",
                gone.reason[:200] or f"it closed the connection (code {gone.code})",
            ) from None
        finally:
            await link.close()
        self._left = asyncio.get_running_loop().time()

    def _not_created(self, message: Mapping[str, Any]) -> Exception:
        error = message.get("error")
        if isinstance(error, Mapping):
            code = str(error.get("code") or error.get("type") or "error")
            return connection.refused(self._settings, code, str(error.get("message") or code)[:300])
        said = str(message.get("type") or "something that is no event")[:60]
        return connection.refused(
            self._settings, "bad-event", f"its first word is {said}: its dialect is not {self._settings.dialect.name}"
        )

    def _take_rates(self, message: Mapping[str, Any]) -> None:
        """A server that is not told rates has its own."""
        dialect = self._settings.dialect
        if dialect.shape != "mlx":
            return
        told, spoken = shapes.rates(shapes.table(message, "session"))
        changed = replace(dialect, input_rate=told or dialect.input_rate, output_rate=spoken or dialect.output_rate)
        self._settings = replace(self._settings, dialect=changed)

    async def close(self) -> None:
        """Ends every session."""
        self._closed = True
        await asyncio.gather(*(one.stop() for one in self._sessions.values()))

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def start_session(self, settings: BackendSettings) -> str:
        """See `locara.engines.backend.VoiceBackend`."""
        if self._closed:
            raise SessionError("the realtime engine is closed", hint="start a new session")
        most = self._settings.dialect.max_sessions
        if most is not None and sum(not one.over for one in self._sessions.values()) >= most:
            raise EngineBusy(
                f"{STAGE}: {self._settings.shown} holds {most} at once, and they are taken", stage=STAGE,
                model=self._settings.model, hint="end another session first",
            )  # fmt: skip
        session = await self._begun(settings)
        name = f"realtime-{next(self._names)}"
        self._sessions[name] = session
        ended = [one for one, kept in self._sessions.items() if kept.over]
        for one in ended[:-_ENDED_KEPT]:
            del self._sessions[one]
        return name

    async def _begun(self, settings: BackendSettings) -> RealtimeSession:
        while True:
            session = RealtimeSession(self._settings, settings)
            try:
                await session.start()
            except EngineBusy:
                if asyncio.get_running_loop().time() >= self._left + BUSY_SECONDS:
                    raise
                with real_work():
                    await asyncio.sleep(_BUSY_PAUSE)
            else:
                return session

    async def push_audio(self, session: str, samples: Samples) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        self._session(session).push(samples)

    async def signal(self, session: str, signal: Signal) -> bool:
        """See `locara.engines.backend.VoiceBackend`."""
        return self._session(session).signal(signal)

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """See `locara.engines.backend.VoiceBackend`."""
        return self._session(session).events()

    async def stop_session(self, session: str) -> None:
        """See `locara.engines.backend.VoiceBackend`."""
        if session in self._sessions:
            await self._sessions[session].stop()
            self._left = asyncio.get_running_loop().time()

    def _session(self, name: str) -> RealtimeSession:
        if name not in self._sessions:
            raise EngineFailed(
                f"{STAGE}: there is no session {name!r}", stage=STAGE, hint="start_session gives its name"
            )
        return self._sessions[name]
