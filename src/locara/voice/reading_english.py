"""Signs, units, abbreviations and addresses in English, as words.

What may live here: the table of English for `reading`. Numbers with signs are in `reading_english_numbers`. An abbreviation
is written out where a voice would take its dot for the end of a sentence ("Dr. Smith" has a pause in it) or would spell
it ("tsp"); what is left as it is, espeak-ng reads rightly.
"""

from __future__ import annotations

import re
from functools import cache

from locara.voice.marked import Rules, rules
from locara.voice.reading_english_numbers import MONEY, NUMBERS, TIMES, date_rules, ordinal

# --- units ------------------------------------------------------------------------------------------------------------

_UNITS = {
    "km/h": "kilometer per hour", "m/s": "meter per second", "mph": "mile per hour", "kph": "kilometer per hour",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "m³": "cubic meter",
    "sq ft": "square foot", "sqft": "square foot", "°C": "degree Celsius", "° C": "degree Celsius", "℃": "degree Celsius",
    "°F": "degree Fahrenheit", "° F": "degree Fahrenheit", "℉": "degree Fahrenheit", "°": "degree", "º": "degree",
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer", "µm": "micrometer", "μm": "micrometer",
    "kg": "kilogram", "mg": "milligram", "µg": "microgram", "μg": "microgram", "mcg": "microgram",
    "ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "dl": "deciliter",
    "ms": "millisecond", "µs": "microsecond", "μs": "microsecond", "ns": "nanosecond",
    "kWh": "kilowatt hour", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "W": "watt", "V": "volt", "mA": "milliamp",
    "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "Hz": "hertz", "dB": "decibel",
    "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "GiB": "gibibyte",
    "kbps": "kilobit per second", "kbit/s": "kilobit per second", "Mbps": "megabit per second",
    "Mbit/s": "megabit per second", "Gbps": "gigabit per second", "Gbit/s": "gigabit per second",
    "MB/s": "megabyte per second", "GB/s": "gigabyte per second",
    "Ω": "ohm", "kΩ": "kiloohm", "kcal": "kilocalorie", "cal": "calorie", "kJ": "kilojoule",
    "hPa": "hectopascal", "kPa": "kilopascal", "psi": "P S I", "rpm": "R P M", "fps": "frame per second",
    "lbs": "pound", "lb": "pound", "oz": "ounce", "ft": "foot", "yd": "yard", "mi": "mile", "gal": "gallon",
    "tbsp": "tablespoon", "tsp": "teaspoon",
    "min": "minute", "mins": "minute", "hrs": "hour", "hr": "hour", "sec": "second", "secs": "second",
    "m": "meter", "g": "gram", "L": "liter", "l": "liter", "h": "hour",
}  # fmt: skip
_SAME_IN_PLURAL = ("hertz", "P S I", "R P M")
_ONE = ("1", "one")


def _unit(found: re.Match[str]) -> str:
    name = _UNITS[found["unit"]]
    if found["number"] not in _ONE and not name.endswith(_SAME_IN_PLURAL):
        noun, per, rest = name.partition(" per ")
        if "degree" in noun:
            noun = noun.replace("degree", "degrees")
        else:
            noun = noun.removesuffix("foot") + "feet" if noun.endswith("foot") else noun + "s"
        name = noun + per + rest
    return "\\1 " + name


