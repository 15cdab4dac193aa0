"""The tools that a `VoiceBackend` asks for: found, run when the turn machine lets them, and their results told.

What may live here: the way of a call and its result. When a tool may run is decided in `replies`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from locara.engines.backend import ToolResult
from locara.engines.contracts import Tool, ToolCall
from locara.errors import EngineFailed
from locara.voice import tools as tooling
from locara.voice.backend_reply import BackendReply
from locara.voice.brain import Deadlines, Post, failure
from locara.voice.history import as_json
from locara.voice.making import MAX_TOOL_ROUNDS
from locara.voice.moves import Failed, ToolRan, Wanted


class BackendTools:
    """``tell`` takes a result for the backend; ``deadlines``: that of one tool is kept."""

    def __init__(self, tools: Sequence[Tool], tell: Callable[[ToolResult], None], deadlines: Deadlines) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._tell = tell
        self._seconds = deadlines.tool

    def wanted(self, made: BackendReply, call: ToolCall) -> Wanted | Failed | None:
        """A reply asks for a tool: what is to be posted. None: it was told at once that there is no such tool."""
        made.rounds += 1
        if made.rounds > MAX_TOOL_ROUNDS:
            error = EngineFailed(
                f"omni: the model asked for tools {MAX_TOOL_ROUNDS} times in one reply",
                stage="omni",
                hint="look at what the tools answer: the model does not seem to understand it",
            )
            return failure(error, "omni", reply=made.number)
        tool = self._tools.get(call.name)
        if tool is None:
            self._told(made.number, call, tooling.unknown(call.name, self._tools.values()))
            return None
        made.tools.add(call.id)
        return Wanted(made.number, call, tool.side_effects)

    def side_effects(self, call: ToolCall) -> bool:
        """Whether it acts on the world; also what is not known might."""
        tool = self._tools.get(call.name)
        return tool is None or tool.side_effects

    async def run(self, reply: int, turn: int, call: ToolCall, post: Post, waiting: Callable[[], int | None]) -> None:
        """Runs a tool to its end, even if its reply ends before. ``waiting``: the number by which the backend knows the
        reply that waits for the result; None: it is over, and the backend is not told."""
        tool = self._tools.get(call.name)
        if tool is None:
            result: Any = tooling.unknown(call.name, self._tools.values())
        else:
            result = await tooling.run(tool, call.arguments, self._seconds)
        await post(ToolRan(reply, turn, call, result))
        if (number := waiting()) is not None:
            self._told(number, call, result)

    def _told(self, reply: int, call: ToolCall, result: Any) -> None:
        self._tell(ToolResult(reply, call, result if isinstance(result, str) else as_json(result)))
