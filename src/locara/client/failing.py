"""What a server answers when it refuses, as the errors that the same call raises in one's own process.

What may live here: from the wire's error to a ``LocaraError``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from locara.errors import LocaraError


def raised(told: Mapping[str, Any]) -> LocaraError:
    """The error with this code: its class where this version has one, else a plain ``LocaraError`` with the code. Beside
    ``message`` and ``hint`` it has ``stage`` and ``retry_after`` where the server told them."""
    code = str(told.get("code") or LocaraError.code)
    kind = next((one for one in _all(LocaraError) if one.code == code), LocaraError)
    error = kind.__new__(kind)  # each class takes other arguments; the sentence is complete already
    LocaraError.__init__(error, str(told.get("message", "")), hint=str(told.get("hint", "")))
    vars(error).update(code=code, model="", stage=str(told.get("stage") or ""), retry_after=told.get("retry_after"))
    return error


def _all(kind: type[LocaraError]) -> Iterator[type[LocaraError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _all(one)
