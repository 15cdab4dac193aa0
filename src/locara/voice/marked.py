"""A text in which every character knows where it came from, so that what was heard can be found in what was written.

What may live here: the one value that rules of `markup` and `reading` rewrite, and the way back from it. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

Replacement = str | Callable[[re.Match[str]], str]
"""``\\1`` to ``\\9`` are groups, in rising order, whose characters keep their places; the rest is new text."""

Rules = tuple[tuple[re.Pattern[str], Replacement], ...]
"""What to find and what to put in its place, applied one after the other."""

_GROUP = re.compile(r"(\\\d)")


def rules(*pairs: tuple[str, Replacement]) -> Rules:
    """Rules from patterns; ``^`` and ``$`` match at every line."""
    return tuple((re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in pairs)


@dataclass(frozen=True, slots=True)
class Spoken:
    """``text`` is for the voice, empty when nothing is to be said. ``map`` has pairs (position in ``text``, position in
    the clause), both rising, the last one being the ends of both; between two pairs both run side by side."""

    text: str
    map: tuple[tuple[int, int], ...]

    def original(self, position: int) -> int:
        """Where in the clause the character ``text[position]`` comes from; ``len(text)`` gives the clause's end."""
        place = bisect_right(self.map, (max(0, position), 1 << 60)) - 1
        if place < 0:
            return 0
        spoken, original = self.map[place]
        if place + 1 == len(self.map):
            return original
        return min(original + max(0, position) - spoken, self.map[place + 1][1])


class Marked:
    """Characters, each with its place in the source."""

    def __init__(self, chars: list[tuple[str, int]], source: str) -> None:
        self.text = "".join(char for char, _ in chars)
        self._places = [place for _, place in chars]
        self._source = source

    def rewritten(self, by: Rules) -> Marked:
        """After all these rules."""
        rest = self
        for pattern, replacement in by:
            rest = rest.sub(pattern, replacement)
        return rest

    def sub(self, pattern: re.Pattern[str] | str, replacement: Replacement) -> Marked:
        """Replaces what ``pattern`` finds. In a replacement, ``\\1`` is a group that keeps the places of its characters;
        new characters come from where the match begins, or from where the group before them ends."""
        out: list[tuple[str, int]] = []
        done = 0
        for found in re.finditer(pattern, self.text):
            out += zip(self.text[done : found.start()], self._places[done : found.start()], strict=True)
            done = found.end()
            template = replacement(found) if callable(replacement) else replacement
            after = found.start()
            for part in _GROUP.split(template):
                if part.startswith("\\"):
                    start, end = found.span(int(part[1]))
                    out += zip(self.text[start:end], self._places[start:end], strict=True)
                    after = max(after, end)
                else:
                    place = self._places[after] if after < len(self._places) else len(self._source)
                    out += ((char, place) for char in part)
        if not done and not out:
            return self  # most rules find nothing in most clauses
        out += zip(self.text[done:], self._places[done:], strict=True)
        return Marked(out, self._source)

    def spoken(self) -> Spoken:
        """The text as it is now, and its way back."""
        if not any(map(str.isalnum, self.text)):
            return Spoken("", ((0, len(self._source)),))
        pairs = [(at, place) for at, place in enumerate(self._places) if at == 0 or place != self._places[at - 1] + 1]
        return Spoken(self.text, (*pairs, (len(self.text), len(self._source))))
