"""A microphone heard outside a conversation: opened when the first block is asked for, closed when nobody asks any more.

What may live here: the way of such blocks through the ear.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from locara.audio import Samples
from locara.consent import apps
from locara.consent.access import Access
from locara.devices.contracts import Source
from locara.engines.contracts import EngineInfo
from locara.gate.dead import DeadMicrophone
from locara.gate.ear import Ear
from locara.gate.opening import Grant, allowed, open_source


class _Nothing:
    """No detector: whoever listens here has one of its own."""

    info = EngineInfo("none", "none", "Apache-2.0")
    window = 512

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    def probability(self, window: Samples) -> float:
        return 0.0

    def reset(self) -> None: ...


async def listening(source: Source, grant: Grant | None = None) -> AsyncGenerator[tuple[Samples, bool]]:
    """Blocks of 20 ms at 16 kHz, each with True when it has just turned out that the microphone is dead: it gives nothing
    but digital zeros. Closing it closes the microphone. Raises ``CapabilityDenied`` and ``DeviceError``."""
    grant = grant or Access(apps.this_app())
    ear = Ear(_Nothing(), allowed=allowed(source, grant))
    dead = DeadMicrophone()
    try:
        await open_source(source, grant)
        async with aclosing(cast(Any, source.blocks())) as blocks:
            async for block in blocks:
                heard, _ = ear.hear(block)
                yield heard, dead.judge(heard.size, dead=ear.dead and not ear.muted) is True
    finally:
        await source.close()
        grant.closed()
