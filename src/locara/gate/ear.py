"""Where sound comes in: muting before anything else, then echo, voice activity, and the recent past for pre-roll.

What may live here: what happens to every block before anyone decides anything. One pass, no waiting: a block costs about
a tenth of a millisecond, and one more while an echo has to be taken out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from locara.audio import BLOCK, RATE, Samples, clean, dbfs, silence
from locara.engines.contracts import Detector
from locara.gate.canceller import Canceller, Cleaned
from locara.gate.echo_watch import EchoWatch, Listening
from locara.gate.gain_control import GainControl
from locara.gate.levels import Loudness
from locara.gate.noise import NoiseSuppressor
from locara.gate.periodicity import Pitch

MEMORY_SECONDS = 15.0
"""How much of the past is kept, so that a turn can be recognised from its very beginning, or again."""

ZEROS_SECONDS = 0.4
"""Exact digital zeros for this long come from a switch or a refused permission: every real microphone has noise."""


SPOKEN = 0.5
"""Probability of speech from which the canceller's watch calls a block spoken; evidence of echo from which it does not."""


@dataclass(frozen=True, slots=True)
class Impression:
    """What one block was like. Positions in samples at ``RATE`` since the first block."""

    n: int
    probability: float
    loud_until: int
    level: float
    """dB relative to full scale."""
    echo: float = 0.0
    """How surely it is only our own echo, 0 to 1."""
    pitch: float = 0.0
    """How periodic it is, as a vowel, 0 to 1; only where an echo may be heard, or a voice."""
    over_floor: float = 0.0
    """dB by which its loudest moment was above the room's floor."""


class Ear:
    """One stream of blocks, heard. ``muted``: zeros from here on, for everyone. ``deaf``: zeros for the decisions only
    (half duplex: our own voice would be heard). ``canceller``: takes the echo of what was played out of what is heard.
    ``noise_suppression`` and ``gain_control`` change what is recognised, never what is decided by. ``allowed``: looked at
    for every block; while it gives False, the ear is muted."""

    def __init__(
        self,
        detector: Detector,
        canceller: Canceller | None = None,
        *,
        noise_suppression: bool = False,
        gain_control: bool = False,
        allowed: Callable[[], bool] | None = None,
    ) -> None:
        self.canceller = canceller
        self._watch = EchoWatch()
        self._suppressor = NoiseSuppressor() if noise_suppression else None
        self._levelling = GainControl() if gain_control else None
        self._muted = False
        self._allowed = allowed
        self._shut = False
        self.deaf = False
        self.mended = 0
        self.dead = False
        """True while the input has given nothing but digital zeros for ``ZEROS_SECONDS``."""
        self._detector = detector
        self._loudness = Loudness()
        self._pitch = Pitch(views=1)
        self._probability = 0.0
        self._window = np.zeros(0, dtype=np.float32)
        self._past: deque[Samples] = deque(maxlen=round(MEMORY_SECONDS * RATE / BLOCK))
        self._heard = 0
        self._zeros = 0

    @property
    def muted(self) -> bool:
        """Zeros from here on, and nothing of what sounded before decides anything any more. Also true while listening is
        not ``allowed``, whatever it is set to."""
        return self._muted or self._shut

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        self._forget()

    @property
    def shut(self) -> bool:
        """True while listening is not ``allowed``: revoked, or switched off for all sessions of this user."""
        return self._shut

    def _forget(self) -> None:
        self._window = np.zeros(0, dtype=np.float32)
        self._probability = 0.0
        self._detector.reset()

    @property
    def heard(self) -> int:
        """Samples so far."""
        return self._heard

    @property
    def listening(self) -> Listening:
        """Whether it can be listened to while we speak; changes when the canceller fails, and when it works again."""
        return self._watch.verdict

    def device_changed(self) -> None:
        """The microphone or the speaker is another one now: the way between them has to be learned again."""
        self._zeros, self.dead = 0, False
        if self.canceller is not None:
            self.canceller.forget()

    def hear(self, block: Samples, played: Samples | None = None) -> tuple[Samples, Impression]:
        """The next block as everybody gets it, and what it was like. ``played``: what left the output meanwhile, as many
        samples at ``RATE``; needed where there is a canceller."""
        if self._allowed is not None and self._shut is self._allowed():
            self._shut = not self._shut
            self._forget()
        block, mended = clean(block)
        self.mended += mended
        if self.muted:
            block = silence(block.size)
        elif block.any():
            self._zeros, self.dead = 0, False
        else:
            self._zeros += block.size
            self.dead = self._zeros >= ZEROS_SECONDS * RATE
        if self.canceller is None or played is None:
            cleaned = Cleaned(block, block, 0.0, expected=False)
        else:
            cleaned = self.canceller.hear(block, played)
        unheard = self.muted or self.deaf
        decisive = silence(block.size) if self.deaf else cleaned.decisive
        probability = self._voice(decisive)
        self._past.append(silence(block.size) if self.deaf else self._improved(cleaned.sound, probability))
        self._heard += block.size
        until = self._loudness.pass_over(block.size) if unheard else self._loudness.push(decisive)
        level = dbfs(block)
        pitch = cleaned.pitch if cleaned.expected else self._pitched(decisive, probability)
        if cleaned.expected and played is not None and not self.muted:
            spoken = probability >= SPOKEN and cleaned.echo < SPOKEN
            self._watch.push(played=dbfs(played), heard=level, left=dbfs(cleaned.decisive), spoken=spoken)
        over_floor = self._loudness.over_floor
        return block, Impression(block.size, probability, until, level, cleaned.echo, pitch, over_floor)

    def _pitched(self, decisive: Samples, probability: float) -> float:
        """Only looked for in what may be a voice: it costs a transform."""
        if decisive.size != BLOCK:
            return 0.0
        if probability < SPOKEN:
            self._pitch.skip(decisive)
            return 0.0
        return self._pitch.push(decisive)

    def _improved(self, sound: Samples, probability: float) -> Samples:
        if self._suppressor is not None:
            sound = self._suppressor.push(sound)
        if self._levelling is not None:
            sound = self._levelling.push(sound, probability)
        return sound

    def _voice(self, block: Samples) -> float:
        window = np.concatenate((self._window, block))
        size = self._detector.window
        newest = 0.0
        seen = False
        while window.size >= size:
            newest = max(newest, self._detector.probability(window[:size]))
            window = window[size:]
            seen = True
        self._window = window
        if seen:
            self._probability = newest
        return self._probability

    def since(self, start: int) -> tuple[int, Samples]:
        """Everything heard from sample ``start`` on, as far as it is remembered: (where it begins, the samples)."""
        begins = self._heard
        blocks: list[Samples] = []
        for block in reversed(self._past):
            if begins <= start:
                break
            blocks.append(block)
            begins -= block.size
        if not blocks:
            return self._heard, silence(0)
        samples = np.concatenate(blocks[::-1])
        skip = max(0, start - begins)
        return begins + skip, samples[skip:]
