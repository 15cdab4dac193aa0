"""pocketsphinx in a process of its own: started by `locara.engines.sphinx` as ``python -m locara.engines.sphinx_worker``.

What may live here: the calls into the library, and the judgement of what it heard that needs the library's own evidence.
It holds the interpreter's lock for whole calls (a third of a second at times); in our process it would stop the audio.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from locara.engines.frames import Call, serve

_BYTES = 32_000  # a second of 16-bit sound at 16 kHz
_FRAME_BYTES = 320  # 10 ms
_STEP = 2_560  # bytes: 80 ms a call into the decoder
_LEARN_SECONDS = 2.0  # a shorter utterance says too little about the microphone (measured: 0.5 to 2 s are not enough)
_WHOLE_SECONDS = 15.0  # the longest turn that is decoded a second time: 15 s cost 2 to 4
_UTTERANCE_SECONDS = 60.0
_USUAL_MEAN = "54.86,1.96,0.27,8.55,-8.99,0.97,-8.88,-0.98,-2.84,-2.40,1.28,-2.99,3.45"
"""The cepstral mean of a microphone that is not known yet: the average over 16 clips of read English, 7 sources. Streamed
from the average of the *other* sources, 157 words had .287 errors, and .293 in a second pass with their own mean; from the
library's own start (40, 3, -1, 0 ...) it was .40."""
_FAR = 12.0
"""Distance of the first coefficient, which is the level, from ``_USUAL_MEAN``, above which the usual mean is wrong. Clips
20 dB quieter lie 12 to 42 away and had .43 errors instead of .28; at their own level 13 of 16 lay nearer than this."""
_SHORT = 1.6
"""Seconds of sound, the 0.3 s before the voice included, up to which a turn always gets the second pass: it is over before
the turn is decided, and single words need it (13 spoken digits: 6 errors with it, 11 without)."""
_PRIOR_FRAMES = 500  # how much the mean that a stream starts from counts in the library (CMN_WIN), in frames of 10 ms
_LEAST = 0.12  # confidence. Measured: right transcripts of 40 real clips had 0.18 and more, half of the noise had less
_SLOW_TURN, _SLOW_WORD = 0.30, 0.45  # seconds a phone. Speech: 0.06 to 0.2. Noise: "need" of 2.8 s, 0.9 a phone


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the decoder found it: how long it lasted, and how many phones the dictionary gives it."""

    text: str
    seconds: float
    phones: int


def is_filler(word: str) -> bool:
    """Whether ``word`` is a sound that is no word: ``<s>``, ``<sil>``, ``[NOISE]``, ``++breath++``."""
    return not word or word[0] in "<[" or word.startswith("++")


def plain(word: str) -> str:
    """``the(2)``, the second pronunciation of "the", as ``the``."""
    return re.sub(r"\(\d+\)$", "", word)


def plain_text(text: str) -> str:
    """The words of a hypothesis, without fillers and without the numbers of pronunciations."""
    return " ".join(plain(word) for word in text.split() if not is_filler(word))


def spoken(words: Sequence[Word]) -> list[str]:
    """The words that somebody may have said. Noise alone is decoded as a few words that each last far too long for their
    phones; then there are none. One such word between others is left out."""
    phones = sum(word.phones for word in words)
    if not phones or sum(word.seconds for word in words) / phones > _SLOW_TURN:
        return []
    return [word.text for word in words if word.seconds <= _SLOW_WORD * max(word.phones, 1)]


def level_offset(began: str, ended: str, frames: int) -> float:
    """How far the level of ``frames`` frames lay from that of the mean that their stream began with, in units of the first
    coefficient; ``ended`` is the mean as the library then had it, in which the beginning still counts."""
    before, after = (float(mean.split(",")[0]) for mean in (began, ended))
    return (after - before) * (_PRIOR_FRAMES + frames) / frames


def confidence(parts: Iterable[tuple[float, int]]) -> float | None:
    """0 to 1 from (posterior of the path, number of words) of each part: the geometric mean over all words, since the
    posterior of a path shrinks with each word. None without words. A weak sign: right answers have 0.2 to 0.8 here,
    noise 0.03 to 0.6."""
    kept = [(max(prob, 1e-30), count) for prob, count in parts if count]
    count = sum(words for _, words in kept)
    return math.exp(sum(math.log(min(prob, 1.0)) for prob, _ in kept) / count) if count else None


class Turns:
    """The decoder, and the one turn it is in.

    A turn is a row of utterances, cut where the user paused (`settle`). Measured on turns of two sentences with a pause
    (272 words): joining the utterances gave as few errors (.23 and .32 for two corpora) as decoding both as one (.23,
    .32), and as decoding all again (.23, .32); but it costs 10 to 46 ms however long the turn is, it gives a posterior,
    and silence after the pause cannot change the words before it.

    What decides accuracy is the cepstral mean (CMN), which stands for microphone and room. Without a known one, the
    stream starts from a usual one. That is good enough unless the turn is short or its level far from usual: then the
    words come from a second pass over the whole turn with the turn's own mean, for 0.2 to 0.3 of the turn's length.
    """

    def __init__(self) -> None:
        self._decoder: Any = None
        self._first_cmn = ""
        self._cmn = ""
        self._learning = True
        self._far = False
        self._open = False
        self._sound = bytearray()  # what a second pass would need
        self._fed = 0  # bytes of the open utterance
        self._parts: list[tuple[list[str], float]] = []

    def load(self, _: Call) -> Mapping[str, Any]:
        """Loads the model and decodes half a second."""
        from pocketsphinx import Decoder

        if self._decoder is None:
            # fwdflat off: the second search of the library costs 0.2 to 1 s at the end of a turn and gains nothing.
            self._decoder = Decoder(samprate=16000, loglevel="FATAL", fwdflat=False, maxhmmpf=5000, maxwpf=20)
            self._decoder.set_cmn(_USUAL_MEAN)
            self._first_cmn = self._decoder.get_cmn(False)
        self._start(None)
        self._feed(bytes(_BYTES // 2))
        self._finish()
        return {}

    def begin(self, call: Call) -> None:
        """A new turn. Field ``cmn``: the mean to start from, or null to learn it from this turn."""
        self._start(call.fields.get("cmn"))

    def push(self, call: Call) -> Mapping[str, Any]:
        """The payload is 16-bit sound. Replies with ``text``, all words of the turn so far."""
        self._feed(call.payload)
        hypothesis = self._decoder.hyp()
        return {"text": self._text([plain_text(hypothesis.hypstr)] if hypothesis else [])}

    def settle(self, call: Call) -> Mapping[str, Any]:
        """Takes the payload, then gives ``text`` and ``confidence`` of the turn, and ``cmn``, the mean to start the next
        turn from, or null. More may be pushed afterwards."""
        self._feed(call.payload)
        self._finish()
        if self._learning and self._sound:
            self._learn()
        self._utter()
        return {
            "text": self._text([]),
            "confidence": confidence((prob, len(words)) for words, prob in self._parts),
            "cmn": None if self._learning or self._cmn == self._first_cmn else self._cmn,
        }

    def _start(self, cmn: str | None) -> None:
        if self._open:
            self._end()
        # A streamed utterance leaves the library's own normalisation in streaming mode for good, and a later pass over a
        # whole utterance then uses the old mean (five times the errors). This sets it back; it takes 0.1 ms.
        self._decoder.reinit_feat()
        self._learning = cmn is None
        self._far = False
        self._cmn = cmn or self._first_cmn
        self._parts = []
        self._sound.clear()
        self._utter()

    def _utter(self) -> None:
        self._decoder.set_cmn(self._cmn)
        self._decoder.start_utt()
        self._open, self._fed = True, 0

    def _feed(self, sound: bytes) -> None:
        if self._learning:
            self._sound += sound
            if len(self._sound) > _WHOLE_SECONDS * _BYTES:
                self._learning = False  # too long for a second pass: this turn's own stream has a mean by now
                self._sound.clear()
        for start in range(0, len(sound), _STEP):
            block = sound[start : start + _STEP]
            self._decoder.process_raw(block, False, False)
            self._fed += len(block)
            if self._fed > _UTTERANCE_SECONDS * _BYTES:
                self._finish()
                self._utter()

    def _finish(self) -> None:
        """Ends the open utterance; its words become a part of the turn."""
        words = self._end()
        began, frames = self._cmn, self._fed // _FRAME_BYTES
        mean = self._decoder.get_cmn(True)
        self._far = self._far or (frames > 0 and abs(level_offset(began, mean, frames)) > _FAR)
        if not words[0]:
            return  # noise says nothing about a voice: the next utterance starts from the mean that this one had
        self._parts.append(words)
        self._cmn = mean

    def _learn(self) -> None:
        """The microphone is not known: was the usual mean good enough for it? Not if no word was found with it."""
        if self._far or not self._parts or len(self._sound) <= _SHORT * _BYTES:
            self._decode_whole()
        elif self._parts and len(self._sound) >= _LEARN_SECONDS * _BYTES:
            self._learning = False
            self._sound.clear()

    def _decode_whole(self) -> None:
        """All of the turn so far again, normalised by its own mean; the result takes the place of what there was."""
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._open = True
        self._decoder.process_raw(bytes(self._sound), False, True)
        words = self._end()
        self._parts = [words] if words[0] else []
        if words[0]:
            self._cmn = self._decoder.get_cmn(False)
            if len(self._sound) >= _LEARN_SECONDS * _BYTES:
                self._learning = False
                self._sound.clear()
        self._decoder.reinit_feat()

    def _end(self) -> tuple[list[str], float]:
        self._decoder.end_utt()
        self._open = False
        hypothesis = self._decoder.hyp()
        if hypothesis is None:
            return [], 0.0
        found = [
            Word(plain(part.word), (part.end_frame - part.start_frame + 1) / 100, self._phones(part.word))
            for part in self._decoder.seg()
            if not is_filler(part.word)
        ]
        words, prob = spoken(found), float(hypothesis.prob)
        sure = confidence([(prob, len(found))])
        return (words, prob) if sure is not None and sure >= _LEAST else ([], 0.0)

    def _phones(self, word: str) -> int:
        return len((self._decoder.lookup_word(word) or "").split()) or 1

    def _text(self, more: list[str]) -> str:
        return " ".join(filter(None, [*(" ".join(words) for words, _ in self._parts), *more]))


def main() -> None:
    """Serves until stdin ends."""
    turns = Turns()
    serve({"load": turns.load, "begin": turns.begin, "push": turns.push, "settle": turns.settle})


if __name__ == "__main__":
    main()
