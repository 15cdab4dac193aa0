"""A manifest, as values. What may live here: these values and what follows from them; no reading of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Capability = Literal["device.microphone", "device.speaker", "device.speaker.select"]
CAPABILITIES: tuple[Capability, ...] = ("device.microphone", "device.speaker", "device.speaker.select")

Modality = Literal["speech-to-text", "text-to-speech", "voice-to-voice"]
Variant = Literal["pipeline", "half-cascade", "omni", "native"]
Task = Literal["stt", "llm", "tts", "omni", "vad", "turn", "wake"]

EXPANSION: Mapping[Modality, tuple[Capability, ...]] = {
    "speech-to-text": ("device.microphone",),
    "text-to-speech": ("device.speaker",),
    "voice-to-voice": ("device.microphone", "device.speaker"),
}
"""What a modality needs. ``device.speaker.select`` follows from none of them: an app that wants it says why."""


@dataclass(frozen=True, slots=True)
class DeclaredModel:
    """A model that the app may load. ``name``: its id in the catalog, or the app's own. ``sha256``: of its file, where the
    app pins it itself; empty: as the catalog does. For one that the catalog does not know: ``file``, relative to the
    manifest (POSIX), or ``engine``, the plugin that runs it."""

    name: str
    task: Task
    sha256: str = ""
    file: str = ""
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """A capability, and why the app has it: the modality it follows from, or the app's own reason."""

    capability: Capability
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One app. ``id`` is the key of the grants. ``variant``: how voice-to-voice is done. ``reasons``: for capabilities that
    no modality gives. ``defaults``: stage -> model, for calls that name none. ``offline``: no connection leaves this
    machine. ``digest``: SHA-256 of the file's bytes, as hex."""

    id: str
    name: str
    version: str
    entry: str = ""
    modalities: tuple[Modality, ...] = ()
    variant: Variant | None = None
    reasons: Mapping[Capability, str] = field(default_factory=dict)
    models: tuple[DeclaredModel, ...] = ()
    defaults: Mapping[Task, str] = field(default_factory=dict)
    offline: bool = False
    digest: str = ""
    path: str = ""
    """Where it was read, for messages; empty for one made in code."""

    @property
    def needs(self) -> tuple[Needed, ...]:
        """Its capabilities, each once, in the order of `CAPABILITIES`."""
        found: dict[Capability, str] = dict(self.reasons)
        for modality in reversed(self.modalities):
            for capability in EXPANSION[modality]:
                found[capability] = f"follows from {modality}"
        return tuple(Needed(one, found[one]) for one in CAPABILITIES if one in found)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Of `needs`."""
        return frozenset(one.capability for one in self.needs)
