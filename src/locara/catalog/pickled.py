"""Which files could run a program when they are loaded: pickles, under whatever name. None is ever fetched or kept.

What may live here: names and first bytes. Nothing is unpickled, not even to look. Source of the opcodes: `pickletools`
of the standard library; of the zip with ``data.pkl``: ``torch.save`` since 1.6.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".nemo", ".mar"})
"""The last two are archives that hold a pickle."""

HEAD_BYTES = 256
"""As many first bytes are looked at. The longest name of a class that a real pickle begins with has about 100."""

_OPCODES = frozenset(ord(one.code) for one in pickletools.opcodes)
_OLD = re.compile(rb"\(?(?:c[A-Za-z_][\w.]*\r?\n\w+\r?\n|[dl]p\d+\r?\n|\]q\x00|\}q\x00)")
"""Protocols 0 and 1 have no mark of their own: they begin with a class by name, or with a list or dict put away."""


def named(path: str) -> bool:
    """Whether the name alone says pickle."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def begins(head: bytes) -> bool:
    """Whether these first bytes are those of a pickle. A safetensors file may begin with the same two bytes, as they
    are the length of its header; its third is then not an opcode, or the ninth opens the header."""
    if len(head) >= 9 and head[4:8] == b"\0\0\0\0" and head[8:9] == b"{":
        return False
    if len(head) >= 3 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[2] in _OPCODES:
        return True
    return _OLD.match(head) is not None


def held_by(path: Path) -> bool:
    """Whether the file at ``path`` is a pickle, or a zip with one inside (as torch writes them). A zip of arrays (npz)
    and ggml's own ``.bin`` are not. Raises ``OSError`` where it cannot be read."""
    with path.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    if begins(head):
        return True
    if not head.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(named(one) for one in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
