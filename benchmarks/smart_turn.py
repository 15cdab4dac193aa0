"""How well the end-of-turn model tells ends from pauses, how long an answer takes, and whether it is the reference's.

    python benchmarks/smart_turn.py SCENES MODEL [--after 0.15] [--peer-python PYTHON]

SCENES is a folder with ``truth.json`` and WAV files of real speech: scenarios with ``mic`` and ``turns``, each turn with
``start``, ``end`` and the ``pauses`` inside it, in seconds. MODEL is the ONNX file. At every end, and in every pause that
lasts that long, the model is asked once, ``--after`` seconds after the sound fell silent, about the turn so far.

*recall*: the share of true ends above the threshold at which the given share of pauses are above it too. A coin gives an
AUC of 0.5 and a recall equal to the false alarms. ``--peer-python`` names an interpreter in which pipecat-ai is installed;
its own analyzer then answers the same questions about the first 30 turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from locara.audio import RATE, Samples
from locara.devices.wav import read_wav
from locara.engines.smart_turn import SmartTurn
from locara.errors import LocaraError

BEFORE = 0.3
"""Seconds before the first sound that a session hears too (its pre-roll)."""
ALARMS = (0.05, 0.10, 0.15, 0.20)
COMPARED = 30
REFERENCE = Path(__file__).parent / "peers" / "smart_turn_reference.py"


@dataclass(frozen=True, eq=False)
class Question:
    """The sound of a turn so far, and whether it is really over."""

    samples: Samples
    over: bool


def questions(scenes: Path, family: str, after: float) -> Iterator[Question]:
    """Every pause and every end of the scenarios of ``family`` in ``scenes``."""
    truth = json.loads((scenes / "truth.json").read_text(encoding="utf-8"))
    for scenario in truth["scenarios"]:
        if scenario["family"] != family:
            continue
        sound = read(scenes / scenario["mic"])
        for turn in scenario["turns"]:
            begin = max(0.0, turn["start"] - BEFORE)
            silences = [(start, end - start, False) for start, end in turn["pauses"]] + [(turn["end"], np.inf, True)]
            for at, lasts, over in silences:
                if lasts >= after:
                    yield Question(sound[round(begin * RATE) : round((at + after) * RATE)], over)


def read(path: Path) -> Samples:
    """A WAV file at 16 kHz."""
    samples, rate = read_wav(path)
    if rate != RATE:
        raise SystemExit(f"{path} has {rate} Hz; the scenes must be at {RATE} Hz")
    return samples


async def answers(asked: list[Question], model: Path) -> tuple[list[float], list[float], float]:
    """The model's probabilities, the seconds each took, and the seconds of a core that one needed."""
    detector = SmartTurn(model)
    await detector.load()
    likely, took = [], []
    spent = time.process_time()
    try:
        for question in asked:
            began = time.perf_counter()
            likely.append(await detector.finished(question.samples))
            took.append(time.perf_counter() - began)
        spent = time.process_time() - spent
    finally:
        await detector.close()
    return likely, took, spent / len(asked)


def auc(ends: np.ndarray, pauses: np.ndarray) -> float:
    """The chance that a true end scores above a pause; ties count half (Mann-Whitney)."""
    above = (ends[:, None] > pauses[None, :]).mean()
    return float(above + 0.5 * (ends[:, None] == pauses[None, :]).mean())


def recall(ends: np.ndarray, pauses: np.ndarray, alarms: float) -> float:
    """Share of true ends above the threshold that at most ``alarms`` of the pauses pass."""
    allowed = int(alarms * pauses.size)
    threshold = np.sort(pauses)[::-1][allowed] if allowed < pauses.size else -1.0
    return float((ends > threshold).mean())


def spread(ends: np.ndarray, pauses: np.ndarray, times: int = 200) -> tuple[float, float]:
    """The 95 % interval of the AUC, by drawing ends and pauses anew (bootstrap)."""
    random = np.random.default_rng(0)
    drawn = [auc(random.choice(ends, ends.size), random.choice(pauses, pauses.size)) for _ in range(times)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def compare(asked: list[Question], likely: list[float], peer: str, model: Path) -> str:
    """The largest difference to pipecat's own analyzer, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "questions.npz"
        np.savez(place, *[one.samples for one in asked[:COMPARED]])
        done = subprocess.run(
            [peer, str(REFERENCE), str(place), str(model)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
        )
    if done.returncode:
        raise SystemExit(f"{peer} could not run the reference:\n{done.stderr[-800:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    apart = np.abs(np.array(told["probabilities"]) - np.array(likely[: len(told["probabilities"])]))
    took = sorted(1000 * one for one in told["seconds"])
    return (
        f"against {told['peer']}: {len(apart)} questions, largest difference {apart.max():.2e}; "
        f"its answer took {statistics.median(took):.0f} ms (p95 {took[int(0.95 * len(took))]:.0f})"
    )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="How well the end-of-turn model tells ends from pauses.")
    parser.add_argument("scenes", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--after", type=float, default=0.15, help="seconds of silence when it is asked (0.15)")
    parser.add_argument("--family", default="turn_eot")
    parser.add_argument("--peer-python", help="an interpreter with pipecat-ai, to compare with")
    given = parser.parse_args()
    if not (given.scenes / "truth.json").is_file():
        raise SystemExit(f"{given.scenes} has no truth.json: name a folder of scenes made with known turn ends")
    asked = list(questions(given.scenes, given.family, given.after))
    if not any(one.over for one in asked) or all(one.over for one in asked):
        raise SystemExit(f"{given.scenes} has no scenario of the family {given.family!r} with pauses")
    try:
        likely, took, core = asyncio.run(answers(asked, given.model))
    except LocaraError as error:
        raise SystemExit(error.explain()) from None
    ends = np.array([p for p, one in zip(likely, asked, strict=True) if one.over])
    pauses = np.array([p for p, one in zip(likely, asked, strict=True) if not one.over])
    low, high = spread(ends, pauses)
    print(f"{ends.size} ends, {pauses.size} pauses, asked {given.after:g} s after the sound")
    print(f"AUC {auc(ends, pauses):.3f} (95 % {low:.3f} to {high:.3f})")
    for alarms in ALARMS:
        print(f"recall at {alarms:.0%} false alarms: {recall(ends, pauses, alarms):.0%}")
    half = (ends > 0.5).mean(), (pauses > 0.5).mean()
    print(f"at 0.5: {half[0]:.0%} of the ends, {half[1]:.0%} of the pauses")
    order = sorted(1000 * one for one in took)
    print(
        f"an answer takes {statistics.median(order):.0f} ms (p95 {order[int(0.95 * len(order))]:.0f}, "
        f"{order[0]:.0f} to {order[-1]:.0f}); {1000 * core:.0f} ms of one core"
    )
    if given.peer_python:
        print(compare(asked, likely, given.peer_python, given.model))


if __name__ == "__main__":
    main()
