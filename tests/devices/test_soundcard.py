"""Microphone and speaker against a real sound server, through miniaudio and through PortAudio."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples, resample, silence
from locara.devices import listing
from locara.devices.contracts import Sink, Source
from locara.devices.wav import read_wav, write_wav
from locara.errors import DeviceError, NoDevice

from .signals import find, noise
from .sound_server import SoundServer

NAMES = {"soundcard": ("VirtualMic", "VirtualSpeaker"), "portaudio": ("vmic", "vspeaker")}


@pytest.fixture(params=["soundcard", "portaudio"])
def cards(request: pytest.FixtureRequest, sound_server: SoundServer) -> ModuleType:
    """The module under test, where its library is installed."""
    library = {"soundcard": "miniaudio", "portaudio": "sounddevice"}[request.param]
    try:
        importlib.import_module(library)
    except (ImportError, OSError) as error:
        pytest.skip(f"{library}: {error}")
    return importlib.import_module(f"locara.devices.{request.param}")


@asynccontextmanager
async def opened(source: Source) -> AsyncIterator[Source]:
    await source.open()
    try:
        yield source
    finally:
        await source.close()


@contextmanager
def recorded(server: SoundServer, path: Path) -> Iterator[None]:
    process = server.record(path)
    time.sleep(0.4)  # until it records
    try:
        yield
    finally:
        time.sleep(0.3)  # what is still on its way
        process.terminate()
        process.wait(5)


async def hear(source: Source, seconds: float) -> Samples:
    got = list[Samples]()
    async with aclosing(source.blocks()) as blocks:  # type: ignore[type-var]
        async for block in blocks:
            assert block.shape == (BLOCK,)
            assert block.dtype == np.float32
            got.append(block)
            if len(got) * BLOCK >= seconds * RATE:
                break
    return np.concatenate(got)


class Player:
    """A pull that plays one sound from its first call on, then silence."""

    def __init__(self, sound: Samples) -> None:
        self.sound, self.at, self.began = sound, 0, 0.0

    def __call__(self, n: int) -> Samples:
        self.began = self.began or time.perf_counter()
        piece = self.sound[self.at : self.at + n]
        self.at += n
        return np.concatenate((piece, silence(n - piece.size)))


def threads_and_files() -> tuple[int, int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def test_the_microphone_hears_what_is_said_in_real_time(
    cards: ModuleType, sound_server: SoundServer, tmp_path: Path
) -> None:
    said = noise(1.0, 48_000)
    write_wav(tmp_path / "said.wav", [said], 48_000)

    async def listen() -> tuple[Samples, float, int]:
        async with opened(cards.Microphone()) as mic:
            sound_server.say(tmp_path / "said.wav")
            began = time.perf_counter()
            heard = await hear(mic, 2.0)
            return heard, time.perf_counter() - began, mic.overruns

    heard, took, overruns = asyncio.run(listen())
    assert find(resample(said, 48_000, RATE), heard).likeness > 0.95
    assert took == pytest.approx(2.0, abs=0.1)
    assert overruns == 0


def test_the_speaker_plays_what_is_pulled(cards: ModuleType, sound_server: SoundServer, tmp_path: Path) -> None:
    sound = noise(1.0, 24_000)

    async def play() -> Sink:
        sink: Sink = cards.Speaker()
        await sink.open(Player(sound))
        assert sink.own_clock
        assert sink.rate == 24_000
        assert 0.0 < sink.delay < 0.2
        await asyncio.sleep(1.5)
        sink.advance()
        await sink.close()
        return sink

    with recorded(sound_server, tmp_path / "played.wav"):
        sink = asyncio.run(play())
    played, rate = read_wav(tmp_path / "played.wav")
    assert find(sound, resample(played, rate, 24_000)).likeness > 0.95
    assert sink.underruns == 0


def test_a_closed_speaker_is_silent_at_once(cards: ModuleType, sound_server: SoundServer, tmp_path: Path) -> None:
    async def play() -> float:
        sink = cards.Speaker()
        await sink.open(Player(noise(3.0, 24_000)))
        await asyncio.sleep(1.0)
        began = time.perf_counter()
        await sink.close()
        return time.perf_counter() - began

    with recorded(sound_server, tmp_path / "played.wav"):
        took = asyncio.run(play())
        time.sleep(0.5)
    played, rate = read_wav(tmp_path / "played.wav")
    loud = np.flatnonzero(np.abs(played) > 0.01)
    assert took < 0.5
    assert (loud[-1] - loud[0]) / rate == pytest.approx(1.0, abs=0.25)


def test_the_echo_of_the_speaker_comes_back_within_a_fifth_of_a_second(
    cards: ModuleType, sound_server: SoundServer
) -> None:
    sound = noise(0.5, 24_000)

    async def both() -> float:
        async with opened(cards.Microphone()) as mic:
            blocks, got, times = mic.blocks(), list[Samples](), list[float]()
            player, sink = Player(sound), cards.Speaker()
            await anext(blocks)
            await sink.open(player)
            async for block in blocks:
                got.append(block)
                times.append(time.perf_counter())
                if len(got) == 60:
                    break
            await blocks.aclose()
            await sink.close()
            found = find(resample(sound, 24_000, RATE), np.concatenate(got))
            assert found.likeness > 0.8
            # The block with the first sample of the sound was in our hands at that time.
            return times[found.at // BLOCK] - player.began

    with sound_server.echo(100):
        round_trip = asyncio.run(both())
    print(f"{cards.__name__}: round trip {round_trip * 1000:.0f} ms")
    assert 0.0 < round_trip < 0.2


def test_devices_are_found_by_a_part_of_their_name(
    cards: ModuleType, sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCARA_AUDIO", "portaudio" if cards.__name__.endswith("portaudio") else "miniaudio")
    mic_name, speaker_name = NAMES[cards.__name__.rpartition(".")[2]]
    found = listing.list_devices()
    assert {(mic_name, "input"), (speaker_name, "output")} <= {(info.name, info.kind) for info in found}
    assert sum(info.is_default for info in found) == 2

    async def use() -> None:
        part = mic_name.upper()
        mic, sink = listing.microphone(part), listing.speaker(speaker_name)
        assert mic.name == part
        async with opened(mic):
            assert (await hear(mic, 0.1)).size == 5 * BLOCK
        await sink.open(silence)
        await asyncio.sleep(0.1)
        await sink.close()
        assert sink.underruns == 0
        with pytest.raises(NoDevice) as raised:
            await listing.microphone(mic_name + "e").open()
        assert raised.value.hint == f"did you mean {mic_name!r}?"

    asyncio.run(use())


def test_nothing_is_left_after_closing(cards: ModuleType, sound_server: SoundServer) -> None:
    async def once() -> None:
        mic, sink = cards.Microphone(), cards.Speaker()
        await mic.open()
        await sink.open(silence)
        with pytest.raises(DeviceError, match="already open"):
            await mic.open()
        with pytest.raises(DeviceError, match="already open"):
            await sink.open(silence)
        for device in (mic, sink, mic, sink):
            await device.close()
        assert sink.delay == 0.0
        await mic.open()  # a second time
        await mic.close()

    asyncio.run(once())
    before = threads_and_files()
    for _ in range(3):
        asyncio.run(once())
    deadline = time.monotonic() + 2
    while threads_and_files() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threads_and_files() == before


def test_what_nobody_takes_is_lost_and_counted(cards: ModuleType, sound_server: SoundServer) -> None:
    mic = cards.Microphone(buffer=0.2)

    async def listen() -> None:
        await mic.open()
        await asyncio.sleep(0.5)
        blocks = mic.blocks()  # what was heard before anybody listened is no loss
        await anext(blocks)
        assert mic.overruns == 0
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is blocked on purpose
        await asyncio.sleep(0.05)
        await anext(blocks)
        await blocks.aclose()
        await mic.close()

    asyncio.run(listen())
    assert 15 <= mic.overruns <= 30


def test_a_pull_that_fails_is_played_as_silence_and_counted(cards: ModuleType, sound_server: SoundServer) -> None:
    def pull(n: int) -> Samples:
        asked.append(n)
        if len(asked) % 2:
            raise ValueError("no sound")
        return silence(n // 2)

    asked = list[int]()

    async def play() -> int:
        sink = cards.Speaker()
        await sink.open(pull)
        await asyncio.sleep(0.3)
        await sink.close()
        assert isinstance(sink.fault, ValueError)
        return int(sink.underruns)

    assert asyncio.run(play()) >= len(asked) > 5


def test_a_blocked_event_loop_is_no_lost_microphone(cards: ModuleType, sound_server: SoundServer) -> None:
    async def listen() -> int:
        async with opened(cards.Microphone()) as mic:
            blocks = mic.blocks()
            await anext(blocks)
            time.sleep(1.5)  # noqa: ASYNC251 - the loop is blocked on purpose
            got = 0
            async for _ in blocks:
                got += 1
                if got == 100:
                    break
            await blocks.aclose()  # type: ignore[attr-defined]
            return got + mic.overruns * 1000

    assert asyncio.run(listen()) == 100


def test_a_microphone_that_goes_away_ends(cards: ModuleType) -> None:
    async def listen(server: SoundServer) -> float:
        mic = cards.Microphone()
        await mic.open()
        blocks = mic.blocks()
        await anext(blocks)
        server.kill()
        began = time.perf_counter()
        async with asyncio.timeout(10):
            async for _ in blocks:
                pass
        took = time.perf_counter() - began
        await mic.close()
        return took

    with SoundServer() as server, server.in_environment():
        assert asyncio.run(listen(server)) < 3.0


def test_a_microphone_says_when_it_was_not_opened(cards: ModuleType) -> None:
    with pytest.raises(DeviceError, match="before it was opened"):
        asyncio.run(hear(cards.Microphone(), 0.1))


@pytest.mark.parametrize("library", ["miniaudio", "portaudio"])
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a sound server")
@pytest.mark.skipif(any(Path("/dev/snd").glob("pcm*")), reason="this computer has a sound card")
def test_without_a_sound_server_one_sentence_says_so(library: str, tmp_path: Path) -> None:
    program = """
import asyncio
from locara.devices import listing
from locara.errors import NoDevice
for device in (listing.microphone(), listing.speaker()):
    try:
        asyncio.run(device.open(*([] if hasattr(device, "blocks") else [lambda n: None])))
    except NoDevice as error:
        print(error.explain())
    else:
        raise SystemExit("it opened")
"""
    # No server at this address, as in a container.
    nowhere = {"PULSE_SERVER": f"unix:{tmp_path}/none", "ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | nowhere | {"LOCARA_AUDIO": library, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n  -> ") == 2
    assert done.stderr == ""
