"""Whether what was granted still is: asked for every block of sound. What may live here: `Watch`."""

from __future__ import annotations

import threading

from locara.consent.ledger import Ledger, Stamp
from locara.errors import ConsentError
from locara.manifest.values import Capability


class Watch:
    """Over capabilities of one app that a running session uses. Once one is gone it stays gone: what is granted later is
    for the next session.

    A look is one ``stat`` (ten microseconds). Only when the ledger has changed is it read again, by the thread that notices
    first, which takes up to some milliseconds (``benchmarks/consent_look.py``); another one that looks meanwhile gets the
    answer before the change, once.
    """

    def __init__(self, ledger: Ledger, app: str) -> None:
        self._ledger = ledger
        self._app = app
        self._reading = threading.Lock()
        self._known: Stamp | None = None
        self._over: tuple[Capability, ...] = ()
        self._gone: dict[Capability, str] = {}

    def over(self, capability: Capability) -> None:
        """Watches this one, too, from now on."""
        if capability not in self._over:
            self._over = (*self._over, capability)
            self._known = None

    def holds(self, capability: Capability) -> bool:
        """Whether it is granted at this moment. False for one that it is not `over`. Never raises; any thread."""
        if capability in self._gone or capability not in self._over:
            return False
        try:
            stamp = self._ledger.stamp()
        except OSError as error:
            self._lose(str(error))
            return False
        if (stamp is None or stamp != self._known) and self._reading.acquire(blocking=False):
            try:
                self._read(stamp)
            finally:
                self._reading.release()
        return capability not in self._gone

    def why(self, capability: Capability) -> str:
        """What became of it, in a sentence; empty while it is granted."""
        return self._gone.get(capability, "")

    def _read(self, stamp: Stamp | None) -> None:
        """``stamp`` is older than what is read here: a change between the two is seen the next time."""
        try:
            for capability, state in self._ledger.states(self._app, self._over).items():
                if state not in ("granted", "once"):
                    self._gone.setdefault(capability, f"{capability} was taken back from {self._app}")
        except ConsentError as error:
            self._lose(str(error))
        self._known = stamp

    def _lose(self, why: str) -> None:
        for capability in self._over:
            self._gone.setdefault(capability, why)
