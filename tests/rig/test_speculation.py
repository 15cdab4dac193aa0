"""What is prepared early is not made again: the model and the voice work once for each turn whose words stay the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from locara.audio import Samples
from locara.engines.contracts import Recognition, Transcript
from locara.testing import (
    Conversation,
    Line,
    Noise,
    Result,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    play,
)

from .scenes import check_story, squeeze

LINE = Line(1.0, "what time is it now")
BREATH = Noise(LINE.end + 0.3, 0.1)
"""Voice again before the turn is decided, too short to be speech: the words are settled a second time."""

ANSWER = "It is noon, and the sun is out. Tomorrow it will rain."


class _Settling:
    """Hears nothing, and gives the next of ``texts`` each time it is asked."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    async def push(self, samples: Samples) -> str | None:
        return None

    async def settle(self) -> Transcript:
        return Transcript(self._texts.pop(0) if len(self._texts) > 1 else self._texts[0])

    async def close(self) -> None:
        """Nothing to close."""


class Settling(ScriptedRecogniser):
    """A recogniser whose settled text changes from one time to the next."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__([Spoken(LINE.at, LINE.end, LINE.text)])
        self._texts = list(texts)

    def open(self) -> Recognition:  # type: ignore[override]
        return _Settling(self._texts)


def converse(*settled: str) -> tuple[Result, ScriptedModel, ScriptedVoice]:
    """One turn with a breath after it; ``settled``: the texts before and after the breath."""
    model, speaker = ScriptedModel([ANSWER]), ScriptedVoice()
    result = play(Conversation([LINE, BREATH]), stt=Settling(settled), llm=model, tts=speaker)
    check_story(result)
    return result, model, speaker


def test_a_commit_makes_nothing_again() -> None:
    model, speaker = ScriptedModel([ANSWER]), ScriptedVoice()
    result = play(Conversation([LINE]), llm=model, tts=speaker)
    assert len(model.asked) == 1
    assert squeeze("".join(speaker.spoken)) == squeeze(ANSWER)
    assert (result.metrics["prepared"], result.metrics["wasted"]) == (1.0, 0.0)


@pytest.mark.parametrize(
    "again", ["what time is it now", "What time is it now?", "what  time is it, now", "WHAT TIME IS IT NOW"]
)
def test_other_marks_and_capitals_are_the_same_words(again: str) -> None:
    result, model, speaker = converse("what time is it now", again)
    assert len(model.asked) == 1
    assert model.cancelled == 0
    assert squeeze("".join(speaker.spoken)) == squeeze(ANSWER)
    assert result.texts("final-transcript") == [again]
    assert (result.metrics["prepared"], result.metrics["wasted"]) == (1.0, 0.0)


def test_a_curly_apostrophe_is_the_same_word() -> None:
    _, model, _ = converse("what's the time", "what’s the time")
    assert len(model.asked) == 1


def test_other_words_are_answered_anew_and_the_waste_is_counted() -> None:
    result, model, speaker = converse("what time is it now", "what time is it in york")
    assert [one[-1].content for one in model.asked] == ["what time is it now", "what time is it in york"]
    assert (result.metrics["prepared"], result.metrics["wasted"]) == (2.0, 1.0)
    heard = "".join(one.text for one in result.of("audio-chunk"))
    assert heard == ANSWER
    assert result.texts("final-transcript") == ["what time is it in york"]
    assert len(speaker.spoken) >= len(ANSWER.split(". "))


def test_a_turn_of_noise_wastes_nothing() -> None:
    result = play(Conversation([Noise(1.0, 0.4)]))
    assert (result.metrics["prepared"], result.metrics["wasted"]) == (0.0, 0.0)
