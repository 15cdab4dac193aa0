"""What is asked of every Whisper, whoever runs it: how much sound it looks at, how many words fit in there, and whether
what it wrote is to be believed.

What may live here: pure functions and the numbers behind them. Thresholds are those of OpenAI's ``transcribe.py`` (Radford
et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 4.5) unless another reason stands there.
"""

from __future__ import annotations

import math
import zlib

WINDOW_SECONDS = 30.0
"""What Whisper's encoder takes at once. More has to be cut."""

MARGIN_SECONDS = 2.0
"""Silence after the sound that a shortened window still shows. The models were trained on windows filled up with silence,
and the end of the sound must be seen; whisper.cpp's users shorten in this way (``audio_ctx``), about 100 positions more
than the sound has."""

_POSITIONS_PER_SECOND = 50
MOST_POSITIONS = 1500
_STEP = 64
"""Positions: windows are rounded up to it, so that buffers of few different sizes are made."""

_TOKENS_PER_SECOND = {True: 10.0, False: 30.0}
"""English or not. Fast English is 5 words or 7 tokens a second; scripts that the tokenizer spells in bytes take up to three
tokens a letter."""
_LEAST_TOKENS = 16
MOST_TOKENS = 220
"""Whisper's decoder has 448 positions, half of them for the text."""

SILENT_PROBABILITY = 0.6
SILENT_LOGPROB = -1.0
DOUBTFUL_LOGPROB = -1.0
LOOPING_RATIO = 2.4

RETRY_TEMPERATURE = 0.4
"""Of a second attempt where the first already saw the whole window. OpenAI's ladder has six rungs, up to 1.0; in a
conversation there is time for one."""


def positions(seconds: float) -> int:
    """Encoder positions (20 ms each) for so much sound: the sound and a margin, at most Whisper's 1500."""
    wanted = math.ceil((seconds + MARGIN_SECONDS) * _POSITIONS_PER_SECOND)
    return min(MOST_POSITIONS, math.ceil(wanted / _STEP) * _STEP)


def attempts(seconds: float, *, whole_window: bool) -> tuple[tuple[int, float], tuple[int, float]]:
    """Positions and temperature of the first attempt, and of the second and last one where the first is doubtful. A
    shortened window is doubted before the words are, so the whole one is tried next."""
    first = MOST_POSITIONS if whole_window else positions(seconds)
    return (first, 0.0), (MOST_POSITIONS, RETRY_TEMPERATURE if first == MOST_POSITIONS else 0.0)


def most_tokens(seconds: float, *, english: bool) -> int:
    """Tokens that can have been said in so much sound: a decoder that loops is stopped there, not at 30 s of them."""
    return min(MOST_TOKENS, _LEAST_TOKENS + math.ceil(seconds * _TOKENS_PER_SECOND[english]))


def compression(text: str) -> float:
    """How well the text can be compressed. Speech is about 1 to 2, a loop more than 2.4."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def doubtful(text: str, average_logprob: float) -> bool:
    """Whether to decode once more in another way: the model was unsure, or went round in circles."""
    return average_logprob < DOUBTFUL_LOGPROB or compression(text) > LOOPING_RATIO


def silent(no_speech: float, average_logprob: float) -> bool:
    """Whether nobody spoke, by the model's own account: then its text is invented."""
    return no_speech > SILENT_PROBABILITY and average_logprob < SILENT_LOGPROB


def confidence(average_logprob: float, no_speech: float) -> float:
    """0 to 1: the geometric mean of the tokens' probabilities, times how likely there was speech at all."""
    if math.isnan(average_logprob) or math.isnan(no_speech):
        return 0.0
    return math.exp(min(0.0, average_logprob)) * (1.0 - min(1.0, max(0.0, no_speech)))


def unlooped(text: str) -> str:
    """The text without the repetitions of a loop: of up to eight words that come more than three times in a row, one round
    is kept. "No, no, no" stays, it is said by people."""
    words = text.split()
    for length in range(1, 9):
        kept: list[str] = []
        at = 0
        while at < len(words):
            phrase = words[at : at + length]
            rounds = 1
            while words[at + rounds * length : at + (rounds + 1) * length] == phrase:
                rounds += 1
            if rounds > 3 and len(phrase) == length:
                kept += phrase
                at += rounds * length
            else:
                kept.append(words[at])
                at += 1
        words = kept
    return " ".join(words)
