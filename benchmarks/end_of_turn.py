"""How often a person is cut off in a pause, and how long a person waits for the end of turn to be found.

    python benchmarks/end_of_turn.py --scenes DIR [--families turn_eot,dictation] [--turn-detection prosody] [--folds DIR]
        [--smart-turn FILE]

DIR holds conversations with exact labels: ``truth.json`` with ``scenarios``, each with ``mic`` (a 16 kHz WAV file),
``family`` and ``turns`` of ``start``, ``end`` and ``pauses`` in seconds. Each is heard by a real session (real voice
activity, recogniser and end-of-turn model, charged in virtual time what they took) that is told to never end a turn, so
that every pause is seen with its evidence. The decisions are then the product's own (`endings.silence_needed`), at each
patience and at others between and beyond them, beside plain timers on the same voice activity.

A pause counts from 0.2 s on; it is cut when the turn is ended inside it. Latency is the time from the true end to the
decision; a turn that is never ended counts as the rest of the recording. These are the definitions of eot-bench.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from locara import voice
from locara.audio import RATE, Samples, from_pcm16
from locara.engines.silero import Silero
from locara.testing import ScriptedModel, ScriptedVoice, clock
from locara.testing.room import Room
from locara.voice import endings, evidence, moves, turns
from locara.voice.endings import Patience
from locara.voice.state import State, User

ENDLESS = Patience(even=60.0, least=60.0, last=60.0)
SHORTEST_PAUSE = 0.2
STEPS = tuple(round(0.1 * 1.12**n, 4) for n in range(34))
"""Multiples of a patience, or seconds of a timer: from a tenth to four."""


@dataclass(frozen=True)
class Pause:
    """A pause as the session saw it. Times in seconds; ``resumed`` and ``words_at`` None: never."""

    end: float
    seen: float
    resumed: float | None = None
    words_at: float | None = None
    text: str = ""
    judged_at: float | None = None
    finished: float | None = None
    voiced: float = 0.0
    breaks: int = 0
    confidence: float | None = None


@dataclass(frozen=True)
class Turn:
    """A true turn of a user: its end, its pauses, and when the next begins or the recording ends."""

    start: float
    end: float
    pauses: tuple[tuple[float, float], ...]
    horizon: float


@dataclass(frozen=True)
class Scene:
    """One conversation, and what was seen in it."""

    family: str
    turns: tuple[Turn, ...]
    pauses: tuple[Pause, ...]
    unvoiced: tuple[tuple[float, float], ...]
    """Stretches without voice by voice activity alone: (known from, until known again)."""


Decide = Callable[[Scene], list[float]]
"""The moments at which a policy ends a turn."""


# --- hearing ----------------------------------------------------------------------------------------------------------


class Watch:
    """Takes note of every pause from what the turn machine is told and does."""

    def __init__(self) -> None:
        self.pauses: dict[tuple[int, int], Pause] = {}
        self._receive = turns.receive

    def receive(self, state: State, happened: moves.Happened) -> tuple[State, tuple[moves.Effect, ...]]:
        """`turns.receive`, looked over the shoulder."""
        after, effects = self._receive(state, happened)
        now = after.now / RATE
        for effect in effects:
            if isinstance(effect, moves.Judge) and after.turn is not None:
                end, voiced = after.turn.speech_end / RATE, after.turn.voiced / RATE
                self.pauses[effect.turn, effect.revision] = Pause(end, now, voiced=voiced, breaks=after.turn.breaks)
        if isinstance(happened, moves.Understood) and happened.settled:
            self._note(
                happened.turn, happened.revision, words_at=now, text=happened.text, confidence=happened.confidence
            )
        if isinstance(happened, moves.Judged):
            self._note(happened.turn, happened.revision, judged_at=now, finished=happened.finished)
        if state.user is User.PAUSING and after.user is User.TALKING and state.turn is not None:
            self._note(state.turn.id, state.turn.revision, resumed=now)
        return after, effects

    def _note(self, turn: int, revision: int, **what: Any) -> None:
        if (turn, revision) in self.pauses:
            self.pauses[turn, revision] = replace(self.pauses[turn, revision], **what)


def unheard(told: dict[str, Any], folds: Path | None, smart_turn: Path | None = None) -> dict[str, str] | None:
    """The prosody detector with weights that have not heard the clips of this scene; with ``smart_turn``, that model's file,
    both. None for the product's own, which may have heard them. Scenes of clips of several folds get any weights: their
    clips are phrases and digits."""
    asked = {"model": "prosody"} if smart_turn is None else {"model": "smart-turn", "path": str(smart_turn)}
    if folds is None:
        return None if smart_turn is None else asked
    fold_of = json.loads((folds / "folds.json").read_text("utf-8"))
    found = {fold_of[clip] for turn in told["turns"] for clip in turn["clips"] if clip in fold_of}
    return asked | {"weights": str(folds / f"fold-{found.pop() if len(found) == 1 else 0}.npz")}


async def _listen(sound: Samples, turn_detection: str | dict[str, str] | None) -> None:
    room = Room(sound)
    session = voice.session(
        llm=ScriptedModel(["I see."]),
        tts=ScriptedVoice(),
        turn_detection=turn_detection,
        input=room.microphone,
        output=room.speaker,
        patience="patient",
    )
    async with session:
        await asyncio.sleep(sound.size / RATE)


def watch(sound: Samples, turn_detection: str | dict[str, str] | None) -> tuple[Pause, ...]:
    """Every pause that a session sees in ``sound``."""
    seen = Watch()
    with mock.patch.object(turns, "receive", seen.receive), mock.patch.dict(endings.PATIENCE, patient=ENDLESS):
        # A machine that others use at the same time must not make an engine look slower than 50 ms a call.
        clock.run(_listen(sound, turn_detection), charge=lambda seconds: min(seconds, 0.05))
    return tuple(seen.pauses.values())


def unvoiced(sound: Samples, vad: Silero) -> tuple[tuple[float, float], ...]:
    """Stretches without voice (Silero, 0.5): from where it is known that it ended until it is known to be back."""
    vad.reset()
    stretches: list[tuple[float, float]] = []
    voiced, since = False, 0.0
    for at in range(0, sound.size - vad.window + 1, vad.window):
        now = (at + vad.window) / RATE
        loud = vad.probability(sound[at : at + vad.window]) >= evidence.VOICE_ON
        if voiced and not loud:
            since = now
        elif loud and not voiced and since:
            stretches.append((since, now))
            since = 0.0
        voiced = loud
    return (*stretches, (since, sound.size / RATE)) if since else tuple(stretches)


def read(path: Path) -> Samples:
    """A 16 kHz, 16-bit, mono WAV file."""
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            sys.exit(f"{path}: this benchmark reads 16 kHz, 16-bit, mono WAV files")
        return from_pcm16(file.readframes(file.getnframes()))


# --- deciding ---------------------------------------------------------------------------------------------------------


def timer(seconds: float) -> Decide:
    """The baseline: so much silence by voice activity."""
    return lambda scene: [known + seconds for known, until in scene.unvoiced if known + seconds < until]


def ours(patience: Patience) -> Decide:
    """The product's own decision, made as the evidence comes in."""
    return lambda scene: [at for one in scene.pauses if (at := _decided(one, patience)) is not None]


