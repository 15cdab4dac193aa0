"""Bringing a model's files onto this machine: everything is fetched beside, compared, and put in its place in one step.

What may live here: `pull`, the order of its steps, and what is refused before anything is fetched. One file's way is
`downloading`; an archive's is `unpacking`; the folder is `store`. Whatever ends it (Ctrl-C, ``stop``, kill -9, a full disk)
leaves parts that the next pull goes on from, and never a folder that looks whole.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from locara.catalog import file_names, hub, manifest, pickled, reusing, space
from locara.catalog.downloading import Download
from locara.catalog.locking import Lock
from locara.catalog.parts import Part, Patience, Told, Wanted
from locara.catalog.row import ModelFile, Row
from locara.catalog.staging import Stage
from locara.catalog.store import Store
from locara.errors import ModelError, Offline, PullStopped

if TYPE_CHECKING:
    from locara.catalog.connecting import Connection

_TELL_SECONDS = 0.1
"""Between two tellings of the same stage: the bar is not painted faster, and a callback costs time."""

_ROOM_BYTES = 50 * 1000 * 1000
"""An archive does not say at its start how much is in it: after each so many bytes the disk is looked at."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is. ``stage``: ``waiting`` (for another process), ``checking`` (what is here already),
    ``downloading``, ``retrying``, ``unpacking``, ``done``. ``note``: a sentence, where there is one to say. ``done`` and
    ``total``: bytes of all files, ``total`` None while nobody has said; ``file``: which one, ``number`` of ``files``."""

    model: str
    stage: str
    done: int = 0
    total: int | None = None
    file: str = ""
    number: int = 0
    files: int = 0
    note: str = ""


def pull(
    row: Row,
    store: Store,
    *,
    agreed: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    offline: bool = False,
    environment: Mapping[str, str] = os.environ,
    again: bool = False,
    patience: Patience | None = None,
) -> Path:
    """The folder with the files of ``row``, fetched if they are not here. Blocks; may be called from any thread.

    A model that is here costs no network. ``agreed``: a row without hashes is fetched all the same, and what came is
    noted for ``locara models verify``. ``stop``: when set, it ends soon. ``offline``: never opens a connection.
    ``again``: also when it seems to be here; files that still have their hash are taken over.

    Raises ``Offline``; ``PullStopped``; ``ModelError`` for everything else that can be wrong, with what to do.
    """
    if not again and (here := store.present(row)) is not None:
        return here
    _demand_sense(row)
    _demand_network(row, offline, environment)
    if not row.pinned and not agreed:
        raise unpinned(row, environment)
    store.prepare()
    teller = _Teller(row, progress)

    def waiting(holder: str) -> None:
        teller.say("waiting", f"another process ({holder or 'unknown'}) is at {row.id}; waiting for it")

    with Lock(store.lock(row.id), waiting=waiting, stop=stop):
        if not again and (here := store.present(row)) is not None:
            return here  # the other process has fetched it
        try:
            return _Pull(row, store, teller, stop, environment, patience or Patience()).run()
        except OSError as error:
            if error.errno in space.FULL:
                raise space.full(row.id, store.home, error) from error
            raise store.unwritable(error) from error


def unpinned(row: Row, environment: Mapping[str, str] = os.environ) -> ModelError:
    """The error for a row that names no hashes: what would be fetched, and what agreeing to it means."""
    addresses = ", ".join(dict.fromkeys(hub.address(row, one, environment) for one in row.files[:4]))
    more = f" and {len(row.files) - 4} more" if len(row.files) > 4 else ""
    return ModelError(
        f"{row.id} is unpinned: the catalog has no hash or revision for it, so what comes from {addresses}{more} cannot be "
        "compared with what was meant",
        hint=f"if you trust that address: locara models pull {row.id} --yes. What is found is noted and compared later",
    )


class _Teller:
    """Tells progress, not too often."""

    def __init__(self, row: Row, progress: Callable[[Progress], None] | None) -> None:
        self._row = row
        self._progress = progress
        self._last: tuple[str, str, float] = ("", "", 0.0)
        self.before = 0
        self.totals: list[int | None] = [one.size for one in row.files]
        self.number = 0

    def file(self, told: Told) -> None:
        """What a download tells of the file at hand."""
        if self.number and told.total is not None:
            self.totals[self.number - 1] = told.total
        self.say(told.stage, told.note, told.done)

    def say(self, stage: str, note: str = "", done: int = 0) -> None:
        """Tells it, if it is news or long enough ago."""
        now = time.monotonic()
        if self._progress is None or ((stage, note) == self._last[:2] and now - self._last[2] < _TELL_SECONDS):
            return
        self._last = stage, note, now
        total = None if any(one is None for one in self.totals) else sum(one or 0 for one in self.totals)
        file = self._row.files[self.number - 1].path if self.number else ""
        self._progress(
            Progress(self._row.id, stage, self.before + done, total, file, self.number, len(self._row.files), note)
        )


class _Pull:
    """One pull, under the lock."""

    def __init__(
        self,
        row: Row,
        store: Store,
        teller: _Teller,
        stop: threading.Event | None,
        environment: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self._row = row
        self._store = store
        self._teller = teller
        self._stop = stop
        self._environment = environment
        self._patience = patience
        self._stage = Stage(store, row)
        self._revision = row.revision
        self._token = ""
        self._room_at = 0

    def run(self) -> Path:
        """Fetches, unpacks, publishes."""
        self._stage.open()
        self._take_what_is_here()
        self._demand_room(self._remaining())
        notes = self._fetch()
        for number in range(len(self._row.files)):
            self._refuse_pickle(number)
        self._teller.number = 0
        self._stage.lay(notes, self._unpacking)
        place = self._stage.publish(notes, self._revision)
        self._teller.say("done")
        return place

    def _take_what_is_here(self) -> None:
        """A file with the same hash in another revision, or in the hub's cache, need not be fetched."""
        for number, file in enumerate(self._row.files):
            part = self._stage.part(number)
            if not file.sha256 or part.exists():
                continue
            for candidate in reusing.candidates(self._row, file, self._store, self._environment):
                self._check_stop()
                self._teller.say("checking", f"{file.path} may be here already")
                if reusing.take(candidate, part, file):
                    self._stage.note_whole(number, self._wanted(file, number))
                    break

    def _fetch(self) -> list[Part]:
        from locara.catalog.connecting import Connection

        notes = []
        with Connection(
            connect=self._patience.connect,
            read=self._patience.read,
            trusted=lambda url: hub.is_of_hub(url, self._environment),
            stop=self._stop,
        ) as connection:
            for number, file in enumerate(self._row.files):
                self._teller.number = number + 1
                note = self._one(connection, file, number)
                notes.append(note)
                # All files of a row without a revision come from the one that the first came from.
                if not file.url:
                    self._revision = self._revision or note.revision
                self._teller.before += note.total or 0
        return notes

    def _one(self, connection: Connection, file: ModelFile, number: int) -> Part:
        if "gated" in self._row.flags and not self._token:
            self._token = hub.token(self._environment)
        for attempt in (1, 2):
            try:
                return Download(
                    self._wanted(file, number),
                    self._stage.part(number),
                    connection,
                    told=self._teller.file,
                    stop=self._stop,
                    patience=self._patience,
                ).run()
            except _Gated as gated:
                # The token is shown only where it is asked for: most models need none.
                self._token = "" if gated.with_token or attempt == 2 else hub.token(self._environment)
                if not self._token:
                    raise gated.error from None
        raise AssertionError  # the loop returns or raises

    def _wanted(self, file: ModelFile, number: int) -> Wanted:
        revision = self._revision or self._stage.revision(number)
        url = hub.address(self._row, file, self._environment, revision)
        of_hub = hub.is_of_hub(url, self._environment)
        return Wanted(
            name=f"{self._row.id}: {file.path}",
            url=url,
            origin=hub.address(self._row, file, self._environment),
            revision="" if file.url else revision,
            sha256=file.sha256,
            size=file.size,
            token=self._token if of_hub else "",
            gate=self._gate if of_hub else None,
            room=self._demand_room,
            markup=Path(file.path).suffix.lower() in {".html", ".htm", ".xml", ".svg"},
        )

    def _gate(self, status: int, with_token: bool) -> ModelError:
        return _Gated(_closed(self._row, status, with_token, self._environment), with_token)

    def _remaining(self) -> int:
        """Bytes still to be written, as far as the row says. An archive lies beside its contents for a while."""
        sizes = [(one.size or 0, self._stage.size(number), one.unpack) for number, one in enumerate(self._row.files)]
        archives = sum(size for size, _, unpack in sizes if unpack)
        unpacked = max(self._row.disk or 0, archives) if any(unpack for _, _, unpack in sizes) else 0
        return sum(max(0, size - here) for size, here, _ in sizes) + unpacked

    def _demand_room(self, needed: int) -> None:
        space.demand(self._row.id, needed, self._store.free(self._store.home), self._store.home)

    def _refuse_pickle(self, number: int) -> None:
        part = self._stage.part(number)
        if not self._row.files[number].unpack and pickled.held_by(part):
            self._stage.drop(number)
            raise _pickle(self._row, self._row.files[number])

    def _unpacking(self, done: int) -> None:
        self._check_stop()
        if done >= self._room_at:
            self._demand_room(0)
            self._room_at = done + _ROOM_BYTES
        self._teller.before = done
        self._teller.say("unpacking")

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise PullStopped(
                f"{self._row.id}: stopped; what was fetched is kept", hint=f"locara models pull {self._row.id}"
            )


