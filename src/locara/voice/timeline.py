"""A conversation as one picture: who spoke when, what was said, what was heard of it, and where the time went.

What may live here: the drawing of one self-contained SVG from sound and events, as pure functions. What the events say
is read in `voice.timeline_reading`, where things stand is found in `voice.timeline_layout`. No file is read or written,
no clock is asked. The picture needs no font, script or page from elsewhere, and follows light and dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from locara.audio import FLOOR_DBFS, Samples, clean
from locara.errors import AudioError
from locara.voice.events import Event, Latency
from locara.voice.timeline_layout import LEFT, RIGHT, Axis, Caption, place_captions, place_marks
from locara.voice.timeline_reading import (
    PARTS,
    Mark,
    Turn,
    description,
    figures,
    marks_in,
    spans_in,
    summary,
    turns_in,
    whole_parts,
)
from locara.voice.timeline_text import advance, joined, one_line, xml

__all__ = ["PARTS", "Timeline", "draw", "whole_parts"]

_LONGEST = 1e7  # seconds: what an event says beyond (or as NaN) is no time, and must not press all else together
_COLUMNS = 2_000  # of a waveform, at most: 100 kB for two lanes, however long the session
_LANE = 84.0  # pixels of a waveform's height
_LINE = 17.0  # pixels between lines of text
_QUIETEST_PEAK = 10.0 ** (-40 / 20)  # below this a lane is not blown up any further: noise should look like noise

# Okabe and Ito's colours: told apart with every common kind of colour blindness, in light and in dark.
_COLOURS = dict(zip(PARTS, ("#0072b2", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#d55e00", "#cc79a7"), strict=True))
_MARKS = {  # kind -> colour, shape around 0,0, name
    "turn-end": ("#0072b2", "M-5,-5 5,-5 0,5Z", "user's turn decided"),
    "barge-in": ("#d55e00", "M-5,-5 5,5M5,-5 -5,5", "barge-in"),
    "resume": ("#009e73", "M-4,-5 5,0 -4,5Z", "resume"),
    "error": ("#b3478c", "M0,-6 6,0 0,6 -6,0Z", "error"),
    "rejected": ("#8a8a8a", "M-5,0A5,5 0 1 1 5,0 5,5 0 1 1 -5,0", "rejected"),
}
_STYLE = """
.locara-timeline text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.locara-timeline .head{font-size:19px;font-weight:600}
.locara-timeline .name{font-weight:600}
.locara-timeline .soft{fill:#59636e;font-size:12px}
.locara-timeline .partial{fill:#59636e;font-style:italic}
.locara-timeline .unheard{fill:#818b98;text-decoration:line-through}
.locara-timeline .page{fill:#ffffff}
.locara-timeline .lane{fill:#f3f5f7}
.locara-timeline .grid{stroke:#d8dee4;stroke-width:1}
.locara-timeline .halo{stroke:#ffffff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
.locara-timeline .user{fill:#0b62a8}
.locara-timeline .assistant{fill:#00795a}
.locara-timeline .span-user{fill:#0072b2;fill-opacity:.14}
.locara-timeline .span-assistant{fill:#009e73;fill-opacity:.12}
.locara-timeline .part{stroke:#ffffff;stroke-width:.75}
.locara-timeline .mark{stroke-width:2;stroke-linejoin:round}
.locara-timeline .drop{stroke-width:1.25;stroke-dasharray:3 3;fill:none}
@media (prefers-color-scheme:dark){
.locara-timeline text{fill:#e6edf3}
.locara-timeline .soft,.locara-timeline .partial{fill:#9da7b1}
.locara-timeline .unheard{fill:#7d8590}
.locara-timeline .page{fill:#0d1117}
.locara-timeline .lane{fill:#161b22}
.locara-timeline .grid{stroke:#30363d}
.locara-timeline .halo{stroke:#0d1117}
.locara-timeline .user{fill:#6cb6ff}
.locara-timeline .assistant{fill:#3fc79a}
.locara-timeline .span-user{fill-opacity:.3}
.locara-timeline .span-assistant{fill-opacity:.26}
.locara-timeline .part{stroke:#0d1117}
}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """What is drawn. Both recordings begin at zero on the session's clock; ``user`` and ``assistant`` have shape
    ``(n,)``, float32, their rates are in hertz; ``events`` in the order in which they came."""

    user: Samples
    user_rate: int
    assistant: Samples
    assistant_rate: int
    events: Sequence[Event]
    title: str


def draw(timeline: Timeline) -> str:
    """The picture as one SVG document, at most 4122 pixels wide. Raises ``AudioError`` for samples that are no mono
    recording or a rate that is none."""
    lanes = [
        _Lane("You", "user", _checked(timeline.user, timeline.user_rate, "user"), timeline.user_rate),
        _Lane(
            "Assistant",
            "assistant",
            _checked(timeline.assistant, timeline.assistant_rate, "assistant"),
            timeline.assistant_rate,
        ),
    ]
    events = [event for event in timeline.events if abs(event.t) < _LONGEST]
    ends = [lane.samples.size / lane.rate for lane in lanes] + [event.t for event in events]
    axis = Axis(max(1.0, *ends))
    turns = turns_in(events)
    marks = marks_in(events)

    body: list[str] = []
    places = place_marks(marks, axis)
    user_top = 86.0 + _LINE * (1 + max((row for row, _ in places), default=0))
    said, said_lines, said_dropped = place_captions([(one.began, one.said) for one in turns], axis)
    bars_top = user_top + _LANE + 8.0 + _LINE * said_lines
    assistant_top = bars_top + 2 * _LINE + 18.0
    replies, reply_lines, replies_dropped = place_captions([(one.reply_at, one.reply) for one in turns], axis)
    axis_top = assistant_top + _LANE + 10.0 + _LINE * reply_lines
    height = axis_top + 34.0 + 2 * 24.0

    body += _grid(axis, user_top, axis_top)
    for lane, top in zip(lanes, (user_top, assistant_top), strict=True):
        body += _lane(lane, spans_in(events, lane.css, axis.duration), axis, top)
    body += _draw_marks(marks, places, axis, user_top, assistant_top)
    body += _draw_captions(said, user_top + _LANE + 20.0)
    body += _bars(turns, axis, bars_top)
    body += _draw_captions(replies, assistant_top + _LANE + 20.0)
    body += _legend(turns, marks, axis_top + 44.0)

    left_out = said_dropped + replies_dropped
    note = f" · {left_out} captions left out for want of room" if left_out else ""
    title = one_line(timeline.title) or "A conversation"
    head = _at(20, 34, "head", title) + _at(20, 56, "soft", summary(axis.duration, turns, marks) + note)
    width = axis.plot + LEFT + RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="locara-timeline" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">\n'
        f"<title>{xml(title)}</title>\n<desc>{xml(description(axis.duration, turns, marks))}</desc>\n"
        f'<style>{_STYLE}</style>\n<rect class="page" width="100%" height="100%"/>\n'
        f"{head}\n" + "\n".join(body) + "\n</svg>\n"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    name: str
    css: str
    samples: Samples
    rate: int


def _checked(samples: Samples, rate: int, who: str) -> Samples:
    array = np.asarray(samples)
    if array.ndim != 1:
        raise AudioError(
            f"the {who}'s recording of a timeline must have shape (n,), this one has {array.shape}",
            hint="pass one channel, for example through locara.audio.mono",
        )
    if rate <= 0:
        raise AudioError(f"the {who}'s recording has a rate of {rate} Hz", hint="pass hertz, for example 16000")
    return clean(array.astype(np.float32, copy=False))[0]


def _grid(axis: Axis, top: float, bottom: float) -> list[str]:
    """The time axis: a line and a number every so many seconds, at least 80 pixels apart."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((one for one in steps if one / axis.duration * axis.plot >= 80.0), axis.duration / 20)
    ticks = [index * step for index in range(int(axis.duration / step + 1e-9) + 1)]
    lines = "".join(f"M{axis.x(t):.1f},{top:.1f}V{bottom:.1f}" for t in ticks)
    numbers = [_at(axis.x(t), bottom + 16.0, "soft", f"{t:g} s", "middle") for t in ticks]
    return [f'<path class="grid" d="{lines}"/>', *numbers]


def _lane(lane: _Lane, spans: Iterable[tuple[float, float]], axis: Axis, top: float) -> list[str]:
    """A waveform over the stretches in which there was speech."""
    peak = float(np.max(np.abs(lane.samples))) if lane.samples.size else 0.0
    level = 20.0 * math.log10(peak) if peak > 10.0 ** (FLOOR_DBFS / 20.0) else FLOOR_DBFS
    named = f"peak {level:.0f} dBFS" if level > FLOOR_DBFS else "silent"
    out = [
        f'<rect class="lane" x="{LEFT}" y="{top:.1f}" width="{axis.plot:.1f}" height="{_LANE}" rx="4"/>',
        _at(20, top + _LANE / 2 - 2, "name", lane.name),
        _at(20, top + _LANE / 2 + 14, "soft", named.replace("dBFS", "dB")),
    ]
    for began, ended in spans:
        wide = max(1.0, axis.x(ended) - axis.x(began))
        out.append(
            f'<rect class="span-{lane.css}" x="{axis.x(began):.1f}" y="{top:.1f}" width="{wide:.1f}" height="{_LANE}" '
            f'rx="3"><title>{lane.name}: {began:.2f} to {ended:.2f} s</title></rect>'
        )
    columns = min(_COLUMNS, int(axis.plot))
    low, high = _envelope(lane.samples, lane.rate, axis.duration, columns)
    scale = (_LANE / 2 - 5) / max(peak, _QUIETEST_PEAK)
    middle = top + _LANE / 2
    xs = LEFT + (np.arange(columns) + 0.5) * (axis.plot / columns)
    upper = [f"{x:.1f},{middle - 0.4 - y * scale:.1f}" for x, y in zip(xs, high, strict=True)]
    lower = [f"{x:.1f},{middle + 0.4 - y * scale:.1f}" for x, y in zip(xs, low, strict=True)]
    return [*out, f'<path class="{lane.css}" d="M{" ".join(upper + lower[::-1])}Z"/>']


def _envelope(samples: Samples, rate: int, duration: float, columns: int) -> tuple[Samples, Samples]:
    """The least and the greatest sample of each of ``columns`` equal stretches of ``duration`` seconds."""
    low, high = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    edges = np.minimum(np.arange(columns) * (duration * rate / columns), samples.size).astype(np.int64)
    there = edges < samples.size
    if there.any():
        low[there] = np.minimum.reduceat(samples, edges[there])
        high[there] = np.maximum.reduceat(samples, edges[there])
    return low, high


def _draw_marks(
    marks: Sequence[Mark], places: Sequence[tuple[int, str]], axis: Axis, user: float, assistant: float
) -> list[str]:
    """A shape at the top of each mark, a dashed line down through the lanes it is about, and its label if there is
    room."""
    out: list[str] = []
    for mark, (row, anchor) in zip(marks, places, strict=True):
        x, y = axis.x(mark.t), 78.0 + _LINE * row
        bottom = (user if mark.kind in {"turn-end", "rejected"} else assistant) + _LANE
        label = ""
        if anchor and mark.label:
            label = _at(x + (10.0 if anchor == "start" else -10.0), y + 4.5, "soft halo", mark.label, anchor)
        line = f'<path class="drop" stroke="{_MARKS[mark.kind][0]}" d="M{x:.1f},{y + 7:.1f}V{bottom:.1f}"/>'
        title = xml(f"{mark.t:.2f} s: {mark.more}")
        out.append(f"<g><title>{title}</title>{line}{_shape(mark.kind, x, y)}{label}</g>")
    return out


def _shape(kind: str, x: float, y: float) -> str:
    colour, path, _ = _MARKS[kind]
    filled = colour if kind in {"turn-end", "resume", "error"} else "none"
    return f'<path class="mark" fill="{filled}" stroke="{colour}" d="{path}" transform="translate({x:.1f},{y:.1f})"/>'


def _draw_captions(captions: Iterable[Caption], top: float) -> list[str]:
    out: list[str] = []
    for caption in captions:
        lines = []
        for index, line in enumerate(caption.lines):
            spans = "".join(f'<tspan class="{css}">{xml(text)}</tspan>' for text, css in joined(line))
            y = top + _LINE * (caption.line + index)
            lines.append(f'<text class="halo" x="{caption.x:.1f}" y="{y:.1f}" xml:space="preserve">{spans}</text>')
        out.append(f"<g><title>{xml(caption.full)}</title>{''.join(lines)}</g>")
    return out


def _bars(turns: Iterable[Turn], axis: Axis, top: float) -> list[str]:
    """Each turn's ledger at its place and in true scale: from the end of the user's speech to the first sound of the
    reply, with the figures under it as far as there is room."""
    timed = [(turn.speech_end, turn.latency) for turn in turns if turn.speech_end is not None and turn.latency]
    timed.sort(key=lambda one: one[0])
    out = [_at(20, top + 20.0, "name", "Latency")] if timed else []
    free = [-math.inf, -math.inf]
    for index, (speech_end, latency) in enumerate(timed):
        full, short = figures(latency)
        x = axis.x(speech_end)
        later = axis.x(timed[index + 1][0]) if index + 1 < len(timed) else axis.right + RIGHT
        words = (
            full
            if max(LEFT, min(x, axis.right + RIGHT - advance(full, 12.0))) + advance(full, 12.0) <= later
            else short
        )
        wide = advance(words, 12.0)
        place = max(LEFT, min(x, axis.right + RIGHT - wide))
        row = next((one for one in (0, 1) if free[one] <= place), None)
        label = ""
        if row is not None:
            free[row] = place + wide + 10.0
            label = _at(place, top + 38.0 + row * 14.0, "soft halo", words)
        out.append(f"<g><title>{xml(full)}</title>{_bar(speech_end, latency, axis, top + 9.0)}{label}</g>")
    return out


def _bar(t: float, latency: Latency, axis: Axis, top: float) -> str:
    """The parts of one ledger side by side from ``t`` on."""
    bar = ""
    for name in PARTS:
        length = max(0.0, getattr(latency, name))
        x, wide = axis.x(t), axis.x(t + length) - axis.x(t)
        t += length
        if wide > 0.0:
            bar += (
                f'<rect class="part" x="{x:.2f}" y="{top:.1f}" width="{wide:.2f}" height="14" fill="{_COLOURS[name]}"/>'
            )
    return bar


def _legend(turns: Iterable[Turn], marks: Sequence[Mark], top: float) -> list[str]:
    """What the colours and the shapes mean, as far as they are used."""
    out: list[str] = []
    x = LEFT
    if any(turn.latency is not None for turn in turns):
        for name in PARTS:
            label = name.replace("_", " ")
            out.append(f'<rect x="{x:.1f}" y="{top - 10:.1f}" width="12" height="12" rx="2" fill="{_COLOURS[name]}"/>')
            out.append(_at(x + 17.0, top, "soft", label))
            x += 34.0 + advance(label, 12.0)
        x, top = LEFT, top + 24.0
    for kind, (_, _, label) in _MARKS.items():
        if any(mark.kind == kind for mark in marks):
            out += [_shape(kind, x + 6.0, top - 4.0), _at(x + 17.0, top, "soft", label)]
            x += 34.0 + advance(label, 12.0)
    if any(mark.kind == "barge-in" for mark in marks):
        out.append(f'<text x="{x:.1f}" y="{top:.1f}" class="unheard">never heard</text>')
    return out


def _at(x: float, y: float, css: str, text: str, anchor: str = "start") -> str:
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}"{where}>{xml(text)}</text>'
