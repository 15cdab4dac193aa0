"""What was said, played and heard, and where the time went. Pure: numbers and text in, numbers and text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from locara.audio import RATE
from locara.voice.events import Latency
from locara.voice.moves import Chunk

USUAL_CHARS_PER_SECOND = 15.0
"""How fast voices speak English, for a clause whose length is not known yet (espeak at 175 words a minute: 14 to 16)."""


@dataclass(frozen=True, slots=True)
class ClauseSpan:
    """Where a clause lies: characters ``start:end`` of the reply, samples ``at:at + n`` of its sound.

    ``words``: (sample of the reply, end of that word in the reply's text), in order. ``whole``: all of it is here.
    """

    start: int
    end: int
    at: int
    n: int
    words: tuple[tuple[int, int], ...] = ()
    whole: bool = False


def with_chunk(script: tuple[ClauseSpan, ...], chunk: Chunk) -> tuple[ClauseSpan, ...]:
    """The script of a reply after one more chunk of its sound."""
    n = int(chunk.samples.size)
    if chunk.opens or not script:
        at = script[-1].at + script[-1].n if script else 0
        words = tuple((at + offset, end) for offset, end in chunk.words)
        return (*script, ClauseSpan(chunk.start, chunk.end, at, n, words, chunk.closes))
    last = script[-1]
    words = (*last.words, *((last.at + offset, end) for offset, end in chunk.words))
    return (*script[:-1], replace(last, n=last.n + n, words=words, whole=chunk.closes))


def heard_until(script: Sequence[ClauseSpan], played: int, rate: int, text: str) -> int:
    """How many characters of the reply ``text`` were heard when ``played`` samples (at ``rate``) had left the output.

    With word times: every word that began before the last played sample, less the one that had only just begun. Without:
    in proportion to the clause's length, at a word's end.
    """
    heard = 0
    for span in script:
        if played <= span.at:
            break
        if span.whole and played >= span.at + span.n:
            heard = span.end
        elif span.words:
            heard = _by_words(span, played, heard, rate)
        else:
            heard = _by_share(span, played, rate, text)
    return heard


_BARELY_SECONDS = 0.12
"""A word of which less than this was heard was not understood: shorter than a spoken syllable and a half."""


def _by_words(span: ClauseSpan, played: int, before: int, rate: int) -> int:
    heard = before
    barely = round(_BARELY_SECONDS * rate)
    for at, end in span.words:
        if at + barely > played:
            break
        heard = end
    return heard


def _by_share(span: ClauseSpan, played: int, rate: int, text: str) -> int:
    expected = span.n if span.whole else max(span.n, round((span.end - span.start) / USUAL_CHARS_PER_SECOND * rate))
    position = span.start + (span.end - span.start) * (played - span.at) / max(1, expected)
    end = min(span.end, round(position))
    while end < span.end and end > span.start and text[end - 1 : end + 1].isalnum():
        end += 1  # half a word sounds like the word
    return end


@dataclass(frozen=True, slots=True)
class Milestones:
    """When each part of a reply was there, in samples of the session's clock. None: it never was needed or never came."""

    speech_end: int
    decided: int
    understood: int | None = None
    first_token: int | None = None
    first_clause: int | None = None
    first_sound: int | None = None
    handed: int | None = None
    audible: int | None = None


def latency(m: Milestones) -> Latency | None:
    """The ledger: each part is the time that passed after all parts before it were done, so the parts add up to the
    whole, and what was prepared in time costs nothing. None where nothing was heard."""
    if m.audible is None:
        return None
    marks = (m.decided, m.understood, m.first_token, m.first_clause, m.first_sound, m.handed, m.audible)
    parts = []
    reached = m.speech_end
    for mark in marks:
        passed = reached if mark is None else max(reached, min(mark, m.audible))
        parts.append((passed - reached) / RATE)
        reached = passed
    return Latency(*parts)
