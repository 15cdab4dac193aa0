"""Grants of the browser's tests: none but those that a test gives."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))
