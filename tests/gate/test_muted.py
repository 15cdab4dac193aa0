"""Muted means zeros before any engine: a canary at the microphone, and every kind of engine listening for it. And nothing is
captured outside a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from locara import testing, voice
from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import DeviceInfo
from locara.engines.contracts import Recognition
from locara.gate.listening import listening
from locara.gate.opening import Unasked
from locara.gate.switch import Switch, default_switch
from locara.manifest.values import Capability
from locara.testing import (
    EnergyDetector,
    ScriptedBackend,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedTurnDetector,
    ScriptedVoice,
    ScriptedWakeWord,
)
from locara.voice import Session


class Seen:
    """What engines were given: how many samples, and the largest of them."""

    def __init__(self) -> None:
        self.by: dict[str, list[float]] = {}

    def note(self, who: str, samples: Samples) -> None:
        told = self.by.setdefault(who, [0, 0.0])
        told[0] += samples.size
        told[1] = max(told[1], float(np.abs(samples).max(initial=0.0)))

    def loudest(self) -> float:
        return max((peak for _, peak in self.by.values()), default=0.0)


pytestmark = pytest.mark.usefixtures("granted")  # the canary counts as this machine's microphone


class Canary:
    """A microphone of this machine that hears a loud, broken hum from the moment it is opened to its closing."""

    name, exhausted, overruns = "default", False, 0

    def __init__(self) -> None:
        self.opened = self.given = 0
        self._open = False

    def devices(self) -> list[DeviceInfo]:
        return [DeviceInfo("canary", "input", True, "none")]

    async def open(self) -> None:
        self.opened += 1
        self._open = True

    async def blocks(self) -> AsyncIterator[Samples]:
        at = 0
        while self._open:
            now = np.arange(at, at + BLOCK)
            yield (0.5 * np.sign(np.sin(now * 0.2)) * (now // 4000 % 2)).astype(np.float32)
            at, self.given = at + BLOCK, self.given + 1
            await asyncio.sleep(BLOCK / RATE)

    async def close(self) -> None:
        self._open = False


class Noting:
    """A recognition that notes what it is given."""

    def __init__(self, recognition: Recognition, seen: Seen) -> None:
        self._recognition, self._seen = recognition, seen
        self.settle, self.close = recognition.settle, recognition.close

    async def push(self, samples: Samples) -> str | None:
        self._seen.note("stt", samples)
        return await self._recognition.push(samples)


def engines(seen: Seen) -> dict[str, Any]:
    """One of every kind, each with open ears."""

    class Detector(EnergyDetector):
        def probability(self, window: Samples) -> float:
            seen.note("vad", window)
            return super().probability(window)

    class Turn(ScriptedTurnDetector):
        async def finished(self, samples: Samples) -> float:
            seen.note("turn", samples)
            return await super().finished(samples)

    class Wake(ScriptedWakeWord):
        def probability(self, window: Samples) -> float | None:
            seen.note("wake", window)
            return super().probability(window)

    class Recogniser(ScriptedRecogniser):
        def open(self) -> Any:
            return Noting(super().open(), seen)

    class Omni(ScriptedBackend):
        async def push_audio(self, session: str, samples: Samples) -> None:
            seen.note("omni", samples)
            await super().push_audio(session, samples)

    return {"vad": Detector(), "turn": Turn(), "wake": Wake(), "stt": Recogniser([]), "omni": Omni(["Yes."])}


Turned = Callable[[Session, Switch], None]


def by_the_session(session: Session, switch: Switch) -> None:
    session.mute()


def by_the_switch(session: Session, switch: Switch) -> None:
    switch.mute()


def not_at_all(session: Session, switch: Switch) -> None:
    return


async def talked(turn: Turned, *, omni: bool) -> tuple[Seen, Seen, Canary]:
    """(what engines were given before, and after the second at which it was muted, the microphone)."""
    seen, before = Seen(), Seen()
    made, microphone = engines(seen), Canary()
    brain = (
        {"omni": made["omni"]} if omni else {"stt": made["stt"], "llm": ScriptedModel(["Yes."]), "tts": ScriptedVoice()}
    )
    attention: Any = {"mode": "wake-word", "engine": made["wake"]} if not omni else "open"
    session = voice.session(
        vad=made["vad"], turn_detection=made["turn"], attention=attention, input=microphone, output="none", **brain
    )
    raw = session.raw_input()

    async def follow() -> None:
        async for block in raw:
            seen.note("raw_input", block)

    following = asyncio.create_task(follow())
    assert microphone.opened == 0, "captured outside a session"
    async with session:
        await asyncio.sleep(1.0)
        turn(session, default_switch())
        await asyncio.sleep(2 * BLOCK / RATE)  # the block under way
        before.by, seen.by = seen.by, {}
        for _ in range(2):
            session.push_to_talk.press()  # turns that would be heard
            await asyncio.sleep(1.5)
            session.push_to_talk.release()
            await asyncio.sleep(1.0)
    await following
    default_switch().unmute()
    return before, seen, microphone


@pytest.mark.parametrize("omni", [False, True])
def test_without_muting_every_engine_hears_the_canary(omni: bool) -> None:
    _, after, _ = testing.run(talked(not_at_all, omni=omni))
    expected = {"raw_input", "vad", *(["omni"] if omni else ["stt", "wake"])}
    assert {who for who, (_, peak) in after.by.items() if peak > 0.4} >= expected


@pytest.mark.parametrize("omni", [False, True])
@pytest.mark.parametrize("turn", [by_the_session, by_the_switch])
def test_muted_no_engine_is_given_anything_but_zeros(turn: Turned, omni: bool) -> None:
    before, after, microphone = testing.run(talked(turn, omni=omni))
    assert before.loudest() > 0.4, "the canary does not sing"
    assert {"raw_input", "vad"} <= set(after.by)
    # What was heard before is still a past that a held turn may begin in; of all that came after, nothing.
    fresh = {who: told for who, told in after.by.items() if who in ("raw_input", "vad", "wake")}
    assert {who: peak for who, (_, peak) in fresh.items()} == dict.fromkeys(fresh, 0.0)
    assert microphone.given > 200, "the session's clock must run on"


def test_muted_from_the_beginning_nothing_is_ever_heard() -> None:
    async def talk() -> Seen:
        default_switch().mute()
        seen = Seen()
        made = engines(seen)
        session = voice.session(
            vad=made["vad"], turn_detection=made["turn"], stt=made["stt"], llm=ScriptedModel(["Yes."]),
            tts=ScriptedVoice(), input=Canary(), output="none",
        )  # fmt: skip
        events = session.events()
        async with session:
            session.push_to_talk.press()
            await asyncio.sleep(2.0)
            session.push_to_talk.release()
            await asyncio.sleep(2.0)
            assert session.muted
            assert session.metrics()["input_allowed"] == 0.0
            session.unmute()
            await asyncio.sleep(0.5)
            assert session.muted, "a session must not be able to turn the switch of its user"
        default_switch().unmute()
        told = [one async for one in events]
        changes = [one for one in told if one.type == "device-changed"]
        assert [(one.kind, one.change) for one in changes] == [("input", "muted")]  # type: ignore[attr-defined]
        assert "locara unmute" in changes[0].hint  # type: ignore[attr-defined]
        assert not [one for one in told if one.type == "device-silent"], "that it is muted is known"
        return seen

    try:
        seen = testing.run(talk())
    finally:
        default_switch().unmute()
    assert "vad" in seen.by
    assert seen.loudest() == 0.0


def test_listening_alone_is_muted_too_and_goes_on_after_it() -> None:
    async def listen() -> list[float]:
        peaks = []
        async for block, _ in listening(Canary()):
            peaks.append(float(np.abs(block).max()))
            if len(peaks) == 100:
                default_switch().mute()
            if len(peaks) == 200:
                default_switch().unmute()
            if len(peaks) == 300:
                return peaks
        return peaks

    try:
        peaks = testing.run(listen())
    finally:
        default_switch().unmute()
    assert max(peaks[:100]) > 0.4
    assert max(peaks[100:200]) == 0.0
    assert max(peaks[200:]) > 0.4


class Granted(Unasked):
    """A grant that is taken back while it is used."""

    def __init__(self) -> None:
        self.asked: list[Capability] = []
        self.held = True

    async def demand(self, capability: Capability) -> None:
        self.asked.append(capability)

    def holds(self, capability: Capability) -> bool:
        return self.held


def test_what_is_revoked_is_silent_from_the_next_block_on() -> None:
    async def listen() -> tuple[list[float], list[Capability]]:
        grant, peaks = Granted(), []
        async for block, _ in listening(Canary(), grant):
            peaks.append(float(np.abs(block).max()))
            if len(peaks) == 100:
                grant.held = False
            if len(peaks) == 200:
                break
        return peaks, grant.asked

    peaks, asked = testing.run(listen())
    assert asked == ["device.microphone"]
    assert max(peaks[:100]) > 0.4
    assert max(peaks[100:]) == 0.0


def test_a_switch_that_cannot_be_looked_at_is_muted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert Switch(tmp_path / "file" / "muted").muted
    assert not Switch(tmp_path / "nowhere" / "muted").muted
