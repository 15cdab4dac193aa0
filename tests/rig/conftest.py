"""Every test of this folder leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .leaks import nothing_left


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with nothing_left():
        yield
