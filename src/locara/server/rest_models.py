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
from locara.server.rest_names import OPENAI_MODELS, RestKind, means_default, options_of_language, stage_for
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
        if means_default(kind, name):
            return self._default(kind, language, voice)
        row = index.find(name)
        own = self._own_name(kind)
        if row is None and name != own and name not in registry.models(kind):
            raise not_found(name, None)  # an address or a path is no name here
        if row is not None and row.kind != kind:
            raise wrong(f"{row.id} is no model for this: it is of the kind {row.kind}", "model")
        options = options_of_language(row, language) | ({"voice": voice} if voice else {})
        same = row is not None and bool(own) and index.find(own) is row
        return Chosen(stage_for(self._stages.get(kind), own if same else row.id if row else name, options), row)

    def _default(self, kind: RestKind, language: str, voice: str) -> Chosen:
        stage = self._stages.get(kind)
        more = {"voice": voice} if voice else {}
        if stage is None:
            from locara.voice import choosing

            best, _ = choosing.unnamed({kind: None}, language=language or None)
            stage = best.get(kind) or DEFAULTS[kind]
        name = stage if isinstance(stage, str) else stage.get("model", "") if isinstance(stage, Mapping) else ""
        row = index.find(name) if isinstance(name, str) and name else None
        return Chosen(stage_for(stage, "", options_of_language(row, language) | more), row)

    def _own_name(self, kind: str) -> str:
        stage = self._stages.get(kind)
        name = stage.get("model", "") if isinstance(stage, Mapping) else stage
        return name if isinstance(name, str) else ""


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
