"""HTTP clients for model servers, which work once offline was promised too: then through the relay.

What may live here: making such a client, and httpx's and httpcore's seams for a connection of our own. httpcore is what
httpx stands on, and comes with it. This file imports both, so it is imported where a client is first needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpcore
import httpx

from locara.offline import loopback, promised


def client(*, verify: bool, trust_env: bool, limits: httpx.Limits | None = None, **options: Any) -> httpx.AsyncClient:
    """A client whose waits the caller bounds: it has no timeouts of its own. ``verify``: https is spoken, so the authorities
    are read, which takes 0.1 s. ``trust_env``: proxies of the environment may be used; never once offline was promised, for
    a proxy on this machine would carry a request away from it."""
    limits = limits or httpx.Limits()
    transport: httpx.AsyncBaseTransport | None = None
    if promised() is not None:
        trust_env = False
        if loopback.relay() is not None:
            transport = _Transport(httpx.create_ssl_context(trust_env=False) if verify else None, limits)
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113  see above
        verify=verify, trust_env=trust_env, limits=limits, transport=transport, **options,
    )  # fmt: skip


def mended(error: Exception, otherwise: str) -> str:
    """What to do about a request that failed: ``otherwise``, unless the promise is the reason."""
    if loopback.ENDED in str(error):
        return "start the program again: once offline was promised, there can be no other relay"
    if "offline was promised" in str(error):
        return "use a server on this machine, and give its address as 127.0.0.1, ::1 or localhost"
    return otherwise


class _Transport(httpx.AsyncBaseTransport):
    """httpx on a pool of httpcore whose connections come from the relay."""

    def __init__(self, context: ssl.SSLContext | None, limits: httpx.Limits) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Relayed(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for block in self._stream:
                yield block

    async def aclose(self) -> None:
        await self._stream.aclose()


_TRANSPORT_ERRORS = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """httpx has each of httpcore's errors under the same name."""
    try:
        yield
    except _TRANSPORT_ERRORS as error:
        raise getattr(httpx, type(error).__name__, httpx.TransportError)(str(error)) from error


class _Relayed(httpcore.AsyncNetworkBackend):
    """Connections through the relay."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return _Stream(*await loopback.open_connection(host.strip("[]"), port))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """One connection. Closing it closes the one to the server at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                block = await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        if not block and loopback.cut_off(self._writer.get_extra_info("socket").fileno()):
            raise httpcore.ReadError(str(loopback.RelayEnded()))  # or it would look like an end that the server wanted
        return block

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._reader.at_eof() if info == "is_readable" else self._writer.get_extra_info(info)
