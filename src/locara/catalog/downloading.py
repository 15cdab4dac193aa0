"""One file from an address into a part on disk: resumed, hashed on the way, tried again, given up with a reason.

What may live here: `Download`. The part is only ever appended to or begun anew, so whatever ends the process leaves
something to go on from.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from locara.catalog import answers, pickled, space
from locara.catalog.answers import Asked, Body, Complete, Passing, Refused
from locara.catalog.connecting import Connection, bare
from locara.catalog.parts import Part, Patience, Told, Wanted, note_of, read_note, write_note
from locara.errors import ModelError, PullStopped

if TYPE_CHECKING:
    import httpx

_BLOCK = 1024 * 1024
_HEAD = 512
"""Bytes of a body that are looked at before anything is written: a web page must not cost the part that is here."""


@dataclass
class _Attempts:
    """How often it went wrong without news."""

    failed: int = 0
    farthest: int = field(default=0)


class _Again(Exception):
    """This attempt is over, the next may do better. ``unreachable``: there was no connection at all."""

    def __init__(self, why: str, *, after: float | None = None, unreachable: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.after = after
        self.unreachable = unreachable


class Download:
    """Fetches ``wanted`` into ``part``. ``told`` hears of every step and may raise; ``stop`` ends it, leaving the part."""

    def __init__(
        self,
        wanted: Wanted,
        part: Path,
        connection: Connection,
        *,
        told: Callable[[Told], None],
        stop: threading.Event | None,
        patience: Patience,
    ) -> None:
        self._wanted = wanted
        self._part = part
        self._connection = connection
        self._told = told
        self._stop = stop
        self._patience = patience
        self._origin = bare(wanted.origin or wanted.url)
        self._hasher = hashlib.sha256()
        self._done = 0
        self._note = Part()
        self._resumed = False

    def run(self) -> Part:
        """The part's note once it is whole and is what was wanted. Raises ``ModelError`` with the reason, ``PullStopped``,
        ``OSError`` for the disk."""
        self._open_part()
        if self._note.sha256:
            if self._hasher.hexdigest() == self._note.sha256:
                return self._note
            self._forget()
        attempts = _Attempts(farthest=self._done)
        while True:
            try:
                self._attempt()
                return self._finish()
            except _Again as again:
                self._consider(again, attempts)

    def _open_part(self) -> None:
        """Hashes what is here, if it is of this file."""
        note = read_note(self._part)
        moved = bool(self._wanted.revision and note.revision) and self._wanted.revision != note.revision
        if note.url != self._origin or note.wanted != self._wanted.sha256 or moved:
            self._forget()
            return
        self._note = note
        total = self._total()
        with contextlib.suppress(FileNotFoundError), self._part.open("rb") as opened:
            size = self._part.stat().st_size
            while block := opened.read(_BLOCK):
                self._check_stop()
                self._hasher.update(block)
                self._done += len(block)
                self._told(Told("checking", self._done, size))
        if total is not None and self._done > total:
            self._forget()
        self._resumed = self._done > 0

    def _forget(self) -> None:
        """Begins anew."""
        for one in (self._part, note_of(self._part)):
            one.unlink(missing_ok=True)
        self._hasher = hashlib.sha256()
        self._done = 0
        self._note = Part(url=self._origin, wanted=self._wanted.sha256)
        self._resumed = False

    def _total(self) -> int | None:
        return self._wanted.size if self._wanted.size is not None else self._note.total

    def _attempt(self) -> None:
        """One request and its body. Raises ``_Again`` where another attempt may help."""
        import httpx

        if self._done and self._total() == self._done:
            return  # all is here; only the last step was missing
        if self._done and not (self._note.validator or self._wanted.sha256):
            self._forget()  # nothing would show that the file has changed there
        headers = {"range": f"bytes={self._done}-"} if self._done else {}
        if self._done and self._note.validator:
            headers["if-range"] = self._note.validator
        try:
            with self._connection.get(self._wanted.url, headers, self._wanted.token) as (response, said):
                self._answered(response, said)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            self._check_stop()
            raise _Again(f"no connection to {_host(self._wanted.url)} ({error})", unreachable=True) from error
        except httpx.TimeoutException as error:
            self._check_stop()
            raise _Again(f"the server sent nothing for {self._patience.read:.0f} s") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            self._check_stop()
            raise _Again("the connection broke off") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ModelError(
                f"{self._wanted.name}: {bare(self._wanted.url)} cannot be fetched ({error})",
                hint="look at the proxy settings of this machine, then run the same command again",
            ) from error

    def _answered(self, response: httpx.Response, said: dict[str, str]) -> None:
        asked = Asked(self._done, self._wanted.size, self._wanted.markup)
        headers = {name.lower(): value for name, value in response.headers.items()}
        match answers.judge(response.status_code, headers, asked, time.time()):
            case Complete():
                return
            case Passing(why, after, afresh):
                if afresh:
                    self._forget()
                raise _Again(why, after=after)
            case Refused() as refused:
                raise self._error(refused, said)
            case Body() as body:
                self._receive(body, response, said)

    def _receive(self, body: Body, response: httpx.Response, said: dict[str, str]) -> None:
        chunks = response.iter_raw()
        head, ended = self._first(chunks)
        if not self._wanted.markup and body.start == 0 and answers.is_markup(head):
            raise self._error(answers.page_instead(), said)
        if body.start == 0 and pickled.begins(head[: pickled.HEAD_BYTES]):
            raise ModelError(
                f"{self._wanted.name} is a pickle: loading it would run a program that came with it",
                hint="Locara keeps no pickles; look for the model as safetensors, GGUF or ONNX",
            )
        if not body.ends and self._wanted.size is None and not self._wanted.sha256:
            raise self._error(
                Refused("the server does not say how long it is, so nobody can tell when it is whole"), said
            )
        linked = answers.linked_sha256(said)
        if body.start == 0:
            self._begin(body)
        elif linked != self._note.linked:
            self._forget()
            raise _Again("the file has changed on the server: it starts anew", after=0.0)
        self._resumed = self._resumed or body.start > 0
        total = self._wanted.size if self._wanted.size is not None else body.total
        if total is not None:
            self._wanted.room(total - self._done)
        validator = answers.validator({name.lower(): value for name, value in response.headers.items()})
        revision = said.get("x-repo-commit", "")[:64]
        self._note = replace(
            self._note,
            validator=validator,
            total=total,
            revision=revision or self._note.revision,
            linked=linked,
            sha256="",
        )
        write_note(self._part, self._note)
        with self._part.open("ab", buffering=0) as out:
            self._append(out, head, total)
            if not ended:
                self._pour(out, chunks, total)
        if total is not None and self._done < total:
            raise _Again(f"the connection ended after {self._done} of {total} bytes")

    def _first(self, chunks: Iterator[bytes]) -> tuple[bytes, bool]:
        """The first bytes of the body, and whether that was all."""
        head = b""
        while len(head) < _HEAD:
            try:
                head += next(chunks)
            except StopIteration:
                return head, True
        return head, False

    def _begin(self, body: Body) -> None:
        if self._done:
            self._told(Told("retrying", 0, body.total, f"{body.why}: it starts anew"))
            note = self._note
            self._forget()
            self._note = replace(self._note, revision=note.revision)
        self._part.parent.mkdir(parents=True, exist_ok=True)

    def _pour(self, out: IO[bytes], chunks: Iterator[bytes], total: int | None) -> None:
        """The rest of the body. A server that trickles is as good as one that is silent."""
        since, before = time.monotonic(), self._done
        for chunk in chunks:
            self._append(out, chunk, total)
            now = time.monotonic()
            if now - since >= self._patience.stall:
                if self._done - before < self._patience.stall_bytes:
                    raise _Again(f"the server sent only {self._done - before} bytes in {now - since:.0f} s")
                since, before = now, self._done

    def _append(self, out: IO[bytes], chunk: bytes, total: int | None) -> None:
        self._check_stop()
        if total is not None and self._done + len(chunk) > total:
            self._drop()
            raise ModelError(
                f"{self._wanted.name}: the server sends more than the {total} bytes that the file has",
                hint="it is not the file that the catalog means; try again later, or report it with the model's name",
            )
        left = memoryview(chunk)
        while left:  # a raw write may take less than it is given
            written = out.write(left)
            self._hasher.update(left[:written])
            self._done += written
            left = left[written:]
        self._told(Told("downloading", self._done, total))

    def _finish(self) -> Part:
        found = self._hasher.hexdigest()
        wanted = self._wanted.sha256.lower() or self._note.linked
        source = "the catalog" if self._wanted.sha256 else "the hub"
        if wanted and found != wanted:
            resumed = self._resumed
            self._forget()
            if resumed:  # the part may have been of another version: one fresh attempt decides
                raise _Again("what was resumed does not have the expected hash; it starts anew", after=0.0)
            raise ModelError(
                f"{self._wanted.name} has sha256 {found}, {source} says {wanted} ({bare(self._wanted.url)})",
                hint="nothing was kept. Try again; if it stays so, the file was changed there: do not use it",
            )
        self._part.touch()  # an empty file is a file
        self._note = replace(self._note, sha256=found, total=self._done)
        write_note(self._part, self._note)
        return self._note

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self._forget()

    def _consider(self, again: _Again, attempts: _Attempts) -> None:
        """Waits for the next attempt, or gives up. Only bytes never seen before count as news: a server without ranges
        that breaks off at the same place each time would else be asked for ever."""
        if self._done >= attempts.farthest + self._patience.progress_bytes:
            attempts.failed = 0
        attempts.farthest = max(attempts.farthest, self._done)
        attempts.failed += 1
        limit = self._patience.unreachable if again.unreachable else self._patience.retries
        wait = min(self._patience.first_wait * 2.0 ** (attempts.failed - 1), self._patience.longest_wait)
        if again.after is not None and again.after > self._patience.longest_asked:
            raise ModelError(
                f"{self._wanted.name}: {again.why}, and should be left alone for {again.after:.0f} s",
                hint="run the same command again then; what was fetched is kept",
            )
        if attempts.failed > limit:
            raise ModelError(
                f"{self._wanted.name}: given up after {attempts.failed} attempts: {again.why}",
                hint=_unreachable_hint(self._wanted.name) if again.unreachable else _KEPT,
            )
        wait = max(wait, again.after) if again.after else wait if again.after is None else 0.0
        note = f"{again.why}; attempt {attempts.failed + 1} of {limit + 1}" + (f" in {wait:.0f} s" if wait else "")
        self._told(Told("retrying", self._done, self._total(), note))
        if self._stop is None:
            time.sleep(wait)
        elif self._stop.wait(wait):
            self._check_stop()

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise PullStopped(
                f"{self._wanted.name}: stopped after {space.words(self._done)}; what was fetched is kept",
                hint="run the same command again to go on",
            )

    def _error(self, refused: Refused, said: dict[str, str]) -> ModelError:
        if refused.status in {401, 403} and self._wanted.gate is not None:
            return self._wanted.gate(refused.status, bool(self._wanted.token))
        server = said.get("x-error-message", "")[:200]
        says = f" (the server says: {server})" if server else ""
        return ModelError(
            f"{self._wanted.name}: {refused.why}: {bare(self._wanted.url)}{says}", hint=refused.hint or _ELSEWHERE
        )


_KEPT = "what was fetched is kept: run the same command again to go on"
_ELSEWHERE = "look whether the address opens in a browser; a newer version of Locara may know another"


def _unreachable_hint(name: str) -> str:
    model = name.partition(":")[0]
    return (
        "look at this machine's network and proxy; a mirror can be named in HF_ENDPOINT. Without a network: fetch the "
        f"files elsewhere, then locara models import {model} PATH"
    )


def _host(url: str) -> str:
    return bare(url).partition("://")[2].partition("/")[0]
