"""What the tests of devices share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .sound_server import SoundServer, missing


@pytest.fixture(scope="session")
def _sound_server() -> Iterator[SoundServer]:
    if reason := missing():
        pytest.skip(reason)
    with SoundServer() as server:
        yield server


@pytest.fixture
def sound_server(_sound_server: SoundServer) -> Iterator[SoundServer]:
    """A private sound server, which this process talks to during the test."""
    with _sound_server.in_environment():
        yield _sound_server
