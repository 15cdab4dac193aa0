"""The ledger of grants on disk: what was decided, read whole and trusted whole or not at all.

What may live here: `Ledger`. What follows from its records is decided in `rules`, what a line looks like in `chain`. Each
change is made under a lock, on what is there at that moment, and written anew as one file.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from locara.consent import chain, files, rules
from locara.consent.asking import Ask, Question
from locara.consent.chain import Chain
from locara.consent.rules import App, Book, By, Do, Record, State
from locara.errors import CapabilityDenied, CapabilityPending, ConsentError
from locara.manifest.values import CAPABILITIES, Capability, Manifest

FILE = "grants.jsonl"

LOCAL = "local."
"""How the ids begin that Locara gives to programs without a manifest. They are seen for no update: nothing says what such
a program needs, so each capability is asked for when it is first used."""

_once: dict[tuple[str, str, str, str], int] = {}
"""(file, ledger, app, capability) -> number of the record. Of this process: with it, ``once`` ends."""

_dismissed: set[tuple[str, str, str]] = set()
"""(file, app, capability) that a person did not answer: not asked again by this process."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when the file does. ``None`` fields do not occur: no file is no `Stamp`."""

    inode: int
    size: int
    written: int
    changed: int


class Ledger:
    """The grants in ``folder``. ``now``: seconds since the epoch. Reading takes no lock: a file is replaced whole.

    Every method that reads raises ``ConsentError`` for a ledger that cannot be read or trusted: then nothing is granted.
    """

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._lock = folder / "grants.lock"
        self._now = now

    # --- what is decided ----------------------------------------------------------------------------------------------

    def stamp(self) -> Stamp | None:
        """Of the file as it is; None without one. A few microseconds. Raises ``OSError`` where that cannot be known."""
        try:
            stat = os.stat(self.path)  # noqa: PTH116  twice as fast, and it is asked fifty times a second
        except FileNotFoundError:
            return None
        return Stamp(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def book(self) -> Book:
        """Every app and what was decided."""
        found = self._read()
        return found.book if found is not None else Book()

    def state(self, app: str, capability: Capability) -> State:
        """What was decided; ``once`` only in the process that it was said to."""
        return self.states(app, (capability,))[capability]

    def states(self, app: str, capabilities: Iterable[Capability]) -> dict[Capability, State]:
        """The same of several, from one reading."""
        found = self._read()
        if found is None:
            return dict.fromkeys(capabilities, "unasked")
        book = found.book
        return {one: self._state(found, book, app, one) for one in capabilities}

    def _state(self, found: Chain, book: Book, app: str, capability: str) -> State:
        return rules.state(book, app, capability, _once.get((str(self.path), found.id, app, capability), 0))

    # --- what an app wants --------------------------------------------------------------------------------------------

    def demand(self, manifest: Manifest, capability: Capability, ask: Ask | None = None) -> State:
        """``granted`` or ``once``, asked for where that is needed. Raises ``CapabilityDenied``, ``CapabilityPending`` and
        ``ConsentError``. ``ask``: how a person is asked; None where nobody can be: then what is not granted is denied.
        Blocks until the person has answered."""
        if not manifest.id.startswith(LOCAL) and capability not in manifest.capabilities:
            raise CapabilityDenied(
                f"{_called(manifest)} wants {capability}, which its manifest does not declare",
                hint=f"{_declare(capability)} in {manifest.path or 'locara.toml'}",
            )
        found = self._announced(manifest)
        book = found.book if found is not None else Book()
        decided: State = "unasked" if found is None else self._state(found, book, manifest.id, capability)
        if decided in ("granted", "once"):
            return decided
        if until := rules.open_until(book, manifest.id, capability, self._now()):
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(until))
            raise CapabilityPending(
                f"an update of {_called(manifest)} asks for {capability}: that waits until {day}, 7 days from when it was "
                "first seen; what was granted before goes on working",
                hint=f"if you trust it now: locara grants allow {manifest.id} {capability} --now",
            )
        if decided == "denied":
            raise _denied(manifest, capability, "was denied by you")
        key = (str(self.path), manifest.id, capability)
        if ask is None or key in _dismissed:
            why = "it was asked for already" if key in _dismissed else "nobody can be asked here"
            raise _denied(manifest, capability, f"is not granted, and {why}")
        return self._asked(manifest, capability, ask, update=decided == "pending", key=key)

    def _asked(
        self, manifest: Manifest, capability: Capability, ask: Ask, *, update: bool, key: tuple[str, str, str]
    ) -> State:
        why = next((one.why for one in manifest.needs if one.capability == capability), "")
        answer = ask(Question(manifest.id, manifest.name, manifest.version, capability, why, update))
        if answer.word == "always":
            self.decide("grant", manifest.id, capability, by=answer.by, version=manifest.version)
            return "granted"
        if answer.word == "once":
            self.decide("once", manifest.id, capability, by=answer.by, version=manifest.version)
            return "once"
        if answer.word == "deny":
            self.decide("deny", manifest.id, capability, by=answer.by, version=manifest.version)
        else:
            _dismissed.add(key)
        raise _denied(manifest, capability, "was denied")

    def _announced(self, manifest: Manifest) -> Chain | None:
        """Notes a manifest that is new. What a program without one needs is not known before it wants it."""
        found = self._read()
        known = found.book.apps.get(manifest.id) if found is not None else None
        needed = manifest.capabilities
        if manifest.id.startswith(LOCAL) or not rules.changes(
            known, version=manifest.version, digest=manifest.digest, name=manifest.name, needed=needed
        ):
            return found
        record = Record(
            "seen", 0.0, manifest.id, name=manifest.name, version=manifest.version, digest=manifest.digest,
            capabilities=tuple(sorted(needed)),
        )  # fmt: skip
        try:
            return self._write(lambda _: (record,))
        except ConsentError:
            # On a disk that cannot be written what was granted before still holds, unless this manifest is an update.
            if known is not None and known.needed == needed:
                return found
            raise

    # --- what a person decides ----------------------------------------------------------------------------------------

    def decide(self, do: Do, app: str, capability: Capability, *, by: By, version: str = "", now: bool = False) -> None:
        """Writes a decision: ``grant``, ``once`` (for this process), ``deny`` or ``revoke``. ``now``: do not wait for the
        cool-down of an update, else granting raises ``CapabilityPending`` while it lasts."""
        record = Record(do, 0.0, app, capability, by, version=version, now=now)

        def one(book: Book) -> tuple[Record, ...]:
            if do in ("grant", "once") and not now and rules.open_until(book, app, capability, self._now()):
                raise CapabilityPending(
                    f"{capability} was added by an update of {app} and has to wait",
                    hint=f"if you trust it now: locara grants allow {app} {capability} --now",
                )
            return (record,)

        written = self._write(one)
        if do == "once":
            _once[(str(self.path), written.id, app, capability)] = written.book.apps[app].grants[capability].number

    def forget(self, app: str = "") -> None:
        """Forgets an app, or every app: they ask again."""
        self._write(lambda _: (Record("forget", 0.0, app),))

    def reset(self) -> Path | None:
        """A new, empty ledger. The old one, whatever is wrong with it, is kept beside it: the path, None without one.
        Raises ``ConsentError`` where the folder cannot be written."""
        files.made(self.folder)
        with files.locked(self._lock):
            try:
                kept = None
                if self.path.exists() or self.path.is_symlink():
                    kept = self.path.with_name(f"grants.old-{secrets.token_hex(4)}.jsonl")
                    self.path.replace(kept)
                files.replace(self.path, chain.written(Chain(secrets.token_hex(8))).encode())
            except OSError as error:
                raise files.refused(self.path, error) from error
        return kept

    # --- the file -----------------------------------------------------------------------------------------------------

    def _read(self) -> Chain | None:
        try:
            data = files.contents(self.path, chain.MOST_BYTES)
        except OSError as error:
            raise files.refused(self.path, error) from error
        if data is None:
            return None
        if len(data) > chain.MOST_BYTES:
            raise ConsentError(f"{self.path} cannot be trusted: it is too large for a ledger", hint=chain.MEND)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ConsentError(f"{self.path} cannot be trusted: it is not text", hint=chain.MEND) from None
        return chain.read(text, str(self.path))

    def _write(self, records: Callable[[Book], tuple[Record, ...]]) -> Chain:
        """Adds records to what is there now; they get their time here. The clock never goes back behind what it was."""
        files.made(self.folder)
        with files.locked(self._lock):
            found = self._read() or Chain(secrets.token_hex(8))
            book = found.book
            at = max(self._now(), book.clock)
            new = tuple(_at(record, at) for record in records(book))
            longer = chain.longer(found, *new)
            try:
                files.replace(self.path, chain.written(longer).encode("utf-8"))
            except OSError as error:
                raise files.refused(self.path, error) from error
            return longer


