"""What a sentence wants: text in, `Intent` out, also where words were misheard.

What may live here: pure decisions about meaning. How phrases are compared is in `responder_words`, which phrases there
are in `responder_phrases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from locara.engines.responder_phrases import OPENING, WHOLE, Kind
from locara.engines.responder_sums import Sum, find_sum
from locara.engines.responder_units import Quantity, Unit, quantity_at, unit_at
from locara.engines.responder_words import FILLERS, LIGHT, Phrase, alike, fit, fit_opening, present, words

_ENOUGH = 0.74  # fit of a phrase that is taken; measured on the recognised corpus of the tests
_ENOUGH_SHORT = 0.87  # of a phrase with one word that counts: there is little evidence in it
_ENOUGH_OPENING: dict[Kind, float] = {"recall": 0.92}
_ENOUGH_OPENING_ELSE = 0.8
_SURE = 0.9  # below it, amounts of different kinds are two amounts, no wish to convert
_EXACT = 0.99  # what counts without fuzziness
_SHORT = 2.5  # weight of such a phrase
_LONGEST = 40  # words; more than that is dictation or a radio, not a wish
_FALLING_BACK = ("recall", "alarm")  # openings that a whole phrase goes before
_ASKING = frozenset({"where", "when", "what", "who", "which", "whose"})
_TELLING = frozenset({"i", "we", "he", "they", "you"})
_UNITS_TOO_SHORT_ALONE = frozenset({"min", "our", "sec", "mi", "ms"})


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted. Only the fields that ``kind`` needs are set.

    ``score``: how sure, 0 to 1. ``tail``: the user's own words (to remember, to repeat, to look up).
    ``name``: of a timer. ``days``: from today. ``every``: all of them. ``certain``: surely about what was told.
    """

    kind: Kind
    score: float = 1.0
    heard: str = ""
    sum: Sum | None = None
    quantity: Quantity | None = None
    unit: Unit | None = None
    tail: str = ""
    name: str = ""
    days: int = 0
    every: bool = False
    certain: bool = False


@dataclass(frozen=True, slots=True)
class _Said:
    """One way to read a sentence: some of its words replaced by slots."""

    words: tuple[str, ...]
    slots: frozenset[str]
    sum: Sum | None = None
    quantities: tuple[Quantity, ...] = ()
    unit: Unit | None = None


def understand(text: str, *, fuzzy: bool = True) -> Intent:
    """What ``text`` wants. ``fuzzy`` False takes words only as they are written (for measuring what it brings)."""
    said = words(text)
    heard = " ".join(said)
    if not any(word[0].isalnum() for word in said):
        return Intent("nothing")
    opening = _opening(_without_fillers(said), fuzzy)
    if opening and opening.kind not in _FALLING_BACK:
        return opening
    best = _whole(said, fuzzy) if len(said) <= _LONGEST else None
    if best:
        return best
    if opening:
        return opening
    asked = _without_fillers(said)
    if asked[0] in _ASKING and len(said) <= _LONGEST:
        return Intent("recall", 0.5, heard, tail=" ".join(asked), certain="my" in asked)
    return Intent("unknown", 0.0, heard)


def _without_fillers(said: tuple[str, ...]) -> tuple[str, ...]:
    """Without what stands before the sentence itself: ``please``, ``could you``."""
    while len(said) > 1 and (said[0] in FILLERS or (said[0] == "you" and len(said) > 2)):
        said = said[1:]
    return said


def duration_in(text: str) -> Quantity | None:
    """The length of time that ``text`` is about, or None: the answer to "for how long?"."""
    return next((found for found in _quantities(words(text)) if found.unit.dimension == "time"), None)


def means_all(text: str) -> bool:
    """Whether ``text`` is about all of something."""
    return bool({"all", "every", "both", "everything"} & set(words(text)))


# --- sentences with an open end ---------------------------------------------------------------------------------------


