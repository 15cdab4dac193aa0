"""How many conversations one server holds: paced sessions over ``/ipc``, each asking a question every eight seconds.

    python benchmarks/server_load.py                            scripted engines: what is ours
    python benchmarks/server_load.py --engines embedded         pocketsphinx, the built-in responder, espeak-ng
    python benchmarks/server_load.py --sessions 1,4,8 --seconds 40 --stuck

The server runs in a process of its own, the clients in this one. Each client sends 20 ms of sound every 20 ms, in which a
recorded question (flite's ``kal16``) is said every eight seconds, the clients evenly apart from each other; it takes what
it is sent, as a page would. Scripted engines take no processor time, and always the same time: 50 ms for the words, 100 ms
to the first token, 100 ms to the first sound. Voice activity, gate, turn machine and network are real in both.

Columns: sessions; answers; voice to voice in milliseconds, p50 and p95, from the last sample of the question to the first
sound of the answer at the client; added p95 over the median of one session; the slowest session's median over the fastest's;
cores that the server used (with its engines' processes); MiB that it grew for each session; event-loop stalls over 50 ms.

``--stuck`` adds three clients that misbehave: one never reads, one stops sending without a word, one asks for a reply from
a model that never answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from locara.cli import talk as _talk

QUESTION = Path(_talk.__file__).with_name("question.wav")
TOKEN = "benchmark_token_0123456789_0123456789"  # noqa: S105  of a server that lives for a minute
RATE, BLOCK = 16_000, 320
PERIOD = 8.0  # seconds between a session's questions
HEADER = struct.Struct("<BBHiQ")


# --- the server -------------------------------------------------------------------------------------------------------


async def serve_scripted(sessions: int) -> None:
    """A server of which only the engines are scripted; tells its port, and runs until it is killed."""
    from locara.server.counting import Counters
    from locara.server.questions import Questions
    from locara.server.serving import serving

    from locara.engines.contracts import EngineInfo, Transcript
    from locara.server import listening
    from locara.server.pool import Pool
    from locara.server.seats import Seats
    from locara.server.settings import Limits, Settings
    from locara.testing import ScriptedModel, ScriptedVoice

    class Recognition:
        """Understands the same, whatever was said."""

        async def push(self, _samples: Any) -> None:
            """Nothing to tell before the end."""

        async def settle(self) -> Transcript:
            """After 50 ms."""
            await asyncio.sleep(0.05)
            return Transcript("what time is it", 0.9)

        async def close(self) -> None:
            """Nothing to close."""

    class Recogniser:
        """See `Recognition`."""

        info = EngineInfo("scripted", "scripted recogniser", "Apache-2.0", sharing="shared")

        async def load(self) -> None:
            """Ready at once."""

        async def close(self) -> None:
            """Nothing to close."""

        def open(self) -> Recognition:
            """For a turn."""
            return Recognition()

    class Scripted(Pool):
        """Engines of no weight. A model named ``stuck`` never answers."""

        async def _load(self, kind: Any, stage: Any) -> Any:
            if kind == "stt":
                return Recogniser()
            if kind == "tts":
                return ScriptedVoice()
            named = stage.get("model") if isinstance(stage, dict) else stage
            return ScriptedModel(["It is noon, and all is well."], first_token=3600.0 if named == "stuck" else 0.1)

    limits = Limits(sessions=sessions, connections=256, connections_per_peer=256, messages_per_second=400.0)
    settings = Settings(TOKEN, port=0, stages={"turn": "silence"}, limits=limits)
    seats = Seats(settings, Scripted())
    sock = listening.bound(settings.host, 0)
    async with serving(settings, seats=seats, questions=Questions(), counters=Counters(), sock=sock) as server:
        print(json.dumps({"port": server.port}), flush=True)
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def server(engines: str, sessions: int, folder: str) -> AsyncIterator[tuple[int, int]]:
    """(its port, its process) of a server that is ready."""
    environment = {**os.environ, "LOCARA_TOKEN": TOKEN, "LOCARA_CONSENT": folder}
    grant = [sys.executable, "-m", "locara", "grants", "allow", "dev.locara.page"]
    for capability in ("device.microphone", "device.speaker"):
        subprocess.run([*grant, capability], check=True, env=environment, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
    if engines == "scripted":
        command = [sys.executable, __file__, "--serve", str(sessions)]
    else:
        command = [
            sys.executable,
            "-m",
            "locara",
            "serve",
            "--no-browser",
            "--port",
            "0",
            "--json",
            "--llm",
            "built-in",
        ]
        command += ["--sessions", str(sessions)]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 120)
        yield int(json.loads(line)["port"]), process.pid
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


def family(pid: int) -> list[int]:
    """The process and all below it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append(int(folder.name))
    found, new = [pid], [pid]
    while new:
        new = [child for one in new for child in parents.get(one, [])]
        found += new
    return found


