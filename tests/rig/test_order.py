"""The order of events in a turn, and that what is told is what is heard."""

from __future__ import annotations

import numpy as np
import pytest

from locara.audio import Samples
from locara.gate.mouth import FADE_IN_SECONDS
from locara.testing import Conversation, Line, Result, ScriptedModel, ScriptedVoice, play

from .scenes import LONG, Voices, check_story, during, joined, names, sound_of, squeeze

TWO_TURNS = Conversation(
    [Line(1.0, "what time is it now"), Line(6.0, "and what day is it today")],
    replies=["It is noon. High noon, to be exact.", "It is Sunday."],
)


@pytest.fixture(scope="module")
def two_turns() -> Result:
    return play(TWO_TURNS, tts=Voices())


def test_a_turn_goes_from_partials_to_the_end_of_its_reply(two_turns: Result) -> None:
    check_story(two_turns)
    for turn in (0, 1):
        story = [one for one in two_turns.events if one.turn == turn]
        kinds = names(story)
        partials = [at for at, kind in enumerate(kinds) if kind == "partial-transcript"]
        final = kinds.index("final-transcript")
        token, chunk = kinds.index("llm-token"), kinds.index("audio-chunk")
        ends = [at for at, one in enumerate(story) if one.type == "turn-end"]
        assert kinds[0] == "speech-start"
        assert partials
        assert max(partials) < kinds.index("speech-end") < final < token < chunk < ends[0] < ends[1]
        assert [getattr(story[at], "who", "") for at in ends] == ["user", "assistant"]
        assert ends[1] == len(story) - 1
        assert kinds.count("final-transcript") == kinds.count("speech-start") == kinds.count("speech-end") == 1


def test_partials_grow_into_the_final_transcript(two_turns: Result) -> None:
    for turn, said in enumerate(("what time is it now", "and what day is it today")):
        texts = [one.text for one in two_turns.of("partial-transcript") if one.turn == turn]
        assert len(texts) == len(set(texts)) >= 4
        assert all(said.startswith(text) for text in texts)
    assert two_turns.texts("final-transcript") == ["what time is it now", "and what day is it today"]
    assert all(one.revision == 0 for one in two_turns.of("partial-transcript"))


def test_tokens_are_the_reply_and_so_is_the_history(two_turns: Result) -> None:
    for turn, reply in enumerate(("It is noon. High noon, to be exact.", "It is Sunday.")):
        tokens = "".join(one.text for one in two_turns.of("llm-token") if one.turn == turn)
        chunks = "".join(one.text for one in two_turns.of("audio-chunk") if one.turn == turn)
        assert tokens == reply
        assert squeeze(chunks) == squeeze(reply)
    assert [(one.turn, getattr(one, "role", ""), getattr(one, "text", "")) for one in two_turns.history] == [
        (0, "user", "what time is it now"),
        (0, "assistant", "It is noon. High noon, to be exact."),
        (1, "user", "and what day is it today"),
        (1, "assistant", "It is Sunday."),
    ]


def _same(heard: Samples, made: Samples, rate: int) -> bool:
    """The very samples, but for the first 5 ms, in which the gate lets a reply come up that does not begin in silence."""
    fade = round(FADE_IN_SECONDS * rate)
    softer = bool(np.all(np.abs(heard[:fade]) <= np.abs(made[:fade])))
    return heard.size == made.size and softer and np.array_equal(heard[fade:], made[fade:])


def _heard_of(result: Result, turn: int) -> Samples:
    """What left the output while this reply lasted, without the silence between its pieces."""
    chunks = [one for one in result.of("audio-chunk") if one.turn == turn]
    end = next(one for one in result.turn_ends("assistant") if one.turn == turn)
    piece = during(result, chunks[0].t, end.t)
    sounding: Samples = piece[piece != 0]
    return sounding


@pytest.mark.parametrize(
    "tts",
    [
        Voices(),
        Voices(first_chunk=0.8, speed=1.5),
        Voices(speed=0.5),  # slower than it sounds: the output runs dry between chunks
        Voices(chunk=0.033),
        Voices(chunk=3.0),
    ],
    ids=["fast", "late", "too slow", "small chunks", "large chunks"],
)
def test_every_sample_that_was_made_is_played_once_and_in_order(tts: ScriptedVoice) -> None:
    result = play(Conversation([Line(0.5, "tell me all about it")], replies=[LONG]), tts=tts)
    made = sound_of(result.events, 0)
    assert made.size > 5 * result.output_rate
    assert _same(_heard_of(result, 0), made, result.output_rate)


def test_more_sound_than_is_made_ahead_is_played_whole() -> None:
    text = " ".join(f"This is sentence number {n} of a long story." for n in range(12))
    result = play(Conversation([Line(0.5, "tell me all about it")], replies=[text]), tts=Voices(speed=50.0))
    made = sound_of(result.events, 0)
    assert made.size > 25 * result.output_rate
    assert _same(_heard_of(result, 0), made, result.output_rate)
    chunks = result.of("audio-chunk")
    ahead = made.size / result.output_rate - (chunks[-1].t - chunks[0].t)
    assert ahead < 9.0, "sound is made at most 8 s and a clause ahead"


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_a_voice_at_another_rate_is_played_at_the_outputs_rate(rate: int) -> None:
    reply = "It is noon."
    result = play(Conversation([Line(0.5, "what time is it now")], replies=[reply]), tts=ScriptedVoice(rate=rate))
    chunks = result.of("audio-chunk")
    assert {one.sample_rate for one in chunks} == {result.output_rate} == {24_000}
    made = sound_of(result.events, 0)
    assert abs(made.size / 24_000 - len(reply) / 15.0) < 0.005
    assert _same(_heard_of(result, 0), made[made != 0], result.output_rate)


def test_nothing_of_a_reply_comes_after_its_end_even_from_a_slow_model() -> None:
    talk = Conversation([Line(0.5, "tell me all about it"), Line(4.0, "stop now please")], replies=[LONG, "Sure."])
    result = play(talk, llm=ScriptedModel([LONG, "Sure."], tokens_per_second=5.0))
    check_story(result)
    end = next(one for one in result.turn_ends("assistant") if one.turn == 0)
    assert end.reason == "interrupted"
    assert not [one for one in result.events if one.turn == 0 and result.events.index(one) > result.events.index(end)]
    assert joined(result.events, type(result.of("llm-token")[0]), 1) == "Sure."


def test_an_empty_reply_ends_as_empty() -> None:
    result = play(Conversation([Line(0.5, "what time is it now")], replies=[""]))
    check_story(result)
    assert [one.reason for one in result.turn_ends("assistant")] == ["empty"]
    assert [(one.reason, one.latency) for one in result.turn_ends("user")] == [("complete", None)]
    assert result.texts("final-transcript") == ["what time is it now"]


def test_the_session_start_names_every_stage_and_the_end_says_why(two_turns: Result) -> None:
    start, end = two_turns.events[0], two_turns.events[-1]
    assert set(two_turns.of("session-start")[0].plan) == {"vad", "stt", "llm", "tts"}
    assert start.t == 0.0
    assert two_turns.of("session-end")[0].reason == "input-ended"
    assert abs(end.t - two_turns.input.size / 16_000) < 1e-9
