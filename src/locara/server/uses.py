"""Live sound that goes through REST and Wyoming: the switch for all sound holds for it, and the log knows of it.

What may live here: these two, for doors that have no session (a session asks its gate). A file that is uploaded is no live
sound: it was recorded before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from locara import __version__
from locara.consent.access import ByToken
from locara.engines.contracts import EngineInfo
from locara.errors import SoundMuted
from locara.gate.switch import default_switch
from locara.manifest.values import Capability, Manifest

REST = Manifest("local.rest", "A client of the REST API", __version__)
WYOMING = Manifest("local.wyoming", "A client of the Wyoming services", __version__)

LOOK = Callable[[], None]
"""Raises ``SoundMuted`` from the moment on in which `locara mute` was said."""


@contextmanager
def used(app: Manifest, capability: Capability, models: dict[str, EngineInfo]) -> Iterator[LOOK]:
    """Inside, ``app``'s client speaks or hears. What is given is to be called for every piece of sound. Raises
    ``SoundMuted``."""
    switch = default_switch()

    def look() -> None:
        if switch.muted:
            raise SoundMuted(
                "all sound of Locara is switched off for this user (`locara mute`)",
                hint="`locara unmute` allows it again",
            )

    look()
    access = ByToken(app)
    access.demand_now(capability)
    access.opened(capability, "remote")
    access.started({stage: {"model": info.model, "engine": info.engine} for stage, info in models.items()})
    reason = "failed"
    try:
        yield look
        reason = "finished"
    except SoundMuted:
        reason = "muted"
        raise
    finally:
        access.closed(reason)
