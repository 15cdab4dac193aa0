"""One engine outside a session: named as in `voice.session`, loaded with a deadline, closed whatever happens.

What may live here: bringing it up and down, for the modalities that stand beside the session.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from locara.consent import apps
from locara.engines.contracts import Engine, Kind
from locara.manifest.values import Manifest
from locara.voice import choosing
from locara.voice.brain import Deadlines
from locara.voice.building import Stage, _engine
from locara.voice.declaring import Declared
from locara.voice.loading import close_all, load_all


@asynccontextmanager
async def alone(
    stages: Mapping[Kind, Stage], deadlines: Deadlines, app: Manifest | str | os.PathLike[str] | None = None
) -> AsyncIterator[dict[Kind, Engine]]:
    """Kind -> engine, loaded. ``app``: whose manifest holds; left out, the running program's. Raises what `voice.session`
    and its ``start`` raise for the same names."""
    engines: dict[Kind, Engine] = {}
    declared = Declared(apps.this_app(app))
    named = {kind: declared.stage(kind, stage) for kind, stage in stages.items()}
    chosen: dict[str, dict[str, Any]] = {}
    if not declared.strict:
        chosen, _ = choosing.unnamed({str(kind): stage for kind, stage in named.items()})
    try:
        for kind, stage in named.items():
            engines[kind] = _engine(kind, chosen.get(kind, stage), {})
        await load_all({str(kind): engine for kind, engine in engines.items()}, deadlines.load)
        yield engines
    finally:
        given = [engine for kind, engine in engines.items() if engine is stages[kind]]
        await close_all([engine for engine in engines.values() if engine not in given], deadlines.close)
