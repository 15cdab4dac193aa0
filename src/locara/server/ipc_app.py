"""Which app is at the other end of an IPC connection, and what it may name. Decisions about values; nothing is opened.

What may live here: from the manifest's text and the stages in a message to what `seats` takes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locara.consent import apps
from locara.errors import ConfigError, ManifestError
from locara.manifest import reading
from locara.manifest.values import Manifest
from locara.server.listening import is_loopback

PAGE = Path(__file__).parent / "page" / "locara.toml"
"""The manifest of the page, which is what a client without one is taken for."""

OPENS_FILES = ("path", "program", "python", "data", "config", "executable", "environment", "command",
               "mmproj", "weights", "install")  # fmt: skip
"""Options of engines that name a file or a program of this machine. A client names models, never files: what it may run is
what is in the catalog and on disk, and whoever sits at the machine puts it there."""


_DEVICE = re.compile(
    r"(auto|cpu|gpu|cuda|rocm|metal|mps|vulkan|npu|coreml|directml|openvino)(:\d{1,2})?", re.IGNORECASE
)
"""What ``device`` may be: where a model computes. The embedded recogniser takes it for a microphone's name and keeps a file
for each that it hears of."""


def app_of(text: str | None, *, offline: bool) -> Manifest:
    """The app that a manifest declares; without one, the page. ``offline``: of the server. Raises ``ManifestError``."""
    if text is None:
        return page()
    found = apps.this_app(reading.parse(text))  # its path stays empty: nothing can be meant relative to it
    for model in found.models:
        if model.file:
            raise ManifestError(
                f"the model {model.name!r} is a file, which an app at a connection cannot bring",
                hint="name a model of the catalog; `locara models import` puts a file of yours there",
            )
    if found.offline and not offline:
        raise ManifestError(
            "it promises offline = true, which this server does not keep",
            hint="start it as `locara serve --offline`, or leave that line out",
        )
    return found


@functools.cache
def page() -> Manifest:
    """The page's own manifest."""
    return reading.read(PAGE)


def stage_of(kind: str, stage: Any) -> Any:
    """A stage as it came: a model's name or a mapping with options. Raises ``ConfigError`` for one that opens files."""
    if stage is None:
        return None
    if isinstance(stage, str):
        _no_file(kind, "model", stage)
        return stage
    given = dict(stage)
    for name, value in given.items():
        if name in OPENS_FILES:
            raise ConfigError(
                f"{kind}: the option {name!r} names a file or a program, which a client cannot",
                hint="name a model: `locara models list`; your own files: `locara models import`",
            )
        if name == "remember" or (name == "device" and not (isinstance(value, str) and _DEVICE.fullmatch(value))):
            raise ConfigError(
                f"{kind}: with {name!r} an engine keeps files on the server's disk, which a client cannot ask for",
                hint=f"leave {name} out",
            )
        _no_files_in(kind, str(name), value)
    return given


def _no_files_in(kind: str, name: str, value: Any) -> None:
    """Also not inside of lists and objects."""
    if isinstance(value, str):
        _no_file(kind, name, value)
    elif isinstance(value, Mapping):
        for inner, one in value.items():
            if inner in OPENS_FILES:
                raise ConfigError(
                    f"{kind}: the option {name}.{inner} names a file or a program, which a client cannot",
                    hint="name a model: `locara models list`; your own files: `locara models import`",
                )
            _no_files_in(kind, name, one)
    elif isinstance(value, list | tuple):
        for one in value:
            _no_files_in(kind, name, one)


def stages_of(named: Mapping[str, Any]) -> dict[str, Any]:
    """The stages that were named at all."""
    return {kind: stage_of(kind, stage) for kind, stage in named.items() if stage is not None}


def _no_other_machine(kind: str, address: str) -> None:
    """What a client may have this server connect to is on this machine: what else it can reach (a router's page, the
    metadata of a cloud's machine) is not the client's to ask for."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise ConfigError(
            f"{kind}: a client may name model servers of this machine only",
            hint=f"whoever runs the server can choose it: locara serve --{kind} URL",
        )


_LINES = ("system", "voice_text", "prompt")
"""Options that are read by a model, and may have anything in them."""


def _no_file(kind: str, name: str, value: str) -> None:
    if name in _LINES:
        return
    if value.lower().startswith(("http://", "https://")):
        _no_other_machine(kind, value)
        return
    if (
        value.startswith(("~", ".", "/", "file:"))
        or value[1:2] == ":"  # a drive
        or "\\" in value
        or "/../" in value
        or (name == "voice" and "/" in value)  # of a model that imitates one, it is a recording
        or value.endswith((".gguf", ".onnx", ".wav"))
    ):
        raise ConfigError(
            f"{kind}: {name} looks like a file, which a client cannot name",
            hint="name a model: `locara models list`; your own files: `locara models import`",
        )
