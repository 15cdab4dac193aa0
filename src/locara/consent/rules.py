"""Who may do what: the records of the ledger, and what follows from them. What may live here: pure decisions and values.

The present state is a fold of the records, oldest first (`after`); nothing else is remembered. The rule for updates is the
one of browser extensions and package managers: what was granted keeps working, what an update adds has to wait and is then
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

State = Literal["granted", "denied", "once", "pending", "unasked"]
"""``once``: for one process, which is the one that asks here. ``unasked``: nobody has decided, or it was taken back."""

Do = Literal["seen", "grant", "deny", "once", "revoke", "forget", "snapshot"]
DOES: tuple[Do, ...] = ("seen", "grant", "deny", "once", "revoke", "forget", "snapshot")

By = Literal["terminal", "page", "cli"]
"""Who decided: a person at the terminal of the app, one on a web page, or ``locara grants``. Empty for ``seen``."""

COOL_DOWN_SECONDS = 7 * 86_400.0
"""What an update adds waits so long before it is asked for: the common figure of package managers (uv, npm, pnpm), long
enough for a hijacked release to be noticed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the ledger. ``at``: seconds since the epoch, never before the line before it. ``capabilities``: for
    ``seen`` what the app's manifest needs. ``now``: a decision that did not wait for the cool-down. ``apps``: what a
    snapshot holds."""

    do: Do
    at: float
    app: str = ""
    capability: str = ""
    by: str = ""
    name: str = ""
    version: str = ""
    digest: str = ""
    capabilities: tuple[str, ...] = ()
    now: bool = False
    apps: tuple[App, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What is known of one capability of one app. ``word``: the last decision; ``pending``: an update asks for it, and may
    not be answered before ``until``. ``number``: the record's; ``withdrawn``: the number of the last record that took it
    away, which ends every ``once`` before it."""

    word: State
    at: float
    by: str = ""
    version: str = ""
    until: float = 0.0
    number: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class App:
    """One app. ``consented``: the capabilities of the manifest that a person last decided about, None before the first
    decision: then there is no update yet. ``digest``: of the newest manifest."""

    id: str
    name: str = ""
    version: str = ""
    digest: str = ""
    first_seen: float = 0.0
    consented: frozenset[str] | None = None
    needed: frozenset[str] = frozenset()
    grants: Mapping[str, Grant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """The present state. ``clock``: the latest time that was ever seen; time never goes back behind it."""

    apps: Mapping[str, App] = field(default_factory=dict)
    clock: float = 0.0
    records: int = 0
    """How many there ever were, also those that were folded into a snapshot."""


def after(book: Book, record: Record) -> Book:
    """The state after one more record."""
    return fold((record,), book)


def fold(records: Iterable[Record], book: Book | None = None) -> Book:
    """The state after all of them, from ``book`` on."""
    book = book or Book()
    apps, clock, number = dict(book.apps), book.clock, book.records
    for record in records:  # one dictionary for all of them: this runs while sound is playing
        number += 1
        clock = max(clock, record.at)
        if record.do == "snapshot":
            apps = {app.id: app for app in record.apps}
        elif record.do == "forget":
            apps = {name: app for name, app in apps.items() if record.app and name != record.app}
        else:
            app = apps.get(record.app) or App(record.app, first_seen=clock)
            apps[record.app] = (_seen if record.do == "seen" else _decided)(app, record, clock, number)
    return Book(apps, clock, number)


def _seen(app: App, record: Record, clock: float, number: int) -> App:
    """The app came with this manifest. Before the first decision nothing is an update. Afterwards what it adds is pending,
    and what it no longer asks for is taken back, so that asking again counts as adding."""
    needed = frozenset(record.capabilities)
    if app.consented is None and app.grants and not app.needed:
        # A person decided before the app was ever started (`locara grants allow`): this is what they decided about.
        app = replace(app, consented=needed)
    app = replace(app, name=record.name, version=record.version, digest=record.digest, needed=needed)
    if app.consented is None:
        return app
    kept = app.consented & needed
    grants = dict(app.grants)
    for name in grants.keys() - needed:
        grants[name] = Grant("unasked", clock, version=record.version, number=number, withdrawn=number)
    for name in needed - kept:
        known = grants.get(name)
        if known is None or known.word != "pending":
            withdrawn = known.withdrawn if known else 0
            until = clock + COOL_DOWN_SECONDS
            grants[name] = Grant("pending", clock, "", record.version, until, number, withdrawn)
    return replace(app, consented=kept, grants=grants)


_WORDS: dict[Do, State] = {"grant": "granted", "deny": "denied", "once": "once", "revoke": "unasked"}


def _decided(app: App, record: Record, clock: float, number: int) -> App:
    known = app.grants.get(record.capability)
    if known is not None and known.word == "pending":
        if record.do == "revoke":
            return app  # there is nothing to take back, and taking back must not be a way around the wait
        if record.do != "deny" and clock < known.until and not record.now:
            return app  # whatever wrote this
    withdrawn = number if record.do in ("deny", "revoke") else known.withdrawn if known else 0
    grant = Grant(_WORDS[record.do], clock, record.by, record.version, 0.0, number, withdrawn)
    grants = {**app.grants, record.capability: grant}
    if not app.needed:
        return replace(app, grants=grants)  # no manifest of it was seen: nothing can be an update yet
    before = app.needed if app.consented is None else app.consented
    return replace(app, consented=before | {record.capability}, grants=grants)


def changes(app: App | None, *, version: str, digest: str, name: str, needed: frozenset[str]) -> bool:
    """Whether this manifest is news, so that a ``seen`` has to be written."""
    return app is None or (app.version, app.digest, app.name, app.needed) != (version, digest, name, needed)


def state(book: Book, app: str, capability: str, once: int = 0) -> State:
    """What is decided. ``once``: the number of the record that let this process in, 0 without one."""
    known = book.apps.get(app)
    grant = known.grants.get(capability) if known is not None else None
    if grant is None:
        return "unasked"
    if grant.word in ("granted", "denied", "pending"):
        return grant.word
    return "once" if grant.word == "once" and once > grant.withdrawn else "unasked"


def open_until(book: Book, app: str, capability: str, wall: float) -> float:
    """Until when an update's capability may not even be asked for; 0.0 where it may. ``wall``: the clock of this machine;
    one that was set back does not count."""
    known = book.apps.get(app)
    grant = known.grants.get(capability) if known is not None else None
    if grant is None or grant.word != "pending":
        return 0.0
    return grant.until if max(wall, book.clock) < grant.until else 0.0
