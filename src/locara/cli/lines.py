"""Text on a terminal: made harmless, measured in columns, broken into lines, and coloured.

What may live here: pure functions on lines of styled text. Whatever a model or a microphone put into a text, no control
character of it reaches the terminal.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Style = Literal["plain", "dim", "name", "bad", "unheard", "good", "warm"]

_SGR = {"plain": "", "dim": "2", "name": "1", "bad": "31", "unheard": "2;9", "good": "32", "warm": "33"}
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]?"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One finished line, before it is broken to the terminal's width: pieces of text, each with its style."""

    pieces: tuple[tuple[str, Style], ...]


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


def inked(line: Line) -> str:
    """``line`` with the terminal's colours."""
    out, current = "", ""
    for text, style in line.pieces:
        if _SGR[style] != current:
            out += ("\x1b[0m" if current else "") + (f"\x1b[{_SGR[style]}m" if _SGR[style] else "")
            current = _SGR[style]
        out += text
    return out + ("\x1b[0m" if current else "")


def bare(line: Line) -> str:
    """``line`` without colours, unheard text in words instead."""
    return plain(
        "".join(f"[not heard: {text}]" if style == "unheard" else text for text, style in line.pieces)
    ).rstrip()
