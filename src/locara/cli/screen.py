"""What a person sees of a conversation in a terminal: captions, levels, state, and where the time went.

What may live here: the view as plain values (`View`, changed by events), its picture as lines of text (`render`), and the
one class that writes to the terminal (`Screen`). Finished lines go up into the scrollback and are never touched again;
only the few lines under them are painted anew. Whatever a model or a microphone put into a text, no control character of
it reaches the terminal.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, TextIO

from locara.audio import FLOOR_DBFS
from locara.voice import events as on
from locara.voice.timeline import whole_parts

Phase = Literal["starting", "listening", "thinking", "speaking", "ducked", "ended"]
Style = Literal["plain", "dim", "name", "bad", "unheard", "good", "warm"]

PAINTS_PER_SECOND = 20.0
PEAK_HOLD_SECONDS = 1.0
_PEAK_FALL = 20.0  # dB per second, after the hold
_METER_FLOOR = -60.0  # dBFS at the left end of a meter
_LIVE_LINES = 4  # of a caption that is still growing; the whole of it goes to the scrollback when it is finished
_TEXT_LIMIT = 100_000  # characters kept of one reply: more is a model that runs away
_LINES_LIMIT = 1_000  # finished lines that nobody has written yet
_KEYS = (("space", "push-to-talk"), ("m", "mute"), ("s", "stop"), ("t", "type"), ("q", "quit"))
_SGR = {"plain": "", "dim": "2", "name": "1", "bad": "31", "unheard": "2;9", "good": "32", "warm": "33"}
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]?"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One finished line, before it is broken to the terminal's width: pieces of text, each with its style."""

    pieces: tuple[tuple[str, Style], ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """A level in dBFS, its held peak, and when (seconds, any clock) the peak was reached."""

    level: float = FLOOR_DBFS
    peak: float = FLOOR_DBFS
    peak_at: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is shown. ``finished``: lines that wait to be written into the scrollback. ``typing``: the line a
    person is typing, None when they are not. ``held``: push-to-talk is on. ``asked``: the last turn of the user's."""

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
    finished: tuple[Line, ...] = ()


# --- the view and what changes it -------------------------------------------------------------------------------------


def view_after(view: View, event: on.Event) -> View:
    """The view once ``event`` has happened."""
    if event.dropped:
        view = _with(view, Line(((f"       ({event.dropped} events were lost: this terminal is too slow)", "dim"),)))
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
    return "muted" if view.muted else "listening, go on…" if view.held else "listening"


def ledger_line(latency: on.Latency) -> str:
    """A turn's latency in one line, ``0.41 s = endpoint 0.38 + output 0.03``: parts below 5 ms are left out, and what is
    shown adds up."""
    total, parts = whole_parts(latency, 0.01)
    some = " + ".join(f"{name.replace('_', ' ')} {value / 100:.2f}" for name, value in parts.items() if value)
    return f"{total / 100:.2f} s = {some}" if some else f"{total / 100:.2f} s"


def _with(view: View, *lines: Line) -> View:
    return replace(view, finished=(*view.finished, *lines)[-_LINES_LIMIT:])


def _reply_done(view: View, *after: tuple[str, Style]) -> View:
    """The growing reply becomes a finished line."""
    if view.reply.strip():
        view = _with(view, Line((("locara ", "name"), (view.reply.strip(), "plain"), *after)))
    return replace(view, reply="", reply_turn=None)


def _on_start(view: View, _: on.Event) -> View:
    return replace(view, phase="listening")


def _on_voice(view: View, event: on.Event) -> View:
    speaks = isinstance(event, on.SpeechStart)
    ducked = speaks and view.phase == "speaking"
    return replace(view, user_speaks=speaks, phase="ducked" if ducked else view.phase)


def _on_partial(view: View, event: on.PartialTranscript) -> View:
    again = view.phase == "thinking"  # the user had only paused
    return replace(view, partial=event.text, phase="listening" if again else view.phase)


def _on_final(view: View, event: on.FinalTranscript) -> View:
    view = replace(_reply_done(view), partial="", phase="thinking", asked=event.turn)
    return _with(view, Line((("you    ", "name"), (event.text, "plain")))) if event.text.strip() else view


def _on_token(view: View, event: on.LlmToken) -> View:
    if event.turn != view.reply_turn:
        view = _reply_done(view)
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
    pieces += [(unheard, "unheard")] if unheard else []
    view = replace(view, reply="", reply_turn=None, phase="listening")
    return _with(view, Line(tuple(pieces))) if len(pieces) > 1 else view


def _on_turn_end(view: View, event: on.TurnEnd) -> View:
    if event.who == "assistant":
        after: tuple[tuple[str, Style], ...] = ((" (stopped)", "dim"),) if event.reason == "cancelled" else ()
        stays = view.phase == "ended" or (view.phase == "thinking" and event.turn != view.asked)
        return replace(_reply_done(view, *after), phase=view.phase if stays else "listening")
    view = replace(view, partial="")
    if event.reason == "too-long":
        view = _with(view, Line((("       (that was as long as one turn may be)", "dim"),)))
    if event.latency is not None:
        view = _with(view, Line(((f"       {ledger_line(event.latency)}", "dim"),)))
    answered = event.reason in {"complete", "released", "typed", "too-long"}
    return view if answered or view.phase != "thinking" else replace(view, phase="listening")


def _on_rejected(view: View, event: on.Rejected) -> View:
    view = replace(view, partial="", phase="speaking" if view.phase == "ducked" else view.phase)
    heard = f' "{event.text.strip()}"' if event.text.strip() else ""
    return _with(view, Line(((f"       (not taken for a turn: {event.reason}{heard})", "dim"),)))


def _on_tool(view: View, event: on.ToolCalled) -> View:
    arguments = ", ".join(f"{name}={value!r}" for name, value in event.arguments.items())
    return _with(view, Line(((f"       {event.name}({arguments[:200]})", "dim"),)))


def _on_error(view: View, event: on.Error) -> View:
    where = f"{event.stage}: " if event.stage and not event.message.startswith(event.stage) else ""
    lines = [Line((("error  ", "bad"), (f"{where}{event.message} ({event.code})", "plain")))]
    lines += [Line(((f"       -> {event.hint}", "plain"),))] if event.hint else []
    return _with(view, *lines)


def _on_device(view: View, event: on.DeviceChanged | on.DeviceSilent) -> View:
    what = "gives no sound" if isinstance(event, on.DeviceSilent) else "has changed"
    lines = [Line((("note   ", "warm"), (f"{event.device} {what}", "plain")))]
    lines += [Line(((f"       -> {event.hint}", "plain"),))] if event.hint else []
    return _with(view, *lines)


def _on_end(view: View, _: on.Event) -> View:
    return replace(_reply_done(view), phase="ended", partial="", user_speaks=False)


_CHANGES: dict[type[on.Event], Callable[[View, Any], View]] = {
    on.SessionStart: _on_start,
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
    on.DeviceSilent: _on_device,
    on.Error: _on_error,
    on.SessionEnd: _on_end,
}


# --- text in columns --------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """``text`` on one line and harmless: escape sequences, control characters and those that turn the direction of
    writing are gone, white space of any kind is a space."""
    text = _SEQUENCE.sub("", text)
    kept = (" " if one in "\t\n\r\v\f\x85\u2028\u2029" else one for one in text)
    return "".join(one for one in kept if one in "\u200c\u200d" or not unicodedata.category(one).startswith("C"))


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: two for wide characters, none for accents of their own. In doubt
    more, never fewer: a line that is too long would break the picture."""
    return sum(_columns_of(one) for one in text)


def _columns_of(one: str) -> int:
    if " " <= one <= "~":
        return 1
    if one == "\ufe0f":  # makes an emoji of the character before it, which may then be wide
        return 1
    if unicodedata.category(one) in {"Mn", "Me", "Cf"} or "\u1160" <= one <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def broken(line: Line, width: int, indent: int = 7) -> list[Line]:
    """``line`` in lines of at most ``width`` columns; all but the first begin with ``indent`` spaces."""
    indent = min(indent, max(0, width - 4))
    lines: list[list[tuple[str, Style]]] = [[]]
    used = 0
    for text, style in line.pieces:
        for piece in re.findall(r" +|[^ ]+", plain(text)):
            for part in _fitting(piece, width - indent):
                if used + columns(part) > width and used:
                    if lines[-1][-1][0].isspace() and len(lines[-1]) > 1:
                        lines[-1].pop()
                    lines.append([(" " * indent, "plain")])
                    used = indent
                    if part.isspace():
                        continue
                if part.isspace() and used == indent and len(lines) > 1:
                    continue
                lines[-1].append((part, style))
                used += columns(part)
    return [Line(tuple(one)) for one in lines]


def _fitting(piece: str, width: int) -> list[str]:
    """A word in parts of at most ``width`` columns."""
    if columns(piece) <= width:
        return [piece]
    parts, used = [""], 0
    for one in piece:
        if used + _columns_of(one) > width and parts[-1]:
            parts.append("")
            used = 0
        parts[-1] += one
        used += _columns_of(one)
    return parts


def _inked(line: Line) -> str:
    """``line`` with the terminal's colours."""
    out, current = "", ""
    for text, style in line.pieces:
        if _SGR[style] != current:
            out += ("\x1b[0m" if current else "") + (f"\x1b[{_SGR[style]}m" if _SGR[style] else "")
            current = _SGR[style]
        out += text
    return out + ("\x1b[0m" if current else "")


def _bare(line: Line) -> str:
    """``line`` without colours, unheard text in words instead."""
    return plain(
        "".join(f"[not heard: {text}]" if style == "unheard" else text for text, style in line.pieces)
    ).rstrip()


# --- the picture ------------------------------------------------------------------------------------------------------


def render(view: View, width: int, *, ascii_only: bool = False) -> list[str]:
    """The lines under the scrollback, with colours, none wider than ``width`` - 1 columns (a terminal that is written to
    its last column may start a new line): at most 12."""
    room = max(20, width) - 1
    lines: list[Line] = []
    if view.reply.strip():
        lines += _tail("locara ", view.reply, "plain", room)
    if view.partial.strip():
        lines += _tail("you    ", view.partial, "dim", room)
    lines += _status(view, room, ascii_only)
    lines.append(_typed(view.typing, room) if view.typing is not None else _keys(room))
    return [_inked(line) for line in lines]


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


# --- the terminal -----------------------------------------------------------------------------------------------------


def _terminal_size() -> tuple[int, int]:
    columns_, rows = shutil.get_terminal_size()
    return columns_, rows


class Screen:
    """Writes a `View` to a terminal, or finished lines to anything else. For one thread; ``with Screen() as screen``.

    ``out``: where to, standard output when None. ``now``: seconds, for the pace and the held peaks. ``size``: columns and
    rows. ``live``: None finds out: a terminal that is not dumb, and no ``NO_COLOR``; else finished lines only, no ANSI.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        size: Callable[[], tuple[int, int]] | None = None,
        live: bool | None = None,
    ) -> None:
        self.view = View()
        self._out = out if out is not None else sys.stdout
        self._now = now
        self._size = size if size is not None else _terminal_size
        self.live = can_be_live(self._out, os.environ) if live is None else live
        self._ascii = not _encodes(self._out, "●█░▏…·")
        self._painted: tuple[int, list[str]] = (0, [])
        self._last: float | None = None
        self._closed = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, event: on.Event) -> None:
        """Shows what ``event`` changes, now or with the next paint."""
        self.change(view_after(self.view, event))

    def levels(self, microphone: float, speaker: float) -> None:
        """Levels in dBFS of the last blocks heard and played."""
        now = self._now()
        meters = metered(self.view.microphone, microphone, now), metered(self.view.speaker, speaker, now)
        self.change(replace(self.view, microphone=meters[0], speaker=meters[1]))

    def note(self, text: str) -> None:
        """A line of our own into the scrollback."""
        self.change(_with(self.view, Line(((text, "plain"),))))

    def change(self, view: View) -> None:
        """Shows another view, e.g. ``change(replace(screen.view, muted=True))``."""
        self.view = view
        self.tick()

    def tick(self) -> None:
        """Paints if something may have changed and the last paint is long enough ago. To be called now and then."""
        if self._closed:
            return
        if not self.live:
            self._write_finished()
            return
        now = self._now()
        if self._last is None or not 0.0 <= now - self._last < 1.0 / PAINTS_PER_SECOND:
            self._last = now
            self._paint()

    def close(self) -> None:
        """Writes what is still unwritten, takes the live lines away and gives the cursor back. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.view = _reply_done(self.view)
        try:
            if not self.live:
                self._write_finished()
            elif self._last is not None:
                width, _ = self._size()
                self._put(f"{self._up(width)}{self._finished(width)}\x1b[J\x1b[?25h")
        except (OSError, ValueError):  # the terminal is gone, or the pipe closed: nobody sees the cursor any more
            return

    def _write_finished(self) -> None:
        lines, self.view = self.view.finished, replace(self.view, finished=())
        if lines:
            self._put("".join(f"{_bare(line)}\n" for line in lines))

    def _paint(self) -> None:
        """One write: up to the first live line, the new finished lines, the live lines, and nothing under them."""
        width, rows = self._size()
        first = not self._painted[1]
        lines = render(self.view, width, ascii_only=self._ascii)[-max(1, rows - 1) :]
        if not self.view.finished and self._painted == (width, lines):
            return
        up = self._up(width)
        finished = self._finished(width)
        live = "\n".join(f"{line}\x1b[K" for line in lines)
        self._painted = (width, lines)
        self._put(("\x1b[?25l" if first else "") + up + finished + live + "\x1b[J")

    def _up(self, width: int) -> str:
        """Back to the start of the first live line. A terminal that has become narrower has broken them into more."""
        rows = sum(max(1, math.ceil(columns(plain(line)) / max(1, width))) for line in self._painted[1])
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"

    def _finished(self, width: int) -> str:
        """The lines for the scrollback, which are then no longer the view's."""
        lines, self.view = self.view.finished, replace(self.view, finished=())
        return "".join(f"{_inked(part)}\x1b[K\n" for line in lines for part in broken(line, max(20, width) - 1))

    def _put(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        self._out.write(text.encode(encoding, "replace").decode(encoding))
        self._out.flush()


def can_be_live(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether lines of ``out`` can be painted anew: a terminal, not a dumb one, and colours are not unwanted."""
    try:
        terminal = out.isatty()
    except ValueError:  # closed
        return False
    if not terminal or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return _windows_understands(out) if sys.platform == "win32" else bool(environ.get("TERM"))


def _windows_understands(out: TextIO) -> bool:
    """Asks the console of Windows 10 and later to understand escape sequences. Older ones refuse."""
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(out.fileno()))
    mode = ctypes.c_uint32()
    if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
        return False
    return bool(kernel.SetConsoleMode(handle, mode.value | 0x0004))  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


def _encodes(out: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
