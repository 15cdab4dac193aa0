"""A stage as the call names it, against the app's manifest. What may live here: which models an app may load, and which it
gets where it names none.

`locara check` finds the same before anything runs; this is what holds for names that are put together at run time. An
engine object is the app's own code, and is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.consent import apps
from locara.engines.contracts import Kind
from locara.errors import ModelNotDeclared
from locara.manifest import declared as declaration
from locara.manifest.values import DeclaredModel, Manifest, Task
from locara.voice import pinned


class Declared:
    """The models of ``app``. A program without a manifest may load any."""

    def __init__(self, app: Manifest) -> None:
        self._app = app
        self.strict = apps.declares(app)
        """Whether there is a manifest; where there is, nothing is chosen from what happens to lie on this machine."""

    def stage(self, kind: Kind, stage: Any) -> Any:
        """``stage``; where it names no model, with the manifest's default. None is left: the installation's own. Raises
        ``ModelNotDeclared``."""
        if not self.strict:
            return stage
        if stage is None:
            stage = self._app.defaults.get(kind)
        if isinstance(stage, str):
            return self._pinned({"model": stage}, self._demand(kind, stage), stage)
        if isinstance(stage, Mapping):
            named = stage.get("model", "") or self._app.defaults.get(kind, "")
            if isinstance(url := stage.get("url"), str):
                self._demand(kind, url)
            if isinstance(named, str) and named:
                whole = {**stage, "model": named}
                return self._pinned(whole, self._demand(kind, named), whole)
        return stage

    def _pinned(self, stage: Mapping[str, Any], model: DeclaredModel | None, otherwise: Any) -> Any:
        """``otherwise``, or for a file of the app's own ``stage`` with its path. Raises ``ModelHashMismatch``."""
        own = None if model is None else pinned.demand(model, Path(self._app.path).parent)
        return otherwise if own is None else {**stage, "path": str(own)}

    def omni(self, stage: Any) -> Any:
        """As `stage`; but where none is named there is none, whatever the manifest's default: it wants three stages."""
        return None if stage is None else self.stage("omni", stage)

    def word(self, attention: Any) -> None:
        """The wake word of the setting ``attention``. Raises ``ModelNotDeclared``."""
        if self.strict and isinstance(attention, Mapping) and isinstance(word := attention.get("word"), str):
            self._demand("wake", word)

    def _demand(self, task: Task, name: str) -> DeclaredModel | None:
        if task in declaration.WORDS.get(name, ()):
            return None
        found = declaration.declared(self._app, task, name)
        if found is not None and found.task == task:
            return found
        where = self._app.path or "locara.toml"
        line = f'"{declaration.canonical(task, name)}" = {{}}'
        if task == "llm" and declaration.is_address(name):
            line = f'a model server, such as "openai-compatible" = {{ task = "llm", engine = "{declaration.SERVER}" }}'
        raise ModelNotDeclared(
            f"{task}: {self._app.id} does not declare {name!r}" + (f", only as {found.task}" if found else ""),
            hint=f"add {line} under [models] in {where}; people are shown what an app uses",
        )
