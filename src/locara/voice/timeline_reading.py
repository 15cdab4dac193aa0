"""What a session's events say of a conversation: turns, marks, stretches of speech, and the figures of the ledger.

What may live here: the way from events to what `voice.timeline` shows, as plain values and words. Nothing here knows of
pixels, colours or SVG.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
from locara.voice.timeline_text import Run, one_line

PARTS = tuple(one.name for one in dataclasses.fields(Latency))
"""The seven parts of the ledger, in the order in which they pass."""


@dataclass(slots=True)
class Turn:
    """One turn, as it is gathered from the events. ``began``, ``reply_at`` (the first sound of the reply) and
    ``speech_end`` in seconds on the session's clock."""

    number: int | None
    began: float
    said: list[Run] = field(default_factory=list)
    reply: list[Run] = field(default_factory=list)
    reply_at: float = 0.0
    speech_end: float | None = None
    latency: Latency | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment, ``t`` in seconds. ``kind``: the event's type; ``label``: a word or none;
    ``more``: a sentence."""

    t: float
    kind: str
    label: str
    more: str


def turns_in(events: Iterable[Event]) -> list[Turn]:
    """The turns in order, each with what was said, what was answered, and how long it took."""
    turns: dict[int | None, Turn] = {}
    voice_began: float | None = None
    for event in events:
        if isinstance(event, SpeechStart):
            voice_began = event.t
        if not isinstance(event, PartialTranscript | FinalTranscript | LlmToken | AudioChunk | TurnEnd | BargeIn):
            continue
        if event.turn not in turns:
            began = voice_began if voice_began is not None else event.t
            turns[event.turn] = Turn(event.turn, began)
            voice_began = None
        _gather(turns[event.turn], event)
    for turn in turns.values():
        if turn.latency is not None and turn.speech_end is not None:
            turn.reply_at = turn.speech_end + turn.latency.total
    return list(turns.values())


def _gather(turn: Turn, event: Event) -> None:
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


def marks_in(events: Iterable[Event]) -> list[Mark]:
    """What gets a mark over the lanes, in order of time."""
    marks: list[Mark] = []
    for event in events:
        match event:
            case TurnEnd(who="user", reason=reason):
                marks.append(
                    Mark(event.t, "turn-end", "" if reason == "complete" else reason, f"turn decided: {reason}")
                )
            case BargeIn(heard_ms=ms):
                marks.append(Mark(event.t, "barge-in", "barge-in", f"barge-in after {ms} ms of the reply were heard"))
            case Resume(paused_ms=ms):
                marks.append(Mark(event.t, "resume", "resume", f"resumed, paused for {ms} ms"))
            case Error(code=code, message=message):
                marks.append(Mark(event.t, "error", code, message))
            case Rejected(text=text, reason=reason):
                marks.append(Mark(event.t, "rejected", reason, f"rejected: {text}"))
            case _:
                pass
    return sorted(marks, key=lambda mark: mark.t)


def spans_in(events: Iterable[Event], who: str, end: float) -> list[tuple[float, float]]:
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


def figures(latency: Latency) -> tuple[str, str]:
    """A ledger in milliseconds: with its parts, and the total alone."""
    total, parts = whole_parts(latency, 0.001)
    some = " + ".join(f"{name.replace('_', ' ')} {value}" for name, value in parts.items() if value)
    return f"{total} ms = {some}" if some else f"{total} ms", f"{total} ms"


def summary(duration: float, turns: Sequence[Turn], marks: Sequence[Mark]) -> str:
    """The session in one line; ``duration`` in seconds."""
    totals = [whole_parts(turn.latency, 0.001)[0] for turn in turns if turn.latency is not None]
    words = [f"{duration:.1f} s", f"{len(turns)} turn{'s' if len(turns) != 1 else ''}"]
    if totals:
        words.append(f"voice to voice {statistics.median(totals):.0f} ms{' in the median' if len(totals) > 1 else ''}")
    for kind in ("barge-in", "error"):
        count = sum(mark.kind == kind for mark in marks)
        words += [f"{count} {kind}{'s' if count > 1 else ''}"] if count else []
    return " · ".join(words)


def description(duration: float, turns: Sequence[Turn], marks: Sequence[Mark]) -> str:
    """The picture in words, for those who do not see it: the first twenty turns."""
    words = [summary(duration, turns, marks) + "."]
    for turn in turns[:20]:
        said = one_line("".join(text for text, _ in turn.said)).strip()
        heard = one_line("".join(text for text, css in turn.reply if css != "unheard")).strip()
        unheard = one_line("".join(text for text, css in turn.reply if css == "unheard")).strip()
        words += [f"You: {said}."] if said else []
        words += [f"Assistant: {heard}"] if heard else []
        words += [f"(not heard: {unheard})"] if unheard else []
    return " ".join(words)[:4_000]
