"""Where the HTTP server listens that xllamacpp starts with every model, and that nothing turns off.

What may live here: that place. An address that ends in ``.sock`` is a Unix socket to llama.cpp (its server's ``--host``).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from locara.offline import promised

_SHORT = 70
"""Characters of the folder for temporary files; a Unix socket's path may have 107 (unix(7)) with what is added here."""


@contextlib.contextmanager
def side_door() -> Iterator[list[str]]:
    """The addresses to give it, for as long as it starts. A free port on loopback; but where the kernel lets nobody here
    open an internet socket, a Unix socket in a folder that is removed afterwards, so that nobody can connect at all."""
    promise = promised()
    if promise is None or promise.kernel != "no-internet":
        yield ["127.0.0.1"]
        return
    place = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="locara-llama-", dir=place if len(place) <= _SHORT else "/tmp") as folder:  # noqa: S108
        yield [str(Path(folder) / "side.sock")]
