"""aiohttp's client for model servers, which works once offline was promised too: then through the relay.

What may live here: making such a client, and aiohttp's seam for a connection of our own. `loopback_http` is the same for
httpx.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector

from locara.offline import loopback, promised


def client(verify: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """A client whose waits the caller bounds: it has no timeouts of its own, and asks no proxy. ``verify``: whom a server
    with ``wss`` or ``https`` must be vouched for by; None: the authorities of the system. Made inside a running loop."""
    connector: BaseConnector
    if promised() is not None and loopback.relay() is not None:
        connector = _Relayed(verify)
    else:
        connector = aiohttp.TCPConnector(ssl=verify if verify is not None else True)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None, connect=None))


def mended(error: BaseException, otherwise: str) -> str:
    """What to do about a connection that failed: ``otherwise``, unless the promise is the reason."""
    if loopback.ENDED in str(error):
        return "start the program again: once offline was promised, there can be no other relay"
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in (errno.EPERM, errno.EACCES):
        return "offline was promised: use a server on this machine, and give its address as 127.0.0.1 or localhost"
    return otherwise


class _Relayed(BaseConnector):
    """aiohttp on connections that come from the relay."""

    def __init__(self, verify: ssl.SSLContext | None) -> None:
        super().__init__()
        self._verify = verify

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        host, port = req.url.host or "", req.url.port or 0
        try:
            one = await asyncio.to_thread(loopback.connect, host, port)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        try:
            one.setblocking(False)
            return await self._wrapped(one, req, host)
        except BaseException:
            one.close()
            raise

    async def _wrapped(self, one: socket.socket, req: aiohttp.ClientRequest, host: str) -> ResponseHandler:
        secure = req.url.scheme in ("https", "wss")
        context = (self._verify or ssl.create_default_context()) if secure else None
        _, protocol = await self._loop.create_connection(
            self._factory, sock=one, ssl=context, server_hostname=host if secure else None
        )
        return protocol