_UNIT_RULES = rules(
    (  # but $5m is five million, not five meters
        r"((?<![\w.,$€£¥])(?<![$€£¥] )(?P<number>\d[\d.,]*))[ \t\u00a0\u202f]?(?P<unit>"
        + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
        + r")(?![\w/²³'’])\.?(?=\Z|[^.]|\.)",
        lambda found: _unit(found) + ("." if _dot_stays(found) else ""),
    ),
    (
        r"(\b(?:half|thirds?|quarters?|eighths?)) (?P<number>)"
        r"(?P<unit>km|cm|mm|kg|g|ml|mL|L|l|mi|tsp|tbsp|oz|lb|m|h)(?![\w/²³'’])",
        _unit,
    ),
    (  # but 747s are aeroplanes
        r"((?<![\w.,$€£¥-])(?P<number>\d[\d.,]*))(?:[ \u00a0\u202f]|(?<=\.\d)|(?<=\.\d\d))s(?![\w/'’])",
        lambda found: "\\1 second" + "s" * (found["number"] != "1"),
    ),
    (
        r"(?<=[a-z])/(?=(?:second|minute|hour|day|night|week|month|year|person|head|kilo(?:gram)?|liter|mile|kg|s|h)\b)",
        " per ",
    ),
    (r"(?<= per )kg\b", "kilogram"),
    (r"(?<= per )(?:h|hr)\b", "hour"),
    (r"(?<=\d)[ \t\u00a0\u202f]?%", " percent"),
    (r"(?<=\d)[ \t\u00a0]?‰", " per mille"),
)  # fmt: skip


def _dot_stays(found: re.Match[str]) -> bool:
    """Whether the dot after a unit ends the sentence: an abbreviation's own dot is followed by a small letter."""
    if not found.group().endswith("."):
        return False
    return not re.match(r"\s+[a-z]", found.string[found.end() :])


# --- signs ------------------------------------------------------------------------------------------------------------

