"""Units of length, mass, volume, temperature, speed and time: their names, and how to go from one to another.

What may live here: the table of units and pure functions over it. Measures of volume are those of the United States.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from locara.engines.responder_numbers import HOMOPHONES, number_at, part_at
from locara.engines.responder_words import alike


@dataclass(frozen=True, slots=True)
class Unit:
    """``value * factor + offset`` is the amount in the dimension's own unit."""

    one: str
    many: str
    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of a unit, said in words ``start:end``."""

    value: Fraction
    unit: Unit
    start: int
    end: int

    @property
    def seconds(self) -> Fraction:
        """The length of a time, in seconds."""
        return self.value * self.unit.factor


# name, plural, factor, other names
_TABLE: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "length": (
        ("millimeter", "millimeters", "0.001", "mm millimetre millimetres"),
        ("centimeter", "centimeters", "0.01", "cm centimetre centimetres"),
        ("meter", "meters", "1", "m metre metres"),
        ("kilometer", "kilometers", "1000", "km kilometre kilometres"),
        ("inch", "inches", "0.0254", ""),
        ("foot", "feet", "0.3048", "ft"),
        ("yard", "yards", "0.9144", "yd"),
        ("mile", "miles", "1609.344", "mi"),
        ("nautical mile", "nautical miles", "1852", ""),
    ),
    "mass": (
        ("milligram", "milligrams", "0.000001", "mg"),
        ("gram", "grams", "0.001", "g"),
        ("kilogram", "kilograms", "1", "kg kilo kilos"),
        ("ton", "tons", "1000", "tonne tonnes metric_ton metric_tons"),
        ("ounce", "ounces", "0.028349523125", "oz"),
        ("pound", "pounds", "0.45359237", "lb lbs"),
        ("stone", "stones", "6.35029318", ""),
    ),
    "volume": (
        ("milliliter", "milliliters", "0.001", "ml millilitre millilitres"),
        ("liter", "liters", "1", "l litre litres"),
        ("teaspoon", "teaspoons", "0.00492892159375", "tsp"),
        ("tablespoon", "tablespoons", "0.01478676478125", "tbsp"),
        ("fluid ounce", "fluid ounces", "0.0295735295625", ""),
        ("cup", "cups", "0.2365882365", ""),
        ("pint", "pints", "0.473176473", ""),
        ("quart", "quarts", "0.946352946", ""),
        ("gallon", "gallons", "3.785411784", ""),
    ),
    "speed": (
        ("meter per second", "meters per second", "1", "m_/_s metre_per_second metres_per_second"),
        ("kilometer per hour", "kilometers per hour", "5/18",
         "km_/_h kph kmh kilometre_per_hour kilometres_per_hour kilometers_an_hour kilometres_an_hour"),
        ("mile per hour", "miles per hour", "0.44704", "mph miles_an_hour mile_an_hour"),
        ("foot per second", "feet per second", "0.3048", ""),
        ("knot", "knots", "463/900", ""),
    ),
    "time": (
        ("millisecond", "milliseconds", "0.001", "ms"),
        ("second", "seconds", "1", "sec secs s"),
        ("minute", "minutes", "60", "min mins"),
        ("hour", "hours", "3600", "hr hrs h our"),
        ("day", "days", "86400", ""),
        ("week", "weeks", "604800", ""),
        ("year", "years", "31536000", ""),
    ),
}  # fmt: skip


def _units() -> dict[tuple[str, ...], Unit]:
    named: dict[tuple[str, ...], Unit] = {}
    for dimension, rows in _TABLE.items():
        for one, many, factor, others in rows:
            unit = Unit(one, many, dimension, Fraction(factor))
            for name in (one, many, *(other.replace("_", " ") for other in others.split())):
                named[tuple(name.split())] = unit
    degrees = (
        ("degree Celsius", "degrees Celsius", "1", "273.15", ("celsius", "centigrade", "c")),
        ("degree Fahrenheit", "degrees Fahrenheit", "5/9", "45967/180", ("fahrenheit", "f")),
        ("kelvin", "kelvin", "1", "0", ("kelvin", "kelvins", "k")),
    )
    for one, many, factor, offset, names in degrees:
        unit = Unit(one, many, "temperature", Fraction(factor), Fraction(offset))
        for name in names:
            named |= dict.fromkeys([(name,), ("degrees", name), ("degree", name)], unit)
    return named


UNITS = _units()
"""Every name of a unit, as words, with its unit."""
SECOND, MINUTE, HOUR = UNITS[("second",)], UNITS[("minute",)], UNITS[("hour",)]
_LONGEST = max(map(len, UNITS))
_ALONE = {name[0]: unit for name, unit in UNITS.items() if len(name) == 1 and len(name[0]) > 3}
_ENOUGH = 0.8


def unit_at(said: Sequence[str], at: int, *, fuzzy: bool = True) -> tuple[Unit, int] | None:
    """The unit named at word ``at``, and the place after its name. ``fuzzy``: also a word that sounds like one."""
    for length in range(min(_LONGEST, len(said) - at), 0, -1):
        unit = UNITS.get(tuple(said[at : at + length]))
        if unit:
            return unit, at + length
    if not fuzzy or at >= len(said) or len(said[at]) < 4:
        return None
    for word, after in ((said[at] + said[at + 1] if at + 1 < len(said) else "", at + 2), (said[at], at + 1)):
        if word:
            closest = max(_ALONE, key=lambda name: alike(word, name))
            if alike(word, closest) >= _ENOUGH:
                return _ALONE[closest], after
    return None


def quantity_at(said: Sequence[str], at: int, *, fuzzy: bool = True) -> Quantity | None:
    """The quantity that begins at word ``at``: ``an hour and a half``, ``five feet six inches``, ``half a mile``; or
    None. ``fuzzy``: also one whose number or unit was misheard."""
    whole = _one(said, at, fuzzy)
    while whole and whole.unit.dimension != "temperature":
        start = whole.end + (whole.end < len(said) and said[whole.end] == "and")
        more = _one(said, start, fuzzy=False)
        if more is None or more.unit.dimension != whole.unit.dimension or more.unit.factor >= whole.unit.factor:
            break
        added = more.value * more.unit.factor / whole.unit.factor
        whole = Quantity(whole.value + added, whole.unit, at, more.end)
    return whole


def _one(said: Sequence[str], at: int, fuzzy: bool) -> Quantity | None:
    if at >= len(said):
        return None
    value, after = _amount(said, at, fuzzy)
    named = unit_at(said, after, fuzzy=fuzzy) if value is not None else None
    if value is None or named is None:
        return None
    unit, after = named
    part = part_at(said, after + 1) if after < len(said) and said[after] == "and" else None
    if part and (part[1] >= len(said) or said[part[1]] != "of"):
        value, after = value + part[0], part[1]  # "an hour and a half"
    return Quantity(value, unit, at, after)


def _amount(said: Sequence[str], at: int, fuzzy: bool) -> tuple[Fraction | None, int]:
    """The number before a unit: ``five``, ``an``, ``half an``, ``three quarters of an``, ``to`` (two, misheard)."""
    if part := part_at(said, at):
        value, after = part
        after += after < len(said) and said[after] == "of"
        return value, after + (after < len(said) and said[after] in ("a", "an"))
    if number := number_at(said, at, loose=fuzzy and _number_must_stand(said, at)):
        return number
    return (Fraction(1), at + 1) if said[at] in ("a", "an") else (None, at)


def _number_must_stand(said: Sequence[str], at: int) -> bool:
    """``for`` and ``to`` are mostly themselves. They are numbers after another preposition or an article."""
    if said[at] not in ("for", "to", "too"):
        return said[at] in HOMOPHONES
    return at > 0 and said[at - 1] in ("for", "to", "in", "a", "the", "my", "from", "are", "is")


def matched(unit: Unit, target: Unit) -> tuple[Unit, Unit]:
    """Both units, an ounce taken for a fluid ounce where the other one measures volume."""
    fluid, dry = UNITS[("fluid", "ounce")], UNITS[("ounce",)]
    if unit == dry and target.dimension == "volume":
        return fluid, target
    if target == dry and unit.dimension == "volume":
        return unit, fluid
    return unit, target


def convert(value: Fraction, unit: Unit, target: Unit) -> Fraction | None:
    """``value`` of ``unit`` as a number of ``target``, of the same dimension; None below absolute zero."""
    inner = value * unit.factor + unit.offset
    if unit.dimension == "temperature" and inner < 0:
        return None
    return (inner - target.offset) / target.factor
