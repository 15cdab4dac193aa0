"""Evidence in, verdict out: is it voice, does the user want the floor? Pure, and every number has its reason.

Each function takes all that is known and returns a verdict. Whether the turn is over is in `endings`.
"""

from __future__ import annotations

import re
from enum import Enum

# --- is it voice? -----------------------------------------------------------------------------------------------------

VOICE_ON = 0.5
"""Silero's own threshold: best F1 on hand-labelled speech within 0.01."""

VOICE_OFF = 0.35
"""Once on, voice stays on down to here: without it, soft word endings flicker."""

ECHO_ON = 0.5
"""Evidence of our own echo from which a sound opens no turn: the echo explains it as well as a voice would."""

ECHO_OFF = 0.7
"""Once on, voice stays on up to here: a syllable that falls under the echo for a moment is not the end of a word."""

ONSET_SECONDS = 0.06
"""Voice this long opens a turn: two of Silero's 32 ms windows, which no click or tap in our recordings reaches."""

ECHO_ONSET_SECONDS = 0.12
"""The same where an echo of ours is heard, too: what a canceller leaves over is seldom longer. Ducking waits for nothing."""

PREROLL_SECONDS = 0.3
"""Sound from before the onset that the recogniser gets too: voice activity is 55 to 105 ms late, plosives start softly."""

PAUSE_SECONDS = 0.04
"""Unvoiced this long is a pause: more than one of Silero's windows, so one that dips inside a word is none."""

HANGOVER_SECONDS = 0.25
"""Voice activity may end at most this much later than the sound it followed (Silero: 117 ms median, 273 ms p95)."""

TOLD_SECONDS = 0.1
"""Unvoiced this long is told as ``speech-end``: a shorter gap prepares a reply, but need not flicker in anyone's view."""

PITCHED = 0.75
"""Periodicity (0 to 1) from which a block has a pitch. What cancelling our echo leaves of a noise seldom has one."""

SURELY_VOICE = 0.7
"""Probability of speech from which such a block is surely a voice. What is left of our own voice has a pitch, too, but voice
activity is half sure of it only (0.55 to 0.74 at most in three that stopped a reply). With both, three blocks are found in
1 of 20 noises and echoes that stopped a reply on three seeds, and in 126 of 136 interruptions by the time they did."""

CLEAR_SECONDS = 0.06
"""So much of a voice must surely be one (`is_clear`) before its words count: a third of the shortest vowel that carries a
word. "Stop" and the like need none, and a voice of `TAKE_SECONDS` neither: so a whisper gets the floor, too."""

VOICE_IN_ECHO = 0.9
"""Probability of speech from which a block with a pitch is a voice although our echo is louder, if `CLEAR_SECONDS` of it
came before. Voice activity is rarely so sure of what is left of us, and seldom for long: 0.08 s at most with a pitch in 52
minutes of echo (4 seeds), while a vowel of a user who is 9 dB under the echo has 0.12 s and more."""

ECHO_OVER_VOICE = 0.9
"""Evidence of our own echo up to which that counts: above, hardly a band of the sound stands out of the echo at all."""


def is_voice(probability: float, echo: float, pitch: float = 0.0, *, already: bool, clear: float = 0.0) -> bool:
    """Whether a block counts as the user's voice. ``probability``: of speech. ``echo``: how surely it is only our own.
    ``pitch``: how periodic what is left without our echo is, 0 to 1. ``already``: the block before it did. ``clear``: how
    many seconds right before it surely were a voice, see `leads_in`."""
    if clear >= CLEAR_SECONDS and probability >= VOICE_IN_ECHO and pitch >= PITCHED and echo <= ECHO_OVER_VOICE:
        return True
    if already:
        return probability >= VOICE_OFF and echo <= ECHO_OFF
    return probability >= VOICE_ON and echo <= ECHO_ON


def is_clear(probability: float, echo: float, pitch: float) -> bool:
    """Whether a block that counts as voice surely is one: where no echo is heard voice activity is right about noises, and
    where one is, noises it is wrong about have no pitch. ``probability``, ``echo`` as above; ``pitch``: how periodic the
    sound is, 0 to 1."""
    return echo <= 0.0 or (pitch >= PITCHED and probability >= SURELY_VOICE)


def leads_in(probability: float, echo: float, pitch: float) -> bool:
    """Whether a block that is no voice yet may be the beginning of one under our louder echo: a vowel that swells is
    surely a voice before it stands out. What is clear in it counts once a voice follows."""
    if not 0.0 < echo <= ECHO_OVER_VOICE:
        return False
    return is_clear(probability, echo, pitch) or is_voice(probability, echo, already=True)


