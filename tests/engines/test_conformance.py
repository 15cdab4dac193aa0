"""Every engine keeps its contract, and a broken one is found out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from specimens import ENGINES, Engine, question  # type: ignore[import-not-found]

from locara.audio import Samples
from locara.engines import registry
from locara.engines.contracts import EngineInfo, Speech, Transcript
from locara.testing.conformance import Outcome, Specimen, examine, table

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda one: f"{one.kind}-{one.name}")
def test_every_engine_keeps_its_contract(engine: Engine, tmp_path: Path) -> None:
    if engine.missing:
        pytest.skip(engine.missing)
    options = {**engine.options(tmp_path), "engine": engine.name}
    outcomes = asyncio.run(
        examine(engine.kind, lambda: registry.create(engine.kind, engine.model, options), Specimen(question()))
    )
    for outcome in outcomes:
        print(outcome)
    failed = {outcome.check: outcome.why for outcome in outcomes if not outcome.passed}
    assert set(failed) == set(engine.known), failed


class _BadVoice:
    """A voice that keeps none of the promises that are asked of it."""

    info = EngineInfo("bad", "bad", "", word_times=True)
    rate = 16_000

    def __init__(self) -> None:
        self.closed = False

    async def load(self) -> None: ...

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed twice")
        self.closed = True

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        if not text.strip():
            raise ValueError("nothing to say")
        if len(text) > 200:
            time.sleep(1.2)  # noqa: ASYNC251  that is what is wrong with it
        yield Speech(np.full(32_000, np.nan, np.float32))


def test_a_voice_that_breaks_its_promises_is_found_out() -> None:
    outcomes = asyncio.run(examine("tts", _BadVoice, Specimen(question(), text="One two three.")))
    why = {outcome.check: outcome.why for outcome in outcomes if not outcome.passed}
    assert "licence is empty" in why["says what it is"]
    assert "no numbers" in why["speaks"]
    assert "0 marks" in why["word times"]
    assert "one piece" in why["streams"]
    assert "nothing to say" in why["odd texts"]
    assert "stood still" in why["long text"]
    assert "closed twice" in why["closes twice"]


class _BadRecogniser:
    info = EngineInfo("bad", "bad", "MIT")

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    def open(self) -> _BadRecognition:
        return _BadRecognition()


class _BadRecognition:
    count = 0

    async def push(self, samples: Samples) -> str | None:
        return None

    async def settle(self) -> Transcript:
        self.count += 1
        return Transcript(f"thank you for watching {self.count}", confidence=3.0)

    async def close(self) -> None: ...


def test_a_recogniser_that_breaks_its_promises_is_found_out() -> None:
    outcomes = asyncio.run(examine("stt", _BadRecogniser, Specimen(question()[:8000])))
    failed = {outcome.check for outcome in outcomes if not outcome.passed}
    assert {"nothing said", "recognises", "streams", "goes on after settling"} <= failed


def test_the_documentation_has_a_line_for_every_engine_and_no_failure_that_is_not_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    tables = page.partition("written by scripts/conformance.py")[2]
    for engine in ENGINES:
        assert f"| {engine.title} |" in tables or f"- {engine.title}: not examined" in tables
    assert tables.count(" NO ") == sum(len(engine.known) for engine in ENGINES)


def test_outcomes_become_a_table() -> None:
    rows = [("a", [Outcome("x", "passed"), Outcome("y", "not claimed", "no")]), ("b", [Outcome("y", "failed", "why")])]
    assert table(rows) == "| engine | x | y |\n|---|---|---|\n| a | yes | – |\n| b |  | NO |\n"
