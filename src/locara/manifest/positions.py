"""Where each key of a TOML text stands. What may live here: the scan for that; values are ``tomllib``'s business.

``tomllib`` gives values without places. This scan gives places without values: it follows keys, quotes and brackets and
nothing else, so it accepts more than TOML does, and whatever it accepts wrongly ``tomllib`` refuses afterwards. It also
runs first, because ``tomllib`` needs memory with the square of a dotted key's length (100,000 parts: more than a
machine has) and a stack frame for each bracket.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_DEPTH = 8
"""Tables and arrays inside one another, and parts of a dotted key. A manifest needs three."""
MAX_KEYS = 4_000
"""Keys in one file. The largest that can be right has 256 models with five keys each."""

Path = tuple[str | int, ...]
"""The way to a value: keys, and for arrays the index."""
Place = tuple[int, int]
"""Line and column, both from 1, the column in characters."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE = re.compile(r"[^\s.=\[\]{},#\"']+")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?!")', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?!')", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong with the text as a whole, and where."""

    what: str
    place: Place
    hint: str


@dataclass(frozen=True, slots=True)
class Positions:
    """``keys``: where each key or table header stands; ``values``: where what belongs to a key begins. ``trouble``: the
    first thing that must not reach ``tomllib``, or that it would tell less well."""

    keys: Mapping[Path, Place] = field(default_factory=dict)
    values: Mapping[Path, Place] = field(default_factory=dict)
    trouble: Trouble | None = None


def scan(text: str) -> Positions:
    """Never raises; of a text that is not TOML it gives what stands before the fault."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Stopped):
        scanner.run()
    return Positions(scanner.keys, scanner.values, scanner.trouble)


def place_of(text: str, at: int) -> Place:
    """The line and column of a character."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


class _Stopped(Exception):
    """What comes now is not TOML, or is trouble."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self.trouble: Trouble | None = None
        self._lists: dict[Path, int] = {}
        self._headers: set[Path] = set()
        self._count = 0
        self._line = 1
        self._line_start = 0
        self._counted = 0

    def run(self) -> None:
        """The whole text."""
        table: Path = ()
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table, 0)
            self._skip(_SPACE)
            if self.at < len(self.text) and self.text[self.at] not in "\r\n#":
                raise _Stopped

    def _header(self) -> Path:
        start = self.at
        several = self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        path = self._through_lists(self._key(start))
        if not self.text.startswith("]]" if several else "]", self.at):
            raise _Stopped
        self.at += 2 if several else 1
        if several:
            self._lists[path] = self._lists.get(path, -1) + 1
            self.keys.setdefault(path, self._place(start))
            path = (*path, self._lists[path])
        elif path in self._headers:
            self._twice(path, start)
        self._headers.add(path)
        for length in range(1, len(path)):
            self.keys.setdefault(path[:length], self._place(start))
            self.values.setdefault(path[:length], self._place(start))
        self.keys.setdefault(path, self._place(start))
        self.values.setdefault(path, self._place(start))
        return path

    def _through_lists(self, key: Path) -> Path:
        """With the index of the last table of each array of tables on the way."""
        path: Path = ()
        for number, part in enumerate(key, 1):
            path = (*path, part)
            if number < len(key) and path in self._lists:
                path = (*path, self._lists[path])
        return path

    def _pair(self, table: Path, depth: int) -> None:
        start = self.at
        path = (*table, *self._key(start))
        if not self.text.startswith("=", self.at):
            raise _Stopped
        self.at += 1
        self._skip(_SPACE)
        if path in self.keys:
            self._twice(path, start)
        for length in range(len(table) + 1, len(path)):
            self.keys.setdefault(path[:length], self._place(start))
            self.values.setdefault(path[:length], self._place(start))
        self.keys[path] = self._place(start)
        self._value(path, depth)

    def _key(self, start: int) -> Path:
        """A dotted key, up to what follows it."""
        self._count += 1
        if self._count > MAX_KEYS:
            self._stop(f"it has more than {MAX_KEYS:,} keys", start, "a manifest is a page; look what wrote this one")
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            parts.append(self._part())
            if len(parts) > MAX_DEPTH:
                self._stop(
                    f"a key has more than {MAX_DEPTH} parts", start, "a name with dots in it needs quotes around it"
                )
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(parts)
            self.at += 1

    def _part(self) -> str:
        for pattern in (_BASIC, _LITERAL):
            if found := pattern.match(self.text, self.at):
                self.at = found.end()
                return _unescaped(found[0]) if pattern is _BASIC else found[0][1:-1]
        found = _BARE.match(self.text, self.at)
        if not found:
            raise _Stopped
        self.at = found.end()
        return found[0]

    def _value(self, path: Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._stop(f"values lie in one another more than {MAX_DEPTH} deep", self.at, "a manifest needs three")
        self.values[path] = self._place(self.at)
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._array(path, depth)
        elif opening == "{":
            self._inline(path, depth)
        else:
            for pattern in (_LONG_BASIC, _LONG_LITERAL, _BASIC, _LITERAL):
                if found := pattern.match(self.text, self.at):
                    break
            else:
                if opening in ("", '"', "'"):
                    raise _Stopped
                found = _SCALAR.match(self.text, self.at)
            assert found is not None
            self.at = found.end()

    def _array(self, path: Path, depth: int) -> None:
        self.at += 1
        number = 0
        while True:
            self._skip(_BLANK)
            if self.text.startswith("]", self.at):
                break
            if self.at >= len(self.text):
                raise _Stopped
            self._count += 1
            if self._count > MAX_KEYS:
                self._stop(f"it has more than {MAX_KEYS:,} values", self.at, "a manifest is a page")
            self._value((*path, number), depth + 1)
            number += 1
            if not self._comma("]"):
                break
        self.at += 1

    def _inline(self, path: Path, depth: int) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)  # newer TOML allows line breaks here; tomllib decides
            if self.text.startswith("}", self.at):
                break
            self._pair(path, depth + 1)
            if not self._comma("}"):
                break
        self.at += 1

    def _comma(self, closing: str) -> bool:
        """Whether another element may follow. The scan stops where there is neither a comma nor the end."""
        self._skip(_BLANK)
        found = self.text[self.at : self.at + 1]
        if found == ",":
            self.at += 1
            return True
        if found != closing:
            raise _Stopped
        return False

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        assert found is not None
        self.at = found.end()
        return self.at

    def _place(self, at: int) -> Place:
        """As `place_of`, for places that come mostly in order: each line is counted once."""
        if at < self._counted:
            return place_of(self.text, at)
        breaks = self.text.count("\n", self._counted, at)
        if breaks:
            self._line += breaks
            self._line_start = self.text.rfind("\n", 0, at) + 1
        self._counted = at
        return self._line, at - self._line_start + 1

    def _twice(self, path: Path, at: int) -> None:
        first = self.keys[path]
        name = dotted(path)
        self._stop(f"{name} is there twice, first in line {first[0]}", at, "leave one of them out")

    def _stop(self, what: str, at: int, hint: str) -> None:
        self.trouble = Trouble(what, self._place(at), hint)
        raise _Stopped


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: Path) -> str:
    """A path as TOML writes it, with quotes where they are needed."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            name = part if _PLAIN.fullmatch(part) else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
            written += ("." if written else "") + name
    return written


_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_LETTERS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def _unescaped(quoted: str) -> str:
    def letter(found: re.Match[str]) -> str:
        escape = found[1]
        if escape[0] in "uU" and len(escape) > 1:
            number = int(escape[1:], 16)
            return chr(number) if number <= 0x10FFFF else ""  # more is not TOML; tomllib says so
        return _LETTERS.get(escape, escape)

    return _ESCAPE.sub(letter, quoted[1:-1])
