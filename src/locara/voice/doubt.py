"""Was it really said? Recognised words against the voice they came from, so that silence and noise never become words. Pure.

Each rule needs evidence besides the words, because people do say "thank you" and do repeat themselves. In doubt it was
said: a quiet word that is lost is worse than an odd one that is answered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from locara.voice.evidence import SENTENCE_SECONDS, says_nothing, words_of

SYLLABLES_PER_SECOND = 10.0
"""Nobody speaks faster for long: fast English has 6 to 7 syllables a second, the fastest talkers 9 to 10."""

UNSEEN_SECONDS = 0.3
"""Speech that voice activity may have missed on both sides of what it found: soft beginnings and endings."""

NEVER_FEWER = 3
"""Syllables that are always believed, however short the voice: quiet words are seen by voice activity for a moment only."""

FAINT = 0.25
"""Below this confidence (0 to 1) words that ask for nothing ("of", "but for that") are not believed of a voice shorter than
`evidence.SENTENCE_SECONDS`. pocketsphinx made them of hens that voice activity took for a voice, with 0.13 and 0.21."""

LOOP_TIMES, LOOP_WORD_TIMES = 3, 6
"""How often a phrase of two words or more, or one word, is said in a row to be a loop, if nothing else is said."""

LOOP_SYLLABLES_PER_SECOND = 5.5
"""... and faster than this: repeating oneself for emphasis is slow, a decoder that goes round in circles is not."""

UNSURE = 0.4
"""Below this confidence (0 to 1) a phrase that engines are known to invent is not believed."""

INVENTED_SYLLABLES_PER_SECOND = 5.0
"""... if the voice is also too short for it to have been said at a usual pace, half of `UNSEEN_SECONDS` added. One
syllable never is."""

_INVENTED = frozenset(
    tuple(one.split())
    for one in (
        "thank you", "thanks", "thanks for watching", "thank you for watching", "thank you very much",
        "thank you so much", "thank you so much for watching", "please subscribe", "subscribe",
        "like and subscribe", "please like and subscribe", "see you next time", "see you in the next video",
        "i'll see you next time", "bye", "bye bye", "you", "the end", "music", "applause", "silence",
        "blank audio", "no audio", "inaudible", "subtitles by the amara org community", "amara org",
        "transcription by castingwords", "the following is a conversation", "so", "okay",
    )
)  # fmt: skip
"""What whisper-like engines write for near-silence: the ends of videos and the marks of subtitles."""


def doubt(text: str, *, voiced: float, confidence: float | None = None) -> str | None:
    """Why ``text`` was probably not said, or None where it may have been.

    ``voiced``: seconds of voice that it was recognised from. ``confidence``: the recogniser's, 0 to 1, or None. Returns
    ``"no-speech"`` (more words than the voice has time for, or nothing but faint ones of a short voice) or
    ``"hallucination"`` (a loop, or a phrase that engines are known to invent, with other evidence against it).
    """
    words = words_of(text)
    if not words:
        return None
    said = sum(syllables(word) for word in words)
    if said > max(NEVER_FEWER, SYLLABLES_PER_SECOND * (voiced + UNSEEN_SECONDS)):
        return "no-speech"
    if confidence is not None and confidence < FAINT and voiced < SENTENCE_SECONDS and says_nothing(words):
        return "no-speech"
    times, period = loop(words)
    rate = said / (voiced + UNSEEN_SECONDS / 2)
    if times >= (LOOP_WORD_TIMES if period == 1 else LOOP_TIMES) and rate > LOOP_SYLLABLES_PER_SECOND:
        return "hallucination"
    unsure = confidence < UNSURE if confidence is not None else said > NEVER_FEWER
    if words in _INVENTED and rate > INVENTED_SYLLABLES_PER_SECOND and unsure:
        return "hallucination"
    return None


def syllables(word: str) -> int:
    """About how many syllables an English word has: groups of vowels, without a silent "e". Digits count one each."""
    digits = sum(one.isdigit() for one in word)
    groups = len(re.findall(r"[aeiouyäöüáéíóú]+", word))
    if word.endswith("e") and not word.endswith("le") and groups > 1:
        groups -= 1
    return max(1, digits + groups)


def loop(words: Sequence[str]) -> tuple[int, int]:
    """(how often, how many words) of the shortest phrase that ``words`` repeat from beginning to end; the last time may be
    broken off. (1, ``len(words)``) where nothing is repeated."""
    n = len(words)
    for period in range(1, n // 2 + 1):
        if all(words[at] == words[at - period] for at in range(period, n)):
            return n // period, period
    return 1, n