_POWERS = {"²": "squared", "³": "cubed", "2": "squared", "3": "cubed"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def _power(found: re.Match[str]) -> str:
    exponent = found["to"].translate(_RAISED).strip("()")
    if exponent in _POWERS:
        return f" {_POWERS[exponent]}"
    return f" to the power of {exponent.replace('-', 'minus ').replace('+', '')}"


_SIGN_RULES = rules(
    (r"\b([A-Z])&([A-Z])\b", "\\1 and \\2"),
    (r"\b([A-Z]{2,3})&([A-Z])\b", lambda found: f"{'.'.join(found[1])}. and {found[2]}"),  # A.T. and T
    (r"[ \t]?&[ \t]?", " and "),
    (r"(?<=[\w)])[ \t]*(?:!==?|≠)[ \t]*(?=[\w(])", " is not equal to "),
    (r"(?<=[\w)])[ \t]*(?:≤|<=(?=[ \t]*[\w(]))[ \t]*", " at most "),
    (r"(?<=[\w)])[ \t]*(?:≥|>=(?=[ \t]*[\w(]))[ \t]*", " at least "),
    (r"[ \t]?(?:→|⇒|⟶|-+>|=+>)[ \t]?", " to "),
    (r"(?<=\d)[ \t]+<[ \t]+(?=\w)|(?<=\b\w)[ \t]+<[ \t]+(?=\d)", " is less than "),
    (r"(?<=\d)[ \t]+>[ \t]+(?=\w)|(?<=\b\w)[ \t]+>[ \t]+(?=\d)", " is greater than "),
    (r"(?<![\w~])[~≈][ \t]?(?=[$€£]?\d)", "about "),
    (r"(?<!\w)(?<!\w )<[ \t]?(?=[$€£]?\d)", "less than "),
    (r"(?<!\w)(?<!\w )>[ \t]?(?=[$€£]?\d)", "more than "),
    (r"[ \t]?±[ \t]?", " plus or minus "),
    (r"(?<=\d)[ \t]*x[ \t]*(?=\d)", " by "),
    (r"(?<=\d)x\b", " times"),
    (r"[ \t]?×[ \t]?", " times "),
    (r"[ \t]?÷[ \t]?|(?<=\d)[ \t]+/[ \t]+(?=\d)", " divided by "),
    (r"√[ \t]?", "square root of "),
    (r"∞", "infinity"),
    (r"(?<=\d)[eE]\+?(\d{1,3})\b(?!\w)", " times 10 to the power of \\1"),
    (r"(?<=\d)[eE]-(\d{1,3})\b(?!\w)", " times 10 to the power of minus \\1"),
    (r"(?<=[\w)])\^(?P<to>\(?-?\w{1,4}\)?)", _power),
    (r"(?<=[\w)])(?P<to>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+)", _power),
    (r"[₀-₉]+", lambda found: found.group().translate(_LOWERED)),
    (r"(?<=\d)[ \t]*\+[ \t]*(?=\d)", " plus "),
    (r"(?<=[\w)])[ \t]+\+[ \t]+(?=[\w(])", " plus "),
    (r"(?<=[\w)])[ \t]+={1,3}[ \t]+(?=\S)|(?<=[\w)])={1,3}(?=[\w(-])", " equals "),
    (r"\b([A-GJ])#(?!\w)", "\\1 sharp"),
    (r"(?<=\w)[™®℠]", ""),
    (r"\bCO2\b", "C O 2"),
)  # fmt: skip

# --- addresses --------------------------------------------------------------------------------------------------------


def _mail(found: re.Match[str]) -> str:
    name, host = found.group().split("@")
    return name.replace(".", " dot ").replace("_", " underscore ") + " at " + host.replace(".", " dot ")


_ENDINGS = (
    "com|org|net|edu|gov|io|dev|ai|app|co|uk|de|eu|fr|info|example"
    "|txt|py|js|ts|md|json|csv|pdf|html|toml|yaml|jpg|png|mp3|wav|exe|zip"
)
"""Of names of hosts and files: the dot before one of these is said."""

_ADDRESS_RULES = rules(
    (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", _mail),
    (rf"(?<=[a-z0-9])\.(?=(?:[a-z0-9-]+\.){{0,2}}(?:{_ENDINGS})\b(?![\w@]))", " dot "),
    (r"(?<![\w.])@(?=[A-Za-z])", "at "),
)  # fmt: skip

# --- abbreviations ----------------------------------------------------------------------------------------------------

_BEFORE_NAME = {
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Mrs", "Ms": "Ms", "Prof": "Professor", "St": "Saint", "Gov": "Governor",
    "Sen": "Senator", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant",
    "Rev": "Reverend", "Hon": "Honorable",
}  # fmt: skip
_BEFORE_NUMBER = {
    "fig": "figure", "figs": "figures", "eq": "equation", "ch": "chapter", "vol": "volume", "pp": "pages",
    "p": "page", "sec": "section", "nos": "numbers", "ca": "circa", "c": "circa",
}  # fmt: skip
_AFTER_NAME = {
    "St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Dr": "Drive", "Inc": "Incorporated",
    "Ltd": "Limited", "Corp": "Corporation", "Co": "Company", "Jr": "Junior", "Sr": "Senior", "Mt": "Mount",
}  # fmt: skip
_DAYS = {day[:3]: day for day in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()}
_MONTHS = {
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Aug": "August", "Sept": "September",
    "Sep": "September", "Oct": "October", "Nov": "November", "Dec": "December",
}  # fmt: skip


def _capital(found: re.Match[str], words: dict[str, str]) -> str:
    word = words[found[1].lower()]
    return word.capitalize() if found[1][0].isupper() else word


def _after_name(found: re.Match[str]) -> str:
    ends = re.match(r"\s*\Z|\s+[A-Z]", found.string[found.end() :])
    return _AFTER_NAME[found[1]] + ("." if ends else "")


def _country(found: re.Match[str]) -> str:
    """U.S. is "US", for its last dot makes a pause; at the end it is the sentence's dot too."""
    return found.group().replace(".", "") + ("." if not found.string[found.end() :].strip() else "")


_ROMAN = {"I": 1, "V": 5, "X": 10}
_REGNAL = (
    "Henry|Louis|Elizabeth|Charles|George|Edward|James|William|Richard|Philip|Napoleon|Paul|Benedict|Pius|Leo|Alexander"
    "|Nicholas|Peter|Frederick|Ramses|Ramesses|Francis|Catherine|Ivan|Gregory|Innocent|Clement|Urban|Mary|Wilhelm|Karl"
    "|Felipe|Juan|Ferdinand|Gustav|Christian|Xerxes|Darius|Ptolemy|Mehmed|Umberto|Carlos|Robert|Otto|Sixtus|Julius"
)


def _roman(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


_NUMERAL = r"(X{0,3}(?:I[XV]|V?I{0,3}))(?<=[IVX]{2})"
_ABBREVIATIONS = rules(
    (r"\b[Ee]\.\s?g\.", "for example"),
    (r"\b[Ii]\.\s?e\.", "that is"),
    (r"\betc\.(?=\s*[a-z,;:)])", "et cetera"),
    (r"\betc\.", "et cetera."),
    (r"\bvs\.?(?=\s)", "versus"),
    (r"\bapprox\.(?=\s)", "approximately"),
    (r"\bcf\.(?=\s)", "compare"),
    (r"\bet al\.?(?!\w)", "and others"),
    (r"\ba\.?k\.?a\.?(?=\s)", "also known as"),
    (r"\bw/o(?=\s)", "without"),
    (r"\bw/(?=\s)", "with"),
    (r"\b[Nn]/[Aa]\b", "not available"),
    (r"\bPh\.\s?D\.?(?!\w)", "PhD"),
    (r"\b(and)/(?=or\b)", "\\1 "),
    (r"\b([Hh]e|[Ss]he|[Hh]is|[Hh]er|[Hh]im|yes|true|on)/(?=(?:she|he|her|his|hers|him|they|no|false|off)\b)", "\\1 or "),
    (r"\b[Nn]o\.(?=\s?\d)|[Nn]°\s?(?=\d)|№\s?(?=\d)", "number "),
    (r"#(?=\d)", "number "),
    (r"\b(figs?|eq|ch|vol|pp?|sec|nos|ca?)\.[ \u00a0]?(?=\d)", lambda found: _capital(found, _BEFORE_NUMBER) + " "),
    (r"\b(Figs?|Eq|Ch|Vol|Pp?|Sec|Nos|Ca?)\.[ \u00a0]?(?=\d)", lambda found: _capital(found, _BEFORE_NUMBER) + " "),
    (r"(?<=[a-z] )(St)\.(?=\s+[a-z]|,|\s*\Z)", _after_name),
    (r"(?<=[A-Za-z][a-z] )(Inc|Ltd|Corp|Co|Jr|Sr|Ave|Blvd|Rd|Dr)\.(?=\s+[a-z]|[,;:)]|\s*\Z)", _after_name),
    (r"(?<=[a-z], )(Inc|Ltd|Jr|Sr)\.(?=\s+[a-z]|[,;:)]|\s*\Z)", _after_name),
    (r"\b(" + "|".join(_BEFORE_NAME) + r")\.(?=\s+(?:[A-Z][a-z]|[A-Z]\.))", lambda found: _BEFORE_NAME[found[1]]),
    (r"\b(Mon|Tues?|Wed|Thurs?|Fri|Sat|Sun)\.(?=\s+[a-z\d]|,)", lambda found: _DAYS[found[1][:3]]),
    (r"\b(Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec)\.(?=\s+(?:\d|[a-z])|,)", lambda found: _MONTHS[found[1]]),
    (r"\bdept\.(?=\s)", "department"),
    (r"\b(?:U\.S\.A|U\.S|U\.K|U\.N|E\.U|D\.C|L\.A)\.(?!\w)", _country),
    (r"\b[A-Z]\.(?:[ \u00a0][A-Z]\.)+(?=[ \u00a0][A-Z][a-z])", lambda found: found.group().replace(".", "")),  # J. K. R
    (rf"\b(?P<who>{_REGNAL})[ \u00a0]{_NUMERAL}(?!\w)", lambda found: f"\\1 the {ordinal(_roman(found[2]))}"),
    (rf"(?<=[A-Z][a-z][a-z] |[a-z][a-z][a-z] ){_NUMERAL}(?!\w)(?<!\ban IV)(?<!the IV)", lambda found: str(_roman(found[1]))),
    (r"\bIV(?!\w)", "I V"),
)  # fmt: skip


@cache
def rules_for(region: str) -> Rules:
    """All of English, in order: what has signs of its own (addresses, dates, money) before the signs."""
    day_first = region not in ("", "us")
    return (
        *_ADDRESS_RULES, *_ABBREVIATIONS, *date_rules(day_first=day_first), *TIMES, *MONEY, *NUMBERS, *_UNIT_RULES,
        *_SIGN_RULES,
    )  # fmt: skip
