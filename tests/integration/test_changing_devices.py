"""Sessions on a private sound server whose devices and whose life come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from locara import voice
from locara.audio import Samples
from locara.testing import EnergyDetector, ScriptedModel, ScriptedRecogniser, ScriptedVoice
from locara.voice import Session
from locara.voice import events as on

from .whole import errors, nothing_left

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("granted")]

SAID = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"


@pytest.fixture(params=["miniaudio", "portaudio"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    module = {"miniaudio": "miniaudio", "portaudio": "sounddevice"}[name]
    try:
        __import__(module)
    except (ImportError, OSError) as error:
        pytest.skip(f"{module}: {error}")
    monkeypatch.setenv("LOCARA_AUDIO", name)
    return name


def _session(**devices: Any) -> Session:
    return voice.session(
        stt=ScriptedRecogniser([]), llm=ScriptedModel(), tts=ScriptedVoice(), vad=EnergyDetector(), **devices
    )


class Follower:
    """The events of a running session, and what it plays."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[on.Event] = []
        self.played: list[tuple[float, Samples]] = []

    async def follow(self) -> None:
        async for event in self.session.events():
            self.events.append(event)

    async def listen(self) -> None:
        async for block in self.session.raw_output():
            self.played.append((time.monotonic(), block))

    def changes(self) -> list[tuple[str, str]]:
        return [(one.kind, one.change) for one in self.events if isinstance(one, on.DeviceChanged)]

    async def until(self, what: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not what():  # noqa: ASYNC110 - it looks at a server in another process, too
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _running(session: Session) -> AsyncIterator[Follower]:
    follower = Follower(session)
    tasks = [asyncio.create_task(follower.follow()), asyncio.create_task(follower.listen())]
    try:
        async with session:
            yield follower
    finally:
        await asyncio.gather(*tasks)


def _run(session: Session, test: Callable[[Follower], Awaitable[None]]) -> Follower:
    async def main() -> Follower:
        async with _running(session) as follower:
            await test(follower)
        return follower

    with nothing_left():
        return asyncio.run(main())


def _module(server: SoundServer, part: str) -> str:
    lines = [line.split("\t") for line in server.control("list", "short", "modules").splitlines()]
    return next(number for number, *rest in lines if part in " ".join(rest))


def _new_server() -> SoundServer:
    from importlib import import_module

    module = import_module("devices.sound_server")
    if reason := module.missing():
        pytest.skip(reason)
    server: SoundServer = module.SoundServer()
    return server


def test_a_server_that_dies_and_starts_again_costs_a_pause_and_not_the_conversation(library: str) -> None:
    server = _new_server()
    with server, server.in_environment():

        async def test(it: Follower) -> None:
            saying = asyncio.ensure_future(_said(it.session))
            await it.until(lambda: any(block.any() for _, block in it.played))
            await asyncio.sleep(1.0)
            server.kill()
            died = time.monotonic()
            await it.until(lambda: {("input", "lost"), ("output", "lost")} <= set(it.changes()))
            assert time.monotonic() - died < 4.0
            await asyncio.to_thread(server.restart)
            await it.until(lambda: {("input", "back"), ("output", "back")} <= set(it.changes()))
            await asyncio.wait_for(saying, 30)
            heard, alive = it.session.metrics()["seconds_heard"], time.monotonic() - began[0]
            assert abs(alive - heard) < 0.6, "the session's clock did not run on"

        session = _session()
        began: list[float] = []

        async def timed(it: Follower) -> None:
            began.append(time.monotonic())
            await test(it)

        it = _run(session, timed)
    assert not errors(it.events)
    # Null sinks that nobody reads yet work in pieces of 2 s: opened early, a device may seem to be lost once more.
    backs = [change for change in it.changes() if change[1] == "back"]
    assert session.metrics()["device_reopens"] == len(backs) <= 4
    (end,) = [one for one in it.events if isinstance(one, on.TurnEnd)]
    assert end.reason == "finished"
    assert session.history[-1].text == SAID  # type: ignore[union-attr]
    whole = sum(one.samples.size for one in it.events if isinstance(one, on.AudioChunk))
    sound = np.concatenate([block for _, block in it.played])
    loud = np.flatnonzero(sound)
    assert loud[-1] - loud[0] <= whole, "it was played in one piece, apart from the time in which nothing was pulled"


async def _said(session: Session) -> None:
    await session.say(SAID)


def test_a_named_device_that_is_unplugged_is_replaced_and_returned_to(sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")
    load = ("load-module", "module-null-sink", "sink_name=headset", "rate=48000", "channels=2",
            "sink_properties=device.description=Headset")  # fmt: skip
    module = sound_server.control(*load)

    async def test(it: Follower) -> None:
        await it.until(lambda: len(it.played) > 20)
        sound_server.control("unload-module", module)
        await it.until(lambda: ("output", "replaced") in it.changes())
        at = len(it.played)
        await it.until(lambda: len(it.played) > at + 50)
        # Back, in another format, as a Bluetooth headset is once its microphone opens.
        plugged.append(sound_server.control(*(word.replace("48000", "16000").replace("=2", "=1") for word in load)))
        await it.until(lambda: it.changes().count(("output", "back")) == 1)
        at = len(it.played)
        await it.until(lambda: len(it.played) > at + 50)

    plugged: list[str] = []
    try:
        it = _run(_session(input="none", output="Headset"), test)
    finally:
        for one in plugged:
            sound_server.control("unload-module", one)
    assert it.changes() == [("output", "lost"), ("output", "replaced"), ("output", "back")]
    replaced = next(one for one in it.events if isinstance(one, on.DeviceChanged) and one.change == "replaced")
    assert replaced.device == "VirtualSpeaker"
    assert not errors(it.events)


def test_a_named_microphone_comes_back_in_another_format(sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")

    def load(channels: int, rate: int) -> str:
        return sound_server.control(
            "load-module", "module-remap-source", "source_name=bluetooth", "master=micfeed.monitor",
            f"channels={channels}", f"rate={rate}", "source_properties=device.description=Bluetooth",
        )  # fmt: skip

    modules = [load(2, 48_000)]

    async def test(it: Follower) -> None:
        await asyncio.sleep(0.5)
        sound_server.control("unload-module", modules.pop())
        await it.until(lambda: ("input", "lost") in it.changes())
        modules.append(load(1, 16_000))
        await it.until(lambda: ("input", "back") in it.changes())
        heard = it.session.metrics()["seconds_heard"]
        await asyncio.sleep(1.0)
        assert 0.7 < it.session.metrics()["seconds_heard"] - heard < 1.3

    try:
        it = _run(_session(input="Bluetooth", output="none"), test)
    finally:
        for one in modules:
            sound_server.control("unload-module", one)
    assert it.changes() == [("input", "lost"), ("input", "back")]
    assert it.session.metrics()["device_reopens"] == 1.0


def test_another_default_is_followed_and_told(sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")
    module = sound_server.control(
        "load-module", "module-null-sink", "sink_name=other", "sink_properties=device.description=Other"
    )

    async def test(it: Follower) -> None:
        await it.until(lambda: len(it.played) > 20)
        await asyncio.sleep(0.5)
        sound_server.control("set-default-sink", "other")
        await it.until(lambda: bool(it.changes()))
        inputs = sound_server.control("list", "short", "sink-inputs").splitlines()
        sinks = dict(line.split("\t")[1::-1] for line in sound_server.control("list", "short", "sinks").splitlines())
        assert sinks["other"] in [line.split("\t")[1] for line in inputs], "the sound did not move"
        at = len(it.played)
        await it.until(lambda: len(it.played) > at + 50)

    try:
        it = _run(_session(input="none"), test)
    finally:
        sound_server.control("set-default-sink", "speaker")
        sound_server.control("unload-module", module)
    assert it.changes() == [("output", "default")]
    assert [one.device for one in it.events if isinstance(one, on.DeviceChanged)] == ["Other"]


def test_a_muted_microphone_is_told_within_half_a_second(sound_server: SoundServer) -> None:
    # The virtual microphone gives zeros unless something is played into it.
    async def test(it: Follower) -> None:
        await it.until(lambda: any(isinstance(one, on.DeviceSilent) for one in it.events), 5.0)

    pytest.importorskip("miniaudio")
    it = _run(_session(output="none"), test)
    (silent,) = [one for one in it.events if isinstance(one, on.DeviceSilent)]
    assert silent.t <= 0.5
    assert "pactl" in silent.hint
