"""Where things stand on the picture of a conversation: seconds to pixels, captions and marks that cover nothing.

What may live here: pure functions from times and texts to places. What stands there is drawn in `voice.timeline`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from locara.voice.timeline_reading import Mark
from locara.voice.timeline_text import Run, advance, one_line, wrapped

LEFT, RIGHT = 98.0, 24.0  # pixels beside the plot
_PLOT = (1_000.0, 4_000.0)  # pixels: the least and the most the time axis takes
_PER_SECOND = 130.0  # pixels, until the most is reached
_TRACKS = 4  # rows of captions, at most
_CAPTION_WIDTH = (130.0, 460.0)  # pixels: the least and the most a caption's line takes


class Axis:
    """Seconds (``duration`` of them) to pixels. Long sessions are pressed together, the picture stays bounded: ``plot`` is
    how wide it is, ``right`` where it ends, both in pixels."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.plot = min(_PLOT[1], max(_PLOT[0], duration * _PER_SECOND))
        self.right = LEFT + self.plot

    def x(self, t: float) -> float:
        """Where ``t`` seconds stand, in pixels; what lies outside the session stands at its edge."""
        return LEFT + self.plot * min(1.0, max(0.0, t / self.duration))


@dataclass(frozen=True, slots=True)
class Caption:
    """A text in its place. ``x``: pixels; ``line``: how many lines of text stand over it; ``lines``: what is shown of it, at
    most three lines; ``full``: the whole of it."""

    x: float
    line: int
    lines: list[list[Run]]
    full: str


def place_captions(texts: Sequence[tuple[float, list[Run]]], axis: Axis) -> tuple[list[Caption], int, int]:
    """Captions at their times, staggered into rows so that none covers another; how many lines they take in all, and
    how many captions found no room."""
    wanted = [
        (axis.x(t), runs)
        for t, runs in sorted(texts, key=lambda one: one[0])
        if any(one_line(r[0]).strip() for r in runs)
    ]
    free = [-math.inf] * _TRACKS
    tall = [0] * _TRACKS
    placed: list[tuple[int, Caption]] = []
    for index, (at, runs) in enumerate(wanted):
        later = wanted[index + _TRACKS][0] if index + _TRACKS < len(wanted) else math.inf
        room = min(_CAPTION_WIDTH[1], max(_CAPTION_WIDTH[0], later - at - 14.0))
        lines = wrapped(runs, room)
        wide = max(sum(advance(text) for text, _ in line) for line in lines)
        x = max(LEFT, min(at, axis.right - wide))
        track = next((one for one in range(_TRACKS) if free[one] <= x), None)
        if track is None:
            continue
        free[track] = x + wide + 14.0
        tall[track] = max(tall[track], len(lines))
        placed.append((track, Caption(x, 0, lines, "".join(text for text, _ in runs))))
    shown = [dataclasses.replace(one, line=sum(tall[:track])) for track, one in placed]
    return shown, sum(tall), len(wanted) - len(shown)


def place_marks(marks: Sequence[Mark], axis: Axis) -> list[tuple[int, str]]:
    """The row (0 or 1) of each mark, and where its label stands: ``start`` right of it, ``end`` left of it where the
    picture ends, nowhere (empty) where there is no room."""
    free = [-math.inf, -math.inf]
    places: list[tuple[int, str]] = []
    for mark in marks:
        x = axis.x(mark.t)
        wide = advance(one_line(mark.label), 12.0) + 18.0 if mark.label else 8.0
        anchor = "start" if x + wide <= axis.right + RIGHT else "end"
        began = x - 8.0 if anchor == "start" else x - wide
        row = next((one for one in (0, 1) if free[one] <= began), None)
        if row is None:  # only the shape, where it covers least
            row, anchor, wide = free.index(min(free)), "", 8.0
        free[row] = max(free[row], x + (8.0 if anchor == "end" else wide))
        places.append((row, anchor))
    return places
