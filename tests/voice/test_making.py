"""One reply being made: clauses in order, words found again, not too far ahead, and nothing left when it is cancelled."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.audio import silence
from locara.engines.contracts import LanguageModel, Message, Speech, Tool, ToolCall, Voice, WordMark
from locara.testing import Fault, ScriptedModel, ScriptedVoice, run
from locara.testing.scripted import tone
from locara.voice import moves
from locara.voice.brain import Deadlines
from locara.voice.making import AHEAD_SECONDS, MAX_TOOL_ROUNDS, Engines, Making
from locara.voice.opening import KEEP_SECONDS

USER = (Message("user", "hello"),)
OUT = 24_000


class Run:
    """A making, and the news it posts. Tools run at once; what was made counts as played ``played_after`` seconds later."""

    def __init__(
        self,
        llm: LanguageModel | None = None,
        tts: Voice | None = None,
        *,
        tools: Sequence[Tool] = (),
        rate: int = OUT,
        text: str | None = None,
        deadlines: Deadlines | None = None,
        results: Callable[[ToolCall], Any] = lambda call: f"result of {call.name}",
    ) -> None:
        self.news: list[moves.Happened] = []
        self.times: list[float] = []
        self.results = results
        engines = Engines(llm or ScriptedModel(), tts or ScriptedVoice(), tuple(tools), deadlines or Deadlines())
        self.making = Making(7, engines, self.post, rate, messages=USER, text=text)

    async def post(self, news: moves.Happened) -> None:
        self.news.append(news)
        self.times.append(asyncio.get_running_loop().time())
        if isinstance(news, moves.Wanted):
            self.making.tool_result(news.call, self.results(news.call))

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.news if isinstance(one, kind)]

    @property
    def text(self) -> str:
        return "".join(one.text for one in self.of(moves.Told))

    @property
    def chunks(self) -> list[moves.Chunk]:
        return [one.chunk for one in self.of(moves.Sounded)]

    @property
    def made(self) -> float:
        """Seconds of sound."""
        return sum(chunk.samples.size for chunk in self.chunks) / OUT


def make(*args: Any, play: bool = True, **how: Any) -> Run:
    """A reply made to its end."""

    async def main() -> Run:
        made = Run(*args, **how)
        while not made.making.task.done():
            await asyncio.sleep(0.1)
            if play:
                made.making.played(made.made)
            assert asyncio.get_running_loop().time() < 600, "it never ends"
        made.making.task.result()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks, f"left behind: {tasks}"
        return made

    return run(main())


REPLIES = st.lists(
    st.sampled_from(
        [
            "Well,",
            "it is **noon**.",
            "I think so 😀.",
            "See `code` here,",
            "and then more!",
            "Yes.",
            "# A heading\n",
            "https://x.org/y is a page.",
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@settings(deadline=None, max_examples=40)
@given(REPLIES, st.booleans())
def test_everything_is_told_and_spoken_in_order_and_every_place_lies_in_the_reply(reply: str, verbatim: bool) -> None:
    voice = ScriptedVoice()
    made = make(ScriptedModel([reply]), voice, text=reply if verbatim else None)
    assert made.text == reply
    assert made.news[-1] == moves.Finished(7)
    assert all(one.reply == 7 for one in made.news)  # type: ignore[union-attr]
    assert len(made.of(moves.ClauseReady)) == len(voice.spoken)
    assert not any(mark in text for text in voice.spoken for mark in ("*", "`", "😀", "http"))
    clauses = [list(group) for group in split(made.chunks)]
    assert len(clauses) == len(voice.spoken)
    at = 0
    for clause, spoken in zip(clauses, voice.spoken, strict=True):
        first = clause[0]
        assert first.start == at, "the clauses do not join"
        assert {(one.start, one.end) for one in clause} == {(first.start, first.end)}
        assert first.text.strip() in reply[first.start : first.end]
        assert all(one.text == "" for one in clause[1:])
        assert [one.closes for one in clause] == [False] * (len(clause) - 1) + [True]
        assert np.array_equal(np.concatenate([one.samples for one in clause]), tone(len(spoken) / 15, OUT))
        ends = [end for one in clause for _, end in one.words]
        assert ends == sorted(ends)
        assert all(first.start <= end <= first.end for end in ends)
        at = first.end
    assert at <= len(reply)


def split(chunks: list[moves.Chunk]) -> list[list[moves.Chunk]]:
    number = itertools.accumulate(int(chunk.opens) for chunk in chunks)
    return [
        [chunk for _, chunk in group]
        for _, group in itertools.groupby(zip(number, chunks, strict=True), lambda one: one[0])
    ]


def test_words_end_where_they_do_in_the_reply_whatever_was_not_read_aloud() -> None:
    reply = "It is **very** late 😀 now, see [the clock](https://x.org/clock) over there."
    made = make(ScriptedModel([reply]))
    ends = [end for chunk in made.chunks for _, end in chunk.words]
    heard = [reply[:end].rstrip("* ").split()[-1].strip("*,.") for end in ends]
    assert heard[:4] == ["It", "is", "very", "late"]
    assert reply[: ends[-1]] == reply
    assert [one for one in ends if reply.index("😀") < one < reply.index("now")] == [], (
        "a word ends inside what is silent"
    )


def test_words_are_placed_at_the_rate_of_the_output() -> None:
    made = make(ScriptedModel(["One two."]), ScriptedVoice(rate=16_000, chars_per_second=10), rate=48_000)
    assert [at for chunk in made.chunks for at, _ in chunk.words] == [0, round(0.4 * 48_000)]
    assert sum(chunk.samples.size for chunk in made.chunks) == pytest.approx(0.8 * 48_000, abs=200)


def test_the_first_clause_is_spoken_while_the_model_still_thinks() -> None:
    made = make(ScriptedModel(["Good morning, and " + "this goes on and on for very long " * 5], tokens_per_second=5))
    first_sound = next(t for one, t in zip(made.news, made.times, strict=True) if isinstance(one, moves.Sounded))
    last_token = [t for one, t in zip(made.news, made.times, strict=True) if isinstance(one, moves.Told)][-1]
    assert first_sound < last_token / 4


def test_a_reply_with_nothing_to_say_finishes_without_a_sound() -> None:
    for reply in ("😀", "```\ncode", " "):
        made = make(ScriptedModel([[reply]]))
        spoken = [chunk for chunk in made.chunks if chunk.samples.size]
        assert made.news[-1] == moves.Finished(7)
        assert reply.startswith("`") or not spoken
    assert make(ScriptedModel([[]])).news == [moves.Finished(7)]


def test_broken_samples_of_a_voice_are_mended() -> None:
    class Quiet(ScriptedVoice):
        async def speak(self, text: str) -> AsyncIterator[Speech]:
            yield Speech(np.zeros(100, np.float32))
            yield Speech(np.array([0.0, 0.0, 0.5, 0.0], np.float32))
            yield Speech(np.array([np.nan, 3.0], np.float32))

    made = make(ScriptedModel(["Yes."]), Quiet())
    assert made.chunks[1].samples.tolist() == [0.0, 1.0]


def test_words_keep_their_place_when_the_silence_before_the_first_sound_is_cut() -> None:
    class Hesitating(ScriptedVoice):
        async def speak(self, text: str) -> AsyncIterator[Speech]:
            yield Speech(silence(6_000), (WordMark(12_000, 0, 2),))
            yield Speech(silence(6_000))
            yield Speech(tone(0.5, OUT), (WordMark(15_000, 3, 5),))

    made = make(ScriptedModel(["It is noon. Then one."]), Hesitating())
    kept = round(KEEP_SECONDS * OUT)
    first, second = ([one.words for one in made.chunks if one.start == start] for start in (0, 11))
    assert first[0] == ((0, 2), (3_000, 5))  # 12_000 samples before the first word were silence
    assert second[0][0][0] == 12_000  # between clauses nothing is cut
    sounds = [chunk.samples for chunk in made.chunks if chunk.samples.size]
    assert abs(sounds[0].size - OUT // 2) <= kept


# --- not too far ahead ------------------------------------------------------------------------------------------------


def test_sound_is_made_only_so_far_ahead_of_what_was_played() -> None:
    async def main() -> None:
        voice = ScriptedVoice(speed=1000)
        made = Run(ScriptedModel(["This is one more sentence of a long story. " * 30], tokens_per_second=1e6), voice)
        for played in (0.0, 3.0, 11.5, 30.0):
            made.making.played(played)
            await asyncio.sleep(30)
            ahead = made.made - played
            assert AHEAD_SECONDS <= ahead <= AHEAD_SECONDS + 0.11, "it makes too much, or runs dry"
            assert not made.making.task.done()
        made.making.task.cancel()
        await asyncio.wait([made.making.task])

    run(main())


def test_the_model_is_not_kept_waiting_by_the_voice_until_the_clauses_pile_up() -> None:
    async def main() -> None:
        model = ScriptedModel(["One sentence after the other. " * 500], tokens_per_second=1e6)
        made = Run(model, ScriptedVoice())
        await asyncio.sleep(60)
        waiting = made.text.count(".") - len(made.of(moves.ClauseReady))
        assert 20 <= waiting <= 40, "nothing is thought ahead, or everything"
        made.making.task.cancel()
        await asyncio.wait([made.making.task])

    run(main())


# --- tools ------------------------------------------------------------------------------------------------------------

LOOK = Tool("look", "", {}, print, side_effects=False)
ACT = Tool("act", "", {}, print)


def test_a_tool_is_wanted_and_the_model_goes_on_with_its_result() -> None:
    call = ToolCall("c1", "act", {"x": 1})
    model = ScriptedModel([["Let me see.", call], "It is done."])
    made = make(model, tools=[LOOK, ACT])
    assert made.of(moves.Wanted) == [moves.Wanted(7, call, True)]
    assert made.text == "Let me see. It is done."
    assert model.asked[1] == (
        *USER,
        Message("assistant", "Let me see.", tool_calls=(call,)),
        Message("tool", '"result of act"', tool_call_id="c1"),
    )
    assert (
        make(ScriptedModel([[ToolCall("c2", "look", {})], "x."]), tools=[LOOK]).of(moves.Wanted)[0].side_effects
        is False
    )


def test_several_calls_of_one_round_run_one_after_the_other() -> None:
    calls = [ToolCall("a", "look", {}), ToolCall("b", "act", {})]
    model = ScriptedModel([calls, "unused", "Done."])
    made = make(model, tools=[LOOK, ACT])
    assert [one.call for one in made.of(moves.Wanted)] == calls
    assert [one.tool_call_id for one in model.asked[1] if one.role == "tool"] == ["a", "b"]


def test_a_tool_that_is_not_there_is_an_answer_for_the_model_and_never_wanted() -> None:
    model = ScriptedModel([[ToolCall("c", "fly", {})], "I cannot."])
    made = make(model, tools=[LOOK])
    assert made.of(moves.Wanted) == []
    assert "there is no tool 'fly'; there are: look" in model.asked[1][-1].content
    assert made.text == "I cannot."


def test_a_result_that_is_no_json_is_told_as_text() -> None:
    model = ScriptedModel([[ToolCall("c", "act", {})], "Done."])
    make(model, tools=[ACT], results=lambda call: {(1, 2): object})
    assert "(1, 2)" in model.asked[1][-1].content


def test_a_model_that_goes_round_in_circles_with_its_tools_is_stopped() -> None:
    model = ScriptedModel([[ToolCall("c", "look", {})]])
    made = make(model, tools=[LOOK])
    assert len(made.of(moves.Wanted)) == MAX_TOOL_ROUNDS
    [failed] = made.of(moves.Failed)
    assert (failed.stage, failed.reply) == ("llm", 7)
    assert failed.hint


class Uncommitted(Run):
    """Its turn is never decided, so no tool gives a result."""

    async def post(self, news: moves.Happened) -> None:
        self.news.append(news)


def test_who_waits_for_a_tool_can_be_cancelled_and_a_late_result_is_nothing() -> None:
    async def main() -> None:
        made = Uncommitted(ScriptedModel([[ToolCall("c", "act", {})], "x"]), tools=[ACT])
        made.making.tool_result(ToolCall("never asked", "act", {}), 1)
        await asyncio.sleep(300)
        assert len(made.of(moves.Wanted)) == 1
        assert not made.making.task.done(), "it did not wait for the turn"
        made.making.task.cancel()
        await asyncio.wait([made.making.task], timeout=1)
        assert made.making.task.cancelled()
        made.making.tool_result(ToolCall("c", "act", {}), 2)

    run(main())


# --- failing ----------------------------------------------------------------------------------------------------------

SHORT = Deadlines(first_token=1.0, token=0.5, first_sound=1.0, sound=0.5)


@pytest.mark.parametrize(
    ("llm", "tts", "stage", "code", "said"),
    [
        (Fault("raises", "reply"), None, "llm", "engine-failed", ""),
        (Fault("hangs", "reply"), None, "llm", "engine-timeout", ""),
        (Fault("raises", "token", 5), None, "llm", "engine-failed", "One two three four five"),
        (Fault("hangs", "token", 5), None, "llm", "engine-timeout", "One two three four five"),
        (None, Fault("raises", "speak"), "tts", "engine-failed", None),
        (None, Fault("hangs", "speak"), "tts", "engine-timeout", None),
        (None, Fault("raises", "chunk", 2), "tts", "engine-failed", None),
        (None, Fault("hangs", "chunk", 2), "tts", "engine-timeout", None),
    ],
)
def test_a_failure_names_its_stage_after_what_could_be_said(
    llm: Fault | None, tts: Fault | None, stage: str, code: str, said: str | None
) -> None:
    voice = ScriptedVoice(fault=tts)
    made = make(ScriptedModel(["One two three four five six seven."], fault=llm), voice, deadlines=SHORT)
    last = made.news[-1]
    assert isinstance(last, moves.Failed)
    assert (last.stage, last.code, last.reply, last.turn) == (stage, code, 7, None)
    assert last.hint
    assert made.of(moves.Finished) == []
    assert len(made.of(moves.Failed)) == 1
    if said is not None:
        assert " ".join(voice.spoken) == said, "what was thought so far was not said"
    if tts is not None and tts.where == "chunk":
        assert len(made.chunks) == 2


# --- cancelling -------------------------------------------------------------------------------------------------------


STORY = "This is a story that goes on, and on, and on. " * 8


class Watched(ScriptedVoice):
    """Knows how many of its streams are open."""

    open = 0

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        self.open += 1
        try:
            async for one in super().speak(text):
                yield one
        finally:
            self.open -= 1


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 12), st.booleans())
def test_cancelling_at_any_moment_leaves_nothing(after: float, play: bool) -> None:
    async def main() -> None:
        model, voice = ScriptedModel([STORY]), Watched()
        made = Run(model, voice)
        if play:
            made.making.played(1e6)
        await asyncio.sleep(after)
        made.making.task.cancel()
        await asyncio.wait([made.making.task], timeout=1)
        assert made.making.task.done()
        count = len(made.news)
        await asyncio.sleep(0.001)  # generators that stood at a yield are closed by the loop
        assert voice.open == 0, "the voice still speaks"
        assert model.cancelled == (1 if model.asked and made.text != STORY else 0)
        await asyncio.sleep(60)
        assert len(made.news) == count, "news of a reply that is over"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_between_two_pieces_another_deadline_holds_than_before_the_first() -> None:
    made = make(ScriptedModel(["one two three"], first_token=0.9, tokens_per_second=1 / 0.7), deadlines=SHORT)
    assert [(one.stage, one.code) for one in made.of(moves.Failed)] == [("llm", "engine-timeout")]
    assert made.text == "one"
    made = make(
        tts=ScriptedVoice(first_chunk=0.9, chunk=0.7, speed=1.0), deadlines=SHORT, text="one two three four five"
    )
    assert [(one.stage, one.code) for one in made.of(moves.Failed)] == [("tts", "engine-timeout")]
    assert len(made.chunks) == 1


def test_deadlines_hold_for_every_piece_and_not_for_the_whole() -> None:
    slow = ScriptedModel(["one two three four five six seven eight"], first_token=0.9, tokens_per_second=2.5)
    made = make(slow, deadlines=dataclasses.replace(SHORT))
    assert made.news[-1] == moves.Finished(7)
    assert made.times[-1] > 3


# --- what is said and where it lies -----------------------------------------------------------------------------------


class German(ScriptedVoice):
    """A voice that says which language it speaks."""

    language = "de"


def test_numbers_and_signs_are_written_out_in_the_language_of_the_voice() -> None:
    for voice, said in ((ScriptedVoice(), "That is 5 dollars."), (German(), "That is $5.")):
        heard = make(text="That is $5.", tts=voice)
        assert heard.text == "That is $5."
        assert voice.spoken == [said]


def test_thoughts_are_neither_told_nor_spoken() -> None:
    voice = ScriptedVoice()
    made = make(ScriptedModel(["<think>Hm, hm. A noon question.</think>\n\nIt is noon."]), voice)
    assert made.text == "It is noon."
    assert voice.spoken == ["It is noon."]
    assert sum(one.text == "" for one in made.of(moves.Told)) >= 1, "a sign of life while it thinks"


def test_a_clause_says_where_its_words_lie_and_how_long_it_will_take() -> None:
    made = make(text="In 1999 it began. And then it went on.", tts=ScriptedVoice(word_times=False))
    first, second = (chunk for chunk in made.chunks if chunk.opens)
    assert [made.text[:end].split()[-1] for _, end in first.shares] == ["In", "1999", "it", "began."]
    whole = sum(chunk.samples.size for chunk in made.chunks[len(made.chunks) // 2 :])
    assert second.expected == pytest.approx(whole, rel=0.5)
    assert not any(chunk.shares for chunk in made.chunks if not chunk.opens)
