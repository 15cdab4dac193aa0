"""A conversation as one picture: who spoke when, what was said, what was heard of it, and where the time went.

What may live here: the way from sound and events to one self-contained SVG, as pure functions. No file is read or
written, no clock is asked. The picture needs no font, script or page from elsewhere, and follows light and dark mode.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
import statistics
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from locara.audio import FLOOR_DBFS, Samples, clean
from locara.errors import AudioError
from locara.voice.events import (
    AudioChunk,
    BargeIn,
    Error,
    Event,
    FinalTranscript,
    Latency,
    LlmToken,
    PartialTranscript,
    Rejected,
    Resume,
    SpeechEnd,
    SpeechStart,
    TurnEnd,
)

PARTS = tuple(one.name for one in dataclasses.fields(Latency))
"""The seven parts of the ledger, in the order in which they pass."""

_LEFT, _RIGHT = 98.0, 24.0  # pixels beside the plot
_PLOT = (1_000.0, 4_000.0)  # pixels: the least and the most the time axis takes
_PER_SECOND = 130.0  # pixels, until the most is reached
_LONGEST = 1e7  # seconds: what an event says beyond (or as NaN) is no time, and must not press all else together
_COLUMNS = 2_000  # of a waveform, at most: 100 kB for two lanes, however long the session
_LANE = 84.0  # pixels of a waveform's height
_LINE = 17.0  # pixels between lines of text
_TRACKS, _CAPTION_LINES = 4, 3  # captions stand in up to 4 rows of up to 3 lines each
_CAPTION = (130.0, 460.0)  # pixels: the least and the most a caption's line takes
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

Run = tuple[str, str]
"""A piece of text and its class: ``said``, ``partial`` or ``unheard``."""


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
    axis = _Axis(max(1.0, *ends))
    turns = _turns(events)
    marks = _marks(events)

    body: list[str] = []
    places = _mark_places(marks, axis)
    user_top = 86.0 + _LINE * (1 + max((row for row, _ in places), default=0))
    said, said_lines, said_dropped = _captions([(one.began, one.said) for one in turns], axis)
    bars_top = user_top + _LANE + 8.0 + _LINE * said_lines
    assistant_top = bars_top + 2 * _LINE + 18.0
    replies, reply_lines, replies_dropped = _captions([(one.reply_at, one.reply) for one in turns], axis)
    axis_top = assistant_top + _LANE + 10.0 + _LINE * reply_lines
    height = axis_top + 34.0 + 2 * 24.0

    body += _grid(axis, user_top, axis_top)
    for lane, top in zip(lanes, (user_top, assistant_top), strict=True):
        body += _lane(lane, _spans(events, lane.css, axis.duration), axis, top)
    body += _draw_marks(marks, places, axis, user_top, assistant_top)
    body += _draw_captions(said, user_top + _LANE + 20.0)
    body += _bars(turns, axis, bars_top)
    body += _draw_captions(replies, assistant_top + _LANE + 20.0)
    body += _legend(turns, marks, axis_top + 44.0)

    left_out = said_dropped + replies_dropped
    note = f" · {left_out} captions left out for want of room" if left_out else ""
    title = _text(timeline.title) or "A conversation"
    head = _at(20, 34, "head", title) + _at(20, 56, "soft", _summary(axis.duration, turns, marks) + note)
    width = axis.plot + _LEFT + _RIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="locara-timeline" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">\n'
        f"<title>{_xml(title)}</title>\n<desc>{_xml(_description(axis.duration, turns, marks))}</desc>\n"
        f'<style>{_STYLE}</style>\n<rect class="page" width="100%" height="100%"/>\n'
        f"{head}\n" + "\n".join(body) + "\n</svg>\n"
    )


def whole_parts(latency: Latency, step: float) -> tuple[int, dict[str, int]]:
    """The ledger in whole steps of ``step`` seconds: the total, and the parts rounded so that they still add up to it
    (the largest remainders are rounded up)."""
    exact = {name: max(0.0, getattr(latency, name)) / step for name in PARTS}
    total = round(sum(exact.values()))
    parts = {name: math.floor(value) for name, value in exact.items()}
    by_remainder = sorted(PARTS, key=lambda name: parts[name] - exact[name])
    for name in by_remainder[: max(0, total - sum(parts.values()))]:
        parts[name] += 1
    return total, parts


# --- what is to be drawn ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    name: str
    css: str
    samples: Samples
    rate: int


@dataclass(slots=True)
class _Turn:
    """One turn, as it is gathered from the events."""

    number: int | None
    began: float
    said: list[Run] = field(default_factory=list)
    reply: list[Run] = field(default_factory=list)
    reply_at: float = 0.0
    speech_end: float | None = None
    latency: Latency | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    t: float
    kind: str
    label: str
    more: str


class _Axis:
    """Seconds to pixels. Long sessions are pressed together, the picture stays bounded."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.plot = min(_PLOT[1], max(_PLOT[0], duration * _PER_SECOND))
        self.right = _LEFT + self.plot

    def x(self, t: float) -> float:
        return _LEFT + self.plot * min(1.0, max(0.0, t / self.duration))


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


