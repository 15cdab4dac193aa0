"""A model that could not even be made here (no engine, no files, no such accelerator), where a pipeline may stand in.

What may live here: this one engine. Loading it says why; nothing else is ever asked of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NoReturn

from locara.audio import RATE, Samples
from locara.engines.backend import BackendCapabilities, BackendEvent, BackendSettings, Signal
from locara.engines.contracts import EngineInfo
from locara.errors import StageError


class NotHad:
    """See `locara.engines.backend.VoiceBackend`. ``why``: what making it raised."""

    def __init__(self, model: str, why: StageError) -> None:
        self.info = EngineInfo("none", model, "")
        self.capabilities = BackendCapabilities("half", "locara", RATE, RATE)
        self._why = why

    async def load(self) -> None:
        """Raises why it cannot be had."""
        self._no()

    async def close(self) -> None:
        """There is nothing to close."""

    async def start_session(self, settings: BackendSettings) -> str:
        """Raises why it cannot be had."""
        del settings
        self._no()

    async def push_audio(self, session: str, samples: Samples) -> None:
        """Raises why it cannot be had."""
        del session, samples
        self._no()

    async def signal(self, session: str, signal: Signal) -> bool:
        """Raises why it cannot be had."""
        del session, signal
        self._no()

    def event_stream(self, session: str) -> AsyncIterator[BackendEvent]:
        """Raises why it cannot be had."""
        del session
        self._no()

    async def stop_session(self, session: str) -> None:
        """There is none."""

    def _no(self) -> NoReturn:
        raise self._why


def model_named(stage: Any) -> str:
    """The name under which ``stage``, as given to ``voice.session``, was asked for."""
    return str(stage.get("model", "") if hasattr(stage, "get") else stage)
