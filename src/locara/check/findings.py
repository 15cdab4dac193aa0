"""What a check finds. What may live here: the codes, which never change their meaning, and one finding as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

CODES: Mapping[str, str] = {
    "LV000": "the manifest cannot be used",
    "LV001": "the model is not declared in the manifest",
    "LV002": "the declared hash is not that of the catalog",
    "LV003": "the call does not have the form of the manifest's variant",
    "LV004": "the model is for another task",
    "LV005": "no modality and no capability of the manifest allows this",
    "LV006": "the call has a wrong keyword or value",
    "LV007": "another output than the default needs device.speaker.select",
    "LV008": "the source cannot be checked",
    "LV009": "the address is not one of this machine, and the manifest says offline",
    "LV010": "a file that the manifest names does not exist",
    "LV101": "not a literal: only the run time can check it",
    "LV102": "the model is declared and never named",
    "LV103": "the call cannot be followed: only the run time can check it",
    "LV104": "the declared model has no published hash",
}
"""LV0..: errors. LV1..: warnings, which leave the exit code as it is unless they are asked to count."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """``path``: relative to the checked folder, with ``/``. ``line`` and ``column`` from 1, in characters; 0 for the whole
    file. ``what`` is wrong, ``fix`` says what to do."""

    path: str
    line: int
    column: int
    code: str
    what: str
    fix: str

    @property
    def severity(self) -> Severity:
        """As the code says."""
        return "warning" if self.code.startswith("LV1") else "error"
