"""What tests of several folders share: a private sound server.

It is looked up by name and not imported: the folders beside this file are packages of their own.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Whoever runs the tests may have muted Locara: that switch is not theirs to see, and they must not turn it.
os.environ["LOCARA_SWITCH"] = str(Path(tempfile.gettempdir(), f"locara-tests-{os.getpid()}", "muted"))

# A shared machine stands still for half a second now and then: what an example takes says nothing there.
settings.register_profile("locara", deadline=None)
settings.load_profile("locara")

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer


@pytest.fixture(scope="session")
def _sound_server() -> Iterator[SoundServer]:
    module = importlib.import_module("devices.sound_server")
    if reason := module.missing():
        pytest.skip(reason)
    with module.SoundServer() as server:
        yield server


@pytest.fixture
def sound_server(_sound_server: SoundServer) -> Iterator[SoundServer]:
    """A private sound server, which this process talks to during the test."""
    with _sound_server.in_environment():
        yield _sound_server
