"""How things are said: times of day, dates, lengths of time, and a fact turned from the user's mouth to ours.

What may live here: pure functions from values to sentences that a voice reads well: no signs, no markdown.
"""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction

from locara.engines.responder_numbers import in_words, ordinal, spoken
from locara.engines.responder_units import Unit
from locara.engines.responder_words import words

_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
_MONTHS = "January February March April May June July August September October November December".split()
_FIVES = {5: "five", 10: "ten", 15: "quarter", 20: "twenty", 25: "twenty five"}
_TURNED = {
    "my": "your", "mine": "yours", "me": "you", "i": "you", "am": "are", "myself": "yourself", "your": "my", "yours": "mine",
    "you": "I", "our": "your", "we": "you", "us": "you",
}  # fmt: skip
MOST_WORDS_BACK = 14  # of a sentence that was not understood, when it is said back


def clock(now: datetime) -> str:
    """``ten past two``, ``two fourteen``, ``noon``."""
    minute, hour = now.minute, now.hour
    if minute == 0:
        return {0: "midnight", 12: "noon"}.get(hour, f"{_hour(hour)} o'clock")
    if minute == 30:
        return f"half past {_hour(hour)}"
    if minute in _FIVES:
        return f"{_FIVES[minute]} past {_hour(hour)}"
    if 60 - minute in _FIVES:
        return f"{_FIVES[60 - minute]} to {_hour(hour + 1)}"
    if minute < 10:
        return f"{in_words(minute)} minute{'s' if minute > 1 else ''} past {_hour(hour)}"
    return f"{_hour(hour)} {in_words(minute)}"


def _hour(hour: int) -> str:
    return in_words((hour - 1) % 12 + 1)


def day(when: date) -> str:
    """``Tuesday, June third, 2025``."""
    return f"{_WEEKDAYS[when.weekday()]}, {_MONTHS[when.month - 1]} {ordinal(when.day)}, {when.year}"


def length(seconds: float) -> str:
    """A length of time to the second: ``one hour and twenty minutes``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    parts = [
        f"{in_words(count)} {name}{'' if count == 1 else 's'}"
        for count, name in ((hours, "hour"), (minutes, "minute"), (left, "second"))
        if count
    ]
    if not parts:
        return "no time"
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


def length_of(seconds: float) -> str:
    """The same before a noun: ``five minute``, ``one hour and twenty minute``."""
    text = length(seconds)
    return text[:-1] if text.endswith("s") else text


def amount(value: Fraction, unit: Unit, *, about: bool = True) -> str:
    """``about 16.09 kilometers``, ``1 mile``."""
    said = spoken(value)
    if not about:
        said = said.removeprefix("about ")
    return f"{said} {unit.one if said in ('1', 'minus 1') else unit.many}"


def turned(fact: str) -> str:
    """A fact as the other side says it: ``my bike is here`` becomes ``your bike is here``."""
    out: list[str] = []
    for word in words(fact):
        if word == "are" and out and out[-1] == "I":
            out.append("am")
        elif word == "was" and out and out[-1] == "you":
            out.append("were")
        else:
            out.append(_TURNED.get(word, "I" if word == "i" else word))
    return " ".join(out)


def sentence(text: str) -> str:
    """``text`` with a capital and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""


def said_back(heard: str) -> str:
    """What was heard, short enough to be listened to, without signs."""
    parts = [part for part in heard.split() if part[0].isalnum()]
    return " ".join(parts[:MOST_WORDS_BACK]) + (" and so on" if len(parts) > MOST_WORDS_BACK else "")


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
