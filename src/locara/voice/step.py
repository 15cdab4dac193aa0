"""One call of `turns.receive` under way: the state as it becomes, and the effects so far.

What may live here: the few words in which `turns`, `replies` and `overlap` write down a decision. No decision itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from locara.audio import RATE
from locara.voice.events import Event
from locara.voice.moves import Effect, Emit
from locara.voice.state import ASSISTANT, USER, On, Reply, State, Turn


class Step:
    """Lives for one call and is never shared, so that what it changes is nobody else's."""

    def __init__(self, state: State) -> None:
        self.s = state
        self.effects: list[Effect] = []

    def do(self, *effects: Effect) -> None:
        """Effects, in the order in which they are to happen."""
        self.effects.extend(effects)

    def set(self, **changes: Any) -> None:
        """Changes fields of the state."""
        self.s = replace(self.s, **changes)

    def user(self, why: On) -> None:
        """Moves the user's machine; a move that the table does not have raises KeyError."""
        self.set(user=USER[self.s.user, why])

    def assistant(self, why: On) -> None:
        """Moves the assistant's machine."""
        self.set(assistant=ASSISTANT[self.s.assistant, why])

    @property
    def turn(self) -> Turn:
        """The open turn; only where there is one."""
        turn = self.s.turn
        assert turn is not None
        return turn

    @property
    def reply(self) -> Reply:
        """The active reply; only where there is one."""
        reply = self.s.reply
        assert reply is not None
        return reply

    def in_turn(self, **changes: Any) -> Turn:
        """Changes fields of the open turn."""
        turn = replace(self.turn, **changes)
        self.set(turn=turn)
        return turn

    def in_reply(self, **changes: Any) -> Reply:
        """Changes fields of the active reply."""
        reply = replace(self.reply, **changes)
        self.set(reply=reply)
        return reply

    def tell(self, kind: type[Event], turn: int | None, **fields: Any) -> None:
        """Tells the app, stamped with the clock."""
        self.do(Emit(kind(t=self.s.now / RATE, turn=turn, **fields)))
