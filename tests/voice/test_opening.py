"""The silence before the first sound of a reply is not played, and nothing else is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from locara.audio import Samples, silence
from locara.engines.contracts import Speech, WordMark
from locara.testing import Conversation, Line, ScriptedModel, ScriptedVoice, play
from locara.testing.scripted import tone
from locara.voice.opening import INAUDIBLE, KEEP_SECONDS, MOST_SECONDS, Opening

RATE = 8_000


def cut(sound: Samples, pieces: list[int]) -> tuple[Samples, int]:
    """``sound`` in pieces of these sizes through an opening; what is left of it, and how much was dropped."""
    opening = Opening(RATE)
    at, left = 0, []
    for size in [*pieces, sound.size]:
        left.append(opening.of(sound[at : at + size]))
        at += size
    return np.concatenate(left), opening.dropped


@given(st.integers(0, 2 * RATE), st.integers(0, RATE), st.lists(st.integers(0, RATE), max_size=6))
def test_only_inaudible_samples_before_the_first_sound_are_dropped(lead: int, loud: int, pieces: list[int]) -> None:
    sound = np.concatenate([silence(lead), np.full(loud, 0.1, dtype=np.float32), silence(100)])
    left, dropped = cut(sound, pieces)
    assert left.size + dropped == sound.size
    assert np.array_equal(left, sound[dropped:])
    assert np.all(np.abs(sound[:dropped]) <= INAUDIBLE)
    assert dropped <= MOST_SECONDS * RATE


def test_a_silence_in_one_piece_or_many_leaves_the_same_few_samples() -> None:
    sound = np.concatenate([silence(4_000), np.full(500, 0.1, dtype=np.float32)])
    assert cut(sound, [])[1] == 4_000 - round(KEEP_SECONDS * RATE)
    for pieces in ([1_000] * 5, [4_001], [3_999]):
        assert 4_000 - round(KEEP_SECONDS * RATE) <= cut(sound, pieces)[1] <= 4_000


class Hesitating(ScriptedVoice):
    """Half a second of silence before each text."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        self.spoken.append(text)
        yield Speech(silence(6_000), (WordMark(12_000, 0, len(text.split(" ", maxsplit=1)[0])),))
        yield Speech(silence(6_000))
        yield Speech(tone(len(text) / 15, self.rate))


def test_a_hesitating_voice_is_heard_at_once_and_pauses_between_its_clauses_stay() -> None:
    talk = Conversation([Line(1.0, "what time is it now")])
    answer = "It is noon. Then it is one."
    plain = play(talk, llm=ScriptedModel([answer]), tts=ScriptedVoice(first_chunk=0.0))
    result = play(talk, llm=ScriptedModel([answer]), tts=Hesitating(first_chunk=0.0))
    (one,), (other,) = plain.turn_ends("user"), result.turn_ends("user")
    assert abs(one.latency.total - other.latency.total) <= 0.005
    gap = sum(chunk.samples.size for chunk in result.of("audio-chunk"))
    assert gap - sum(chunk.samples.size for chunk in plain.of("audio-chunk")) > 11_000  # between clauses it is kept
    assert [chunk.text for chunk in result.of("audio-chunk") if chunk.text] == ["It is noon.", " Then it is one."]
