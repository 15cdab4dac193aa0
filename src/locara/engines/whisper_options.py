"""The options that every Whisper knows, whoever runs it.

What may live here: these options and what is said when the model's files are not here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.engines import option_values
from locara.engines.redecoding import Pace
from locara.errors import ConfigError, ModelMissing

NAMES = ("engine", "path", "language", "threads", "partials", "step", "share", "deadline")
_MOST_THREADS = 32
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?")


@dataclass(frozen=True, slots=True)
class WhisperOptions:
    """``path``: the model's folder or file. ``language``: a code, empty for the one that is heard. ``threads``: of the
    processor."""

    path: Path | None
    language: str
    threads: int
    pace: Pace

    @classmethod
    def read(cls, engine: str, model: str, options: Mapping[str, Any], own: Sequence[str]) -> WhisperOptions:
        """Checked. ``own``: the names that the engine itself reads. Raises ``ConfigError``."""
        option_values.known(engine, options, (*NAMES, *own))
        language = options.get("language")
        if language is not None and not (isinstance(language, str) and _LANGUAGE.fullmatch(language)):
            raise ConfigError(
                f"{engine}: language is {language!r}",
                hint='a code such as "de", or nothing for the language that is heard',
            )
        usual = Pace()
        pace = Pace(
            partials=option_values.one_of(engine, options, "partials", usual.partials, ("all", "stable", "none")),
            step=option_values.number(engine, options, "step", usual.step, 0.1, 10.0, "seconds"),
            share=option_values.number(engine, options, "share", usual.share, 0.05, 1.0, "of the time"),
            deadline=option_values.number(engine, options, "deadline", usual.deadline, 0.1, 600.0, "seconds"),
        )
        return cls(
            option_values.path(engine, options),
            (language or "").replace("_", "-").split("-")[0],
            option_values.whole(engine, options, "threads", usual_threads(os.cpu_count()), 1, _MOST_THREADS),
            pace,
        )


def usual_threads(cores: int | None) -> int:
    """One core stays free for sound and loop; more than four gain little for these sizes. With as many threads as cores
    the waiting ones spin, and on a busy machine all of them wait for one."""
    return max(1, min(4, (cores or 2) - 1))


def model_missing(model: str, why: str) -> ModelMissing:
    """The model's files are not here."""
    return ModelMissing(why, stage="stt", model=model, hint=f"locara models pull {model}")