def _decided(pause: Pause, patience: Patience) -> float | None:
    known: list[tuple[float, str | None, float | None]] = [(pause.seen, None, None)]
    text: str | None = None
    finished: float | None = None
    for at, what in sorted(
        [(pause.words_at, "words"), (pause.judged_at, "judged")], key=lambda one: one[0] if one[0] is not None else 1e9
    ):
        if at is not None:
            text, finished = (pause.text, finished) if what == "words" else (text, pause.finished)
            known.append((at, text, finished))
    for (at, text, finished), (until, _, _) in zip(
        known, [*known[1:], (pause.resumed or 1e9, None, None)], strict=True
    ):
        if text is not None and not evidence.words_of(text):
            continue
        needed = endings.silence_needed(
            text, patience, finished, voiced=pause.voiced, confidence=pause.confidence, breaks=pause.breaks
        )
        due = max(at, pause.end + needed)
        if due < min(until, pause.resumed or 1e9):
            return due
    return None


def times(patience: Patience, factor: float) -> Patience:
    """The same patience, longer or shorter."""
    return Patience(*(factor * seconds for seconds in (getattr(patience, name) for name in Patience.__slots__)))


# --- scoring ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """Of one policy over some scenes. ``cut``: share of pauses. Latencies in seconds; ``missed``: turns."""

    cut: float
    mean: float
    median: float
    p90: float
    missed: int


