"""Which models REST offers: the list of what can be run here now, and the way from a name to a stage.

What may live here: the questions to catalog, store and machine, in the order that a request needs them. They read files, so
they are asked in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locara.catalog import fitting, index
from locara.catalog.row import Row, RowKind
from locara.engines import registry
from locara.server.rest_errors import Refused, wrong
from locara.server.rest_names import OPENAI_MODELS, RestKind, means_default, options_of_language, with_options
from locara.voice.building import DEFAULTS

LISTED: tuple[RowKind, ...] = ("stt", "tts", "llm", "omni")
"""Kinds that a client can name: the rest of a conversation has no names on the wire."""

OWNER = "locara"
_OBJECT = "model"
_FRESH_SECONDS = 5.0
"""How old a list may be: a model that was just pulled is there at the next look."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A stage, and the row of the catalog behind it if there is one."""

    stage: Any
    row: Row | None


class Models:
    """The models of a server whose own stages are ``stages`` (kind -> as `locara.voice.session` takes it)."""

    def __init__(self, stages: Mapping[str, Any]) -> None:
        self._stages = stages
        self._listed: list[dict[str, Any]] = []
        self._until = 0.0
        self._owns: dict[RestKind, tuple[float, _Own]] = {}

    def listed(self) -> list[dict[str, Any]]:
        """OpenAI's model objects of what can be run now, with what the catalog knows as further fields."""
        if time.monotonic() >= self._until:
            self._listed = _described(self._stages)
            self._until = time.monotonic() + _FRESH_SECONDS
        return self._listed

    def one(self, name: str) -> dict[str, Any]:
        """The object of one model, by id or alias. Raises ``Refused`` (404)."""
        for kind in OPENAI_MODELS:
            if means_default(kind, name) and name.lower() != "default":
                return {**_bare(name, kind), "default": True}
        row = index.find(name)
        wanted = row.id if row is not None else name
        for told in self.listed():
            if told["id"] == wanted:
                return told
        raise not_found(name, row)

    def choose(self, kind: RestKind, name: str, language: str = "", voice: str = "") -> Chosen:
        """What runs for ``name``. Raises ``Refused``, and what the catalog says of a model that cannot run."""
        own = self._own(kind)
        row = index.find(name)
        if means_default(kind, name) or (own.name == name if row is None else row is own.row):
            if own.given is None and own.row is not None and language and not fitting.speaks(own.row, language):
                own = self._of_language(kind, language)
            return self._with_options(own, language, voice)
        if row is None and name not in registry.models(kind):
            raise not_found(name, None)  # an address or a path is no name here
        if row is not None and row.kind != kind:
            raise wrong(f"{row.id} is no model for this: it is of the kind {row.kind}", "model")
        known = row.id if row is not None else name
        return self._with_options(_Own(known, known, row, known), language, voice)

    def _with_options(self, own: _Own, language: str, voice: str) -> Chosen:
        options = options_of_language(own.row, language) | ({"voice": voice} if voice else {})
        # Unchanged where it can be: what is named in the same way is the same loaded copy.
        return Chosen(with_options(own.resolved, options) if options else own.given, own.row)

    def _own(self, kind: RestKind) -> _Own:
        kept = self._owns.get(kind)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        stage = self._stages.get(kind)
        own = self._of_language(kind, None) if stage is None else _resolved(stage, stage)
        self._owns[kind] = (time.monotonic() + _FRESH_SECONDS, own)
        return own

    def _of_language(self, kind: RestKind, language: str | None) -> _Own:
        """What is taken where the server names nothing. Raises ``ConfigError`` where nothing knows the language."""
        from locara.voice import choosing

        best, _ = choosing.unnamed({kind: None}, language=language)
        stage = best.get(kind) or DEFAULTS[kind]
        return _resolved(stage, None if language is None else stage)


@dataclass(frozen=True, slots=True)
class _Own:
    """The server's own model of a kind. ``given``: the stage as the server was started with it, for the loaded copy that
    all doors share; ``resolved``: with its model's name in it; ``name``: that name, or ""."""

    given: Any
    resolved: Any
    row: Row | None
    name: str


def _resolved(stage: Any, given: Any) -> _Own:
    named = _named(stage)
    name = named if isinstance(named, str) else ""
    return _Own(given, stage, index.find(name) if name else None, name)


def not_found(name: str, row: Row | None) -> Refused:
    """The error for a model that is not there, to be raised."""
    shown = name[:80]
    if row is not None:
        return wrong(
            f"{row.id} is not ready on this machine. locara models show {row.id} says what it needs",
            "model",
            code="model_not_found",
            status=404,
        )
    near = index.near(shown)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return wrong(
        f"there is no model {shown!r}. {hint}GET /v1/models lists what runs here",
        "model",
        code="model_not_found",
        status=404,
    )


def _described(stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    from locara.voice import choosing

    rows = [row for row in index.rows() if row.kind in LISTED]
    facts = choosing.facts(rows, reach="ready")
    defaults = {kind: index.find(str(_named(stages.get(kind)) or DEFAULTS.get(kind, ""))) for kind in LISTED}
    told = [_object(row, default=defaults.get(row.kind) is row) for row in rows if not why_not(row, facts)]
    known = {one["id"] for one in told}
    for kind in LISTED:  # a plugin's model that the server was started with
        name = _named(stages.get(kind))
        if isinstance(name, str) and name and index.find(name) is None and name not in known:
            told.append({**_bare(name, kind), "default": True})
    return told


def _bare(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": _OBJECT, "created": 0, "owned_by": OWNER, "kind": kind}


def _named(stage: Any) -> Any:
    return stage.get("model") if isinstance(stage, Mapping) else stage if isinstance(stage, str) else None


def why_not(row: Row, facts: fitting.Facts) -> str:
    """Why a model cannot be run now although somebody names it; empty where it can."""
    if row.status == "listed":
        return "no engine runs it yet"
    if row.engine == fitting.SERVED and row.bundled:
        return "a server's model: the server says whether it is there"
    if why := fitting.why_not_here(row, facts.machine):
        return why
    if facts.engines is not None and row.engine not in facts.engines.get(row.kind, frozenset()):
        return f"the engine {row.engine} is not installed"
    if row.extra and row.extra not in facts.extras:
        return f"the extra {row.extra} is not installed"
    return "" if row.bundled or row.id in facts.on_disk else "its files are not on this machine"


def _object(row: Row, *, default: bool) -> dict[str, Any]:
    return {
        **_bare(row.id, row.kind),
        "title": row.title,
        "licence": row.licence,
        "flags": list(row.flags),
        "languages": list(row.languages),
        "status": row.status,
        "default": default,
    }
