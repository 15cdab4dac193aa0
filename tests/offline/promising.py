"""Code that runs in a process of its own which has promised offline: the promise cannot be taken back.

What may live here: starting such a process, and what several of these tests ask for. It checks nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping

import pytest

from locara.offline import kernel

AWAY = "192.0.2.1"
"""TEST-NET-1 of RFC 5737: no machine has it. A connection that is tried hangs or is refused by the network, with another
error than ours."""

FULL = "offline.forbid_network()"
STRICT = "offline.forbid_network(loopback=False)"
PYTHON_ONLY = "python_code.watch(python_code.Rules(loopback=True, sockets=True))"
"""What is left of the promise on systems whose kernel keeps nothing."""
NONE = "offline.promised()"

held_by_kernel = pytest.mark.skipif(not kernel.can_hold(), reason="this kernel takes no seccomp filter")

_HEAD = """
    import errno, sys
    from locara import offline
    from locara.offline import loopback, python_code
    made = {promise}
    def refused(call):
        try:
            call()
        except BaseException as error:
            seen = error
            while seen is not None:
                if isinstance(seen, PermissionError) or "offline was promised" in str(seen):
                    return True
                seen = seen.__cause__ or seen.__context__ or getattr(seen, "reason", None)
            raise
        return False
"""


def run(
    code: str,
    *arguments: object,
    promise: str = FULL,
    seconds: float = 40.0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What ``code`` prints in a process that has made the promise. ``refused(call)`` is True for our own refusal."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_HEAD.format(promise=promise)) + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
