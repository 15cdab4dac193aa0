"""Whisper's vocabulary: which number means what, and how numbers become text.

What may live here: this one class, pure. Nothing is ever encoded, so the tokenizer's merging rules are not needed, and no
library for them.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from locara.errors import ConfigError

_SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|transcribe|>")


@functools.cache
def _bytes() -> dict[str, int]:
    """GPT-2's letters for bytes (``bytes_to_unicode`` of its ``encoder.py``), the other way round."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in plain}
    others = [byte for byte in range(256) if byte not in plain]
    return letters | {chr(256 + at): byte for at, byte in enumerate(others)}


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """``tokens``: by number. ``ids``: the number of each special token. ``languages``: codes to numbers; empty for a model
    that only knows English."""

    tokens: Sequence[str]
    ids: dict[str, int]
    languages: dict[str, int]

    @classmethod
    def of(cls, tokens: object) -> Vocabulary:
        """From what the vocabulary's file holds. Raises ``ValueError`` for what is none of Whisper's."""
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("it holds no list of tokens")
        ids = {token: at for at, token in enumerate(tokens) if token.startswith("<|") and token.endswith("|>")}
        if missing := [name for name in _SPECIAL if name not in ids]:
            raise ValueError(f"it lacks Whisper's token {missing[0]}")
        start, end = ids["<|startoftranscript|>"], ids.get("<|translate|>", 0)
        # The models for English alone have the languages' tokens too, and were never taught them: their end token tells.
        english = ids["<|endoftext|>"] == 50256
        codes = {} if english else {tokens[at].strip("<|>"): at for at in range(start + 1, end)}
        return cls(tokens, ids, codes)

    @property
    def english(self) -> bool:
        """Whether it only knows English."""
        return not self.languages

    @property
    def end(self) -> int:
        """The first number that is no text."""
        return self.ids["<|endoftext|>"]

    def prompt(self, language: str) -> list[int]:
        """What the decoder is given before its first word."""
        middle = [] if self.english else [self.languages[language], self.ids["<|transcribe|>"]]
        return [self.ids["<|startoftranscript|>"], *middle, self.ids["<|notimestamps|>"]]

    def text(self, ids: Iterable[int]) -> str:
        """The text of these tokens, without space around it. Half a letter at the end becomes U+FFFD."""
        return self._raw(ids).decode("utf-8", errors="replace").strip()

    def words(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """The words, each with the index of its first token: what begins with a space, or, in scripts without spaces,
        each group of tokens that makes whole letters."""
        spaced = " " in self.text(ids)
        words: list[tuple[bytes, int]] = []
        for at, token in enumerate(ids):
            raw = self._raw([token])
            whole = bool(words) and not words[-1][0].decode("utf-8", errors="replace").endswith("\ufffd")
            if not words or raw.startswith(b" ") or (whole and not spaced):
                words.append((raw, at))
            else:
                words[-1] = (words[-1][0] + raw, words[-1][1])
        told = [(raw.decode("utf-8", errors="replace").strip(), at) for raw, at in words]
        return [(text, at) for text, at in told if text]

    def check_language(self, model: str, language: str) -> None:
        """Raises ``ConfigError`` for a language that the model does not know; empty is none in particular."""
        known = ["en", *self.languages]
        if not language or language in known:
            return
        if self.english:
            raise ConfigError(
                f"{model} only knows English, and language is {language!r}",
                hint="choose a multilingual model: one without .en in its name",
            )
        near = difflib.get_close_matches(language, known, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"{model} knows no language {language!r}", hint=f"{meant}It knows {', '.join(sorted(self.languages))}"
        )

    def _raw(self, ids: Iterable[int]) -> bytes:
        letters = _bytes()
        return b"".join(bytes(letters.get(letter, 0x3F) for letter in self.tokens[one]) for one in ids)