class _Gated(ModelError):
    """A 401 or 403 of the hub, which a token may mend."""

    def __init__(self, error: ModelError, with_token: bool) -> None:
        super().__init__(error.message, hint=error.hint)
        self.error = error
        self.with_token = with_token


def _closed(row: Row, status: int, with_token: bool, environment: Mapping[str, str]) -> ModelError:
    page = f"{hub.endpoint(environment)}/{row.hub}" if row.hub else hub.endpoint(environment)
    tokens = f"{hub.HUB}/settings/tokens"
    if "gated" in row.flags and not with_token:
        return ModelError(
            f"{row.id} is gated: its publisher gives it only to people who accept the terms ({status})",
            hint=f"accept them at {page}, make a token at {tokens}, set HF_TOKEN to it, then run the same command again",
        )
    if with_token and status == 401:
        return ModelError(
            f"{row.id}: the hub does not take your token ({status}): it is wrong or has expired",
            hint=f"make a new one at {tokens} and set HF_TOKEN to it",
        )
    if with_token:
        return ModelError(
            f"{row.id}: your token has no access to it ({status})",
            hint=f"accept its terms at {page} with the account of the token; some publishers then take a while to agree",
        )
    return ModelError(
        f"{row.id}: the hub does not give it to just anybody ({status}): {page} is private, gated or not there",
        hint=f"look at {page}; if it asks to accept terms, do so, make a token at {tokens} and set HF_TOKEN to it",
    )


