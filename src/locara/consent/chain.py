"""The ledger as text: a line for each record, each with the SHA-256 of the line before it. What may live here: text to
records and back, and whether a text is whole; no file, no clock.

The first line is the head: the schema, how many lines follow and the SHA-256 of the last, so that a file whose end is
missing is noticed too. There is no key: whoever may write the file can make a new chain. What the chain shows is damage,
and hands that changed a line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from locara.consent.rules import DOES, App, Book, Do, Grant, Record, State, fold
from locara.errors import ConsentError

SCHEMA = 1

MOST_BYTES = 1_000_000
"""A ledger is written anew long before (`COMPACT_LINES`); more is another file, or somebody's attack on our memory."""

COMPACT_LINES = 200
"""Lines after which the oldest are folded into a snapshot: a ledger is read within a block of sound."""

KEEP_LINES = 50
"""The newest, which stay readable as they were."""

MOST_APPS = 200
"""Apps that a snapshot holds. The ones longest unchanged are forgotten first: they are asked for again."""

MEND = "locara grants reset begins a new one: nothing is granted then, and apps ask again"

_NOWHERE = "0" * 64
"""What the first line ever has before it."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A whole ledger. ``id``: made with it; another id is another ledger, and nothing of the first holds in it. ``first``:
    the number of records before the first line here."""

    id: str
    records: tuple[Record, ...] = ()
    before: str = _NOWHERE
    first: int = 0

    @property
    def book(self) -> Book:
        """What it all comes to. A chain that was shortened begins with a snapshot."""
        return fold(self.records, Book(records=self.first))


def written(chain: Chain) -> str:
    """The text of a ledger."""
    lines, last = _lines(chain)
    head = {"locara-grants": SCHEMA, "id": chain.id, "first": chain.first, "lines": len(lines), "last": last}
    return "".join(f"{line}\n" for line in (_json(head), *lines))


def read(text: str, where: str) -> Chain:
    """The ledger in ``text``. Raises ``ConsentError`` with what is wrong in ``where``: cut off, changed, of another kind or
    from a newer Locara."""
    lines = text.split("\n")
    if lines[-1] != "":
        raise _broken(where, "its last line is cut off")
    head = _object(lines[0], where, 1)
    schema = head.get("locara-grants")
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise ConsentError(
            f"{where} was written by a newer Locara (schema {schema}; this one knows {SCHEMA})",
            hint=f"update Locara; or {MEND}",
        )
    if schema != SCHEMA or isinstance(schema, bool):
        raise _broken(where, "line 1 is not the head of a ledger")
    id_, first, count, last = (head.get(name) for name in ("id", "first", "lines", "last"))
    if not (isinstance(id_, str) and _whole(first) and _whole(count) and isinstance(last, str)):
        raise _broken(where, "line 1 is not the head of a ledger")
    body = lines[1:-1]
    if len(body) != count:
        raise _broken(where, f"it has {len(body)} lines where its head says {count}: some are missing, or were added")
    return _checked(Chain(id_, first=cast(int, first)), body, last, where)


def _checked(chain: Chain, body: Sequence[str], last: str, where: str) -> Chain:
    records: list[Record] = []
    before = start = _NOWHERE
    clock = 0.0
    for number, line in enumerate(body, 2):
        one = _object(line, where, number)
        stated = one.pop("prev", None)
        if number == 2 and chain.first and isinstance(stated, str) and len(stated) == len(_NOWHERE):
            before = start = stated
        if stated != before:
            raise _broken(where, f"line {number - 1 if number > 2 else number} is not the one that line {number} follows: "
                                 "it was changed")  # fmt: skip
        record = _record(one, where, number)
        if record.at < clock:
            raise _broken(where, f"line {number} is older than the line before it")
        if (record.do == "snapshot") != (number == 2 and chain.first > 0):
            raise _broken(where, f"line {number} is a snapshot where none can be, or is none where one must be")
        clock = record.at
        records.append(record)
        before = _sha(line)
    if last != before:
        raise _broken(where, "its last line was changed")
    return dataclasses.replace(chain, records=tuple(records), before=start)


