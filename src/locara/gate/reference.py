"""What was played, block for block beside what is heard: the echo canceller's reference.

What may live here: the way of played samples from the output's thread to the session's clock. The output's side only copies
into a ring. Nothing is dropped or inserted silently: what is, is counted, because each such sample moves the echo.

Where the output has a clock of its own, it and the microphone's differ by up to some hundred parts in a million. The
reference is stretched by as much, so that the number of samples that wait stays where it is (adaptive resampling, as in
F. Adriaensen, "Controlling adaptive resampling", Linux Audio Conference 2012).
"""

from __future__ import annotations

import numpy as np

from locara.audio import BLOCK, RATE, Resampler, Samples, samples_in, silence
from locara.devices.ring import Ring

RING_SECONDS = 6.0
"""What may wait while the event loop sleeps: one second more than a microphone keeps (`BUFFER_SECONDS`), so that neither
loses what the other still has."""

CUSHION_SECONDS = 0.03
"""What waits at the least: an output asks for 20 ms at once and may be late by half of it. It must stay below the delay of
the speaker's own buffers (40 ms and more), or an echo would come before its reference."""

LOOK_SECONDS = 1.0
"""The least that waited during so long is what is kept steady: a single moment says more about jitter than about clocks."""

CATCH_UP_SECONDS = 10.0
"""A difference is made good within about this time by stretching: slowly, because each change moves the echo."""

MOST_STRETCH = 5e-4
"""Sound cards differ by 200 parts in a million at most; this is what may be corrected by stretching."""

JUMP_SECONDS = 0.04
"""A difference of more than this is no drift: samples were lost somewhere, and the reference jumps to its place."""

_JUMP = samples_in(JUMP_SECONDS)


class Reference:
    """``rate``: of the output, in hertz. ``own_clock``: the output pulls by itself, on its own thread."""

    def __init__(self, rate: int, *, own_clock: bool) -> None:
        self._ring = Ring(round(RING_SECONDS * rate))
        self._own_clock = own_clock
        self._resampler = Resampler(rate, RATE, elastic=own_clock)
        self._ready = silence(0)
        self._least, self._most = 0, 0
        self._looked = 0
        self._began = False
        self._owed = 0
        self._missed = 0  # by the output's thread only
        self._seen_missed = 0
        self.inserted = 0
        """Samples at ``RATE`` of silence that took the place of what had not come yet."""
        self.dropped = 0
        """Samples at ``RATE`` that were left out, those that found the ring full included."""
        self.resynchronised = 0
        """Times that the echo has moved, because so many samples were inserted or left out."""

    def write(self, samples: Samples) -> None:
        """The output's thread: these are played now, at ``rate``."""
        self._missed += samples.size - self._ring.write(samples)

    def block(self) -> Samples:
        """The event loop, once for each block heard: the next ``BLOCK`` samples at ``RATE``."""
        if self._own_clock and not self._began:
            self._ring.discard(self._ring.filled)  # played before anybody listened
            self._ready = silence(samples_in(CUSHION_SECONDS))
        self._began = True
        new = self._settled(self._resampler.push(self._ring.read(self._ring.filled)))
        self._ready = np.concatenate((self._ready, new)) if self._ready.size else new
        if self._own_clock:
            self._keep_steady()
        if self._ready.size < BLOCK:
            self._fill_up(BLOCK - self._ready.size)
        out, self._ready = self._ready[:BLOCK], self._ready[BLOCK:]
        return np.ascontiguousarray(out)

    def _fill_up(self, missing: int) -> None:
        if not self._own_clock:  # the resampler keeps back its first millisecond; so much later is everything, for good
            self._ready = np.concatenate((silence(missing), self._ready))
            return
        self._ready = np.concatenate((self._ready, silence(missing)))
        self.inserted += missing
        before, self._owed = self._owed, self._owed + missing
        self.resynchronised += before <= _JUMP < self._owed

    def _settled(self, new: Samples) -> Samples:
        """What came late has had its time: where silence took its place, it is left out, and everything stays where it
        was. But an output that stood still for long has played as much silence as was put in."""
        if not self._owed or not new.size:
            return new
        if self._owed > _JUMP:
            self._owed = 0
            return new
        cut = min(self._owed, new.size)
        self._owed -= cut
        self.dropped += cut
        return new[cut:]

    def _keep_steady(self) -> None:
        if self._missed != self._seen_missed:
            self.dropped += (self._missed - self._seen_missed) * RATE // self._resampler.rate_in
            self.resynchronised += 1
            self._seen_missed = self._missed
        waiting = self._ready.size - BLOCK
        self._least = min(self._least, waiting) if self._looked else waiting
        self._most = max(self._most, waiting) if self._looked else waiting
        self._looked += BLOCK
        if self._looked < LOOK_SECONDS * RATE:
            return
        self._looked = 0
        if self._most - self._least > 2 * _JUMP:
            return  # the event loop has slept, and both sides are still catching up
        over = self._least - samples_in(CUSHION_SECONDS)
        if over > _JUMP:
            self._ready = self._ready[over:]
            self.dropped += over
            self.resynchronised += 1
            over = 0
        wanted = -over / (CATCH_UP_SECONDS * RATE)
        self._resampler.stretch = 1.0 + max(-MOST_STRETCH, min(MOST_STRETCH, wanted))
