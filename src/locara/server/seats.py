"""Who may have a session, and what each gets: engines that are warm, a microphone and a speaker at the client's end.

What may live here: admission, and taking a seat and leaving it. What is said over the wire is the doors' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from locara.consent import apps
from locara.consent.access import Access, ByToken
from locara.consent.asking import Ask
from locara.devices.remote import Deliver, RemoteMicrophone, RemoteSpeaker
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import EngineInfo, Kind, Tool
from locara.errors import EngineBusy, LocaraError, SessionError, StageError
from locara.gate.opening import needed
from locara.manifest.values import Manifest
from locara.server.pool import Loan, Pool
from locara.server.settings import Settings
from locara.voice import building
from locara.voice.conversation import Session
from locara.voice.counting import ERRORS_IN as _ERRORS
from locara.voice.declaring import Declared
from locara.voice.lending import Lent
from locara.voice.omni_stage import of_session

_log = logging.getLogger("locara")

_REMEMBERED = 16  # sessions whose length tells how long the next free seat may take
_USUAL_SECONDS = 60.0  # of a session, before any has ended
_LEAST_WAIT = 1.0
_REHEARSAL_SECONDS = 10.0
_MOST_WAIT = 300.0
_CLOSE_SECONDS = 60.0

KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "omni", "turn")
"""What is lent to a session."""

PER_SESSION = frozenset({"system", "history", "audio_input"})
"""Options of a stage that are the session's, not the engine's: they make no other copy of it."""

OMNI_PER_SESSION = PER_SESSION | {"instructions", "voice", "fallback"}
"""The same of a model that hears and speaks; elsewhere a voice is the engine's."""


