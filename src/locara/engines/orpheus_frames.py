"""From the text that Orpheus writes to the codes of its sound, frame by frame.

What may live here: pure parsing and the arithmetic of windows. Orpheus writes sound as tokens ``<custom_token_N>``; seven
of them are a frame of 2,048 samples at 24 kHz, for the three codebooks of SNAC (one, two and four codes a frame; Siuzdak
et al., "SNAC: Multi-Scale Neural Audio Codec", 2024). The order within a frame and the offsets of the tokens are those of
Orpheus' own decoder (canopyai/Orpheus-TTS, decoder.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE = 24_000
FRAME_TOKENS = 7
FRAME_SAMPLES = 2048
BOOK = 4096
"""Codes in each codebook."""
_FIRST = 10  # <custom_token_10> is code 0 of a frame's first place; the ones before it steer the model

WINDOW = 4
"""Frames that are decoded together. Of them only the second is played: the decoder hears one frame before and two after
it, without which the seams are audible."""

VOICES = ("tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe")
"""Of the finetuned English model, the most natural first, as its makers say."""

_TOKEN = re.compile(r"<custom_token_(\d{1,6})>")
_LONGEST = len("<custom_token_999999>")

Codes = npt.NDArray[np.int64]


def prompt(voice: str, text: str) -> str:
    """What the model is asked with: the text between the marks it was trained with. Marks within ``text`` are taken out,
    so that nothing said can end the prompt."""
    said = re.sub(r"<\|[^|>]*\|>|<custom_token_\d+>", " ", text)
    return f"<custom_token_3><|begin_of_text|>{voice}: {said}<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"


class Tokens:
    """Codes out of pieces of text cut anywhere."""

    def __init__(self) -> None:
        self._rest = ""
        self._count = 0
        self.others = 0
        """Tokens that were none of this place: a model that is not Orpheus writes only such."""

    def push(self, piece: str) -> Iterator[int]:
        """The codes that are now complete, each in its place within its frame."""
        text = self._rest + piece
        end = 0
        for found in _TOKEN.finditer(text):
            end = found.end()
            code = int(found[1]) - _FIRST - self._count % FRAME_TOKENS * BOOK
            if 0 <= code < BOOK:
                self._count += 1
                yield code
            else:
                self.others += 1
        left = text[end:]
        at = left.rfind("<")
        self.others += at < 0 and bool(left.strip())
        self._rest = left[at:][:_LONGEST] if at >= 0 else ""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames to decode together, and which samples of them are played."""

    codes: tuple[int, ...]
    start: int
    stop: int

    def books(self) -> tuple[Codes, Codes, Codes]:
        """The codes for the decoder: shapes ``(1, frames)``, ``(1, 2 * frames)``, ``(1, 4 * frames)``."""
        frames = np.array(self.codes, dtype=np.int64).reshape(-1, FRAME_TOKENS)
        return tuple(frames[:, places].reshape(1, -1) for places in ([0], [1, 4], [2, 3, 5, 6]))  # type: ignore[return-value]


class Windows:
    """Sound as soon as it can be decoded: after four frames the first two, then a frame for each frame; at the end the
    rest. Each sample is played once."""

    def __init__(self) -> None:
        self._codes: list[int] = []  # of the last frames
        self._frames = 0

    def push(self, code: int) -> Window | None:
        """The window that this code completes."""
        self._codes.append(code)
        if len(self._codes) % FRAME_TOKENS:
            return None
        self._frames += 1
        if self._frames < WINDOW:
            return None
        del self._codes[: -WINDOW * FRAME_TOKENS]
        start = 0 if self._frames == WINDOW else FRAME_SAMPLES
        return Window(tuple(self._codes), start, 2 * FRAME_SAMPLES)

    def flush(self) -> Window | None:
        """The last frames; what is less than a frame is left out."""
        whole = len(self._codes) - len(self._codes) % FRAME_TOKENS
        if not whole:
            return None
        codes: Sequence[int] = self._codes[:whole][-WINDOW * FRAME_TOKENS :]
        start = 0 if self._frames < WINDOW else 2 * FRAME_SAMPLES
        return Window(tuple(codes), start, len(codes) // FRAME_TOKENS * FRAME_SAMPLES)
