"""What a person sees of a conversation in a terminal: captions, levels, state, and where the time went.

What may live here: the view as plain values (`View`, changed by events) and its picture as lines of text (`render`), as
pure functions. Text in columns is the business of `cli.lines`; `cli.screen` is what writes to the terminal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from locara.audio import FLOOR_DBFS
from locara.cli.lines import Line, Style, broken, columns, inked, plain
from locara.voice import events as on
from locara.voice.timeline_reading import whole_parts

Phase = Literal["starting", "listening", "thinking", "speaking", "ducked", "ended"]

PEAK_HOLD_SECONDS = 1.0
_PEAK_FALL = 20.0  # dB per second, after the hold
_METER_FLOOR = -60.0  # dBFS at the left end of a meter
_LIVE_LINES = 4  # of a caption that is still growing; the whole of it goes to the scrollback when it is finished
_TEXT_LIMIT = 100_000  # characters kept of one reply: more is a model that runs away
_LINES_LIMIT = 1_000  # finished lines that nobody has written yet
_KEYS = (("space", "push-to-talk"), ("m", "mute"), ("s", "stop"), ("t", "type"), ("q", "quit"))


@dataclass(frozen=True, slots=True)
class Meter:
    """A level in dBFS, its held peak, and when (seconds, any clock) the peak was reached."""

    level: float = FLOOR_DBFS
    peak: float = FLOOR_DBFS
    peak_at: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is shown. ``finished``: lines that wait to be written into the scrollback. ``typing``: the line a
    person is typing, None when they are not. ``held``: push-to-talk is on. ``asked``: the last turn of the user's.
    ``waits_for``: the wake word, while the session waits for it. ``asking``: a question that a key answers;
    ``progress``: how far a download is."""

    phase: Phase = "starting"
    user_speaks: bool = False
    muted: bool = False
    held: bool = False
    typing: str | None = None
    microphone: Meter = Meter()
    speaker: Meter = Meter()
    partial: str = ""
    reply: str = ""
    reply_turn: int | None = None
    asked: int | None = None
    waits_for: str = ""
    asking: str = ""
    progress: str = ""
    finished: tuple[Line, ...] = ()


# --- the view and what changes it -------------------------------------------------------------------------------------


def view_after(view: View, event: on.Event) -> View:
    """The view once ``event`` has happened."""
    if event.dropped:
        view = with_lines(
            view, Line(((f"       ({event.dropped} events were lost: this terminal is too slow)", "dim"),))
        )
    change = _CHANGES.get(type(event))
    return change(view, event) if change else view


def metered(meter: Meter, level: float, now: float) -> Meter:
    """``meter`` at a new ``level`` (dBFS) at ``now`` (seconds): the peak is held for a second and then falls."""
    level = max(FLOOR_DBFS, min(0.0, level)) if math.isfinite(level) else FLOOR_DBFS
    fallen = meter.peak - _PEAK_FALL * max(0.0, now - meter.peak_at - PEAK_HOLD_SECONDS)
    return Meter(level, level, now) if level >= fallen else Meter(level, meter.peak, meter.peak_at)


def word(view: View) -> str:
    """The state in a word or three."""
    if view.phase == "ducked":
        return "listening to you…"
    if view.phase == "speaking" or (view.phase == "thinking" and (view.muted or not view.user_speaks)):
        return f"{view.phase}, muted" if view.muted else view.phase
    if view.phase in {"starting", "ended"}:
        return view.phase
    if view.muted or view.held:
        return "muted" if view.muted else "listening, go on…"
    return f'say "{view.waits_for}"' if view.waits_for else "listening"


def ledger_line(latency: on.Latency) -> str:
    """A turn's latency in one line, ``0.41 s = endpoint 0.38 + output 0.03``: parts below 5 ms are left out, and what is
    shown adds up."""
    total, parts = whole_parts(latency, 0.01)
    some = " + ".join(f"{name.replace('_', ' ')} {value / 100:.2f}" for name, value in parts.items() if value)
    return f"{total / 100:.2f} s = {some}" if some else f"{total / 100:.2f} s"


def with_lines(view: View, *lines: Line) -> View:
    """``lines`` wait for the scrollback too; the oldest are lost where nobody writes them."""
    return replace(view, finished=(*view.finished, *lines)[-_LINES_LIMIT:])


def reply_done(view: View, *after: tuple[str, Style]) -> View:
    """The growing reply becomes a finished line."""
    if view.reply.strip():
        view = with_lines(view, Line((("locara ", "name"), (view.reply.strip(), "plain"), *after)))
    return replace(view, reply="", reply_turn=None)


def _on_start(view: View, _: on.Event) -> View:
    return replace(view, phase="listening")


def _on_plan(view: View, event: on.PlanChanged) -> View:
    """What speaks, hears or answers from now on."""
    models = ", ".join(f"{stage} {event.plan[stage]['model']}" for stage in event.stages if stage in event.plan)
    return with_lines(view, Line((("note   ", "warm"), (f"from now on: {models}", "plain"))))


