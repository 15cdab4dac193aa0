"""Microphone and speaker against a real sound server, through miniaudio and through PortAudio."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from locara.audio import BLOCK, RATE, Samples, resample, silence
from locara.devices import listing
from locara.devices.contracts import Sink, Source
from locara.devices.wav import read_wav, write_wav
from locara.errors import DeviceError, NoDevice

from .signals import find, noise, share_found
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
    tasks, files = (len(list(Path("/proc/self", what).iterdir())) for what in ("task", "fd"))
    return threading.active_count(), tasks, files


def more_than(before: tuple[int, int, int]) -> bool:
    return any(now > then for now, then in zip(threads_and_files(), before, strict=True))


def within_five_tries(attempt: Callable[[], str]) -> str:
    """What ``attempt`` complains about; empty as soon as one try goes well. On a busy computer even a sound server has
    gaps, which are not what these tests look for."""
    complaint = ""
    for _ in range(5):
        if not (complaint := attempt()):
            break
    return complaint


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

    def attempt() -> str:
        heard, took, overruns = asyncio.run(listen())
        share = share_found(resample(said, 48_000, RATE), heard, RATE)
        well = share > 0.9 and abs(took - 2.0) < 0.1 and overruns == 0
        return "" if well else f"{share:.0%} heard, 2 s took {took:.2f} s, {overruns} overruns"

    assert within_five_tries(attempt) == ""


def test_the_speaker_plays_what_is_pulled(cards: ModuleType, sound_server: SoundServer, tmp_path: Path) -> None:
    sound = noise(1.0, 24_000)

    async def play() -> int:
        sink: Sink = cards.Speaker()
        await sink.open(Player(sound))
        assert sink.own_clock
        assert sink.rate == 24_000
        assert 0.0 < sink.delay < 0.2
        await asyncio.sleep(1.5)
        sink.advance()
        await sink.close()
        return sink.underruns

    def attempt() -> str:
        with recorded(sound_server, tmp_path / "played.wav"):
            underruns = asyncio.run(play())
        played, rate = read_wav(tmp_path / "played.wav")
        share = share_found(sound, resample(played, rate, 24_000), 24_000)
        return "" if share > 0.9 and underruns == 0 else f"{share:.0%} played, {underruns} underruns"

    assert within_five_tries(attempt) == ""


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
    assert (loud[-1] - loud[0]) / rate == pytest.approx(1.0, abs=0.3)


def test_the_echo_of_the_speaker_comes_back_within_a_fifth_of_a_second(
    cards: ModuleType, sound_server: SoundServer
) -> None:
    sound = noise(0.5, 24_000)

    async def both() -> tuple[float, float]:
        async with opened(cards.Microphone()) as mic:
            blocks: Any = mic.blocks()
            got, times = list[Samples](), list[float]()
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
            # The block with the first sample of the sound was in our hands at that time.
            return found.likeness, times[found.at // BLOCK] - player.began

    def attempt() -> str:
        likeness, took = asyncio.run(both())
        return "" if likeness > 0.8 and 0.0 < took < 0.2 else f"likeness {likeness:.2f} after {took:.3f} s"

    with sound_server.echo(100):
        assert within_five_tries(attempt) == ""


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
        with pytest.raises(NoDevice) as raised:
            await listing.microphone(mic_name + "e").open()
        assert raised.value.hint == f"did you mean {mic_name!r}?"

    asyncio.run(use())


def test_a_device_that_is_plugged_in_later_is_found(
    cards: ModuleType, sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        async with opened(cards.Microphone()):
            assert "later" not in {info.name for info in listing.list_devices()}

    alsa = cards.__name__.endswith("portaudio")
    monkeypatch.setenv("LOCARA_AUDIO", "portaudio" if alsa else "miniaudio")
    asyncio.run(use())
    configuration = sound_server.folder / "asound.conf"
    before = configuration.read_text()
    module = sound_server.control("load-module", "module-null-sink", "sink_properties=device.description=later")
    configuration.write_text(before + "pcm.later { type pulse device mic }\n")
    try:
        assert "later" in {info.name for info in listing.list_devices()}
    finally:
        sound_server.control("unload-module", module)
        configuration.write_text(before)


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
    # Each count may need a moment to come down, and fall below where it was when we began to count.
    deadline = time.monotonic() + 3
    while more_than(before) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not more_than(before)


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


def test_a_process_that_stood_still_has_not_lost_its_microphone(cards: ModuleType, sound_server: SoundServer) -> None:
    async def listen() -> int:
        async with opened(cards.Microphone()) as mic:
            blocks: Any = mic.blocks()
            await anext(blocks)
            # Holds the interpreter's lock: neither the loop nor the audio thread runs for 1.5 s.
            ctypes.PyDLL(None).usleep(1_500_000)
            got = 0
            async for _ in blocks:
                got += 1
                if got == 100:
                    break
            await blocks.aclose()
            return got

    assert asyncio.run(listen()) == 100


def test_a_microphone_that_goes_away_ends(cards: ModuleType) -> None:
    async def listen(server: SoundServer) -> float:
        mic = cards.Microphone()
        await mic.open()
        blocks = mic.blocks()
        await anext(blocks)
        server.kill()
        began = time.perf_counter()
        async with asyncio.timeout(20):
            async for _ in blocks:
                pass
        took = time.perf_counter() - began
        await mic.close()
        return took

    with SoundServer() as server, server.in_environment():
        assert asyncio.run(listen(server)) < 5.0


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
assert listing.list_devices() == []
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
