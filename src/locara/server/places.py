"""Where things lie on the server's disk is nobody's business but that of whoever sits at it. Pure.

What may live here: taking folders out of sentences that go to a client. What lies in them (the file's name) stays: without
it an error cannot be mended.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

_USUAL = ("/home", "/Users", "/root", "/etc", "/usr", "/var", "/opt", "/tmp", "/srv", "/mnt", "/media", "/Volumes")  # noqa: S108  recognised, not used
_ENDS = r"[^\s'\"`,;:()\[\]<>{}|*?]*"


def _pattern(roots: Iterable[str]) -> re.Pattern[str]:
    known = sorted({re.escape(one.rstrip("/\\")) for one in roots if len(one) > 2}, key=len, reverse=True)
    # A path begins a word; "/v1/models" and "http://host/home" are none of these.
    return re.compile(
        rf"(?<![\w/.:-])(?:(?:{'|'.join(known)})(?=[/\\\s'\"`,;:()]|$){_ENDS}|[A-Za-z]:\\{_ENDS}|~/{_ENDS})"
    )


def _roots() -> Iterable[str]:
    own = (Path.home(), sys.prefix, sys.base_prefix, tempfile.gettempdir(), Path(__file__).parents[2])
    named = (value for name, value in os.environ.items() if name.startswith(("LOCARA_", "XDG_")))
    return (*_USUAL, *(str(one) for one in own), *(one for one in named if Path(one).is_absolute()))


_PLACE = _pattern(_roots())


def without_places(text: str) -> str:
    """``text`` with the folders of every path of this machine left out: ``.../model.gguf``."""
    return _PLACE.sub(lambda found: ".../" + re.split(r"[/\\]", found[0].rstrip("/\\."))[-1], text)
