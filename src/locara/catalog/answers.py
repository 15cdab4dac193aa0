"""What a server's answer to a request for (the rest of) a file means. Pure: status and headers in, a verdict out.

What may live here: the rules of RFC 9110 (sections 13.1.5 If-Range, 14 ranges, 10.2.3 Retry-After) as far as one file
needs them, and what the Hugging Face Hub adds in its ``X-`` headers. No connection, no clock, no disk.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")
_MARKUP = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body|\?xml[^>]*>\s*<!doctype html)", re.IGNORECASE
)

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Answers that may be another one in a minute. The numbers from 520 are those of a large content network."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. ``offset``: bytes there already, 0 for all of it. ``size``: bytes in all, if the row says so."""

    offset: int
    size: int | None = None
    markup: bool = False
    """Whether the file itself is HTML."""


@dataclass(frozen=True, slots=True)
class Body:
    """The file follows from byte ``start`` on. ``total``: bytes in all, None where the server does not say. ``ends``:
    whether a body that breaks off can be told from one that is finished. ``why`` it starts anew although a part is
    there, or ""."""

    start: int
    total: int | None
    ends: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Complete:
    """There is nothing behind ``offset``: what is there already should be all of it."""


@dataclass(frozen=True, slots=True)
class Passing:
    """No file now, perhaps later. ``after``: seconds the server asks for. ``afresh``: without the part that is there."""

    why: str
    after: float | None = None
    afresh: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No file, and asking again will not change that. ``why`` for people; ``status`` the answer's, 0 for a wrong body."""

    why: str
    status: int = 0
    hint: str = ""


Verdict = Body | Complete | Passing | Refused


def judge(status: int, headers: Mapping[str, str], asked: Asked, now: float) -> Verdict:  # noqa: PLR0911 - one a status
    """The verdict. ``headers`` with names in lower case; ``now``: seconds since the epoch, for a Retry-After date."""
    if status == 200:
        return _whole(headers, asked)
    if status == 206:
        return _rest(headers, asked)
    if status == 416:
        found = _UNSATISFIED.fullmatch(headers.get("content-range", "").strip())
        if asked.offset and found and int(found[1]) == asked.offset:
            return _wrong_size(asked.offset, asked) or Complete()
        if asked.offset:
            return Passing("the server has nothing behind the part that is here (416)", 0.0, afresh=True)
        return Refused("the server refuses to send any of it (416)", status)
    if status in _PASSING:
        return Passing(_passing(status), retry_after(headers, now))
    if status in {404, 410}:
        return Refused("it is not there (any more)", status)
    return Refused(f"the server answered {status}", status)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, as a number or until a date; None where it does not, or not sensibly."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9]) or None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def validator(headers: Mapping[str, str]) -> str:
    """What If-Range can name so that a changed file is seen: a strong ETag, else the date of the last change, else ""."""
    etag = headers.get("etag", "").strip()
    if etag.startswith('"') and etag.endswith('"') and len(etag) > 2:
        return etag
    return headers.get("last-modified", "").strip()


def linked_sha256(headers: Mapping[str, str]) -> str:
    """The sha256 that the hub names for a large file, or "": for small ones its tag is a git hash, which is shorter."""
    tag = headers.get("x-linked-etag", "").strip().removeprefix("W/").strip('"').lower()
    return tag if re.fullmatch(r"[0-9a-f]{64}", tag) else ""


def is_markup(head: bytes) -> bool:
    """Whether a body begins like a web page: the login page of a hotel, an error page."""
    return _MARKUP.match(head) is not None


def page_instead() -> Refused:
    """The verdict for a web page where a file should be."""
    return Refused(
        "a web page came instead of the file",
        hint="this network may want a login first: open any page in a browser, then run the same command again",
    )


def _whole(headers: Mapping[str, str], asked: Asked) -> Verdict:
    if refused := _wrong_form(headers, asked):
        return refused
    length = headers.get("content-length", "").strip()
    total = int(length) if length.isascii() and length.isdigit() else None
    if refused := _wrong_size(total, asked):
        return refused
    why = "the server sends no ranges, or the file has changed there" if asked.offset else ""
    ends = total is not None or "chunked" in headers.get("transfer-encoding", "").lower()
    return Body(0, total, ends, why)


def _rest(headers: Mapping[str, str], asked: Asked) -> Verdict:
    if refused := _wrong_form(headers, asked):
        return refused
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None or int(found[1]) != asked.offset or int(found[2]) < int(found[1]):
        return Passing("the server sent another range than it was asked for", 0.0, afresh=True)
    total = int(found[3]) if found[3] != "*" else None
    if total is not None and int(found[2]) >= total:
        return Passing("the server sent a range behind the end", 0.0, afresh=True)
    if refused := _wrong_size(total, asked):
        return refused
    return Body(asked.offset, total, ends=True)


def _wrong_form(headers: Mapping[str, str], asked: Asked) -> Refused | None:
    sort = headers.get("content-type", "").split(";")[0].strip().lower()
    if sort in {"text/html", "application/xhtml+xml"} and not asked.markup:
        return page_instead()
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        return Refused(
            f"the server sent it compressed ({coding[:40]}), although it was asked not to",
            hint="a proxy on the way may do that: try another network, or HF_ENDPOINT for a mirror",
        )
    return None


def _wrong_size(total: int | None, asked: Asked) -> Refused | None:
    if total is None or asked.size is None or total == asked.size:
        return None
    return Refused(
        f"the server has a file of {total} bytes, the catalog says {asked.size}",
        hint="the file has changed there; a newer version of Locara may know it",
    )


def _passing(status: int) -> str:
    if status == 429:
        return "the server asks for fewer requests (429)"
    return f"the server has a problem of its own ({status})"