def default_ledger(environment: Mapping[str, str] = os.environ) -> Ledger:
    """The ledger of this person. Makes nothing."""
    return Ledger(files.folder(environment))


def _at(record: Record, at: float) -> Record:
    from dataclasses import replace

    return replace(record, at=round(at, 3))


def _called(manifest: Manifest) -> str:
    return f"{manifest.name} ({manifest.id})" if manifest.name and manifest.name != manifest.id else manifest.id


def _denied(manifest: Manifest, capability: str, what: str) -> CapabilityDenied:
    return CapabilityDenied(
        f"{_called(manifest)} may not use {capability}: it {what}",
        hint=f"locara grants allow {manifest.id} {capability}",
    )


def _declare(capability: str) -> str:
    if capability == "device.speaker.select":
        return '[capabilities."device.speaker.select"] with a reason'
    modality = "speech-to-text" if capability == "device.microphone" else "text-to-speech"
    return f'add "{modality}" (or "voice-to-voice") to [modalities] use'


def unknown(capability: str) -> ConsentError:
    """The error for a capability that there is not."""
    return ConsentError(f"there is no capability {capability!r}", hint=f"there are {', '.join(CAPABILITIES)}")


__all__ = ["FILE", "LOCAL", "App", "Ledger", "Stamp", "default_ledger", "unknown"]
