"""Which part of a reply's sound is certain while its codes still come, to the sample: for Qwen2.5-Omni and Qwen3-Omni.

What may live here: pure arithmetic on codes, frames and samples; no torch. How far each network looks is computed from its
configuration; no sample is lost or comes twice.

* Qwen3's decoder is causal but for its transposed convolutions, each of which looks one step ahead: ``n`` codes give less
  than ``n`` codes' samples (555 fewer with the published rates). Who cuts each piece by the count of codes loses those at
  every seam; `Seam` counts samples instead.
  Sound made in pieces is the sound made at once, but for rounding.
* Qwen2.5 makes a mel spectrogram by a diffusion transformer whose attention reaches whole blocks of frames back and ahead
  (`MelPlan`), and sound of it by BigVGAN, which looks to both sides (`vocoder_context`). One pass over a stretch is right to
  the bit, but a solver makes 36 passes, each on what the one before made of the neighbours, and at a stretch's ends those
  lack neighbours of their own. So sound made in pieces nears the sound made at once. The stretch is the one the makers
  stream with: two blocks back, one ahead, the same noise for a frame in every stretch.

Sources: the models' code in transformers 5.23; "Qwen2.5-Omni Technical Report" (2025); Lee et al., "BigVGAN" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RATE = 24_000
"""Hertz of both models' sound."""

_KERNEL = 7
"""Taps of the convolutions in Qwen3's decoder, and of the first and last one in BigVGAN."""
_DILATIONS = (1, 3, 9)
"""Of the three residual units behind each upsampling in Qwen3's decoder."""
_ALIAS_FREE = 9
"""Samples to each side that an alias-free activation of BigVGAN looks: 6 by 12 taps up, 3 by 12 down at twice the rate."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """How large a piece is: a small one first, so that the reply is soon heard, then larger ones, which cost less."""

    sizes: tuple[int, ...]
    """The last one goes on for ever. A piece may be half as long again as what is out and not yet played: then a model that
    is half as fast again as real time leaves no gap."""

    def size(self, made: int) -> int:
        """The next piece's when ``made`` pieces are out."""
        return self.sizes[min(made, len(self.sizes) - 1)]


class Seam:
    """Counts the samples that are out. ``out``: how many."""

    def __init__(self) -> None:
        self.out = 0

    def cut(self, start: int, length: int) -> slice:
        """Which samples of a decoded stretch are new. It lies ``start`` samples after the beginning of the reply and is
        ``length`` long. They count as given out. Raises ``ValueError`` where samples would be missing before it."""
        if start > self.out:
            raise ValueError(f"a stretch begins at sample {start}, but only {self.out} are out")
        end = start + length
        new = slice(self.out - start, max(self.out, end) - start)
        self.out = max(self.out, end)
        return new


# --- Qwen3: codes of 80 ms -> causal transformer -> convolutions -------------------------------------------------------


def codes_before(upsample_rates: Sequence[int], upsampling_ratios: Sequence[int]) -> int:
    """How many codes before a stretch the convolutions of Code2Wav look back; 11 with the published rates. Walked from the
    last sample to the first code, each layer rounded up."""
    back = _KERNEL - 1
    for rate in reversed(upsample_rates):
        back += (_KERNEL - 1) * sum(_DILATIONS)
        back = math.ceil(back / rate) + 1
    back += _KERNEL - 1
    for ratio in reversed(upsampling_ratios):
        back = math.ceil((back + _KERNEL - 1) / ratio) + 1
    return back


def samples_late(upsample_rates: Sequence[int]) -> int:
    """How many samples fewer than its codes' share a decoded stretch has: 555 with the published rates."""
    late = 0
    for rate in upsample_rates:
        late = late * rate + rate
    return late


# --- Qwen2.5: codes of 20 ms -> mel frames in blocks -> BigVGAN --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MelWindow:
    """Frames ``low:high`` are computed together; of them ``first:last`` are right, the others are what these look at."""

    low: int
    high: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MelPlan:
    """How the diffusion transformer can be run in parts. ``block``: frames of a block of its attention; ``back``, ``ahead``:
    how many of its layers look one block back, and one ahead, so how many blocks a block depends on; ``repeats``: frames
    of a code."""

    block: int
    back: int
    ahead: int
    repeats: int

    def codes_for(self, blocks: int) -> int:
        """Codes that must be there before ``blocks`` blocks are certain."""
        return math.ceil((blocks + self.ahead) * self.block / self.repeats)

    def window(self, codes: int, done: int, *, final: bool) -> MelWindow | None:
        """What to compute when ``codes`` codes are there and ``done`` frames are computed (whole blocks). None: nothing new
        is certain. ``final``: no more codes come."""
        frames = codes * self.repeats
        if final:
            last = high = frames
        else:
            last = (frames // self.block - self.ahead) * self.block
            high = last + self.ahead * self.block
        if last <= done:
            return None
        low = max(0, done - self.back * self.block)
        return MelWindow(low, high, done, last)


def vocoder_context(
    upsample_rates: Sequence[int],
    upsample_kernels: Sequence[int],
    block_kernels: Sequence[int],
    block_dilations: Sequence[Sequence[int]],
) -> int:
    """How many mel frames to each side BigVGAN looks; 43 with the published numbers. Each layer is rounded up, so it is
    never too few."""
    side = (_KERNEL - 1) // 2 + _ALIAS_FREE
    wings = max(
        sum(2 * _ALIAS_FREE + (kernel - 1) // 2 * (dilation + 1) for dilation in dilations)
        for kernel, dilations in zip(block_kernels, block_dilations, strict=True)
    )
    for rate, kernel in zip(reversed(upsample_rates), reversed(upsample_kernels), strict=True):
        padding = (kernel - rate) // 2
        side = math.ceil((side + wings + max(padding, kernel - 1 - padding)) / rate)
    return side + (_KERNEL - 1) // 2


def sounding(frames: int, given: int, back: int, ahead: int, *, final: bool) -> MelWindow | None:
    """What the vocoder is to compute when ``frames`` mel frames are there and the sound of ``given`` is out, and it looks
    ``back`` and ``ahead`` frames. None: nothing new is certain."""
    last = frames if final else frames - ahead
    if last <= given:
        return None
    return MelWindow(max(0, given - back), min(frames, last + ahead), given, last)