def _turns(events: Iterable[Event]) -> list[_Turn]:
    """The turns in order, each with what was said, what was answered, and how long it took."""
    turns: dict[int | None, _Turn] = {}
    voice_began: float | None = None
    for event in events:
        if isinstance(event, SpeechStart):
            voice_began = event.t
        if not isinstance(event, PartialTranscript | FinalTranscript | LlmToken | AudioChunk | TurnEnd | BargeIn):
            continue
        if event.turn not in turns:
            began = voice_began if voice_began is not None else event.t
            turns[event.turn] = _Turn(event.turn, began)
            voice_began = None
        _gather(turns[event.turn], event)
    for turn in turns.values():
        if turn.latency is not None and turn.speech_end is not None:
            turn.reply_at = turn.speech_end + turn.latency.total
    return list(turns.values())


def _gather(turn: _Turn, event: Event) -> None:
    """Adds what ``event`` says to its turn."""
    match event:
        case PartialTranscript(text=text) if not turn.said or turn.said[0][1] == "partial":
            turn.said = [(text, "partial")]
        case FinalTranscript(text=text):
            turn.said = [(text, "said")]
        case LlmToken(text=text):
            turn.reply_at = turn.reply_at or event.t
            if not any(css == "unheard" for _, css in turn.reply):
                turn.reply.append((text, "said"))
        case AudioChunk():
            turn.reply_at = turn.reply_at or event.t
        case BargeIn(heard_text=heard, unheard_text=unheard):
            everything = "".join(text for text, _ in turn.reply)
            gap = " " if heard and unheard and not (heard[-1].isspace() or unheard[0].isspace()) else ""
            turn.reply = [(heard, "said"), (gap + unheard if heard or unheard else everything, "unheard")]
        case TurnEnd(who="user"):
            turn.latency = event.latency or turn.latency
            turn.speech_end = event.speech_end if event.speech_end is not None else turn.speech_end
        case _:
            pass


def _marks(events: Iterable[Event]) -> list[_Mark]:
    """What gets a mark over the lanes, in order of time."""
    marks: list[_Mark] = []
    for event in events:
        match event:
            case TurnEnd(who="user", reason=reason):
                marks.append(
                    _Mark(event.t, "turn-end", "" if reason == "complete" else reason, f"turn decided: {reason}")
                )
            case BargeIn(heard_ms=ms):
                marks.append(_Mark(event.t, "barge-in", "barge-in", f"barge-in after {ms} ms of the reply were heard"))
            case Resume(paused_ms=ms):
                marks.append(_Mark(event.t, "resume", "resume", f"resumed, paused for {ms} ms"))
            case Error(code=code, message=message):
                marks.append(_Mark(event.t, "error", code, message))
            case Rejected(text=text, reason=reason):
                marks.append(_Mark(event.t, "rejected", reason, f"rejected: {text}"))
            case _:
                pass
    return sorted(marks, key=lambda mark: mark.t)


def _spans(events: Iterable[Event], who: str, end: float) -> list[tuple[float, float]]:
    """From when to when the user's voice was there, or the assistant's reply, in seconds."""
    spans: list[tuple[float, float]] = []
    began: float | None = None
    for event in events:
        starts = isinstance(event, SpeechStart if who == "user" else AudioChunk)
        ends = isinstance(event, SpeechEnd) if who == "user" else isinstance(event, TurnEnd) and event.who == who
        if starts and began is None:
            began = event.t
        elif ends and began is not None:
            spans.append((began, event.t))
            began = None
    return [*spans, (began, end)] if began is not None else spans


