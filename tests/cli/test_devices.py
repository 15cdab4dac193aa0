"""``locara devices``, in a process of its own, with a real sound server and without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer


def listed(*arguments: str, extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locara", "devices", *arguments]
    return subprocess.run(command, env={**os.environ, **extra}, capture_output=True, text=True, timeout=30, check=False)


def test_microphones_and_speakers_are_listed_with_the_default_marked(sound_server: SoundServer) -> None:
    done = listed(extra=sound_server.variables)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("output *")]
    assert "VirtualMic" in done.stdout


def test_the_same_as_json(sound_server: SoundServer) -> None:
    found = json.loads(listed("--json", extra=sound_server.variables).stdout)
    assert {"name", "kind", "is_default", "backend"} == set(found[0])
    assert {one["kind"] for one in found} == {"input", "output"}


def test_without_a_sound_server_it_says_so_and_shows_no_traceback() -> None:
    done = listed(extra={"PULSE_SERVER": "unix:/nowhere/at/all", "ALSA_CONFIG_PATH": "/nowhere"})
    assert "Traceback" not in done.stderr
    assert (done.returncode, "no microphone" in done.stdout) == (0, True) or (done.returncode == 1 and done.stderr)


def test_watching_tells_what_is_plugged_in_and_taken_away_in_a_line(sound_server: SoundServer) -> None:
    command = [sys.executable, "-m", "locara", "devices", "--watch"]
    with subprocess.Popen(
        command, env={**os.environ, **sound_server.variables}, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        while not run.stdout.readline().startswith("* is the default"):
            assert run.poll() is None
        module = sound_server.control(
            "load-module", "module-null-sink", "sink_name=headset", "sink_properties=device.description=Headset"
        )
        told = [run.stdout.readline()]
        while not told[-1].startswith("output"):
            told.append(run.stdout.readline())
        sound_server.control("unload-module", module)
        gone = run.stdout.readline()
        while not gone.startswith("output"):
            gone = run.stdout.readline()
        run.send_signal(signal.SIGINT)
        assert run.wait(10) == 130
    assert told[-1] == "output Headset was plugged in\n"
    assert gone == "output Headset is gone\n"
