"""A tool that changes something in the world: it runs only for a turn that is decided, and its result is always recorded.

    python examples/own_tool.py

What it shows: the user pauses in the middle of the wish. A reply is already prepared for the first half, unheard, and the
model already wants the tool; but the tool waits for the end of the turn, and so runs once, for the whole wish. The
conversation runs in the rig: a scripted model, virtual time, no devices. With a real model only ``replies`` goes away.
"""

from __future__ import annotations

from collections.abc import Sequence

from locara import voice
from locara.engines.contracts import ToolCall
from locara.testing import Conversation, Line, Result, play
from locara.voice.events import Event, ToolCalled, ToolResult, TurnEnd

lamps: dict[str, bool] = {"kitchen": False, "hall": False}
switched: list[str] = []
looked: list[str] = []


def switch_lamp(room: str, on: bool) -> str:
    """Switches the lamp of a room on or off."""
    switched.append(room)
    lamps[room] = on
    return f"the lamp in the {room} is {'on' if on else 'off'}"


def lamp_is_on(room: str) -> bool:
    """Whether the lamp of a room is on."""
    looked.append(room)
    return lamps[room]


TOOLS = [switch_lamp, voice.tool(lamp_is_on, side_effects=False)]
"""The second only looks, so it may run while the turn is still being decided. (``tool`` is a decorator, too.)"""

WISH: Sequence[str | Sequence[str | ToolCall]] = (
    [ToolCall("1", "lamp_is_on", {"room": "kitchen"})],
    [ToolCall("2", "switch_lamp", {"room": "kitchen", "on": True})],
    "The lamp in the kitchen is on.",
)
"""What the scripted model does: it looks, it acts, it says so."""


def converse() -> Result:
    """The conversation: "switch on the lamp", a pause of 0.3 s, "in the kitchen"."""
    first = Line(0.5, "switch on the lamp")
    lines = [first, Line(first.end + 0.3, "in the kitchen")]
    return play(Conversation(lines, WISH, settings={"tools": TOOLS}))


def _what(event: Event) -> str:
    match event:
        case ToolCalled(name=name, arguments=arguments):
            return f"{name}({arguments})"
        case ToolResult(name=name, result=result):
            return f"{name} -> {result}"
        case TurnEnd(who=who, reason=reason):
            return f"{who}, {reason}"
    return str(getattr(event, "text", ""))


def main() -> None:
    """Plays it and prints what happened when."""
    result = converse()
    for event in result.of("final-transcript", "tool-call", "tool-result", "llm-token", "turn-end"):
        print(f"{event.t:6.2f} s  {event.type:17} {_what(event)}")
    print(f"\nreplies prepared: {result.metrics['prepared']:.0f}, thrown away unheard: {result.metrics['wasted']:.0f}")
    print(f"looked {len(looked)} time(s), switched {len(switched)} time(s): {lamps}")


if __name__ == "__main__":
    main()
