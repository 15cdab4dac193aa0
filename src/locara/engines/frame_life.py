"""One run of the process of a frame model, from its start to its death, and the sessions that live in it.

What may live here: what is sent and what comes, who waits for it, and what everybody is told when it ends. When a run is
begun is `frame_backend`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from locara.engines import frame_wire, real_time
from locara.engines.frame_errors import Blame
from locara.engines.frame_session import FrameSession
from locara.engines.frames import FrameError, Reply
from locara.engines.lane import Charging, real_work
from locara.engines.worker_link import LinkBroken, WorkerLink
from locara.errors import StageError

_LOOKS = 4  # times within the deadline it is looked whether the process hangs


class _Waiting:
    """Somebody waits for an answer. ``renewed``: when there was progress, by the loop's clock."""

    def __init__(self, now: float) -> None:
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.renewed = now


class FrameLife:
    """``hang``: seconds without a step, while one is owed, after which the process is ended. ``over`` is told each session
    that has ended by itself; ``progress`` what loading is at."""

    def __init__(
        self,
        blame: Blame,
        module: str,
        *,
        python: str,
        environment: Mapping[str, str],
        hang: float,
        over: Callable[[FrameSession], None],
        progress: Callable[[str], None],
    ) -> None:
        self.link = WorkerLink(module, python=python, environment=environment, take=self._take, ended=self._went)
        self.fit = False
        """The model is loaded, and fast enough."""
        self.why: StageError | None = None
        """Why it is no more."""
        self.sessions: dict[int, FrameSession] = {}
        self.waiting: dict[str | int, _Waiting] = {}
        """By ``"load"``, ``"check"``, or the number of the session that is being opened."""
        self.counts = real_time.Counts()
        self._blame = blame
        self._hang = hang
        self._over = over
        self._progress = progress
        self._step_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._real = False  # virtual time, where there is such a clock, runs as real time does
        self._loop: Charging | None = None  # that clock

    @property
    def usable(self) -> bool:
        """Whether sessions may be begun."""
        return self.fit and self.why is None and self.link.alive

    @property
    def taken(self) -> int:
        """Places that are taken, also by sessions that are being opened."""
        return len(self.sessions) + sum(isinstance(key, int) for key in self.waiting)

    async def start(self) -> None:
        """Starts the process. Raises ``EngineFailed``."""
        loop = asyncio.get_running_loop()
        self._loop = loop if isinstance(loop, Charging) else None
        try:
            with real_work():
                await self.link.start()
        except OSError as error:
            raise self._blame.failed(f"its process could not be started: {error}") from error

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Sends an order or sound. Does not wait. Raises ``StageError``: the process is no more, or will not be."""
        if self.why is not None:
            raise self.why
        try:
            self.link.send(header, payload)
        except LinkBroken as error:
            self.lost(self._blame.failed(f"{error} ({self.link.last_words()})" if not self.link.alive else str(error)))
            raise self.why or error from None
        except FrameError as error:
            raise self._blame.failed(str(error), hint="send less at once") from None

    async def answer(self, key: str | int, seconds: float, *, most: float = float("inf")) -> Reply:
        """What comes for ``key``, which must be asked for just before. ``seconds``: without an answer or progress, after
        which the process is ended, since nothing can be known of it. ``most``: seconds in all. Raises ``StageError``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        mine = self.waiting[key] = _Waiting(began)
        self.account()
        try:
            while True:
                left = min(mine.renewed + seconds, began + most) - loop.time()
                done, _ = await asyncio.wait({mine.answer}, timeout=max(0.0, left))
                if done:
                    return mine.answer.result()
                if loop.time() >= began + most:
                    raise self._blame.late(
                        f"it was not ready to talk within {most:g} s", hint="use a shorter voice sample or role text"
                    )
                if loop.time() >= mine.renewed + seconds:
                    raise self._hung(f"it gave no sign for {seconds:g} s")
        finally:
            self.waiting.pop(key, None)
            self.account()

    def account(self) -> None:
        """To be called when a session has been given sound, or taken out. On a virtual clock time stands still or jumps, but
        not while the process owes us something."""
        if self._loop is None:
            return
        owes = any(session.owing_since is not None for session in self.sessions.values())
        real = self.why is None and (owes or bool(self.waiting))
        if real is not self._real:
            self._real = real
            (self._loop.begin_real if real else self._loop.end_real)()

    def close(self, number: int) -> None:
        """Frees the place of a session, opened or not."""
        with contextlib.suppress(StageError):
            self.send({"op": "close", "session": number})

    def watch(self) -> None:
        """Looks from time to time whether the process still makes steps, as long as there are sessions."""
        if self._watcher is None or self._watcher.done():
            self._watcher = self._spawn(self._watch(), "locara-frame-watch")

    def lost(self, why: StageError) -> None:
        """It is over with the process: tells everybody, once, and ends it."""
        if self.why is not None:
            return
        self.why = why
        for waiting in self.waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(why)
        for session in list(self.sessions.values()):
            session.fail(why.code, why.message, why.hint)
            self._over(session)
        if self._watcher is not None and self._watcher is not asyncio.current_task():
            self._watcher.cancel()
        self._spawn(self.link.kill(), "locara-frame-end")

    async def end(self) -> None:
        """Ends the process; whoever waits for something of it is told. May be called twice."""
        self.lost(self._blame.failed("it was closed"))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._kill()

    async def _kill(self) -> None:
        with real_work():
            await self.link.kill()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _hung(self, what: str) -> StageError:
        why = self._blame.late(
            f"{what}; its process was ended",
            hint="it hangs or is far too slow here; start again, or use a smaller model",
        )
        self.lost(why)
        return why

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self.sessions and self.why is None:
            slept = loop.time()
            await asyncio.sleep(self._hang / _LOOKS)
            if loop.time() - slept > 2 * self._hang / _LOOKS:
                continue  # we stood still ourselves (the machine slept): what came meanwhile is not taken yet
            for session in self.sessions.values():
                since = session.owing_since
                if since is not None and loop.time() - max(since, self._step_at) > self._hang:
                    self._hung(f"it made no step for {self._hang:g} s")
                    break

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _take(self, reply: Reply) -> None:
        """Raises ``FrameError`` and its like for what nobody can have meant; the process is ended then."""
        if self.why is not None:
            return
        self._step_at = asyncio.get_running_loop().time()
        match reply.header.get("kind"):
            case "step":
                self._step(frame_wire.step_made(reply))
            case "progress":
                self._progress(str(reply.header["text"]))
                self._renew("load")
            case "loaded" | "error":
                self._answered("load", reply)
            case "checked":
                self._answered("check", reply)
            case "opening":
                self._renew(int(reply.header["session"]))
            case "opened" | "refused":
                self._answered(int(reply.header["session"]), reply)
            case "failed":
                self.lost(self._blame.broke(reply))
            case other:
                raise FrameError(f"a message of kind {other!r}, which there is not")

    def _step(self, made: frame_wire.StepMade) -> None:
        self.counts.step(made.seconds, len(made.said), (said.skipped for said in made.said))
        for said in made.said:
            session = self.sessions.get(said.session)
            if session is not None:  # else it was stopped meanwhile
                session.heard(said, self._step_at)
                if session.over:
                    self._over(session)
        self.account()

    def _renew(self, key: str | int) -> None:
        if (waiting := self.waiting.get(key)) is not None:
            waiting.renewed = self._step_at

    def _answered(self, key: str | int, reply: Reply) -> None:
        waiting = self.waiting.get(key)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(reply)

    def _went(self) -> None:
        self.lost(self._blame.failed(f"its process has died: {self.link.last_words()}"))
