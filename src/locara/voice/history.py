"""What each side said: for the assistant, what was *heard*. And the same as messages for a language model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from locara.audio import RATE
from locara.engines.contracts import Message, Sound, ToolCall

INTERRUPTED = " [Interrupted here. The user did not hear the rest.]"
"""Told to the model, so that it neither repeats what was heard nor refers to what was not."""

UNHEARD = "[Interrupted before the user heard a word of the answer.]"
"""The same for a reply that was cut before its first word: else two turns of the user would follow each other."""

NOT_UNDERSTOOD = "[The user said something here that could not be understood.]"
"""In place of a turn that was asked back: else two replies would follow each other, which many chat templates refuse."""

NOT_KEPT = "[The user said something here; its sound is no longer kept.]"
"""In place of a turn that the model once heard."""

SOUND_CHARACTERS = 100
"""What a second of sound counts as: models make 12 to 25 tokens of it (Qwen2-Audio and Whisper's encoder 25, Ultravox and
Voxtral 12.5), a token being about four characters."""

HISTORY_CHARACTERS = 12_000
"""What of a conversation a model is given: about 3,000 tokens, which with the system's text, tools and the reply fit into
the 4,096 that local servers often grant. The newest exchange is always given whole."""

LEAST_CHARACTERS = 1_000
"""A history shorter than a long answer is none."""


@dataclass(frozen=True, slots=True)
class Said:
    """One side's words in one turn. ``interrupted``: the assistant was cut off there; ``unheard`` never left the
    speaker. ``key``: of what the app put there itself (``turn`` is then -1)."""

    turn: int
    role: Literal["user", "assistant", "system"]
    text: str
    interrupted: bool = False
    unheard: str = ""
    key: str = ""
    not_understood: bool = False
    """The user surely spoke and no word was found: ``text`` is empty, and the assistant asked back."""


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was called in this turn."""

    turn: int
    call: ToolCall
    result: Any


def as_messages(
    history: Sequence[Said | Used],
    characters: int | None = None,
    sound_of: Callable[[int], Sound | None] | None = None,
) -> list[Message]:
    """The conversation so far as chat messages, in the order in which it happened; of a long one the last part, see
    `newest`, of at most about ``characters`` (None: all). ``sound_of``: for a model that hears, the sound of a turn,
    as long as it is kept; after that its words, if they are known."""
    messages: list[Message] = []
    for entry in history:
        if isinstance(entry, Used):
            messages.append(Message("assistant", "", tool_calls=(entry.call,)))
            messages.append(Message("tool", as_json(entry.result), tool_call_id=entry.call.id))
        elif entry.role == "user" and sound_of is not None and (kept := sound_of(entry.turn)) is not None:
            messages.append(Message("user", "", sounds=(kept,)))  # also where a recogniser beside it gave the words
        elif entry.text:
            messages.append(Message(entry.role, entry.text + (INTERRUPTED if entry.interrupted else "")))
        elif entry.interrupted:
            messages.append(Message(entry.role, UNHEARD))
        elif entry.not_understood:
            messages.append(Message("user", NOT_UNDERSTOOD))
        elif entry.role == "user" and sound_of is not None:
            messages.append(Message("user", NOT_KEPT))
    return messages if characters is None else newest(messages, characters)


def newest(messages: list[Message], characters: int) -> list[Message]:
    """The last exchanges, of at most ``characters`` together. An exchange begins with the user's message, so a tool's call
    and its result are never parted.

    Dropped is half of ``characters`` at a time: in between, the conversation only grows at its end, and a model that has
    read its beginning need not read it again.
    """
    sizes = [_size(message) for message in messages]
    over = sum(sizes) - characters
    if over <= 0:
        return messages
    step = max(1, characters // 2)
    dropped = -(-over // step) * step
    before, kept = 0, 0
    for at, message in enumerate(messages):
        if message.role == "user":
            kept = at  # also where nothing fits: the newest exchange stays
            if before >= dropped:
                break
        before += sizes[at]
    return messages[kept:]


def _size(message: Message) -> int:
    heard = sum(round(sound.samples.size / RATE * SOUND_CHARACTERS) for sound in message.sounds)
    return (
        heard + len(message.content) + sum(len(call.name) + len(as_json(call.arguments)) for call in message.tool_calls)
    )


def as_json(result: Any) -> str:
    """What a tool gave back, for a model to read: JSON, or, of what is no JSON, what Python prints of it."""
    try:
        return json.dumps(result, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no strings, a list that contains itself
        return json.dumps(repr(result), ensure_ascii=False)
