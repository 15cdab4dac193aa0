"""What tests of several folders share: a private sound server.

It is looked up by name and not imported: the folders beside this file are packages of their own.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# Whoever runs the tests may have muted Locara, granted something, learnt a microphone's voice, pulled models, started a
# server: none of it is the tests' to see or to change. Nor is it another worker's: pytest-xdist imports this file once in
# each of its processes, so each has places of its own, and temporary files of its own, since some tests look for those
# that were left behind. Nothing is granted there; `granted` is for tests that use a device.
# pytest's own folders of kept temporary files stay where they would be. The path is short: a Unix socket's has 107 bytes.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
_OWN = Path(tempfile.mkdtemp(prefix="lt-"))
for _variable, _place in {
    "LOCARA_SWITCH": "switch/muted",
    "LOCARA_CONSENT": "consent",
    "LOCARA_CACHE": "cache",
    "LOCARA_MODELS": "models",
    "LOCARA_RUNTIME": "run",
    "TMPDIR": "t",
}.items():
    os.environ[_variable] = str(_OWN / _place)
(_OWN / "t").mkdir()
tempfile.tempdir = None  # asked again, and found in TMPDIR

# A shell that starts the tests in the background has Ctrl-C ignored, and every program they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine stands still for half a second now and then: what an example takes, or its making, says nothing there.
# The same examples each time, so that a change is judged by itself; LOCARA_EXPLORE=1 looks for new ones.
settings.register_profile(
    "locara",
    deadline=None,
    derandomize="LOCARA_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("locara")

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer


def pytest_unconfigure() -> None:
    shutil.rmtree(_OWN, ignore_errors=True)


@pytest.fixture(scope="session")
def _sound_server() -> Iterator[SoundServer]:
    module = importlib.import_module("devices.sound_server")
    if reason := module.missing():
        pytest.skip(reason)
    with module.SoundServer() as server:
        yield server


@pytest.fixture(scope="session")
def _granted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from locara.cli import main
    from locara.consent import apps
    from locara.manifest.values import CAPABILITIES

    folder = tmp_path_factory.mktemp("granted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCARA_CONSENT", str(folder))
        for app in ("dev.locara.cli", apps.this_app().id, apps.anonymous(None).id):  # the last: python -c
            for capability in CAPABILITIES:
                assert main(["grants", "allow", app, capability]) == 0
    return folder


@pytest.fixture
def granted(_granted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in which the ``locara`` command and the program of the tests may use microphone and speaker."""
    monkeypatch.setenv("LOCARA_CONSENT", str(_granted))
    return _granted


@pytest.fixture
def sound_server(_sound_server: SoundServer, granted: Path) -> Iterator[SoundServer]:
    """A private sound server, which this process talks to during the test."""
    with _sound_server.in_environment():
        yield _sound_server
