"""OpenMP, told to sleep while it waits.

What may live here: this one setting. A library built with GNU's OpenMP lets a thread that waits for the others spin; on a
machine that also runs a conversation, decoding then took ten to twenty times as long (measured with ggml and as many threads
as cores). The runtime reads the setting once, when it is loaded together with the library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_POLICY = "OMP_WAIT_POLICY"


@contextmanager
def waiting_asleep() -> Iterator[None]:
    """Around the import of such a library. What the user has set stays; nothing is left behind for child processes."""
    if _POLICY in os.environ:
        yield
        return
    os.environ[_POLICY] = "passive"
    try:
        yield
    finally:
        os.environ.pop(_POLICY, None)
