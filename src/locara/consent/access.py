"""What one session may use of this machine: asked for before a device is opened, watched while it is, noted in the log.

What may live here: `Access`, the one object that a session, a saying or a transcription carries for that. It is what the
gate calls a grant (`locara.gate.opening.Grant`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from locara.consent.asking import Ask, at_terminal, whoever_is_there
from locara.consent.audit import Audit, What, default_audit
from locara.consent.ledger import Ledger, default_ledger
from locara.consent.watch import Watch
from locara.errors import LocaraError
from locara.manifest.values import Capability, Manifest


class Access:
    """Of ``manifest``'s app, for one session. ``ask``: how a person is asked; left out: at the terminal, where one sits at
    it. What uses no device of this machine never comes here, and is not in the log."""

    def __init__(
        self, manifest: Manifest, *, ledger: Ledger | None = None, audit: Audit | None = None, ask: Ask | None = None
    ) -> None:
        self.manifest = manifest
        self._ledger = ledger or default_ledger()
        self._audit = audit or default_audit()
        self._ask = ask
        self._watch = Watch(self._ledger, manifest.id)
        self._session = secrets.token_hex(4)
        self._noted: set[tuple[str, str]] = set()
        self._open: list[tuple[Capability, str]] = []
        self._started = False

    async def demand(self, capability: Capability) -> None:
        """Asks for it, where it is not granted yet. Raises ``CapabilityDenied``, ``CapabilityPending`` and ``ConsentError``.

        A question at the terminal holds the event loop: Ctrl-C must end it, which it cannot in a thread. Any other way of
        asking runs in a thread."""
        ask = self._ask or whoever_is_there()
        if ask is None or ask is at_terminal:
            self.demand_now(capability, ask)
        else:
            await asyncio.to_thread(self.demand_now, capability, ask)

    def demand_now(self, capability: Capability, ask: Ask | None = None) -> None:
        """The same, at once and in this thread."""
        try:
            state = self._ledger.demand(self.manifest, capability, ask)
        except LocaraError as error:
            self._note("denied", capability=capability, reason=error.code)
            raise
        self._watch.over(capability)
        self._note("allowed", capability=capability, reason=state)

    def holds(self, capability: Capability) -> bool:
        """Whether it is granted at this moment: for every block of sound, from any thread. False before ``demand``."""
        return self._watch.holds(capability)

    def why(self, capability: Capability) -> str:
        """Why it does not hold any more, in a sentence."""
        return self._watch.why(capability)

    # --- the log ------------------------------------------------------------------------------------------------------

    def opened(self, capability: Capability, device: str) -> None:
        """This device is open."""
        self._open.append((capability, device))
        self._log("microphone-opened" if capability == "device.microphone" else "speaker-opened", device=device)

    def started(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """It runs, with these models: stage -> facts."""
        if self._open:
            self._started = True
            self._log("session-started")
            self._log("models", models={stage: dict(facts) for stage, facts in models.items()})

    def closed(self, reason: str = "") -> None:
        """Everything is closed. May be called twice."""
        for capability, _ in self._open:
            if why := self.why(capability):
                self._note("revoked", capability=capability, reason=why)
        while self._open:
            capability, device = self._open.pop()
            self._log("microphone-closed" if capability == "device.microphone" else "speaker-closed", device=device)
        if self._started:
            self._started = False
            self._log("session-ended", reason=reason)

    def _note(self, what: What, *, capability: Capability, reason: str) -> None:
        """Once: a program that asks in a loop would push everything else out of the log."""
        if (what, capability) not in self._noted:
            self._noted.add((what, capability))
            self._log(what, capability=capability, reason=reason)

    def _log(self, what: What, **facts: Any) -> None:
        manifest = self.manifest
        self._audit.note(
            what, manifest.id, session=self._session, name=manifest.name, version=manifest.version, **facts
        )


class ByToken(Access):
    """For a program that was handed the token of a server by its user, and that hears and plays with devices of its own:
    nobody is asked, but what it used is in the log. The switch for all sound of this user holds for it, too."""

    def demand_now(self, capability: Capability, ask: Ask | None = None) -> None:
        """Notes it."""
        self._note("allowed", capability=capability, reason="token")

    def holds(self, capability: Capability) -> bool:
        """True."""
        return True

    def why(self, capability: Capability) -> str:
        """It always holds."""
        return ""