def longer(chain: Chain, *records: Record) -> Chain:
    """``chain`` with more records; the oldest are folded into a snapshot where it has become long."""
    whole = dataclasses.replace(chain, records=(*chain.records, *records))
    if len(whole.records) <= COMPACT_LINES:
        return whole
    cut = len(whole.records) - KEEP_LINES
    folded = dataclasses.replace(whole, records=whole.records[:cut])
    lines, last = _lines(folded)
    book = folded.book
    newest = sorted(book.apps.values(), key=_touched)[-MOST_APPS:]
    # The snapshot takes the number of the last record it stands for, and follows that one's line.
    snapshot = Record("snapshot", book.clock, apps=tuple(newest))
    return Chain(whole.id, (snapshot, *whole.records[cut:]), last, folded.first + len(lines) - 1)


def _touched(app: App) -> int:
    return max((grant.number for grant in app.grants.values()), default=0)


def _lines(chain: Chain) -> tuple[list[str], str]:
    """The lines, and the hash of the last."""
    lines: list[str] = []
    before = chain.before
    for record in chain.records:
        lines.append(_json({"prev": before, **_plain(record)}))
        before = _sha(lines[-1])
    return lines, before


# --- values and JSON --------------------------------------------------------------------------------------------------


def _plain(record: Record) -> dict[str, Any]:
    told = {name: value for name, value in _fields(record).items() if name == "at" or value not in ("", (), False)}
    if record.apps:
        told["apps"] = [_plain_app(app) for app in record.apps]
    return told


def _plain_app(app: App) -> dict[str, Any]:
    return {
        **_fields(app),
        "consented": None if app.consented is None else sorted(app.consented),
        "needed": sorted(app.needed),
        "grants": {name: _fields(grant) for name, grant in sorted(app.grants.items())},
    }


def _fields(value: Record | App | Grant) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


_TEXTS = ("app", "capability", "by", "name", "version", "digest")


def _record(one: Mapping[str, Any], where: str, number: int) -> Record:
    try:
        known = {field.name for field in dataclasses.fields(Record)}
        if one.keys() - known or one["do"] not in DOES:
            raise ValueError
        texts = {name: _text(one.get(name, "")) for name in _TEXTS}
        capabilities = tuple(_text(name) for name in one.get("capabilities", ()))
        apps = tuple(_app(app) for app in one.get("apps", ()))
        do = cast(Do, one["do"])
        if do not in ("snapshot", "forget") and not texts["app"]:
            raise ValueError
        if do in ("grant", "deny", "once", "revoke") and not texts["capability"]:
            raise ValueError
        return Record(do, _time(one["at"]), **texts, capabilities=capabilities, now=bool(one.get("now")), apps=apps)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _broken(where, f"line {number} says nothing that this Locara understands") from None


def _app(one: Mapping[str, Any]) -> App:
    consented = one["consented"]
    return App(
        _text(one["id"]),
        _text(one["name"]),
        _text(one["version"]),
        _text(one["digest"]),
        _time(one["first_seen"]),
        None if consented is None else frozenset(_text(name) for name in consented),
        frozenset(_text(name) for name in one["needed"]),
        {_text(name): _grant(grant) for name, grant in one["grants"].items()},
    )


def _grant(one: Mapping[str, Any]) -> Grant:
    word = one["word"]
    if word not in ("granted", "denied", "once", "pending", "unasked") or not _whole(one["number"]):
        raise ValueError
    if not _whole(one["withdrawn"]):
        raise ValueError
    return Grant(
        cast(State, word), _time(one["at"]), _text(one["by"]), _text(one["version"]), _time(one["until"]),
        one["number"], one["withdrawn"],
    )  # fmt: skip


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _object(line: str, where: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _broken(where, f"line {number} is not JSON") from None
    if not isinstance(found, dict):
        raise _broken(where, f"line {number} is not a JSON object")
    return found


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _sha(line: str) -> str:
    return hashlib.sha256(line.encode("utf-8")).hexdigest()


def _broken(where: str, what: str) -> ConsentError:
    return ConsentError(f"{where} cannot be trusted: {what}", hint=MEND)
