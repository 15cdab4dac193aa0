"""What one session may use of this machine: asked for before a device is opened, watched while it is, noted in the log.

What may live here: `Access`, the one object that a session, a saying or a transcription carries for that.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Literal

from locara.consent.asking import Ask, at_terminal, whoever_is_there
from locara.consent.audit import Audit, default_audit
from locara.consent.ledger import Ledger, default_ledger
from locara.consent.watch import Watch
from locara.errors import CapabilityDenied, LocaraError
from locara.manifest.values import Capability, Manifest

Device = Literal["microphone", "speaker"]

DEFAULT = "default"
"""How the default device is named; any other speaker needs a capability of its own."""


class Access:
    """Of ``manifest``'s app to the ``microphone`` and the ``speaker`` with these names; "" for one that is not used (files
    and pushed sound need no capability). ``ask``: how a person is asked, None where nobody is.

    ``demand`` first; then ``look`` for each block heard (event loop) and ``unchanged`` for each pull (any thread).
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        microphone: str = "",
        speaker: str = "",
        ledger: Ledger | None = None,
        audit: Audit | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.manifest = manifest
        self.devices: dict[Device, str] = {}
        needed: list[Capability] = []
        if microphone:
            self.devices["microphone"] = microphone
            needed.append("device.microphone")
        if speaker:
            self.devices["speaker"] = speaker
            needed.append("device.speaker")
            if speaker != DEFAULT:
                needed.append("device.speaker.select")
        self.capabilities = tuple(needed)
        self._ledger = ledger or default_ledger()
        self._audit = audit or default_audit()
        self._ask = ask
        self._watch: Watch | None = None
        self._session = secrets.token_hex(4)
        self._open: list[Device] = []
        self._started = False
        self._told = False

    async def demand(self) -> None:
        """Asks for what is not granted yet. Raises ``CapabilityDenied``, ``CapabilityPending`` and ``ConsentError``.

        A question at the terminal holds the event loop: Ctrl-C must end it, which it cannot in a thread. Any other way of
        asking runs in a thread."""
        ask = self._ask or whoever_is_there()
        if ask is None or ask is at_terminal:
            self.demand_now(ask)
        else:
            await asyncio.to_thread(self.demand_now, ask)

    def demand_now(self, ask: Ask | None) -> None:
        """The same, at once and in this thread."""
        for capability in self.capabilities:
            try:
                state = self._ledger.demand(self.manifest, capability, ask)
            except LocaraError as error:
                self._note("denied", capability=capability, reason=error.code)
                raise
            self._note("allowed", capability=capability, reason=state)
        if self.capabilities:
            self._watch = Watch(self._ledger, self.manifest.id, self.capabilities)

    def look(self) -> bool:
        """Whether everything is still granted; reads the ledger where it has changed. False before ``demand``."""
        return not self.capabilities or (self._watch is not None and self._watch.look())

    def unchanged(self) -> bool:
        """Whether everything was granted at the last ``look`` and nothing has changed since. Any thread."""
        return not self.capabilities or (self._watch is not None and self._watch.unchanged())

    def denied(self) -> CapabilityDenied:
        """The error for what was taken back, once ``look`` has said so. It is noted, once."""
        gone, why = (self._watch.gone, self._watch.why) if self._watch is not None else (None, "")
        capability = gone or (self.capabilities or ("device.microphone",))[0]
        if not self._told:
            self._told = True
            self._note("revoked", capability=capability, reason=CapabilityDenied.code)
        return CapabilityDenied(
            why or f"{capability} is not granted to {self.manifest.id}",
            hint=f"locara grants allow {self.manifest.id} {capability}",
        )

    # --- the log ------------------------------------------------------------------------------------------------------

    def opened(self, device: Device) -> None:
        """This device is open. Nothing for one that is none of this machine's."""
        if device in self.devices and device not in self._open:
            self._open.append(device)
            self._note("microphone-opened" if device == "microphone" else "speaker-opened", device=self.devices[device])

    def started(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """The session runs, with these models: stage -> facts."""
        self._started = True
        self._note("session-started")
        self._note("models", models={stage: dict(facts) for stage, facts in models.items()})

    def closed(self, reason: str = "") -> None:
        """Everything is closed. May be called twice."""
        while self._open:
            device = self._open.pop()
            self._note("microphone-closed" if device == "microphone" else "speaker-closed", device=self.devices[device])
        if self._started:
            self._started = False
            self._note("session-ended", reason=reason)

    def _note(self, what: str, **facts: object) -> None:
        if not self.capabilities:
            return  # no device of this machine: nothing that the log is about
        manifest = self.manifest
        self._audit.note(  # type: ignore[arg-type]
            what, manifest.id, session=self._session, name=manifest.name, version=manifest.version, **facts
        )
