"""The shape of one answer of ``locara doctor``. What may live here: these values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``found``: one sentence of what is there. ``fix``: what to do about it, empty where nothing is to be done.
    ``facts``: the numbers behind it, for ``--json``; sizes in bytes, times in seconds, levels in dBFS."""

    check: str
    status: Status
    found: str
    fix: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def worst(verdicts: list[Verdict]) -> Status:
    """The worst of them; what was skipped does not count."""
    order: tuple[Status, ...] = ("fail", "warn")
    found = {one.status for one in verdicts}
    return next((status for status in order if status in found), "ok")