def cost(pid: int) -> tuple[float, float]:
    """(seconds of processor time, MiB resident that are its own) of it and all below."""
    ticks, mib = 0.0, 0.0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            own = re.findall(r"^Private_\w+:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.MULTILINE)
            mib += sum(map(int, own)) / 1024
    return ticks, mib


# --- the clients ------------------------------------------------------------------------------------------------------


def question() -> tuple[np.ndarray[Any, Any], float]:
    """The recorded question with a little silence around it, int16; and the second at which its last sound ends."""
    with wave.open(str(QUESTION)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    samples = samples[round(0.5 * RATE) : round(2.2 * RATE)]
    levels = np.sqrt(np.mean(samples[: samples.size // BLOCK * BLOCK].reshape(-1, BLOCK).astype(float) ** 2, axis=1))
    last = int(np.flatnonzero(levels > 0.06 * levels.max())[-1])
    return samples, (last + 1) * BLOCK / RATE


@dataclass
class Client:
    """One conversation. ``latencies`` in seconds."""

    number: int
    offset: float
    latencies: list[float] = field(default_factory=list)
    asked: int = 0
    failed: str = ""
    waiting: float | None = None
    sounding: float = 0.0

    async def run(self, http: aiohttp.ClientSession, port: int, until: float) -> None:
        """Talks until the loop's time ``until``."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with http.ws_connect(f"ws://127.0.0.1:{port}/ipc", headers=headers, compress=0) as socket:
            params = {"input_rate": RATE, "output_rate": 24_000}
            await socket.send_json({"id": 1, "method": "voice.session_start", "params": params})
            while True:
                got = json.loads((await socket.receive(120)).data)
                if got.get("id") == 1:
                    if "error" in got:
                        self.failed = str(got["error"]["message"])
                        return
                    break
            reading = asyncio.create_task(self._read(socket))
            try:
                await self._talk(socket, until)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, until: float) -> None:
        loop = asyncio.get_running_loop()
        clip, speech_end = question()
        began, at = loop.time() + self.offset, 0
        silence = np.zeros(BLOCK, dtype="<i2").tobytes()
        while (now := began + at * BLOCK / RATE) < until:
            await asyncio.sleep(max(0.0, now - loop.time()))
            inside = (at * BLOCK / RATE) % PERIOD
            sample = round(inside * RATE)
            block = clip[sample : sample + BLOCK].tobytes() if sample < clip.size else b""
            if inside <= speech_end < inside + BLOCK / RATE and now + PERIOD < until:
                self.waiting, self.asked = now + speech_end - inside, self.asked + 1
            await socket.send_bytes(HEADER.pack(1, 0, 0, -1, at * BLOCK) + block + silence[len(block) :])
            at += 1

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        acknowledged = 0.0
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            now = loop.time()
            _, _, _, _, at = HEADER.unpack_from(message.data)
            if self.waiting is not None and now - self.sounding > 1.0 and now > self.waiting:
                self.latencies.append(now - self.waiting)
                self.waiting = None
            self.sounding = now
            if now - acknowledged > 0.1:
                acknowledged = now
                played = (at + (len(message.data) - HEADER.size) // 2) / 24.0
                await socket.send_json({"method": "playback.ack", "params": {"played_ms": played}})


async def misbehave(http: aiohttp.ClientSession, port: int, kind: str, until: float) -> None:
    """A client that never reads, that falls silent, or whose model hangs."""
    loop = asyncio.get_running_loop()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        async with http.ws_connect(f"ws://127.0.0.1:{port}/ipc", headers=headers, compress=0) as socket:
            params = {"input_rate": RATE, "audio_chunks": True, **({"llm": "stuck"} if kind == "hangs" else {})}
            await socket.send_json({"id": 1, "method": "voice.session_start", "params": params})
            number = 2
            while loop.time() < until and not socket.closed:
                await asyncio.sleep(0.5)
                if kind == "silent":
                    continue
                text = {"id": number, "method": "session.send_text", "params": {"text": "tell me more"}}
                number += 1
                await socket.send_json(text)
                if kind == "hangs":
                    with contextlib.suppress(TimeoutError):
                        await socket.receive(0.01)


async def counted(http: aiohttp.ClientSession, port: int, name: str) -> float:
    """A counter of ``/metrics``."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with http.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer:
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", await answer.text(), re.MULTILINE)
    return sum(map(float, found))


async def measure(engines: str, n: int, seconds: float, *, stuck: bool, folder: str) -> list[Client]:
    """One row of the table."""
    async with server(engines, n + 3, folder) as (port, pid), aiohttp.ClientSession() as http:
        loop = asyncio.get_running_loop()
        _, before = cost(pid)
        clients = [Client(k, PERIOD * k / n) for k in range(n)]
        until = loop.time() + seconds + 2.0
        kinds = ("deaf", "silent", "hangs") if stuck else ()
        bad = [asyncio.create_task(misbehave(http, port, kind, until)) for kind in kinds]
        running = [asyncio.create_task(one.run(http, port, until)) for one in clients]
        await asyncio.sleep(3.0)
        began, (used, _) = time.perf_counter(), cost(pid)
        await asyncio.sleep(max(1.0, seconds - 4.0))
        (now, mib), elapsed = cost(pid), time.perf_counter() - began
        await asyncio.gather(*running, *bad)
        stalls = await counted(http, port, "locara_event_loop_stalls_total")
        row(clients, (now - used) / elapsed, (mib - before) / n, stalls)
        return clients


BASE: dict[str, float] = {}


def row(clients: list[Client], cores: float, mib: float, stalls: float) -> None:
    """Prints it."""
    all_ = sorted(1000 * one for client in clients for one in client.latencies)
    asked = sum(client.asked for client in clients)
    failed = [client.failed for client in clients if client.failed]
    if failed:
        print(f"{len(clients):8} {len(failed)} could not begin: {failed[0]}")
        return
    if not all_:
        print(f"{len(clients):8} no answers to {asked} questions")
        return
    p50, p95 = float(np.percentile(all_, 50)), float(np.percentile(all_, 95))
    BASE.setdefault("p50", p50)
    medians = [float(np.median(client.latencies)) for client in clients if client.latencies]
    fair = max(medians) / min(medians)
    print(
        f"{len(clients):8} {len(all_):4}/{asked:<4} {p50:6.0f} {p95:6.0f} {p95 - BASE['p50']:+8.0f} {fair:8.2f}"
        f" {cores:6.2f} {mib:6.1f} {stalls:6.0f}",
        flush=True,
    )


async def table(options: argparse.Namespace) -> None:
    """All rows."""
    import tempfile

    print("sessions answers    p50    p95   added   spread  cores    MiB stalls")
    for n in map(int, options.sessions.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            await measure(options.engines, n, options.seconds, stuck=options.stuck, folder=folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", choices=("scripted", "embedded"), default="scripted")
    parser.add_argument("--sessions", default="1,4,8,16")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--stuck", action="store_true")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_scripted(options.serve))
        return
    if not QUESTION.is_file():
        sys.exit(f"{QUESTION} is missing: install Locara with its files")
    asyncio.run(table(options))


if __name__ == "__main__":
    main()
