"""The dialogue with a recogniser in a sidecar, against a program that keeps the protocol and one that breaks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import BLOCK, Samples, silence
from locara.engines import sidecar
from locara.engines.contracts import EngineInfo
from locara.engines.sidecar_recogniser import Heard, Listening, SidecarRecogniser, joint
from locara.errors import EngineFailed, EngineTimeout, LocaraError

FAKE = Path(__file__).with_name("fake_sidecar.py")
TENTH = 1_600


def _engine(fault: str = "", *, deadline: float = 10.0, start: float = 20.0) -> SidecarRecogniser:
    return SidecarRecogniser(
        EngineInfo("fake", "fake-ear", ""),
        lambda: [sys.executable, str(FAKE), "stt", fault],
        locale="en-US",
        deadline=deadline,
        start_deadline=start,
    )


@asynccontextmanager
async def _loaded(fault: str = "", *, deadline: float = 10.0) -> AsyncIterator[SidecarRecogniser]:
    before = set(threading.enumerate())
    engine = _engine(fault, deadline=deadline)
    try:
        await engine.load()
        yield engine
    finally:
        pid = engine.sidecar.pid
        await engine.close()
        await engine.close()
        assert not engine.sidecar.alive
        assert pid is not None
        if sys.platform != "win32":
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    new = set(threading.enumerate()) - before
    assert not [thread.name for thread in new if thread.name.startswith("locara")]


def _run(work: Callable[[SidecarRecogniser], Awaitable[None]], fault: str = "", *, deadline: float = 10.0) -> None:
    async def whole() -> None:
        async with _loaded(fault, deadline=deadline) as engine:
            await work(engine)

    asyncio.run(asyncio.wait_for(whole(), 60))


async def _push(listening: Listening, tenths: int, *, pause: float = 0.0) -> list[str]:
    news: list[str] = []
    for _ in range(tenths * TENTH // BLOCK):
        if (text := await listening.push(np.full(BLOCK, 0.1, np.float32))) is not None:
            news.append(text)
        await asyncio.sleep(pause)
    return news


async def _until(listening: Listening, text: str) -> None:
    """Partials come when they come."""
    until = time.monotonic() + 10
    while listening.heard.text != text:
        assert time.monotonic() < until, listening.heard
        await asyncio.sleep(0.01)


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_a_frame_has_its_kind_its_length_and_its_payload() -> None:
    assert sidecar.frame(sidecar.AUDIO, b"\1\2\3\4") == b"a\4\0\0\0\1\2\3\4"
    assert sidecar.frame(sidecar.ORDER, b"{}") == b"j\2\0\0\0{}"


@given(st.binary(max_size=200))
def test_any_line_is_a_message_or_a_wire_error(line: bytes) -> None:
    with contextlib.suppress(sidecar.WireError):  # and no other
        assert isinstance(sidecar.parse(line)["type"], str)


@pytest.mark.parametrize("line", [b"[1]", b'{"a": 1}', b'{"type": 1}', b"\xff", b"[" * 100_000, b"NaN"])
def test_lines_that_are_no_messages_are_wire_errors(line: bytes) -> None:
    with pytest.raises(sidecar.WireError):
        sidecar.parse(line)


# --- what is known of a turn ------------------------------------------------------------------------------------------

_MESSAGES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["partial", "final", "done", "error", "new"]),
        "turn": st.sampled_from([1, 2, None]),
        "segment": st.sampled_from([0, 1, 2, -1, None, "0", True]),
        "text": st.sampled_from(["a", " b ", "", None, 3]),
        "confidence": st.sampled_from([None, 0.5, 2, True, "x"]),
    }
)


@given(st.lists(_MESSAGES, max_size=20))
def test_nothing_that_is_late_or_malformed_changes_what_stays(messages: list[dict[str, object]]) -> None:
    heard = Heard(1)
    for message in messages:
        before, heard = heard, heard.after(message)
        assert heard.done >= before.done
        assert heard.pieces[: len(before.pieces)] == before.pieces
        if message["turn"] != 1:
            assert heard == before
        sure = heard.transcript.confidence
        assert sure is None or 0 <= sure <= 1
        assert heard.text.startswith(heard.transcript.text)


def test_pieces_stay_and_a_partial_is_replaced() -> None:
    heard = Heard(7)
    heard = heard.after({"type": "partial", "turn": 7, "segment": 0, "text": "turn of"})
    heard = heard.after({"type": "partial", "turn": 7, "segment": 0, "text": "turn off the"})
    assert heard.text == "turn off the"
    assert heard.transcript.text == ""
    heard = heard.after({"type": "final", "turn": 7, "segment": 0, "text": "Turn off the light.", "confidence": 1})
    heard = heard.after({"type": "final", "turn": 7, "segment": 0, "text": " Now.", "confidence": 0.5})
    heard = heard.after({"type": "done", "turn": 7, "segment": 0})
    assert heard.transcript.text == "Turn off the light. Now."
    assert heard.transcript.confidence == pytest.approx((19 + 0.5 * 4) / 23)


def test_languages_without_spaces_are_joined_without_one() -> None:
    assert [joint(locale) for locale in ("en-US", "ja-JP", "zh_CN", "yue", "de", "")] == [" ", "", "", "", " ", " "]


# --- the dialogue -----------------------------------------------------------------------------------------------------


def test_partials_come_while_one_speaks_and_the_settled_text_stays() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        assert engine.info.note == "fake"
        listening = engine.open()
        news = await _push(listening, 3)
        await _until(listening, "one two three")
        news += await _push(listening, 1)
        await _until(listening, "one two three four")
        assert len(news) == len(set(news))
        settled = await listening.settle()
        assert settled.text == "one two three four"
        assert settled.confidence == pytest.approx(0.5)
        await listening.close()

    _run(work)


def test_settling_twice_covers_both_parts_and_costs_nothing_without_new_sound() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        first = await listening.settle()
        assert (await listening.settle()) == first
        assert first.text == "one two"
        await _push(listening, 2)
        assert (await listening.settle()).text == "one two three four"
        await listening.close()
        await listening.close()

    _run(work)


def test_a_turn_without_sound_is_empty_and_needs_no_program() -> None:
    async def run() -> None:
        engine = _engine()
        listening = engine.open()
        assert await listening.push(silence(0)) is None
        assert (await listening.settle()).text == ""
        await listening.close()
        assert engine.sidecar.pid is None
        await engine.close()

    asyncio.run(run())


def test_each_turn_begins_afresh_and_an_old_one_cannot_be_used() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        first = engine.open()
        await _push(first, 2)
        second = engine.open()
        with pytest.raises(EngineFailed, match="ended"):
            await first.push(silence(BLOCK))
        await _push(second, 3)
        assert (await second.settle()).text == "one two three"
        await second.close()

    _run(work)


def test_what_it_says_after_the_end_of_a_segment_or_of_a_turn_is_dropped() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        for _ in range(3):
            listening = engine.open()
            await _push(listening, 2)
            assert (await listening.settle()).text == "one two"
            await asyncio.sleep(0.05)
            assert (await listening.settle()).text == "one two"
            await _push(listening, 1)
            assert (await listening.settle()).text == "one two three"
            await listening.close()

    _run(work, "goes-on")


def test_a_late_final_is_waited_for() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        assert (await listening.settle()).text == "one two"
        await listening.close()

    _run(work, "late-final")


def test_cancelling_a_settle_leaves_the_turn_whole() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        task = asyncio.create_task(listening.settle())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _push(listening, 1)
        assert (await asyncio.wait_for(listening.settle(), 5)).text == "one two three"
        await listening.close()

    _run(work, "late-final")


def test_cancelling_a_settle_that_hangs_frees_the_engine_for_the_next_turn() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        task = asyncio.create_task(listening.settle())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        listening = engine.open()  # whoever had the one before has not closed it yet
        await asyncio.wait_for(_push(listening, 1), 10)
        await listening.close()

    _run(work, "hangs-on-settle", deadline=40)


def test_a_very_long_turn_is_taken() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        for _ in range(40):
            await listening.push(np.zeros(16_000, np.float32))
        assert len((await listening.settle()).text.split()) == 400
        await listening.close()

    _run(work)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("dies-at-start", "exit status 3; it said: .*no such framework"),
        ("refuses", "the model is not on this Mac"),
        ("prints", "not JSON: 'hello from a library'"),
        ("long-line", "more than 1048576 bytes"),
    ],
)
def test_a_program_that_does_not_come_up_is_an_error_that_says_why(fault: str, said: str) -> None:
    with pytest.raises(EngineFailed, match=f"(?s){said}") as caught:
        asyncio.run(_load_only(fault))
    assert caught.value.stage == "stt"
    assert caught.value.hint
    if fault == "refuses":
        assert caught.value.hint == "install it"


async def _load_only(fault: str, *, start: float = 20.0) -> None:
    engine = _engine(fault, start=start)
    try:
        await engine.load()
    finally:
        await engine.close()
        assert not engine.sidecar.alive


def test_a_program_that_is_too_slow_to_start_is_ended_at_the_deadline() -> None:
    with pytest.raises(EngineTimeout, match=r"within 0\.5 s"):
        asyncio.run(_load_only("slow-start", start=0.5))


@pytest.mark.parametrize("program", ["/no/such/program", "/", ""])
def test_a_program_that_cannot_be_started_is_an_error(program: str) -> None:
    async def run() -> None:
        engine = SidecarRecogniser(EngineInfo("fake", "fake", ""), lambda: [program], locale="en", deadline=1)
        try:
            await engine.load()
        finally:
            await engine.close()

    with pytest.raises(EngineFailed, match="could not be started"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "said"),
    [("dies-mid-turn", "exit status 9"), ("bad-json", "not JSON"), ("babbles", "lines that nobody asked for")],
)
def test_a_program_that_breaks_in_a_turn_costs_this_turn_and_comes_back_with_the_next(fault: str, said: str) -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        with pytest.raises(EngineFailed, match=said) as caught:
            await _push(listening, 2_000, pause=0.02)
        assert "words of this turn are lost" in caught.value.message
        with pytest.raises(EngineFailed):
            await listening.settle()
        await listening.close()
        lives = engine.sidecar.lives
        listening = engine.open()
        await _push(listening, 3)
        assert (await listening.settle()).text == "one two three"
        assert engine.sidecar.lives == lives + 1
        await listening.close()

    _run(work, fault)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killing_it_while_we_wait_for_the_settled_text_is_an_error_at_once() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        waiting = asyncio.create_task(listening.settle())
        await asyncio.sleep(0.1)
        assert engine.sidecar.pid is not None
        os.kill(engine.sidecar.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="SIGKILL"):
            await asyncio.wait_for(waiting, 10)
        await listening.close()
        listening = engine.open()
        await _push(listening, 1)
        await _until(listening, "one")
        await listening.close()

    _run(work, "hangs-on-settle", deadline=30)


def test_a_program_that_hangs_is_ended_at_the_deadline_and_the_next_turn_has_a_new_one() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        with pytest.raises(EngineTimeout):
            await listening.settle()
        assert not engine.sidecar.alive
        await listening.close()
        listening = engine.open()
        await _push(listening, 1)
        await _until(listening, "one")
        await listening.close()

    _run(work, "hangs-on-settle", deadline=0.5)


def test_closing_the_engine_ends_a_settle_that_hangs() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await _push(listening, 2)
        waiting = asyncio.create_task(listening.settle())
        await asyncio.sleep(0.1)
        await asyncio.wait_for(engine.close(), 5)
        with pytest.raises(LocaraError):
            await waiting

    _run(work, "hangs-on-settle", deadline=30)


def test_a_program_that_takes_no_sound_is_an_error_and_not_a_growing_queue() -> None:
    async def run() -> None:
        engine = _engine("deaf")
        await asyncio.to_thread(engine.wake)
        listening = engine.open()
        with pytest.raises(EngineFailed, match="does not take"):
            await _push(listening, 4_000)
        await listening.close()
        await engine.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_an_error_of_one_turn_is_raised_and_the_program_lives_on() -> None:
    async def work(engine: SidecarRecogniser) -> None:
        listening = engine.open()
        await listening.push(np.zeros(BLOCK, np.float32))
        with pytest.raises(EngineFailed, match="out of memory") as caught:
            await listening.settle()
        assert caught.value.hint == "speak less"
        await listening.close()
        lives = engine.sidecar.lives
        listening = engine.open()
        await _push(listening, 1)
        assert (await listening.settle()).text == "one"
        assert engine.sidecar.lives == lives
        await listening.close()

    _run(work, "fails-a-turn")


def test_sound_and_orders_keep_their_order(tmp_path: Path) -> None:
    """Whatever the blocks' sizes, every sample before a settle is heard by it."""

    async def work(engine: SidecarRecogniser) -> None:
        rng = np.random.default_rng(0)
        for _ in range(5):
            listening = engine.open()
            left = 10 * TENTH
            while left:
                size = min(left, int(rng.integers(1, 2_000)))
                sound: Samples = np.zeros(size, np.float32)
                await listening.push(sound)
                left -= size
            assert len((await listening.settle()).text.split()) == 10
            await listening.close()

    _run(work)
