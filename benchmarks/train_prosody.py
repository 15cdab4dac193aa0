"""Trains and measures the prosody detector (`locara.engines.prosody`).

    python benchmarks/train_prosody.py RECORDINGS [--scenes SCENES] [--folds DIR] [--walks 14] [--no-report] [--write]

RECORDINGS is a folder described in `prosody_clips.py`. SCENES is a folder of composed conversations with a ``truth.json``
(turns with their pauses, and the clips they are made of): the detector is then asked in them as a session would ask it.
``--write`` puts the weights, trained on everything, into the package; without it nothing is written. Needs soundfile.

All figures are of models that have heard nothing of what they are tested on:
  by clip       6 folds; all moments of a clip, or of a speaker where one is known, are in one fold; two shufflings
  by category   trained on all other kinds of clips
  recall        share of true ends above the threshold that this share of pauses exceeds
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from prosody_clips import TRAINED, Clip, Moment, Surroundings, chance, moments, read_clips

import locara.engines
from locara.audio import RATE, Samples, samples_in
from locara.engines.prosody import SECONDS
from locara.engines.prosody_contours import contours
from locara.engines.prosody_features import features, ordered
from locara.engines.prosody_weights import Weights, similarities, standard, write

EXAMPLES = 400
"""Of the kernel: with 800 recall on orders was the same within its error."""

WIDTH = 1.3
"""Of the kernel, over the number of features: 0.4 and 0.85 gave 2 to 3 points less recall at 15 % false alarms."""

RIDGE = 0.3
"""Strength of the prior towards "unsure"."""

FOLDS = 6
ALARMS = (0.05, 0.10, 0.15, 0.20)
ASKED = 0.12
"""Seconds after the end of a sound at which scenes are asked."""

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Moments as rows of features; one entry of each array to a row."""

    rows: npt.NDArray[np.float32]
    finished: Flags
    group: npt.NDArray[np.str_]
    category: npt.NDArray[np.str_]
    kind: npt.NDArray[np.str_]
    clip: npt.NDArray[np.str_]

    def where(self, keep: Flags) -> Table:
        """The rows that are kept."""
        return Table(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def table(clips: Sequence[Clip], around: Surroundings, walks: int, seed: int, *, plain: bool) -> Table:
    """Several walks through each clip; half as many through what is not a command, which is heard less."""
    found: list[tuple[npt.NDArray[np.float32], Moment]] = []
    for clip in clips:
        for walk in range(walks if clip.category == "commands" else max(1, walks // 2)):
            for moment in moments(clip, around, chance(seed, walk, clip.name), plain=plain):
                row = row_of(moment.samples)
                if row is not None:
                    found.append((row, moment))
    return Table(
        rows=np.stack([row for row, _ in found]),
        finished=np.array([moment.finished for _, moment in found]),
        group=np.array([moment.clip.group for _, moment in found]),
        category=np.array([moment.clip.category for _, moment in found]),
        kind=np.array([moment.kind for _, moment in found]),
        clip=np.array([moment.clip.name for _, moment in found]),
    )


def row_of(samples: Samples) -> npt.NDArray[np.float32] | None:
    """The features of the last seconds, None where nothing is heard."""
    heard = contours(samples[-samples_in(SECONDS) :])
    return None if heard is None else ordered(features(heard))


def names() -> tuple[str, ...]:
    """Of the features."""
    tone = np.sin(np.arange(RATE) * 0.1) * (np.arange(RATE) < RATE // 2)
    heard = contours(tone.astype(np.float32))
    assert heard is not None
    return tuple(features(heard))


def fit(data: Table, seed: int = 0) -> Weights:
    """Kernel logistic regression on the span of some of the rows, by Newton's method. Ends weigh as much as pauses."""
    mean, scale = data.rows.mean(axis=0), data.rows.std(axis=0) + 1e-6
    rows = standard(data.rows, mean, scale)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:EXAMPLES]
    examples = rows[chosen].astype(np.float16).astype(np.float32)
    width = WIDTH / rows.shape[1]
    values, vectors = np.linalg.eigh(similarities(examples, examples, width).astype(np.float64))
    keep = values > 1e-4
    root = vectors[:, keep] / np.sqrt(values[keep])
    inputs = similarities(rows, examples, width) @ root
    wanted = data.finished.astype(np.float64)
    weight = np.where(data.finished, 0.5 / data.finished.mean(), 0.5 / (1 - data.finished.mean()))
    pull = np.zeros(inputs.shape[1])
    for _ in range(20):
        said = 1 / (1 + np.exp(-inputs @ pull))
        bend = (inputs * (weight * said * (1 - said))[:, None]).T @ inputs + RIDGE * np.eye(pull.size)
        step = np.linalg.solve(bend, inputs.T @ (weight * (said - wanted)) + RIDGE * pull)
        pull -= step
        if np.abs(step).max() < 1e-3:
            break
    return Weights(names(), mean, scale, examples, width, (root @ pull).astype(np.float32), 0.0)


# --- how good it is ---------------------------------------------------------------------------------------------------


def area(said: Floats, finished: Flags) -> float:
    """Under the ROC curve: how often an end is rated over a pause."""
    ends, pauses = said[finished], said[~finished]
    return float((ends[:, None] > pauses).mean() + (ends[:, None] == pauses).mean() / 2) if ends.size else np.nan


def recall(said: Floats, finished: Flags) -> list[float]:
    """Of ends, where each share in ``ALARMS`` of the pauses is taken for one."""
    return [float((said[finished] > np.quantile(said[~finished], 1 - alarm)).mean()) for alarm in ALARMS]


def line(title: str, said: Floats, finished: Flags) -> str:
    """One row of the table."""
    if finished.all() or not finished.any():
        return f"{title:34s} {finished.sum():5d} {(~finished).sum():6d}"
    recalls = "".join(f"{100 * one:7.1f}" for one in recall(said, finished))
    means = "".join(f"{(1 / (1 + np.exp(-said[which]))).mean():7.2f}" for which in (finished, ~finished))
    return f"{title:34s} {finished.sum():5d} {(~finished).sum():6d} {area(said, finished):6.3f}{recalls}{means}"


HEAD = f"{'':34s} {'ends':>5s} {'pauses':>6s} {'AUC':>6s}" + "".join(f"{f'@{100 * one:.0f}%':>7s}" for one in ALARMS)
HEAD += "   ends pauses (mean probability)"


def folds(groups: Sequence[str], shuffle: int) -> dict[str, int]:
    """Group -> fold."""
    every = sorted(set(groups))
    return {every[k]: i % FOLDS for i, k in enumerate(np.random.default_rng(shuffle).permutation(len(every)))}


def unheard(train: Table, test: Table, shuffle: int) -> Floats:
    """Log-odds for each row of ``test`` by a model that has not heard its group."""
    fold = folds([*train.group.tolist(), *test.group.tolist()], shuffle)
    mine, theirs = (np.array([fold[one] for one in data.group.tolist()]) for data in (train, test))
    said = np.zeros(len(test.rows))
    for k in range(FOLDS):
        if (theirs == k).any():
            said[theirs == k] = fit(train.where(mine != k)).log_odds(test.rows[theirs == k])
    return said


def report(train: Table, varied: Table, plain: Table) -> None:
    """Prints the cross-validation."""
    print(HEAD)
    for title, test in (("as composed", plain), ("varied", varied)):
        said = np.mean([unheard(train, test, shuffle) for shuffle in (0, 1)], axis=0)
        print(line(f"by clip, {title}: all", said, test.finished))
        for category in TRAINED:
            here = test.category == category
            if here.any():
                print(line(f"by clip, {title}: {category}", said[here], test.finished[here]))
        own = (test.kind == "own") | test.finished
        print(line(f"by clip, {title}: own pauses only", said[own], test.finished[own]))
        print_calibration(said, test)
    for category in TRAINED:
        here, there = plain.category == category, train.category != category
        if here.any():
            said = fit(train.where(there)).log_odds(plain.rows[here]).astype(np.float64)
            print(line(f"by category: {category}", said, plain.finished[here]))


def print_calibration(said: Floats, test: Table) -> None:
    """What it says against what is, with ends and pauses equally common."""
    weight = np.where(test.finished, 0.5 / test.finished.mean(), 0.5 / (1 - test.finished.mean()))
    p = 1 / (1 + np.exp(-said))
    cells = []
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
        here = (p >= low) & (p < high)
        if here.any():
            is_so = float((weight * test.finished)[here].sum() / weight[here].sum())
            cells.append(f"{p[here].mean():.2f}->{is_so:.2f} ({here.sum()})")
    loss = float(-(weight * np.log(np.where(test.finished, p, 1 - p))).mean())
    print(f"    calibration, said -> is (moments): {'  '.join(cells)}; log loss {loss:.3f} (unsure: 0.693)")


def scenes(folder: Path, train: Table) -> None:
    """Asks in composed conversations, each time a model that has heard none of the clips in it."""
    truth = folder / "truth.json"
    if not truth.is_file():
        raise SystemExit(f"there is no {truth}: name a folder of composed scenes")
    fold = folds(train.group.tolist(), 0)
    by_fold = [fit(train.where(np.array([fold[one] != k for one in train.group.tolist()]))) for k in range(FOLDS)]
    without: dict[tuple[str, ...], Weights] = {}
    group_of = dict(zip(train.clip.tolist(), train.group.tolist(), strict=True))

    def model(clips: tuple[str, ...]) -> Weights:
        heard = {fold[group_of[clip]] for clip in clips if clip in group_of}
        if len(heard) <= 1:
            return by_fold[heard.pop() if heard else 0]
        categories = tuple(sorted({clip.split("/")[0] for clip in clips}))
        if categories not in without:
            without[categories] = fit(train.where(~np.isin(train.category, categories)))
        return without[categories]

    print("\nscenes " + HEAD[7:])
    answers: dict[str, list[tuple[float, bool]]] = {}
    took: list[float] = []
    for scene in json.loads(truth.read_text("utf-8"))["scenarios"]:
        if scene["assistant"] or len(scene["turns"]) != 1:
            continue
        samples = soundfile.read(folder / scene["mic"], dtype="float32")[0]
        (turn,) = scene["turns"]
        weights = model(tuple(turn["clips"]))
        ask = _asker(samples, float(turn["start"]), weights, took)
        said = answers.setdefault(scene["family"], [])
        said += [(ask(a), False) for a, b in turn["pauses"] if b - a >= 0.2]
        said.append((ask(float(turn["end"])), True))
    for family, pairs in sorted(answers.items()):
        print(line(family, np.array([one for one, _ in pairs]), np.array([is_so for _, is_so in pairs])))
    median, worst = np.median(took) * 1e3, np.percentile(took, 95) * 1e3
    print(f"time of a core for one answer: median {median:.1f} ms, 95th percentile {worst:.1f} ms, n = {len(took)}")


def write_folds(folder: Path, train: Table) -> None:
    """``fold-K.npz``, and ``folds.json``: clip -> the K that has not heard it. What is measured in whole sessions with
    these is measured on clips that the weights do not know (``--folds`` of the other benchmarks)."""
    folder.mkdir(parents=True, exist_ok=True)
    fold = folds(train.group.tolist(), 0)
    for k in range(FOLDS):
        with (folder / f"fold-{k}.npz").open("wb") as file:
            write(file, fit(train.where(np.array([fold[one] != k for one in train.group.tolist()]))))
    of_clip = {clip: fold[group] for clip, group in zip(train.clip.tolist(), train.group.tolist(), strict=True)}
    (folder / "folds.json").write_text(json.dumps(of_clip, indent=1), "utf-8")


def _asker(samples: Samples, start: float, weights: Weights, took: list[float]) -> Callable[[float], float]:
    def ask(end: float) -> float:
        began = time.thread_time()
        row = row_of(samples[max(0, samples_in(start - 0.3)) : samples_in(end + ASKED)])
        out = 0.0 if row is None else float(weights.log_odds(row[None, :])[0])
        took.append(time.thread_time() - began)
        return out

    return ask


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--folds", type=Path, help="write there weights that have not heard each sixth of the clips")
    parser.add_argument("--walks", type=int, default=14)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-report", action="store_true", help="leave the cross-validation out")
    args = parser.parse_args()
    clips, around = read_clips(args.recordings)
    train = table(clips, around, args.walks, 1, plain=False)
    print(f"{len(clips)} clips, {len(set(train.group.tolist()))} groups, {len(train.rows)} moments to learn from")
    if not args.no_report:
        report(train, table(clips, around, 4, 2, plain=False), table(clips, around, 4, 3, plain=True))
    if args.scenes:
        scenes(args.scenes, train)
    if args.folds:
        write_folds(args.folds, train)
    if args.write:
        to = Path(locara.engines.__file__).parent / "prosody.npz"
        with to.open("wb") as file:
            write(file, fit(train))
        print(f"{to.name}: {to.stat().st_size} bytes")


if __name__ == "__main__":
    main()
