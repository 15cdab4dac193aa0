"""What went wrong in a REST request, as OpenAI's error object: ``{"error": {message, type, param, code}}``. Pure.

What may live here: which status and which code an error has. What is said is our own error's sentence with its next step;
of an error that nobody foresaw nothing is said but that there was one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from locara.errors import (
    AudioError,
    CapabilityDenied,
    ConfigError,
    ConsentError,
    EngineMissing,
    EngineTimeout,
    LocaraError,
    ModelError,
    ModelMissing,
    ModelNotDeclared,
    SoundMuted,
)
from locara.server.places import without_places

INVALID = "invalid_request_error"
BUSY = "rate_limit_error"
SERVER = "server_error"
DENIED = "permission_error"

_TYPES = {401: "authentication_error", 403: DENIED, 404: INVALID, 429: BUSY, 503: SERVER}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error. ``status``: of HTTP; ``param``: the field that is wrong; ``retry_after``: seconds."""

    status: int
    message: str
    type: str = INVALID
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None

    def body(self) -> dict[str, Any]:
        """What is sent, as JSON."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class Refused(Exception):
    """Raised by what reads a request or does its work, to be answered with ``refusal``."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def wrong(message: str, param: str | None = None, *, code: str | None = None, status: int = 400) -> Refused:
    """A request that cannot be, to be raised. ``message``: what is wrong and what would be right."""
    return Refused(Refusal(status, message, INVALID, param, code))


def busy(message: str, retry_after: float) -> Refused:
    """Too much at once, to be raised. ``retry_after`` in seconds."""
    return Refused(Refusal(429, message, BUSY, None, "busy", retry_after))


def of_status(status: int, message: str) -> Refusal:
    """The refusal for a plain status of HTTP."""
    return Refusal(status, message, _TYPES.get(status, INVALID if status < 500 else SERVER))


def refusal_of(error: BaseException) -> Refusal:
    """How ``error`` is answered."""
    if isinstance(error, Refused):
        return error.refusal
    if not isinstance(error, LocaraError):
        return Refusal(
            500, "the server failed at this request; its log names the place", SERVER, None, "internal_error"
        )
    said = without_places(f"{error.message}. {error.hint}" if error.hint else error.message)
    after = getattr(error, "retry_after", None)
    if isinstance(after, int | float):
        return Refusal(429, said, BUSY, None, "busy", float(after))
    status, kind, param = _sort(error)
    code = "model_not_found" if status == 404 else error.code
    return Refusal(status, said, kind, param, code)


def _sort(error: LocaraError) -> tuple[int, str, str | None]:
    """(status, type, param): of the first class in the table that it is one of."""
    return next((answer for kinds, answer in _SORTS if isinstance(error, kinds)), (500, SERVER, None))


_SORTS: tuple[tuple[tuple[type[LocaraError], ...], tuple[int, str, str | None]], ...] = (
    ((ModelMissing, EngineMissing), (404, INVALID, "model")),
    ((AudioError,), (400, INVALID, "file")),
    ((ModelNotDeclared, CapabilityDenied, ConsentError, SoundMuted), (403, DENIED, None)),
    ((ConfigError,), (400, INVALID, None)),
    ((EngineTimeout,), (503, SERVER, None)),
    ((ModelError,), (503, SERVER, "model")),
)