def _opening(said: tuple[str, ...], fuzzy: bool) -> Intent | None:
    reminder = _reminder(said)
    if reminder:
        return reminder
    best, begin, found = 0.0, 0, None
    for kind, phrase in OPENING:
        score, end = fit_opening(phrase, said, fuzzy=fuzzy)
        wanted = _ENOUGH_OPENING.get(kind, _ENOUGH_OPENING_ELSE) if len(phrase.words) > 1 else 0.92
        if score >= (wanted if fuzzy else _EXACT) and end < len(said) and (score, end) > (best, begin):
            best, begin, found = score, end, kind
    if found is None:
        return None
    tail = said[begin:]
    if tail[0] == "that" and len(tail) > 1:
        tail = tail[1:]
    if found == "remember" and (_is_question(said) or said[0] in _TELLING | {"she"}):
        return None
    if found == "elsewhere" and not any(word not in LIGHT | FILLERS | {"here"} for word in tail):
        return None
    return Intent(found, best, " ".join(said), tail=" ".join(tail), certain=found == "recall")


def _is_question(said: Sequence[str]) -> bool:
    """``do you remember where ...`` asks, ``remember where ...`` tells."""
    return said[0] in _ASKING | {"do", "did"} and tuple(said[:2]) != ("do", "not")


def _reminder(said: tuple[str, ...]) -> Intent | None:
    """``remind me to call mum in ten minutes`` or ``remind me in ten minutes to call mum``."""
    if len(said) < 5 or said[1] != "me" or alike(said[0], "remind") < 0.8 or said[2] not in ("to", "in", "that"):
        return None
    for at in range(2, len(said)):
        length = quantity_at(said, at + 1) if said[at] == "in" else None
        if length is None or length.unit.dimension != "time":
            continue
        if said[2] != "in" and length.end == len(said):
            return Intent("timer-set", 1.0, " ".join(said), quantity=length, name="to " + " ".join(said[3:at]))
        if at == 2 and length.end < len(said) - 1 and said[length.end] in ("to", "that"):
            name = "to " + " ".join(said[length.end + 1 :])
            return Intent("timer-set", 1.0, " ".join(said), quantity=length, name=name)
    return None


# --- sentences that are one phrase ------------------------------------------------------------------------------------


def _whole(said: tuple[str, ...], fuzzy: bool) -> Intent | None:
    readings = _readings(said, fuzzy)
    best, found, read = 0.0, None, None
    heard_keys = present(_KEYS, said) if fuzzy else _KEYS & set(said)
    for kind, phrase, keys in _WHOLE:
        if not keys <= heard_keys:
            continue
        wanted = (_ENOUGH if phrase.total > _SHORT else _ENOUGH_SHORT) if fuzzy else _EXACT
        for reading in readings:
            if _slots(phrase.words) != reading.slots:
                continue
            score = fit(phrase, reading.words, fuzzy=fuzzy)
            if score >= wanted and score > best:
                best, found, read = score, kind, reading
    if found is None or read is None:
        timed = next((reading for reading in readings if fuzzy and _ends_as_timer(reading.words)), None)
        return _filled("timer-set", _ENOUGH, said, timed) if timed else None
    return _filled(found, best, said, read)


def _ends_as_timer(said: Sequence[str]) -> bool:
    """``... timer for <duration>``: so particular that a beginning lost to noise does not matter ("she added timers for
    five minutes" was "set a timer")."""
    if len(said) < 3 or len(said) > 7 or said[0] in _TELLING or tuple(said[-2:]) != ("for", "<duration>"):
        return False
    return alike(said[-3], "timer") >= 0.8 or (len(said) > 3 and alike(said[-4] + said[-3], "timer") >= 0.85)


def _key_words(phrase: Phrase) -> frozenset[str]:
    return frozenset(phrase.words[place] for place in phrase.keys if not phrase.words[place].startswith("<"))


_WHOLE = tuple((kind, phrase, _key_words(phrase)) for kind, phrase in WHOLE)
_KEYS = frozenset().union(*(keys for _, _, keys in _WHOLE))


