"""Coming back to a session at a realtime server whose connection was lost.

What may live here: this way, with its attempts and deadlines. Whether a server keeps its sessions is in its dialect.
"""

from __future__ import annotations

import asyncio

from locara.engines.omni import realtime_connection as connection
from locara.engines.omni import realtime_say as say
from locara.engines.omni.realtime_connection import Gone, Link
from locara.engines.omni.realtime_settings import Settings
from locara.engines.omni.realtime_shapes import decoded
from locara.engines.omni.realtime_state import State
from locara.errors import LocaraError

PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt."""


async def resumed(settings: Settings, state: State) -> tuple[Link, list[str]] | None:
    """A new connection to the same session, and what came by it so far; None: the session is lost."""
    for pause in PAUSES:
        await asyncio.sleep(pause)
        try:
            link = await connection.connect(settings)
        except LocaraError:
            continue
        came: list[str] = []
        try:
            async with asyncio.timeout(settings.deadline):
                kind = await _answered(link, state, came)
        except (Gone, TimeoutError):
            await link.close()
            continue
        except BaseException:
            await link.close()
            raise
        if kind == "resumed":
            return link, came
        await link.close()
        return None
    return None


async def _answered(link: Link, state: State, came: list[str]) -> str:
    """Asks for the session; what the answer means. Raises `Gone`."""
    await link.send(say.resuming(state))
    kind = ""
    while kind not in ("resumed", "resync", "error"):
        came.append(await link.receive())
        message = decoded(came[-1]) or {}
        kind = str(state.dialect.events.get(str(message.get("type")), ""))
    return kind