def _demand_sense(row: Row) -> None:
    """Raises ``ModelError`` for a row that cannot be pulled at all."""
    if row.bundled:
        raise ModelError(f"{row.id} comes with a package: nothing is pulled", hint="use it by its name")
    if not row.files:
        raise ModelError(
            f"{row.id}: the catalog does not know its files",
            hint=row.note or f"get them yourself, then: locara models import {row.id} PATH",
        )
    for file in row.files:
        refuse_name(row, file)


def refuse_name(row: Row, file: ModelFile) -> None:
    """Raises ``ModelError`` for a file that may not be kept under its name."""
    if pickled.named(file.path) or pickled.named(file.url.partition("?")[0]):
        raise _pickle(row, file)
    try:
        path = file_names.relative(file.path)
    except ValueError as reason:
        raise ModelError(
            f"{row.id}: the file's path {file.path!r}: {reason}", hint="correct the catalog's row"
        ) from None
    if path is None or str(path).casefold() == manifest.NAME:
        raise ModelError(f"{row.id}: no file can lie at {file.path!r}", hint="correct the catalog's row")


def _pickle(row: Row, file: ModelFile) -> ModelError:
    return ModelError(
        f"{row.id}: {file.path} is a pickle: loading it would run whatever program it holds, so it is not kept",
        hint="look for the model as safetensors, GGUF or ONNX",
    )


def _demand_network(row: Row, offline: bool, environment: Mapping[str, str]) -> None:
    """Raises ``Offline`` where no connection may be opened."""
    if reason := "offline was asked for" if offline else hub.offline(environment):
        why = reason if offline else f"{reason} is set"
        raise Offline(
            f"{row.id} is not on this machine, and {why}",
            hint=f"on a machine with a network: locara models pull {row.id}; carry its files here; then: "
            f"locara models import {row.id} PATH",
        )
