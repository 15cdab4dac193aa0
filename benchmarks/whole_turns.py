"""Whole turns through whole sessions: what a person hears of the decisions about the end of turn.

    python benchmarks/whole_turns.py --scenes DIR [--families turn_eot,turn_noisy,noise_idle] [--folds DIR]
        [--smart-turn FILE] [--no-asking-back]

DIR holds conversations with exact labels, as for `end_of_turn.py`. Each is heard by a real session: real voice activity,
recogniser and end-of-turn model, charged in virtual time what they took; the reply is an instant one of about a second,
or with ``--embedded`` the built-in responder's, spoken by espeak-ng. Everything is read from what was played.

  cut-ins   pauses inside a user's turn (0.2 s or more) before the end of which more than 100 ms of our voice sounded
  gap       last sample of the user's turn to the first audible sample of the reply after it
  missed    turns after which no reply sounded before the recording ended, 4 s later
  asked     turns in or after which we said that we had not understood
  false     replies a minute where nobody speaks to us
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from end_of_turn import SHORTEST_PAUSE, read, unheard

from locara import voice
from locara.audio import RATE, Samples, gain, samples_in
from locara.testing import ScriptedModel, ScriptedVoice, clock
from locara.testing.room import Room
from locara.voice import events

AUDIBLE = gain(-60.0)
AFTER_SECONDS = 4.0
"""What is said so long after a turn is said to it."""
SORRY = "Sorry, I didn't catch that."
CUT_IN_SECONDS = 0.1
"""Less of our voice inside a user's turn is hardly noticed."""


@dataclass(frozen=True)
class Heard:
    """Of one scene. Seconds."""

    pauses: int
    cut_ins: int
    gaps: tuple[float, ...]
    missed: int
    asked: int
    replies: int
    seconds: float


async def _played(
    sound: Samples, patience: Any, turn_detection: dict[str, str] | None, asked: argparse.Namespace
) -> tuple[Samples, int, tuple[float, ...]]:
    """What was played, at how many hertz, and the seconds at which it was asked back."""
    room = Room(sound)
    instant: dict[str, Any] = {"llm": ScriptedModel(["I see, thank you."], first_token=0.0, tokens_per_second=1e4)}
    instant["tts"] = ScriptedVoice(first_chunk=0.0, speed=1e3)
    session = voice.session(
        input=room.microphone,
        output=room.speaker,
        patience=patience,
        turn_detection=turn_detection,
        not_understood=None if asked.no_asking_back else SORRY,
        **({} if asked.embedded else instant),
    )
    blocks: list[Samples] = []
    sorry: list[float] = []

    async def collect() -> None:
        async for block in session.raw_output():
            blocks.append(block)

    async def listen() -> None:
        async for event in session.events():
            if isinstance(event, events.AudioChunk) and event.text and SORRY.startswith(event.text):
                sorry.append(event.t)

    collecting = [asyncio.create_task(one()) for one in (collect, listen)]
    async with session:
        await asyncio.sleep(sound.size / RATE)
    await asyncio.gather(*collecting)
    return np.concatenate(blocks), session.output_rate, tuple(sorry)


def heard(told: dict[str, Any], asked: argparse.Namespace, patience: str) -> Heard:
    """Plays one scene and reads what was played."""
    sound = read(asked.scenes / told["mic"])
    turn_detection = unheard(told, asked.folds, asked.smart_turn)
    # A machine that others use at the same time must not make an engine look slower than 50 ms a call.
    out, rate, sorry = clock.run(
        _played(sound, patience, turn_detection, asked), charge=lambda seconds: min(seconds, 0.05)
    )
    step = samples_in(0.01, rate)
    whole = out[: out.size // step * step].reshape(-1, step)
    loud = np.abs(whole).max(axis=1) > AUDIBLE
    pauses = cut_ins = missed = asked_back = 0
    gaps: list[float] = []
    for turn in told["turns"]:
        for a, b in turn["pauses"]:
            if b - a >= SHORTEST_PAUSE:
                pauses += 1
                begins, ends = round(100 * a), round(100 * min(turn["end"], b + 1.0))
                new = loud[begins:ends].sum() > 100 * CUT_IN_SECONDS and not loud[max(0, begins - 3) : begins].any()
                cut_ins += bool(new)
        after = np.flatnonzero(loud[round(100 * turn["end"]) :])
        missed += not after.size
        asked_back += any(turn["start"] < at < turn["end"] + AFTER_SECONDS for at in sorry)
        gaps += [after[0] / 100] if after.size else []
    replies = int((np.diff(loud.astype(int)) == 1).sum()) if not told["turns"] else 0
    return Heard(pauses, cut_ins, tuple(gaps), missed, asked_back, replies, sound.size / RATE)


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder with truth.json")
    parser.add_argument("--families", default="turn_eot,turn_noisy,noise_idle", help="comma-separated")
    parser.add_argument("--patience", default="quick,normal,patient", help="comma-separated")
    parser.add_argument("--embedded", action="store_true", help="the built-in responder and espeak-ng answer")
    parser.add_argument("--folds", type=Path, help="cross-validated prosody: see train_prosody.py --folds")
    parser.add_argument("--smart-turn", type=Path, help="its ONNX file: smart-turn, blended with prosody, is asked")
    parser.add_argument("--no-asking-back", action="store_true", help="say nothing where no word was understood")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many scenes of each family")
    asked = parser.parse_args()
    truth = asked.scenes / "truth.json"
    if not truth.exists():
        sys.exit(f"{truth} is missing: see `python benchmarks/whole_turns.py --help`")
    print(
        "| scenes | patience | cut-ins / pauses | gap median, ms | p90 | missed / turns | asked back | false a minute |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for family in asked.families.split(","):
        told = [one for one in json.loads(truth.read_text())["scenarios"] if one["family"] == family]
        for patience in asked.patience.split(","):
            runs = [heard(one, asked, patience) for one in told[: asked.most]]
            print(_row(family, patience, runs), flush=True)


def _row(family: str, patience: str, runs: list[Heard]) -> str:
    gaps = sorted(gap for run in runs for gap in run.gaps)
    pauses, cut_ins = sum(run.pauses for run in runs), sum(run.cut_ins for run in runs)
    share = f"{cut_ins} / {pauses} ({cut_ins / pauses:.1%})" if pauses else "-"
    median = f"{1000 * statistics.median(gaps):.0f}" if gaps else "-"
    p90 = f"{1000 * gaps[int(0.9 * (len(gaps) - 1))]:.0f}" if gaps else "-"
    missed = sum(run.missed for run in runs)
    minutes = sum(run.seconds for run in runs) / 60
    false = f"{sum(run.replies for run in runs) / minutes:.2f}" if not gaps and not missed else "-"
    asked = sum(run.asked for run in runs)
    turns = len(gaps) + missed
    return f"| {family} | {patience} | {share} | {median} | {p90} | {missed} / {turns} | {asked} | {false} |"


if __name__ == "__main__":
    main()
