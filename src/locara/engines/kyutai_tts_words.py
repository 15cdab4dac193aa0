"""Where the words that Kyutai's voice speaks stand in the text.

What may live here: this one reckoning; pure. The package cuts a text at its spaces and leaves out some signs
(``script_to_entries`` in ``moshi/models/tts.py``): what is left is found again here.
"""

from __future__ import annotations

from collections.abc import Sequence

_DROPPED = "()"
_REPLACED = {"\N{RIGHT SINGLE QUOTATION MARK}": "'", ":": " "}


def spans(text: str, spoken: Sequence[str]) -> list[tuple[int, int]]:
    """For each word that is spoken, in order, its characters in ``text``. A word that is not found there (a text that was
    changed in another way) has an empty span where it would stand."""
    kept = [number for number, char in enumerate(text) if char not in _DROPPED]
    plain = "".join(_REPLACED.get(text[number], text[number]) for number in kept)
    found, after = [], 0
    for word in spoken:
        at = plain.find(word, after) if word else -1
        if at < 0:
            here = kept[after] if after < len(kept) else len(text)
            found.append((here, here))
            continue
        after = at + len(word)
        found.append((kept[at], kept[after - 1] + 1))
    return found
