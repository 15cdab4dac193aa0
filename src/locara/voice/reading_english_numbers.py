"""Dates, times, years, money, telephone numbers, ranges and fractions in English, as words and plain numbers.

What may live here: rules that turn a number with signs into numbers that every voice reads alike. Plain numbers, decimals
and ordinals ("1,000", "3.5", "21st") stay as they are. Why each is needed was seen in espeak-ng's phonemes: "$5" is
"dollar five", "1999" is "nineteen hundred ninety nine", "5-10" is "five dash ten", "555-1234" is "five hundred fifty five
dash one thousand ...". Neural voices differ among each other on the same signs; words they all read.
"""

from __future__ import annotations

import re

from locara.voice.marked import Rules, rules

_MONTHS = "January February March April May June July August September October November December".split()
_SHORT = {name[:3].lower(): name for name in _MONTHS} | {"sept": "September"}
_MONTH = "|".join(_MONTHS)
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth"}
_SIGNED = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip


def below_hundred(number: int) -> str:
    """0 to 99 in words."""
    if number < 20:
        return _SMALL[number]
    return _TENS[number // 10] + (f" {_SMALL[number % 10]}" if number % 10 else "")


def year(number: int) -> str:
    """A year as it is said: 1999 "nineteen ninety nine", 1905 "nineteen oh five"; what is said like any number (2007)
    stays in digits."""
    century, rest = divmod(number, 100)
    if not 11 <= century <= 20 or (century == 20 and rest < 10):
        return str(number)
    if not rest:
        return f"{below_hundred(century)} hundred"
    return f"{below_hundred(century)} {'oh ' if rest < 10 else ''}{below_hundred(rest)}"


def ordinal(number: int) -> str:
    """1st, 2nd, 11th, 23rd."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


# --- dates ------------------------------------------------------------------------------------------------------------


def _date(year_: int, month: int, day: int, found: re.Match[str]) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return found.group().replace("-", " ").replace("/", " ")
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(year_)}"


def _iso(found: re.Match[str]) -> str:
    said = _date(int(found[1]), int(found[2]), int(found[3]), found)
    return said + (" at " if found[4] else "")


def _slashed(found: re.Match[str], *, day_first: bool) -> str:
    first, second = int(found[1]), int(found[2])
    day, month = (first, second) if (day_first and second <= 12) or first > 12 else (second, first)
    return _date(int(found[3]), month, day, found)


def _month_day(found: re.Match[str]) -> str:
    name = _SHORT.get(found["month"].lower(), found["month"])
    return f"{name} {ordinal(int(found['day']))}"


def _decade(found: re.Match[str]) -> str:
    word = below_hundred(int(found["tens"]) * 10).replace("zero", "hundred")
    century = f"{below_hundred(int(found['century']))} " if found["century"] else ""
    return century + (word.removesuffix("y") + "ies" if word.endswith("y") else word + "s")


def _year(found: re.Match[str]) -> str:
    return year(int(found["year"]))


def _years(found: re.Match[str]) -> str:
    """1939-45, 2010-2015: what is no year after the hyphen was no span of years."""
    first, other = int(found["year"]), int(found["other"])
    last = other if other > 99 else first // 100 * 100 + other
    if last <= first:
        return found.group()
    return f"{year(first)} to {year(last) if other > 99 else below_hundred(other)}"


_YEAR = r"(?P<year>1[1-9]\d\d|20[1-9]\d)"
_DATES_AFTER = (
    r"(?=[,.;:!?)]|\s*\Z|\s+(?:1[1-9]|20)\d\d\b"
    r"|\s+(?:at|on|in|is|was|to|and|from|through|for|or|we|I|as|because|with)\b)"
)
"""What follows the day of a month, and not "May 20 people come in?"."""
_NO_COUNT = (
    r"(?!\s*(?:%|°)|\s+people\b|\s+of\b|\s+(?:and\s+\w+\s+)?"
    r"(?!(?:was|is|has|as|does|this|its|plus|versus|perhaps|always|yes|his|us)\b)[a-z]+s\b)"
)
"""A plural after a number: it counts ("1500 homes") and is no year."""


def date_rules(*, day_first: bool) -> Rules:
    """``day_first``: 01/05/2024 is the first of May, as it is outside the United States."""
    return rules(
        (r"\b(\d{4})-(\d\d)-(\d\d)(T(?=\d\d:))?(?!\d|-\d)", _iso),
        (r"(?<![\d/.])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])", lambda found: _slashed(found, day_first=day_first)),
        (
            rf"\b(?P<month>{_MONTH})[ \u00a0](?P<day>[12]?\d|3[01])" + _DATES_AFTER,
            _month_day,
        ),
        (
            r"\b(?P<month>Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?[ \u00a0](?P<day>[12]?\d|3[01])(?![\d:%.,]\d|\d)",
            _month_day,
        ),
        (rf"\b([12]?\d|3[01])(?=[ \u00a0](?:{_MONTH})\b)", lambda found: ordinal(int(found[1]))),
        (r"(?<![\w.,$€£])(?P<century>1[1-9]|20)(?P<tens>\d)0['’]?s\b", _decade),
        (r"(?<![\w.,$€£])['’]?(?P<century>)(?P<tens>[2-9])0['’]?s\b", _decade),
        (r"(?<![\w.,$€£-])" + _YEAR + r"[ ]?[-–][ ]?(?P<other>(?:1[1-9]|20)?\d\d)(?![\w-]|[.,]\d)", _years),
        (
            r"(\b(?i:in|since|by|until|till|from|to|and|year|around|circa|of|during|before|after|early|late|mid|between"
            rf"|summer|winter|spring|autumn|fall|class|{_MONTH}|\d(?:st|nd|rd|th)),?\s)" + _YEAR
            + r"(?![\w-]|[,.:]\d)" + _NO_COUNT,
            lambda found: "\\1" + _year(found),
        ),
        (r"(?<=\()" + _YEAR + r"(?=\))", _year),
    )  # fmt: skip


# --- times ------------------------------------------------------------------------------------------------------------


def _time(found: re.Match[str]) -> str:
    hour, minute, half = int(found["hour"]), int(found["minute"]), found["half"]
    if hour > 24 or minute > 59:
        return found.group()
    middle = (
        "" if not minute and half else " o'clock" if not minute else f" oh {minute}" if minute < 10 else f" {minute}"
    )
    return f"{hour}{middle}" + (f" {half[0].upper()}M" if half else "")


TIMES = rules(
    (r"(?<![\d:.])(\d{1,2}):(\d\d):(\d\d)(?![\d:])", "\\1 \\2 \\3"),
    (
        r"(?<![\d:.])(?P<hour>\d{1,2}):(?P<minute>\d\d)(?![\d:])(?:\s?(?P<half>[ap]m|[AP]M)\b)?",
        _time,
    ),
    (r"(?<![\d:.])(1[0-2]|[1-9])\s?([ap])m\b", lambda found: f"{found[1]} {found[2].upper()}M"),
    (r"(?<![\d:.])(\d{1,3}):(\d)(?![\d:])", "\\1 to \\2"),  # a ratio
)

# --- money ------------------------------------------------------------------------------------------------------------

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "", ""),
    "CHF": ("Swiss franc", "Swiss francs", "", ""),
}
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "t": "trillion"}
_AMOUNT = (
    r"(?P<whole>\d[\d,]*)(?:\.(?P<rest>\d+))?"
    r"(?:[ \u00a0]?(?P<scale>thousand|million|billion|trillion|bn|mn|[kKMmBb](?![\w.]\w))\b)?"
)


def _money(found: re.Match[str]) -> str:
    one, many, cent, cents = _CURRENCIES[found["sign"]]
    whole, rest, scale = found["whole"].rstrip(","), found["rest"], found["scale"]
    left_out = "," * (len(found["whole"]) - len(whole))  # a comma that belongs to the sentence
    if scale:
        number = f"{whole}.{rest}" if rest else whole
        return f"{number} {_SCALES.get(scale.lower(), scale.lower())} {many}{left_out}"
    if rest is not None and len(rest) == 2 and cent:
        small = f"{int(rest)} {cent if int(rest) == 1 else cents}"
        if not int(rest):
            return f"{whole} {one if whole == '1' else many}"
        if whole == "0":
            return small
        return f"{whole} {one if whole == '1' else many} and {small}"
    number = f"{whole}.{rest}" if rest else whole
    return f"{number} {one if number == '1' else many}{left_out}"


def _money_range(found: re.Match[str]) -> str:
    return f"\\2 to {found['sign']}"


MONEY = rules(
    (r"\b(?:US|CA|AU)(?=\$\d)", ""),
    (r"(?P<sign>[$€£¥₹])[ \u00a0]?(\d[\d.,]*\d|\d)[ \u00a0]?[-–][ \u00a0]?[$€£¥₹]?(?=\d)", _money_range),  # $5-10
    (r"(?P<sign>[$€£¥₹])[ \u00a0]?" + _AMOUNT, _money),
    (r"(?<![\w.,])" + _AMOUNT + r"[ \u00a0]?(?P<sign>[€£¥₹]|USD\b|EUR\b|GBP\b|JPY\b|CHF\b)", _money),
)

# --- numbers with signs -----------------------------------------------------------------------------------------------


def _digits(found: re.Match[str]) -> str:
    """A telephone number: digit by digit, with a breath between its groups."""
    groups = re.findall(r"\d+", found.group())
    return ("plus " if found.group().startswith("+") else "") + ", ".join(" ".join(group) for group in groups)


def _fraction(found: re.Match[str]) -> str:
    top, bottom = int(found["top"]), int(found["bottom"])
    whole = re.search(r"(?<![\w.,])\d+ \Z", found.string[: found.start()]) is not None  # 1 1/2
    if 0 < top < bottom and bottom in _PARTS:
        part = _PARTS[bottom]
        many = "halves" if part == "half" else part + "s"
        return ("and " if whole else "") + f"{below_hundred(top)} {part if top == 1 else many}"
    if whole or not bottom:
        return found.group()
    if (top, bottom) in ((24, 7), (9, 11)):
        return f"{top} {bottom}"
    return f"{top} out of {bottom}" if top <= bottom and bottom in (10, 20, 50, 100) else f"{top} over {bottom}"


def _signed(found: re.Match[str]) -> str:
    top, bottom = _SIGNED[found["sign"]]
    part = _PARTS[bottom]
    said = f"{below_hundred(top)} {part if top == 1 else part + 's'}"
    mixed = found.string[: found.start()][-1:].isdigit()  # 1½
    return f" and {'a half' if bottom == 2 else said}" if mixed else f"\\1{said}"


def _dotted(found: re.Match[str]) -> str:
    """1.000.000 is a million as many countries write it, 192.168.1.1 an address, 2.0.1 a version."""
    parts = found.group().split(".")
    if len(parts[0]) <= 3 and all(len(part) == 3 for part in parts[1:]):
        return "".join(parts)
    return (" dot " if len(parts) == 4 else " point ").join(parts)


_FIELD = r"(?<![\w.,/:-])"
NUMBERS = rules(
    (r"(?<![\w.-])(?:\+\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w-])", _digits),
    (_FIELD + r"\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,5}(?![\w-])", _digits),
    (_FIELD + r"\d{3}-\d{4}(?![\w-])", _digits),
    (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){2,3}(?![\w.]\d)(?!\w)", _dotted),
    (_FIELD + r"(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/]|[.,]\d)", _fraction),
    (r"([ \u00a0]?)(?P<sign>[" + "".join(_SIGNED) + "])", _signed),
    (r"(?<=\d)[ \t\u00a0]?–[ \t\u00a0]?(?=\d)", " to "),
    (r"(?<![\w.,-])(\d[\d.,]*)[ \t]+[-−][ \t]+(?=\d[\d.,]*\s*=)", "\\1 minus "),
    (r"(?<=\d)[ \t]+−[ \t]*(?=\d)", " minus "),
    (r"(?<![\w.,-])(\d+)-(?=\1(?![\w-]|[.,]\d))", "\\1 "),  # 50-50
    (r"(?<![\w.-])(\d+(?:[.,]\d+)*(?:st|nd|rd|th)?)-(?=\d+(?:[.,]\d+)*(?:st|nd|rd|th)?(?![\w-]))", "\\1 to "),
    (r"(?<![\w)\]])[-−](?=\d)", "minus "),
    (r"(?<![\w.])\.(?=\d)", "point "),
)  # fmt: skip
