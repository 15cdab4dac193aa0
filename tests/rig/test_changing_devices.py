"""Conversations that go on although a microphone or a speaker is lost and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from locara import voice
from locara.audio import BLOCK, RATE, Samples
from locara.devices.contracts import DeviceInfo, Pull, Reopened
from locara.errors import DeviceError
from locara.testing import EnergyDetector, ScriptedModel, ScriptedRecogniser, ScriptedVoice, Spoken, run
from locara.testing.scripted import speech_like
from locara.voice.events import DeviceChanged, Event

from .scenes import LONG, names

pytestmark = pytest.mark.usefixtures("granted")  # these devices count as this machine's

SECONDS = BLOCK / RATE
Gone = tuple[tuple[float, float], ...]


def _now() -> float:
    return asyncio.get_running_loop().time()


class Loose:
    """What both ends of a loose cable share. Times in seconds since the session listens."""

    give_up = 8.0
    name = "default"

    def __init__(self, gone: Gone = ()) -> None:
        self.gone = gone
        self.began = -1.0
        self.open_ = False
        self.listed = [DeviceInfo("Built-in", "input", True, "x"), DeviceInfo("Built-in", "output", True, "x")]

    def there(self) -> bool:
        return not any(begin <= _now() - self.began < end for begin, end in self.gone)

    def devices(self) -> list[DeviceInfo]:
        return self.listed

    async def reopen(self, *, stand_in: bool) -> Reopened:
        if not self.there():
            raise DeviceError("nobody is there")
        return Reopened(self.name)

    async def close(self) -> None:
        self.open_ = False


class Microphone(Loose):
    """Hears what is said at that time; what is said while it is gone is lost. ``floor``: its noise."""

    exhausted = False
    overruns = 0

    def __init__(self, user: Samples, gone: Gone = (), *, floor: float = 1e-4) -> None:
        super().__init__(gone)
        self.user = user
        self.floor = floor

    async def open(self) -> None:
        self.open_ = True

    async def blocks(self) -> AsyncIterator[Samples]:
        self.began = self.began if self.began >= 0.0 else _now()
        block = round((_now() - self.began) / SECONDS)
        while self.open_:
            block += 1
            await asyncio.sleep(max(0.0, self.began + block * SECONDS - _now()))
            if not self.there():
                return
            heard = np.full(BLOCK, self.floor, dtype=np.float32)
            said = self.user[(block - 1) * BLOCK : block * BLOCK]
            heard[: said.size] += said
            yield heard


class Speaker(Loose):
    """Pulls by its own clock. ``played`` has (second, sample) for each block that sounded."""

    rate = 24_000
    own_clock = True
    delay = 0.0
    underruns = 0

    def __init__(self, gone: Gone = ()) -> None:
        super().__init__(gone)
        self.played: list[tuple[float, Samples]] = []
        self.pull: Pull | None = None

    async def open(self, pull: Pull) -> None:
        self.pull, self.open_ = pull, True

    def advance(self, blocks: int = 1) -> None: ...

    async def until_lost(self) -> str:
        self.began = self.began if self.began >= 0.0 else _now()
        assert self.pull is not None
        while self.open_:
            await asyncio.sleep(SECONDS)
            if not self.there():
                return "was lost"
            self.played.append((_now() - self.began, self.pull(480)))
        return ""


def talk(
    script: list[Spoken], replies: list[str], microphone: Gone = (), speaker: Gone = (), *, seconds: float = 20.0,
    floor: float = 1e-4, **settings: Any,
) -> tuple[list[Event], voice.Session, Microphone, Speaker, int]:  # fmt: skip
    """The events of a conversation of so many seconds, and how often the way of the echo was told to have changed."""
    mic = Microphone(speech_like(script, seconds), microphone, floor=floor)
    out = Speaker(speaker)
    hearing = ScriptedRecogniser(script)
    hearing.began = lambda: mic.began
    session = voice.session(
        stt=hearing, llm=ScriptedModel(replies), tts=ScriptedVoice(), vad=EnergyDetector(), input=mic, output=out,
        **settings,
    )  # fmt: skip
    events: list[Event] = []
    resets: list[str] = []
    changed = session._loop.following._path_changed
    session._loop.following._path_changed = lambda kind: (resets.append(kind), changed(kind))  # type: ignore[assignment, func-returns-value]

    async def collect() -> None:
        async for event in session.events():
            events.append(event)

    async def main() -> None:
        collecting = asyncio.create_task(collect())
        async with session:
            try:
                async with asyncio.timeout(seconds):
                    await session.wait_ended()
            except TimeoutError:
                pass
        await collecting

    run(main())
    return events, session, mic, out, len(resets)


def changes(events: list[Event]) -> list[tuple[str, str]]:
    return [(one.kind, one.change) for one in events if isinstance(one, DeviceChanged)]


def of(events: list[Event], kind: str) -> list[Any]:
    return [one for one in events if one.type == kind]


QUESTIONS = [Spoken(0.5, 1.5, "what time is it"), Spoken(12.0, 13.0, "and where am i")]


def test_a_microphone_that_was_away_keeps_the_conversation_and_its_clock() -> None:
    events, session, *_, resets = talk(QUESTIONS, ["Noon.", "Here."], microphone=((5.0, 9.4),))
    assert changes(events) == [("input", "lost"), ("input", "back")]
    assert not of(events, "error")
    assert not of(events, "device-silent"), "silence that stands for a loss was taken for a dead microphone"
    assert [one.text for one in of(events, "final-transcript")] == ["what time is it", "and where am i"]
    second = [one for one in of(events, "turn-end") if one.who == "user"][1]
    assert second.speech_end == pytest.approx(13.0, abs=0.06), "what came after the loss is not where it was said"
    assert [said.text for said in session.history] == ["what time is it", "Noon.", "and where am i", "Here."]  # type: ignore[union-attr]
    assert session.metrics()["device_reopens"] == 1.0
    assert resets == 1
    assert session.metrics()["seconds_heard"] == pytest.approx(20.0, abs=0.1)


def test_a_reply_goes_on_while_the_microphone_is_away() -> None:
    events, _, _, out, _ = talk(QUESTIONS[:1], [LONG], microphone=((3.0, 6.0),))
    (reply,) = [one for one in of(events, "turn-end") if one.who == "assistant"]
    assert reply.reason == "finished"
    sounding = [when for when, block in out.played if block.any()]
    assert max(np.diff(sounding)) < 0.5


def test_a_lost_output_holds_the_reply_at_its_sample() -> None:
    whole = talk(QUESTIONS[:1], [LONG])[3]
    events, session, _, out, resets = talk(QUESTIONS[:1], [LONG], speaker=((4.0, 8.0),))
    assert changes(events) == [("output", "lost"), ("output", "back")]
    assert [one.reason for one in of(events, "turn-end")] == ["complete", "finished"]
    assert not [when for when, _ in out.played if 4.01 < when < 8.0]
    sound, unbroken = (np.concatenate([block for _, block in one.played]) for one in (out, whole))
    sound, unbroken = (one[np.flatnonzero(one)[0] : np.flatnonzero(one)[-1]] for one in (sound, unbroken))
    assert np.array_equal(sound, unbroken), "samples were lost, or played twice"
    assert session.history[-1].text == LONG  # type: ignore[union-attr]
    assert resets == 1


def test_what_a_lost_output_did_not_play_was_not_heard() -> None:
    script = [QUESTIONS[0], Spoken(6.0, 7.5, "stop stop stop")]
    events, *_ = talk(script, [LONG, "Yes."], speaker=((4.0, 11.0),))
    (cut,) = of(events, "barge-in")
    assert 0 < cut.heard_ms < 4000
    assert cut.unheard_text


def test_a_reply_that_waits_for_its_output_longer_than_a_stall_is_not_ended() -> None:
    Loose.give_up = 40.0
    try:
        events, *_ = talk(QUESTIONS[:1], [LONG], speaker=((4.0, 24.0),), seconds=35.0)
    finally:
        Loose.give_up = 8.0
    assert not of(events, "error")
    assert [one.reason for one in of(events, "turn-end")] == ["complete", "finished"]


@pytest.mark.parametrize("which", ["microphone", "speaker"])
def test_a_device_that_stays_away_ends_the_session(which: str) -> None:
    gone: dict[str, Any] = {which: ((3.0, 1e9),)}
    events, *_ = talk(QUESTIONS[:1], [LONG], **gone)
    (error,) = of(events, "error")
    assert (error.code, error.fatal, error.stage) == (
        "device-failed",
        True,
        {"microphone": "input"}.get(which, "output"),
    )
    assert error.hint
    assert events[-1].type == "session-end"
    assert events[-1].reason == "device-lost"  # type: ignore[attr-defined]
    assert 11.0 <= events[-1].t <= 12.5
    assert names(events).count("turn-end") == 2


def test_both_ends_may_be_lost_together() -> None:
    events, session, *_ = talk(QUESTIONS, [LONG, "Here."], microphone=((3.0, 6.0),), speaker=((3.0, 6.0),))
    assert sorted(changes(events)) == [("input", "back"), ("input", "lost"), ("output", "back"), ("output", "lost")]
    assert not of(events, "error")
    assert session.metrics()["device_reopens"] == 2.0
