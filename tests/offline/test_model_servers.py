"""Model servers on this machine, talked with by a process that may open no internet socket."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import locara.cli
from locara.offline import loopback

from .promising import NONE, STRICT, held_by_kernel, run

if TYPE_CHECKING:
    from tests.devices.sound_server import SoundServer

pytestmark = [held_by_kernel, pytest.mark.timeout(90)]
QUESTION = Path(locara.cli.__file__).with_name("question.wav")

ENGINE = """
    import asyncio, os, signal, time
    from locara.engines import openai_compatible
    from locara.engines.contracts import Message
    from locara.errors import LocaraError
    async def main():
        engine = openai_compatible.create(sys.argv[1] + "#test-model", {})
        try:
            await engine.load()
            await talk(engine)
        except LocaraError as error:
            print(type(error).__name__, error.explain())
        finally:
            await engine.close()
"""


def test_a_reply_streams_through_the_relay(serve: Callable[..., Any], chat_server: Any) -> None:
    server = serve(chat_server.says("It is ", "late", 2.0, ". Go to bed."))
    code = """
    async def talk(engine):
        began, pieces = time.monotonic(), []
        async for piece in engine.reply([Message("user", "What time is it?")]):
            pieces.append((piece, time.monotonic() - began))
        print("".join(piece for piece, _ in pieces), pieces[-1][1] - pieces[0][1] > 0.4)
    asyncio.run(main())
    """
    assert run(ENGINE + code, server.url) == "It is late. Go to bed. True"
    assert server.requests[-1].headers["host"] == f"127.0.0.1:{server.port}"


def test_closing_a_reply_hangs_up_on_the_server(serve: Callable[..., Any], chat_server: Any) -> None:
    server = serve(
        lambda request: chat_server.says("One ", *[20.0] * (request.body["messages"][-1]["content"] != "Hi"))
    )
    code = """
    async def talk(engine):
        reply = engine.reply([Message("user", "Count.")])
        print(await anext(reply))
        await reply.aclose()
        print(await asyncio.to_thread(sys.stdin.readline))
    asyncio.run(main())
    """
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(run(ENGINE + code, server.url)))
    thread.start()
    server.call(asyncio.wait_for(server.left.wait(), 35))
    thread.join(40)
    assert told == ["One"]


def test_a_server_is_found_although_the_relay_takes_longer_to_start(
    serve: Callable[..., Any], chat_server: Any
) -> None:
    server = serve(chat_server.says("Yes."))
    code = """
        import asyncio, os, signal, threading
        from locara.engines import local_servers
        os.kill(loopback.relay().pid, signal.SIGSTOP)
        threading.Timer(3.0, lambda: os.kill(loopback.relay().pid, signal.SIGCONT)).start()
        print(asyncio.run(local_servers.find(2.0, [(1, "nobody"), (int(sys.argv[1]), "mine")])))
    """
    assert (
        run(code, server.port)
        == f"LocalServer(name='mine', url='http://127.0.0.1:{server.port}/v1', models=('test-model',))"
    )


def test_without_loopback_none_is_found_and_nothing_waits(serve: Callable[..., Any], chat_server: Any) -> None:
    server = serve(chat_server.says("Yes."))
    code = """
        import asyncio
        from locara.engines import local_servers
        print(asyncio.run(local_servers.find(ports=[(int(sys.argv[1]), "mine")])))
    """
    assert run(code, server.port, promise=STRICT) == "None"
    assert not server.requests


@pytest.mark.parametrize("address", ["http://192.0.2.1:80/v1", "http://example.org/v1", "http://0.0.0.0:80/v1"])
def test_another_machine_is_refused_with_what_to_do(address: str, port: int) -> None:
    """Not even by a proxy on this machine, which would be reached."""
    code = "\n    async def talk(engine): print('loaded')\n    asyncio.run(main())"
    proxy = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"), f"http://127.0.0.1:{port}")
    said = run(ENGINE + code, address, environment={**proxy, "NO_PROXY": "", "no_proxy": ""})
    assert said.startswith("EngineFailed")
    assert "offline was promised" in said
    assert "127.0.0.1, ::1 or localhost" in said


def test_a_relay_that_is_killed_in_a_reply_is_an_error_at_once_and_ever_after(
    serve: Callable[..., Any], chat_server: Any
) -> None:
    server = serve(
        lambda request: chat_server.says("One ", *[20.0] * (request.body["messages"][-1]["content"] != "Hi"))
    )
    code = """
    async def talk(engine):
        began = time.monotonic()
        for _ in range(2):
            try:
                async for piece in engine.reply([Message("user", "Count.")]):
                    os.kill(loopback.relay().pid, signal.SIGKILL)
            except LocaraError as error:
                print(type(error).__name__, error.explain().replace(chr(10), " "))
        print(time.monotonic() - began < 15)
    asyncio.run(main())
    """
    first, second, quick = run(ENGINE + code, server.url).splitlines()
    for said in (first, second):
        assert said.startswith("EngineFailed")
        assert "relay to the servers of this machine has ended" in said
        assert "-> start the program again" in said
    assert "broke off" in first
    assert "cannot be reached" in second
    assert quick == "True"


def test_a_conversation_from_file_to_file_with_a_model_server(
    serve: Callable[..., Any], chat_server: Any, tmp_path: Path
) -> None:
    server = serve(chat_server.says("It is late. ", "Go to bed."))
    code = """
        import asyncio
        from locara import voice
        from locara.testing import clock
        async def main():
            session = voice.session(
                llm={"model": "test-model", "url": sys.argv[1]}, input=sys.argv[2], output=sys.argv[3],
                end_with_input=True, offline=True,
            )
            stream = session.events()
            async with asyncio.timeout(60), session:
                async for event in stream:
                    if event.type in ("final-transcript", "error"):
                        print(event.type, getattr(event, "text", event))
                    if event.type == "turn-end" and event.who == "assistant":
                        print(event.reason)
            print(offline.promised().kernel, refused(lambda: __import__("socket").socket()))
        clock.run(main())  # virtual: time passes only while the server is asked
    """
    said = run(code, server.url, QUESTION, tmp_path / "out.wav", promise=NONE, seconds=80).splitlines()
    assert said == [
        "final-transcript what time is it", "finished",
        "final-transcript what is twelve times seven", "finished",
        "no-internet True",
    ]  # fmt: skip
    assert (tmp_path / "out.wav").stat().st_size > 50_000
    assert [one.body["messages"][-1]["content"] for one in server.requests if one.body][
        -1
    ] == "what is twelve times seven"


def test_talk_takes_the_server_that_is_there(serve: Callable[..., Any], chat_server: Any, tmp_path: Path) -> None:
    server = serve(chat_server.says("It is late."))
    code = """
        from locara.cli import main
        print(main(["talk", "--offline", "--pace", "simulated", "--input", sys.argv[1], "--output", "none", "--json"]))
    """
    environment = {"LOCARA_LLM_URL": server.url, "LOCARA_NO_SERVERS": "", "LOCARA_CACHE": str(tmp_path)}
    *said, code_ = run(code, QUESTION, promise=NONE, seconds=80, environment=environment).splitlines()
    assert code_ == "0"
    assert any('"type": "llm-token"' in line and "late" in line for line in said)
    assert not any('"type": "error"' in line for line in said)
    assert [one for one in server.requests if one.path.endswith("/chat/completions")]


def test_llama_cpp_in_this_process_loads_and_opens_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp", reason='llama.cpp is not installed: pip install "locara[llama]"')
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[1] / "engines"), *sys.path])
    from tiny_gguf import tiny_model  # type: ignore[import-not-found]

    model = tiny_model(tmp_path / "tiny.gguf")
    code = """
        import asyncio, os
        from locara.engines import llama
        from locara.engines.contracts import Message
        async def main():
            engine = llama.create("tiny", {"path": sys.argv[1], "threads": 1})
            await engine.load()
            print("".join([piece async for piece in engine.reply([Message("user", "Hello")])]))
            print(engine.side_address.startswith("unix:"), os.listdir(os.environ["TMPDIR"]))
            await engine.close()
        asyncio.run(main())
    """
    (tmp_path / "temporary").mkdir()
    said = run(code, model, environment={"TMPDIR": str(tmp_path / "temporary")}).splitlines()
    assert said == ["Good to hear you. What now?", "True []"]


def test_a_microphone_and_a_speaker_of_a_sound_server_work(sound_server: SoundServer, tmp_path: Path) -> None:
    """They are reached over a Unix socket."""
    pytest.importorskip("miniaudio")
    code = """
        import asyncio
        from locara import voice
        async def main():
            session = voice.session(offline=True)
            heard, played = [], []
            async def follow(blocks, into):
                async for block in blocks:
                    into.append(float(abs(block).max()))
            async with asyncio.timeout(60), session:
                tasks = [asyncio.create_task(follow(session.raw_input(), heard)), asyncio.create_task(follow(session.raw_output(), played))]
                print("ready", flush=True)
                await session.say("One two three.")
                while not played or max(played) < 0.01 or len(heard) < 20 or session.history and not session.history[-1].text:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(1.0)
            print(offline.promised().kernel, len(heard) > 20, max(played) > 0.01)
        asyncio.run(main())
    """  # noqa: E501
    recorder = sound_server.record(tmp_path / "speaker.wav")
    environment = {"LOCARA_NO_SERVERS": "1", "LOCARA_CACHE": str(tmp_path / "cache")}
    said = run(code, promise=NONE, seconds=80, environment=environment).splitlines()
    recorder.terminate()
    recorder.wait(5)
    assert said[-1] == "no-internet True True"
    from locara.devices.wav import read_wav

    assert float(abs(read_wav(tmp_path / "speaker.wav")[0]).max()) > 0.01


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_https_to_this_machine_goes_through_the_relay_as_well(tmp_path: Path) -> None:
    """In this process, which has promised nothing, with a certificate that only this test trusts."""
    import httpx

    from locara.engines.loopback_http import _Transport

    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    files = {"-keyout": tmp_path / "key.pem", "-out": tmp_path / "cert.pem"}
    words = [word for name, path in files.items() for word in (name, str(path))]
    subprocess.run([*command.split(), *words], check=True, capture_output=True, timeout=30)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    ours = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    async def main() -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 6\r\n\r\nsecret")
            await writer.drain()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=theirs)
        async with server, asyncio.timeout(20):
            where = server.sockets[0].getsockname()[1]
            async with httpx.AsyncClient(transport=_Transport(ours, httpx.Limits())) as client:
                return (await client.get(f"https://localhost:{where}/")).text

    one = loopback.start()
    loopback.use(one)
    try:
        assert asyncio.run(main()) == "secret"
    finally:
        loopback.use(None)
