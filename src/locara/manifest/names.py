"""What names may look like: of apps, models, files, versions, and texts that a person is shown.

What may live here: pure checks of one text each. Each gives None, or what is wrong and what to do.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

Wrong = tuple[str, str] | None
"""What is wrong, and what to do about it."""

APP_ID = r"[a-z0-9]+(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+"
"""A reversed domain name, as Flatpak and Android have it: the key under which grants are kept, so it never changes."""
APP_ID_LENGTH = 128
MODEL = r"[a-z0-9][a-z0-9._-]{0,63}"
"""As the catalog's ids: lower case, so that it can be a folder on every file system."""
VERSION = r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,63}"
SHA256 = r"[0-9a-f]{64}"
NAME_LENGTH = 80
REASON_LENGTH = 300
"""Characters. They stand in a question that a person reads; what is longer hides something."""
FILE_LENGTH = 255
FILE = r"[^\x00-\x1f\x7f:\\]+"

_LOOKS_LIKE = {
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s", "ј": "j", "ԁ": "d",
    "һ": "h", "ո": "n", "ѵ": "v", "ԛ": "q", "ԝ": "w", "к": "k", "м": "m", "т": "t", "в": "b", "н": "h",
    "α": "a", "ο": "o", "ν": "v", "ρ": "p", "τ": "t", "ι": "i", "κ": "k", "υ": "u", "γ": "y", "ɡ": "g", "ı": "i",
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "․": ".", "。": ".", "ǃ": "!",
}  # fmt: skip
"""The letters that are used to pass for another (Unicode TR 39, those of its table that fold to our alphabet)."""


def foreign(text: str) -> Wrong:
    """The first character of an id that is not ASCII, by its name, and what it looks like."""
    for number, letter in enumerate(text, 1):
        if not letter.isascii():
            name = unicodedata.name(letter, "no name")
            folded = unicodedata.normalize("NFKC", letter)
            twin = _LOOKS_LIKE.get(letter.lower()) or (folded if folded.isascii() and folded.isprintable() else "")
            looks = f", which looks like {twin!r}" if twin else ""
            return (
                f"character {number} of {shown(text)} is U+{ord(letter):04X} {name}{looks}",
                "use the letters a to z, digits, dots and hyphens, so that nobody can pass for another",
            )
    return None


def app_id(text: str) -> Wrong:
    """A reversed domain name."""
    if wrong := foreign(text):
        return wrong
    if len(text) > APP_ID_LENGTH:
        return f"it has {len(text)} characters", f"at most {APP_ID_LENGTH}"
    if re.fullmatch(APP_ID, text) is None:
        lower = "; only lower case" if text != text.lower() else ""
        return f"{shown(text)} is no app id", f"write it like com.example.talk{lower}"
    return None


def model(text: str) -> Wrong:
    """A model's id."""
    if wrong := foreign(text):
        return wrong
    if re.fullmatch(MODEL, text) is None:
        return f"{shown(text)} cannot be a model's id", "lower case letters, digits, dots, _ and -, at most 64"
    return None


def version(text: str) -> Wrong:
    """Of the app; its order means nothing here."""
    if re.fullmatch(VERSION, text) is None:
        return f"{shown(text)} is no version", "write it like 1.2.0"
    return None


def sha256(text: str) -> Wrong:
    """64 hexadecimal digits."""
    if re.fullmatch(SHA256, text) is None:
        return f"{shown(text)} is no SHA-256", "64 hexadecimal digits in lower case: sha256sum FILE"
    return None


def read_by_people(text: str, most: int) -> Wrong:
    """A line that stands in a question: without what could make it look like another line."""
    if not text.strip():
        return "it is empty", "say it in a few words: people are shown it"
    if len(text) > most:
        return f"it has {len(text)} characters", f"at most {most}: people are shown it"
    for letter in text:
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            return (
                f"it has an invisible character, U+{ord(letter):04X} {unicodedata.name(letter, 'a control character')}",
                "people are shown it: leave it out",
            )
    return None


def inside(text: str) -> Wrong:
    """The path of a file that lies beside the manifest or below it. POSIX, so that it means the same everywhere."""
    parts = PurePosixPath(text).parts
    hint = "a path below the manifest's folder, like talk/main.py, with / between the parts"
    if not text or len(text) > FILE_LENGTH:
        return f"it has {len(text)} characters", f"1 to {FILE_LENGTH}; {hint}"
    if re.fullmatch(FILE, text) is None:
        return f"{shown(text)} has a character that no such path has", hint
    if text.startswith(("/", "~")) or ".." in parts or not parts:
        return f"{shown(text)} does not stay in the manifest's folder", hint
    if any(part != part.strip(" ") or part.endswith(".") for part in parts):
        return f"{shown(text)} means another file on Windows", hint
    return None


def shown(text: str) -> str:
    """A text in a message: cut, and with nothing in it that a terminal would obey."""
    return ascii(text) if len(text) <= 80 else ascii(text[:77] + "...")
