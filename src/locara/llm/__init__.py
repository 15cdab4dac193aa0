"""A language model alone, as a session uses it: no thinking text, tools that run, every wait with a deadline.

    reply = await llm.chat("What is the capital of France?", llm="http://127.0.0.1:11434/v1#qwen2.5:3b")

    async for piece in llm.chat_stream([("user", "Tell me a story.")]):
        print(piece, end="")

Whoever asks often keeps the model loaded: ``async with llm.chatter(llm=...) as one: await one.chat(...)``.
"""

from __future__ import annotations

from locara.llm.chatting import Chatter, Reply, chat, chat_stream, chatter

__all__ = ["Chatter", "Reply", "chat", "chat_stream", "chatter"]