def _envelope(samples: Samples, rate: int, duration: float, columns: int) -> tuple[Samples, Samples]:
    """The least and the greatest sample of each of ``columns`` equal stretches of ``duration`` seconds."""
    low, high = np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    edges = np.minimum(np.arange(columns) * (duration * rate / columns), samples.size).astype(np.int64)
    there = edges < samples.size
    if there.any():
        low[there] = np.minimum.reduceat(samples, edges[there])
        high[there] = np.maximum.reduceat(samples, edges[there])
    return low, high


# --- text -------------------------------------------------------------------------------------------------------------


def _text(text: str) -> str:
    """``text`` on one line, without control, format and surrogate characters, which XML or a reader would choke on."""
    kept = (" " if one.isspace() else one for one in text)
    return "".join(one for one in kept if unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Cn", "Co"})


def _xml(text: str) -> str:
    return html.escape(_text(text), quote=True)


def _advance(text: str, size: float = 13.0) -> float:
    """About how many pixels ``text`` takes, rather more than fewer: the font is the reader's."""
    units = 0.0
    for one in text:
        if unicodedata.combining(one):
            continue
        if unicodedata.east_asian_width(one) in "WF":
            units += 1.05
        elif one in " iljtfrI.,:;'!|()[]":
            units += 0.38
        else:
            units += 0.9 if one in "mwMW@%—…" else 0.7 if one.isupper() else 0.62
    return units * size


def _at(x: float, y: float, css: str, text: str, anchor: str = "start") -> str:
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}"{where}>{_xml(text)}</text>'


def _wrapped(runs: Sequence[Run], room: float) -> list[list[Run]]:
    """``runs`` broken into lines of at most ``room`` pixels, at most ``_CAPTION_LINES`` of them, the last with an
    ellipsis where text was cut."""
    lines: list[list[Run]] = [[]]
    used = 0.0
    for text, css in runs:
        for piece in re.findall(r" ?[^ ]+", re.sub(" +", " ", _text(text))):
            for part in _broken(piece, room):
                wide = _advance(part)
                if used and used + wide > room:
                    if len(lines) == _CAPTION_LINES:
                        lines[-1].append(("…", css))
                        return lines
                    lines.append([])
                    used = 0.0
                shown = part if used else part.lstrip()
                lines[-1].append((shown, css))
                used += _advance(shown)
    return lines if lines[0] else []


def _broken(piece: str, room: float) -> list[str]:
    """A word that is wider than a line, in pieces that are not."""
    if _advance(piece) <= room:
        return [piece]
    per_piece = max(1, int(room / 14.0))
    return [piece[at : at + per_piece] for at in range(0, len(piece), per_piece)]


def _description(duration: float, turns: Sequence[_Turn], marks: Sequence[_Mark]) -> str:
    """The picture in words, for those who do not see it: the first twenty turns."""
    words = [_summary(duration, turns, marks) + "."]
    for turn in turns[:20]:
        said = _text("".join(text for text, _ in turn.said)).strip()
        heard = _text("".join(text for text, css in turn.reply if css != "unheard")).strip()
        unheard = _text("".join(text for text, css in turn.reply if css == "unheard")).strip()
        words += [f"You: {said}."] if said else []
        words += [f"Assistant: {heard}"] if heard else []
        words += [f"(not heard: {unheard})"] if unheard else []
    return " ".join(words)[:4_000]


def _summary(duration: float, turns: Sequence[_Turn], marks: Sequence[_Mark]) -> str:
    totals = [whole_parts(turn.latency, 0.001)[0] for turn in turns if turn.latency is not None]
    words = [f"{duration:.1f} s", f"{len(turns)} turn{'s' if len(turns) != 1 else ''}"]
    if totals:
        words.append(f"voice to voice {statistics.median(totals):.0f} ms{' in the median' if len(totals) > 1 else ''}")
    for kind in ("barge-in", "error"):
        count = sum(mark.kind == kind for mark in marks)
        words += [f"{count} {kind}{'s' if count > 1 else ''}"] if count else []
    return " · ".join(words)


# --- where it stands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Caption:
    x: float
    line: int
    lines: list[list[Run]]
    full: str


