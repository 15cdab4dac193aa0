"""Which model a REST request means: an id of the catalog, the server's own default, or one of OpenAI's names for it. Pure.

What may live here: names. Where a name leads on this machine is the catalog's affair; what is asked of an engine beside its
model (a language, a voice) is put into its options here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from locara.catalog.fitting import speaks
from locara.catalog.row import Row
from locara.server.rest_errors import wrong

RestKind = Literal["stt", "tts"]

DEFAULT = "default"
OPENAI_MODELS: dict[RestKind, frozenset[str]] = {
    "stt": frozenset(
        {
            "whisper-1",
            "gpt-transcribe",
            "gpt-4o-transcribe",
            "gpt-4o-mini-transcribe",
            "gpt-4o-mini-transcribe-2025-12-15",
        }
    ),
    "tts": frozenset({"tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"}),
}
"""Names that clients send because they know no other. Each means the default here."""

OPENAI_VOICES = frozenset(
    {"alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar"}
)
"""Voices of OpenAI's that no engine here has: the model's own voice speaks instead."""


def means_default(kind: RestKind, name: str) -> bool:
    """Whether ``name`` asks for nothing in particular."""
    return name.lower() == DEFAULT or name.lower() in OPENAI_MODELS[kind]


def with_options(stage: Any, options: Mapping[str, Any]) -> Any:
    """``stage``, as `locara.voice.session` takes it, with ``options`` before its own. Raises ``Refused`` for an engine
    object, which takes none."""
    if isinstance(stage, str):
        return {"model": stage, **options}
    if isinstance(stage, Mapping):
        return {**stage, **options}
    raise wrong(f"the model here takes no {' and no '.join(options)}: leave it out", next(iter(options)))


def options_of_language(row: Row | None, language: str) -> dict[str, Any]:
    """What an engine is told of ``language``: nothing where the catalog does not know the model, whose options nobody here
    knows then. Raises ``Refused`` where its model does not know the language."""
    if not language or row is None:
        return {}
    if not speaks(row, language):
        known = ", ".join(row.languages[:8])
        raise wrong(f"{row.id} does not know the language {language}, only {known}: name another model", "language")
    if len(row.languages) == 1 and row.languages[0] != "mul":
        return {}  # there is nothing to choose
    return {"language": language}


def language_of(row: Row | None, asked: str) -> str:
    """The language of a transcript as far as it is known: what was asked for, else the only one that the model knows."""
    if asked:
        return asked
    only = row is not None and len(row.languages) == 1 and row.languages[0] != "mul"
    return row.languages[0] if row is not None and only else ""
