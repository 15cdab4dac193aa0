"""The wake word on recordings: noticed, missed, noticed where nobody said it, how late, and at what cost.

    python benchmarks/wake_word.py --word alexa --said FOLDER --others FOLDER [FOLDER ...] --commands FOLDER [--noise FILE]

``--said``: recordings of the word, one each. ``--others``: recordings in which nobody says it, of any length; a file whose
name begins with the word is left out. ``--commands``: speech that is put right behind the word, to see what of it a
recogniser would get. ``--noise``: a recording that is mixed under the word, 10 dB below it.

The baseline in the same run is the keyphrase search of pocketsphinx, which needs no extra. Needs soundfile, and the extra
``wake``. Where a word ends is taken from its energy: the last 10 ms that are within 28 dB of the loudest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from locara.audio import BLOCK, RATE, Samples, pcm16, resample, seconds
from locara.engines import registry
from locara.engines.contracts import Detector, WakeWord
from locara.gate.ear import Ear
from locara.gate.waking import Waking
from locara.voice import events, moves
from locara.voice.state import Rules, State
from locara.voice.turns import receive

AROUND = 1.5
"""Seconds of faint noise before and after each word, as a microphone gives it."""
SNR_DB = 10.0
GAPS = (0.0, 0.1, 0.3)
"""Seconds between the word and what is said in the same breath."""
COMMANDS = 60
KEYPHRASE_THRESHOLD = 1e-20
"""Of the baseline: its documentation's own starting point for a phrase of three syllables."""

Spot = Callable[[Samples], list[float]]
"""A recording -> the seconds at which the word was noticed."""


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--word", default="alexa")
    parser.add_argument("--said", type=Path, nargs="+", required=True)
    parser.add_argument("--others", type=Path, nargs="+", required=True)
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--noise", type=Path)
    asked = parser.parse_args()
    said = recordings(asked.said, only=asked.word)
    others = recordings(asked.others, without=asked.word)
    if not said or not others:
        sys.exit(f"no recordings in {asked.said if not said else asked.others}: name folders with .flac or .wav files")
    noise = read(asked.noise) if asked.noise else None
    hours = sum(sound.size for sound in others) / RATE / 3600
    print(f"{len(said)} times {asked.word!r}; {hours * 60:.0f} minutes without it in {len(others)} recordings\n")
    print("| engine | noticed | at 10 dB SNR | false, an hour | after the word, ms | CPU, % of a core |")
    print("|---|---|---|---|---|---|")
    with spotting(asked.word) as spotters:
        for name, spot in spotters.items():
            print(row(name, spot, said, others, noise))
    if asked.commands:
        print(f"\n{in_one_breath(asked.word, said, recordings([asked.commands]))}")


# --- recordings -------------------------------------------------------------------------------------------------------


def recordings(folders: Iterable[Path], *, only: str = "", without: str = "") -> list[Samples]:
    """Every readable recording; in a folder of several words, those whose names begin with the right one."""
    found = []
    for folder in folders:
        files = sorted(one for one in folder.rglob("*") if one.suffix in (".flac", ".wav"))
        named = [one for one in files if one.name.startswith(only.replace(" ", "_"))] if only else files
        for path in named or files:
            if without and path.name.startswith(without.replace(" ", "_")):
                continue
            with contextlib.suppress(RuntimeError):  # a damaged file
                found.append(read(path))
    return found


def read(path: Path) -> Samples:
    """One channel at 16 kHz."""
    try:
        import soundfile
    except ImportError:
        sys.exit("this benchmark reads its recordings with soundfile: pip install soundfile")
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample(np.ascontiguousarray(sound[:, 0]), rate, RATE)


def extent(sound: Samples) -> tuple[int, int]:
    """Where what is said begins and ends, in samples."""
    step = RATE // 100
    levels = np.array([np.sqrt(np.mean(sound[at : at + step] ** 2)) for at in range(0, sound.size - step, step)])
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-28 / 20))
    return int(loud[0]) * step, int(loud[-1] + 1) * step


def faint(n: float, seed: int = 7) -> Samples:
    """Seconds of the noise of a quiet room, -80 dBFS."""
    return (np.random.default_rng(seed).standard_normal(round(n * RATE)) * 1e-4).astype(np.float32)


def under(sound: Samples, noise: Samples) -> Samples:
    """The noise under the sound, at ``SNR_DB``."""
    piece = np.resize(noise, sound.size)
    power = float(np.mean(sound[slice(*extent(sound))] ** 2))
    scale = np.sqrt(power / (float(np.mean(piece**2)) + 1e-12) / 10 ** (SNR_DB / 10))
    mixed: Samples = (sound + scale * piece).astype(np.float32)
    return mixed


# --- engines ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def spotting(word: str):  # type: ignore[no-untyped-def]
    """Engine name -> `Spot`."""
    engine = loaded(word)

    def wake(sound: Samples) -> list[float]:
        waking = Waking(engine)
        waking.hear(faint(0.5))
        found = []
        for at in range(0, sound.size - BLOCK + 1, BLOCK):
            if waking.hear(sound[at : at + BLOCK]) is not None:
                found.append(seconds(at + BLOCK))
        return found

    try:
        yield {"micro-wake-word": wake, "pocketsphinx keyphrase (baseline)": keyphrase(word)}
    finally:
        asyncio.run(engine.close())


def loaded(word: str) -> WakeWord:
    """The engine, ready."""
    engine = registry.create("wake", word, {})
    asyncio.run(engine.load())
    assert hasattr(engine, "threshold")
    return engine  # type: ignore[return-value]