class Busy(LocaraError):
    """All seats, or all places of a model, are taken. ``retry_after``: seconds after which one is probably free. ``more``:
    what else can be done."""

    code = "busy"

    def __init__(self, message: str, retry_after: float, more: str) -> None:
        super().__init__(message, hint=f"try again in {retry_after:.0f} s, or {more}")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks of a session. ``stages``: as in `voice.session`, JSON only; what is left out is the server's.
    ``reports``: the client tells what it has played. ``other_speaker``: it plays on another output than the default.
    ``granted``: its user handed it the token, and its devices are its own: see `locara.consent.access.ByToken`."""

    app: Manifest
    stages: Mapping[str, Any] = field(default_factory=dict)
    patience: Literal["quick", "normal", "patient"] = "normal"
    attention: Any = "open"
    idle: float | None = None
    idle_prompt: str | None = None
    not_understood: str | None = "auto"
    system: str | None = None
    tools: Sequence[Tool] = ()
    output_rate: int = 24_000
    reports: bool = False
    echo: Literal["headphones", "cancel", "half-duplex"] = "headphones"
    other_speaker: bool = False
    granted: bool = False


class Seat:
    """A session that runs, and its devices at the client's end."""

    def __init__(
        self, session: Session, microphone: RemoteMicrophone, speaker: RemoteSpeaker, loans: list[Loan], seats: Seats
    ) -> None:
        self.session = session
        self.microphone = microphone
        self.speaker = speaker
        self._loans = loans
        self._seats = seats
        self._leaving: asyncio.Task[None] | None = None
        self.began = asyncio.get_running_loop().time()

    async def leave(self) -> None:
        """Stops the session, gives its engines back and frees the seat. Whoever calls it second waits for that, too; it is
        not cancelled half way."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(), name="locara-leave-seat")
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        try:
            await self.session.stop()
        finally:
            await self._seats.free_again(self, self._loans)


class Seats:
    """``settings.limits.sessions`` of them."""

    def __init__(self, settings: Settings, pool: Pool | None = None) -> None:
        self.settings = settings
        self.pool = pool or Pool()
        self._taken: set[Seat] = set()
        self._starting: set[asyncio.Task[Seat]] = set()
        self._unwanted: set[asyncio.Task[None]] = set()
        self._lengths: deque[float] = deque(maxlen=_REMEMBERED)
        self._shut = False
        self._leader: VoiceBackend | None = None
        """The model for everything that sessions without wishes share, if there is one and nothing stands in for it."""

    @property
    def taken(self) -> int:
        """Sessions that run, are starting or are ending: until their engines are back."""
        return len(self._taken) + len(self._starting)

    @property
    def free(self) -> int:
        """Sessions that could begin now with the server's own models: a model for everything has places of its own."""
        left = self._left()
        if self._leader is not None and (most := self._leader.capabilities.max_sessions) is not None:
            left = min(left, most - self.pool.lent(self._leader))
        return 0 if self._shut else max(0, left)

    def _left(self) -> int:
        """Seats left."""
        return self.settings.limits.sessions - self.taken

    async def warm(self) -> dict[Kind, EngineInfo]:
        """Loads what a session without wishes needs, and returns what that is. Raises what loading raises, unless a
        pipeline was to stand in for the model that cannot be had: then it serves, and the log says why."""
        omni = self.settings.stages.get("omni")
        kinds: tuple[Kind, ...] = ("omni", "turn") if omni is not None else ("turn", "stt", "llm", "tts")
        if omni is not None and self.settings.stages.get("stt") is not None:
            kinds = (*kinds, "stt")
        try:
            engines = await self.pool.warm({kind: _of_engine(kind, self.settings.stages.get(kind)) for kind in kinds})
        except StageError as error:
            stands_in = of_session(omni, ()).fallback if omni is not None else None
            if stands_in is None:
                raise
            _log.warning("%s; a pipeline serves in its place (%s)", error.message, error.hint)
            left = {kind: stage for kind, stage in self.settings.stages.items() if kind != "omni"}
            self.settings = replace(self.settings, stages={**left, **stands_in})
            return await self.warm()
        leader = engines.get("omni")
        if leader is None:
            await self._rehearse()
        elif leader.info.sharing == "shared" and of_session(omni, ()).fallback is None:
            self._leader = cast(
                VoiceBackend, leader
            )  # else there is another copy, or a pipeline, for whoever comes next
        return {kind: engine.info for kind, engine in engines.items()}

    async def _rehearse(self) -> None:
        """A conversation that nobody hears, up to its first sound: what is imported and compiled at the first use stands
        still for a quarter of a second, and nobody's first words shall wait for that."""
        loans: list[Loan] = []
        try:
            stages = await self._lent(Wish(apps.anonymous(None)), loans)
            session = building.session(**stages, input="none", output="none", manifest=apps.anonymous(None))
            async with session, asyncio.timeout(_REHEARSAL_SECONDS):
                stream = session.events()
                session.say("It is 12:30, and 3.5 km to go.")
                async for event in stream:
                    if event.type in ("audio-chunk", "error"):
                        break
        except TimeoutError:
            pass  # a slow voice; the first conversation will tell
        finally:
            await self.pool.give_all_back(loans)

    async def take(self, wish: Wish, *, deliver: Deliver, ask: Ask | None = None) -> Seat:
        """A session that has started. ``deliver`` gets its sound, see `RemoteSpeaker`. Raises ``Busy``, and what
        `voice.session` and its ``start`` raise."""
        if self._shut:
            raise SessionError("the server is about to stop", hint="try again when it has started anew")
        if self._left() <= 0:
            running = f"the server is busy: {self.taken} conversations are running, and it has seats for no more"
            raise Busy(running, self.wait(), "start it with more: locara serve --sessions N")
        starting = asyncio.create_task(self._start(wish, deliver, ask), name="locara-take-seat")
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except EngineBusy as error:
            raise Busy(
                f"the server is busy: {error.message}", self.wait(), "give the model more places, if there is memory"
            ) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if starting.cancelled() and (task is None or not task.cancelling()):
                raise SessionError("the server stopped while the conversation started", hint="try again") from None
            # Taking down what has begun is a task of its own: a client that is impatient twice would cut that off, too.
            undoing = asyncio.create_task(_undone(starting), name="locara-seat-unwanted")
            self._unwanted.add(undoing)
            undoing.add_done_callback(self._unwanted.discard)
            await asyncio.shield(undoing)
            raise

    async def _start(self, wish: Wish, deliver: Deliver, ask: Ask | None) -> Seat:
        loans: list[Loan] = []
        try:
            return await self._seat(wish, deliver, ask, loans)
        except BaseException:
            await self.pool.give_all_back(loans)
            raise

    async def _seat(self, wish: Wish, deliver: Deliver, ask: Ask | None, loans: list[Loan]) -> Seat:
        limits = self.settings.limits
        access = (ByToken if wish.granted else Access)(wish.app, ask=ask)
        speaker_name = "other" if wish.other_speaker else "default"
        microphone = RemoteMicrophone(buffer=limits.buffered_seconds)
        speaker = RemoteSpeaker(deliver, wish.output_rate, name=speaker_name, reports=wish.reports)
        # Whoever says no has not waited for engines, and has cost none.
        for capability in (*needed(microphone), *needed(speaker)):
            await access.demand(capability)
        stages = await self._lent(wish, loans)
        session = building.session(
            **stages,
            input=microphone,
            output=speaker,
            tools=wish.tools,
            patience=wish.patience,
            attention=wish.attention,
            idle=wish.idle,
            idle_prompt=wish.idle_prompt,
            not_understood=wish.not_understood,
            echo=wish.echo,
            manifest=wish.app,
            offline=self.settings.offline,
        ).granted_by(access)
        await session.start()
        seat = Seat(session, microphone, speaker, loans, self)
        self._taken.add(seat)
        return seat

    async def _lent(self, wish: Wish, loans: list[Loan]) -> dict[str, Any]:
        """Stage -> a warm engine, with the session's own options."""
        named = {**self.settings.stages, **{kind: one for kind, one in wish.stages.items() if one is not None}}
        if "omni" in wish.stages:
            named = {kind: wish.stages[kind] for kind in ("omni", "stt") if kind in wish.stages}
        elif any(kind in wish.stages for kind in ("stt", "llm", "tts")):
            named.pop("omni", None)
        declared = Declared(wish.app)
        kinds: list[Kind] = ["stt", "llm", "tts"]
        if named.get("omni") is not None:  # with a recogniser beside it, if one is named
            kinds = ["omni", "stt"] if named.get("stt") is not None else ["omni"]
        llm = named.get("llm")
        if isinstance(llm, Mapping) and llm.get("audio_input") and "stt" in kinds:
            kinds.remove("stt")
        stages: dict[str, Any] = {}
        for kind in (*kinds, *cast(tuple[Kind, ...], ("turn",))):
            # What the client names must be declared by its app; what it leaves to the server, its user has chosen by hand.
            asked = declared.stage(kind, wish.stages.get(kind))
            stage = named.get(kind) if asked is None else asked
            if kind == "turn" and stage == "silence":
                stages["turn_detection"] = stage
                continue
            loan = await self.pool.take(kind, _of_engine(kind, stage))
            loans.append(loan)
            options = _of_session(kind, stage)
            if kind in ("llm", "omni") and wish.system is not None:
                options["system"] = wish.system
                options.pop("instructions", None)
            lent = Lent(loan.engine)
            stages["turn_detection" if kind == "turn" else kind] = {"model": lent, **options} if options else lent
        return stages

    async def free_again(self, seat: Seat, loans: Sequence[Loan]) -> None:
        """`Seat.leave` calls this."""
        self._lengths.append(asyncio.get_running_loop().time() - seat.began)
        try:
            await self.pool.give_all_back(loans, broken=failed(seat.session.metrics()))
        finally:
            self._taken.discard(seat)

    def wait(self) -> float:
        """Seconds until a seat is probably free: what is left of the session that has run longest, if it is like those
        before it."""
        now = asyncio.get_running_loop().time()
        usual = sorted(self._lengths)[len(self._lengths) // 2] if self._lengths else _USUAL_SECONDS
        oldest = max((now - seat.began for seat in self._taken), default=0.0)
        return min(_MOST_WAIT, max(_LEAST_WAIT, usual - oldest))

    def shut(self) -> None:
        """No more sessions: those that run go on."""
        self._shut = True

    async def close(self) -> None:
        """Ends every session, also those that are starting, and closes every engine."""
        self._shut = True
        for task in self._starting:
            task.cancel()
        ending = [asyncio.ensure_future(seat.leave()) for seat in list(self._taken)]
        waiting: list[asyncio.Future[Any]] = [*self._starting, *self._unwanted, *ending]
        if waiting:  # sessions and engines end by their own deadlines; this is for what those forgot
            await asyncio.wait(waiting, timeout=_CLOSE_SECONDS)
            for one in waiting:
                if one.done() and not one.cancelled():
                    one.exception()  # told by whoever waits for it
        with contextlib.suppress(LocaraError):
            await self.pool.close()


async def _undone(starting: asyncio.Task[Seat]) -> None:
    """Ends a seat that nobody wants any more, whether it is there yet or not."""
    starting.cancel()
    await asyncio.wait((starting,))
    if not starting.cancelled() and starting.exception() is None:
        await starting.result().leave()


def failed(metrics: Mapping[str, float]) -> frozenset[str]:
    """The kinds of engines that failed in a session of these `metrics`. After a fault of the session itself, nobody knows
    in which state it left the others."""
    stages = frozenset(
        name.removeprefix(_ERRORS) for name, count in metrics.items() if name.startswith(_ERRORS) and count
    )
    return frozenset(KINDS) if "session" in stages else stages & frozenset(KINDS)


def _per_session(kind: Kind) -> frozenset[str]:
    return OMNI_PER_SESSION if kind == "omni" else PER_SESSION


def _of_session(kind: Kind, stage: Any) -> dict[str, Any]:
    """The options of ``stage`` that are the session's own."""
    named = stage if isinstance(stage, Mapping) else {}
    return {name: value for name, value in named.items() if name in _per_session(kind)}


def _of_engine(kind: Kind, stage: Any) -> Any:
    """``stage`` without what is the session's own; None where nothing is left of it."""
    if not isinstance(stage, Mapping):
        return stage
    return {name: value for name, value in stage.items() if name not in _per_session(kind)} or None
