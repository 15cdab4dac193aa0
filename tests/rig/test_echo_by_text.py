"""Our own voice at the microphone, with nothing before the recogniser: what it says is known again and never answered."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from locara.audio import Samples
from locara.engines.contracts import Transcript
from locara.testing import Conversation, Line, ScriptedModel, ScriptedRecogniser, Spoken, play
from locara.testing.scripted import _ScriptedRecognition
from locara.voice import Session
from locara.voice.history import INTERRUPTED

from .scenes import LONG, check_story

ASKS = Line(0.5, "tell me all about it")
CHARS = 15.0
"""Characters that the scripted voice says in a second."""


class Parrot(ScriptedRecogniser):
    """Understands the user as scripted, and our own voice as what the voice says, as far as it was played.

    ``mishears``: every so many-th word of ours is another.
    """

    def __init__(self, script: list[Spoken], *, mishears: int = 0) -> None:
        super().__init__(script)
        self.played = 0.0
        self.mishears = mishears

    def open(self) -> _ParrotRecognition:
        return _ParrotRecognition(self)

    async def follow(self, session: Session) -> None:
        """Counts what was played: this voice is never zero."""
        async for block in session.raw_output():
            self.played += np.count_nonzero(block) / session.output_rate


class _ParrotRecognition(_ScriptedRecognition):
    def __init__(self, parrot: Parrot) -> None:
        super().__init__(parrot)
        self._parrot = parrot
        self._since = parrot.played

    async def push(self, samples: Samples) -> str | None:
        text = await super().push(samples)
        return text if text or self._so_far(self._of.now()) else self._ours()

    async def settle(self) -> Transcript:
        got = await super().settle()
        return got if got.text else Transcript(self._ours(), 0.5)

    def _ours(self) -> str:
        begin, end = CHARS * (self._since - 0.1), CHARS * self._parrot.played
        words = [one.group() for one in re.finditer(r"\S+", LONG) if begin <= one.start() < end]
        for at in range(len(words)):
            if self._parrot.mishears and at % self._parrot.mishears == self._parrot.mishears - 1:
                words[at] = "um"
        return " ".join(words)


def _talk(*lines: Line, mishears: int = 0) -> tuple[list[str], list[str], list[str], int]:
    """Reasons of what was rejected, what the user was understood to say, how replies ended, requests to the model."""
    parrot = Parrot([Spoken(one.at, one.end, one.text) for one in (ASKS, *lines)], mishears=mishears)
    model = ScriptedModel([LONG, "Fine."])
    talk = Conversation([ASKS, *lines], echo_db=-12.0, settings={"echo": "headphones"}, more=16.0)
    result = play(talk, stt=parrot, llm=model, acts=parrot.follow)
    check_story(result)
    rejected = [one.reason for one in result.of("rejected")]
    ends = [one.reason for one in result.turn_ends("assistant")]
    return rejected, result.texts("final-transcript"), ends, len(model.asked)


@pytest.mark.parametrize("mishears", [0, 3])
def test_our_own_voice_neither_stops_nor_answers_us(mishears: int) -> None:
    rejected, finals, ends, asked = _talk(mishears=mishears)
    assert finals == ["tell me all about it"]
    assert "finished" in ends
    assert "interrupted" not in ends
    assert rejected
    assert set(rejected) <= {"echo", "no-words"}
    assert asked == 1


def test_the_user_is_heard_through_our_own_voice() -> None:
    """What the parrot makes of the second reply is of no interest: it knows the first only."""
    _, finals, ends, _ = _talk(Line(5.0, "stop please that is enough"))
    assert finals[:2] == ["tell me all about it", "stop please that is enough"]
    assert ends[0] == "interrupted"


def test_who_goes_on_speaking_into_our_answer_has_the_floor_and_the_model_gets_both_parts() -> None:
    """We answered into a pause; the reply gives way with the first word."""
    begins = play(Conversation([ASKS], replies=[LONG])).of("audio-chunk")[0].t
    model = ScriptedModel([LONG, "A large one then."])
    more = Line(begins + 0.15, "and a large one of those please")
    result = play(Conversation([ASKS, more], more=8.0), llm=model)
    check_story(result)
    barge = result.of("barge-in")[0]
    assert barge.t - more.at <= 0.45, "no grace as for a murmur"
    assert not result.of("resume", "rejected")
    assert result.texts("final-transcript") == ["tell me all about it", more.text]
    said = [(one.role, one.content) for one in model.asked[-1] if one.role != "system"]
    if barge.heard_text:
        assert said[1] == ("assistant", barge.heard_text + INTERRUPTED)
    assert [content for role, content in said if role == "user"] == ["tell me all about it", more.text]
    assert len(said) == 2 + bool(barge.heard_text), "what was not heard was not said"


def test_a_murmur_at_the_beginning_of_a_reply_does_not_stop_it() -> None:
    begins = play(Conversation([ASKS], replies=[LONG])).of("audio-chunk")[0].t
    result = play(Conversation([ASKS, Line(begins + 0.2, "mm-hm")], replies=[LONG]))
    check_story(result)
    assert not result.of("barge-in")
    assert [one.reason for one in result.of("rejected")] == ["backchannel"]


def test_all_of_the_first_and_the_last_word_reaches_the_recogniser() -> None:
    """From 0.3 s before the onset to the last sample of speech and beyond."""
    noted: list[tuple[float, Samples]] = []

    class Noting(ScriptedRecogniser):
        def open(self) -> _Noted:
            return _Noted(self)

    class _Noted(_ScriptedRecognition):
        async def push(self, samples: Samples) -> str | None:
            noted.append((asyncio.get_running_loop().time(), samples))
            return await super().push(samples)

    line = Line(2.0, "what time is it now")
    result = play(Conversation([line], replies=["It is noon."]), stt=Noting([Spoken(line.at, line.end, line.text)]))
    given = np.concatenate([samples for _, samples in noted])
    assert not given[: round(0.25 * 16_000)].any(), "silence before the first word"
    loud = np.flatnonzero(given)
    said = np.flatnonzero(result.input)
    assert np.array_equal(given[loud[0] : loud[-1] + 1], result.input[said[0] : said[-1] + 1])
    assert given.size - loud[-1] >= 0.05 * 16_000, "and a little of the silence after the last"
