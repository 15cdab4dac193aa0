"""Recorded clips as moments in which somebody pauses or has finished: what `train_prosody.py` learns from.

A folder of recordings has an ``index.json``: ``{"clips": [{"file", "category", "redistribute", "transcript"?, "speaker"?,
"labels": {"speech": [[start, end], ...], "speakers": [[start, end, who], ...]}}, ...]}``, in seconds, all at 16 kHz.

Three kinds of moments:
  cut   a pause put at a quiet point inside running speech, where an energy dip is (at most three to a clip)
  own   a pause that the speaker made
  end   the end of the clip's speech; only where it is one: a line read up to a comma is `own`

So that nothing but the speech can be learnt, the same is done to all three at random: where exactly the sound is cut, how
it is faded, what follows (digital zeros, hiss, hum, a real room), how long, how loud, in which room, how fast, through a
telephone or not. An end keeps its real silence as often as not.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from locara.audio import RATE, resample

Wave = npt.NDArray[np.float64]
Random = np.random.Generator

LEVEL_DB = -26.0
ASKED = (0.1, 0.2)
"""Seconds after the end of the sound at which the detector is asked."""
TRAINED = ("commands", "shortwords", "read", "assistant_lj", "ami")
"""Not digits: their licence is share-alike, and one read alone sounds the same inside a number and at its end."""


@dataclass(frozen=True)
class Clip:
    """One recording; ``speech`` in seconds."""

    name: str
    category: str
    group: str
    wave: Wave
    speech: tuple[tuple[float, float], ...]
    ends: bool | None
    """Whether its last sound is the end of a sentence; None where nobody knows."""
    speakers: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Moment:
    """The sound up to some 0.1 to 0.2 s into a silence, and whether the speaker had finished."""

    samples: npt.NDArray[np.float32]
    finished: bool
    kind: str
    clip: Clip


@dataclass(frozen=True)
class Surroundings:
    """What clips are put into."""

    rooms: tuple[Wave, ...]
    noises: tuple[Wave, ...]


def read_clips(folder: Path) -> tuple[list[Clip], Surroundings]:
    """All clips whose licence lets others have what is made of them, and rooms and noises."""
    index = folder / "index.json"
    if not index.is_file():
        raise SystemExit(f"there is no {index}: name a folder of recordings with an index.json (see prosody_clips.py)")
    clips: list[Clip] = []
    rooms: list[Wave] = []
    noises: list[Wave] = []
    for entry in sorted(json.loads(index.read_text("utf-8"))["clips"], key=lambda one: str(one["file"])):
        if not str(entry["redistribute"]).startswith("yes") or "not stated" in str(entry["license"]):
            continue
        category = str(entry["category"])
        if category not in {*TRAINED, "rir", "noise"}:
            continue
        wave = soundfile.read(folder / entry["file"], dtype="float64")[0]
        if category == "rir":
            rooms.append(wave[int(np.argmax(np.abs(wave))) :][: RATE // 2])
        elif category == "noise":
            noises.append(wave)
        elif entry["labels"].get("speech"):
            clips.append(_clip(entry, wave))
    return clips, Surroundings(tuple(rooms), tuple(noise for noise in noises if noise.size > 5 * RATE))


def _clip(entry: dict[str, Any], wave: Wave) -> Clip:
    category, text = str(entry["category"]), entry.get("transcript")
    ends: bool | None = True
    if category == "assistant_lj":
        ends = None if text is None else str(text).rstrip().endswith((".", "?", "!"))
    labels = entry["labels"]
    return Clip(
        name=str(entry["file"]),
        category=category,
        group=str(entry.get("speaker") or entry["file"]),
        wave=wave,
        speech=tuple((float(start), float(end)) for start, end in labels["speech"]),
        ends=ends,
        speakers=tuple((float(a), float(b), str(who)) for a, b, who in labels.get("speakers", ())),
    )


def chance(*seed: int | str) -> Random:
    """Random numbers that depend on nothing but ``seed``."""
    return np.random.default_rng([zlib.crc32(str(one).encode()) for one in seed])


# --- levels -----------------------------------------------------------------------------------------------------------


def levels(wave: Wave) -> Wave:
    """Decibels of 20 ms every 10 ms, between 120 Hz and 7 kHz."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(wave.size, 1 / RATE)
    kept = np.fft.irfft(spectrum * ((hertz > 120) & (hertz < 7000)), wave.size)
    sums = np.concatenate(([0.0], np.cumsum(kept**2)))
    at = 160 * np.arange(max(1, (wave.size - 320) // 160 + 1))
    return np.asarray(10 * np.log10((sums[np.minimum(at + 320, wave.size)] - sums[at]) / 320 + 1e-10))


def levelled(wave: Wave) -> Wave:
    """With its speech at ``LEVEL_DB``."""
    level = levels(wave)
    loud = level > np.percentile(level, 95) - 20
    return np.asarray(wave * 10 ** ((LEVEL_DB - 10 * np.log10(np.mean(10 ** (level[loud] / 10)) + 1e-12)) / 20))


def faded(wave: Wave, seconds: float) -> Wave:
    """With both ends faded."""
    n = min(wave.size // 2, int(RATE * seconds))
    out = wave.copy()
    if n:
        ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
        out[:n] *= ramp
        out[-n:] *= ramp[::-1]
    return out


def dips(wave: Wave, count: int, random: Random) -> list[tuple[float, float]]:
    """Up to ``count`` quiet points at least 0.35 s inside: when the sound before ends, and the quietest point (seconds)."""
    level = np.convolve(levels(wave), np.ones(3) / 3, "same")
    peak, floor = np.percentile(level, 90), np.percentile(level, 5)
    quiet = max(floor + 4, peak - 28)
    found: list[tuple[float, int, float]] = []
    for k in range(35, level.size - 35):
        if level[k] <= level[k - 6 : k + 7].min() + 1e-9 and level[k] < peak - 12:
            i = k
            while i > 0 and level[i] < quiet:
                i -= 1
            found.append((float(level[k]), k, (i + 1) * 0.01 if level[k] < quiet else k * 0.01))
    found.sort()
    pool = found[: 3 * count]
    order = np.argsort([one[0] + random.random() * 6 for one in pool])
    chosen: list[tuple[float, int, float]] = []
    for one in (pool[k] for k in order):
        if len(chosen) < count and all(abs(one[1] - other[1]) > 45 for other in chosen):
            chosen.append(one)
    return sorted((before, k * 0.01 + 0.01) for _, k, before in chosen)


# --- moments ----------------------------------------------------------------------------------------------------------


def moments(clip: Clip, around: Surroundings, random: Random, *, plain: bool = False) -> Iterator[Moment]:
    """One walk through a clip. ``plain``: as a scene generator makes it, nothing varied: dry, level, a soft noise floor."""
    if clip.speakers:
        yield from _meeting(clip, around, random)
        return
    pace = 1.0 if plain else float(random.uniform(0.95, 1.05))
    start, end = clip.speech[0][0], clip.speech[-1][1]
    wave = levelled(clip.wave[int(max(0.0, start - 0.01) * RATE) :])
    if not plain:
        wave = resample(wave.astype(np.float32), RATE, round(RATE * pace)).astype(np.float64)
    length = (end - max(0.0, start - 0.01)) * pace
    speech = wave[: int(length * RATE)]
    count = int(random.choice([0, 1, 2, 3], p=[0.15, 0.35, 0.35, 0.15]))
    cuts = dips(speech, count, random)
    turn = np.zeros(int(random.uniform(0.1, 0.3) * RATE))
    last = 0.0
    for before, quiet in cuts:
        stop = quiet if plain else float(random.uniform(min(before, quiet), quiet))
        part = faded(
            speech[int(last * RATE) : int(stop * RATE)], 0.004 if plain else float(random.uniform(0.002, 0.02))
        )
        turn = np.concatenate((turn, part))
        yield _moment(_paused(turn, random), False, "cut", clip, around, random, plain)
        turn = np.concatenate((turn, np.zeros(int(random.uniform(0.1, 1.0) * RATE))))
        last = quiet
    yield from _own_pauses(clip, wave, pace, around, random, plain)
    if clip.ends is None:
        return
    rest = speech[int(last * RATE) :]
    wait = float(random.uniform(*ASKED))
    real = wave[int(last * RATE) : int((length + wait) * RATE)]
    if plain:
        rest = _paused(faded(rest, 0.006), random)
    elif random.random() < 0.5 and real.size >= rest.size + int(wait * RATE) - 1:
        rest = real
    else:
        off = float(random.uniform(-0.02, 0.06))
        rest = wave[int(last * RATE) : int((length + off) * RATE)]
        rest = _paused(faded(rest, float(random.uniform(0.002, 0.02))), random)
    kind = "end" if clip.ends else "own"
    yield _moment(np.concatenate((turn, rest)), clip.ends, kind, clip, around, random, plain)


def _own_pauses(
    clip: Clip, wave: Wave, pace: float, around: Surroundings, random: Random, plain: bool
) -> Iterator[Moment]:
    begin = max(0.0, clip.speech[0][0] - 0.01)
    for (_, before), (after, _) in zip(clip.speech, clip.speech[1:], strict=False):
        wait = float(random.uniform(*ASKED))
        if after - before >= wait:
            sound = wave[: int(((before - begin) * pace + wait) * RATE)]
            yield _moment(sound, False, "own", clip, around, random, plain)


def _meeting(clip: Clip, around: Surroundings, random: Random) -> Iterator[Moment]:
    """Where one of several speakers, alone, pauses or hands over."""
    for start, end, who in clip.speakers:
        others = [(a, b) for a, b, name in clip.speakers if name != who]
        same = [a for a, _, name in clip.speakers if name == who and a >= end]
        if end - start < 0.5 or any(a < end + 0.25 and b > start for a, b in others):
            continue
        level = levels(clip.wave[int(start * RATE) : int(end * RATE)])
        quiet = np.concatenate(([False], level < np.percentile(level, 90) - 20, [False])).astype(int)
        edges = np.flatnonzero(np.diff(quiet))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            if b - a >= 20 and a > 40 and b < level.size - 30:
                stop = start + a * 0.01 + float(random.uniform(*ASKED))
                sound = levelled(clip.wave[int(start * RATE) : int(stop * RATE)])
                yield _moment(sound, False, "own", clip, around, random, False)
        if end < clip.wave.size / RATE - 0.5 and (not same or same[0] > end + 1.0):
            loud = np.flatnonzero(level > np.percentile(level, 90) - 25)
            stop = start + loud[-1] * 0.01 + 0.02 + float(random.uniform(*ASKED))
            sound = levelled(clip.wave[int(start * RATE) : int(stop * RATE)])
            yield _moment(sound, True, "end", clip, around, random, False)


def _paused(wave: Wave, random: Random) -> Wave:
    return np.concatenate((wave, np.zeros(int(random.uniform(*ASKED) * RATE))))


# --- surroundings -----------------------------------------------------------------------------------------------------


def _moment(
    wave: Wave, finished: bool, kind: str, clip: Clip, around: Surroundings, random: Random, plain: bool
) -> Moment:
    wave = wave + _pink(wave.size, random) * 10 ** (-66 / 20) if plain else _placed(wave, around, random)
    return Moment(np.clip(wave, -1, 1).astype(np.float32), finished, kind, clip)


def _placed(wave: Wave, around: Surroundings, random: Random) -> Wave:
    """Some room, some microphone, some noise, some level."""
    if around.rooms and random.random() < 0.3:
        room = around.rooms[int(random.integers(len(around.rooms)))][: int(random.uniform(0.1, 0.4) * RATE)]
        size = wave.size + room.size
        wave = levelled(np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(room, size), size)[: wave.size])
    if random.random() < 0.25:
        hertz = np.fft.rfftfreq(wave.size, 1 / RATE)
        wave = np.fft.irfft(np.fft.rfft(wave) / (1 + (hertz / 3700) ** 12), wave.size)
    if random.random() < 0.5:
        noise = _noise(wave.size, around, random)
        wave = wave + noise * 10 ** ((LEVEL_DB - random.uniform(10, 30)) / 20)
    else:
        wave = wave + _pink(wave.size, random) * 10 ** (random.uniform(-80, -60) / 20)
    return np.asarray(wave * 10 ** (random.uniform(-12, 8) / 20))


def _noise(size: int, around: Surroundings, random: Random) -> Wave:
    which = random.random()
    if which < 0.4 or not around.noises:
        return _pink(size, random)
    if which < 0.6:
        return random.standard_normal(size)
    noise = around.noises[int(random.integers(len(around.noises)))]
    at = int(random.integers(noise.size))
    cut = np.tile(noise, size // noise.size + 2)[at : at + size]
    return np.asarray(cut / np.sqrt((cut**2).mean() + 1e-12))


def _pink(size: int, random: Random) -> Wave:
    spectrum = np.fft.rfft(random.standard_normal(size + 512))
    wave = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)), size + 512)[:size]
    return np.asarray(wave / np.sqrt((wave**2).mean()))
