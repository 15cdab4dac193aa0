"""The balancers of docs/scaling.md, with the very files of examples/scaling: two replicas, their places, and no more."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from locara.errors import EngineBusy

pytest.importorskip("sphn", reason="the extra opus is not installed")

if TYPE_CHECKING:
    from tests.engines.moshi_servers import serving, speaking
    from tests.engines.moshi_talk import NOTHING, frames_of, talk, tones, using
else:
    from moshi_servers import serving, speaking
    from moshi_talk import NOTHING, frames_of, talk, tones, using

FILES = Path(__file__).parents[2] / "examples" / "scaling"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _balancing(program: str, folder: Path, ports: tuple[int, int]) -> Iterator[int]:
    """The port of a balancer that was started with the example's file, its ports replaced."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    port = _free_port()
    name = "haproxy.cfg" if program == "haproxy" else "nginx.conf"
    text = (FILES / name).read_text(encoding="utf-8")
    for old, new in (("8099", port), ("8101", ports[0]), ("8102", ports[1])):
        assert f"127.0.0.1:{old}" in text
        text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
    config = folder / name
    if program == "nginx":  # where it writes, and who it is, is the distribution's to say
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{one}_temp_path {folder}/{one};\n" for one in kinds)
        text = text.replace("http {", f"http {{\naccess_log off;\n{places}")
        config.write_text(f"daemon off;\npid {folder}/pid;\nerror_log {folder}/log;\n" + text, encoding="utf-8")
        command = [found, "-p", str(folder), "-c", str(config)]
    else:
        config.write_text(text, encoding="utf-8")
        command = [found, "-db", "-f", str(config)]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            _listens(process, port, folder / "out")
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _listens(process: subprocess.Popen[bytes], port: int, out: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, out.read_text(encoding="utf-8")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("it does not listen")


@pytest.mark.parametrize("program", ["haproxy", "nginx"])
def test_conversations_are_shared_among_replicas_and_the_one_too_many_is_told_so(program: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            replicas = [await stack.enter_async_context(serving(speaking("python", several=True))) for _ in range(2)]
            ports = [int(url.rpartition(":")[2].partition("/")[0]) for url, _ in replicas]
            port = await asyncio.to_thread(stack.enter_context, _balancing(program, tmp_path, (ports[0], ports[1])))
            url = f"ws://127.0.0.1:{port}/api/chat"
            async with using(url, {"sessions": 9}) as backend:
                names = [await backend.start_session(NOTHING) for _ in range(4)]
                assert [seen.open for _, seen in replicas] == [2, 2]
                with pytest.raises(EngineBusy, match="503"):
                    await backend.start_session(NOTHING)
                # Each conversation stays where it began: its sound comes back whole.
                found = await asyncio.gather(*(talk(backend, one, tones(0.6), pace=0.005, wanted=6) for one in names))
                assert [len(frames_of(events)) for events in found] == [6] * 4
                await backend.stop_session(names[0])
                await asyncio.sleep(0.2)
                await backend.start_session(NOTHING)
                assert sorted(seen.open for _, seen in replicas) == [2, 2]

    asyncio.run(main())
