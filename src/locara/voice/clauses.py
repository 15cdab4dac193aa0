"""Tokens of a reply in, clauses to be spoken out: speech begins with the first clause, not with the first sentence.

What may live here: deciding where a text that is still being written can be cut. Pure: no clock, no thread, no I/O. What
of a clause is read aloud is decided in `speakable`.

The text is looked at character by character, so where its tokens begin and end changes nothing. A cut is made once a
letter or digit after it has been seen: only then is it known that "3." did not go on as "3.5", and whatever is left has
something in it to be spoken.
"""

from __future__ import annotations

import re

LONG = 200
"""Characters after which a clause is cut at the next good space, whatever it says."""

_TOO_LONG = 260  # then at any space
_ENDLESS = 1000  # then anywhere: a text without spaces must not be held forever
_FIRST_WORDS = 4  # with the first letter of the next word, the fifth token: at 20 tokens a second, speech has 0.2 s
_LATER_WORDS = 5


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PHRASE = _words(
    "and but or nor yet that which who whom whose because if unless although though while when whenever where until since"
    " before after so to in into on onto at for with without from about by as than then through over under between during"
    " against across around toward towards behind near via per not"
)
"""A phrase begins with one of these: a speaker may draw breath before it."""

_CLINGS = _PHRASE - {"so", "then", "before", "after", "not", "since", "yet", "though"} | _words(
    "the a an of my your his her its our their this these those every each some any no very too quite more most less"
    " what how why what's who's let's such both either neither only just even almost much many few several another other"
    " mr mrs ms dr st vs plus minus times point zero one two three four five six seven eight nine ten eleven twelve"
    " thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
    " hundred thousand million billion half"
    " der das den dem des ein eine einen einem einer eines mein dein und oder mit von zu zum zur im am für auf"
    " le la les un une du de et ou à au aux mon ton el los las una y del il lo gli di che o um uma os"
)
"""No clause ends on one of these: the word it belongs to is still to come."""

_WEAK = _words(
    "i we he she they you it i'm we're they're you're it's i'll i've i'd we'll is are was were be been am do does did has"
    " have had can could will would shall should may might must don't can't won't isn't aren't there here that's there's"
    " and's sehr nicht je tu il elle nous vous ils"
)
"""A clause may end on one of these when there is no better place."""

_GOES_ON = _words("mr mrs ms dr prof messrs mme mlle sra srta hon rev vs approx cf dhr bzw ca gov sen lt capt sgt st")
_BEFORE_NUMBER = _words("no nos nr fig figs eq vol ch pp p sec art jan feb mar apr jun jul aug sep sept oct nov dec")
_MAYBE_ENDS = _words("etc inc ltd co corp jr sr al est dept ave blvd usw")
_MONTH_DAY = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?\Z", re.I
)
_LETTERS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")  # e.g, i.e, U.S, J: what stands before the last full stop
_CLOCK = _words("a.m p.m")

_GOING_ON = re.compile(r"[?!.…]+[\"'”’»)\]]|\.\.|…")  # "Stop!" he said; well... yes
_FULL_STOP = re.compile(r"\.(?!\.)")
_SENTENCE = re.compile(r"[.?!…।؟]")
_PAUSE = re.compile(r"[,;:،؛]")
_CJK_END = re.compile(r"[。！？…；：][。！？…」』）”’\"'》〉】]*")
_CJK_PAUSE = re.compile(r"[，、][」』）”’》〉】]*")
_JOINING_DASH = re.compile("—|--")
_LAST_SPACE = re.compile(r"\s+\S*$")
_OPENING = "\"'([{“‘«*_`<¿¡„#>|-•"


class Clauses:
    """Cuts one reply. ``push`` tokens, then ``flush``; after that it is new again.

    Joined, all clauses are the text exactly as it came, so each is a slice of it. Blanks lead the next clause. Every
    clause has a letter or a digit, but for what follows the last line break or a reply that has none at all.
    """

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def push(self, token: str) -> list[str]:
        """The clauses that ``token`` completes, mostly none or one."""
        clauses: list[str] = []
        coming = [*reversed(token)]
        while coming:
            self._text += coming.pop()
            at = cut(self._text, first=self._first)
            if at:
                clauses.append(self._text[:at])
                coming.extend(reversed(self._text[at:]))  # read again, now that they begin a clause
                self._text = ""
                self._first = False
        return clauses

    def flush(self) -> list[str]:
        """The rest, when the reply is complete."""
        rest = self._text
        self._text = ""
        self._first = True
        return [rest] if rest else []


