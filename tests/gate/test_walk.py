"""No way to a device but through the gate: every call site of the sources and of the examples, and what is seeded."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from .walking import DOOR, REVIEWED, opens_in_the_door, ways_around

ROOT = Path(__file__).parents[2]


def test_nothing_in_the_sources_goes_around_the_gate() -> None:
    assert [str(one) for one in ways_around(ROOT / "src")] == []


def test_nor_do_the_examples() -> None:
    assert [str(one) for one in ways_around(ROOT / "examples")] == []


def test_the_door_opens_a_source_and_a_sink_and_looks_at_what_leaves() -> None:
    calls = opens_in_the_door((ROOT / "src" / DOOR).read_text(encoding="utf-8"))
    assert calls == ["sink.open(Last(pull, allowed(sink, grant, switch)))", "source.open()"]


def test_whoever_hears_or_plays_uses_the_door() -> None:
    users = {"open_source": set[str](), "open_sink": set[str]()}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in users:
                users[node.func.id].add(path.relative_to(ROOT / "src" / "locara").as_posix())
    assert users == {
        "open_source": {"voice/conversation.py", "gate/listening.py"},
        "open_sink": {"voice/conversation.py", "speech/speaking.py"},
    }


def test_what_was_reviewed_is_still_there() -> None:
    for file, text in REVIEWED:
        source = (ROOT / "src" / file).read_text(encoding="utf-8")
        assert text in ast.unparse(ast.parse(source)), f"{file} has no {text} any more"


def test_the_swift_programs_make_sound_as_buffers_only() -> None:
    words = ("AVAudioEngine", "AVAudioPlayer", "AudioQueue", "NSSound", "AVCapture", "AudioUnit", "synthesizer.speak(")
    for path in (ROOT / "src" / "locara" / "engines" / "swift").glob("*.swift"):
        assert [word for word in words if word in path.read_text(encoding="utf-8")] == [], path.name


SEEDS = {
    "a sink": "async def play(sink, pull):\n    await sink.open(pull)",
    "a source": "async def hear(source):\n    await source.open()",
    "not awaited": "import asyncio\ndef play(sink, pull):\n    return asyncio.create_task(sink.open(pull))",
    "not even called": "def play(sink):\n    return sink.open",
    "a mode for show": "async def play(sink):\n    await sink.open(pull := print)",
    "getattr": "async def play(sink, pull):\n    await getattr(sink, 'open')(pull)",
    "again": "async def play(sink):\n    await sink.reopen(stand_in=True)",
    "a speaker": "from locara.devices.soundcard import Speaker\nSpeaker()",
    "a speaker's module": "import locara.devices.portaudio as p\np.Speaker()",
    "from devices": "from locara.devices import soundcard\nsoundcard.Speaker()",
    "relatively": "from ..devices import soundcard",
    "listing": "from locara.devices import listing\nlisting.speaker('x')",
    "listing renamed": "from locara.devices import listing as l\nl.microphone('x')",
    "out of listing": "from locara.devices.listing import microphone as m\nm()",
    "all of listing": "from locara.devices.listing import *",
    "sounddevice": "import sounddevice as sd\nsd.play([0.0])",
    "miniaudio inside": "def f():\n    from miniaudio import PlaybackDevice",
    "by its name": "import importlib\nimportlib.import_module('sounddevice')",
    "aplay": "import subprocess\nsubprocess.run(['aplay', 'x.wav'])",
    "renamed": "from subprocess import Popen as P\nP(['paplay', 'x.wav'])",
    "a shell": "import os\nos.system('afplay x.wav')",
    "asyncio": "import asyncio\nasyncio.create_subprocess_exec('ffplay', 'x.wav')",
    "startfile": "import os\nos.startfile('x.wav')",
    "winsound": "import winsound\nwinsound.Beep(440, 100)",
    "a library": "import ctypes\nctypes.CDLL('libasound.so.2')",
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_way_around_is_found(seed: str, tmp_path: Path) -> None:
    file = tmp_path / "locara" / "speech" / "around.py"
    file.parent.mkdir(parents=True)
    file.write_text(SEEDS[seed], encoding="utf-8")
    assert ways_around(tmp_path), "nobody noticed"


@pytest.mark.parametrize(
    "code",
    [
        "from pathlib import Path\nPath('x').open('rb')",
        "import os, tarfile\nos.open('x', 0)\ntarfile.open('x')",
        "open('x', 'w')",
        "from locara import voice\nvoice.session(input='none')",
        "from locara.gate import opening\nopening.speaker('x')",
        "import asyncio\nasyncio.run(main())",
    ],
)
def test_what_is_no_way_to_a_device_is_none(code: str, tmp_path: Path) -> None:
    file = tmp_path / "locara" / "fine.py"
    file.parent.mkdir()
    file.write_text(code, encoding="utf-8")
    assert [str(one) for one in ways_around(tmp_path)] == []


def test_a_way_that_someone_adds_to_the_sources_is_found_where_it_is(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "locara", tmp_path / "locara", ignore=shutil.ignore_patterns("__pycache__"))
    saying = tmp_path / "locara" / "speech" / "speaking.py"
    source = saying.read_text(encoding="utf-8")
    assert "await open_sink(sink, pull, grant)" in source
    saying.write_text(source.replace("await open_sink(sink, pull, grant)", "await sink.open(pull)"), encoding="utf-8")
    (found,) = ways_around(tmp_path)
    assert (found.file, found.what) == ("locara/speech/speaking.py", "opens: sink.open")