def _slots(parts: Sequence[str]) -> frozenset[str]:
    return frozenset(part for part in parts if part.startswith("<"))


def _readings(said: tuple[str, ...], fuzzy: bool) -> tuple[_Said, ...]:
    """The ways to read ``said``: as plain words, with its sum, with its lengths of time, with its quantities."""
    readings = [_Said(said, frozenset())]
    if found := find_sum(said):
        replaced = (*said[: found.start], "<sum>", *said[found.end :])
        readings.append(_Said(replaced, _slots(replaced), sum=found))
    quantities = _quantities(said, fuzzy)
    if not quantities:
        return tuple(readings)
    if quantities[0].unit.dimension == "time":
        replaced = _replaced(said, quantities[:1], "<duration>")
        readings.append(_Said(replaced, _slots(replaced), quantities=quantities[:1]))
    for some in (quantities, quantities[:1]):
        replaced, unit = _unit_replaced(_replaced(said, some, "<quantity>"))
        readings.append(_Said(replaced, _slots(replaced), quantities=some, unit=unit))
    return tuple(readings)


def _quantities(said: tuple[str, ...], fuzzy: bool = True) -> tuple[Quantity, ...]:
    """The quantities in ``said``, from left to right, first those that were heard clearly."""
    found: list[Quantity] = []
    at = 0
    while at < len(said):
        quantity = quantity_at(said, at, fuzzy=False) or (quantity_at(said, at) if fuzzy else None)
        if quantity:
            found.append(quantity)
        at = quantity.end if quantity else at + 1
    return tuple(found)


def _replaced(said: tuple[str, ...], quantities: Sequence[Quantity], slot: str) -> tuple[str, ...]:
    out, at = [], 0
    for quantity in quantities:
        out += [*said[at : quantity.start], slot]
        at = quantity.end
    return (*out, *said[at:])


def _unit_replaced(said: tuple[str, ...]) -> tuple[tuple[str, ...], Unit | None]:
    """The first unit that stands alone, replaced by its slot."""
    for fuzzy in (False, True):
        for at, word in enumerate(said):
            free = len(word) > 1 and word not in _UNITS_TOO_SHORT_ALONE
            if word.startswith("<") or not (free or (at and said[at - 1] in ("to", "in", "into"))):
                continue
            if named := unit_at(said, at, fuzzy=fuzzy):
                return (*said[:at], "<unit>", *said[named[1] :]), named[0]
    return said, None


def _filled(kind: Kind, score: float, said: tuple[str, ...], read: _Said) -> Intent:
    heard = " ".join(said)
    quantity = read.quantities[0] if read.quantities else None
    unit = read.unit
    if kind == "convert" and len(read.quantities) > 1:
        # "five pounds to kilograms" heard as "five pounds ten kilograms", or as "two kilograms"
        misheard = read.quantities[1].value in (Fraction(2), Fraction(10))
        unit = read.quantities[1].unit if misheard and "convert" in said else None
    if kind == "convert" and (
        unit is None
        or quantity is None
        or unit == quantity.unit
        or (score < _SURE and unit.dimension != quantity.unit.dimension)
    ):
        return Intent("unknown", 0.0, heard)
    every = means_all(heard) or (kind == "timer-cancel" and "timers" in said)
    days = next((days for name, days in (("tomorrow", 1), ("yesterday", -1)) if _hears(said, name)), 0)
    return Intent(kind, score, heard, read.sum, quantity, unit, name=_timer_name(read), days=days, every=every)


def _hears(said: Sequence[str], wanted: str) -> bool:
    return any(alike(word.removesuffix("'s"), wanted) >= 0.8 for word in said)


def _timer_name(read: _Said) -> str:
    """``pasta`` in ``set a pasta timer for ten minutes``: only where its neighbours were heard clearly."""
    for before, name, timer in zip(read.words, read.words[1:], read.words[2:], strict=False):
        if timer == "timer" and before in ("a", "an", "the", "my") and name not in LIGHT | {"new", "timer", "second"}:
            return "" if name.startswith("<") else name
    return ""
