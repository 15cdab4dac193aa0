"""Was somebody speaking to us though no words were found, and what is said back then? Pure.

What may live here: the numbers, the frozen state, the verdict and the sentences. What follows from them, and when, is
decided in `asking_back`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from locara.audio import RATE
from locara.engines.contracts import Engine, SpeaksLanguage
from locara.errors import ConfigError
from locara.voice import evidence
from locara.voice.endings import Patience, silence_needed

# --- was it somebody speaking to us? ----------------------------------------------------------------------------------

SURELY_SPOKEN = 0.9
"""Probability of speech from which a block may be speech beyond doubt. Silero gives commands in 5 to 20 dB of noise 0.85 to
0.99 on average, and the noises that it takes for a voice (hens and another) 0.4 to 0.7."""

SPOKEN_PITCH = 0.6
"""Periodicity (0 to 1) from which such a block has a pitch. A voice 5 dB over noise has 0.76 at most; hens, which are higher
than voices, have 0.45."""

NEAR_DB = 6.0
"""dB over the room's floor from which a voice is near enough to be meant for us: in 5 dB of noise it hardly is more."""

SPOKEN_SECONDS = 0.2
"""So much of a sound must be speech beyond doubt (`is_spoken`) before it is asked back: a vowel or two. No noise and no
"mm-hm" in 93 recordings and scenes had more than 0.06; of 14 commands in noise of which no word was found 9 had 0.2 to 1.4.
"""

HELD_SPOKEN_SECONDS = 0.1
"""The same with the push-to-talk key: who holds it speaks to us, so one vowel is enough."""

ASK_BACK_SECONDS = 0.7
"""Never sooner after the end of speech: people ask back later than they answer, most often after some 700 ms, because the
speaker may mend it, or the words come to mind (K. H. Kendrick, "The intersection of turn-taking and repair", Frontiers in
Psychology 6:250, 2015)."""

LATE_SECONDS = 1.0
"""Something in the room that keeps it from being asked for so much longer makes it pointless: the moment has passed."""

UNANSWERED = frozenset({"no-words", "no-speech", "hallucination"})
"""Reasons for which a turn ends that may have been words. Our own echo and "mm-hm" were understood well enough."""


def is_spoken(probability: float, echo: float, pitch: float, over_floor: float) -> bool:
    """Whether a block surely is somebody speaking near the microphone. ``probability``: of speech. ``echo``: how surely it
    is only our own, 0 to 1. ``pitch``: how periodic it is, 0 to 1. ``over_floor``: dB over the room's floor."""
    return echo <= 0.0 and probability >= SURELY_SPOKEN and pitch >= SPOKEN_PITCH and over_floor >= NEAR_DB


def was_spoken(spoken: float, voiced: float, *, held: bool) -> bool:
    """Whether a turn without words was somebody speaking to us. Seconds: ``spoken`` of `is_spoken`, ``voiced`` of voice: a
    shorter one than `evidence.SENTENCE_SECONDS` may be "mm-hm". ``held``: with the push-to-talk key."""
    if held:
        return spoken >= HELD_SPOKEN_SECONDS
    return spoken >= SPOKEN_SECONDS and voiced >= evidence.SENTENCE_SECONDS


def patience_needed(patience: Patience, finished: float | None) -> float:
    """Seconds of silence after which it is asked. ``finished``: as for `endings.silence_needed`."""
    return max(ASK_BACK_SECONDS, silence_needed("", patience, finished))


@dataclass(frozen=True, slots=True)
class Misheard:
    """What is known of words that were not found. Positions in samples of the session's clock."""

    spoken: int = 0
    """Samples of what is being said that surely are somebody speaking near us; also of what was said just before it, if no
    word was found of that."""
    sounded: int = -RATE
    """Where our own voice was last in the room."""
    due: int | None = None
    """When it is to be asked back, if nothing comes between. None: nothing is to be asked."""
    turn: int = -1
    """The turn about which."""
    reply: int = -1
    """The reply that asked last."""
    asked: bool = False
    """It was asked, and no words were answered since."""


# --- what is said -----------------------------------------------------------------------------------------------------

AUTO = "auto"
"""The setting that means one of `SENTENCES`."""

SENTENCES: Mapping[str, str] = {
    "ar": "عفوًا، لم أفهم ما قلته.",
    "bg": "Извинете, не разбрах.",
    "ca": "Perdona, no t'he entès.",
    "cs": "Promiňte, nerozuměl jsem.",
    "da": "Undskyld, det fik jeg ikke fat i.",
    "de": "Entschuldigung, das habe ich nicht verstanden.",
    "el": "Συγγνώμη, δεν το κατάλαβα.",
    "en": "Sorry, I didn't catch that.",
    "es": "Perdona, no te he entendido.",
    "fi": "Anteeksi, en saanut selvää.",
    "fr": "Pardon, je n'ai pas compris.",
    "he": "סליחה, לא הבנתי.",
    "hi": "माफ़ कीजिए, मैं समझ नहीं पाया।",
    "hu": "Elnézést, ezt nem értettem.",
    "id": "Maaf, saya kurang jelas mendengarnya.",
    "it": "Scusa, non ho capito.",
    "ja": "すみません、聞き取れませんでした。",
    "ko": "죄송해요, 잘 못 들었어요.",
    "nb": "Beklager, det fikk jeg ikke med meg.",
    "nl": "Sorry, dat heb ik niet verstaan.",
    "pl": "Przepraszam, nie zrozumiałem.",
    "pt": "Desculpe, não entendi.",
    "ro": "Scuze, nu am înțeles.",
    "ru": "Извините, не расслышал.",
    "sk": "Prepáčte, nerozumel som.",
    "sv": "Förlåt, det uppfattade jag inte.",
    "tr": "Pardon, anlayamadım.",
    "uk": "Вибачте, не розчув.",
    "vi": "Xin lỗi, tôi nghe chưa rõ.",
    "zh": "不好意思，我没听清楚。",
}
"""Language -> what is said. Not looked over by native speakers of all of them."""

_SAME = {"no": "nb", "nn": "nb", "cmn": "zh", "iw": "he", "in": "id"}  # other codes of these languages


def sentence(language: str) -> str:
    """What is said in a voice's language, a code such as ``en-us``; empty, so nothing is said, for one that is not known: a
    voice that speaks another language would not be understood either."""
    code = language.lower().replace("_", "-").partition("-")[0]
    return SENTENCES.get(_SAME.get(code, code), "")


def said_by(voice: Engine | None, setting: str) -> str:
    """What is said with this setting by this voice; nothing without one."""
    if setting != AUTO or voice is None:
        return setting if voice is not None else ""
    return sentence(voice.language if isinstance(voice, SpeaksLanguage) else "en")


def as_setting(not_understood: str | None) -> str:
    """The setting of a session as the rules have it. Raises ``ConfigError`` for what is no text."""
    if not_understood is not None and not isinstance(not_understood, str):
        raise ConfigError(
            f"not_understood={not_understood!r} is no text",
            hint='give the sentence to say, "auto" for one in the voice\'s language, or None to say nothing',
        )
    return (not_understood or "").strip()