def _on_attention(view: View, event: on.AttentionChanged) -> View:
    return replace(view, waits_for=event.word if event.state == "waiting" else "")


def _on_idle(view: View, event: on.UserIdle) -> View:
    return with_lines(view, Line(((f"       (quiet for {event.seconds:.0f} s)", "dim"),))) if event.count == 1 else view


def _on_voice(view: View, event: on.Event) -> View:
    speaks = isinstance(event, on.SpeechStart)
    ducked = speaks and view.phase == "speaking"
    return replace(view, user_speaks=speaks, phase="ducked" if ducked else view.phase)


def _on_partial(view: View, event: on.PartialTranscript) -> View:
    again = view.phase == "thinking"  # the user had only paused
    return replace(view, partial=event.text, phase="listening" if again else view.phase)


def _on_final(view: View, event: on.FinalTranscript) -> View:
    view = replace(reply_done(view), partial="", phase="thinking", asked=event.turn)
    return with_lines(view, Line((("you    ", "name"), (event.text, "plain")))) if event.text.strip() else view


def _on_token(view: View, event: on.LlmToken) -> View:
    if event.turn != view.reply_turn:
        view = reply_done(view)
    room = _TEXT_LIMIT - len(view.reply)
    return replace(view, reply=view.reply + event.text[:room], reply_turn=event.turn)


def _on_audio(view: View, _: on.AudioChunk) -> View:
    still_ducked = view.phase == "ducked" and view.user_speaks
    return replace(view, phase="ducked" if still_ducked else "speaking")


def _on_resume(view: View, _: on.Event) -> View:
    return replace(view, phase="speaking" if view.phase == "ducked" else view.phase)


def _on_barge_in(view: View, event: on.BargeIn) -> View:
    heard, unheard = event.heard_text.rstrip(), event.unheard_text.strip()
    if view.reply.strip() and not heard and not unheard:  # nothing is known: then nothing was heard
        unheard = view.reply.strip()
    pieces: list[tuple[str, Style]] = [("locara ", "name")]
    pieces += [(f"{heard.lstrip()} ", "plain")] if heard else []
    # A model that speaks as it thinks has no words left over that could be struck out.
    pieces += [(unheard, "unheard")] if unheard else [("(interrupted)", "dim")] if heard else []
    view = replace(view, reply="", reply_turn=None, phase="listening")
    return with_lines(view, Line(tuple(pieces))) if len(pieces) > 1 else view


def _on_turn_end(view: View, event: on.TurnEnd) -> View:
    if event.who == "assistant":
        after: tuple[tuple[str, Style], ...] = ((" (stopped)", "dim"),) if event.reason == "cancelled" else ()
        stays = view.phase == "ended" or (view.phase == "thinking" and event.turn != view.asked)
        return replace(reply_done(view, *after), phase=view.phase if stays else "listening")
    view = replace(view, partial="")
    if event.reason == "too-long":
        view = with_lines(view, Line((("       (that was as long as one turn may be)", "dim"),)))
    if event.latency is not None:
        view = with_lines(view, Line(((f"       {ledger_line(event.latency)}", "dim"),)))
    answered = event.reason in {"complete", "released", "typed", "too-long"}
    return view if answered or view.phase != "thinking" else replace(view, phase="listening")


def _on_rejected(view: View, event: on.Rejected) -> View:
    view = replace(view, partial="", phase="speaking" if view.phase == "ducked" else view.phase)
    heard = f' "{event.text.strip()}"' if event.text.strip() else ""
    return with_lines(view, Line(((f"       (not taken for a turn: {event.reason}{heard})", "dim"),)))


def _on_tool(view: View, event: on.ToolCalled) -> View:
    arguments = ", ".join(f"{name}={value!r}" for name, value in event.arguments.items())
    return with_lines(view, Line(((f"       {event.name}({arguments[:200]})", "dim"),)))


def _on_error(view: View, event: on.Error) -> View:
    where = f"{event.stage}: " if event.stage and not event.message.startswith(event.stage) else ""
    lines = [Line((("error  ", "bad"), (f"{where}{event.message} ({event.code})", "plain")))]
    lines += [Line(((f"       -> {event.hint}", "plain"),))] if event.hint else []
    return with_lines(view, *lines)


def _on_silent(view: View, event: on.DeviceSilent) -> View:
    lines = [Line((("note   ", "warm"), (f"{event.device} gives no sound", "plain")))]
    lines += [Line(((f"       -> {event.hint}", "plain"),))] if event.hint else []
    return with_lines(view, *lines)


def _on_device(view: View, event: on.DeviceChanged) -> View:
    """One line: its hint is the whole sentence."""
    return with_lines(view, Line((("note   ", "warm"), (event.hint or f"{event.device} has changed", "plain"))))


def _on_echo(view: View, event: on.EchoHandling) -> View:
    what = (
        "the echo could not be cancelled: not listening while speaking" if event.hint else "the echo is cancelled again"
    )
    lines = [Line((("note   ", "warm"), (what, "plain")))]
    lines += [Line(((f"       -> {event.hint}", "plain"),))] if event.hint else []
    return with_lines(view, *lines)


