"""What of a reply is read aloud: no markdown, emoji, addresses, code or thinking text; units and signs as words.

What may live here: turning a clause into the text for a voice, and finding the way back from a place in that text to the
place in the clause. Pure. Where clauses end is decided in `clauses`; numbers, dates and prices are left to the voice.

The signs are spelled out in English. For another language pass its code: then markup goes, and signs stay as they are.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

CODE = "code omitted"


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


def speakable(clause: str, language: str = "en") -> Spoken:
    """One clause that stands alone, as a voice should read it."""
    return Speakable(language).push(clause)


class Speakable:
    """The clauses of one reply, one after the other: remembers that code, thinking text or a tag is still open."""

    def __init__(self, language: str = "en") -> None:
        self._english = language.lower().partition("-")[0] in ("en", "")
        self._until = ""  # what ends the part that is being left out
        self._line_begins = True

    def push(self, clause: str) -> Spoken:
        """The next clause. Constructs that go on in the next one (``**bold``, a table's row, code) may be cut anywhere
        between words."""
        begins = self._line_begins
        self._line_begins = clause[-1:] == "\n" or (begins and not clause.strip())
        rest = Marked(self._without_blocks(clause), clause)
        if not begins:
            rest = rest.sub(r"\A[ \t]*", "\0")  # what follows is no beginning of a line
        for pattern, replacement in _MARKUP:
            rest = rest.sub(pattern, replacement)
        for pattern, replacement in _WORDS if self._english else ():
            rest = rest.sub(pattern, replacement)
        for pattern, replacement in _BLANKS:
            rest = rest.sub(pattern, replacement)
        return rest.spoken()

    def _without_blocks(self, clause: str) -> list[tuple[str, int]]:
        """The characters outside code, thinking text and open tags, each with its position."""
        kept: list[tuple[str, int]] = []
        at = 0
        while at < len(clause):
            if self._until:
                end = clause.find(self._until, at)
                if end < 0 and not (self._until == ">" and "\n" in clause[at:]):
                    break
                # A tag that was never closed ends with its line.
                at = end + len(self._until) if end >= 0 else clause.index("\n", at)
                self._until = ""
                continue
            found = _OPENS.search(clause, at)
            if found is None:
                kept += ((char, place) for place, char in enumerate(clause[at:], at))
                break
            kept += ((char, place) for place, char in enumerate(clause[at : found.start()], at))
            opener = found.group()
            if opener[0] in "`~":
                self._until = opener
                kept += ((char, found.start()) for char in f" {CODE}. ")
            else:
                self._until = ">" if found["tag"] else opener.replace("<", "</")
            at = found.end()
        return kept


_OPENS = re.compile(r"```|(?m:^)~~~|<think(?:ing)?>|(?P<tag><[A-Za-z][\w-]*\s+[\w-]+=[^<>]*\Z)")


class Marked:
    """A text in which every character knows where it came from."""

    def __init__(self, chars: list[tuple[str, int]], source: str) -> None:
        self._text = "".join(char for char, _ in chars)
        self._places = [place for _, place in chars]
        self._source = source

    def sub(self, pattern: re.Pattern[str] | str, replacement: Replacement) -> Marked:
        """Replaces what ``pattern`` finds. In a replacement, ``\\1`` is a group that keeps the places of its characters;
        new characters come from where the match begins, or from where the group before them ends."""
        out: list[tuple[str, int]] = []
        done = 0
        for found in re.finditer(pattern, self._text):
            out += zip(self._text[done : found.start()], self._places[done : found.start()], strict=True)
            done = found.end()
            template = replacement(found) if callable(replacement) else replacement
            after = found.start()
            for part in re.split(r"(\\\d)", template):
                if part.startswith("\\"):
                    start, end = found.span(int(part[1]))
                    out += zip(self._text[start:end], self._places[start:end], strict=True)
                    after = max(after, end)
                else:
                    place = self._places[after] if after < len(self._places) else len(self._source)
                    out += ((char, place) for char in part)
        out += zip(self._text[done:], self._places[done:], strict=True)
        return Marked(out, self._source)

    def spoken(self) -> Spoken:
        """The text as it is now, and its way back."""
        if not any(map(str.isalnum, self._text)):
            return Spoken("", ((0, len(self._source)),))
        pairs = [(at, place) for at, place in enumerate(self._places) if at == 0 or place != self._places[at - 1] + 1]
        return Spoken(self._text, (*pairs, (len(self._text), len(self._source))))


Replacement = str | Callable[[re.Match[str]], str]
Rules = tuple[tuple[re.Pattern[str], Replacement], ...]


def _entity(found: re.Match[str]) -> str:
    meant = html.unescape(found.group())
    return " " if meant.isspace() else meant.replace("\\", "")


def _rules(*rules: tuple[str, Replacement]) -> Rules:
    return tuple((re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in rules)


_MARKUP = _rules(
    (r"<!--.*?-->|</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>", " "),  # HTML
    (r"<((?:https?://|www\.)[^\s<>]*)>", "\\1"),
    (r"&(?:#\d{1,6}|#x[\da-fA-F]{1,6}|[A-Za-z]{2,8});", _entity),
    (r"(?<!\w)!(?=\[)", ""),  # ![a picture](address)
    (r"\[\^?\d+\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)", ""),  # a citation that is a link
    (r"\]\((?:[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)", ""),  # [text](address): the text stays
    (r"[ \t]?(?:\[\^?\d+(?:\s*[,–-]\s*\d+)*\]|【[^】]*】)", ""),  # [1], [2, 3]
    (r"(?:https?://|ftp://|www\.)[^\s<>|]*[^\s<>|.,;:!?)\]}\"'*_`»”]", "a link"),
    (r"[A-Za-z0-9+/=_-]{64,}", ""),  # a key, a checksum, a picture as text
    (r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t>]*|[-*+•‣◦▪][ \t]+(?:\[[ xX]\][ \t]*)?)+", ""),  # heading, quotation, list
    (r"^[ \t|:-]*-[ \t|:-]*$|^[ \t]*(?:[*_=][ \t]*){3,}$", ""),  # a ruled line, also below a table's head
    (r"(?:^|\0)[ \t]*\|[ \t|]*|[ \t]*\|[ \t|]*$", ""),  # a table's row: its sides
    (r"[ \t]*\|[ \t|]*", ", "),  # and between its cells
    (r"\\[()\[\]]|\$\$", ""),  # marks of formulas
    (r"\\(?=[^\w\s])", ""),
    (r"(?<=\d)[ \t]*\*[ \t]*(?=\d)", " × "),
    (r"(?<=\w)_+(?=\w)", " "),
    (r"[*`\[\]]|~~|_|(?<!\w)#(?=[^\d\s])", ""),
    ("[ \\t]?[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+", ""),
    (r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u2060\ufeff]", ""),
)

_UNITS = {
    "km/h": "kilometer per hour",
    "m/s": "meter per second",
    "mph": "mile per hour",
    "km²": "square kilometer",
    "m²": "square meter",
    "m³": "cubic meter",
    "°C": "degree Celsius",
    "°F": "degree Fahrenheit",
    "°": "degree",
    "km": "kilometer",
    "cm": "centimeter",
    "mm": "millimeter",
    "kg": "kilogram",
    "mg": "milligram",
    "ml": "milliliter",
    "mL": "milliliter",
    "ms": "millisecond",
    "kWh": "kilowatt hour",
    "kW": "kilowatt",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "Hz": "hertz",
    "kB": "kilobyte",
    "KB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "lbs": "pound",
    "lb": "pound",
    "oz": "ounce",
    "ft": "foot",
    "min": "minute",
    "m": "meter",
    "g": "gram",
    "L": "liter",
    "l": "liter",
    "h": "hour",
}
_SAME_IN_PLURAL = ("hertz",)


def _unit(found: re.Match[str]) -> str:
    name = _UNITS[found["unit"]]
    if found["number"] != "1" and not name.endswith(_SAME_IN_PLURAL):
        noun, per, rest = name.partition(" per ")
        first, blank, second = noun.partition(" degree")
        many = "feet" if noun == "foot" else noun.replace("degree", "degrees") if "degree" in noun else noun + "s"
        name = first + blank + second and many + per + rest
    return "\\1 " + name


_WORDS = _rules(
    (r"\b[Ee]\.\s?g\.", "for example"),
    (r"\b[Ii]\.\s?e\.", "that is"),
    (r"\betc\.(?=\s*[a-z,;:)])", "et cetera"),
    (r"\betc\.", "et cetera."),
    (r"\bvs\.?(?=\s)", "versus"),
    (r"\bapprox\.(?=\s)", "approximately"),
    (r"\b[Nn]o\.(?=\s?\d)|#(?=\d)", "number "),
    (r"(?<=\d)[ \t]?–[ \t]?(?=\d)", " to "),
    (  # but $5m is five million, not five meters
        r"((?<![\w.,$€£¥])(?<![$€£¥] )(?P<number>\d[\d.,]*))[ \t\u00a0\u202f]?(?P<unit>"
        + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
        + r")(?![\w/²³])",
        _unit,
    ),
    (r"(?<=\d)[ \t\u00a0\u202f]?%", " percent"),
    (r"[ \t]?&[ \t]?", " and "),
    (r"[ \t]?(?:→|⇒|->|=>)[ \t]?", " to "),
    (r"[~≈][ \t]?(?=\d)", "about "),
    (r"[ \t]?±[ \t]?", " plus or minus "),
    (r"[ \t]?×[ \t]?", " times "),
    (r"(?<=[\w)])[ \t]*≤[ \t]*", " at most "),
    (r"(?<=[\w)])[ \t]*≥[ \t]*", " at least "),
    (r"(?<=\d)[ \t]*\+[ \t]*(?=\d)", " plus "),
    (r"(?<=[\w)])[ \t]+={1,3}[ \t]+(?=\S)", " equals "),
)

_BLANKS = _rules(
    (r"\0", ""),
    (r"(?<=[^\W_])[ \t]*\s*\n\s*(?=\S)", ", "),  # lines without an end mark: a list is read with commas
    (r"\s+", " "),
    (r"(?:, )+(?=, )|\A(?:, )+", ""),
    (r"\A\s+|\s+\Z| (?=[,;:!?](?:\s|\Z))| (?=\.(?:\s|\Z))", ""),
    (r"\(\s*\)", ""),
    (r"\s+", " "),
    (r"\A\s+|\s+\Z", ""),
)
