"""A `VoiceBackend` made of a `FrameModel` that runs in a process and an environment of its own.

What may live here: our side of that process: loading, sessions, what is told when it dies or hangs. The process is
`frame_worker`; which model runs in it says the file of each engine (`locara.engines.omni`).

One process holds one set of weights and ``slots`` places, so the engine is ``"shared"``: a server lends the one copy to all
its sessions, and who comes when all places are taken gets ``EngineBusy``, not a second copy of the weights.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from locara.audio import Samples, mono
from locara.engines import environments, frame_wire, real_time
from locara.engines.backend import BackendCapabilities, BackendEvent, BackendSettings, Ended, Signal
from locara.engines.contracts import EngineInfo
from locara.engines.frame_clock import LATE_SECONDS
from locara.engines.frame_errors import Blame
from locara.engines.frame_life import FrameLife
from locara.engines.frame_model import FrameFacts
from locara.engines.frame_session import FrameSession
from locara.engines.frames import FrameError
from locara.engines.isolated import LOAD_SECONDS, OFFLINE, Environment
from locara.errors import ConfigError, StageError

HANG_SECONDS = 10.0
"""Without a step, while a frame waits for one: a graph that is captured anew takes less."""
PROMPT_SECONDS = 30.0
"""Without one step of opening a session."""
PROMPT_MOST_SECONDS = 300.0
"""Of all of them: a prompt that takes longer is a mistake."""
_REMEMBERED = 64  # sessions that are over, whose last events may still be asked for


class FrameBackend:
    """See `locara.engines.backend.VoiceBackend`. ``options``: plain data for the worker's ``load``. ``expected``: what is
    known of the model before it is loaded. ``python``: the interpreter of its environment. ``realtime``: ``"check"``
    refuses to load what this machine cannot keep up with, ``"ignore"`` does not measure. ``late``: seconds that a session
    may be behind before it skips to the present. ``hang``: seconds without a step after which the process is ended."""

    def __init__(
        self,
        info: EngineInfo,
        environment: Environment,
        options: Mapping[str, Any],
        *,
        expected: FrameFacts,
        python: object = None,
        realtime: Literal["check", "ignore"] = "check",
        late: float = LATE_SECONDS,
        hang: float = HANG_SECONDS,
    ) -> None:
        self._info = replace(info, where="child process, its own environment", sharing="shared")
        self._blame = Blame(info.model, environment.package)
        self._environment = environment
        self._options = json.dumps(dict(options)).encode()
        self._facts = expected
        self._python = python
        self._realtime = realtime
        self._late = late
        self._hang = hang
        self._loading = asyncio.Lock()
        self._life: FrameLife | None = None
        self._started = 0
        self._ended: dict[str, FrameSession] = {}
        self.checked = real_time.Pace(0.0, 0.0, 0.0)
        """What a step took when the model was loaded; zeros where it was not measured."""
        self.progress = ""
        """What loading is at."""

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        """What it is."""
        return self._info

    @property
    def capabilities(self) -> BackendCapabilities:
        """What it can do; rates, voices and places for certain once it is loaded."""
        facts = self._facts
        return BackendCapabilities(
            duplex="full",
            turn_owner="model",
            input_rate=facts.rate,
            output_rate=facts.rate,
            frame_seconds=facts.frame / facts.rate,
            clocked=True,
            marks_replies=False,
            memory="backend",
            instructions="start" if facts.instructions else "none",
            voices=facts.voices,
            max_session_seconds=facts.max_session_seconds,
            max_sessions=facts.slots,
        )

    @property
    def counts(self) -> dict[str, float]:
        """Since it was loaded: ``sessions`` that run, ``steps``, ``frames`` (one for each session in a step),
        ``skipped_seconds``, and the seconds of the latest steps: ``step_median``, ``step_p95``, ``step_worst``."""
        life = self._life
        counts = life.counts if life is not None else real_time.Counts()
        pace = counts.pace
        return {
            "sessions": float(len(life.sessions)) if life is not None else 0.0,
            "steps": float(counts.steps),
            "frames": float(counts.frames),
            "skipped_seconds": counts.skipped / self._facts.rate,
            "step_median": pace.median,
            "step_p95": pace.p95,
            "step_worst": pace.worst,
        }

    @property
    def pid(self) -> int | None:
        """Its process; None while there is none."""
        return None if self._life is None else self._life.link.pid

    # --- its process --------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Starts the process, loads the model, and measures whether it keeps up; again after the process has died.

        Raises ``EngineMissing`` without its environment, ``EngineFailed`` (also with the numbers when this machine is too
        slow for it) and ``EngineTimeout``."""
        async with self._loading:
            if self._life is not None and self._life.usable:
                return
            await self._put_down()
            where = self._environment
            program = environments.python(
                where.name, where.module, where.package, stage="omni", model=self._info.model, given=self._python
            )
            life = self._life = FrameLife(
                self._blame,
                where.worker,
                python=program,
                environment=OFFLINE,
                hang=self._hang,
                over=self._over,
                progress=self._tell,
            )
            try:
                await self._bring_up(life)
            except BaseException:
                await self._put_down()
                raise

    async def close(self) -> None:
        """Ends every session and the process. May be called twice, also while it is loaded: that fails then."""
        life = self._life
        if life is not None:
            for session in list(life.sessions.values()):
                session.end(Ended("stopped"))
                self._over(session)
            await life.end()
        async with self._loading:
            await self._put_down()

    async def _bring_up(self, life: FrameLife) -> None:
        await life.start()
        life.send({"op": "load", "late": self._late}, self._options)
        reply = await life.answer("load", LOAD_SECONDS)
        if reply.header["kind"] == "error":
            raise self._blame.not_loaded(reply)
        try:
            facts = self._facts = frame_wire.facts(reply)
        except FrameError as error:
            raise self._blame.failed(str(error)) from error
        self._info = replace(self._info, device=facts.device or self._info.device, note=facts.note or self._info.note)
        if self._realtime == "check":
            life.send({"op": "check", "steps": real_time.CHECK_STEPS, "most": real_time.CHECK_SECONDS})
            reply = await life.answer("check", LOAD_SECONDS)
            self.checked = real_time.pace([float(one) for one in reply.header["seconds"]])
            if why := real_time.refusal(self.checked, facts.frame / facts.rate):
                raise self._blame.failed(f"{why} (device: {self._info.device})", hint=real_time.REMEDY)
        life.fit = True

    async def _put_down(self) -> None:
        if (life := self._life) is not None:
            await life.end()
            self._life = None

    def _tell(self, progress: str) -> None:
        self.progress = progress

    def mended(self) -> bool:
        """See `locara.engines.contracts.Mends`: a process that has died is started again with the next session."""
        return True

    # --- sessions -----------------------------------------------------------------------------------------------------

    async def start_session(self, settings: BackendSettings) -> str:
        """See `VoiceBackend`. Starts the process again where it has died. Raises ``ConfigError`` for settings that the
        model cannot keep, ``EngineBusy``, ``EngineFailed``, ``EngineTimeout``."""
        await self.load()
        self._check(settings)
        life = self._life
        if life is None or not life.usable:
            raise self._blame.failed("it was closed, or has just died")
        if life.taken >= self._facts.slots:
            raise self._blame.busy(self._facts.slots)
        number = self._started = self._started + 1
        try:
            told = {"instructions": settings.instructions, "voice": settings.voice}
            life.send({"op": "open", "session": number}, json.dumps(told).encode())
            reply = await life.answer(number, PROMPT_SECONDS, most=PROMPT_MOST_SECONDS)
        except BaseException:
            life.close(number)
            raise
        if life.why is not None:  # in the moment between
            raise life.why
        if reply.header["kind"] == "refused":
            raise self._blame.refused(reply)
        facts = self._facts
        most = None if facts.max_session_seconds is None else round(facts.max_session_seconds * facts.rate)
        session = FrameSession(number, self._name(number), facts.frame, most)
        life.sessions[number] = session
        life.watch()
        return session.name

    async def push_audio(self, session: str, samples: Samples) -> None:
        """See `VoiceBackend`."""
        one = self._find(session)
        life = self._life
        if one is None or one.over or life is None:
            return
        sound = one.cut(mono(samples), asyncio.get_running_loop().time())
        if sound is not None:
            with contextlib.suppress(StageError):  # then its `Ended` has come
                life.send({"op": "sound", "session": one.number}, frame_wire.to_bytes(sound))
                life.account()

    async def signal(self, session: str, signal: Signal) -> bool:
        """False: such a model decides by itself, and hears all. Raises ``StageError`` where there is no such session."""
        self._find(session)
        return False

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """See `VoiceBackend`."""
        one = self._find(session)
        if one is None:
            raise self._blame.failed(
                f"session {session} was over long ago", hint="take the events of a session while it runs"
            )
        return one.events()

    async def stop_session(self, session: str) -> None:
        """See `VoiceBackend`."""
        one = self._find(session)
        if one is not None and not one.over:
            one.end(Ended("stopped"))
            self._over(one)

    def _over(self, session: FrameSession) -> None:
        """Takes out a session that has ended, and frees its place."""
        life = self._life
        if life is None or life.sessions.pop(session.number, None) is None:
            return
        life.account()
        life.close(session.number)
        self._ended[session.name] = session
        while len(self._ended) > _REMEMBERED:
            self._ended.pop(next(iter(self._ended)))

    def _name(self, number: int) -> str:
        return f"{self._environment.name}-{number}"

    def _find(self, name: str) -> FrameSession | None:
        """The session, None for one that was over long ago. Raises ``StageError`` where there never was one."""
        if (one := self._ended.get(name)) is not None:
            return one
        prefix, _, number = name.rpartition("-")
        if prefix == self._environment.name and number.isdigit() and 1 <= int(number) <= self._started:
            return None if self._life is None else self._life.sessions.get(int(number))
        raise self._blame.failed(f"there is no session {name!r}", hint="start one: start_session gives its name")

    def _check(self, settings: BackendSettings) -> None:
        model = self._info.model
        if settings.tools:
            raise ConfigError(f"omni: {model} cannot call tools", hint="leave the tools out, or use the pipeline")
        if settings.instructions and not self._facts.instructions:
            raise ConfigError(
                f"omni: {model} cannot be told what it is", hint="leave the system text out, or use PersonaPlex"
            )
        voices = self._facts.voices
        if settings.voice and settings.voice not in voices:
            near = difflib.get_close_matches(settings.voice, voices, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            has = f"it has {', '.join(voices)}" if voices else "it has one voice: leave it out"
            raise ConfigError(f"omni: {model} has no voice {settings.voice!r}", hint=meant + has)
