"""How often is it asked back where nobody spoke to us, and where somebody did? Real Silero and pocketsphinx.

    python benchmarks/asking_back.py --audio DIR [--categories noise,backchannel,ami]
    python benchmarks/asking_back.py --scenes DIR [--families noise_idle,noise_headset,backchannel_headset]

``--audio``: a folder with ``index.json`` and recordings (FLAC: needs soundfile); of each at most ``--seconds`` are played,
after a second of a quiet room and before four, at each of ``--gains``. ``--scenes``: a folder with ``truth.json`` and the
WAV files it names as ``mic``; the assistant is not in them where it is played on headphones. Every session is new, so each
may ask once. Every call of an engine is charged 20 ms of virtual time.

  answered  sessions in which words were found and answered
  wordless  sessions in which a sound without (credible) words was rejected
  asked     sessions in which it was asked back
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import RATE, Samples, gain, samples_in
from locara.devices.wav import read_wav
from locara.engines import registry
from locara.testing import Conversation, ScriptedModel, play

CHARGE = 0.02
ROOM_DBFS = -70.0
SORRY = "Sorry, I didn't catch that."
WORDLESS = {"no-words", "no-speech", "hallucination"}


@dataclass(frozen=True)
class Heard:
    """Of one recording."""

    seconds: float
    answered: bool
    wordless: bool
    asked: bool


def heard(user: Samples) -> Heard:
    """Plays one recording to a session of its own."""
    stt: Any = registry.create("stt", "pocketsphinx", {})
    vad: Any = registry.create("vad", "silero", {})
    talk = Conversation([], more=user.size / RATE, settings={"not_understood": SORRY})
    result = play(talk, stt=stt, vad=vad, user=user, llm=ScriptedModel(["Yes."]), charge=CHARGE)
    return Heard(
        user.size / RATE,
        bool(result.of("final-transcript")),
        any(one.reason in WORDLESS for one in result.of("rejected")),
        SORRY in result.texts("llm-token"),
    )


def recordings(
    folder: Path, categories: list[str], most: float, gains: list[float]
) -> Iterator[tuple[str, str, Samples]]:
    """(category, name, sound)."""
    import soundfile

    noise = np.random.default_rng(1)
    for clip in json.loads((folder / "index.json").read_text())["clips"]:
        if clip["category"] not in categories:
            continue
        sound, rate = soundfile.read(folder / clip["file"], dtype="float32", always_2d=True)
        assert rate == RATE, f"{clip['file']} has {rate} Hz, not {RATE}"
        mono = sound[: samples_in(most), 0]
        for level in gains:
            room = (gain(ROOM_DBFS) * noise.standard_normal(mono.size + 5 * RATE)).astype(np.float32)
            room[RATE : RATE + mono.size] += gain(level) * mono
            yield clip["category"], f"{clip['file']} {level:+g} dB", np.clip(room, -1.0, 1.0)


def scenes(folder: Path, families: list[str]) -> Iterator[tuple[str, str, Samples]]:
    """(family, name, sound)."""
    for told in json.loads((folder / "truth.json").read_text())["scenarios"]:
        if told["family"] in families:
            yield told["family"], told["mic"], read_wav(folder / told["mic"])[0]


def main() -> int:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--categories", default="noise,backchannel", help="of the recordings, comma-separated")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each recording")
    parser.add_argument("--gains", default="0", help="dB, comma-separated: each recording is played at each")
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--families", default="noise_idle", help="of the scenes, comma-separated")
    asked = parser.parse_args()
    if asked.audio is None and asked.scenes is None:
        print("nothing to do: give --audio or --scenes", file=sys.stderr)
        return 2
    found: dict[str, list[Heard]] = {}
    for folder, file in ((asked.audio, "index.json"), (asked.scenes, "truth.json")):
        if folder is None:
            continue
        if not (folder / file).is_file():
            print(f"{folder / file} is missing: see --help", file=sys.stderr)
            return 2
        gains = [float(one) for one in asked.gains.split(",")]
        every = (
            recordings(folder, asked.categories.split(","), asked.seconds, gains)
            if file == "index.json"
            else scenes(folder, asked.families.split(","))
        )
        for kind, name, sound in every:
            one = heard(sound)
            found.setdefault(kind, []).append(one)
            if one.asked:
                print(f"asked back: {name}", file=sys.stderr)
    print("| sound | sessions | minutes | answered | wordless | asked back |")
    print("|---|---|---|---|---|---|")
    for kind, runs in found.items():
        sums = [sum(getattr(one, name) for one in runs) for name in ("answered", "wordless", "asked")]
        minutes = sum(one.seconds for one in runs) / 60
        print(f"| {kind} | {len(runs)} | {minutes:.1f} | {' | '.join(map(str, sums))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
