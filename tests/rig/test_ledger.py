"""The latency ledger against the sound itself: what it says is what a stopwatch between two wires would say."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from locara.audio import silence
from locara.engines.contracts import Speech
from locara.testing import Conversation, Line, Result, ScriptedModel, ScriptedRecogniser, ScriptedVoice, play
from locara.voice import Session
from locara.voice.endings import PATIENCE, silence_needed
from locara.voice.events import Latency
from locara.voice.opening import MOST_SECONDS

from .scenes import BLOCK_SECONDS, check_story, first_audible, last_loud_input, spoken

TALK = Conversation([Line(1.0, "what time is it now")], replies=["It is noon now. And that is that."])


@dataclass(frozen=True)
class Delays:
    """Seconds to the settled text, to the first token, to the first sound; tokens a second."""

    stt: float = 0.0
    llm: float = 0.0
    tts: float = 0.0
    tokens: float = 1000.0
    voice: float = 8.0


def _timed(delays: Delays, talk: Conversation = TALK) -> Result:
    result = play(
        talk,
        stt=ScriptedRecogniser(spoken(talk), final_delay=delays.stt),
        llm=ScriptedModel(talk.replies, first_token=delays.llm, tokens_per_second=delays.tokens),
        tts=ScriptedVoice(first_chunk=delays.tts, speed=delays.voice),
    )
    check_story(result)
    return result


def _ledger(result: Result, turn: int = 0) -> Latency:
    end = next(one for one in result.turn_ends("user") if one.turn == turn)
    assert end.latency is not None
    parts = dataclasses.astuple(end.latency)
    assert all(part >= 0 for part in parts), end.latency
    assert abs(sum(parts) - end.latency.total) < 1e-9
    heard_end = last_loud_input(result, end.speech_end + 0.1)
    measured = first_audible(result, heard_end) - heard_end
    assert abs(end.latency.total - measured) <= BLOCK_SECONDS, (
        f"told {end.latency.total:.3f} s, measured {measured:.3f} s"
    )
    assert abs(end.speech_end - heard_end) <= 0.01
    latency: Latency = end.latency
    return latency


@pytest.mark.parametrize("start", [1.0, 1.003, 1.0065, 1.011, 1.0175])
@pytest.mark.parametrize(
    "delays",
    [
        Delays(),
        Delays(stt=1.5),
        Delays(llm=1.5),
        Delays(tts=1.5),
        Delays(tokens=4.0),
        Delays(voice=0.7),
        Delays(stt=0.7, llm=0.8, tts=0.9, tokens=5.0),
        Delays(stt=0.3, llm=0.1, tts=0.05, tokens=30.0),
    ],
    ids=["fast", "slow stt", "slow llm", "slow tts", "slow tokens", "slow voice", "all slow", "mixed"],
)
def test_the_parts_add_up_to_what_is_measured(delays: Delays, start: float) -> None:
    talk = dataclasses.replace(TALK, lines=[Line(start, "what time is it now")])
    _ledger(_timed(delays, talk))


def test_what_is_prepared_in_time_costs_nothing() -> None:
    """All engines together need 0.17 s, and the pause that ends the turn is longer."""
    needed = silence_needed("what time is it now", PATIENCE["normal"])
    parts = _ledger(_timed(Delays(stt=0.05, llm=0.05, tts=0.05)))
    assert needed <= parts.endpoint <= needed + 2 * BLOCK_SECONDS
    assert parts.total - parts.endpoint <= BLOCK_SECONDS
    assert parts.stt == parts.llm_first_token == parts.clause == parts.tts_first_chunk == parts.queue == 0.0


@pytest.mark.parametrize(
    ("delays", "part"),
    [
        (Delays(llm=1.5), "llm_first_token"),
        (Delays(tts=1.5), "tts_first_chunk"),
        (Delays(tokens=2.0), "clause"),
    ],
)
def test_the_slow_stage_is_the_one_that_is_blamed(delays: Delays, part: str) -> None:
    parts = dataclasses.asdict(_ledger(_timed(delays)))
    slowest = max((value, name) for name, value in parts.items() if name != "endpoint")
    assert slowest[1] == part
    assert slowest[0] > 0.9
    assert sum(parts.values()) - slowest[0] - parts["endpoint"] <= 2 * BLOCK_SECONDS, parts


def test_a_recogniser_slower_than_any_patience_is_charged_to_it() -> None:
    """The turn is over at the last patience (2.5 s), words or not; what they take from then on is the recogniser's."""
    parts = _ledger(_timed(Delays(stt=3.5)))
    assert 2.5 <= parts.endpoint <= 2.5 + 2 * BLOCK_SECONDS
    assert 0.9 <= parts.stt <= 1.1
    assert parts.total <= 3.5 + 3 * BLOCK_SECONDS


def test_each_turn_has_its_own_ledger_also_after_a_barge_in() -> None:
    talk = Conversation(
        [Line(1.0, "tell me all about it"), Line(4.2, "stop that and tell me the end")],
        replies=["It is a long story and there is no end to it, not today and not tomorrow, I am afraid.", "The end."],
    )
    result = _timed(Delays(llm=0.1, tts=0.1), talk)
    assert result.of("barge-in")
    for turn in (0, 1):
        assert _ledger(result, turn).total < 0.9
    assert result.metrics["turns"] == 2
    totals = sorted(one.latency.total for one in result.turn_ends("user"))
    assert result.metrics["latency_worst"] == totals[1]


def test_a_reply_that_begins_with_silence_is_counted_from_its_first_sound() -> None:
    class Hesitating(ScriptedVoice):
        """More digital silence before each text than is cut."""

        async def speak(self, text: str) -> AsyncIterator[Speech]:
            """Silence, and then as the scripted voice."""
            yield Speech(silence(round((MOST_SECONDS + 0.5) * 24_000)))
            async for piece in super().speak(text):
                yield piece

    result = play(TALK, tts=Hesitating())
    parts = _ledger(result)
    assert 0.48 <= parts.output <= 0.52


def test_typed_text_has_a_ledger_that_begins_when_it_was_sent() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(1.0)
        session.send_text("what time is it now")

    result = play(
        Conversation([], replies=["It is noon."], more=4.0),
        acts=acts,
        llm=ScriptedModel(["It is noon."], first_token=0.5),
    )
    end = result.turn_ends("user")[0]
    assert (end.reason, end.speech_end) == ("typed", None)
    assert end.latency.endpoint == 0.0
    assert abs(end.latency.total - (first_audible(result) - 1.0)) <= 2 * BLOCK_SECONDS
