"""Is a number being dictated, and how much of it was said? Words, voice and the recogniser's confidence in, counts and
chances out. Pure, and every number has its reason.

Digits are the hardest words for a small recogniser: "seven six six" becomes "they go". What is left of them is a voice that
takes its time and breaks off for a moment again and again, and words that are too few for it, faint, and now and then a
digit. These four give the chance that words are misheard digits; the digits themselves are counted by the seconds they took.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from locara.voice import doubt
from locara.voice.evidence import words_of

_DIGITS = frozenset("zero oh one two three four five six seven eight nine double".split())
_LIKE_DIGITS = frozenset("o to too for won ate tree sex hundred".split())
"""What recognisers make of digits; they count only among digits."""
COUNTED = 3
"""So many digits in a row are a number being dictated, not "two coffees"."""
WHOLE_NUMBER = 7
"""A dictated number of fewer digits probably goes on: telephone, card and account numbers have seven and more."""
DIGIT_SECONDS = 0.38
"""Seconds of voice, as voice activity sees it, that a dictated digit takes: the median of 30 dictations by 6 speakers. So
digits can be counted where they are not understood."""

BREAK_SECONDS = 0.3
"""A pause that the voice is back from so soon is a breath between two things that are said one by one. Before a longer one
dictations have 1.5 of them, orders 0.2 (means)."""
SLOW = 3.0
"""Syllables in a second of voice that may be either: of dictated digits that pocketsphinx misheard it finds 2.6, of spoken
orders 4.4 (medians)."""
MISHEARD = 0.2
"""To one, the odds that words are misheard digits if they are as slow as `SLOW`, as faint as `doubt.FAINT`, and nothing else
tells, with one number dictated to five orders. Of as many it would be 1: logistic regression, 300 dictations, 640 orders."""
TELLS = 4.0
"""So many times greater are these odds for each syllable a second less, for 0.1 of confidence less, for each break and for
each digit among the words. The same regression says 5.3, 5.1, 4.8 and 7.5; it varies by 1 if one of the 6 speakers is left
out. Less, because it heard one recogniser, and orders without digits."""
_LOG_ODDS = 20.0
"""Beyond this, odds are certainty: a chance within 1e-8 of it."""


def digits_at_the_end(words: Sequence[str]) -> int:
    """How many digits ``words`` (lower case, see `evidence.words_of`) end with."""
    count = digits = 0
    for word in reversed(words):
        if word in _DIGITS or word.isdigit():
            digits += len(word) if word.isdigit() else 1
        elif word not in _LIKE_DIGITS:
            break
        count += len(word) if word.isdigit() else 1
    return count if 2 * digits > count else 0


def misheard(text: str, voiced: float, confidence: float | None, breaks: int = 0) -> float:
    """The chance (0 to 1) that ``text`` is what a recogniser makes of dictated digits.

    ``voiced``: seconds of voice that it was recognised from. ``confidence``: the recogniser's, 0 to 1. ``breaks``: pauses
    within it of less than `BREAK_SECONDS`. 0 where the confidence is None, where there is no word or no time for two digits,
    and where words are not in Latin letters, in which syllables are counted.
    """
    words = words_of(text)
    if not words or confidence is None or not text.isascii() or voiced < 2 * DIGIT_SECONDS:
        return 0.0
    slower = SLOW - sum(map(doubt.syllables, words)) / voiced
    digits = sum(word in _DIGITS or word.isdigit() for word in words)
    told = slower + (doubt.FAINT - confidence) / 0.1 + breaks + digits
    log_odds = math.log(MISHEARD) + math.log(TELLS) * told
    return 1.0 / (1.0 + math.exp(min(_LOG_ODDS, max(-_LOG_ODDS, -log_odds))))


def said(text: str, voiced: float) -> int:
    """How many digits were said in ``voiced`` seconds, if it was digits: by their time, and at least those understood."""
    return max(digits_at_the_end(words_of(text)), int(voiced / DIGIT_SECONDS))