def onset_seconds(echo: float) -> float:
    """How long a voice must be on to open a turn. ``echo``: 0 where there can be none."""
    return ECHO_ONSET_SECONDS if echo > 0.0 else ONSET_SECONDS


# --- pauses and turns -------------------------------------------------------------------------------------------------

HINT_SECONDS = 0.08
"""Silence after which the words are settled and a reply is prepared, unheard. As early as a pause can be seen: with
Silero, which lets go 65 to 120 ms late, that is after about 0.15 s, longer than the closure of a plosive."""

DISTURBED_SECONDS = 0.35
"""Voice this long after a pause means the turn goes on, and what was prepared is dropped; less may be a breath."""

WORDLESS_SECONDS = 0.5
"""A turn in which no words were found ends after this much silence: the word may only just have begun."""

MAX_TURN_SECONDS = 120.0
"""No turn goes on for ever: a television is not a speaker."""

# --- words ------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def same_words(one: str, other: str) -> bool:
    """Equal after normalisation: what one can answer, answers the other."""
    return words_of(one) == words_of(other)


# --- does the user want the floor? ------------------------------------------------------------------------------------

BLIP_SECONDS = 0.1
"""A ducked reply comes back this long after a sound that never became voice."""

HOLD_SECONDS = 0.25
"""Voice this long stops the lowered reply where it stands: whoever still talks probably means it."""

SENTENCE_SECONDS = 0.5
"""Voice this long is hardly a lone "mm-hm" (0.06 to 0.48 s of voice in 10 real ones), and all our single names are longer
(0.54 s and more). From here on it is enough that the recogniser found any word, however unsure."""

GUESSED_SECONDS = 0.6
"""From here on two words count that a recogniser only guesses at. Before, a murmur is often two wrong ones; to wait costs
nothing that can be heard, because the reply already stands still."""

TAKE_SECONDS = 0.9
"""Voice this long takes the floor even before words are known; backchannels in real meetings last 0.2 to 0.85 s."""

AGREEING_SECONDS = 1.4
"""The same if every word so far only agrees ("uh-huh yeah right okay")."""

SURE = 0.16
"""Confidence (0 to 1) from which one word takes the floor though the voice was shorter than a name. pocketsphinx: 0.13 to
0.15 for what it made of real backchannels, 0.18 to 0.42 for most digits it got right."""

CONTINUED_SECONDS = 0.6
"""A voice that begins when this little of the reply was heard goes on with what it was saying: we answered into a pause.
Nobody agrees with a reply that has only begun."""

ASKED_SECONDS = 1.5
"""So long after a question of the reply, "yes" is an answer; afterwards it only agrees."""

FORESEEN_SECONDS = 0.5
"""And so long before the question has ended: people answer when they see where it goes."""

WORDS_SECONDS = 0.6
"""After the voice ended, words are awaited this long; then it was a noise."""

LATE_WORDS_SECONDS = 1.2
"""The same after a voice of `SENTENCE_SECONDS`, if there is no word at all yet: a recogniser that is late on a busy machine
must not make a name a noise."""

ALL_SAID_SECONDS = 0.25
"""Silence after which words that are settled are all there is: a shorter gap may be inside what is being said."""

HELD_SECONDS = 4.0
"""Held longer than this, the reply goes on or ends: the last deadline."""

_BACKCHANNELS = frozenset(
    """m h mm mmm mhm mm-hm hm hmm uh um huh uh-huh yeah yep yes yup yah right okay ok sure oh ah aha ooh i see nice cool
    great wow good really true exactly definitely absolutely totally indeed alright gotcha interesting""".split()
)
_AGREEMENTS = tuple(
    tuple(one.split())
    for one in (
        "of course", "got it", "makes sense", "that makes sense", "sounds good", "fair enough", "good point", "go on",
        "i know", "that's right", "that's true", "that's good", "uh oh", "all right", "no way", "no problem", "oh no",
        "no kidding", "no doubt", "keep going", "for sure",
    )
)  # fmt: skip
"""Said while listening, though each has a word that alone would mean something else."""
_COMMANDS = frozenset("stop wait no cancel quiet enough shut".split())
"""These take the floor as soon as a recogniser only guesses at them."""
_OBJECTIONS = frozenset("nope hold pause hey listen sorry actually but what why who".split())
"""And these once it is sure of the text, however short: "but" and "hey" are also what it guesses at in a murmur."""
_FAINT = frozenset(
    """a an the it is its it's if of in on at to or and as so i'm he she they them then than there that this her him his
    they've they'd he's she's i'd i'll be been was are were am has had with for by you we our an' but hello""".split()
)
"""What a recogniser makes of a murmur, besides its letters: words that alone ask for nothing. (pocketsphinx on ten real
backchannels: "if they", "it is", "the", "they", "hello", nothing.)"""
_ANSWERS = frozenset(
    "yes yeah yep yup yah sure right okay ok exactly true please absolutely definitely alright".split()
)
_MURMURS = frozenset("m h mm mmm mhm mm-hm hm hmm uh um huh uh-huh".split())


