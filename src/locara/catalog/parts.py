"""One file on its way, as values, and the small file beside a part that says what the part is of.

What may live here: what is wanted, how patient to be, what is told, what is noted. Nothing is fetched here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from locara.errors import ModelError


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines and retries of a pull; times in seconds. ``stall``: a server that sends less than ``stall_bytes`` in that
    time stands still. ``retries``: attempts in a row that bring less than ``progress_bytes`` of news; ``unreachable``
    the same for a server that cannot even be connected to. Waits double from ``first_wait`` to ``longest_wait``; a server
    that asks for more than ``longest_asked`` is told about instead of waited for."""

    connect: float = 15.0
    read: float = 30.0
    stall: float = 60.0
    stall_bytes: int = 60 * 1024
    retries: int = 6
    unreachable: int = 3
    first_wait: float = 1.0
    longest_wait: float = 30.0
    longest_asked: float = 120.0
    progress_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to fetch from ``url``. ``origin``: the address as the row gives it, where ``url`` is that at a ``revision``
    found since: a part is known by it. ``name``: for people, e.g. ``kokoro-82m: model.onnx``. ``token``: for the hub.
    ``gate``: the error for who may not have it, of the status and whether a token was shown. ``room``: raises where the
    disk cannot take so many bytes more. ``markup``: it is a web page itself."""

    name: str
    url: str
    origin: str = ""
    revision: str = ""
    sha256: str = ""
    size: int | None = None
    token: str = ""
    gate: Callable[[int, bool], ModelError] | None = None
    room: Callable[[int], None] = lambda _: None
    markup: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of a part: of which address and file it is, and, once ``sha256`` is set, that it is whole."""

    url: str = ""
    wanted: str = ""
    validator: str = ""
    revision: str = ""
    linked: str = ""
    """The sha256 that the hub itself has for the file, from its headers."""
    total: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """How far one file is. ``stage``: ``checking`` what is here already, ``downloading``, or ``retrying``, with the
    reason in ``note``. ``total``: bytes, None where nobody says."""

    stage: str
    done: int
    total: int | None
    note: str = ""


def note_of(part: Path) -> Path:
    """The file beside ``part`` that says what it is."""
    return part.with_name(part.name + ".json")


def read_note(part: Path) -> Part:
    """What is known of ``part``; nothing where the note is missing or not ours."""
    try:
        found: dict[str, Any] = json.loads(note_of(part).read_text(encoding="utf-8"))
        total = found["total"]
        texts = {one: str(found[one]) for one in ("url", "wanted", "validator", "revision", "linked", "sha256")}
        return Part(
            url=texts["url"],
            wanted=texts["wanted"],
            validator=texts["validator"],
            revision=texts["revision"],
            linked=texts["linked"],
            sha256=texts["sha256"],
            total=total if isinstance(total, int) else None,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Part()


def write_note(part: Path, note: Part) -> None:
    """Notes it, in one step."""
    beside = part.with_name(part.name + ".json.new")
    beside.write_text(json.dumps(asdict(note)), encoding="utf-8")
    beside.replace(note_of(part))
