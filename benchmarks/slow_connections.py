"""Slow and silent clients against a server that runs, and how a good client fares meanwhile.

    locara serve --no-browser --port 7777 &
    python benchmarks/slow_connections.py --url http://127.0.0.1:7777 --token-file .../serve-7777.token

Three attacks, one after another: connections that say nothing, that drip a head, that drip a body. For each: after how
many seconds the last was closed (or that it was not), and how long a good client's request to /healthz took meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

LIMIT_SECONDS = 60.0
"""A connection that is still open then counts as not closed."""


async def held(host: str, port: int, mode: str, token: str) -> float:
    """Seconds until the server closed one slow connection."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(host, port)
    dripping = asyncio.create_task(drip(writer, mode, f"{host}:{port}", token))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
        return time.monotonic() - began
    except TimeoutError:
        return float("inf")
    finally:
        dripping.cancel()
        writer.close()


async def drip(writer: asyncio.StreamWriter, mode: str, host: str, token: str) -> None:
    """What a slow client of this kind sends."""
    if mode == "silent":
        return
    with contextlib.suppress(OSError):
        writer.write(f"{'GET' if mode == 'head' else 'POST'} /code/new HTTP/1.1\r\nHost: {host}\r\n".encode())
        if mode == "body":
            lines = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
            writer.write(lines.encode())
        while not writer.is_closing():
            writer.write(b"X-A: b\r\n" if mode == "head" else b" ")
            await asyncio.sleep(1.0)


async def good(host: str, port: int, token: str, took: list[float]) -> None:
    """A client that asks twice a second, each time on a new connection."""
    while True:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(host, port)
        head = f"GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        first = b""
        with contextlib.suppress(ConnectionError):
            first = await reader.read(12)
        took.append(time.monotonic() - began if first == b"HTTP/1.1 200" else float("inf"))
        writer.close()
        await asyncio.sleep(0.5)


async def measure(url: str, token: str, count: int) -> None:
    """Prints one line for each attack."""
    where = urlsplit(url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    for mode in ("silent", "head", "body"):
        took: list[float] = []
        asking = asyncio.create_task(good(host, port, token, took))
        closed = await asyncio.gather(*(held(host, port, mode, token) for _ in range(count)))
        asking.cancel()
        failed = sum(one == float("inf") for one in took)
        served = sorted(one * 1000 for one in took if one != float("inf")) or [float("nan")]
        print(
            f"{mode:6} x {count}: closed after {min(closed):.1f} to {max(closed):.1f} s; good client: {len(took) - failed}"
            f" served, {failed} not, median {statistics.median(served):.0f} ms, worst {served[-1]:.0f} ms"
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", required=True, type=Path, help="as locara serve says")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    if not options.token_file.exists():
        parser.error(f"{options.token_file} does not exist: is the server running?")
    asyncio.run(measure(options.url, options.token_file.read_text(encoding="ascii").strip(), options.count))


if __name__ == "__main__":
    main()
