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
from locara.voice.brain import Post, failure
from locara.voice.history import as_json
from locara.voice.making import MAX_TOOL_ROUNDS
from locara.voice.moves import Failed, ToolRan, Wanted


class BackendTools:
    """``tell`` takes a result for the backend; ``seconds``: the deadline of one tool."""

    def __init__(self, tools: Sequence[Tool], tell: Callable[[ToolResult], None], seconds: float) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._tell = tell
        self._seconds = seconds

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
            names = ", ".join(self._tools) or "none"
            self._tell(ToolResult(made.number, call, as_json({"error": f"no tool {call.name!r}; there are: {names}"})))
            return None
        made.tools.add(call.id)
        return Wanted(made.number, call, tool.side_effects)

    async def run(
        self, reply: int, turn: int, call: ToolCall, post: Post, made: Callable[[], BackendReply | None]
    ) -> None:
        """Runs a tool to its end, even if its reply ends before; the backend is told if that is still there (``made``)."""
        result: Any = await tooling.run(self._tools[call.name], call.arguments, self._seconds)
        await post(ToolRan(reply, turn, call, result))
        if (waiting := made()) is not None and not waiting.complete:
            waiting.tools.discard(call.id)
            waiting.moved.set()
            self._tell(ToolResult(reply, call, result if isinstance(result, str) else as_json(result)))
