"""The files of Kokoro 82M as kokoro-onnx publishes them: its symbols, its voices, and what its numbers mean.

What may live here: reading those files, and pure steps between phonemes, tokens and times. The graph itself is run in
`kokoro_onnx`. Source: hexgrad/Kokoro-82M (Apache-2.0), ``config.json`` and ``kokoro/model.py``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines import word_alignment
from locara.engines.word_alignment import Stretch

RATE = 24_000
MOST_TOKENS = 510
"""Symbols of one run: the model's context is 512, and one at each end says where the text begins and ends."""
LARGEST_VOICE = 16 * 2**20
"""Bytes of one voice: the real ones have 522,240 (510 rows of 256 numbers)."""
CONFIG_KEY = "kokoro_config"
"""Where the exports of kokoro-onnx keep the model's ``config.json``."""
SPACE, PAD = " ", 0
_DIGIT_LETTERS = 3  # "1984" is said about as long as a word of 12 letters
_SIGN_LETTERS = 4
_SIGNS = frozenset("%&@+=€$£°")
_MARKS = tuple(",.;:!?…—")

_RUNS = (
    (1, ";:,.!?"), (9, "—…\"()“” \u0303ʣʥʦʨᵝꭧAI"), (31, "O"), (33, "Q"), (35, "ST"), (39, "W"), (41, "Yᵊabcdef"),
    (50, "hijklmnopqrstuvwxyzɑɐɒæ"), (75, "βɔɕç"), (80, "ɖðʤə"), (85, "ɚɛɜ"), (90, "ɟ"), (92, "ɡ"), (99, "ɥ"),
    (101, "ɨɪʝ"), (110, "ɯɰŋɳɲɴø"), (118, "ɸθœ"), (123, "ɹ"), (125, "ɾɻ"), (128, "ʁɽʂʃʈʧ"), (135, "ʊʋ"),
    (138, "ʌɣɤ"), (142, "χʎ"), (147, "ʒʔ"), (156, "ˈˌː"), (162, "ʰ"), (164, "ʲ"), (169, "↓"), (171, "→↗↘"),
    (177, "ᵻ"),
)  # fmt: skip
SYMBOLS: Mapping[str, int] = {one: first + place for first, run in _RUNS for place, one in enumerate(run)}
"""Symbol -> number: the 114 of Kokoro 1.0, for files that do not bring their own."""

LANGUAGES: Mapping[str, str] = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "zh",
}  # fmt: skip
"""The first letter of a voice's name -> its language, as espeak-ng calls it (``bf_emma`` is British)."""


class WrongVoices(Exception):
    """What is wrong with the file of the voices, in words for a person."""


def symbols(metadata: Mapping[str, str]) -> Mapping[str, int]:
    """The symbols that the graph was exported with, else those of Kokoro 1.0."""
    try:
        told = json.loads(metadata[CONFIG_KEY])["vocab"]
        return {str(one): int(number) for one, number in told.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return SYMBOLS


def voice_names(path: Path) -> tuple[str, ...]:
    """The voices in the file, a zip of ``.npy`` files as numpy's ``savez`` writes it. Raises `WrongVoices`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy"))
    except zipfile.BadZipFile as error:
        raise WrongVoices("it is no archive of voices, or it is cut off") from error
    if not names:
        raise WrongVoices("there is no voice in it")
    return tuple(names)


def voice_rows(path: Path, name: str, width: int) -> npt.NDArray[np.float32]:
    """One voice, (rows, ``width``): a row for each length of text. Never unpickles. Raises `WrongVoices`."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
            if size > LARGEST_VOICE:
                raise WrongVoices(f"the voice {name} has {size} bytes")
            with archive.open(f"{name}.npy") as file:
                read = np.lib.format.read_array(file, allow_pickle=False)
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, OSError, NotImplementedError) as error:
        raise WrongVoices(f"the voice {name} cannot be read: {error}") from error
    if read.dtype.kind != "f" or not read.size or read.ndim not in (2, 3) or read.shape[-1] != width:
        raise WrongVoices(f"the voice {name} has the shape {read.shape}, and rows of {width} numbers are needed")
    rows: npt.NDArray[np.float32] = read.reshape(-1, width).astype(np.float32)
    return rows


def portions(spelt: str, known: Mapping[str, int], most: int = MOST_TOKENS) -> list[str]:
    """``spelt`` without what the voice has no symbol for, in portions of at most ``most`` symbols, cut at spaces."""
    rest = SPACE.join("".join(one for one in part if one in known) for part in spelt.split())
    rest = SPACE.join(rest.split())
    found = []
    while rest:
        at = len(rest) if len(rest) <= most else max(rest.rfind(SPACE, 0, most + 1), 0) or most
        found.append(rest[:at].strip())
        rest = rest[at:].strip()
    return found


def edges(durations: Sequence[int] | npt.NDArray[Any], samples: int) -> list[int]:
    """Where each symbol begins, in samples: ``durations`` are those of the padding, the symbols and the padding, in any
    unit, and together they are ``samples`` long. One more than symbols: the last is where the last one ends."""
    ends = np.cumsum(np.asarray(durations, np.float64).reshape(-1))
    if ends.size < 3 or not np.isfinite(ends[-1]) or ends[-1] <= 0:
        return []
    return [int(one) for one in np.round(ends[:-1] * (samples / ends[-1]))]


def word_starts(sentence: str, spelt: str, at: Sequence[int]) -> list[tuple[int, int, int]]:
    """(sample, first character, last character + 1) of each word of ``sentence``. ``spelt`` is how it was said, ``at``
    where each of its symbols begins (`edges`)."""
    if len(at) != len(spelt) + 1:
        return []
    words, end = [], 0
    for word in sentence.split():
        start = sentence.index(word, end)
        end = start + len(word)
        if any(one.isalnum() or one in _SIGNS for one in word):
            words.append((start, end, Stretch(sum(map(_letters, word)), word.rstrip("\"'”’)]»").endswith(_MARKS))))
    sounds, begun = [], 0
    for part in spelt.split(SPACE):
        if part:
            sounds.append((begun, Stretch(len(part), part.endswith(_MARKS))))
        begun += len(part) + 1
    found = []
    if not sounds:
        return []
    matched = word_alignment.starts([of for *_, of in words], [of for _, of in sounds])
    for (start, end, _), (number, share) in zip(words, matched, strict=True):
        first, of = sounds[number]
        found.append((at[first + int(share * of.size)], start, end))
    return found


def _letters(one: str) -> int:
    """How long a character is when it is said, in letters."""
    if one.isdigit():
        return _DIGIT_LETTERS
    return _SIGN_LETTERS if one in _SIGNS else int(one.isalnum())