def _captions(texts: Sequence[tuple[float, list[Run]]], axis: _Axis) -> tuple[list[_Caption], int, int]:
    """Captions at their times, staggered into rows so that none covers another; how many lines they take in all, and
    how many captions found no room."""
    wanted = [
        (axis.x(t), runs) for t, runs in sorted(texts, key=lambda one: one[0]) if any(_text(r[0]).strip() for r in runs)
    ]
    free = [-math.inf] * _TRACKS
    tall = [0] * _TRACKS
    placed: list[tuple[int, _Caption]] = []
    for index, (at, runs) in enumerate(wanted):
        later = wanted[index + _TRACKS][0] if index + _TRACKS < len(wanted) else math.inf
        room = min(_CAPTION[1], max(_CAPTION[0], later - at - 14.0))
        lines = _wrapped(runs, room)
        wide = max(sum(_advance(text) for text, _ in line) for line in lines)
        x = max(_LEFT, min(at, axis.right - wide))
        track = next((one for one in range(_TRACKS) if free[one] <= x), None)
        if track is None:
            continue
        free[track] = x + wide + 14.0
        tall[track] = max(tall[track], len(lines))
        placed.append((track, _Caption(x, 0, lines, "".join(text for text, _ in runs))))
    shown = [dataclasses.replace(one, line=sum(tall[:track])) for track, one in placed]
    return shown, sum(tall), len(wanted) - len(shown)


def _mark_places(marks: Sequence[_Mark], axis: _Axis) -> list[tuple[int, str]]:
    """The row (0 or 1) of each mark, and where its label stands: ``start`` right of it, ``end`` left of it where the
    picture ends, nowhere (empty) where there is no room."""
    free = [-math.inf, -math.inf]
    places: list[tuple[int, str]] = []
    for mark in marks:
        x = axis.x(mark.t)
        wide = _advance(_text(mark.label), 12.0) + 18.0 if mark.label else 8.0
        anchor = "start" if x + wide <= axis.right + _RIGHT else "end"
        began = x - 8.0 if anchor == "start" else x - wide
        row = next((one for one in (0, 1) if free[one] <= began), None)
        if row is None:  # only the shape, where it covers least
            row, anchor, wide = free.index(min(free)), "", 8.0
        free[row] = max(free[row], x + (8.0 if anchor == "end" else wide))
        places.append((row, anchor))
    return places


# --- drawing ----------------------------------------------------------------------------------------------------------


