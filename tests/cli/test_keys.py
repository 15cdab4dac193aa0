"""Keys: what bytes mean, and that a real terminal gives them and is put back as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.cli.keys import Key, Keys, Typing

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals for a test")


def keys_of(text: str) -> list[Key]:
    typing = Typing()
    return [*typing.push(text), *typing.settle()]


# --- what characters mean ---------------------------------------------------------------------------------------------


def test_the_keys_of_a_conversation_have_names() -> None:
    assert keys_of(" msq\x03\r\t\x7f\x1b") == ["space", "m", "s", "q", "ctrl-c", "enter", "tab", "backspace", "escape"]


def test_caps_lock_is_no_other_command() -> None:
    assert keys_of("MQ") == ["m", "q"]


@pytest.mark.parametrize("sequence", ["\x1b[A", "\x1bOP", "\x1b[15~", "\x1b[1;5C", "\x1bx", "\x1b[200~"])
def test_arrow_and_function_keys_are_neither_escape_nor_letters(sequence: str) -> None:
    assert keys_of(sequence + "m") == ["m"]


def test_an_escape_is_decided_by_what_follows() -> None:
    typing = Typing()
    assert typing.push("\x1b") == []
    assert typing.undecided
    assert typing.settle() == ["escape"]
    assert not typing.undecided
    assert typing.push("\x1b\x1b") == ["escape"]
    assert typing.settle() == ["escape"]
    assert typing.push("\x1b\r") == ["escape", "enter"]


def test_t_begins_a_line_and_enter_sends_it() -> None:
    assert keys_of("thé m!\r ") == [
        ("typing", ""),
        ("typing", "h"),
        ("typing", "hé"),
        ("typing", "hé "),
        ("typing", "hé m"),
        ("typing", "hé m!"),
        ("text", "hé m!"),
        "space",
    ]


def test_a_line_can_be_mended_and_given_up() -> None:
    assert keys_of("tae\u0301\x7f\r")[-1] == ("text", "a")
    assert keys_of("tabc\x15d\r")[-1] == ("text", "d")
    assert keys_of("tabc\x1b")[-1] == ("text", "")
    assert keys_of("tabc\x03")[-2:] == [("text", ""), "ctrl-c"]
    assert keys_of("t\x7f\x7fa\r")[-1] == ("text", "a")


@given(st.text(alphabet=st.sampled_from("tmq \x1b[OA~;1\r\x7f\x03é\x00\x9b漢"), max_size=40), st.data())
def test_how_the_bytes_are_cut_changes_nothing(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    typing = Typing()
    assert [*typing.push(text[:cut]), *typing.push(text[cut:]), *typing.settle()] == keys_of(text)


@given(st.text(max_size=60))
def test_a_typed_line_never_holds_a_control_character(text: str) -> None:
    for key in keys_of("t" + text):
        assert isinstance(key, str) or key[1].isprintable() or not any(one < " " or one == "\x7f" for one in key[1])


def test_a_typed_line_is_bounded() -> None:
    assert len(keys_of("t" + "a" * 5_000 + "\r")[-1][1]) == 2_000


def test_a_sequence_that_never_ends_is_given_up() -> None:
    typing = Typing()
    typing.push("\x1b[" + "1" * 200)
    assert not typing.undecided


# --- a real terminal --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pseudo_terminal() -> Iterator[tuple[int, int]]:
    """The two ends: what the person types into, and what the program reads."""
    import pty

    person, program = pty.openpty()
    try:
        yield person, program
    finally:
        for descriptor in (person, program):
            with contextlib.suppress(OSError):  # a test has closed it
                os.close(descriptor)


def settings_of(descriptor: int) -> object:
    import termios

    return termios.tcgetattr(descriptor)


async def next_of(keys: AsyncIterator[Key]) -> Key:
    async with asyncio.timeout(3.0):
        return await anext(keys)


def no_key_threads() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "locara-keys"]


@posix_only
def test_keys_come_from_a_real_terminal_one_by_one_without_enter() -> None:
    async def scenario(person: int, program: int) -> list[Key]:
        async with Keys(program) as keys:
            got = []
            for data in (b" ", b"m", b"\x03", b"\x1b[A", b"q", b"\x1b"):
                os.write(person, data)
                if data != b"\x1b[A":
                    got.append(await next_of(keys))
            return got

    with pseudo_terminal() as (person, program):
        assert asyncio.run(scenario(person, program)) == ["space", "m", "ctrl-c", "q", "escape"]
    assert no_key_threads()


@posix_only
def test_letters_whose_bytes_come_apart_are_put_together() -> None:
    async def scenario(person: int, program: int) -> Key:
        async with Keys(program) as keys:
            os.write(person, b"t")
            await next_of(keys)
            os.write(person, "é".encode()[:1])
            await asyncio.sleep(0.05)
            os.write(person, "é".encode()[1:])
            return await next_of(keys)

    with pseudo_terminal() as (person, program):
        assert asyncio.run(scenario(person, program)) == ("typing", "é")


@posix_only
def test_the_terminal_is_silent_meanwhile_and_put_back_after() -> None:
    import termios

    async def scenario(program: int) -> int:
        async with Keys(program):
            flags: int = termios.tcgetattr(program)[3]
            return flags

    with pseudo_terminal() as (_, program):
        before = settings_of(program)
        flags = asyncio.run(scenario(program))
        assert not flags & termios.ECHO
        assert not flags & termios.ICANON
        assert flags & termios.ISIG  # Ctrl-\ still ends a program that hangs
        assert settings_of(program) == before


@posix_only
def test_the_terminal_is_put_back_after_an_exception_and_after_cancellation() -> None:
    async def fail(program: int) -> None:
        async with Keys(program):
            raise RuntimeError("boom")

    async def cancelled(program: int) -> None:
        async with Keys(program) as keys, asyncio.timeout(0.05):
            await anext(keys)

    with pseudo_terminal() as (_, program):
        before = settings_of(program)
        with pytest.raises(RuntimeError, match="boom"):
            asyncio.run(fail(program))
        assert settings_of(program) == before
        with pytest.raises(TimeoutError):
            asyncio.run(cancelled(program))
        assert settings_of(program) == before
    assert no_key_threads()


@posix_only
def test_closing_ends_the_iteration_for_good() -> None:
    async def scenario(program: int) -> list[Key]:
        async with Keys(program) as keys:
            asyncio.get_running_loop().call_later(0.05, keys.close)
            async with asyncio.timeout(3.0):
                first = [key async for key in keys]
                return first + [key async for key in keys]

    with pseudo_terminal() as (_, program):
        assert asyncio.run(scenario(program)) == []


@posix_only
def test_a_terminal_that_hangs_up_ends_the_iteration() -> None:
    async def scenario(person: int, program: int) -> list[Key]:
        async with Keys(program) as keys:
            os.write(person, b"m")
            got = [await next_of(keys)]
            os.close(person)
            async with asyncio.timeout(3.0):
                return got + [key async for key in keys]

    with pseudo_terminal() as (person, program):
        assert asyncio.run(scenario(person, program)) == ["m"]


@posix_only
def test_a_pasted_book_is_dropped_and_the_end_still_comes() -> None:
    async def scenario(person: int, program: int) -> int:
        async with Keys(program) as keys:
            for _ in range(20):
                os.write(person, b"m" * 100)
                await asyncio.sleep(0.005)
            keys.close()
            async with asyncio.timeout(3.0):
                return len([key async for key in keys])

    with pseudo_terminal() as (person, program):
        assert asyncio.run(scenario(person, program)) == 256


def test_a_pipe_and_no_standard_input_at_all_give_no_keys_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(descriptor: int | None) -> list[Key]:
        async with Keys(descriptor) as keys, asyncio.timeout(3.0):
            return [key async for key in keys]

    read, write = os.pipe()
    try:
        os.write(write, b"mmm")
        assert asyncio.run(scenario(read)) == []
    finally:
        os.close(read)
        os.close(write)
    monkeypatch.setattr(sys, "stdin", None)
    assert asyncio.run(scenario(None)) == []
