"""The suite for models that hear and speak: one that keeps its word passes, one that breaks it fails in that, and only in
that."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from locara.audio import RATE, Samples, silence
from locara.engines.backend import (
    BackendCapabilities,
    BackendEvent,
    BackendSettings,
    Cancel,
    Disregard,
    Frame,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    Signal,
    ToolResult,
    TurnEnd,
    UserTyped,
)
from locara.engines.backend_events import SessionEvents
from locara.errors import StageError
from locara.testing import ScriptedBackend, conformance, conformance_backend, run
from locara.testing.conformance import Outcome
from locara.testing.conformance_backend import CHECKS, examine_backend
from locara.testing.scripted_backend import CAN

from .frame_toy import Echo


class Good(ScriptedBackend):
    """Keeps its word. ``can``: what it claims beside the usual."""

    can: dict[str, Any] = {}  # noqa: RUF012  a constant of each class

    def __init__(self) -> None:
        super().__init__(self.words, delay=0.02, capabilities=replace(CAN, **self.can))

    def words(self, sound: Samples) -> str:
        """How much it heard, so that what was lost or came twice is seen."""
        return f"I heard {sound.size / RATE:.2f} seconds."


@pytest.fixture(autouse=True)
def _busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here holds the loop up, but a machine that does other things may."""
    monkeypatch.setattr(conformance, "STALL_SECONDS", 30.0)


def _failed(make: Any) -> dict[str, str]:
    outcomes: list[Outcome] = run(examine_backend(make))
    assert {*CHECKS, "leaves no process"} <= {one.check for one in outcomes}
    return {one.check: one.why for one in outcomes if not one.passed}


@pytest.mark.parametrize("memory", ["backend", "locara"])
@pytest.mark.parametrize("most", [None, 1, 2])
def test_a_backend_that_keeps_its_word_passes(memory: Any, most: int | None) -> None:
    class Claiming(Good):
        can = {"memory": memory, "max_sessions": most, "input_rate": 24_000}  # noqa: RUF012

    assert _failed(Claiming) == {}


def test_a_backend_that_can_do_little_and_says_so_passes() -> None:
    class Little(Good):
        can = {"cancels": False, "takes_text": False, "tools": False, "instructions": "none", "voices": ()}  # noqa: RUF012

        async def signal(self, session: str, signal: Signal) -> bool:
            return False if isinstance(signal, Cancel) else await super().signal(session, signal)

    outcomes = run(examine_backend(Little))
    assert all(one.passed for one in outcomes), outcomes
    verdicts = {one.check: one.verdict for one in outcomes}
    assert {verdicts[check] for check in ("cancel", "revoke", "typed text", "busy")} == {"not claimed"}


@pytest.mark.parametrize("marks_replies", [True, False])
def test_a_full_duplex_backend_passes(marks_replies: bool) -> None:
    outcomes = run(examine_backend(lambda: Echo(marks_replies=marks_replies)))
    assert all(one.passed for one in outcomes), outcomes
    verdicts = {one.check: one.verdict for one in outcomes}
    assert verdicts["numbers" if marks_replies else "whole frames"] == "passed"
    assert verdicts["cancel"] == "not claimed"


# --- one that breaks its word -----------------------------------------------------------------------------------------


class SaysNotWhatItIs(Good):
    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, licence="")


class ChangesWhenLoaded(Good):
    async def load(self) -> None:
        self.capabilities = replace(self.capabilities, memory="locara")


class FramesThatAreNoSamples(Good):
    can = {"frame_seconds": 0.01234567}  # noqa: RUF012