def _on_end(view: View, _: on.Event) -> View:
    return replace(reply_done(view), phase="ended", partial="", user_speaks=False)


_CHANGES: dict[type[on.Event], Callable[[View, Any], View]] = {
    on.SessionStart: _on_start,
    on.PlanChanged: _on_plan,
    on.AttentionChanged: _on_attention,
    on.UserIdle: _on_idle,
    on.SpeechStart: _on_voice,
    on.SpeechEnd: _on_voice,
    on.PartialTranscript: _on_partial,
    on.FinalTranscript: _on_final,
    on.LlmToken: _on_token,
    on.AudioChunk: _on_audio,
    on.TurnEnd: _on_turn_end,
    on.BargeIn: _on_barge_in,
    on.Resume: _on_resume,
    on.Rejected: _on_rejected,
    on.ToolCalled: _on_tool,
    on.DeviceChanged: _on_device,
    on.DeviceSilent: _on_silent,
    on.EchoHandling: _on_echo,
    on.Error: _on_error,
    on.SessionEnd: _on_end,
}


# --- the picture ------------------------------------------------------------------------------------------------------


def render(view: View, width: int, *, ascii_only: bool = False) -> list[str]:
    """The lines under the scrollback, with colours, none wider than ``width`` - 1 columns (a terminal that is written to
    its last column may start a new line): at most 16."""
    room = max(20, width) - 1
    lines: list[Line] = []
    if view.reply.strip():
        lines += _tail("locara ", view.reply, "plain", room)
    if view.partial.strip():
        lines += _tail("you    ", view.partial, "dim", room)
    lines += _status(view, room, ascii_only)
    lines += [
        line for text in (view.progress, view.asking) if text for line in broken(Line(((text, "warm"),)), room)[:2]
    ]
    lines.append(_typed(view.typing, room) if view.typing is not None else _keys(room))
    return [inked(line) for line in lines]


def _tail(name: str, text: str, style: Style, room: int) -> list[Line]:
    """The last lines of a caption that grows. Cleaned before it is cut, so that no half of a sequence is left over."""
    end = plain(text[-4 * _LIVE_LINES * room :]).strip()[-_LIVE_LINES * room :]
    return broken(Line(((name, "name"), (end, style))), room)[-_LIVE_LINES:]


def _status(view: View, room: int, ascii_only: bool) -> list[Line]:
    """State and both meters: on one line where it is wide enough, else on two."""
    state = word(view).replace("…", "..." if ascii_only else "…")
    style: Style = "warm" if state.startswith(("muted", "starting")) else "good"
    head: tuple[tuple[str, Style], ...] = (("* " if ascii_only else "● ", style), (f"{state:<20}", "plain"))
    alone = room < 64
    each = (room if alone else room - 22) // 2 - 11
    meters: list[tuple[str, Style]] = []
    for name, meter in (("mic ", view.microphone), ("  out ", view.speaker)):
        value = f" {meter.level:>3.0f}" if meter.level > _METER_FLOOR else "   ·" if not ascii_only else "   -"
        meters += [(name, "dim"), *_bar(meter, max(3, min(24, each)), ascii_only), (value, "dim")]
    return [Line(head), Line(tuple(meters))] if alone else [Line((*head, *meters))]


def _bar(meter: Meter, cells: int, ascii_only: bool) -> list[tuple[str, Style]]:
    """A level as a bar, with a tick where its peak is held."""
    full, rest, tick = ("#", ".", "|") if ascii_only else ("█", "░", "▏")
    share = [max(0.0, min(1.0, 1.0 - value / _METER_FLOOR)) for value in (meter.level, meter.peak)]
    filled, peak = round(share[0] * cells), min(cells - 1, round(share[1] * cells))
    style: Style = "bad" if meter.level > -3.0 else "warm" if meter.level > -12.0 else "good"
    empty = [tick if at == peak and share[1] > 0.0 else rest for at in range(filled, cells)]
    return [(full * filled, style), ("".join(empty), "dim")]


def _keys(room: int) -> Line:
    """The keys that can be pressed; the less needed ones go first where it is narrow."""
    shown = list(_KEYS)
    for name in ("t", "s", "m", "space"):
        if len("  ".join(f"{key} {what}" for key, what in shown)) <= room:
            break
        shown = [one for one in shown if one[0] != name]
    pieces: list[tuple[str, Style]] = []
    for index, (key, what) in enumerate(shown):
        pieces += [("  " if index else "", "plain"), (key, "name"), (f" {what}", "dim")]
    return Line(tuple(pieces))


def _typed(text: str, room: int) -> Line:
    """The line being typed: its end, where it is longer than the terminal is wide."""
    shown = plain(text)
    while columns(shown) > room - 3:
        shown = shown[1:]
    help_ = "   Enter sends, Esc does not"
    return Line((("> ", "name"), (shown, "plain"), (help_ if columns(shown) + len(help_) <= room - 3 else "", "dim")))
