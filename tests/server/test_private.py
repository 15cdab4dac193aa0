"""What must not come out: tokens, words and sound, in logs, files, arguments; and who may read the token's file."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.server.running import TOKEN, get, running, say

from locara.errors import ConfigError
from locara.server import private_logging, token
from locara.server.codes import CODE_SECONDS, MOST_CODES, Codes

WORDS = "the-canary-of-what-was-said"


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """The root logger at DEBUG, into a text."""
    out, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(out), root.level
    levels = {name: logging.getLogger(name).level for name in private_logging.QUIET}
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield out
    root.removeHandler(handler)
    root.setLevel(before)
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for one in (logger, *logger.handlers, *root.handlers, logging.lastResort):
            for known in [known for known in one.filters if isinstance(known, private_logging._Private)] if one else ():
                assert one is not None
                one.removeFilter(known)


def test_a_conversation_leaves_neither_words_nor_tokens_in_the_log(
    debug_log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_logging.keep_private((TOKEN,))

    async def go() -> None:
        asyncio.get_running_loop().set_debug(True)
        asyncio.get_running_loop().slow_callback_duration = 0.0
        async with running(monkeypatch) as server:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                async with client.ws_connect(f"{server.url}/echo-socket?token={TOKEN}") as socket:
                    await socket.send_str(WORDS)
                    await socket.receive()
                await client.get(f"{server.url}/echo?q={WORDS}")
            await say(server.port, get("/echo", server.port, f"X-Bad\x01: {TOKEN}{WORDS}"))
            await say(server.port, f"GARBAGE {TOKEN} {WORDS}\r\n\r\n")
            await say(server.port, get("/echo", server.port, token=f"{WORDS}-wrong"))
            server.launch_url()

    asyncio.run(go())
    told = debug_log.getvalue()
    assert told, "nothing was logged: the test proves nothing"
    assert TOKEN not in told
    assert WORDS not in told


@pytest.mark.parametrize("name", ["websockets.server", "aiohttp.access", "aiohttp.server", "httpx", "asyncio"])
def test_libraries_do_not_log_what_passes_through_them(name: str, debug_log: io.StringIO) -> None:
    logging.getLogger(name).info("< TEXT %r", WORDS)
    assert WORDS in debug_log.getvalue()  # so it would be
    debug_log.truncate(0)
    private_logging.keep_private((TOKEN,))
    logging.getLogger(name).info("< TEXT %r", WORDS)
    logging.getLogger(name).debug("> GET /?token=%s", TOKEN)
    assert debug_log.getvalue().strip("\0") == ""


def test_an_exception_leaves_its_type_and_place(debug_log: io.StringIO) -> None:
    private_logging.keep_private((TOKEN,))
    try:
        raise ValueError(WORDS)
    except ValueError:
        logging.getLogger("anything").exception("it failed with Bearer %s and %s", "abcdef0123", TOKEN)
    told = debug_log.getvalue()
    assert "it failed with Bearer [...] and [...] (ValueError at server/test_private.py:" in told
    assert WORDS not in told


# --- the token ---------------------------------------------------------------------------------------------------------


def test_a_token_is_made_anew_each_time_and_is_strong() -> None:
    made = {token.chosen({}) for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) >= 43 for one in made)  # 256 bits


def test_a_token_of_ones_own_leaves_the_environment() -> None:
    environment = {token.VARIABLE: "a-token-of-my-own-01"}
    assert token.chosen(environment) == "a-token-of-my-own-01"
    assert environment == {}


@pytest.mark.parametrize("given", ["short", "with space in the middle", "a/b+c==aaaaaaaaaaaaaa", "ä" * 20, "x" * 300])
def test_a_token_that_can_be_guessed_or_is_none_is_an_error_that_does_not_repeat_it(given: str) -> None:
    with pytest.raises(ConfigError) as error:
        token.chosen({token.VARIABLE: given})
    assert given not in error.value.explain()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_tokens_file_is_for_its_user_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with token.published(TOKEN, 7777, place) as file:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert token.read(7777, place) == TOKEN
        assert token.read(7778, place) is None
    assert list(place.iterdir()) == []


def test_another_servers_file_is_left_alone(tmp_path: Path) -> None:
    with token.published(TOKEN, 7777, tmp_path):
        token.file(7777, tmp_path).write_text("of-another-server-0123\n", encoding="ascii")
    assert token.read(7777, tmp_path) == "of-another-server-0123"


@pytest.mark.skipif(os.name != "posix", reason="links as another user lays them")
def test_a_link_laid_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    place = tmp_path / "run"
    place.mkdir(mode=0o700)
    token.file(7777, place).symlink_to(elsewhere)
    with token.published(TOKEN, 7777, place):
        assert not elsewhere.exists()


def _as_another_user(command: list[str]) -> list[str]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root on Linux, with setpriv, can be another user")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]


def test_another_user_of_this_machine_reads_no_token_and_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, *tmp_path.parents):  # that user may come as far as the folder itself
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(0o755)
    ask = "import socket,sys;s=socket.create_connection(('127.0.0.1',int(sys.argv[1])));s.sendall(sys.stdin.buffer.read())"
    ask += ";print(s.recv(12).decode())"

    async def go() -> None:
        async with running(monkeypatch) as server:
            with token.published(TOKEN, server.port, tmp_path / "run") as file:
                read = subprocess.run(  # noqa: ASYNC221  nothing waits for the loop meanwhile
                    _as_another_user(["cat", str(file)]), capture_output=True, check=False
                )
                assert read.returncode != 0
                assert b"Permission denied" in read.stderr
                found = shutil.which("python3", path="/usr/bin:/usr/local/bin")
                if found is None:
                    pytest.skip("no Python that another user may run")
                asked = await asyncio.create_subprocess_exec(
                    *_as_another_user([found, "-c", ask, str(server.port)]),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                out, _ = await asked.communicate(get("/echo", server.port, token=None).encode())
                assert out.startswith(b"HTTP/1.1 401")

    asyncio.run(go())


# --- launch codes ------------------------------------------------------------------------------------------------------


def test_a_code_is_good_once_and_for_a_minute() -> None:
    now = [0.0]
    codes = Codes(now=lambda: now[0])
    first, second = codes.make(), codes.make()
    assert codes.trade("x" * 43) == "unknown"
    assert codes.trade(first) == "yes"
    assert codes.trade(first) == "used"
    now[0] = CODE_SECONDS
    assert codes.trade(second) == "unknown"


def test_codes_are_few_and_long() -> None:
    codes = Codes(now=lambda: 0.0)
    made = [codes.make() for _ in range(MOST_CODES + 1)]
    assert all(len(one) >= 43 for one in made)
    assert codes.trade(made[0]) == "unknown"
    assert codes.trade(made[-1]) == "yes"
    assert made[1] not in json.dumps([repr(one) for one in vars(codes).values()])
