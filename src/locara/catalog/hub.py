"""The Hugging Face Hub as its own client keeps and addresses it: where its cache lies, its addresses, its token.

What may live here: paths, addresses and what the environment says, all without network. The names of the variables and
their order are those of huggingface_hub ("Environment variables" and "Understand caching" in its documentation), so
that what a person has set up for other programs holds here too. `engines.hugging_face` knows the same cache folder: the
catalog and the engines do not know each other, and one small function twice is cheaper than a room for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from locara.catalog.row import ModelFile, Row
from locara.errors import ModelError

HUB = "https://huggingface.co"

_TRUE = frozenset({"1", "on", "yes", "true"})
_BLOB_SHA256 = re.compile(r"[0-9a-f]{64}")
"""The cache names the blob of a large file by its sha256, that of a small one by its git hash, which is shorter."""


def offline(environment: Mapping[str, str]) -> str:
    """The variable that forbids the network here, or ""."""
    for name in ("LOCARA_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environment.get(name, "").strip().lower() in _TRUE:
            return name
    return ""


def endpoint(environment: Mapping[str, str]) -> str:
    """The hub's address without a slash at the end: ``HF_ENDPOINT`` (a mirror), else the hub itself."""
    return environment.get("HF_ENDPOINT", "").strip().rstrip("/") or HUB


def address(row: Row, file: ModelFile, environment: Mapping[str, str], revision: str = "") -> str:
    """Where ``file`` is fetched. ``revision`` stands in for a row's that has none. Raises ``ModelError`` where the row
    says neither an address nor a repository. A mirror also serves addresses that name the hub itself."""
    base = endpoint(environment)
    if file.url:
        return base + file.url[len(HUB) :] if file.url.startswith(HUB + "/") else file.url
    if not row.hub:
        raise ModelError(
            f"{row.id}: the catalog does not say where {file.path} can be fetched",
            hint=f"get it yourself, then: locara models import {row.id} PATH",
        )
    return f"{base}/{quote(row.hub)}/resolve/{quote(row.revision or revision or 'main', safe='')}/{quote(file.path)}"


def is_of_hub(url: str, environment: Mapping[str, str]) -> bool:
    """Whether ``url`` is on the very server that the token is for: same scheme, host and port."""
    return _origin(url) == _origin(endpoint(environment))


def home(environment: Mapping[str, str]) -> Path:
    """``HF_HOME``, else where the hub's client keeps everything."""
    if named := environment.get("HF_HOME"):
        return Path(named).expanduser()
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface"


def cache(environment: Mapping[str, str]) -> Path:
    """The folder of cached repositories."""
    if named := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    return home(environment) / "hub"


def token(environment: Mapping[str, str]) -> str:
    """The person's token: ``HF_TOKEN``, else the file that ``hf auth login`` writes, else ""."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if found := environment.get(name, "").strip():
            return found
    named = environment.get("HF_TOKEN_PATH")
    try:
        text = (Path(named).expanduser() if named else home(environment) / "token").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = text.strip()
    # It becomes a line of a request: a file that holds something else must not write further lines into it.
    return found if found.isascii() and found.isprintable() and " " not in found else ""


def cached(row: Row, environment: Mapping[str, str]) -> Path | None:
    """The folder in the hub's cache that holds the whole model at the row's revision, or None. Reads names and sizes
    only. A row without a revision is never taken from there: it cannot be known what it is."""
    if not row.hub or not row.revision or not row.files or any(one.url or one.unpack for one in row.files):
        return None
    folder = snapshot(row, environment)
    return folder if all(fits(folder / one.path, one) for one in row.files) else None


def snapshot(row: Row, environment: Mapping[str, str]) -> Path:
    """Where the hub's cache would keep the row's revision."""
    return cache(environment) / f"models--{row.hub.replace('/', '--')}" / "snapshots" / (row.revision or "none")


def fits(path: Path, file: ModelFile) -> bool:
    """Whether what lies at ``path`` can be ``file``: size, and the name of its blob where that is a hash."""
    try:
        size = path.stat().st_size
        blob = path.resolve().name
    except OSError:
        return False
    if file.size is not None and size != file.size:
        return False
    known = blob if blob != path.name and _BLOB_SHA256.fullmatch(blob) else ""
    return not (file.sha256 and known and known != file.sha256.lower())


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (80 if parts.scheme == "http" else 443)
