"""What an app may ask of a conversation beside talking: other rules, a reply now, words into or out of the history.

What may live here: from what the app asks to moves, and to the history. It is for whoever leads a conversation himself,
turn by turn, as a protocol's door does; an app that only talks needs none of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

from locara.engines.contracts import Message, Tool
from locara.errors import ConfigError
from locara.voice import ledger, moves
from locara.voice import tools as tooling
from locara.voice.brain import Adjusts, Brain, acting
from locara.voice.endings import PATIENCE, Patience
from locara.voice.history import Said, Used
from locara.voice.loop import Loop

TAIL_MOST = 5.0
"""Seconds; a key that is up means an end."""


def wish(
    brain: Brain,
    *,
    system: str | None = None,
    tools: Sequence[Callable[..., Any] | Tool] | None = None,
    speaks: bool | None = None,
    messages: Sequence[Message] | None = None,
    record: bool = True,
) -> moves.Wish | None:
    """How a reply is to be made; None where nothing was named. Raises ``ConfigError`` for a brain that cannot be told."""
    named = any(one is not None for one in (system, tools, speaks))
    if named and not isinstance(acting(brain), Adjusts):
        raise ConfigError(
            "system=, tools= and speaks= are for a language model; this session runs one model for everything",
            hint="leave them out, or use stt=, llm= and tts=",
        )
    if not named and messages is None and record:
        return None
    return moves.Wish(
        system=system,
        tools=None if tools is None else tuple(tooling.as_tool(one) for one in tools),
        speaks=speaks,
        messages=None if messages is None else tuple(messages),
        record=record,
    )


def led(brain: Brain, *, answers: str | None, interruptible: bool | None) -> None:
    """Raises ``ConfigError`` for rules of turns that a model which leads the conversation cannot be held to."""
    asked = {"answers": answers == "asked", "interruptible": interruptible is False}
    refused = next((name for name, wanted in asked.items() if wanted), None)
    if refused is not None and brain.lead == "model":
        raise ConfigError(
            f"{refused}=: this session's model decides by itself when it speaks and when it stops",
            hint="leave it out, or use a pipeline or a model that takes turns",
        )


def ruled(
    *,
    patience: str | Patience | None = None,
    attention: str | None = None,
    answers: str | None = None,
    interruptible: bool | None = None,
    tail: float | None = None,
    wish: moves.Wish | None = None,
) -> moves.Ruled:
    """The settings as a move. Raises ``ConfigError`` for what is not known."""
    if isinstance(patience, str):
        if patience not in PATIENCE:
            raise ConfigError(f"patience={patience!r} is not known", hint='use "quick", "normal" or "patient"')
        patience = PATIENCE[patience]
    if attention not in (None, "open", "push-to-talk"):
        raise ConfigError(
            f"attention={attention!r} cannot be set while it runs",
            hint='use "open" or "push-to-talk"; a wake word is loaded at the start',
        )
    if answers not in (None, "auto", "asked"):
        raise ConfigError(f"answers={answers!r} is not known", hint='use "auto" or "asked"')
    if tail is not None and not 0.0 <= tail <= TAIL_MOST:
        raise ConfigError(f"tail={tail!r}", hint=f"0 to {TAIL_MOST:g} seconds")
    return moves.Ruled(
        patience=patience,
        open_mic=None if attention is None else attention == "open",
        answers=None if answers is None else answers == "auto",
        interruptible=interruptible,
        tail_seconds=tail,
        wish=wish,
    )


def remember(loop: Loop, role: Literal["user", "assistant", "system"], text: str, key: str) -> None:
    """Into the history, without a reply."""
    if role not in ("user", "assistant", "system"):
        raise ConfigError(f"role={role!r} is not known", hint='use "user", "assistant" or "system"')
    loop.history.append(Said(-1, role, text, key=key))


def truncate(loop: Loop, turn: int, seconds: float) -> str:
    """Of the reply in ``turn`` only the first ``seconds`` were heard: corrects the history; returns what was heard. Where
    that is not known any more, nothing changes."""
    kept = loop.scripts.get(turn)
    at = _last(loop.history, turn)
    if at is None:
        return ""
    entry = loop.history[at]
    assert isinstance(entry, Said)
    if kept is None:
        return entry.text
    whole, script = kept
    rate = loop.state.rules.output_rate
    end = ledger.heard_until(script, round(max(0.0, seconds) * rate), rate, whole)
    if end < len(entry.text):  # never more than left the gate
        heard, unheard = whole[:end].strip(), whole[end:].strip()
        entry = loop.history[at] = dataclasses.replace(entry, text=heard, interrupted=True, unheard=unheard)
    return entry.text


def forget(loop: Loop, turn: int, role: str, key: str) -> bool:
    """Takes one entry out of the history: by ``key``, or the last of ``role`` in ``turn``. False: there is none."""
    for at in reversed(range(len(loop.history))):
        entry = loop.history[at]
        if isinstance(entry, Said) and (entry.key == key if key else (entry.turn, entry.role) == (turn, role)):
            del loop.history[at]
            return True
    return False


def _last(history: Sequence[Said | Used], turn: int) -> int | None:
    for at in reversed(range(len(history))):
        entry = history[at]
        if isinstance(entry, Said) and entry.turn == turn and entry.role == "assistant":
            return at
    return None
