"""A child process: frames, calls, cancelling, dying, and nothing left behind."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines import frames
from locara.engines.child import Child, WorkerError
from locara.errors import EngineFailed, EngineTimeout

_WORKER = """
import os, sys, time
from locara.engines.frames import serve

def echo(call):
    call.send(call.payload, n=call.fields["n"])
    return {"n": call.fields["n"]}

def count(call):
    for n in range(call.fields["to"]):
        if call.cancelled:
            return {}
        call.send(b"x" * call.fields.get("size", 0), n=n)
    return {"stopped": False}

def wait_for_cancel(call):
    call.send(b"", waiting=True)
    until = time.monotonic() + 30
    while not call.cancelled and time.monotonic() < until:
        time.sleep(0.002)
    return {}

def noisy(call):
    print("a library prints")
    os.system("echo a program prints")
    return {"stdin": sys.stdin.read()}

def fail(call):
    raise LookupError("no such thing")

def die(call):
    print("famous last words", file=sys.stderr, flush=True)
    os.abort()

def sleep(call):
    time.sleep(call.fields["seconds"])

def pid(call):
    return {"pid": os.getpid(), "sigint": __import__("signal").getsignal(2) == __import__("signal").SIG_IGN}

serve({f.__name__: f for f in (echo, count, wait_for_cancel, noisy, fail, die, sleep, pid)})
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / "some_worker.py").write_text(_WORKER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    one = Child("some_worker", stage="tts", model="toy")
    one.start()
    yield one
    one.kill()
    assert not one.alive
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("locara-child")]


@contextmanager
def _child_of(module: str) -> Iterator[Child]:
    child = Child(module, stage="stt")
    yield child
    child.kill()


