"""Rows, stores and patience for the tests of this folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.catalog.parts import Patience
from locara.catalog.row import ModelFile, Row
from locara.catalog.store import Store

BODY = bytes((i * i + i // 256) % 251 for i in range(300_000))
HASTY = Patience(
    connect=2.0, read=1.0, stall=0.5, stall_bytes=20_000, retries=3, unreachable=1, first_wait=0.01, longest_wait=0.02
)
"""Deadlines as short as a slow machine bears; waits that a test does not notice."""


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def file(url: str, body: bytes = BODY, path: str = "model.onnx", **more: Any) -> ModelFile:
    """A pinned file."""
    return ModelFile(path, url=url, sha256=sha(body), size=len(body), **more)


def row(*files: ModelFile, **more: Any) -> Row:
    fields: dict[str, Any] = {
        "id": "small",
        "kind": "stt",
        "title": "Small",
        "licence": "MIT",
        "status": "listed",
        "engine": "none",
        "files": files,
        **more,
    }
    return Row(**fields)


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Nothing of the machine's own."""
    return {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), **more}


def store(tmp_path: Path, env: Mapping[str, str] | None = None, free: int = 10**12) -> Store:
    return Store(
        tmp_path / "models",
        environment=environment(tmp_path) if env is None else env,
        free=lambda _: free,
    )
