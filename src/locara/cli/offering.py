"""The better set that a first conversation offers: is there one, how it is asked, what is remembered of the answer.

What may live here: pure decisions and sentences, and the small file in which a "no" is kept. The download and the change
are `first_run`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.catalog.fitting import words
from locara.catalog.picks import EMBEDDED
from locara.catalog.proposing import Choice, Proposal

LEAST_GAIN = 10.0
"""On the scale of `locara.catalog.picks`: what is not clearly better than what is here is not worth a download."""

STATE = "first-run.json"
_KNOWN_ANSWERS = 50
"""Answers kept; the oldest go."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Models to fetch, and those an extra would have to be installed for first."""

    choices: tuple[Choice, ...]
    install: tuple[Choice, ...] = ()

    @property
    def key(self) -> str:
        """What an answer is remembered under: another set is another question."""
        return " ".join(sorted(one.model for one in self.choices or self.install))

    @property
    def download(self) -> int:
        """Bytes, as far as they are known."""
        return sum(one.download or 0 for one in self.choices)


def better(now: Proposal, fetched: Proposal, installed: Proposal) -> Offer | None:
    """What is clearly better than ``now`` (what is ready): after a download (``fetched``), else after installing an extra
    (``installed``). None where nothing is."""
    choices = tuple(_gains(now, fetched))
    return Offer(choices) if choices else _to_install(now, installed)


def _to_install(now: Proposal, installed: Proposal) -> Offer | None:
    found = tuple(one for one in _gains(now, installed) if one.extra)
    return Offer((), found) if found else None


def _gains(now: Proposal, then: Proposal) -> Iterable[Choice]:
    for one in then.choices:
        before = now.of(one.stage)
        level = EMBEDDED if before is None else before.worth
        if (one.source == "download" or one.extra) and one.worth >= level + LEAST_GAIN:
            yield one


def lines(offer: Offer) -> list[str]:
    """What is shown before the question: each model with its size, licence, flags, memory and reason."""
    told = ["A better set fits this machine:"]
    for one in offer.choices or offer.install:
        flags = f" ({', '.join(one.flags)})" if one.flags else ""
        memory = f", {'about ' if one.guessed else ''}{words(one.memory)} of memory" if one.memory else ""
        status = ", not tried by us with its real weights" if one.status == "experimental" else ""
        told.append(f"  {one.stage}  {one.model}: {words(one.download)}, {one.licence}{flags}{memory}{status}")
    if offer.install:
        extras = ",".join(sorted({one.extra for one in offer.install}))
        told.append(f'  to have it: pip install "locara[{extras}]", then locara talk again')
    return told


def question(offer: Offer) -> str:
    """The one question."""
    size = words(offer.download) if all(one.download is not None for one in offer.choices) else "an unknown size"
    return f"Fetch it now ({size}) while we talk?  y yes   n no, and do not ask again"


def progress_line(model: str, number: int, of: int, done: int, total: int | None, a_second: float | None) -> str:
    """``kokoro-82m 1/2  45 %  152 MB of 340 MB  5.1 MB/s  0:37``: one line, whatever is known."""
    parts = [f"{model} {number}/{of}" if of > 1 else model]
    if total:
        parts += [f"{min(100, 100 * done // total):2d} %", f"{words(done)} of {words(total)}"]
    elif done:
        parts.append(words(done))
    if a_second and a_second >= 1000:
        parts.append(f"{words(round(a_second))}/s")
        if total and total > done:
            left = round((total - done) / a_second)
            parts.append(f"{left // 60}:{left % 60:02d}")
    return "  ".join(parts)


# --- what was answered before -----------------------------------------------------------------------------------------


def declined(folder: Path) -> frozenset[str]:
    """The keys of offers that were declined, or shown and only needed to be shown once. Empty if nothing can be read."""
    return frozenset(_answers(folder))


def remember_declined(folder: Path, offer: Offer) -> None:
    """Remembers a "no". Raises ``OSError``."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [one for one in _answers(folder) if one != offer.key][-_KNOWN_ANSWERS + 1 :]
    (folder / STATE).write_text(json.dumps({"declined": [*kept, offer.key]}, indent=1) + "\n", encoding="utf-8")


def _answers(folder: Path) -> Sequence[str]:
    try:
        told: Any = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    found = told.get("declined", ()) if isinstance(told, Mapping) else ()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else ()
