"""A client of the runtime server: the same session, spoken with over a WebSocket.

server = await client.connect("http://127.0.0.1:7777", token)
async with server, server.session() as session:
    async for event in session.events():
        ...
"""

from __future__ import annotations

from locara.client.connection import Connection, ConnectionLost, connect
from locara.client.session import Session

__all__ = ["Connection", "ConnectionLost", "Session", "connect"]
