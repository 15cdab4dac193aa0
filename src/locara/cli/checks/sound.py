"""Facts about the sound devices: what is listed, what the microphone gives, how the speaker comes back.

What may live here: opening devices for a moment, each with a deadline, and closing them. What it means says `judging`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import numpy as np

from locara.audio import RATE, Resampler, Samples, dbfs, silence
from locara.cli import consenting
from locara.cli.checks import judging, loopback
from locara.cli.checks.verdict import Verdict
from locara.cli.threads import in_thread
from locara.consent.access import Access
from locara.devices.contracts import DeviceInfo, Sink, Source
from locara.errors import LocaraError
from locara.gate import opening
from locara.gate.mouth import Mouth

OPEN_SECONDS = 8.0
"""For opening a device: a Bluetooth headset that wakes up takes four."""
LISTEN_SECONDS = 1.0
SETTLE_SECONDS = 0.3
"""After opening: the first blocks of many microphones are zeros or a click."""
AFTER_SECONDS = 1.0
"""The tone's echo is waited for so long after its end."""


async def listed() -> tuple[list[Verdict], list[DeviceInfo]]:
    """The verdicts on the lists, and the devices."""
    from locara.devices import listing

    try:
        found = await in_thread(listing.list_devices, "locara-devices")
    except LocaraError as error:
        return judging.devices(None, error.message, error.hint), []
    hint = "plug one in and look at the sound settings; in a container, share the socket of PulseAudio or PipeWire"
    return judging.devices(found, "", hint), found


async def microphone(source: Source) -> Verdict:
    """A second of listening."""
    try:
        async with _opened(source):
            heard = await _hear(source, LISTEN_SECONDS)
            lost = source.overruns
    except (LocaraError, TimeoutError) as error:
        return _failed("microphone", error)
    peak = dbfs_peak(heard[round(SETTLE_SECONDS * RATE) :])
    return judging.microphone(peak, heard.size, lost, sys.platform)


async def loop(source: Source, sink: Sink) -> Verdict:
    """The test tone through the air."""
    player = _Player()
    try:
        async with _opened(source, sink) as grant:
            async with asyncio.timeout(OPEN_SECONDS):
                await opening.open_sink(sink, player.pull, grant)
            try:
                player.load(sink.rate)
                await _hear(source, SETTLE_SECONDS)
                heard = [silence(0)]
                player.start()
                async with asyncio.timeout(OPEN_SECONDS), contextlib.aclosing(source.blocks()) as blocks:  # type: ignore[type-var]
                    async for block in blocks:
                        if not sink.own_clock:
                            sink.advance()
                        heard.append(block)
                        if sum(one.size for one in heard) >= (loopback.SWEEP_SECONDS + AFTER_SECONDS) * RATE:
                            break
                rate = sink.rate
            finally:
                await sink.close()
    except (LocaraError, TimeoutError) as error:
        return _failed("echo", error)
    return judging.loop(loopback.found(np.concatenate(heard), RATE, 0.0), rate)


def dbfs_peak(samples: Samples) -> float | None:
    """The loudest sample in dBFS; None where all are digital zeros."""
    if not samples.size or not samples.any():
        return None
    return dbfs(samples[np.argmax(np.abs(samples))].reshape(1))


class _Player:
    """Plays the tone once, when it is told to, through the gate like every sound. ``pull``: on the output's own thread."""

    def __init__(self) -> None:
        self._mouth: Mouth | None = None
        self._tone = silence(0)

    def load(self, rate: int) -> None:
        """The tone at the output's rate, made of the one that is looked for."""
        self._tone = Resampler(RATE, rate).push(loopback.sweep(RATE), last=True)
        self._mouth = Mouth(rate)

    def start(self) -> None:
        """From the next pull on."""
        if self._mouth is not None:
            self._mouth.play(0, self._tone)

    def pull(self, n: int) -> Samples:
        """The next ``n`` samples."""
        return silence(n) if self._mouth is None else self._mouth.render(n)


@contextlib.asynccontextmanager
async def _opened(source: Source, *others: Sink) -> AsyncIterator[Access]:
    """With the leave for it and for ``others``, which may be asked for and has no deadline of a device."""
    grant = consenting.access()
    devices: tuple[Source | Sink, ...] = (source, *others)
    for device in devices:
        for capability in opening.needed(device):
            await grant.demand(capability)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            await opening.open_source(source, grant)
        yield grant
    finally:
        await source.close()
        grant.closed()


async def _hear(source: Source, seconds: float) -> Samples:
    heard = [silence(0)]
    size = 0
    async with asyncio.timeout(OPEN_SECONDS), contextlib.aclosing(source.blocks()) as blocks:  # type: ignore[type-var]
        async for block in blocks:
            heard.append(block)
            size += block.size
            if size >= seconds * RATE:
                break
    return np.concatenate(heard)


def _failed(check: str, error: Exception) -> Verdict:
    if isinstance(error, LocaraError):
        return Verdict(check, "fail", error.message, error.hint)
    return Verdict(
        check,
        "fail",
        f"no answer within {OPEN_SECONDS:g} s",
        "plug it in again, or choose another: locara devices",
    )
