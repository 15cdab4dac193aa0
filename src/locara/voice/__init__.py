"""Talk with a computer: ``voice.session(...)`` and what it gives.

async with voice.session() as session:
    async for event in session.events():
        ...
"""

from __future__ import annotations

from locara.voice.brain import Deadlines
from locara.voice.building import SYSTEM, session
from locara.voice.conversation import Handle, Session
from locara.voice.history import Said, Used
from locara.voice.tools import tool

__all__ = ["SYSTEM", "Deadlines", "Handle", "Said", "Session", "Used", "session", "tool"]
