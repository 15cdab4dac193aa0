"""The files of Supertonic: its settings, its voices, and how a text becomes numbers.

What may live here: reading those files, and pure steps from text to tokens. The graphs are run in `supertonic`.
Source: github.com/supertone-inc/supertonic (code MIT), ``py/helper.py``, and its package's ``core.py``, release 1.3.1.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LARGEST_JSON = 8 * 2**20
"""Bytes. The largest published one has 292,423."""
_MOST_NUMBERS = 2**20
_SAID_AS = str.maketrans(
    {
        "–": "-", "‑": "-", "—": "-", "¯": " ", "_": " ", "“": '"', "”": '"', "‘": "'", "’": "'", "´": "'", "`": "'",
        "[": " ", "]": " ", "|": " ", "/": " ", "#": " ", "→": " ", "←": " ", "♥": "", "☆": "", "♡": "", "©": "",
        "\\": "", "@": " at ", "<": " ", ">": " ",
    }
)  # fmt: skip
"""As the models' training text was cleaned; ``<`` and ``>`` also, because they would be taken for a tag."""
_BEFORE_MARK = re.compile(r" +([,.!?;:'])")
_ENDS = re.compile(r"[.!?;:,'\")\]}…。」』】〉》›»]$")


class WrongFile(Exception):
    """What is wrong with one file, in words for a person."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``rate`` in hertz. ``chunk``: samples of one frame of the latent; ``width``: numbers of one frame."""

    rate: int
    chunk: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """One voice: what the text encoder and the duration predictor are given, each with a leading 1."""

    text: Floats
    duration: Floats


def shape(said: Any) -> Shape:
    """From ``tts.json``. Raises `WrongFile`."""
    try:
        squeezed = int(said["ttl"]["chunk_compress_factor"])
        found = Shape(
            rate=int(said["ae"]["sample_rate"]),
            chunk=int(said["ae"]["base_chunk_size"]) * squeezed,
            width=int(said["ttl"]["latent_dim"]) * squeezed,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WrongFile(f"it is no tts.json of Supertonic: {error!r}") from error
    if not (8000 <= found.rate <= 192_000 and 0 < found.chunk <= found.rate and 0 < found.width <= 65_536):
        raise WrongFile(f"its numbers cannot be: {found}")
    return found


def indexer(said: Any) -> Sequence[int]:
    """From ``unicode_indexer.json``: the token of each code point, -1 for those that the model does not know."""
    if not isinstance(said, list) or not said or not all(type(one) is int for one in said):
        raise WrongFile("it is no list of whole numbers")
    return said


def style(said: Any) -> Style:
    """From a file of ``voice_styles``. Raises `WrongFile`."""
    try:
        return Style(_array(said["style_ttl"]), _array(said["style_dp"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WrongFile(f"it is no voice of Supertonic: {error!r}") from error


def _array(said: Any) -> Floats:
    dims = [int(one) for one in said["dims"]]
    values = np.array(said["data"], np.float32).reshape(dims)
    if values.ndim != 3 or values.shape[0] != 1 or values.size > _MOST_NUMBERS or not np.isfinite(values).all():
        raise WrongFile(f"a style of the shape {dims} cannot be")
    return values


def read_json(path: Path) -> Any:
    """What is in the file. Raises `WrongFile`."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise WrongFile(f"it has {path.stat().st_size} bytes, {LARGEST_JSON} at most are read")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongFile(f"it cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise WrongFile("it is not whole, or no JSON") from error


def cleaned(text: str) -> str:
    """``text`` as the models learnt it, ending with a punctuation mark; empty if nothing in it can be said."""
    text = unicodedata.normalize("NFKD", text).translate(_SAID_AS)
    text = text.replace("e.g.,", "for example, ").replace("i.e.,", "that is, ")
    text = " ".join(_BEFORE_MARK.sub(r"\1", text).split())
    if not any(one.isalnum() for one in text):
        return ""
    return text if _ENDS.search(text) else f"{text}."


def tokens(text: str, language: str, known: Sequence[int]) -> npt.NDArray[np.int64]:
    """(1, n): the tokens of a `cleaned` text with its language around it; what the model does not know is left out.
    Empty if no letter or digit of the text is known."""

    def numbers(part: str) -> list[int]:
        return [known[ord(one)] for one in part if ord(one) < len(known) and known[ord(one)] >= 0]

    if not numbers("".join(one for one in text if one.isalnum())):
        return np.zeros((1, 0), np.int64)
    return np.array([[*numbers(f"<{language}>"), *numbers(text), *numbers(f"</{language}>")]], np.int64)
