"""Which model is better for a conversation, as a number: what the resolver orders by when several fit.

What may live here: `worth`, its table and the reasons. A judgement, not a measurement: the order follows the published
comparisons named beside each entry, and what the field recommends. What fits is decided in `fitting`.

The scale, for each kind by itself: 0 nothing, 10 what is embedded, 20 to 49 small, 50 to 79 good, 80 to 95 the best there
is for talking. A model the table does not know is judged by its size alone, and never higher than `UNKNOWN_BEST`.
"""

from __future__ import annotations

import math

from locara.catalog.row import Row

EMBEDDED = 10.0
UNKNOWN_BEST = 45.0
"""For models nobody of us has compared: below everything that is known to be good."""

_STREAMING = 4.0
"""Words while one speaks make turns shorter: worth more than one size of the same family."""

WORTH: dict[str, float] = {
    # Speech to text. Word error rates and delays after the end of a phrase: Moonshine's table (12.0, 7.84, 6.65 %;
    # 69 to 269 ms on x86), Open ASR leaderboard for Whisper and Parakeet.
    "moonshine-medium-streaming": 82,
    "moonshine-small-streaming": 76,
    "moonshine-tiny-streaming": 62,
    "nemotron-3.5-asr-streaming-0.6b": 80,
    "nemotron-speech-streaming-en-0.6b": 78,
    "parakeet-tdt-0.6b-v3": 74,
    "parakeet-tdt-0.6b-v2": 73,
    "whisper-large-v3-turbo": 66,
    "whisper-small": 52,
    "whisper-small.en": 54,
    "whisper-base": 42,
    "whisper-base.en": 44,
    "whisper-tiny": 30,
    "whisper-tiny.en": 32,
    "moonshine-base": 48,
    "moonshine-tiny": 40,
    "apple-dictation": 70,
    "apple-speech-analyzer": 68,
    "apple-sfspeech": 25,
    # Text to speech. UTMOS 4.44 for Kokoro is the best of those that run on a CPU; pocket-tts sounds sooner.
    "kokoro-82m": 84,
    "pocket-tts": 80,
    "supertonic-3": 72,
    "kitten-mini-0.8": 56,
    "kitten-micro-0.8": 50,
    "kitten-nano-0.8": 46,
    "apple-avspeech": 48,
    "windows-tts": 40,
    # Language models: what people who run their own take for talking, larger before smaller of one generation.
    "qwen3.5-4b-q4": 84,
    "qwen3-4b-instruct-2507-q4": 80,
    "gemma-4-e4b-q4": 82,
    "gemma-4-e2b-q4": 72,
    "qwen2.5-3b-instruct-q4": 70,
    "llama-3.2-3b-instruct-q4": 68,
    "qwen2.5-1.5b-instruct-q4": 55,
    "llama-3.2-1b-instruct-q4": 50,
    "qwen2.5-0.5b-instruct-q4": 30,
    # End of turn.
    "smart-turn-v3.2": 80,
}


def worth(row: Row) -> float:
    """How good ``row`` is among its kind, where it fits. 0 to 100."""
    for name in (row.id, *row.aliases):
        if name in WORTH:
            return WORTH[name]
    if row.bundled:
        return EMBEDDED
    size = row.params or row.disk
    if not size:
        return EMBEDDED + 2.0
    by_size = 8.0 * math.log10(max(size, 1e6) / 1e6)  # 1 M: 0, 100 M: 16, 10 G: 32
    return min(UNKNOWN_BEST, EMBEDDED + 2.0 + by_size + (_STREAMING if row.streaming and row.kind == "stt" else 0.0))
