"""What of a reply is read aloud: no markdown, emoji, addresses, code or thinking text; numbers, units and signs as words.

What may live here: the order in which a clause is made ready for a voice. Pure. Where clauses end is decided in `clauses`;
the rules are in `omissions` (whole parts), `markup` (marks) and `reading` (a language's signs); the way back is `marked`.
"""

from __future__ import annotations

from locara.voice.marked import Marked, Spoken
from locara.voice.markup import BLANKS, LINKS, SIGNS, address_rules
from locara.voice.omissions import Omissions
from locara.voice.reading import reading


def speakable(clause: str, language: str = "en") -> Spoken:
    """One clause that stands alone, as a voice should read it."""
    return Speakable(language).push(clause)


class Speakable:
    """The clauses of one reply, one after the other: remembers that code, thinking text or a tag is still open.

    ``language``: the voice's, as a code (``en``, ``en-GB``, ``de``); see `reading`.
    """

    def __init__(self, language: str = "en") -> None:
        self._reading = reading(language)
        self._addresses = address_rules(self._reading.link)
        self._omissions = Omissions(self._reading.code)
        self._line_begins = True

    def push(self, clause: str) -> Spoken:
        """The next clause. Constructs that go on in the next one (``**bold``, a table's row, code) may be cut anywhere
        between words."""
        begins = self._line_begins
        self._line_begins = clause[-1:] == "\n" or (begins and not clause.strip())
        rest = Marked(self._omissions.push(clause), clause)
        if not begins:
            rest = rest.sub(r"\A[ \t]*", "\0")  # what follows is no beginning of a line
        for rules in (LINKS, self._addresses, SIGNS, self._reading.rules, BLANKS):
            rest = rest.rewritten(rules)
        return rest.spoken()
