"""Which names may become files: of models, of their files, of what is inside archives. Pure.

What may live here: rules that hold on every system at once, so that a folder can be carried from Linux to Windows.
Sources: "Naming Files, Paths, and Namespaces" (Microsoft) for reserved names and characters; POSIX for NUL and slash.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from locara.errors import ModelError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')

_LONGEST_PART = 255
"""Bytes in UTF-8: the limit of ext4 and APFS, and at least as tight as the 255 UTF-16 units of NTFS."""
_LONGEST_PATH = 1024
_DEEPEST = 32


def model_id(text: str) -> str:
    """``text`` if it can be a model's name and its folder; else raises ``ModelError``."""
    if not _ID.fullmatch(text) or wrong_part(text):
        raise ModelError(
            f"{text!r} cannot be the name of a model: letters, digits, dots, dashes, plus and underscores, 100 at most, "
            "beginning with a letter or a digit, and not a name that Windows keeps for itself",
            hint="choose another name",
        )
    return text


def relative(text: str, *, strip: int = 0) -> PurePosixPath | None:
    """``text``, a path inside an archive or a row, as a path inside a folder, without its first ``strip`` parts. None
    where nothing is left. Raises ``ValueError`` with the reason where it could lie outside, or nowhere on some system."""
    if not text or len(text.encode("utf-8", "surrogatepass")) > _LONGEST_PATH:
        raise ValueError("an empty name" if not text else f"a path of more than {_LONGEST_PATH} bytes")
    if text.startswith("/") or re.match(r"[A-Za-z]:", text):
        raise ValueError("an absolute path")
    parts = [one for one in text.split("/") if one not in {"", "."}]
    for one in parts:
        if reason := wrong_part(one):
            raise ValueError(reason)
    if len(parts) > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} folders deep")
    rest = parts[strip:]
    return PurePosixPath(*rest) if rest else None


def wrong_part(part: str) -> str:
    """Why ``part`` cannot be the name of a file or a folder everywhere, or ""."""
    if part == "..":
        return "it climbs out of its folder"
    if _FORBIDDEN.search(part):
        return "it holds a character that file names may not have"
    if part[-1:] in {".", " "}:
        return "it ends with a dot or a space"
    if _RESERVED.fullmatch(part):
        return "it is a name that Windows keeps for devices"
    try:
        return "a name of more than 255 bytes" if len(part.encode("utf-8")) > _LONGEST_PART else ""
    except UnicodeEncodeError:
        return "it is not valid Unicode"


class Taken:
    """Which paths are taken already, as the least particular system sees it: without case, Unicode composed."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def take(self, path: PurePosixPath) -> str:
        """Takes ``path`` for a file. Returns why it cannot be had, or ""."""
        key = _key(str(path))
        if key in self._files or key in self._folders:
            return "another file has that name already, perhaps in other letters"
        if reason := self.folder(path.parent):
            return reason
        self._files.add(key)
        return ""

    def folder(self, path: PurePosixPath) -> str:
        """Takes ``path`` and those above it for folders. Returns why they cannot be had, or ""."""
        for one in (path, *path.parents):
            if str(one) == ".":
                continue
            key = _key(str(one))
            if key in self._files:
                return f"{one} is a file already"
            if self._folders.setdefault(key, str(one)) != str(one):
                return f"{one} and {self._folders[key]} are one folder on some systems"
        return ""


def _key(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