def _grid(axis: _Axis, top: float, bottom: float) -> list[str]:
    """The time axis: a line and a number every so many seconds, at least 80 pixels apart."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((one for one in steps if one / axis.duration * axis.plot >= 80.0), axis.duration / 20)
    ticks = [index * step for index in range(int(axis.duration / step + 1e-9) + 1)]
    lines = "".join(f"M{axis.x(t):.1f},{top:.1f}V{bottom:.1f}" for t in ticks)
    numbers = [_at(axis.x(t), bottom + 16.0, "soft", f"{t:g} s", "middle") for t in ticks]
    return [f'<path class="grid" d="{lines}"/>', *numbers]


def _lane(lane: _Lane, spans: Iterable[tuple[float, float]], axis: _Axis, top: float) -> list[str]:
    """A waveform over the stretches in which there was speech."""
    peak = float(np.max(np.abs(lane.samples))) if lane.samples.size else 0.0
    level = 20.0 * math.log10(peak) if peak > 10.0 ** (FLOOR_DBFS / 20.0) else FLOOR_DBFS
    named = f"peak {level:.0f} dBFS" if level > FLOOR_DBFS else "silent"
    out = [
        f'<rect class="lane" x="{_LEFT}" y="{top:.1f}" width="{axis.plot:.1f}" height="{_LANE}" rx="4"/>',
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
    xs = _LEFT + (np.arange(columns) + 0.5) * (axis.plot / columns)
    upper = [f"{x:.1f},{middle - 0.4 - y * scale:.1f}" for x, y in zip(xs, high, strict=True)]
    lower = [f"{x:.1f},{middle + 0.4 - y * scale:.1f}" for x, y in zip(xs, low, strict=True)]
    return [*out, f'<path class="{lane.css}" d="M{" ".join(upper + lower[::-1])}Z"/>']


def _draw_marks(
    marks: Sequence[_Mark], places: Sequence[tuple[int, str]], axis: _Axis, user: float, assistant: float
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
        title = _xml(f"{mark.t:.2f} s: {mark.more}")
        out.append(f"<g><title>{title}</title>{line}{_shape(mark.kind, x, y)}{label}</g>")
    return out


def _shape(kind: str, x: float, y: float) -> str:
    colour, path, _ = _MARKS[kind]
    filled = colour if kind in {"turn-end", "resume", "error"} else "none"
    return f'<path class="mark" fill="{filled}" stroke="{colour}" d="{path}" transform="translate({x:.1f},{y:.1f})"/>'


def _draw_captions(captions: Iterable[_Caption], top: float) -> list[str]:
    out: list[str] = []
    for caption in captions:
        lines = []
        for index, line in enumerate(caption.lines):
            spans = "".join(f'<tspan class="{css}">{_xml(text)}</tspan>' for text, css in _joined(line))
            y = top + _LINE * (caption.line + index)
            lines.append(f'<text class="halo" x="{caption.x:.1f}" y="{y:.1f}" xml:space="preserve">{spans}</text>')
        out.append(f"<g><title>{_xml(caption.full)}</title>{''.join(lines)}</g>")
    return out


def _joined(line: Iterable[Run]) -> list[Run]:
    """Neighbouring pieces of one class as one."""
    out: list[Run] = []
    for text, css in line:
        if out and out[-1][1] == css:
            out[-1] = (out[-1][0] + text, css)
        else:
            out.append((text, css))
    return out


def _bars(turns: Iterable[_Turn], axis: _Axis, top: float) -> list[str]:
    """Each turn's ledger at its place and in true scale: from the end of the user's speech to the first sound of the
    reply, with the figures under it as far as there is room."""
    timed = [(turn.speech_end, turn.latency) for turn in turns if turn.speech_end is not None and turn.latency]
    timed.sort(key=lambda one: one[0])
    out = [_at(20, top + 20.0, "name", "Latency")] if timed else []
    free = [-math.inf, -math.inf]
    for index, (speech_end, latency) in enumerate(timed):
        full, short = _figures(latency)
        x = axis.x(speech_end)
        later = axis.x(timed[index + 1][0]) if index + 1 < len(timed) else axis.right + _RIGHT
        words = (
            full
            if max(_LEFT, min(x, axis.right + _RIGHT - _advance(full, 12.0))) + _advance(full, 12.0) <= later
            else short
        )
        wide = _advance(words, 12.0)
        place = max(_LEFT, min(x, axis.right + _RIGHT - wide))
        row = next((one for one in (0, 1) if free[one] <= place), None)
        label = ""
        if row is not None:
            free[row] = place + wide + 10.0
            label = _at(place, top + 38.0 + row * 14.0, "soft halo", words)
        out.append(f"<g><title>{_xml(full)}</title>{_bar(speech_end, latency, axis, top + 9.0)}{label}</g>")
    return out


def _bar(t: float, latency: Latency, axis: _Axis, top: float) -> str:
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


def _figures(latency: Latency) -> tuple[str, str]:
    """A ledger in milliseconds: with its parts, and the total alone."""
    total, parts = whole_parts(latency, 0.001)
    some = " + ".join(f"{name.replace('_', ' ')} {value}" for name, value in parts.items() if value)
    return f"{total} ms = {some}" if some else f"{total} ms", f"{total} ms"


def _legend(turns: Iterable[_Turn], marks: Sequence[_Mark], top: float) -> list[str]:
    """What the colours and the shapes mean, as far as they are used."""
    out: list[str] = []
    x = _LEFT
    if any(turn.latency is not None for turn in turns):
        for name in PARTS:
            label = name.replace("_", " ")
            out.append(f'<rect x="{x:.1f}" y="{top - 10:.1f}" width="12" height="12" rx="2" fill="{_COLOURS[name]}"/>')
            out.append(_at(x + 17.0, top, "soft", label))
            x += 34.0 + _advance(label, 12.0)
        x, top = _LEFT, top + 24.0
    for kind, (_, _, label) in _MARKS.items():
        if any(mark.kind == kind for mark in marks):
            out += [_shape(kind, x + 6.0, top - 4.0), _at(x + 17.0, top, "soft", label)]
            x += 34.0 + _advance(label, 12.0)
    if any(mark.kind == "barge-in" for mark in marks):
        out.append(f'<text x="{x:.1f}" y="{top:.1f}" class="unheard">never heard</text>')
    return out
