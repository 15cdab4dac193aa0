"""A program that speaks Piper's protocol, for tests: ``--model``, ``--output-dir``, a line in, a WAV file out.

Each line becomes a tone of 10 ms a letter. Words that make it misbehave: ``crash``, ``slow``, ``silent`` (no file comes),
``broken`` (a file that is no WAV), ``noisy`` (it says much on stderr). ``FAKE_PIPER_OLD`` makes it tell the names on stdout,
as the older Piper does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import wave
from pathlib import Path

import numpy as np


def main() -> None:
    """Serves until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--speaker", type=int, default=0)
    parser.add_argument("--length-scale", type=float, default=1.0)
    chosen = parser.parse_args()
    if "unloadable" in chosen.model:
        sys.exit("ValueError: the voice cannot be loaded")
    for number, line in enumerate(sys.stdin):
        text = line.strip()
        path = Path(chosen.output_dir) / f"{number}.wav"
        if "crash" in text:
            print("it crashes now", file=sys.stderr, flush=True)
            os._exit(3)
        if "slow" in text:
            time.sleep(1.0)
        if "noisy" in text:
            print("x" * 200_000, file=sys.stderr, flush=True)
        if "silent" in text:
            continue
        if "broken" in text:
            path.write_bytes(b"no sound")
        else:
            count = round(len(text) * 220.5 * chosen.length_scale)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 22_050, 0, "NONE", ""))
                file.writeframes((np.ones(count) * (1000 + chosen.speaker)).astype("<i2").tobytes())
        if os.environ.get("FAKE_PIPER_OLD"):
            print(path, flush=True)
        else:
            print(f"INFO:__main__:Wrote {path}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