def _eventually(done: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


_values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
_frames = st.tuples(
    st.dictionaries(st.text(max_size=8), _values | st.lists(_values, max_size=3), max_size=4), st.binary()
)


@given(st.lists(_frames, max_size=3))
def test_frames_are_read_as_they_were_written(several: list[tuple[dict[str, Any], bytes]]) -> None:
    stream = io.BytesIO(b"".join(frames.encode(header, payload) for header, payload in several))
    read = [frames.decode(stream.read) for _ in several]
    assert [(reply.header, reply.payload) for reply in read if reply] == several
    assert frames.decode(stream.read) is None


@given(st.binary(min_size=1, max_size=60))
def test_bytes_that_are_no_frame_are_an_error_and_never_a_value(junk: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode(io.BytesIO(junk).read)


@given(st.integers(min_value=1))
def test_a_frame_that_was_cut_is_an_error(cut: int) -> None:
    whole = frames.encode({"op": "x"}, b"payload")
    with pytest.raises(frames.FrameError, match="ended inside"):
        frames.decode(io.BytesIO(whole[: max(1, cut % len(whole))]).read)


def test_a_frame_past_the_limits_is_not_written_and_not_read() -> None:
    with pytest.raises(frames.FrameError, match="limit"):
        frames.encode({"op": "x" * frames.HEADER_LIMIT})
    with pytest.raises(frames.FrameError, match="limit"):
        frames.encode({}, bytes(frames.PAYLOAD_LIMIT + 1))
    prefix = frames.encode({})[:4] + (2**31).to_bytes(4, "little") + bytes(4)
    with pytest.raises(frames.FrameError, match="limit"):
        frames.decode(io.BytesIO(prefix).read)
    with pytest.raises(frames.FrameError, match="JSON"):
        frames.encode({"x": float("nan")})


def test_a_request_has_one_reply_with_fields_and_payload(child: Child) -> None:
    sound = os.urandom(300_000)
    items = list(child.stream("echo", sound, deadline=10, n=7))
    assert [(item.header["n"], item.payload) for item in items] == [(7, sound)]
    assert child.request("echo", deadline=10, n="ü").header["n"] == "ü"


def test_what_libraries_print_does_not_get_between_the_frames(child: Child) -> None:
    assert child.request("noisy", deadline=10).header["stdin"] == ""
    assert child.request("echo", deadline=10, n=1).header["n"] == 1


def test_an_exception_in_the_child_is_an_error_here_and_the_child_lives_on(child: Child) -> None:
    with pytest.raises(WorkerError, match="LookupError: no such thing") as caught:
        child.request("fail", deadline=10)
    assert caught.value.kind == "LookupError"
    assert caught.value.stage == "tts"
    with pytest.raises(WorkerError, match="KeyError"):
        child.request("no-such-op", deadline=10)
    assert child.request("echo", deadline=10, n=1).header["n"] == 1


def test_a_cancel_from_another_thread_is_seen_during_the_work(child: Child) -> None:
    replies = child.stream("wait_for_cancel", deadline=20)
    next(replies)
    threading.Timer(0.05, child.cancel).start()
    began = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        next(replies)
    assert caught.value.kind == "Cancelled"
    assert time.monotonic() - began < 5
    assert child.request("echo", deadline=10, n=2).header["n"] == 2


def test_a_cancel_by_ticket_leaves_other_calls_alone(child: Child) -> None:
    mine, other = child.ticket(), child.ticket()
    child.cancel(other)
    assert child.request("echo", deadline=10, ticket=mine, n=3).header["n"] == 3
    with pytest.raises(WorkerError, match="cancelled"):
        child.request("echo", deadline=10, ticket=other, n=4)


def test_closing_a_stream_stops_it_and_its_rest_does_not_reach_the_next_call(child: Child) -> None:
    replies = child.stream("count", deadline=10, to=10**9, size=5000)
    assert [next(replies).header["n"] for _ in range(3)] == [0, 1, 2]
    replies.close()  # type: ignore[attr-defined]
    assert [item.header["n"] for item in child.stream("echo", deadline=10, n=5)] == [5]


def test_a_slow_reader_holds_the_child_back_and_loses_nothing(child: Child) -> None:
    numbers = []
    for item in child.stream("count", deadline=10, to=400, size=2000):
        numbers.append(item.header["n"])
        if len(numbers) == 5:
            time.sleep(0.3)
    assert numbers == list(range(400))


def test_a_call_past_its_deadline_ends_the_process_and_start_brings_it_back(child: Child) -> None:
    began = time.monotonic()
    with pytest.raises(EngineTimeout, match=r"within 0\.2 s"):
        child.request("sleep", deadline=0.2, seconds=60)
    assert time.monotonic() - began < 4
    assert not child.alive
    child.start()
    assert child.request("echo", deadline=10, n=1).header["n"] == 1
    assert child.lives == 2


def test_the_last_words_of_a_dead_process_are_in_the_error(child: Child) -> None:
    with pytest.raises(EngineFailed, match="famous last words") as caught:
        child.request("die", deadline=10)
    assert "died" in str(caught.value)
    assert caught.value.hint
    assert not child.alive
    with pytest.raises(EngineFailed, match="died"):
        child.request("echo", deadline=10, n=1)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_process_killed_in_the_middle_of_a_call_is_an_error_at_once(child: Child) -> None:
    pid = child.pid
    assert pid is not None
    threading.Timer(0.1, os.kill, (pid, signal.SIGKILL)).start()
    began = time.monotonic()
    with pytest.raises(EngineFailed, match="SIGKILL"):
        child.request("sleep", deadline=30, seconds=60)
    assert time.monotonic() - began < 3
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # not even a zombie
    child.start()
    assert child.request("pid", deadline=10).header["pid"] != pid


def test_kill_from_another_thread_frees_who_waits(child: Child) -> None:
    threading.Timer(0.1, child.kill).start()
    with pytest.raises(EngineFailed, match="died"):
        child.request("sleep", deadline=30, seconds=60)
    child.kill()


def test_an_interrupt_from_the_terminal_does_not_reach_the_child(child: Child) -> None:
    said = child.request("pid", deadline=10).header
    assert said["sigint"]
    if sys.platform != "win32":
        assert os.getsid(said["pid"]) != os.getsid(0)


def test_a_child_ends_by_itself_when_its_parent_is_gone(child: Child) -> None:
    process = child._life.process  # type: ignore[union-attr]
    with pytest.raises(EngineFailed):
        # The parent's end of stdin closes in the middle of a call, as when the parent is killed.
        _close_stdin_during(child, lambda: child.request("sleep", deadline=30, seconds=60))
    assert _eventually(lambda: process.poll() is not None)


def _close_stdin_during(child: Child, call: Callable[[], object]) -> None:
    stdin = child._life.process.stdin  # type: ignore[union-attr]
    assert stdin is not None
    threading.Timer(0.2, stdin.close).start()
    call()


def test_a_module_that_cannot_be_imported_is_an_error_with_its_cause() -> None:
    with _child_of("no_such_module_at_all") as child, pytest.raises(EngineFailed, match="no_such_module_at_all"):
        child.start()


def test_a_child_that_prints_garbage_is_an_error_and_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "garbage.py").write_text(
        "print('hello world, this is no frame', flush=True); input()", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with _child_of("garbage") as child, pytest.raises(EngineFailed, match="must begin with"):
        child.start(deadline=10)
