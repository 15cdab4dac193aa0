"""What the user says in the comparison, spoken by Locara's embedded voice: run in Locara's environment.

    python benchmarks/peers/make_speech.py FOLDER

Writes ``speech.json`` and WAV files at 16 kHz, cut to the first and the last audible sample. Recordings of people can
take their place: a folder with the same ``speech.json`` (a list of ``name``, ``file``, ``words`` and ``ends``, the seconds
at which each word ends). Names: ``question...``, ``stop`` and ``noise`` (no words).
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np

from locara.audio import RATE, Samples, resample
from locara.devices.wav import write_wav
from locara.engines.espeak import create

LINES = {
    "question1": "What time does the early train leave?",
    "question2": "How far is it from here to the coast?",
    "question3": "Can you tell me where the boat stops?",
    "question4": "When is the next train to the harbour?",
    "question5": "Which platform do I have to go to?",
    "question6": "Is there a window seat on the morning train?",
    "stop": "Wait, I want something else.",
    "noise": "uhhhh mmmm",
}
NOISE_SECONDS = 0.7
"""The wordless noise is cut to this: longer than LiveKit's 0.5 s until it pauses."""
FLOOR = 0.01
"""Share of the peak below which a sample is silence."""
PEAK = 0.5


async def say(text: str) -> tuple[Samples, list[float]]:
    """The sound at 16 kHz and the seconds at which its words end."""
    voice = create("espeak-ng", {})
    assert voice is not None
    await voice.load()
    try:
        pieces = [piece async for piece in voice.speak(text)]
    finally:
        await voice.close()
    sound = resample(np.concatenate([piece.samples for piece in pieces]), voice.rate, RATE)
    begins = [mark.at / voice.rate for piece in pieces for mark in piece.words]
    loud = np.flatnonzero(np.abs(sound) > FLOOR * np.abs(sound).max())
    first, last = loud[0], loud[-1] + 1
    ends = [*begins[1:], last / RATE]
    cut = sound[first:last] * (PEAK / np.abs(sound).max())
    return cut, [round(min(end, last / RATE) - first / RATE, 3) for end in ends]


async def main(folder: Path) -> None:
    """Writes all lines."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, text in LINES.items():
        sound, ends = await say(text)
        words = text.rstrip("?.").replace(",", "").lower().split()
        if name == "noise":
            sound, words, ends = np.resize(sound, round(NOISE_SECONDS * RATE)), [], []
        if len(words) != len(ends):
            ends = [round((number + 1) / len(words) * sound.size / RATE, 3) for number in range(len(words))]
        write_wav(folder / f"{name}.wav", [sound.astype(np.float32)], RATE)
        listed.append({"name": name, "file": f"{name}.wav", "words": words, "ends": ends})
    (folder / "speech.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    asyncio.run(main(Path(sys.argv[1])))
