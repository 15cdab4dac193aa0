"""Whether the disk has room, said in words. What may live here: the reading of free space, and the sentence."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from locara.errors import ModelError

MARGIN_BYTES = 500 * 1000 * 1000
"""Stays free beside what is written: a system whose disk is full to the last byte fails in places of its own."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that say: no more can be written here."""


def free(path: Path) -> int:
    """Bytes that may be written where ``path`` is, or will be: the nearest folder above it that exists is asked."""
    for one in (path, *path.parents):
        if one.is_dir():
            return shutil.disk_usage(one).free
    return shutil.disk_usage(Path.cwd()).free


def words(count: float) -> str:
    """Bytes as a person reads them, in powers of ten as shops and file managers do: ``1.3 GB``."""
    if count < 1000:
        return f"{int(count)} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 99.5 else f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def demand(model: str, needed: int, available: int, where: Path) -> None:
    """Raises ``ModelError`` unless ``needed`` more bytes and the margin fit into ``available``."""
    if needed + MARGIN_BYTES > available:
        raise ModelError(
            f"{model} does not fit on the disk: {words(needed)} are still needed and {words(MARGIN_BYTES)} should stay "
            f"free, but {words(available)} are available in {where}",
            hint="make room (locara models prune shows what can go), or set LOCARA_MODELS to a folder on another disk",
        )


def full(model: str, where: Path, error: OSError) -> ModelError:
    """The error for a disk that filled up while something was written to it."""
    return ModelError(
        f"{model}: nothing more can be written to {where} ({error.strerror or error}); what was fetched is kept",
        hint="make room, or set LOCARA_MODELS to a folder on another disk, then run the same command again",
    )
