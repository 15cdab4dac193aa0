"""A multipart form with one recording: its fields, and the file's bytes, each with a limit.

What may live here: reading of bodies that come over the network, form or JSON. The recording stays in memory and is never
written to a disk: it may be private. What is in them is checked in `rest_wanted`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from locara.server.rest_errors import Refused, wrong
from locara.server.rest_wanted import TEXT_FIELDS

FIELDS = 64
"""Parts of a form. OpenAI's has fifteen, some of them more than once."""
FIELD_BYTES = 16 << 10
"""Of one field that is not the file."""
JSON_BYTES = 128 << 10
"""Of a JSON body: 4,096 characters of the longest kind, escaped, take half of it."""
_CHUNK = 64 << 10
_FILE = "file"


@dataclass(slots=True)
class Form:
    """``fields``: name without ``[]`` -> its values, in order."""

    file: bytearray | None = None
    fields: dict[str, list[str]] = field(default_factory=dict)


async def form(request: web.Request, most: int, seconds: float) -> Form:
    """The form of ``request``. ``most``: bytes of the file; ``seconds`` until all of it is there. Raises ``Refused``."""
    if request.content_type != "multipart/form-data":
        raise wrong(
            f"Content-Type is {request.content_type[:60]!r}; a recording comes as multipart/form-data", status=415
        )
    _demand_plain(request)
    if (request.content_length or 0) > most + FIELDS * FIELD_BYTES:
        raise _too_large(most)
    async with _reading(seconds, "form"):
        return await _parts(request, most)


def _demand_plain(request: web.Request) -> None:
    """No limit holds for what is unpacked before it is counted. The server's runner is to be told ``auto_decompress=False``,
    too: else aiohttp unpacks what follows the answer."""
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise wrong(f"the body is packed as {coding[:20]!r}: send it as it is", status=415)


async def _parts(request: web.Request, most: int) -> Form:
    got = Form()
    reader = await request.multipart()
    for _ in range(FIELDS):
        part = await reader.next()
        if part is None:
            break
        name = part.name if isinstance(part, BodyPartReader) else None
        if not isinstance(part, BodyPartReader) or name is None:
            raise wrong("a part of the form has no name: write Content-Disposition: form-data; name=...")
        if name == _FILE:
            if got.file is not None:
                raise wrong("there are two files; one recording a request", _FILE)
            got.file = await _read(part, most, _too_large(most))
            continue
        plain = name.removesuffix("[]")
        raw = await _read(part, FIELD_BYTES, wrong(f"a field is longer than {FIELD_BYTES} bytes", plain[:40]))
        if plain in TEXT_FIELDS:
            got.fields.setdefault(plain, []).append(_text(raw, plain))
    else:
        raise wrong(f"the form has more than {FIELDS} parts")
    return got


async def _read(part: BodyPartReader, most: int, error: Refused) -> bytearray:
    data = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        data += chunk
        if len(data) > most:
            raise error
    return data


def _text(raw: bytearray, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise wrong(f"{name} is not UTF-8", name) from None


def _too_large(most: int) -> Refused:
    return wrong(f"the file is larger than {most >> 20} MiB: compress it, or send it in parts", _FILE, status=413)


async def body(request: web.Request, seconds: float) -> Any:
    """The JSON of ``request``, decoded. Raises ``Refused``."""
    if request.content_type != "application/json":
        raise wrong(f"Content-Type is {request.content_type[:60]!r}; this takes application/json", status=415)
    _demand_plain(request)
    if (request.content_length or 0) > JSON_BYTES:
        raise wrong(f"the body is larger than {JSON_BYTES} bytes", status=413)
    data = bytearray()
    async with _reading(seconds, "JSON"):
        while chunk := await request.content.readany():
            data += chunk
            if len(data) > JSON_BYTES:
                raise wrong(f"the body is larger than {JSON_BYTES} bytes", status=413)
        return decoded(bytes(data))


def decoded(data: bytes) -> Any:
    """``data`` as JSON (RFC 8259): without NaN. Raises ``Refused``."""
    try:
        return json.loads(data.decode(), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise wrong("the JSON is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise wrong(f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise wrong(f"the body is no JSON: {str(error)[:80]}") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


@asynccontextmanager
async def _reading(seconds: float, what: str) -> AsyncIterator[None]:
    """Reads with a deadline; whatever the parser makes of a malformed body becomes a refusal."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except Refused:
        raise
    except TimeoutError:
        raise wrong(f"the body was not complete within {seconds:g} s", status=408) from None
    except web.HTTPRequestEntityTooLarge:
        raise wrong(f"the {what} is too large", status=413) from None
    except (
        Exception
    ) as error:  # the parser has no error of its own for what it cannot read: ValueError, AssertionError..
        raise wrong(f"the {what} is malformed: {type(error).__name__}") from None