class Floor(Enum):
    """Who has the floor when both make a sound."""

    TAKEN = "taken"
    KEPT = "kept"
    OPEN = "open"


def floor(
    *,
    voiced: float,
    silence: float,
    text: str,
    settled: bool,
    confidence: float | None = None,
    guess: str = "",
    asked: bool = False,
    continued: bool = False,
    clear: float | None = None,
) -> Floor:
    """Whether the user takes the floor from the speaking assistant.

    ``voiced``: seconds of voice so far. ``silence``: seconds since it ended, 0 while it lasts. ``text``: its words so far;
    ``settled``: they will not change. ``confidence``: the recogniser's, 0 to 1, or None. ``guess``: the last words it
    guessed at on the way. ``asked``: the reply is just asking something. ``continued``: the reply had only begun, see
    `CONTINUED_SECONDS`. ``clear``: seconds of the voice that surely are one, see `is_clear`; None: all of it.
    """
    words = words_of(text)
    telling = telling_words(words)
    if any(word in _COMMANDS or (settled and word in _OBJECTIONS) for word in telling):
        return Floor.TAKEN
    if unclear(voiced, clear):
        return _after_the_voice(silence, False, (), settled)
    long = voiced >= SENTENCE_SECONDS
    if continued and voiced >= HOLD_SECONDS and any(word not in _MURMURS for word in words):
        return Floor.TAKEN
    answers = asked and any(word in _ANSWERS for word in words)
    if settled and (answers or _tells(telling, long=long, confidence=confidence)):
        return Floor.TAKEN
    if (voiced >= GUESSED_SECONDS and len(telling) >= 2) or voiced >= (
        AGREEING_SECONDS if words and not telling else TAKE_SECONDS
    ):
        return Floor.TAKEN
    return _after_the_voice(silence, long, words or words_of(guess), settled)


def unclear(voiced: float, clear: float | None) -> bool:
    """Whether a voice of ``voiced`` seconds may be a noise, ``clear`` of them surely being a voice (None: all)."""
    return clear is not None and clear < CLEAR_SECONDS and voiced < TAKE_SECONDS


def _tells(telling: tuple[str, ...], *, long: bool, confidence: float | None) -> bool:
    """Whether settled words want something. Of a short voice, a word that a murmur could be only tells if it is sure."""
    if long or not telling:
        return bool(telling)
    return not says_nothing(telling) and (confidence is None or confidence >= SURE)


def _after_the_voice(silence: float, long: bool, words: tuple[str, ...], settled: bool) -> Floor:
    """``words``: what there is, or what was guessed at if a recogniser took all of it back."""
    known = settled and silence >= ALL_SAID_SECONDS
    if long and not says_nothing(telling_words(words)) and (known or silence >= WORDS_SECONDS):
        return Floor.TAKEN  # somebody said a name that it does not know
    if known or silence >= (WORDS_SECONDS if words or not long else LATE_WORDS_SECONDS):
        return Floor.KEPT
    return Floor.OPEN


def says_nothing(words: tuple[str, ...]) -> bool:
    """True for words that alone ask for nothing ("of", "it is", a letter), which is what a murmur or a noise becomes."""
    return all(word in _FAINT or len(word) == 1 for word in words)


def telling_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that do more than agree."""
    left: list[str] = []
    at = 0
    while at < len(words):
        phrase = next((one for one in _AGREEMENTS if words[at : at + len(one)] == one), None)
        if phrase is None and words[at] not in _BACKCHANNELS:
            left.append(words[at])
        at += 1 if phrase is None else len(phrase)
    return tuple(left)


def only_backchannel(text: str) -> bool:
    """True for "mm-hm" and its kind: the listener listens."""
    words = words_of(text)
    return bool(words) and not telling_words(words)
