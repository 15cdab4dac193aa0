"""Which stretch of phonemes a word of the text became, where a voice tells times of phonemes and not of words.

What may live here: that matching, on lengths and punctuation alone. espeak-ng writes some words as one ("of the" as
``ʌvðə``) and one word as several ("1984"), so counting spaces is not enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

_JOINED = 1.0
"""What it costs to take several for one, in squared lengths of a usual word: it happens, but one for one is usual."""

_TORN = 9.0
"""What it costs if one ends with a punctuation mark and the other does not: three words' length."""


class Stretch(NamedTuple):
    """``size``: its letters, or its phonemes, above zero. ``ends``: a punctuation mark stands at its end."""

    size: int
    ends: bool = False


def starts(words: Sequence[Stretch], sounds: Sequence[Stretch]) -> list[tuple[int, float]]:
    """Where each word of the text begins: the number of a stretch of phonemes, and how far into it (0 to 1).

    Both are matched in order, one to one, one to several or several to one, so that lengths and punctuation agree best.
    One result for each word, unless there are no sounds.
    """
    if not words or not sounds:
        return []
    if len(words) == len(sounds):
        return [(number, 0.0) for number in range(len(words))]
    found: list[tuple[int, float]] = []
    for (word, sound), (next_word, next_sound) in pairwise(_path(words, sounds)):
        of, before = _size(words[word:next_word]), 0
        for size, _ in words[word:next_word]:
            # Several words in one stretch: the second begins where the letters of the first end.
            found.append((sound, before / of if next_sound - sound == 1 else 0.0))
            before += size
    return found


def _size(of: Sequence[Stretch]) -> int:
    return sum(one.size for one in of)


def _path(words: Sequence[Stretch], sounds: Sequence[Stretch]) -> list[tuple[int, int]]:
    """The cheapest way from (0, 0) to the end of both."""
    ratio = _size(sounds) / _size(words)
    usual = _size(sounds) / len(sounds)
    most = abs(len(words) - len(sounds)) + 2
    best: dict[tuple[int, int], tuple[float, tuple[int, int]]] = {(0, 0): (0.0, (0, 0))}
    steps = [(1, 1), *((1, many) for many in range(2, most)), *((many, 1) for many in range(2, most))]
    for word in range(len(words)):
        for sound in range(len(sounds)):
            if (word, sound) not in best:
                continue
            cost = best[word, sound][0]
            for more_words, more_sounds in steps:
                to = (word + more_words, sound + more_sounds)
                if to[0] > len(words) or to[1] > len(sounds):
                    continue
                off = ratio * _size(words[word : to[0]]) - _size(sounds[sound : to[1]])
                torn = _TORN * (words[to[0] - 1].ends != sounds[to[1] - 1].ends)
                total = cost + (off / usual) ** 2 + _JOINED * (max(more_words, more_sounds) - 1) + torn
                if to not in best or total < best[to][0]:
                    best[to] = (total, (word, sound))
    at, path = (len(words), len(sounds)), [(len(words), len(sounds))]
    while at != (0, 0):
        at = best[at][1]
        path.append(at)
    return path[::-1]
