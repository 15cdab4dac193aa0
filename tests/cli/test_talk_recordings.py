"""``locara talk`` with recordings of real people. They are not part of the package: ``LOCARA_SHARED`` names their folder
(with ``audio/index.json``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .talking import events_in, finals, locara_run, of_type

pytestmark = pytest.mark.timeout(90)

CATEGORIES = {"read": 3, "commands": 3}
"""How many of each are taken, the first ones of the index."""


def clips() -> list[dict[str, Any]]:
    folder = os.environ.get("LOCARA_SHARED")
    if not folder or not (Path(folder) / "audio" / "index.json").exists():
        return []
    index = json.loads((Path(folder) / "audio" / "index.json").read_text(encoding="utf-8"))["clips"]
    short = [clip for clip in index if clip["duration_s"] < 12.0]
    return [clip for name, n in CATEGORIES.items() for clip in [c for c in short if c["category"] == name][:n]]


@pytest.mark.skipif(not clips(), reason="LOCARA_SHARED names no folder with audio/index.json")
@pytest.mark.parametrize("clip", clips(), ids=lambda clip: clip["file"])
def test_a_recording_of_a_person_is_understood_somehow_and_answered(tmp_path: Path, clip: dict[str, Any]) -> None:
    source, wav = Path(os.environ["LOCARA_SHARED"]) / "audio" / clip["file"], tmp_path / "in.wav"
    converters = {
        "sox": ["sox", str(source), str(wav)],
        "flac": ["flac", "-s", "-d", "-o", str(wav), str(source)],
        "ffmpeg": ["ffmpeg", "-loglevel", "error", "-i", str(source), "-c:a", "pcm_s16le", str(wav)],
    }
    command = next((one for name, one in converters.items() if shutil.which(name)), None)
    if command is None:
        pytest.skip("the recordings are FLAC: needs sox, flac or ffmpeg")
    subprocess.run(command, check=True, timeout=30)
    done = locara_run(
        tmp_path, "talk", "--input", "in.wav", "--output", "out.wav", "--events", "e.jsonl", "--pace", "simulated"
    )
    assert (done.code, done.err) == (0, "")
    events = events_in(tmp_path / "e.jsonl")
    assert len(finals(events)) >= 1, [(event["type"], event.get("reason")) for event in events]
    assert not of_type(events, "error")
