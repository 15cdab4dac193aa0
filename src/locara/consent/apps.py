"""Which app this is. What may live here: from a manifest, the environment or the running program to a `Manifest`."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from locara.consent.ledger import LOCAL
from locara.errors import ConfigError, ManifestError
from locara.manifest.values import Manifest

VARIABLE = "LOCARA_MANIFEST"
"""The path of the manifest of the running program."""

OURS = "dev.locara."
"""How the ids of Locara's own programs begin."""

EMBEDDED = Path(__file__).parents[1] / "cli" / "locara.toml"
"""The manifest of the ``locara`` command."""

PAGE = Path(__file__).parents[1] / "server" / "page" / "locara.toml"
"""The manifest of the page that `locara serve` shows."""

_NAME = 40  # characters of a program's name in its id


def this_app(
    manifest: Manifest | str | os.PathLike[str] | None = None, environment: Mapping[str, str] = os.environ
) -> Manifest:
    """The app that runs: the given manifest or its path, else ``LOCARA_MANIFEST``, else the nearest ``locara.toml`` in the
    folder of the running program or above, else one without a manifest (`anonymous`). Raises ``ManifestError``."""
    from locara.manifest import reading

    if isinstance(manifest, Manifest):
        return _named(manifest)
    if manifest is not None and not isinstance(manifest, str | os.PathLike):
        raise ConfigError(f"manifest={manifest!r} is no manifest", hint="give the path of a locara.toml, or a Manifest")
    named = manifest if manifest is not None else environment.get(VARIABLE, "").strip()
    if named:
        return _named(reading.read(Path(named)))
    program = _program()
    if program is not None and (found := reading.find(program.parent)) is not None:
        return _named(reading.read(found))
    return anonymous(program)


def anonymous(program: Path | None) -> Manifest:
    """A program without a manifest: its id is made of its name and of where it lies, so that another one of the same name
    does not have its grants. ``program``: None for code that lies in no file."""
    if program is None:
        return Manifest(f"{LOCAL}python", "Python", "")
    # `python -m package` runs the package's __main__.py.
    called = program.parent.name if program.stem == "__main__" and program.parent.name else program.name
    stem = re.sub(r"[^a-z0-9]+", "-", Path(called).stem.lower()).strip("-")[:_NAME].strip("-") or "program"
    where = hashlib.sha256(str(program.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return Manifest(f"{LOCAL}{stem}-{where}", called, "")


def _program() -> Path | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file) if file else None


def declares(manifest: Manifest) -> bool:
    """Whether its models are all that it may load. Not so without a manifest, and for the ``locara`` command: its user names
    the models by hand."""
    return not manifest.id.startswith((LOCAL, OURS))


def _named(manifest: Manifest) -> Manifest:
    """Raises ``ManifestError`` for an id that would get what was granted to another."""
    made_here = not (manifest.path or manifest.modalities or manifest.models or manifest.reasons)
    ours = manifest.path and Path(manifest.path).resolve() in (EMBEDDED.resolve(), PAGE.resolve())
    if (manifest.id.startswith(LOCAL) and not made_here) or (manifest.id.startswith(OURS) and not ours):
        raise ManifestError(
            f"the id {manifest.id!r}: {LOCAL}* is what programs without a manifest get, {OURS}* is Locara's own",
            path=manifest.path,
            hint='give the app an id of its own, such as "com.example.talk"',
        )
    return manifest