def keyphrase(word: str) -> Spot:
    """Pocketsphinx, looking for this phrase only."""
    import pocketsphinx

    decoder = pocketsphinx.Decoder(keyphrase=word, kws_threshold=KEYPHRASE_THRESHOLD, loglevel="FATAL", lm=None)

    def spot(sound: Samples) -> list[float]:
        found = []
        decoder.start_utt()
        for at in range(0, sound.size, BLOCK):
            decoder.process_raw(pcm16(sound[at : at + BLOCK]), False, False)
            if decoder.hyp() is not None:
                found.append(seconds(at + BLOCK))
                decoder.end_utt()
                decoder.start_utt()
        decoder.end_utt()
        return found

    return spot


# --- figures ----------------------------------------------------------------------------------------------------------


def row(name: str, spot: Spot, said: Sequence[Samples], others: Sequence[Samples], noise: Samples | None) -> str:
    """One line of the table."""
    around = faint(AROUND)
    noticed, late, noisy = 0, [], 0
    for sound in said:
        times = spot(np.concatenate([around, sound, around]))
        noticed += bool(times)
        if times:
            late.append(1000 * (times[0] - AROUND - extent(sound)[1] / RATE))
        if noise is not None:
            noisy += bool(spot(under(np.concatenate([around, sound, around]), noise)))
    heard, began = 0.0, time.process_time()
    false = 0
    for sound in others:
        false += len(spot(sound))
        heard += sound.size / RATE
    cpu = 100 * (time.process_time() - began) / heard
    n = len(said)
    under_noise = f"{noisy}/{n} ({100 * noisy / n:.1f} %)" if noise is not None else "-"
    spread = f"{statistics.median(late):.0f} ({percentile(late, 5):.0f} to {percentile(late, 95):.0f})" if late else "-"
    return (
        f"| {name} | {noticed}/{n} ({100 * noticed / n:.1f} %) | {under_noise} | "
        f"{false / heard * 3600:.1f} ({false}) | {spread} | {cpu:.2f} |"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Of a list, in its own unit."""
    return float(np.percentile(values, share))


def in_one_breath(word: str, said: Sequence[Samples], commands: Sequence[Samples]) -> str:
    """What a recogniser gets of speech right behind the word, with the real voice activity and the real decisions."""
    vad = registry.create("vad", "silero", {})
    asyncio.run(vad.load())
    engine = loaded(word)
    clean = [(sound, *extent(sound)) for sound in said]
    # A word whose recording goes on (a breath, a chair) says nothing about where it ended.
    clean = [(sound, begin, end) for sound, begin, end in clean if end - begin < 0.9 * RATE][:COMMANDS]
    lines = [
        "| gap, ms | turns opened | word left in front, ms | speech cut off, ms | cut off by more than 50 ms |",
        "|---|---|---|---|---|",
    ]
    for gap in GAPS:
        left, cut = [], []
        for number, (sound, begin, end) in enumerate(clean):
            command = commands[number % len(commands)]
            command = command[extent(command)[0] :][: 2 * RATE]
            scene = np.concatenate([faint(AROUND), sound[begin:end], faint(gap), command, faint(AROUND)])
            starts = listens(vad, engine, scene)  # type: ignore[arg-type]
            if starts:
                word_end = round(AROUND * RATE) + end - begin
                left.append(max(0.0, 1000 * (word_end - starts[0]) / RATE))
                cut.append(max(0.0, 1000 * (starts[0] - word_end - round(gap * RATE)) / RATE))
        many = sum(one > 50 for one in cut)
        lines.append(
            f"| {1000 * gap:.0f} | {len(cut)}/{len(clean)} | "
            f"{statistics.median(left):.0f} (95 %: {percentile(left, 95):.0f}) | "
            f"{statistics.median(cut):.0f} (95 %: {percentile(cut, 95):.0f}) | {many} |"
        )
    alone = sum(
        bool(listens(vad, engine, np.concatenate([faint(AROUND), sound[begin:end], faint(2.0)])))  # type: ignore[arg-type]
        for sound, begin, end in clean
    )
    lines.append(f"\nThe word alone opened a turn in {alone} of {len(clean)}.")
    asyncio.run(engine.close())
    asyncio.run(vad.close())
    return "\n".join(lines)


def listens(vad: Detector, engine: WakeWord, sound: Samples) -> list[int]:
    """From which samples on a recogniser would have been given this sound."""
    vad.reset()
    ear, waking = Ear(vad), Waking(engine)
    waking.hear(faint(0.5))
    before = round(0.5 * RATE)
    state = State(rules=Rules(wake_word=engine.word))
    starts: list[int] = []
    for at in range(0, sound.size - BLOCK + 1, BLOCK):
        _, like = ear.hear(sound[at : at + BLOCK])
        spotted = waking.hear(sound[at : at + BLOCK])
        happened: list[moves.Happened] = [moves.Heard(like.n, like.probability, like.loud_until)]
        if spotted is not None:
            happened.append(moves.Woken(spotted.word, spotted.ended - before, spotted.probability))
        for one in happened:
            state, effects = receive(state, one)
            starts += [effect.start for effect in effects if isinstance(effect, moves.Listen)]
            assert not any(
                isinstance(effect, moves.Emit) and isinstance(effect.event, events.Error) for effect in effects
            )
    return starts


if __name__ == "__main__":
    main()
