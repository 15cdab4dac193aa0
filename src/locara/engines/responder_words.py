"""Words as they sound: how a sentence is taken apart, and how well it fits a phrase although words were misheard.

What may live here: pure functions over words, and `Phrase`, the shape that sentences are compared with. No meaning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+(?:'[a-z]+)?|[-+*/%^()]")
_SAME = str.maketrans({"’": "'", "‘": "'", "×": "*", "÷": "/", "−": "-", "°": " degrees "})
_CONTRACTED = {
    "n't": " not", "'re": " are", "'ll": " will", "'ve": " have", "'m": " am", "'d": " would",
}  # fmt: skip
_IS = re.compile(r"\b(?:(what|where|when|who|how)'?|(that|it|there|he|she)')s\b")

LIGHT = frozenset(
    "a an the is it its to of in on at for and or are was be do does did i me my you your that this there we us so "
    "with from am not if by as have has had will would".split()
)
"""Words that carry little: they are misheard most and matter least."""
FILLERS = frozenset("please now just um uh er hey okay ok well kindly pleased computer locara can could would".split())
"""Words that may stand anywhere without changing what is wanted."""

_LIGHT_WEIGHT, _FILLER_WEIGHT, _WORD_WEIGHT, _SLOT_WEIGHT, _KEY_WEIGHT = 0.4, 0.15, 1.0, 1.5, 2.0
_ENOUGH = 0.6  # how alike two words must be to be taken for the same
_KEY_ENOUGH, _SHORT_KEY_ENOUGH, _SHORT_KEY = 0.72, 0.8, 4  # the same for key words; for those of up to 4 letters
_STRAY_WEIGHT = 1.3
_INSTEAD = 0.5  # an unlike word in the place of a light one costs little more than itself
_NEVER = 1e9


def words(text: str) -> tuple[str, ...]:
    """The lower-case words, numbers and arithmetic signs of ``text``, contractions written out."""
    text = text.lower().translate(_SAME)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(?<=[a-z0-9])-(?=[a-z])", " ", text)  # "twenty-one"; a minus stands between numbers
    text = _IS.sub(lambda found: f"{found.group(1) or found.group(2)} is", text)
    text = text.replace("won't", "will not").replace("can't", "can not")
    for short, long in _CONTRACTED.items():
        text = re.sub(rf"(?<=[a-z]){short}\b", long, text)
    return tuple(_TOKEN.findall(text))


# --- how a word sounds ------------------------------------------------------------------------------------------------

_SPELT = (
    (r"^(kn|gn|pn)", "n"), (r"^wr", "r"), (r"^wh", "w"), (r"^x", "s"), (r"ough", "af"), (r"igh", "i"), (r"gh", "k"),
    (r"ph", "f"), (r"tch|ch", "S"), (r"sh", "S"), (r"th", "t"), (r"ti(?=on|al)|ci(?=al|ous)", "S"), (r"dge?(?=[eiy])", "S"),
    (r"ck", "k"), (r"c(?=[eiy])", "s"), (r"c|q", "k"), (r"x", "ks"), (r"z", "s"), (r"v", "f"), (r"d", "t"), (r"b", "p"),
    (r"j", "S"), (r"g", "k"), (r"mb$", "m"), (r"(?<=[aeiou])h|h(?![aeiouy])", ""),
    (r"[aeiouy][aeiouyw]*", "a"), (r"(.)\1+", r"\1"), (r"(?<=[a-zS]{2})a$", ""),
)  # fmt: skip
_SOUNDS = tuple((re.compile(spelt), sound) for spelt, sound in _SPELT)


@lru_cache(maxsize=4096)
def sound(word: str) -> str:
    """A rough key of how ``word`` sounds: like consonants become one, vowels become ``a``."""
    for spelt, heard in _SOUNDS:
        word = spelt.sub(heard, word)
    return word


@lru_cache(maxsize=65_536)
def alike(one: str, other: str) -> float:
    """How alike two words are, by sound first and spelling second: 0 to 1."""
    if one == other:
        return 1.0
    if one.startswith("<") or other.startswith("<") or not one[0].isalpha() or not other[0].isalpha():
        return 0.0
    by_sound = _closeness(sound(one), sound(other))
    if by_sound < 0.5:
        return 0.0
    return 0.6 * by_sound + 0.4 * _closeness(one, other)


def _closeness(one: str, other: str) -> float:
    longest = max(len(one), len(other))
    if not longest or abs(len(one) - len(other)) * 2 > longest:
        return 0.0
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return 1.0 - row[-1] / longest


# --- how a sentence fits a phrase -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words to compare with. ``keys`` are the places of words that must be there."""

    words: tuple[str, ...]
    keys: frozenset[int]

    @classmethod
    def of(cls, text: str) -> Phrase:
        """``"what *time is it"``: the starred words must be heard; a ``<slot>`` always must."""
        parts = text.split()
        keys = frozenset(i for i, part in enumerate(parts) if part[0] in "*<")
        return cls(tuple(part.lstrip("*") for part in parts), keys)

    def weight(self, place: int) -> float:
        """What the word at ``place`` counts."""
        return _KEY_WEIGHT if place in self.keys else weight(self.words[place])

    @property
    def total(self) -> float:
        """What all its words count."""
        return sum(self.weight(i) for i in range(len(self.words)))


