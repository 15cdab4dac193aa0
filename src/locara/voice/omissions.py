"""Parts of a reply that are left out whole, however many clauses they go on for: code, JSON, thinking, formatted tags.

What may live here: a small scanner that remembers what is open. Pure. Marks inside a line are in `markup`.
"""

from __future__ import annotations

import re

_OPENS = re.compile(
    r"(?P<fence>```+|(?m:^)~~~+)"
    r"|<(?P<block>think(?:ing)?|thought|reasoning|reflection|scratchpad|tool_call|tool_response|function_call|script|style)>"
    r"|(?P<note>【)"
    r"|(?P<echo>\[(?=Interrupted (?:here|before)\b))"  # models copy what `history` tells them
    r"|(?P<tag></?[A-Za-z][\w-]*\s+[\w:-]+=[^<>]*\Z|<!--(?!.*-->)"
    r"|\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+[\"'][^\"'\n)]*)?\Z)"
    r"|(?P<json>\{\s*\"[^\"\n]{0,80}\"\s*:)",
    re.IGNORECASE,
)


class Omissions:
    """The clauses of one reply, one after the other. ``code`` is said in place of code."""

    def __init__(self, code: str) -> None:
        self._code = f" {code}. " if code else " "
        self._until: re.Pattern[str] | None = None
        self._line = False  # what is open ends with its line at the latest
        self._depth = 0  # of braces, in JSON
        self._in_string = False

    def push(self, clause: str) -> list[tuple[str, int]]:
        """The characters outside, each with its place in the clause."""
        kept: list[tuple[str, int]] = []
        at = 0
        while at < len(clause):
            if self._depth:
                at = self._after_json(clause, at)
            elif self._until is not None:
                at = self._after(clause, at)
            else:
                found = _OPENS.search(clause, at)
                end = len(clause) if found is None else found.start()
                kept += ((clause[place], place) for place in range(at, end))
                if found is None:
                    break
                kept += ((char, found.start()) for char in self._open(found, kept))
                at = found.start() if self._depth else found.end()
        return kept

    def _open(self, found: re.Match[str], before: list[tuple[str, int]]) -> str:
        """Begins to leave out what was found; what is said instead."""
        kind, mark = str(found.lastgroup), found.group()
        self._line = kind in ("tag", "note", "echo") and not mark.startswith("<!--")
        if kind == "json":
            self._depth, self._in_string = -1, False
        elif kind == "fence":
            self._until = re.compile(re.escape(mark))
        elif kind == "note":
            self._until = re.compile("】")
        elif kind == "echo":
            self._until = re.compile(r"\]")
        elif kind == "tag":
            self._until = re.compile("-->" if mark.startswith("<!--") else r"\)" if mark.startswith("]") else ">")
        else:
            self._until = re.compile(f"</{re.escape(found['block'])}>", re.IGNORECASE)
        if kind not in ("json", "fence"):
            return " " if kind in ("note", "echo") else ""
        said = "".join(char for char, _ in before[-len(self._code) - 4 :]).rstrip(" ,\n[")
        return " " if self._code.strip() and said.endswith(self._code.strip()) else self._code

    def _after(self, clause: str, at: int) -> int:
        """Where what is open ends; the clause's end if it goes on."""
        assert self._until is not None
        found = self._until.search(clause, at)
        line = clause.find("\n", at) if self._line else -1
        if line >= 0 and (found is None or line < found.start()):
            self._until = None
            return line
        if found is None:
            return len(clause)
        self._until = None
        return found.end()

    def _after_json(self, clause: str, at: int) -> int:
        self._depth = max(0, self._depth)
        escaped = False
        for place in range(at, len(clause)):
            char = clause[place]
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = self._in_string
            elif char == '"':
                self._in_string = not self._in_string
            elif not self._in_string and char in "{}":
                self._depth += 1 if char == "{" else -1
                if not self._depth:
                    return place + 1 + len(clause[place + 1 :]) - len(clause[place + 1 :].lstrip(" ,]"))
        return len(clause)
