"""An engine that belongs to somebody else, who lends it to a session: loaded already, and not closed with it.

What may live here: the mark. A server keeps engines warm and lends them to one session after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from locara.engines.contracts import Engine


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """As a stage of `voice.session`, or as its ``model``. ``engine`` is loaded; who lends it closes it, afterwards."""

    engine: Engine
    why: str = "kept warm for the sessions of this server"


def lent(*stages: Any) -> tuple[Engine, ...]:
    """The engines among ``stages`` that are lent."""
    named = [stage.get("model") if isinstance(stage, Mapping) else stage for stage in stages]
    return tuple(one.engine for one in named if isinstance(one, Lent))