def score(scenes: Sequence[Scene], decide: Decide) -> Score:
    """See the file's docstring for the definitions."""
    pauses = cut = missed = 0
    latencies: list[float] = []
    for scene in scenes:
        decided = decide(scene)
        for turn in scene.turns:
            counted = [one for one in turn.pauses if one[1] - one[0] >= SHORTEST_PAUSE]
            pauses += len(counted)
            cut += sum(any(a <= at < b + 0.02 for at in decided) for a, b in counted)
            late = [at for at in decided if turn.end - 0.05 <= at < turn.horizon]
            missed += not late
            latencies.append(max(0.0, late[0] - turn.end) if late else turn.horizon - turn.end)
    latencies.sort()
    p90 = latencies[int(0.9 * (len(latencies) - 1))]
    return Score(cut / max(1, pauses), statistics.mean(latencies), statistics.median(latencies), p90, missed)


def points(scenes: Sequence[Scene], policies: Sequence[Decide]) -> dict[str, float]:
    """The operating points of eot-bench: the least share of cuts at a mean latency of at most 300 and 600 ms, the least
    mean latency at no more than 5 and 10 % cuts."""
    scores = [score(scenes, one) for one in policies]
    found: dict[str, float] = {}
    for seconds in (0.3, 0.6):
        found[f"cut @{1000 * seconds:.0f} ms"] = min((s.cut for s in scores if s.mean <= seconds + 0.005), default=1.0)
    for share in (0.05, 0.1):
        found[f"latency @{share:.0%}"] = min((s.mean for s in scores if s.cut <= share), default=float("inf"))
    return found


# --- the tables -------------------------------------------------------------------------------------------------------


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder with truth.json")
    parser.add_argument("--families", default="turn_eot,dictation", help="comma-separated families of scenes")
    parser.add_argument("--turn-detection", default="", help="end-of-turn model; default: the product's")
    parser.add_argument("--folds", type=Path, help="cross-validated prosody: see train_prosody.py --folds")
    parser.add_argument("--smart-turn", type=Path, help="its ONNX file: smart-turn, blended with prosody, is asked")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many scenes of each family")
    asked = parser.parse_args()
    truth = asked.scenes / "truth.json"
    if not truth.exists():
        sys.exit(f"{truth} is missing: see `python benchmarks/end_of_turn.py --help`")
    vad = Silero()
    asyncio.run(vad.load())
    for family in asked.families.split(","):
        told = [one for one in json.loads(truth.read_text())["scenarios"] if one["family"] == family and one["turns"]]
        scenes = [
            _scene(one, asked.scenes, asked.turn_detection or unheard(one, asked.folds, asked.smart_turn), vad)
            for one in told[: asked.most]
        ]
        if scenes:
            _print(family, scenes)


def _scene(told: dict[str, Any], folder: Path, turn_detection: str | dict[str, str] | None, vad: Silero) -> Scene:
    sound = read(folder / told["mic"])
    starts = [one["start"] for one in told["turns"][1:]]
    true = tuple(
        Turn(one["start"], one["end"], tuple((a, b) for a, b in one["pauses"]), until)
        for one, until in zip(told["turns"], [*starts, told["duration"]], strict=True)
    )
    return Scene(told["family"], true, watch(sound, turn_detection), unvoiced(sound, vad))


def _print(family: str, scenes: Sequence[Scene]) -> None:
    counted = sum(b - a >= SHORTEST_PAUSE for scene in scenes for turn in scene.turns for a, b in turn.pauses)
    print(f"\n{family}: {len(scenes)} scenes, {counted} pauses of {SHORTEST_PAUSE} s or more\n")
    print("| policy | cut | mean ms | median | p90 | missed |\n|---|---|---|---|---|---|")
    rows: list[tuple[str, Decide]] = [(f"timer {seconds:g} s", timer(seconds)) for seconds in (0.2, 0.3, 0.5, 0.8, 1.6)]
    rows += [(f"ours, {name}", ours(patience)) for name, patience in endings.PATIENCE.items()]
    for name, policy in rows:
        s = score(scenes, policy)
        milliseconds = " | ".join(f"{1000 * one:.0f}" for one in (s.mean, s.median, s.p90))
        print(f"| {name} | {s.cut:.1%} | {milliseconds} | {s.missed} |")
    plain = points(scenes, [timer(seconds) for seconds in STEPS])
    normal = endings.PATIENCE["normal"]
    best = points(scenes, [ours(times(normal, factor)) for factor in STEPS])
    print("\n| | timer | ours (normal, scaled) | share |\n|---|---|---|---|")
    for name, value in plain.items():
        shown = (f"{one:.1%}" if name.startswith("cut") else f"{1000 * one:.0f} ms" for one in (value, best[name]))
        print(f"| {name} | {' | '.join(shown)} | {best[name] / value if value else 1.0:.2f} |")


if __name__ == "__main__":
    main()
