"""What `/metrics` tells, how long the loop stood, and a turn's spans."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest

from locara.errors import ConfigError
from locara.server import trace_export, tracing
from locara.server.counting import METRICS, MOST_SERIES, Counters
from locara.server.observing import observe
from locara.server.stalls import STALL_SECONDS, Stalls
from locara.testing import Conversation, Line, play
from locara.voice.events import BargeIn, Event, FinalTranscript, Latency, TurnEnd

LINE = re.compile(r'[a-z_]+(\{([a-z_]+="[^"\n]*",?)*\})? (-?\d+(\.\d+)?(e[+-]?\d+)?|\+Inf)')
LATENCY = Latency(endpoint=0.2, stt=0.05, llm_first_token=0.1, clause=0.05, tts_first_chunk=0.1, output=0.02)


def lines(counters: Counters) -> dict[str, float]:
    told = [line for line in counters.text().splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in told)
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in told)}


def test_a_turn_is_counted_with_the_parts_of_its_latency() -> None:
    counters = Counters()
    counters.event(TurnEnd(who="user", reason="complete", latency=LATENCY))
    counters.event(TurnEnd(who="user", reason="no-words"))
    counters.event(TurnEnd(who="assistant", reason="finished"))
    counters.event(BargeIn(heard_text="secret", unheard_text="words", heard_ms=10))
    told = lines(counters)
    assert told['locara_turns_total{reason="complete"}'] == 1
    assert told['locara_turn_latency_seconds_bucket{le="0.5"}'] == 0
    assert told['locara_turn_latency_seconds_bucket{le="0.7"}'] == 1
    assert told['locara_turn_latency_seconds_bucket{le="+Inf"}'] == told["locara_turn_latency_seconds_count"] == 1
    assert told["locara_turn_latency_seconds_sum"] == pytest.approx(0.52)
    assert told['locara_turn_part_seconds_total{part="endpoint"}'] == pytest.approx(0.2)
    assert told["locara_barge_ins_total"] == 1
    assert "secret" not in counters.text()


def test_every_metric_is_told_once_with_its_help_and_type() -> None:
    counters = Counters()
    for one in METRICS:
        counters.add(one.name, 2.5, **dict.fromkeys(one.labels, 'a "b"\\\n'))
    text = counters.text()
    for one in METRICS:
        assert text.count(f"# TYPE {one.name} {one.kind}\n") == 1
    assert r'="a \"b\"\\\n"' in text


def test_labels_from_outside_cannot_fill_the_memory() -> None:
    counters = Counters()
    for number in range(10 * MOST_SERIES):
        counters.add("locara_refused_total", code=f"c{number}")
    assert len([line for line in lines(counters) if line.startswith("locara_refused_total")]) == MOST_SERIES + 1
    with pytest.raises(KeyError):
        counters.add("locara_refused_total", nonsense="x")
    with pytest.raises(KeyError):
        counters.add("locara_nonsense_total")


def test_a_stall_is_measured_and_says_where() -> None:
    async def go() -> Stalls:
        stalls = Stalls(counters)
        stalls.start()
        await asyncio.sleep(0.1)
        time.sleep(0.3)  # noqa: ASYNC251  that is the stall
        await asyncio.sleep(0.1)
        stalls.stop()
        return stalls

    counters = Counters()
    stalls = asyncio.run(go())
    assert stalls.count >= 1
    assert stalls.worst.seconds >= 0.3 - STALL_SECONDS
    assert stalls.worst.where[0].startswith("server/test_counting.py:")
    assert lines(counters)["locara_stall_seconds_count"] == stalls.count
    assert "locara-stalls" not in [one.name for one in threading.enumerate()]


def test_a_loop_that_only_waits_is_no_stall_of_its_own() -> None:
    async def go() -> Stalls:
        stalls = Stalls()
        stalls.start()
        await asyncio.sleep(0.5)
        stalls.stop()
        stalls.stop()
        return stalls

    # A shared machine may stand still by itself; then nobody's code is blamed.
    assert all("test_counting.py" not in place for place in asyncio.run(go()).worst.where)


def test_a_whole_conversation_is_counted_from_its_events() -> None:
    result = play(Conversation([Line(1.0, "what time is it")], replies=["It is noon."]))

    async def told() -> Any:
        for event in result.events:
            yield event

    counters = Counters()
    asyncio.run(observe(told(), counters, door="ipc", session="1"))
    assert counters.value("locara_sessions_total", door="ipc") == 1
    assert counters.value("locara_turns_total", reason="complete") == 1
    assert lines(counters)["locara_turn_latency_seconds_count"] == 1


def spans_of(*events: Event) -> list[Any]:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason='needs pip install "locara[otel]"')
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    spans = tracing.TurnSpans(provider.get_tracer("test"), door="ipc", session="1")
    for event in events:
        spans.event(event, now_ns=10_000_000_000)
    provider.shutdown()
    return list(memory.get_finished_spans())


def test_a_turn_is_a_span_whose_parts_add_up_to_it() -> None:
    found = spans_of(
        FinalTranscript(text="secret words", turn=3),
        TurnEnd(who="user", reason="complete", latency=LATENCY, speech_end=1.0, turn=3),
        BargeIn(heard_text="secret", unheard_text="words", heard_ms=10, turn=3),
    )
    (turn,) = [one for one in found if one.name == "locara.turn"]
    parts = [one for one in found if one.parent is not None]
    assert turn.end_time == 10_000_000_000
    assert (turn.end_time - turn.start_time) / 1e9 == pytest.approx(LATENCY.total)
    assert sum(one.end_time - one.start_time for one in parts) == turn.end_time - turn.start_time
    assert [one.name for one in parts][:2] == ["locara.endpoint", "locara.stt"]
    assert {one.parent.span_id for one in parts} == {turn.context.span_id}
    assert "secret" not in str([one.to_json() for one in found])


def test_spans_go_where_the_usual_variable_says_and_nowhere_without() -> None:
    pytest.importorskip("opentelemetry.sdk.trace", reason='needs pip install "locara[otel]"')
    assert trace_export.provider({}) is None
    assert trace_export.provider({trace_export.VARIABLE: "none"}) is None
    made = trace_export.provider({trace_export.VARIABLE: "console"})
    made.shutdown()
    with pytest.raises(ConfigError, match="not known"):
        trace_export.provider({trace_export.VARIABLE: "zipkin"})


def test_without_the_package_nothing_happens() -> None:
    event = TurnEnd(who="user", reason="complete", latency=LATENCY, speech_end=1.0)
    tracing.TurnSpans(None, door="ipc", session="1").event(event)
