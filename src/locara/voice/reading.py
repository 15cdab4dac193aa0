"""How a language reads what is written in signs: one table a language, found by its code.

What may live here: the shape of such a table and the list of them. What is read rightly by voices as it stands (words,
plain numbers, ordinals) is in no table. A language without a table keeps its signs: a voice knows them better than a
guess does. To add one, write ``reading_<language>.py`` and name it in ``reading``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from locara.voice.marked import Rules

_CODE = {
    "en": "code omitted",
    "de": "Code ausgelassen",
    "fr": "code omis",
    "es": "código omitido",
    "it": "codice omesso",
    "pt": "código omitido",
    "nl": "code weggelaten",
}
_LINK = {
    "en": "a link",
    "de": "ein Link",
    "fr": "un lien",
    "es": "un enlace",
    "it": "un link",
    "pt": "um link",
    "nl": "een link",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """``code`` and ``link``: what is said in place of them, empty for nothing. ``rules``: signs, units, numbers and
    abbreviations as words."""

    code: str = ""
    link: str = ""
    rules: Rules = ()


@cache
def reading(language: str) -> Reading:
    """The table for a language's code (``en``, ``en-US``, ``de-DE``). An unknown language has no words of ours."""
    name, _, region = language.lower().replace("_", "-").partition("-")
    rules: Rules = ()
    if name == "en":
        from locara.voice import reading_english

        rules = reading_english.rules_for(region)
    return Reading(_CODE.get(name, ""), _LINK.get(name, ""), rules)
