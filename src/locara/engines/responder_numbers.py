"""Numbers as people say them, both ways: ``twenty three`` to 23, and 23 to ``twenty three``.

What may live here: pure functions between words and numbers. Values are ``Fraction``: a third is a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
).split()
_ONES = {word: value for value, word in enumerate(SMALL)} | {"dozen": 12}
_TIES = {word: 10 * place for place, word in enumerate(_TENS) if word != "_"} | {"fourty": 40}
_SCALES = {"thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5, "sixth": 6,
    "eighth": 8, "eighths": 8, "tenth": 10, "tenths": 10,
}  # fmt: skip

HOMOPHONES = {
    "to": 2, "too": 2, "tu": 2, "due": 2, "for": 4, "fore": 4, "won": 1, "ate": 8, "tree": 3, "free": 3, "sex": 6,
    "sicks": 6, "tin": 10, "fife": 5, "nein": 9, "sixth": 6,
}  # fmt: skip
"""Words that a recogniser writes for a number. Only to be trusted where nothing but a number can stand."""

Read = tuple[Fraction, int]
"""A value, and the place in the words after it."""


def number_at(said: Sequence[str], at: int, *, loose: bool = False) -> Read | None:
    """The number that begins at word ``at``, or None. ``loose``: also words that only sound like one."""
    if at >= len(said):
        return None
    if said[at] in ("minus", "negative", "-"):
        if at + 1 >= len(said) or said[at + 1] in ("minus", "negative", "-"):
            return None
        read = number_at(said, at + 1)
        return (-read[0], read[1]) if read else None
    read = _digits(said, at) or _spelt(said, at)
    if read is None and loose and said[at] in HOMOPHONES:
        return Fraction(HOMOPHONES[said[at]]), at + 1
    return _with_fraction(said, *read) if read else None


def part_at(said: Sequence[str], at: int) -> Read | None:
    """The fraction that begins at word ``at``: ``half``, ``a third``, ``two thirds``, ``three quarters``; or None."""
    if at >= len(said):
        return None
    if said[at] in ("half", "quarter"):
        return Fraction(1, _PARTS[said[at]]), at + 1
    many = Fraction(1) if said[at] in ("a", "one", "an") else Fraction(_ONES.get(said[at], 0))
    if many and at + 1 < len(said) and said[at + 1] in _PARTS:
        return many / _PARTS[said[at + 1]], at + 2
    return None


def _digits(said: Sequence[str], at: int) -> Read | None:
    if not said[at][0].isdigit() or len(said[at]) > 30:
        return None
    value, at = Fraction(said[at]), at + 1
    if at < len(said) and said[at] in _SCALES:
        return value * _SCALES[said[at]], at + 1
    return value, at


def _spelt(said: Sequence[str], at: int) -> Read | None:
    """Number words: groups under a thousand, each with its scale, largest first."""
    total, last_scale, begun = 0, 10**15, False
    while True:
        start = at
        if begun and at < len(said) and said[at] == "and":
            start = at + 1
        group = _group(said, start, article=not begun)
        if group is None:
            break
        value, after = group
        scale = _SCALES.get(said[after], 1) if after < len(said) else 1
        if scale >= last_scale or (start > at and not (value < 100 and scale == 1)):
            break
        total, last_scale, begun = total + value * scale, scale, True
        at = after + (scale > 1)
        if scale == 1:
            break
    if not begun:
        return None
    return _decimals(said, Fraction(total), at)


def _group(said: Sequence[str], at: int, *, article: bool) -> tuple[int, int] | None:
    """A number under a thousand. ``article``: ``a hundred`` counts as one hundred."""
    if at >= len(said):
        return None
    if article and said[at] == "a" and at + 1 < len(said):
        following = said[at + 1]
        if following in _SCALES or following == "dozen":
            return (12, at + 2) if following == "dozen" else (1, at + 1)
        if following != "hundred":
            return None
        value, after = 1, at + 1
    else:
        small = _below_hundred(said, at)
        if small is None:
            return None
        value, after = small
    if after < len(said) and said[after] == "hundred" and 0 < value < 100:
        value, after = value * 100, after + 1
        joined = after + (after < len(said) and said[after] == "and")
        rest = _below_hundred(said, joined)
        if rest is not None:
            value, after = value + rest[0], rest[1]
    return value, after


def _below_hundred(said: Sequence[str], at: int) -> tuple[int, int] | None:
    if at >= len(said):
        return None
    word = said[at]
    if word in _TIES:
        if at + 1 < len(said) and 0 < _ONES.get(said[at + 1], 0) < 10:
            return _TIES[word] + _ONES[said[at + 1]], at + 2
        return _TIES[word], at + 1
    return (_ONES[word], at + 1) if word in _ONES else None


def _decimals(said: Sequence[str], value: Fraction, at: int) -> Read:
    """``three point one four``: each digit a word."""
    if at + 1 >= len(said) or said[at] != "point":
        return value, at
    digits, after = "", at + 1
    while after < len(said) and len(digits) < 12 and (_ONES.get(said[after], 99) < 10 or said[after] == "oh"):
        digits += str(_ONES.get(said[after], 0))
        after += 1
    return (value + Fraction(int(digits), 10 ** len(digits)), after) if digits else (value, at)


def _with_fraction(said: Sequence[str], value: Fraction, at: int) -> Read:
    """``two and a half``. Not ``five and half of ninety``: a part of something else is its own number."""
    if at + 1 < len(said) and said[at] == "and":
        part = part_at(said, at + 1)
        if part and part[0] < 1 and (part[1] >= len(said) or said[part[1]] != "of"):
            return value + part[0], part[1]
    return value, at


# --- to words ---------------------------------------------------------------------------------------------------------


def in_words(value: int) -> str:
    """``value`` in words, without hyphens; from a thousand on in digits, which voices read well."""
    if not 0 <= value < 1000:
        return str(value)
    if value < 20:
        return SMALL[value]
    if value < 100:
        return _TENS[value // 10] + (f" {SMALL[value % 10]}" if value % 10 else "")
    return f"{SMALL[value // 100]} hundred" + (f" and {in_words(value % 100)}" if value % 100 else "")


def ordinal(value: int) -> str:
    """``value`` (0 to 99) as an ordinal: ``twenty third``."""
    if value < 20:
        return _ORDINALS[value]
    if value % 10:
        return f"{_TENS[value // 10]} {_ORDINALS[value % 10]}"
    return f"{_TENS[value // 10][:-1]}ieth"


def spoken(value: Fraction) -> str:
    """``value`` as a voice should get it: exact where that is short, else with ``about`` before it."""
    if value < 0:
        text = spoken(-value)
        return f"about minus {text[6:]}" if text.startswith("about ") else f"minus {text}"
    if value.denominator == 1:
        return _whole(value.numerator)
    if value >= 10**6:
        return _about(_whole(round(value)))
    if value < Fraction(1, 10_000):
        return _about(_scientific(value))
    places = 2 if value >= 10 else 4
    rounded = round(value, places)
    if value < 1:
        rounded = Fraction(f"{float(value):.3g}")
    text = f"{float(rounded):.10f}".rstrip("0").rstrip(".")
    return text if rounded == value else _about(text)


def _about(text: str) -> str:
    return text if text.startswith("about ") else f"about {text}"


def _whole(value: int) -> str:
    if value < 10**6:
        return str(value)
    if value >= 10**15:
        return _about(_scientific(Fraction(value)))
    parts = []
    for scale, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand")):
        if value >= scale:
            parts.append(f"{value // scale} {name}")
            value %= scale
    return " ".join([*parts, str(value)] if value else parts)


def _scientific(value: Fraction) -> str:
    digits, exponent = f"{_to_decimal(value):.2e}".split("e")
    digits = digits.rstrip("0").rstrip(".")
    power = int(exponent)
    raised = f"minus {-power}" if power < 0 else str(power)
    return f"10 to the power of {raised}" if digits == "1" else f"{digits} times 10 to the power of {raised}"


def _to_decimal(value: Fraction) -> float:
    """As a float; sums are bounded well inside its range."""
    return value.numerator / value.denominator
