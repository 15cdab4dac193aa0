"""A conversation that grows: it begins with what is here, offers the better set, fetches it meanwhile, and changes over.

What may live here: the order of these steps beside a running session. What is offered and how it is asked is `offering`;
what fits is `locara.catalog`; the change between two turns is `session.change`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locara.cli import offering
from locara.cli.offering import Offer
from locara.cli.threads import in_thread

if TYPE_CHECKING:
    from locara.catalog.pulling import Progress
    from locara.catalog.row import Row, RowKind

GREETING = "Hello. Just talk to me: ask for the time, a sum, or a timer."
"""Said when a better set is offered: a person who sees the question for the first time has not heard us yet."""

SILENCED = "LOCARA_NO_OFFER"
"""Set to 1, nothing is ever offered."""

_PAINT_SECONDS = 0.25
_SPEED_SECONDS = 5.0
"""The speed shown is that of the last so many seconds."""


def may_offer(options: argparse.Namespace, *, terminal: bool, live: bool, environment: Mapping[str, str]) -> bool:
    """Whether anything is to be offered: a person at a ``terminal`` in a ``live`` conversation, or ``--yes``."""
    if options.omni is not None or options.pace != "realtime" or options.json:
        return False
    if any(environment.get(name, "") not in ("", "0") for name in ("LOCARA_OFFLINE", "HF_HUB_OFFLINE")):
        return False
    return bool(options.yes) or (terminal and live and environment.get(SILENCED, "") in ("", "0"))


class FirstRun:
    """The offer of one conversation. ``run`` is a task beside the session; ``take`` gets the keys first."""

    def __init__(self, session: Any, screen: Any, options: argparse.Namespace, cache: Path) -> None:
        self._session = session
        self._screen = screen
        self._options = options
        self._cache = cache
        self._asked: asyncio.Future[bool] | None = None
        self._stop = threading.Event()

    def take(self, key: object) -> bool:
        """Whether ``key`` was the answer to our question."""
        if self._asked is None or self._asked.done() or key not in ("y", "n"):
            return False
        self._asked.set_result(key == "y")
        return True

    async def run(self) -> None:
        """Offers, fetches, changes over. Never fails the conversation: what goes wrong is a line on the screen."""
        from locara.errors import LocaraError

        try:
            await self._run()
        except LocaraError as error:
            self._screen.note(f"note   {error.message}")
            if error.hint:
                self._screen.note(f"       -> {error.hint}")
        finally:
            self._show(asking="", progress="")

    async def _run(self) -> None:
        open_ones = open_stages(self._options, self._session.plan)
        offer, rows = await in_thread(lambda: find(open_ones, self._options.language), "locara-offer")
        if offer is None or (not self._options.yes and offer.key in offering.declined(self._cache)):
            return
        for line in offering.lines(offer):
            self._screen.note(line)
        if not offer.choices:  # an extra is missing: that is for a person to install, and is told once
            offering.remember_declined(self._cache, offer)
            return
        if not self._options.yes:
            self._session.say(GREETING)
        if not (self._options.yes or await self._agrees(offer)):
            self._remember(offer)
            return
        await self._fetch([rows[one.model] for one in offer.choices])
        self._show(progress="fetched; changing over as soon as nobody speaks")
        await self._session.change(**{one.stage: one.model for one in offer.choices})

    async def _agrees(self, offer: Offer) -> bool:
        self._asked = asyncio.get_running_loop().create_future()
        self._show(asking=offering.question(offer))
        if not self._screen.live:  # no live lines: it is asked where the others stand
            self._screen.note(offering.question(offer))
        agreed = await self._asked
        self._show(asking="")
        return agreed

    def _remember(self, offer: Offer) -> None:
        try:
            offering.remember_declined(self._cache, offer)
        except OSError as error:
            self._screen.note(f"note   the answer cannot be remembered: {error}")
        else:
            self._screen.note(f"       later: locara models pull {' '.join(one.model for one in offer.choices)}")

    async def _fetch(self, rows: list[Row]) -> None:
        """Each after the other, in a thread; stopped when this task is cancelled."""
        from locara.catalog.pulling import pull
        from locara.catalog.store import default_store

        loop = asyncio.get_running_loop()
        store = default_store()
        for number, row in enumerate(rows, 1):
            teller = Teller(number, len(rows), lambda line: _soon(loop, self._progress, line))
            self._progress(f"{row.id}: beginning")
            # Agreed: the size and the licence were shown, and that it has no published hash.
            work = lambda row=row, teller=teller: pull(  # noqa: E731
                row, store, agreed=True, progress=teller.tell, stop=self._stop
            )
            await in_thread(work, "locara-pull", self._stop)

    def _progress(self, line: str) -> None:
        self._show(progress=line)

    def _show(self, **what: str) -> None:
        self._screen.change(dataclasses.replace(self._screen.view, **what))


def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[str], None], line: str) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody looks any more
        loop.call_soon_threadsafe(act, line)


class Teller:
    """Progress of one model as a line, not too often. Called on the pulling thread."""

    def __init__(
        self, number: int, of: int, show: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._number, self._of, self._show, self._now = number, of, show, now
        self._painted = -_PAINT_SECONDS
        self._seen: list[tuple[float, int]] = []

    def tell(self, progress: Progress) -> None:
        """One more piece of news."""
        now = self._now()
        self._seen = [(at, done) for at, done in self._seen if now - at <= _SPEED_SECONDS and done <= progress.done]
        self._seen.append((now, progress.done))
        if now - self._painted < _PAINT_SECONDS and progress.stage == "downloading":
            return
        self._painted = now
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        speed = (after - before) / (last - first) if last > first else None
        line = offering.progress_line(progress.model, self._number, self._of, progress.done, progress.total, speed)
        if progress.stage != "downloading":
            line += f"  {progress.note or progress.stage}"
        self._show(line)


def open_stages(options: argparse.Namespace, plan: Mapping[str, Mapping[str, str]]) -> tuple[RowKind, ...]:
    """The stages that nobody named; a language model of a server that runs was chosen by its user."""
    stages: list[RowKind] = []
    for stage in ("stt", "llm", "tts"):
        named = getattr(options, stage) is not None
        served = stage == "llm" and plan.get("llm", {}).get("engine") == "openai-compatible"
        if not named and not served:
            stages.append(stage)
    return tuple(stages)


def find(stages: tuple[RowKind, ...], language: str | None) -> tuple[Offer | None, dict[str, Row]]:
    """The offer for this machine, and the catalog by id. Reads the machine and the disk; blocks for a moment."""
    from locara.catalog import index
    from locara.catalog.proposing import propose
    from locara.voice import choosing

    rows = index.rows()
    wanted = language or choosing.LANGUAGE
    now, fetched, installed = (
        propose(rows, choosing.facts(rows, language=wanted, reach=reach), stages)
        for reach in ("ready", "download", "install")
    )
    return offering.better(now, fetched, installed), {row.id: row for row in rows}


def at_a_terminal() -> bool:
    """Whether somebody can be asked."""
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except ValueError:  # closed
        return False


def first_run(session: Any, screen: Any, options: argparse.Namespace, *, live: bool) -> FirstRun | None:
    """The offer for this conversation, or None where there is to be none."""
    from locara.catalog.speeds import cache_folder

    if not may_offer(options, terminal=at_a_terminal(), live=live, environment=os.environ):
        return None
    return FirstRun(session, screen, options, cache_folder())
