"""The promise as it is made: by code, on the command line, by a manifest, for engines' processes. Each in a process of its
own, for it cannot be taken back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from locara.offline import Promise, asked_for, promised

from .promising import AWAY, NONE, held_by_kernel, run

SOURCE = Path(__file__).parents[2] / "src"


def test_it_can_only_become_stricter_and_is_told_to_children() -> None:
    code = """
        import os
        strict = offline.forbid_network(loopback=False)
        assert offline.forbid_network() is strict and offline.promised() is strict and not strict.loopback
        print(os.environ["LOCARA_OFFLINE"], made.loopback, loopback.relay())
    """
    assert run(code) == "1 True None"


@held_by_kernel
def test_it_says_what_the_kernel_keeps_and_python_code_hears_why(port: int) -> None:
    code = """
        import socket
        try:
            socket.create_connection(("127.0.0.1", int(sys.argv[1])), 3)
        except PermissionError as error:
            print(made.kernel, made.open_before, loopback.relay() is not None, error, sep="|")
    """
    kernel, before, relayed, error = run(code, port).split("|")
    assert (kernel, before, relayed) == ("no-internet", "0", "True")
    assert "use locara.offline.loopback" in error


@held_by_kernel
def test_where_no_relay_can_be_started_the_kernel_keeps_less_and_this_machine_is_still_reached(port: int) -> None:
    code = """
        import socket
        sys.frozen = True
        assert offline.possible().kernel == "tcp-only"
        made = offline.forbid_network()
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 3): pass
        with loopback.connect("127.0.0.1", int(sys.argv[1]), 3): pass
        print(made.kernel, loopback.relay(), refused(lambda: socket.create_connection((sys.argv[2], 80), 3)))
        print(made.words())
    """
    said, words = run(code, port, AWAY, promise=NONE).splitlines()
    assert said == "tcp-only None True"
    assert "all but TCP" in words


@held_by_kernel
def test_what_listened_before_goes_on_and_is_counted() -> None:
    code = """
        import asyncio, socket
        door = socket.create_server(("127.0.0.1", 0))
        made = offline.forbid_network()
        async def main():
            async def answer(reader, writer):
                writer.write(await reader.readexactly(4)); await writer.drain(); writer.close()
            server = await asyncio.start_server(answer, sock=door)
            reader, writer = await loopback.open_connection(*door.getsockname())
            writer.write(b"ping")
            print(made.open_before, await reader.read(), made.words().partition("; internet")[2])
            writer.close(); server.close()
        asyncio.run(main())
    """
    assert run(code, promise=NONE) == "1 b'ping'  sockets that were open before and stay open: 1"


_PROMISES_TOO = """
import sys
from locara import offline
from locara.offline import loopback
offline.forbid_network()
try:
    loopback.connect("127.0.0.1", int(sys.argv[1]))
except PermissionError as error:
    print(error)
"""


@held_by_kernel
def test_a_program_that_promises_it_and_was_started_by_one_that_did_hears_why_nothing_is_reached(port: int) -> None:
    code = """
        import subprocess
        print(subprocess.run([sys.executable, "-c", sys.argv[2], sys.argv[1]], capture_output=True, text=True).stdout)
    """
    assert "the program that started this one has promised offline" in run(code, port, _PROMISES_TOO)


@pytest.mark.parametrize("kernel", ["", "tcp-only", "no-internet"])
def test_the_promise_in_words_is_one_line_and_names_who_keeps_it(kernel: str) -> None:
    words = Promise(True, kernel).words()  # type: ignore[arg-type]
    assert "\n" not in words
    assert words.startswith("held by the kernel" if kernel == "no-internet" else "held in Python")
    assert ("relay" in words) is (kernel == "no-internet")


def test_the_process_of_an_engine_keeps_it_strictly(tmp_path: Path) -> None:
    (tmp_path / "asking_worker.py").write_text(
        textwrap.dedent(
            """
            import socket
            from locara import offline
            from locara.engines.frames import serve

            def ask(call):
                try:
                    socket.create_connection(("127.0.0.1", 9), 2)
                except OSError as error:
                    return {"said": str(error), "kernel": offline.promised().kernel}

            serve({"ask": ask})
            """
        ),
        encoding="utf-8",
    )
    code = """
        from locara.engines.child import Child
        child = Child("asking_worker", stage="tts", environment={"PYTHONPATH": sys.argv[1]})
        child.start(20)
        print(child.request("ask", deadline=20).header["said"])
        child.kill()
    """
    path = f"{tmp_path}{os.pathsep}{SOURCE}"
    assert "offline was promised" in run(code, path)


def test_without_the_promise_engines_are_as_free_as_before() -> None:
    code = "import sys; from locara import offline; offline.keep_in_worker(); print(offline.promised())"
    environment = {"PATH": "", "LOCARA_OFFLINE": "0", "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, env=environment
    )
    assert done.stdout.strip() == "None"


def test_a_talk_from_file_to_file_keeps_the_promise_and_works(tmp_path: Path) -> None:
    question = SOURCE / "locara" / "cli" / "question.wav"
    code = """
        import os, socket
        from locara.cli import main
        sys.stderr = sys.stdout
        assert offline.promised() is None
        code = main(["talk", "--offline", "--pace", "simulated", "--input", sys.argv[1], "--output", sys.argv[2], "--json"])
        print(code, offline.promised().loopback, refused(lambda: socket.create_connection(("192.0.2.1", 80), 2)))
        print(offline.promised().words())
    """
    *said, done, words = run(code, question, tmp_path / "answer.wav", promise=NONE).splitlines()
    assert done == "0 True True"
    assert any(f"Offline: {words}." in line for line in said)
    assert any('"type": "final-transcript"' in line for line in said)
    assert (tmp_path / "answer.wav").stat().st_size > 50_000


def test_a_manifest_promises_it_for_the_session_of_its_app(tmp_path: Path) -> None:
    manifest = tmp_path / "locara.toml"
    manifest.write_text(
        'offline = true\n[app]\nid = "com.example.quiet"\nname = "Quiet"\nversion = "1"\n[modalities]\nuse = []\n'
    )
    code = """
        import socket
        from locara import voice
        voice.session(input="none", output="none", manifest=sys.argv[1])
        print(offline.promised().loopback, refused(lambda: socket.create_connection(("192.0.2.1", 80), 2)))
    """
    assert run(code, manifest, promise=NONE) == "True True"


@pytest.mark.parametrize(("value", "asked"), [("1", True), ("TRUE", True), (" on ", True), ("0", False), ("", False)])
def test_when_the_environment_asks_for_it(value: str, asked: bool) -> None:
    assert asked_for({"LOCARA_OFFLINE": value}) is asked
    assert asked_for({}) is False


def test_this_process_has_promised_nothing() -> None:
    assert promised() is None
    socket.getaddrinfo("127.0.0.1", 80)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
