"""The ``locara`` command as an app: its own manifest, and the question before a device is used.

What may live here: that, for the subcommands that use a microphone or a speaker. What no file, ``push`` or ``none`` needs is
not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.consent.access import Access
    from locara.errors import LocaraError
    from locara.manifest.values import Capability, Manifest


def embedded() -> Manifest:
    """The manifest of this command."""
    from locara.consent import apps

    return apps.this_app(apps.EMBEDDED)


def for_speaker(output: str) -> tuple[Capability, ...]:
    """What ``--output`` needs."""
    from locara.voice.building import is_file

    if output == "none" or is_file(output):
        return ()
    return ("device.speaker",) if output == "default" else ("device.speaker", "device.speaker.select")


def for_microphone(source: str) -> tuple[Capability, ...]:
    """What ``--input`` needs."""
    from locara.voice.building import is_file

    return () if source in ("none", "push") or is_file(source) else ("device.microphone",)


def access() -> Access:
    """A grant of this command, for one use."""
    from locara.consent.access import Access

    return Access(embedded())


def refused(*capabilities: Capability) -> LocaraError | None:
    """Asks for what is not granted yet, where somebody sits at a terminal. None where all is granted, else why not."""
    from locara.consent.asking import whoever_is_there
    from locara.errors import LocaraError

    one = access()
    try:
        for capability in capabilities:
            one.demand_now(capability, whoever_is_there())
    except LocaraError as error:
        return error
    return None


def demand(*capabilities: Capability) -> None:
    """The same, raising ``CapabilityDenied``, ``CapabilityPending`` or ``ConsentError``."""
    if error := refused(*capabilities):
        raise error
