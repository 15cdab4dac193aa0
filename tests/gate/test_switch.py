"""The switch for all sessions of a user: a file that every process sees, and what real sound does when it is turned."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from locara import speech
from locara.audio import RATE, silence
from locara.devices.wav import read_wav
from locara.errors import DeviceError, SoundMuted
from locara.gate.opening import Unasked, open_sink
from locara.gate.switch import Muting, Switch, default_switch, place
from locara.testing import ScriptedVoice

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer


def locara(*words: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "locara", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_it_is_off_until_it_is_turned_and_then_for_all_who_look(tmp_path: Path) -> None:
    one, other = Switch(tmp_path / "a" / "muted"), Switch(tmp_path / "a" / "muted")
    assert (one.muted, one.told()) == (False, Muting())
    one.mute()
    one.mute()
    assert other.muted
    assert other.told().process == os.getpid()
    other.unmute()
    other.unmute()
    assert not one.muted


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps others out by the folder it is in")
def test_it_is_private(tmp_path: Path) -> None:
    switch = Switch(tmp_path / "a" / "muted")
    switch.mute()
    assert stat.S_IMODE(switch.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(switch.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("text", [b"", b"x", b"[]", b'{"since": "no"}', b"[" * 5000, b"\xff\xfe", b'{"since":1e999,"process":1e999}'])  # noqa: E501  # fmt: skip
def test_whatever_is_in_the_file_it_is_muted(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "muted").write_bytes(text)
    switch = Switch(tmp_path / "muted")
    assert switch.muted
    assert switch.told() == Muting()


def test_a_switch_that_cannot_be_turned_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DeviceError) as told:
        Switch(tmp_path / "file" / "muted").mute()
    assert "LOCARA_SWITCH" in told.value.hint


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({}, "linux", "home/.local/state/locara/switch/muted"),
        ({"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/run/x"}, "linux", "/s/locara/switch/muted"),
        ({"XDG_STATE_HOME": "relative"}, "linux", "home/.local/state/locara/switch/muted"),
        ({}, "darwin", "home/Library/Application Support/locara/switch/muted"),
        ({"LOCALAPPDATA": "local"}, "win32", "local/locara/switch/muted"),
        ({"LOCARA_SWITCH": "/own"}, "linux", "/own"),
    ],
)
def test_where_it_lies(variables: dict[str, str], platform: str, expected: str) -> None:
    assert place(variables, platform, Path("home")).as_posix() == expected


def test_the_commands_turn_it() -> None:
    try:
        assert locara("mute").stdout.startswith("Muted since ")
        assert default_switch().muted
        assert json.loads(locara("mute", "--status", "--json").stdout)["muted"] is True
    finally:
        done = locara("unmute")
    assert done.stdout == "Not muted.\n"
    assert json.loads(locara("mute", "--status", "--json").stdout) == {
        "muted": False, "since": None, "switch": str(default_switch().path),
    }  # fmt: skip


class Pulling:
    """A device with a clock of its own, without its thread: it pulls when the test says so."""

    name, rate, own_clock, delay, underruns = "pulling", RATE, True, 0.0, 0

    async def open(self, pull: object) -> None:
        self.pull = pull

    def advance(self, blocks: int = 1) -> None: ...

    async def close(self) -> None: ...


def test_the_last_line_holds_for_whatever_pulls() -> None:
    # Even a pull that is no mouth: nothing above the ceiling, and nothing at all from the second block on.
    sink, switch = Pulling(), default_switch()
    wild = np.tile(np.array([5.0, -np.inf, np.nan, 1.0], np.float32), 80)
    asyncio.run(open_sink(sink, lambda n: wild[:n], Unasked()))
    pull: object = sink.pull
    assert callable(pull)
    assert np.abs(pull(320)).max() < 0.9
    try:
        switch.mute()
        pull(320)
        assert np.array_equal(pull(320), silence(320))
    finally:
        switch.unmute()
    assert np.abs(pull(320)).max() > 0.8


def test_saying_while_it_is_muted_is_an_error_with_the_way_out(sound_server: SoundServer) -> None:
    pytest.importorskip("miniaudio")
    default_switch().mute()
    try:
        with pytest.raises(SoundMuted) as told:
            asyncio.run(speech.say("One two three four.", tts=ScriptedVoice()))
    finally:
        default_switch().unmute()
    assert "locara unmute" in told.value.hint


def test_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    default_switch().mute()
    try:
        assert asyncio.run(speech.say("One two.", tts=ScriptedVoice(), output=tmp_path / "out.wav")) > 0.3
    finally:
        default_switch().unmute()
    assert np.abs(read_wav(tmp_path / "out.wav")[0]).max() > 0.1


_TALKER = """
import asyncio, sys
from locara import voice
from locara.testing import EnergyDetector, ScriptedModel, ScriptedRecogniser, ScriptedVoice
async def main():
    session = voice.session(vad=EnergyDetector(), stt=ScriptedRecogniser([]), llm=ScriptedModel(["Yes."]),
                            turn_detection="silence", tts=ScriptedVoice(), input="none", output="default")
    events = session.events()
    async with session:
        session.say("one two three four five six seven eight nine ten " * 12)
        print("going", flush=True)
        async for event in events:
            if event.type == "device-changed":
                print(event.kind, event.change, flush=True)
            if event.type == "turn-end":
                print("end", event.reason, session.metrics()["output_allowed"], flush=True)
asyncio.run(main())
"""


@pytest.mark.timeout(90)
def test_two_programs_that_speak_fall_silent_when_a_third_one_mutes(sound_server: SoundServer, tmp_path: Path) -> None:
    pytest.importorskip("miniaudio")
    talkers = [
        subprocess.Popen([sys.executable, "-c", _TALKER], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    try:
        for one in talkers:
            assert one.stdout is not None
            assert one.stdout.readline() == "going\n"
        time.sleep(2.0)
        recorder = sound_server.record(tmp_path / "heard.wav")
        time.sleep(1.5)
        assert locara("mute").returncode == 0
        told = [[one.stdout.readline().strip() for _ in range(2)] for one in talkers if one.stdout is not None]
        time.sleep(2.0)
        recorder.terminate()
        recorder.wait(5)
    finally:
        default_switch().unmute()
        for one in talkers:
            one.kill()
            one.communicate(timeout=10)
    assert told == [["output muted", "end cancelled 0.0"]] * 2
    sound, rate = read_wav(tmp_path / "heard.wav")
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    assert loud.size, "nothing was heard before"
    assert sound.size - loud[-1] > 1.5 * rate, "it went on"
    assert loud[-1] - loud[0] > 0.5 * rate
