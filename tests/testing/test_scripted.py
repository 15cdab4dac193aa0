"""The scripted engines keep the engines' contracts, take exactly the time they are told, and fail when they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import BLOCK, RATE, Samples, dbfs, samples_in, silence
from locara.engines.contracts import Message, Speech, ToolCall
from locara.testing import (
    Conversation,
    EnergyDetector,
    Fault,
    Line,
    Noise,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    play,
    run,
)
from locara.testing.scripted import speech_like, tone

USER = [Message("user", "hello")]


def now() -> float:
    return asyncio.get_running_loop().time()


# --- voice activity and sound -----------------------------------------------------------------------------------------


def test_the_detector_hears_what_is_louder_than_its_threshold() -> None:
    detector = EnergyDetector(-45)
    assert detector.probability(np.full(detector.window, 0.01, np.float32)) == 1.0
    assert detector.probability(np.full(detector.window, 0.005, np.float32)) == 0.0
    assert detector.probability(silence(detector.window)) == 0.0


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_a_tone_is_loud_and_in_range_and_the_same_each_time(rate: int) -> None:
    made = tone(0.5, rate)
    assert made.size == rate // 2
    assert made.dtype == np.float32
    assert np.max(np.abs(made)) <= 0.2 + 1e-6
    assert dbfs(made) > -25
    assert np.array_equal(made, tone(0.5, rate))


def test_the_sound_of_a_script_lies_where_it_is_said() -> None:
    made = speech_like([Spoken(0.5, 1.0, "hello"), Spoken(1.5, 9.0, "cut")], 2.0)
    assert made.size == 2 * RATE
    for start, end, loud in ((0.0, 0.5, False), (0.5, 1.0, True), (1.0, 1.5, False), (1.5, 2.0, True)):
        assert bool(np.any(np.abs(made[samples_in(start) : samples_in(end)]) > 0.01)) == loud


# --- recogniser -------------------------------------------------------------------------------------------------------

SCRIPT = [Spoken(1.0, 2.0, "what time is it"), Spoken(2.0, 2.2, ""), Spoken(3.0, 4.0, "in rome now")]


def recognise(
    until: float, *, opens_at: float = 0.5, settles: bool = False, **how: Any
) -> tuple[list[str], Any, float]:
    """Partial texts, the settled one, and when it came, of a recognition that is fed block by block."""

    async def main() -> tuple[list[str], Any, float]:
        recogniser, partials = ScriptedRecogniser(SCRIPT, **how), []
        await recogniser.load()
        recognition = recogniser.open()
        await asyncio.sleep(opens_at)
        while now() < until - 1e-6:
            await asyncio.sleep(BLOCK / RATE)
            text = await recognition.push(silence(BLOCK))
            if text is not None:
                partials.append(text)
        settled = await recognition.settle() if settles else None
        await recognition.close()
        await recogniser.close()
        return partials, settled, now()

    return run(main())


def test_words_come_as_they_are_said() -> None:
    partials, _, _ = recognise(2.5)
    assert partials == ["what", "what time", "what time is", "what time is it"]
    assert recognise(1.6)[0] == ["what", "what time"]
    assert recognise(2.5, partials=False)[0] == []


@pytest.mark.parametrize(
    ("until", "text", "at"),
    [
        (2.0, "what time is it", 2.25),
        (2.2, "what time is it", 2.25),
        (2.5, "what time is it", 2.5),
        (4.5, "what time is it in rome now", 4.5),
    ],
)
def test_settled_words_come_so_long_after_the_speech(until: float, text: str, at: float) -> None:
    _, settled, came = recognise(until, settles=True, final_delay=0.25)
    assert (settled.text, settled.confidence) == (text, 0.9)
    assert came == pytest.approx(at, abs=0.021)


def test_a_recognition_knows_nothing_of_what_was_said_before_it() -> None:
    assert recognise(4.5, opens_at=2.5, settles=True)[1].text == "in rome now"


# --- language model ---------------------------------------------------------------------------------------------------


def ask(model: ScriptedModel, messages: list[Message] = USER) -> tuple[list[Any], list[float]]:
    async def main() -> tuple[list[Any], list[float]]:
        pieces, times = [], []
        async for piece in model.reply(messages):
            pieces.append(piece)
            times.append(now())
        return pieces, times

    return run(main())


def test_a_reply_comes_word_by_word_at_its_pace() -> None:
    pieces, times = ask(ScriptedModel(["It is noon."], first_token=0.3, tokens_per_second=10))
    assert pieces == ["It", " is", " noon."]
    assert times == pytest.approx([0.3, 0.4, 0.5])


def test_replies_come_in_their_order_and_the_last_again_and_again() -> None:
    model, call = ScriptedModel(["One.", [ToolCall("1", "look", {})], "Three."]), ToolCall("1", "look", {})
    talk = [USER, USER * 2, [*USER * 2, Message("tool", "x")], USER * 4]
    assert [ask(model, messages)[0] for messages in talk] == [["One."], [call], ["Three."], ["Three."]]
    assert model.asked == [tuple(messages) for messages in talk]
    assert model.cancelled == 0
    assert ask(ScriptedModel(lambda messages: messages[-1].content.upper()))[0] == ["HELLO"]


def test_closing_a_reply_is_counted() -> None:
    async def main(model: ScriptedModel) -> None:
        stream = model.reply(USER)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]

    model = ScriptedModel(["One two three."])
    run(main(model))
    assert model.cancelled == 1


# --- voice ------------------------------------------------------------------------------------------------------------


def speak(voice: ScriptedVoice, text: str) -> tuple[list[Speech], list[float]]:
    async def main() -> tuple[list[Speech], list[float]]:
        pieces, times = [], []
        async for piece in voice.speak(text):
            pieces.append(piece)
            times.append(now())
        return pieces, times

    return run(main())


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["a", "time", "answer", "o'clock"]), min_size=1, max_size=12).map(" ".join),
    st.sampled_from([16_000, 22_050, 24_000]),
    st.sampled_from([0.03, 0.1, 5.0]),
)
def test_speech_is_whole_and_every_word_begins_in_the_piece_that_tells_of_it(
    text: str, rate: int, chunk: float
) -> None:
    voice = ScriptedVoice(rate=rate, chunk=chunk, chars_per_second=15)
    pieces, times = speak(voice, text)
    whole = np.concatenate([piece.samples for piece in pieces])
    assert np.array_equal(whole, tone(len(text) / 15, rate))
    marks = [mark for piece in pieces for mark in piece.words]
    assert [text[mark.start : mark.end] for mark in marks] == text.split(" ")
    at = 0
    for piece in pieces:
        assert all(at <= mark.at < at + round(chunk * rate) for mark in piece.words)
        at += piece.samples.size
    assert voice.spoken == [text]
    assert times[0] == pytest.approx(0.1)
    assert times[-1] == pytest.approx(0.1 + (len(pieces) - 1) * chunk / 8)


def test_a_voice_without_word_times_tells_none() -> None:
    assert all(piece.words == () for piece in speak(ScriptedVoice(word_times=False), "one two")[0])
    assert ScriptedVoice(word_times=False).info.word_times is False


# --- faults -----------------------------------------------------------------------------------------------------------

Use = Callable[[Fault], Coroutine[Any, Any, Any]]


async def each(stream: Any) -> None:
    async for _ in stream:
        pass


async def load(fault: Fault) -> None:
    await ScriptedModel(fault=fault).load()


async def push(fault: Fault) -> None:
    recognition = ScriptedRecogniser(SCRIPT, fault=fault).open()
    await recognition.push(silence(BLOCK))


async def settle(fault: Fault) -> None:
    await ScriptedRecogniser(SCRIPT, fault=fault).open().settle()


async def reply(fault: Fault) -> None:
    await each(ScriptedModel(["One two three."], fault=fault).reply(USER))


async def speech(fault: Fault) -> None:
    await each(ScriptedVoice(fault=fault).speak("one two three four"))


@pytest.mark.parametrize(
    ("use", "where", "call"),
    [
        (load, "load", 0),
        (push, "push", 0),
        (settle, "settle", 0),
        (reply, "reply", 0),
        (reply, "token", 2),
        (speech, "speak", 0),
        (speech, "chunk", 3),
    ],
)
def test_a_fault_is_where_it_was_asked_for(use: Use, where: str, call: int) -> None:
    with pytest.raises(RuntimeError, match=f"scripted fault in {where}"):
        run(use(Fault("raises", where, call)))

    async def hangs() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await use(Fault("hangs", where, call))

    run(hangs())
    run(use(Fault("raises", where, call + 100)))
    run(use(Fault("raises", "elsewhere")))


@pytest.mark.parametrize(("lasting", "fails"), [(False, [1]), (True, [1, 2, 3])])
def test_a_fault_passes_unless_it_is_lasting(lasting: bool, fails: list[int]) -> None:
    async def main() -> list[int]:
        recogniser, failed = ScriptedRecogniser(SCRIPT, fault=Fault("raises", "push", 1, lasting)), []
        recognition = recogniser.open()
        for number in range(4):
            try:
                await recognition.push(silence(BLOCK))
            except RuntimeError:
                failed.append(number)
        return failed

    assert run(main()) == fails


# --- a conversation ---------------------------------------------------------------------------------------------------


def test_a_conversation_is_played_to_its_end_and_can_be_looked_at() -> None:
    lines: list[Line | Noise] = [Line(1.0, "what time is it"), Noise(5.0, 0.3)]
    result = play(Conversation(lines, replies=["It is noon."]))
    assert result.texts("final-transcript") == ["what time is it"]
    assert "".join(result.texts("llm-token")) == "It is noon."
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert [one.reason for one in result.turn_ends("user")] == ["complete", "no-words"]
    assert result.of("session-end")[0].reason == "input-ended"
    assert [one.text for one in result.history if hasattr(one, "text")] == ["what time is it", "It is noon."]
    assert result.metrics["turns"] == 2
    # Input and output begin at the same instant and share a clock.
    assert result.input.size / RATE == pytest.approx(result.output.size / result.output_rate, abs=0.05)
    assert sound_at(result.output, result.output_rate) == pytest.approx(result.of("audio-chunk")[0].t, abs=0.05)


def sound_at(samples: Samples, rate: int) -> float:
    return float(np.argmax(np.abs(samples) > 0.01)) / rate


def test_the_same_conversation_gives_the_same_events_and_sound() -> None:
    one, other = (play(Conversation([Line(0.3, "hello there")], noise_dbfs=-60, echo_db=-20)) for _ in range(2))
    assert one.events == other.events
    assert np.array_equal(one.output, other.output)
    assert np.array_equal(one.input, other.input)


def test_a_conversation_may_end_at_a_time_and_the_app_may_act_in_it() -> None:
    async def acts(session: Any) -> None:
        await asyncio.sleep(0.5)
        session.say("By the way.")

    result = play(Conversation([Line(0.2, "hello")], more=3.0), acts=acts)
    assert "By the way." in "".join(result.texts("llm-token"))
    assert result.of("session-end")[0].reason == "stopped"
    assert result.of("session-end")[0].t == pytest.approx(Line(0.2, "hello").end + 3.0, abs=0.1)