class SoundOfTheWrongType(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        if isinstance(signal, TurnEnd):
            self._of(session).events.tell(ReplyAudio(signal.reply, np.zeros(10, np.float64)))
        return await super().signal(session, signal)


class RepliesNobodyAskedFor(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        if isinstance(signal, TurnEnd):
            self._of(session).events.tell(ReplyText(77, "Hello?"))
        return await super().signal(session, signal)


class GoesOnAfterTheEnd(Good):
    async def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        async for event in super().event_stream(session):
            yield event
            if isinstance(event, ReplyEnded):
                yield ReplyAudio(event.reply, silence(10))


class CannotStop(Good):
    def words(self, sound: Samples) -> str:
        return "a " * 300  # six seconds to make

    async def signal(self, session: str, signal: Signal) -> bool:
        if isinstance(signal, Cancel) and not signal.revoke:
            return False
        return await super().signal(session, signal)


class LosesWhatWasRevoked(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        return await super().signal(session, Cancel(signal.reply) if isinstance(signal, Cancel) else signal)


class AnswersNoise(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        if isinstance(signal, Disregard) and self._of(session).events.ended is None:
            return False
        return await super().signal(session, signal)


class TakesNoTextAfterAll(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        return False if isinstance(signal, UserTyped) else await super().signal(session, signal)


class CannotBearOddSound(Good):
    async def push_audio(self, session: str, samples: Samples) -> None:
        if not np.isfinite(samples).all():
            raise ValueError("no numbers")
        await super().push_audio(session, samples)


class SaysNothingOfSignals(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        taken = await super().signal(session, signal)
        return None if isinstance(signal, ToolResult) else taken  # type: ignore[return-value]


class WaitsForTheModel(Good):
    async def push_audio(self, session: str, samples: Samples) -> None:
        await asyncio.sleep(samples.size / RATE / 2)
        await super().push_audio(session, samples)


class TakesSoundForNobody(Good):
    async def push_audio(self, session: str, samples: Samples) -> None:
        if session in self._sessions:
            await super().push_audio(session, samples)


class EndsForTheWrongReason(Good):
    async def stop_session(self, session: str) -> None:
        await self._of(session).end("closed")


class GivesItsEventsTwice(Good):
    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        return self._of(session).events._events()


class TellsEverybody(Good):
    async def signal(self, session: str, signal: Signal) -> bool:
        if isinstance(signal, TurnEnd):
            for name in self._sessions:
                if name != session:
                    self._of(name).events.tell(ReplyText(signal.reply, "Psst."))
        return await super().signal(session, signal)


class ClaimsTooFew(Good):
    @property
    def capabilities(self) -> BackendCapabilities:
        return self._can if sys._getframe(1).f_code.co_name == "start_session" else replace(self._can, max_sessions=2)

    @capabilities.setter
    def capabilities(self, can: BackendCapabilities) -> None:
        self._can = can


class LeavesAStartBehind(Good):
    async def start_session(self, settings: BackendSettings) -> str:
        starting = asyncio.create_task(asyncio.sleep(3.0))
        await asyncio.sleep(0.005)
        name = await super().start_session(settings)
        starting.cancel()
        return name


class TakesAnyVoice(Good):
    async def start_session(self, settings: BackendSettings) -> str:
        return await super().start_session(replace(settings, voice=""))


class LoadsOnce(Good):
    loaded = False

    async def load(self) -> None:
        if self.loaded:
            raise RuntimeError("loaded already")
        self.loaded = True


class ForgetsOpenSessions(Good):
    async def close(self) -> None:
        """Nothing."""


class ClosesOnce(LoadsOnce):
    closed = False

    async def load(self) -> None:
        self.loaded = True

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = self.loaded
        await super().close()


class ClosesOnlyWhatIsLoaded(ClosesOnce):
    async def close(self) -> None:
        if not self.loaded:
            raise RuntimeError("not loaded")
        await ScriptedBackend.close(self)


class LeavesAThread(Good):
    over = threading.Event()

    async def load(self) -> None:
        self.over.clear()
        if not any(one.name == "left" for one in threading.enumerate()):
            threading.Thread(target=self.over.wait, name="left", daemon=True).start()


class LeavesAProcess(Good):
    left: subprocess.Popen[bytes] | None = None

    async def load(self) -> None:
        if LeavesAProcess.left is None:
            waiting = [sys.executable, "-c", "input()"]
            LeavesAProcess.left = subprocess.Popen(waiting, stdin=subprocess.PIPE)  # noqa: ASYNC220  in a test


class OddFrames(Echo):
    def give(self, stream: SessionEvents, frame: Samples) -> None:
        stream.tell(Frame(frame[:-1], heard=self._heard))


class CountsFromZero(Echo):
    def __init__(self) -> None:
        super().__init__(marks_replies=True)
        self.first_reply = 0


@pytest.fixture
def _ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the broken ones leave behind; and no ten seconds are waited for it."""
    monkeypatch.setattr(conformance, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(conformance_backend, "CLOSE_SECONDS", 0.3)
    yield
    LeavesAThread.over.set()
    left, LeavesAProcess.left = LeavesAProcess.left, None
    if left is not None:
        left.communicate(b"\n", timeout=20)


@pytest.mark.usefixtures("_ended")
@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (SaysNotWhatItIs, "says what it is", "licence is empty"),
        (ChangesWhenLoaded, "stays what it is", "memory was 'backend'"),
        (FramesThatAreNoSamples, "says what it can do", "whole number of samples"),
        (SoundOfTheWrongType, "answers", "float64"),
        (RepliesNobodyAskedFor, "numbers", "77"),
        (CountsFromZero, "numbers", "not 1, 2, 3"),
        (GoesOnAfterTheEnd, "nothing after its end", "came ReplyAudio"),
        (OddFrames, "whole frames", "1920 samples, not {1919}"),
        (CannotStop, "cancel", "did not come within 5 s"),
        (LosesWhatWasRevoked, "revoke", "after a revoked reply"),
        (AnswersNoise, "disregard", "after noise"),
        (TakesNoTextAfterAll, "typed text", "takes_text is True"),
        (CannotBearOddSound, "odd sound", "no numbers"),
        (SaysNothingOfSignals, "odd signals", "None"),
        (WaitsForTheModel, "does not wait", "waits for the model"),
        (TakesSoundForNobody, "after the end", "never was"),
        (EndsForTheWrongReason, "ends once", "closed"),
        (GivesItsEventsTwice, "events once", "twice"),
        (TellsEverybody, "two sessions", "of the other"),
        (ClaimsTooFew, "busy", "claims 2 sessions and began 3"),
        (LeavesAStartBehind, "cancelled start", "tasks are left"),
        (TakesAnyVoice, "settings", "a voice that it has not"),
        (LoadsOnce, "loads twice", "loaded already"),
        (ForgetsOpenSessions, "closing ends sessions", "without an end"),
        (ClosesOnce, "closes twice", "closed already"),
        (ClosesOnlyWhatIsLoaded, "closes unloaded", "not loaded"),
        (LeavesAThread, "leaves no thread", "left"),
        pytest.param(
            LeavesAProcess,
            "leaves no process",
            "processes are left",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="children are known on Linux only"),
        ),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "",
)
def test_a_backend_that_breaks_one_promise_fails_in_that_one(broken: Any, check: str, says: str) -> None:
    failed = _failed(broken)
    assert set(failed) == {check}, failed
    assert says in failed[check]


def test_a_backend_that_never_answers_fails_and_nothing_hangs() -> None:
    class Silent(Good):
        async def signal(self, session: str, signal: Signal) -> bool:
            return True

    failed = _failed(Silent)
    assert "the end of reply 3 did not come" in failed["answers"]


def test_it_is_the_suite_of_the_kind_omni() -> None:
    outcomes = run(conformance.examine("omni", Good))
    assert set(CHECKS) <= {one.check for one in outcomes}
    assert all(one.passed for one in outcomes)


def test_a_backend_that_cannot_load_is_not_examined() -> None:
    class Broken(Good):
        async def load(self) -> None:
            raise StageError("omni: no weights", stage="omni", model="toy", hint="pull them")

    with pytest.raises(StageError, match="no weights"):
        run(examine_backend(Broken))
