"""Numbers, sums and units as people say them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.engines.responder_numbers import in_words, number_at, ordinal, part_at, spoken
from locara.engines.responder_sums import find_sum
from locara.engines.responder_units import UNITS, convert, quantity_at
from locara.engines.responder_words import words

OPERATORS = {"plus": "+", "minus": "-", "times": "*"}


def value_of(text: str) -> Fraction | None:
    found = find_sum(words(text))
    return found.result if found else None


@given(st.integers(0, 999))
def test_numbers_survive_being_said(value: int) -> None:
    said = in_words(value).split()
    assert number_at(said, 0) == (Fraction(value), len(said))


@given(st.integers(1, 999), st.integers(1, 999), st.integers(0, 999))
def test_large_numbers_are_read_with_their_scales(millions: int, thousands: int, rest: int) -> None:
    said = f"{in_words(millions)} million {in_words(thousands)} thousand".split()
    said += (["and"] if 0 < rest < 100 else []) + (in_words(rest).split() if rest else [])
    assert number_at(said, 0) == (Fraction(millions * 10**6 + thousands * 1000 + rest), len(said))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a hundred and five", 105), ("two and a half", Fraction(5, 2)), ("three point one four", Fraction("3.14")),
        ("minus seven", -7), ("a dozen", 12), ("3.5", Fraction("3.5")), ("five million", 5_000_000),
        ("2 million", 2_000_000),
    ],
)  # fmt: skip
def test_other_ways_to_say_a_number(text: str, value: Fraction) -> None:
    said = text.split()
    assert number_at(said, 0) == (Fraction(value), len(said))


def test_homophones_are_numbers_only_where_asked_for() -> None:
    assert number_at(["for"], 0) is None
    assert number_at(["for"], 0, loose=True) == (Fraction(4), 1)
    assert part_at(["three", "quarters"], 0) == (Fraction(3, 4), 2)


@given(
    st.integers(0, 99),
    st.sampled_from(sorted(OPERATORS)),
    st.integers(0, 99),
    st.sampled_from(sorted(OPERATORS)),
    st.integers(0, 99),
)
def test_spoken_sums_follow_the_rules_of_arithmetic(a: int, first: str, b: int, second: str, c: int) -> None:
    expected = eval(f"{a}{OPERATORS[first]}{b}{OPERATORS[second]}{c}")  # noqa: S307 numbers and signs made above
    assert value_of(f"what is {in_words(a)} {first} {in_words(b)} {second} {in_words(c)}") == expected
    assert value_of(f"{a} {OPERATORS[first]} {b} {OPERATORS[second]} {c}") == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("half of ninety", 45), ("a third of sixty", 20), ("two thirds of nine", 6), ("fifteen percent of two hundred", 30),
        ("twenty per cent off fifty", 40), ("the square root of eighty one", 9), ("cube root of twenty seven", 3),
        ("five squared", 25), ("two cubed", 8), ("two to the power of ten", 1024), ("double eight", 16), ("2^3^2", 512),
        ("subtract five from twelve", 7), ("divide ten by four", Fraction(5, 2)), ("add one and two", 3), ("(3+4)*2", 14),
        ("two to the power of minus one", Fraction(1, 2)), ("twenty three times for", 92),
        ("minus eight divided by two", -4),
        ("four to the power of half of one", 2), ("one third of one divided by three", Fraction(1, 9)),
    ],
)  # fmt: skip
def test_sums_are_exact(text: str, value: Fraction) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("seven divided by zero", "divided by zero"), ("zero to the power of minus one", "divided by zero"),
        ("nine to the power of nine to the power of nine", "too big"), ("2^1000000000000", "too big"),
        ("square root of minus four", "negative"), ("minus two to the power of one point five", "no answer"),
        ("1" + " * 2" * 60, "too long"),
    ],
)  # fmt: skip
def test_sums_without_a_sayable_result_say_so(text: str, because: str) -> None:
    found = find_sum(words(text))
    assert found is not None
    assert found.result is None
    assert because in found.problem


@pytest.mark.parametrize(
    "text", ["five five", "two times a week", "i have five sisters and two brothers", "seven of clubs", ""]
)
def test_no_sum_is_found_where_there_is_none(text: str) -> None:
    assert find_sum(words(text)) is None


@given(
    st.lists(
        st.sampled_from(
            "one two ninety 7 ^ * / ( ) plus minus percent of half square root squared to the power".split()
        ),
        max_size=14,
    )
)
def test_any_row_of_arithmetic_words_is_read_to_an_end(said: list[str]) -> None:
    found = find_sum(said)
    assert found is None or found.problem or (found.result is not None and spoken(found.result))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(92), "92"), (Fraction(1, 3), "about 0.333"), (Fraction(5, 2), "2.5"), (Fraction(-7, 2), "minus 3.5"),
        (Fraction(12_345_678), "12 million 345 thousand 678"), (Fraction(10) ** 28, "about 10 to the power of 28"),
        (Fraction(-1, 3), "about minus 0.333"), (Fraction(1, 10**6), "about 10 to the power of minus 6"),
    ],
)  # fmt: skip
def test_numbers_are_written_the_way_they_should_be_read(value: Fraction, text: str) -> None:
    assert spoken(value) == text


@given(st.fractions(min_value=-(10**20), max_value=10**20))
def test_a_spoken_number_has_no_signs(value: Fraction) -> None:
    assert not set(spoken(value)) & set("-+e^/,*") - set("e") or "e" in spoken(value)
    assert "-" not in spoken(value)


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 3, 12, 20, 21, 30, 31)] == [
        "first",
        "third",
        "twelfth",
        "twentieth",
        "twenty first",
        "thirtieth",
        "thirty first",
    ]


def test_units_are_converted() -> None:
    def converted(text: str, unit: str) -> float:
        quantity = quantity_at(words(text), 0)
        assert quantity is not None
        value = convert(quantity.value, quantity.unit, UNITS[tuple(unit.split())])
        assert value is not None
        return float(value)

    assert converted("ten miles", "kilometers") == pytest.approx(16.0934, abs=1e-4)
    assert converted("minus forty celsius", "fahrenheit") == -40
    assert converted("100 degrees celsius", "kelvin") == pytest.approx(373.15)
    assert converted("five feet six inches", "centimeters") == pytest.approx(167.64)
    assert converted("sixty miles per hour", "kilometers per hour") == pytest.approx(96.56, abs=0.01)
    assert converted("two leaders", "cups") == pytest.approx(8.4535, abs=1e-3)  # liters, misheard


def test_nothing_is_colder_than_absolute_zero() -> None:
    assert convert(Fraction(-300), UNITS[("celsius",)], UNITS[("fahrenheit",)]) is None


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.integers(0, 10**6))
def test_there_and_back_is_exact(one: tuple[str, ...], other: tuple[str, ...], value: int) -> None:
    if UNITS[one].dimension != UNITS[other].dimension:
        return
    there = convert(Fraction(value), UNITS[one], UNITS[other])
    assert there is not None
    assert convert(there, UNITS[other], UNITS[one]) == value
