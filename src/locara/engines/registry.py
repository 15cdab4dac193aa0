"""How engines are found: by model name, through entry points, Locara's own and everybody else's by the same door.

A plugin is a package with an entry point in the group ``locara.stt`` (or ``llm``, ``tts``, ``vad``, ``turn``, ``wake``,
``omni``) that names a function ``create(model: str, options: Mapping[str, Any])``: it returns an engine, or None if the
model is not one of its own. ``create.models``, if it has it, lists the names for "did you mean". Where the module says
``PROCESS = "own"``, the engine runs in a child process (`locara.engines.hosting`) with ``ENVIRONMENT`` added to its
environment.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from locara.engines.contracts import Engine, Kind
from locara.errors import ConfigError, EngineMissing

_log = logging.getLogger("locara")

Create = Callable[[str, Mapping[str, Any]], Engine | None]

_WORDS: dict[Kind, str] = {
    "vad": "voice activity",
    "turn": "end of turn",
    "wake": "wake word",
    "stt": "speech to text",
    "llm": "language model",
    "tts": "text to speech",
    "omni": "end-to-end speech",
}


def installed(kind: Kind) -> dict[str, Create]:
    """Engine name -> its ``create``, for every installed engine of this kind that can be imported; one that cannot is
    logged, and does not keep the others from working."""
    return _load_all(kind)[0]


def _load_all(kind: Kind) -> tuple[dict[str, Create], dict[str, EngineMissing]]:
    """The engines that can be imported, and why the others cannot."""
    found: dict[str, Create] = {}
    broken: dict[str, EngineMissing] = {}
    for point in _points(kind):
        try:
            found[point.name] = point.load()
        except Exception as error:  # whatever a plugin does while it is imported
            message = f"{_WORDS[kind]}: the plugin {point.name!r} ({point.value}) cannot be imported: {error}"
            _log.warning(message)
            missing = EngineMissing(message, stage=kind, hint="update or uninstall the package it belongs to")
            missing.__cause__ = error
            broken[point.name] = missing
    return found, broken


_Folders = tuple[tuple[str, int], ...]
_looked: dict[Kind, tuple[_Folders, tuple[EntryPoint, ...]]] = {}


def _points(kind: Kind) -> tuple[EntryPoint, ...]:
    """The entry points of this kind, by name. Looking through the metadata of every package takes 9 ms and more, which the
    event loop of a server has not; so it is done anew only when a folder of packages has changed."""
    folders = tuple((one, _changed(one)) for one in sys.path)
    known = _looked.get(kind)
    if known is None or known[0] != folders:
        found = sorted(entry_points(group=f"locara.{kind}"), key=lambda point: point.name)
        known = _looked[kind] = (folders, tuple(found))
    return known[1]


def _changed(folder: str) -> int:
    """When something came into it or left it, in nanoseconds; 0 for what cannot be looked at."""
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116  some thousand times in a test run
    except OSError:
        return 0


def create(kind: Kind, model: str, options: Mapping[str, Any]) -> Engine:
    """The engine for ``model`` (an empty name: the engine's own default).

    The option ``engine`` names it where several know the model. The option ``process`` is kept from it: ``"own"`` runs it
    in a child process, ``"shared"`` here; without it, the engine's module says what is right (``PROCESS``). Raises
    ``EngineMissing``, and ``ConfigError`` for options that cannot be.
    """
    engines, broken = _load_all(kind)
    wanted = options.get("engine")
    process, options = options.get("process"), {name: one for name, one in options.items() if name != "process"}
    if process not in (None, "own", "shared"):
        raise ConfigError(f"{_WORDS[kind]}: process={process!r} is not known", hint='use "own" or "shared"')
    for name, make in engines.items():
        if wanted is None or wanted == name:
            engine = make(model, options)
            if engine is not None:
                return _placed(kind, model, options, engine, process, make)
    for name, missing in broken.items():
        if wanted in (None, name):
            raise missing  # perhaps it was the one
    if wanted is not None and wanted not in engines:
        raise _not_installed(kind, model, str(wanted), engines)
    raise _missing(kind, model, engines)


def _placed(
    kind: Kind, model: str, options: Mapping[str, Any], engine: Engine, process: object, make: Create
) -> Engine:
    """``engine`` as it is, or in a process of its own."""
    module = importlib.import_module(make.__module__)
    if (process or getattr(module, "PROCESS", "shared")) == "shared":
        return engine
    from locara.engines.hosting import hosted

    return hosted(kind, model, options, engine, getattr(module, "ENVIRONMENT", {}))


def models(kind: Kind) -> list[str]:
    """The model names that the installed engines of this kind know."""
    return _names(installed(kind))


def _names(engines: Mapping[str, Create]) -> list[str]:
    names: list[str] = []
    for name, make in engines.items():
        module = importlib.import_module(make.__module__)
        names += list(getattr(make, "models", getattr(module, "MODELS", (name,))))
    return names


def _not_installed(kind: Kind, model: str, wanted: str, engines: Mapping[str, Create]) -> EngineMissing:
    near = difflib.get_close_matches(wanted, engines, n=1)
    return EngineMissing(
        f"{_WORDS[kind]}: no engine {wanted!r} is installed",
        stage=kind,
        model=model,
        hint=(f"did you mean {near[0]!r}? " if near else "") + f"Installed: {', '.join(engines) or 'none'}",
    )


def _missing(kind: Kind, model: str, engines: Mapping[str, Create]) -> EngineMissing:
    if not engines:
        return EngineMissing(
            f"{_WORDS[kind]}: no engine of this kind is installed, so {model!r} cannot be run",
            stage=kind,
            model=model,
            hint=f"install a plugin with an entry point in the group locara.{kind}; see docs/engines.md",
        )
    names = _names(engines)
    near = difflib.get_close_matches(model, names, n=1)
    known = ", ".join(names)
    return EngineMissing(
        f"{_WORDS[kind]}: no installed engine knows the model {model!r}",
        stage=kind,
        model=model,
        hint=(f"did you mean {near[0]!r}? " if near else "") + f"Installed engines know: {known}",
    )
