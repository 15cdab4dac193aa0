"""From a conversation to the prompt of a Qwen-Omni model, and from its tokens back to text.

What may live here: pure functions and values; read here and in the model's own environment, so only the standard library.
The words of the template come from the model's folder; here stands what goes into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal["qwen2.5-omni", "qwen3-omni"]

HEARD_RATE = 16_000
"""Hertz of what both models hear."""
HOP = 160
"""Samples of a mel frame: 10 ms."""
LONGEST_SECONDS = 240
"""Of one turn's sound: what fits into one frame to the worker (the feature extractors take 300). The end of a longer one is
kept."""
SHORTEST_SAMPLES = 1600
"""100 ms: the audio encoder needs some frames; shorter sound is made longer with silence."""

REQUIRED_SYSTEM = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and visual "
    "inputs, as well as generating text and speech."
)
"""Qwen2.5-Omni speaks as it should only with this system prompt, says its README; what an app asks for comes after it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message: ``sounds`` are names of sounds that the worker has, in their order, before ``text``."""

    role: Literal["system", "user", "assistant"]
    text: str = ""
    sounds: tuple[int, ...] = ()


def said_in(plain: Iterable[Mapping[str, Any]]) -> list[Said]:
    """Messages as they travel to the worker. Raises ``ValueError`` for what is none."""
    found = []
    for one in plain:
        role, text, sounds = one.get("role"), one.get("text", ""), one.get("sounds", [])
        if role not in ("system", "user", "assistant") or not isinstance(text, str) or not isinstance(sounds, list):
            raise ValueError(f"no message: {one!r:.200}")
        found.append(Said(role, text, tuple(int(sound) for sound in sounds)))
    return found


def defused(text: str) -> str:
    """``text`` with the marks of the template broken, so that nothing said can end a turn or begin another."""
    return text.replace("<|", "< |").replace("<tts_", "< tts_")


def turns(said: Sequence[Said], family: Family, instructions: str = "") -> list[Said]:
    """The conversation as the model is to read it: one system message at most, first; then what was said and heard.

    An assistant's message is what was heard of it, to the letter; one of which nothing was heard was not said. Users'
    messages without words or sound are left out too.
    """
    asked = [instructions, *(one.text for one in said if one.role == "system")]
    asked = list(dict.fromkeys(text.strip() for text in asked if text.strip()))
    if family == "qwen2.5-omni" and not any(text.startswith(REQUIRED_SYSTEM) for text in asked):
        asked.insert(0, REQUIRED_SYSTEM)
    found = [Said("system", "\n\n".join(asked))] if asked else []
    return found + [one for one in said if one.role != "system" and (one.text.strip() or one.sounds)]


def for_template(said: Sequence[Said]) -> list[dict[str, Any]]:
    """The messages in the shape that chat templates know; each sound is a part of its own, before the words."""
    found: list[dict[str, Any]] = []
    for one in said:
        if not one.sounds:
            found.append({"role": one.role, "content": defused(one.text)})
            continue
        parts: list[dict[str, Any]] = [{"type": "audio", "audio": "sound"} for _ in one.sounds]
        if one.text.strip():
            parts.append({"type": "text", "text": defused(one.text)})
        found.append({"role": one.role, "content": parts})
    return found


def shortened(said: Sequence[Said], weights: Sequence[int], room: int) -> list[Said]:
    """The newest messages whose ``weights`` (tokens) fit into ``room``: the system message and the last message always stay,
    and what stays begins with a user's turn."""
    first = 1 if said and said[0].role == "system" else 0
    start = first
    total = sum(weights)
    while total > room and start < len(said) - 1:
        total -= weights[start]
        start += 1
    while start < len(said) - 1 and start > first and said[start].role != "user":
        start += 1
    return [*said[:first], *said[start:]]


def frames_of(samples: int) -> int:
    """Mel frames of so many samples."""
    return math.ceil(samples / HOP)


def audio_tokens(frames: int, family: Family, window: int = 50) -> int:
    """Tokens of a sound of ``frames`` mel frames. ``window``: ``n_window`` of Qwen3's audio encoder. The formulas of the
    models' processors in transformers."""
    if family == "qwen2.5-omni":
        return ((frames - 1) // 2 + 1 - 2) // 2 + 1
    whole, rest = divmod(frames, 2 * window)
    return (((rest - 1) // 2 + 1 - 1) // 2 + 1 - 1) // 2 + 1 + whole * 13


def expanded(ids: Sequence[int], mark: int, counts: Sequence[int]) -> list[int]:
    """``ids`` with the n-th ``mark`` standing ``counts[n]`` times. Raises ``ValueError`` where the numbers do not match."""
    marks = sum(1 for one in ids if one == mark)
    if marks != len(counts):
        raise ValueError(f"the template left {marks} places for {len(counts)} sounds")
    left = iter(counts)
    return [one for token in ids for one in ([token] * next(left) if token == mark else [token])]


class TextPieces:
    """Tokens to text, piece by piece: a piece is given out when its letters are whole. ``decode``: tokens to text."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text is out, all but the last few of which are forgotten
        self._before = ""

    def push(self, token: int) -> str:
        """The text that is certain now; often empty in the middle of a letter of several bytes."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        return self._give(text)

    def rest(self) -> str:
        """What was still held back."""
        return self._give(self._decode(self._ids)) if len(self._ids) > self._shown else ""

    def _give(self, text: str) -> str:
        new = text[len(self._before) :]
        # A token's text may depend on the one before it: that one stays, and what it gives alone is not new.
        self._ids = self._ids[-1:]
        self._shown = len(self._ids)
        self._before = self._decode(self._ids)
        return new