def cut(text: str, *, first: bool) -> int:
    """How many characters of ``text`` are a clause, decided by its last character; 0: none yet.

    To be asked for every prefix of a text in turn; asking later may find less. ``first``: the clause begins the reply.
    """
    last = text[-1]
    if last == "\n":
        return _at_line_end(text)
    if last.isspace():
        return _before_phrase(text) if first and text[-2:-1].isalnum() else 0
    return _at_letter(text, first=first) if last.isalnum() else 0


def _at_letter(text: str, *, first: bool) -> int:
    end = len(text) - 1
    while end and not text[end - 1].isalnum():
        end -= 1
    gap = text[end:-1]
    if not end:
        return 0  # nothing to be spoken so far
    if not gap:
        return _too_long(text)
    if any(char.isspace() for char in gap):
        return _at_space(text, end, gap, first=first)
    return _inside(text, end, gap, first=first)


def _at_line_end(text: str) -> int:
    """A line break ends a clause, unless only a list's number or nothing stands before it."""
    said = text.rstrip()
    marker = said.strip().removesuffix(".").removesuffix(")")
    if not any(map(str.isalnum, marker)) or (marker.isdigit() and marker != said.strip()):
        return 0
    return len(said)


def _at_space(text: str, end: int, gap: str, *, first: bool) -> int:
    """A new word begins after ``gap``, which has a blank in it."""
    space = _LAST_SPACE.search(gap)
    at = end + (space.start() if space else 0)
    ended = gap[: at - end]  # punctuation and whatever else belongs to what was said
    count = _count(text[:at])
    if _SENTENCE.search(ended) and _is_sentence_end(text, end, ended):
        return at
    mild = (
        _PAUSE.search(ended) or _SENTENCE.search(ended[1:]) or (re.search(r"\s[-–—]+$", ended) or ended.endswith("—"))
    )
    if (
        mild
        and not _number_goes_on(text[:end], ended, text[-1])
        and count >= (_words_wanted(ended) if first else _LATER_WORDS)
    ):
        return at
    if first and count >= _FIRST_WORDS:
        return _early(text)
    if at > _TOO_LONG or (at > LONG and _last_word(text[:at]) not in _CLINGS):
        return at
    return 0


def _number_goes_on(said: str, ended: str, following: str) -> bool:
    """A comma before a digit that is no pause of the sentence: "May 1, 2024", "[1, 2]", "(Lee et al., 2020)"."""
    if not following.isdigit() or not ended.startswith((",", ".,")):
        return False
    return bool(_MONTH_DAY.search(said)) or _in_brackets(said)


def _in_brackets(said: str) -> bool:
    """What stands in brackets may be a note or a link, which is only known when they close."""
    return max(said.rfind("("), said.rfind("[")) > max(said.rfind(")"), said.rfind("]"))


def _words_wanted(ended: str) -> int:
    """Words that a first clause must have to end on this mark: after "Well," one waits for more."""
    return 1 if re.search(r"[;:…؛]|\.\.", ended) else 2


def _is_sentence_end(text: str, end: int, ended: str) -> bool:
    """Whether the mark in ``ended``, which follows ``text[:end]``, ends a sentence that ``text[-1]`` does not go on with."""
    following = text[-1]
    if following.islower() and _GOING_ON.match(ended):
        return False
    return not _FULL_STOP.match(ended) or _is_full_stop(text[:end], following)


