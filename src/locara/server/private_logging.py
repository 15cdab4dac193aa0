"""Logs without words, sound and tokens. What may live here: what is done to the logging of this process for that.

Libraries under us log frames and headers at DEBUG (websockets: every text frame and the Authorization header; aiohttp's
access log: addresses with their query), and an exception's message may quote what could not be read. So their loggers stay
at WARNING whatever the root logger is set to; of an exception, whosever, only type and place are logged; and whatever looks
like our token is blotted out of everything.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

QUIET = (
    *("aiohttp", "aiohttp.access", "aiohttp.client", "aiohttp.internal", "aiohttp.server", "aiohttp.web"),
    *("aiohttp.websocket", "websockets", "websockets.client", "websockets.server", "asyncio", "httpx", "httpcore"),
    *("openai", "opentelemetry", "zeroconf", "wyoming"),
)
"""Loggers of libraries through which a conversation passes."""

_SECRETS = (
    re.compile(r"(?i)(bearer\s+)[^\s'\",]+"),
    re.compile(r"((?:locara\.token|openai-insecure-api-key)\.)[A-Za-z0-9_-]+"),
    re.compile(r"(#code=)[A-Za-z0-9_-]+"),
)
_BLOT = "[...]"
_LEAST = 8  # characters: a shorter secret would blot out ordinary words


class _Private(logging.Filter):
    """On a handler or a logger: blots out secrets, and leaves of exceptions only type and place."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = tuple(one for one in secrets if len(one) >= _LEAST)

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except Exception:  # a broken record of somebody else's
            text = str(record.msg)
        if record.exc_info and record.exc_info[0] is not None:
            text += f" ({where(record.exc_info[0], record.exc_info[2])})"
        record.msg, record.args = self._blotted(text), ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def _blotted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _BLOT)
        for pattern in _SECRETS:
            text = pattern.sub(rf"\1{_BLOT}", text)
        return text


def where(kind: type[BaseException], trace: TracebackType | None) -> str:
    """``ValueError at server/ipc.py:120``: an exception without its message."""
    frames = traceback.extract_tb(trace)
    if not frames:
        return kind.__name__
    last = frames[-1]
    return f"{kind.__name__} at {Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno}"


def keep_private(secrets: Iterable[str] = ()) -> None:
    """From now on. To be called again whenever a handler was added to the root logger; ``secrets``: our token."""
    for name in QUIET:
        logger = logging.getLogger(name)
        logger.setLevel(max(logging.WARNING, logger.level))
        _filter_on(logger, secrets)
        for handler in logger.handlers:
            _filter_on(handler, secrets)
    for handler in (*logging.getLogger().handlers, *filter(None, [logging.lastResort])):
        _filter_on(handler, secrets)


def _filter_on(one: logging.Filterer, secrets: Iterable[str]) -> None:
    for known in [known for known in one.filters if isinstance(known, _Private)]:
        one.removeFilter(known)
    one.addFilter(_Private(secrets))