def _stray(word: str) -> float:
    """What a heard word costs that the phrase does not have: more than a word that was not heard."""
    counts = weight(word)
    return _STRAY_WEIGHT if counts == _WORD_WEIGHT else counts


def weight(word: str) -> float:
    """What a word counts that is no key."""
    if word.startswith("<"):
        return _SLOT_WEIGHT
    if word in FILLERS:
        return _FILLER_WEIGHT
    return _LIGHT_WEIGHT if word in LIGHT else _WORD_WEIGHT


def fit(phrase: Phrase, said: Sequence[str], *, fuzzy: bool = True) -> float:
    """How well ``said`` fits the whole ``phrase``: 1 is word for word, 0 and below is nothing alike.

    The best alignment of the two, words in order; two heard words may be one (``time are``: ``timer``).
    """
    return max(0.0, 1.0 - _costs(phrase, said, fuzzy)[-1] / (2.0 * phrase.total))


def fit_opening(phrase: Phrase, said: Sequence[str], *, fuzzy: bool = True) -> tuple[float, int]:
    """How well the beginning of ``said`` fits ``phrase``, and how many words that beginning has. The best one; at equal
    fit, the longest."""
    costs = _costs(phrase, said, fuzzy)
    best = min(range(len(costs)), key=lambda i: (costs[i], -i))
    return max(0.0, 1.0 - costs[best] / (2.0 * phrase.total)), best


def _costs(phrase: Phrase, said: Sequence[str], fuzzy: bool) -> list[float]:
    """For each number of heard words, from none to all: what aligning them with the whole phrase costs."""
    column = [0.0]
    for word in said:
        column.append(column[-1] + _stray(word))
    before = column
    for j, wanted in enumerate(phrase.words):
        counts = phrase.weight(j)
        missing = _NEVER if j in phrase.keys else counts
        enough = _enough(wanted, j in phrase.keys) if fuzzy else 1.0
        after = [column[0] + missing]
        for i, word in enumerate(said):
            best = min(column[i + 1] + missing, after[i] + _stray(word))
            if (likeness := alike(word, wanted)) >= enough:
                best = min(best, column[i] + 2.0 * counts * (1.0 - likeness))
            elif fuzzy and missing < _NEVER and not word.startswith("<"):
                best = min(best, column[i] + max(counts, _stray(word)) + _INSTEAD)
            if fuzzy and i and len(wanted) > 3 and (likeness := alike(said[i - 1] + word, wanted)) >= _KEY_ENOUGH:
                best = min(best, column[i - 1] + 2.0 * counts * (1.0 - likeness) + _FILLER_WEIGHT)
            if fuzzy and j and len(word) > 4 and (likeness := alike(word, phrase.words[j - 1] + wanted)) >= _KEY_ENOUGH:
                both = counts + phrase.weight(j - 1)
                best = min(best, before[i] + 2.0 * both * (1.0 - likeness) + _FILLER_WEIGHT)
            after.append(best)
        before, column = column, after
    return column


def _enough(wanted: str, is_key: bool) -> float:
    if not is_key:
        return _ENOUGH
    return _SHORT_KEY_ENOUGH if len(wanted) <= _SHORT_KEY else _KEY_ENOUGH


def present(keys: frozenset[str], said: Sequence[str]) -> frozenset[str]:
    """Which of ``keys`` may be among the heard words, alone or two in one: what no phrase needs be compared without."""
    found = set()
    for key in keys:
        enough = _enough(key, True)
        for i, word in enumerate(said):
            if alike(word, key) >= enough or (i and len(key) > 3 and alike(said[i - 1] + word, key) >= _KEY_ENOUGH):
                found.add(key)
                break
    return frozenset(found)
