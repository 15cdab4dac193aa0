"""What the offline promise costs: until it is made, until the relay serves, and each byte that goes through the relay.

    python benchmarks/offline_relay.py [--rounds N]

Linux only. Needs nothing but Locara itself. Prints medians with the least and the most.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from locara.offline import loopback, possible

PROMISE = """
import asyncio, time
from locara.offline import loopback, forbid_network
began = time.perf_counter()
forbid_network()
made = time.perf_counter()
asyncio.run(loopback.ready())
print(1e3 * (made - began), 1e3 * (time.perf_counter() - began))
"""
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
"""About what a model server sends for a token."""
BULK = 64 << 20
"""Bytes, for the throughput."""


def echo(door: socket.socket) -> None:
    """Sends back what comes, one connection after the other; ends with the door."""
    while True:
        try:
            one, _ = door.accept()
        except OSError:
            return
        with one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := one.recv(65536):
                one.sendall(data)


def told(values: Sequence[float], unit: str) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


def connecting(port: int, rounds: int) -> list[float]:
    """Milliseconds for a connection and the first bytes back."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        with loopback.connect("127.0.0.1", port) as one:
            one.sendall(TOKEN)
            one.recv(4096)
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def tokens(port: int, rounds: int) -> list[float]:
    """Milliseconds there and back for a token on an open connection."""
    taken = []
    with loopback.connect("127.0.0.1", port) as one:
        for _ in range(rounds * 10):
            began = time.perf_counter()
            one.sendall(TOKEN)
            one.recv(4096)
            taken.append(1e3 * (time.perf_counter() - began))
    return taken


def bulk(port: int) -> float:
    """Megabytes a second, there and back."""
    block = bytes(1 << 20)
    with loopback.connect("127.0.0.1", port, 60.0) as one:
        began = time.perf_counter()

        def send() -> None:
            for _ in range(BULK // len(block)):
                one.sendall(block)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        got = 0
        while got < BULK:
            got += len(one.recv(1 << 20))
        sender.join()
        return BULK / 1e6 / (time.perf_counter() - began)


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    if possible().kernel != "no-internet":
        sys.exit(f"nothing to measure: here the promise is {possible().words()}")
    starts = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", PROMISE], capture_output=True, text=True, check=True)
        starts.append([float(word) for word in done.stdout.split()])
    print("the promise is made after", told([one[0] for one in starts], "ms"))
    print("the relay serves after", told([one[1] for one in starts], "ms"))
    door = socket.create_server(("127.0.0.1", 0))
    port = door.getsockname()[1]
    threading.Thread(target=echo, args=(door,), daemon=True).start()
    for name, relay in (("direct", None), ("relayed", loopback.start())):
        loopback.use(relay)
        asyncio.run(loopback.ready())
        print(f"{name}: connection and first bytes", told(connecting(port, rounds), "ms"))
        print(f"{name}: a token there and back", told(tokens(port, rounds), "ms"))
        print(f"{name}: {BULK >> 20} MB there and back", told([bulk(port) for _ in range(3)], "MB/s"))
        if relay is not None:
            with open(f"/proc/{relay.pid}/status", encoding="ascii") as status:  # noqa: PTH123
                print(
                    "the relay's memory:", next(line for line in status if line.startswith("VmRSS")).split(None, 1)[1]
                )
    loopback.use(None)
    door.close()


if __name__ == "__main__":
    main()
