"""One row of the catalog, as values. What may live here: these values, and no reading of files.

Sizes are bytes. What could not be looked up is None, never a guess: such a file is *unpinned*, and pulling it asks first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["works", "experimental", "listed"]
"""``works``: it ran here. ``experimental``: real code, not run with its real weights or on its hardware. ``listed``: no
engine yet; the note says what would run it."""

Flag = Literal["non-commercial", "gpl", "gated", "framework-bound", "use-restricted", "non-compete"]

RowKind = Literal["vad", "turn", "wake", "stt", "llm", "tts", "omni"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. ``path`` is where it lies in the model's folder (POSIX, relative). ``url`` may be empty: then
    it is ``path`` in the row's hub repository at the row's revision. ``unpack``: it is an archive with the model's files
    inside, which are laid out under the model's folder; ``strip`` leading folders are dropped from their names."""

    path: str
    url: str = ""
    sha256: str = ""
    size: int | None = None
    unpack: Literal["", "tar", "tar.gz", "tar.bz2", "zip"] = ""
    strip: int = 0

    @property
    def pinned(self) -> bool:
        """Whether what is downloaded can be compared with what was meant."""
        return bool(self.sha256)


@dataclass(frozen=True, slots=True)
class Needs:
    """Where it can run. Empty means anywhere. ``os``: ``linux``, ``macos``, ``windows``; ``accelerator``: ``cuda``,
    ``metal``, ``mlx``; ``os_version``: the least, as the system itself numbers it (``26`` for macOS 26)."""

    os: tuple[str, ...] = ()
    os_version: str = ""
    accelerator: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A model. ``disk`` and ``memory`` in bytes. ``engine`` is the name of the engine that runs it (an entry point in
    the group of its kind), ``options`` what that engine is told beside the folder, ``extra`` the extra of this package
    that brings the engine (``locara[extra]``), empty where the core does. ``bundled``: its weights come with a package,
    nothing is pulled."""

    id: str
    kind: RowKind
    title: str
    licence: str
    status: Status
    engine: str = ""
    aliases: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    languages: tuple[str, ...] = ()
    streaming: bool = False
    params: int | None = None
    disk: int | None = None
    memory: int | None = None
    needs: Needs = Needs()
    hub: str = ""
    revision: str = ""
    files: tuple[ModelFile, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: str = ""
    bundled: bool = False
    note: str = ""
    """What a person should know; for ``listed`` what would run it."""

    @property
    def pinned(self) -> bool:
        """Whether every file has a hash and the hub's revision is fixed."""
        return all(one.pinned for one in self.files) and (bool(self.revision) or not self.hub)
