"""The stock ``openai-agents`` against a server: only address and key are ours. Runs where that is installed.

``python realtime_agents.py URL KEY SPEECH``: ``SPEECH`` is raw 16-bit PCM at 24 kHz. A typed turn with a function, then a
spoken one that is interrupted by another. Prints one JSON object.
"""

# This file is run by another environment's Python, and imports nothing of Locara: here its imports are not to be had.
# mypy: ignore-errors
from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"In {city} it rains."


async def main(url: str, key: str, speech: bytes) -> dict[str, Any]:
    agent = RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[get_weather])
    runner = RealtimeRunner(agent, config={"tracing_disabled": True, "model_settings": {"model_name": "gpt-realtime"}})
    told: dict[str, Any] = {"client": f"openai-agents {version('openai-agents')}", "errors": [], "seconds": 0.0}
    async with await runner.run(model_config={"url": url, "api_key": key}) as session:
        ask = asyncio.Event()

        async def talk() -> None:
            """A microphone: silence, and the question whenever it is to be asked."""
            while True:
                sound = speech if ask.is_set() else b"\0" * 1920
                ask.clear()
                for at in range(0, len(sound), 1920):
                    await session.send_audio(sound[at : at + 1920].ljust(1920, b"\0"))
                    await asyncio.sleep(0.03)  # a little faster than it sounds: no gaps

        talking = asyncio.create_task(talk())
        asked = 0
        ends = 0
        await session.send_message("What is the weather in Oslo?")
        async with asyncio.timeout(45):
            async for event in session:
                if event.type == "error":
                    told["errors"].append(str(event.error))
                elif event.type == "tool_end":
                    told["tool"] = event.output
                elif event.type == "audio":
                    told["seconds"] += len(event.audio.data) / 48_000
                    if asked == 1 and told["seconds"] > told["before"] + 1.0:
                        asked = 2  # the long answer is interrupted
                        ask.set()
                elif event.type == "audio_interrupted":
                    told["interrupted"] = True
                elif event.type == "agent_end":
                    ends += 1
                    if ends == 2:  # the call, and the answer after it
                        told["before"] = told["seconds"]
                        asked = 1
                        ask.set()
                    elif ends == 4:
                        break
        talking.cancel()
        history = [item.model_dump() for item in session._history]
    told["history"] = [
        [item.get("role", item["type"]), (item.get("content") or [{}])[0].get("transcript")] for item in history
    ]
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()))))
