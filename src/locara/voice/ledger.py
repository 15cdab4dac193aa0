"""What was said, played and heard, and where the time went. Pure: numbers and text in, numbers and text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from locara.audio import RATE
from locara.voice.events import Latency
from locara.voice.moves import Chunk

USUAL_CHARS_PER_SECOND = 15.0
"""How fast voices speak English, for a clause whose length is not known yet (espeak at 175 words a minute: 14 to 16)."""


SILENT = 0.003
"""Samples below this (-50 dBFS) at a clause's beginning or end are no speech: voices lead in and out with them."""

_BARELY_SECONDS = 0.12
"""A word of which less than this was heard was not understood: shorter than a spoken syllable and a half. Of a word that
is shorter than twice that, half is enough."""


@dataclass(frozen=True, slots=True)
class ClauseSpan:
    """Where a clause lies: characters ``start:end`` of the reply, samples ``at:at + n`` of its sound.

    ``words``: (sample of the reply, end of that word in the reply's text), in order. ``whole``: all of it is here.
    ``shares``: without word times, (share of the speech at which half of a word has sounded, end of that word).
    ``expected``: probable length in samples. ``lead`` and ``tail``: silent samples at the beginning and the end.
    """

    start: int
    end: int
    at: int
    n: int
    words: tuple[tuple[int, int], ...] = ()
    whole: bool = False
    shares: tuple[tuple[float, int], ...] = ()
    expected: int = 0
    lead: int = 0
    tail: int = 0


def with_chunk(script: tuple[ClauseSpan, ...], chunk: Chunk) -> tuple[ClauseSpan, ...]:
    """The script of a reply after one more chunk of its sound."""
    n = int(chunk.samples.size)
    if chunk.opens or not script:
        at = script[-1].at + script[-1].n if script else 0
        span = ClauseSpan(chunk.start, chunk.end, at, 0, shares=chunk.shares, expected=chunk.expected)
        before: tuple[ClauseSpan, ...] = script
    else:
        span, before = script[-1], script[:-1]
    words = (*span.words, *((span.at + offset, end) for offset, end in chunk.words))
    loud = np.flatnonzero(np.abs(chunk.samples) > SILENT)
    only_silence = span.lead == span.n
    lead = span.lead + (int(loud[0]) if loud.size else n) if only_silence else span.lead
    tail = n - 1 - int(loud[-1]) if loud.size else 0 if only_silence else span.tail + n
    # A model that speaks by itself gives its text along with its sound: the clause grows.
    end = max(span.end, chunk.end)
    grown = replace(span, end=end, n=span.n + n, words=words, whole=chunk.closes, lead=lead, tail=tail)
    return (*before, grown)


def heard_until(script: Sequence[ClauseSpan], played: int, rate: int, text: str) -> int:
    """How many characters of the reply ``text`` were heard when ``played`` samples (at ``rate``) had left the output.

    With word times: every word that began before the last played sample, less the one that had only just begun. Without:
    the words that lie in the played share of the clause's speech, by how long each probably is.
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
            heard = max(heard, _by_share(span, played, rate, text))
    return heard


def _by_words(span: ClauseSpan, played: int, before: int, rate: int) -> int:
    heard = before
    barely = round(_BARELY_SECONDS * rate)
    for number, (at, end) in enumerate(span.words):
        after = span.words[number + 1][0] if number + 1 < len(span.words) else at + 2 * barely
        if at + min(barely, (after - at) // 2) > played:
            break
        heard = max(heard, end)
    return heard


def _by_share(span: ClauseSpan, played: int, rate: int, text: str) -> int:
    made = span.n - span.lead
    if span.whole:
        expected = made - span.tail
    else:
        usual = span.expected or round((span.end - span.start) / USUAL_CHARS_PER_SECOND * rate)
        expected = max(made, usual)
    share = (played - span.at - span.lead) / max(1, expected)
    if span.shares:
        heard = [end for at, end in span.shares if at <= share]
        return heard[-1] if heard else span.start
    end = max(span.start, min(span.end, round(span.start + (span.end - span.start) * share)))
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
