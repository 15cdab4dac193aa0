"""Which extras of this package are installed: what ``pip install "locara[extra]"`` would bring, read from metadata.

What may live here: that question. Nothing is imported to answer it.
"""

from __future__ import annotations

import functools
import re
from importlib import metadata

PACKAGE = "locara"


def requirements(lines: list[str]) -> dict[str, tuple[str, ...]]:
    """Extra -> names of the packages it asks for, from ``Requires-Dist`` lines. ``locara[other]`` is the others' extras."""
    found: dict[str, list[str]] = {}
    for line in lines:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line.strip())
        if extra and name:
            found.setdefault(extra[1], []).append(name[0])
    return {extra: tuple(names) for extra, names in found.items()}


@functools.lru_cache(maxsize=1)
def installed() -> frozenset[str]:
    """The extras whose packages are all here."""
    try:
        wanted = requirements(metadata.requires(PACKAGE) or [])
    except metadata.PackageNotFoundError:
        return frozenset()
    return frozenset(extra for extra, names in wanted.items() if all(_here(name) for name in names))


def _here(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def command(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "{PACKAGE}[{extra}]"'
