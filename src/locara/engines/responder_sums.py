"""Arithmetic as people say it: ``half of ninety``, ``twenty three times four``, ``15 percent of 200``.

What may live here: pure functions that find a sum in words and work it out exactly. Numbers themselves are read in
`responder_numbers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from locara.engines.responder_numbers import HOMOPHONES, number_at, part_at, spoken

T = TypeVar("T")
_LIMIT_DIGITS = 100  # results beyond ten to this power are refused: nobody wants to hear them
_LIMIT_STEPS = 40  # operations in one sum

_Signs = Mapping[tuple[str, ...], str]
_ADDING: _Signs = {("plus",): "plus", ("+",): "plus", ("minus",): "minus", ("-",): "minus", ("less",): "minus"}
_TIMES: _Signs = {
    ("times",): "times", ("*",): "times", ("x",): "times", ("multiplied", "by"): "times", ("time",): "times",
    ("divided", "by"): "divided by", ("divide", "by"): "divided by", ("/",): "divided by", ("over",): "divided by",
}  # fmt: skip
_POWERS: tuple[tuple[str, ...], ...] = (
    ("to", "the", "power", "of"), ("to", "the", "power"), ("to", "power"), ("do", "the", "power", "of"), ("raised", "to"),
    ("^",),
)  # fmt: skip
_ROOTS = {("square", "root", "of"): 2, ("square", "root"): 2, ("cube", "root", "of"): 3, ("root", "of"): 2}
_VERBS = {"add": ("plus", ("and", "to")), "multiply": ("times", ("by", "and", "with")), "divide": ("divided by", ("by",)),
          "subtract": ("minus", ("from",)), "take": ("minus", ("from",))}  # fmt: skip
_STRONG = {"plus", "times", "minus", "multiplied", "divided", "percent", "squared", "cubed", "+", "*", "/", "%", "^"}
_TWICE = {"double": 2, "twice": 2, "triple": 3}


class ImpossibleError(Exception):
    """A sum without a sayable result; the text is a sentence to speak. It never leaves this file."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum found in words ``start:end``. ``text`` is how it was understood, ``result`` its value, or None and
    ``problem`` is a sentence to speak."""

    start: int
    end: int
    text: str
    result: Fraction | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    value: Fraction
    text: str
    steps: int = 0


def find_sum(said: Sequence[str]) -> Sum | None:
    """The first sum in ``said`` with at least one operation, or None."""
    for loose in (False, True):
        for start in range(len(said)):
            if loose and not (said[start] in HOMOPHONES and start + 1 < len(said) and _operates(said, start + 1)):
                continue
            reader = _Reader(said, start)
            try:
                found = reader.whole(loose)
            except ImpossibleError as problem:
                return Sum(start, len(said), "", None, str(problem))
            if found and found.steps:
                return Sum(start, reader.at, found.text.rstrip(","), found.value)
    return None


def _operates(said: Sequence[str], at: int) -> bool:
    return said[at] in _STRONG or any(tuple(said[at : at + len(power)]) == power for power in _POWERS)


class _Reader:
    """Reads one sum from left to right: sums of products of powers of numbers."""

    def __init__(self, said: Sequence[str], at: int) -> None:
        self.said = said
        self.at = at

    def whole(self, loose: bool) -> _Part | None:
        """``add five and seven``, or a sum."""
        verb = _VERBS.get(self.said[self.at])
        if verb is None:
            return self.sum(loose)
        start, (operator, joints) = self.at, verb
        self.at += 1
        first = self.power(False)
        if first and self.peek() in joints:
            turned = self.peek() == "from"
            self.at += 1
            if second := self.power(True):
                return _operate(second, operator, first) if turned else _operate(first, operator, second)
        self.at = start
        return None

    def sum(self, loose: bool) -> _Part | None:
        return self._chain(_ADDING, self.product, loose)

    def product(self, loose: bool) -> _Part | None:
        return self._chain(_TIMES, self.power, loose)

    def _chain(self, operators: _Signs, read: Callable[[bool], _Part | None], loose: bool) -> _Part | None:
        left = read(loose)
        while left is not None:
            start = self.at
            operator = self.take(operators)
            # "time" is "times" misheard only between two plain numbers
            right = read(self.said[start] != "time") if operator else None
            if operator is None or right is None:
                self.at = start
                break
            left = _operate(left, operator, right)
        return left

    def power(self, loose: bool) -> _Part | None:
        base = self.atom(loose)
        if base is None:
            return None
        word = self.peek()
        if word in ("squared", "square", "cubed"):
            self.at += 1
            return _raise(base, _Part(Fraction(3 if word == "cubed" else 2), ""), f"{base.text} {word.rstrip('d')}d")
        if word in ("percent", "%", "per") and (word != "per" or self.peek(1) == "cent"):
            return self._percent(base, 2 if word == "per" else 1)
        start = self.at
        for power in _POWERS:
            if self.follows(power):
                self.at += len(power)
                if exponent := self.power(True):
                    return _raise(base, exponent, f"{base.text} to the power of {exponent.text}")
                self.at = start
        return base

    def _percent(self, rate: _Part, length: int) -> _Part | None:
        start = self.at
        self.at += length
        if self.peek() in ("of", "off"):
            off = self.peek() == "off"
            self.at += 1
            if whole := self.power(True):
                share = rate.value / 100
                text = f"{rate.text} percent {'off' if off else 'of'} {whole.text}"
                return _Part((1 - share if off else share) * whole.value, text, whole.steps + 1)
        self.at = start
        return rate

    def atom(self, loose: bool) -> _Part | None:
        word, start = self.peek(), self.at
        if word == "(":
            self.at += 1
            inner = self.sum(False)
            if inner and self.peek() == ")":
                self.at += 1
                return _Part(inner.value, f"the result of {inner.text}," if inner.steps else inner.text, inner.steps)
        elif (degree := self.take(_ROOTS)) is not None:
            if inner := self.power(True):
                return _root(inner, degree)
        elif word in _TWICE:
            self.at += 1
            if inner := self.power(False):
                return _Part(_TWICE[word] * inner.value, f"{word} {inner.text}", inner.steps + 1)
        else:
            return self._number(loose)
        self.at = start
        return None

    def _number(self, loose: bool) -> _Part | None:
        start = self.at
        part = part_at(self.said, start)
        if part and part[1] < len(self.said) and self.said[part[1]] == "of":
            self.at = part[1] + 1
            if whole := self.power(True):
                name = " ".join(self.said[start : part[1]])
                return _Part(part[0] * whole.value, f"{name} of {whole.text}", whole.steps + 1)
            self.at = start
        number = number_at(self.said, start, loose=loose)
        if number is None:
            return None
        self.at = number[1]
        return _Part(number[0], spoken(number[0]))

    def peek(self, ahead: int = 0) -> str:
        return self.said[self.at + ahead] if self.at + ahead < len(self.said) else ""

    def follows(self, wanted: tuple[str, ...]) -> bool:
        return tuple(self.said[self.at : self.at + len(wanted)]) == wanted

    def take(self, table: Mapping[tuple[str, ...], T]) -> T | None:
        for wanted, meaning in table.items():
            if self.follows(wanted):
                self.at += len(wanted)
                return meaning
        return None


def _operate(left: _Part, operator: str, right: _Part) -> _Part:
    steps = left.steps + right.steps + 1
    if steps > _LIMIT_STEPS:
        raise ImpossibleError("That's too long a sum for me.")
    if operator == "plus":
        value = left.value + right.value
    elif operator == "minus":
        value = left.value - right.value
    elif operator == "times":
        value = left.value * right.value
    elif right.value == 0:
        raise ImpossibleError("That has no answer, because nothing can be divided by zero.")
    else:
        value = left.value / right.value
    return _Part(_sayable(value), f"{left.text} {operator} {right.text}", steps)


def _raise(base: _Part, exponent: _Part, text: str) -> _Part:
    steps = base.steps + exponent.steps + 1
    if base.value == 0 and exponent.value < 0:
        raise ImpossibleError("That has no answer, because nothing can be divided by zero.")
    if base.value not in (0, 1, -1) and abs(exponent.value) * abs(_digits(base.value)) > _LIMIT_DIGITS:
        raise ImpossibleError("That's too big, I can't say such a number.")
    if base.value in (1, -1) and abs(exponent.value) > 10**6:
        exponent = _Part(exponent.value % 2, "")
    if exponent.value.denominator == 1:
        return _Part(_sayable(base.value**exponent.value.numerator), text, steps)
    if base.value < 0:
        raise ImpossibleError("That has no answer among the real numbers.")
    return _Part(_sayable(Fraction(float(base.value) ** float(exponent.value))), text, steps)


def _root(inner: _Part, degree: int) -> _Part:
    if inner.value < 0 and degree == 2:
        raise ImpossibleError("That has no answer, because a negative number has no real square root.")
    size = abs(inner.value)
    exact = Fraction(_whole_root(size.numerator, degree), _whole_root(size.denominator, degree))
    value = exact if exact**degree == size else Fraction(float(size) ** (1.0 / degree))
    name = "square" if degree == 2 else "cube"
    return _Part(-value if inner.value < 0 else value, f"the {name} root of {inner.text}", inner.steps + 1)


def _whole_root(value: int, degree: int) -> int:
    """The whole root at or near; the caller checks it. Newton's way, exact for large whole numbers."""
    if degree == 2:
        return math.isqrt(value)
    guess = 1 << -(-value.bit_length() // degree)
    while guess > 1 and (closer := (guess * (degree - 1) + value // guess ** (degree - 1)) // degree) < guess:
        guess = closer
    return guess


def _digits(value: Fraction) -> Fraction:
    """The decimal logarithm, near enough to bound a power."""
    size = abs(value)
    return Fraction(math.log10(size.numerator) - math.log10(size.denominator)).limit_denominator(10**9)


def _sayable(value: Fraction) -> Fraction:
    if value and abs(_digits(value)) > _LIMIT_DIGITS:
        raise ImpossibleError("That's too big, I can't say such a number.")
    if value.denominator > 10**400:  # a tower of odd fractions: keep it near instead of exact
        return Fraction(float(value))
    return value