def _is_full_stop(said: str, following: str) -> bool:
    """Whether the dot after ``said`` is more than that of an abbreviation, an initial or a list's number."""
    line = said.rpartition("\n")[2]
    word = line.split()[-1].lstrip(_OPENING)
    name = word.lower()
    if word.isdigit() and word == line.strip(_OPENING + " \t"):
        return False  # 1. the number of a list
    before = line.split()[-2:-1]
    if name == "sr" and not (before and before[0][:1].isupper()):
        return False  # señor; after a name it is senior
    if name in _CLOCK or name in _MAYBE_ENDS:
        return following.isupper()
    if name in _GOES_ON or (name in _BEFORE_NUMBER and following.isdigit()):
        return False
    if name == "i" or word.lower() == word.upper():
        return True  # a script without capitals has no initials: 네.
    return not _LETTERS.fullmatch(word)


def _inside(text: str, end: int, gap: str, *, first: bool) -> int:
    """Something else than a blank stands between the last letter and this one."""
    if found := _CJK_END.search(gap):
        return end + found.end()
    found = _CJK_PAUSE.search(gap) or _JOINING_DASH.search(gap)
    digits = text[end - 1].isdigit() and text[-1].isdigit()  # 1939—1945
    if found and not digits and _count(text[:end]) >= (2 if first else _LATER_WORDS):
        return end + found.end()
    return 0


def _too_long(text: str) -> int:
    """Within a word. Scripts without blanks are cut between two characters, others only as a last resort."""
    at = len(text) - 1
    return at if at > _ENDLESS or (at > LONG and _is_wide(text[-1]) and _is_wide(text[-2])) else 0


def _before_phrase(text: str) -> int:
    """A word has ended. If it begins a phrase, what stands before it can be said: speech begins."""
    words = [*re.finditer(r"\S+", text)]
    if _count(text) <= _FIRST_WORDS - 1 or len(words) < 2:
        return 0
    before, phrase = words[-2], words[-1]
    good = phrase.group().lower() in _PHRASE and _rank(before.group(), "", phrase.group()) < 3
    return before.end() if good and not _in_brackets(text[: before.end()]) else 0


def _early(text: str) -> int:
    """The fifth word, or a later one, of a first clause begins, and nothing has ended yet: the best place to cut it."""
    words = [found for found in re.finditer(r"\S+", text) if any(map(str.isalnum, found.group()))]
    best, best_rank = 0, 4
    for count in range(len(words) - 1, 1, -1):
        following = words[count].group()
        known = following if count < len(words) - 1 else ""  # of the last word only the first letter is there
        rank = _rank(words[count - 1].group(), words[count - 2].group(), following)
        if known.lower() in _PHRASE and rank < 3:
            rank = 0 if count > 2 else 1
        elif count == 2 and rank == 1:
            rank = 2
        if rank < best_rank and not _in_brackets(text[: words[count - 1].end()]):
            best, best_rank = words[count - 1].end(), rank
    return best if best_rank < 4 else 0


def _rank(word: str, before: str, following: str) -> int:
    """How bad a cut after ``word`` is: 1 good, 2 weak, 3 only if it must be, 4 never."""
    plain = word.lower().replace("’", "'").strip(_OPENING + ".,)")
    initials = word.endswith(".") and _LETTERS.fullmatch(word[:-1])
    if not plain or plain in _CLINGS or initials or word[-1].isdigit() or word[-1] in "-/$€£#([{&+=":
        return 4
    bare = word.lstrip(_OPENING)
    pair = bare[:1].isupper() and plain not in _WEAK and following.lstrip(_OPENING)[:1].isupper()
    if pair or (bare[:1].isupper() and following[:1].isdigit()) or plain in _GOES_ON:
        return 4
    if plain in _WEAK:
        # "because I", "when you are": the clause would hang in the air; "to help you" would not
        return 3 if before.lower() in _CLINGS and plain in ("i", "we", "he", "she", "they") else 2
    return 1


def _last_word(text: str) -> str:
    words = text.split()
    return words[-1].lower() if words else ""


def _count(text: str) -> int:
    """Words; in scripts without blanks two characters count as one."""
    spaced = sum(1 for word in text.split() if any(map(str.isalnum, word)))
    return max(spaced, sum(map(_is_wide, text)) // 2)


def _is_wide(char: str) -> bool:
    return "\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3" or "\U00020000" <= char <= "\U0003ffff"
