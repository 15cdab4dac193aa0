"""Words and their times from the text tokens of Kyutai's speech to text: one token for each 80 ms.

What may live here: this pure step. Source: kyutai-labs/delayed-streams-modeling, ``scripts/stt_from_file_pytorch.py``:
a token says that nothing is written, that a word begins now, or a piece of a word; what is written at one moment was
heard some frames before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

BOUNDARY = 0
"""The token between two words."""
_LONGEST_LAST = 1.0
"""Seconds that the last word takes at most, where no boundary follows it."""
_BEGINS = "▁"
"""Sentencepiece begins the first piece of each word with it."""

Word = tuple[str, float, float]


def words(
    tokens: Sequence[int],
    at: Sequence[float],
    padding: int,
    piece: Callable[[int], str],
    decode: Callable[[list[int]], str],
) -> list[Word]:
    """The words, each with its beginning and end in seconds.

    ``at``: for each token the seconds of sound that had been heard when what it tells was said, and one more for the end.
    ``padding``: the token for nothing; pieces of words are above it. ``piece`` and ``decode``: of the tokenizer.
    """
    found: list[Word] = []
    pieces: list[int] = []
    start = 0.0

    def end(when: float) -> None:
        text = decode(pieces).strip()
        if text:
            found.append((text, start, max(start, when)))
        pieces.clear()

    for number, token in enumerate(tokens):
        if token == BOUNDARY or (token > padding and pieces and piece(token).startswith(_BEGINS)):
            end(at[number])
        if token > padding:
            start = start if pieces else at[number]
            pieces.append(token)
    if pieces:
        end(min(at[len(tokens)], start + _LONGEST_LAST))
    return found
