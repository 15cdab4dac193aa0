"""What used the microphone and the speaker: the lines of the log, put together. What may live here: that, as pure
functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from locara.consent.audit import Entry

_OPENED: dict[str, Literal["microphone", "speaker"]] = {"microphone-opened": "microphone", "speaker-opened": "speaker"}
_CLOSED: dict[str, Literal["microphone", "speaker"]] = {"microphone-closed": "microphone", "speaker-closed": "speaker"}


@dataclass(frozen=True, slots=True)
class Use:
    """One use of one device. ``end``: None while it is open, or where it was never noted. ``ended``: ``closed``; ``open``;
    ``lost``: its process went away without a word. ``refused``: nothing was opened, it was denied."""

    what: Literal["microphone", "speaker"] | str
    app: str
    name: str
    pid: int
    start: float
    end: float | None = None
    ended: Literal["closed", "open", "lost", "refused", "revoked"] = "open"
    device: str = ""
    models: Mapping[str, Mapping[str, str]] | None = None
    reason: str = ""


def uses(entries: Iterable[Entry], alive: Callable[[int], bool]) -> list[Use]:
    """Every use and every refusal, in the order in which they began. ``alive``: whether a process is still there."""
    found: list[Use] = []
    open_: dict[tuple[int, str, str], int] = {}
    models: dict[tuple[int, str], Mapping[str, Mapping[str, str]]] = {}
    revoked: dict[tuple[int, str], str] = {}
    for one in entries:
        session = (one.pid, one.session)
        if one.what == "models":
            models[session] = one.models
            for (pid, name, _), at in open_.items():
                if (pid, name) == session:
                    found[at] = replace(found[at], models=one.models)
        elif one.what in _OPENED:
            open_[*session, _OPENED[one.what]] = len(found)
            found.append(
                Use(
                    _OPENED[one.what], one.app, one.name, one.pid, one.at, device=one.device, models=models.get(session)
                )
            )
        elif one.what in _CLOSED:
            at = open_.pop((*session, _CLOSED[one.what]), -1)
            if at >= 0:
                ended: Literal["closed", "revoked"] = "revoked" if session in revoked else "closed"
                found[at] = replace(found[at], end=one.at, ended=ended, reason=revoked.get(session, ""))
        elif one.what == "revoked":
            revoked[session] = one.reason
        elif one.what == "denied":
            found.append(Use(one.capability, one.app, one.name, one.pid, one.at, one.at, "refused", reason=one.reason))
    for at in open_.values():
        if not alive(found[at].pid):
            found[at] = replace(found[at], ended="lost")
    return found
