"""Where a file of a Hugging Face repository lies on this machine, if another program has fetched it already.

What may live here: paths, in the layout that the Hub's own client keeps. Nothing is downloaded and no network is used:
``<cache>/models--<owner>--<name>/snapshots/<revision>/<file>``, and ``refs/main`` holds the newest revision fetched.
Source: "Understand caching" in the documentation of huggingface_hub.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of cached repositories: ``HF_HUB_CACHE``, else ``hub`` in ``HF_HOME``, else where the client puts it."""
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"


def snapshots(repository: str, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """The folders of ``repository`` ("owner/name") that are here: first the one ``main`` points at, then the newest."""
    home = cache(environment) / f"models--{repository.replace('/', '--')}"
    try:
        folders = [one for one in (home / "snapshots").iterdir() if one.is_dir()]
    except OSError:
        return
    try:
        main = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    yield from sorted(folders, key=lambda one: (one.name == main, one.stat().st_mtime, one.name), reverse=True)
