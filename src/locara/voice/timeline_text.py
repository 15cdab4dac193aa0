"""Text of a picture: made harmless, measured without its font, and broken into lines.

What may live here: pure functions on text and on runs of it. Where on the picture a text stands is the business of
`voice.timeline_layout`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence

Run = tuple[str, str]
"""A piece of text and its class: ``said``, ``partial`` or ``unheard``."""

_CAPTION_LINES = 3  # at most


def one_line(text: str) -> str:
    """``text`` on one line, without control, format and surrogate characters, which XML or a reader would choke on."""
    kept = (" " if one.isspace() else one for one in text)
    return "".join(one for one in kept if unicodedata.category(one) not in {"Cc", "Cf", "Cs", "Cn", "Co"})


def xml(text: str) -> str:
    """``text`` on one line, as it may stand in an element or an attribute."""
    return html.escape(one_line(text), quote=True)


def advance(text: str, size: float = 13.0) -> float:
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


def wrapped(runs: Sequence[Run], room: float) -> list[list[Run]]:
    """``runs`` broken into lines of at most ``room`` pixels, at most three of them, the last with an
    ellipsis where text was cut."""
    lines: list[list[Run]] = [[]]
    used = 0.0
    for text, css in joined(runs):  # tokens first become one text: a blank may end one or begin the next
        for piece in re.findall(r" ?[^ ]+", re.sub(" +", " ", one_line(text))):
            for part in _broken(piece, room):
                wide = advance(part)
                if used and used + wide > room:
                    if len(lines) == _CAPTION_LINES:
                        lines[-1].append(("…", css))
                        return lines
                    lines.append([])
                    used = 0.0
                shown = part if used else part.lstrip()
                lines[-1].append((shown, css))
                used += advance(shown)
    return lines if lines[0] else []


def _broken(piece: str, room: float) -> list[str]:
    """A word that is wider than a line, in pieces that are not."""
    if advance(piece) <= room:
        return [piece]
    per_piece = max(1, int(room / 14.0))
    return [piece[at : at + per_piece] for at in range(0, len(piece), per_piece)]


def joined(line: Iterable[Run]) -> list[Run]:
    """Neighbouring pieces of one class as one."""
    out: list[Run] = []
    for text, css in line:
        if out and out[-1][1] == css:
            out[-1] = (out[-1][0] + text, css)
        else:
            out.append((text, css))
    return out
