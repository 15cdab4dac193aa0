"""Text as phonemes, for voices that are given phonemes: by espeak-ng, which is GPL-3.0-or-later and runs in a program of
its own (`locara.engines.espeak_worker`); only text goes there and only IPA comes back.

What may live here: sentences, the way into that program, and the spelling of phonemes that each family of voices learnt.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence

from locara.engines.child import Child, WorkerError
from locara.engines.frames import Reply
from locara.errors import EngineMissing

LONGEST = 220
"""Characters of one sentence: some 15 s of speech, and less than the 400 to 510 phonemes that the voices take at once."""

_WORKER = "locara.engines.espeak_worker"
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+")
_MARKS = ".,;:!?…—"
_SPOKEN_OUT = frozenset("Dr Mr Mrs Ms Prof St Jr Sr vs".split())
"""espeak-ng ends a clause after the dot of these, and a voice should not."""
_OTHER_LANGUAGE = re.compile(r"\([a-z][a-z0-9-]*\)")
"""espeak-ng marks words that it reads in another language: ``(en)ˈaɪfoʊn(de)``."""


def sentences(text: str, longest: int = LONGEST) -> list[str]:
    """``text`` in sentences; one that is longer is cut at a comma, else at a space, else anywhere. Nothing but spaces
    between them is lost."""
    found = []
    for part in _SENTENCE_END.split(text.strip()):
        rest = part.strip()
        while len(rest) > longest:
            at = max(rest.rfind(", ", 0, longest), rest.rfind("; ", 0, longest)) + 1
            at = at or rest.rfind(" ", 0, longest) + 1 or longest
            found.append(rest[:at].strip())
            rest = rest[at:].strip()
        if rest:
            found.append(rest)
    return found


def joined(clauses: Iterable[Sequence[str]]) -> str:
    """espeak-ng's clauses ([IPA, the text it was read from]) as one sentence, with the punctuation put back that makes
    the pauses and the melody."""
    clauses = list(clauses)
    parts = []
    for number, (said, read) in enumerate(clauses):
        said = _OTHER_LANGUAGE.sub("", said).strip()  # noqa: PLW2901
        if said:
            last = number == len(clauses) - 1
            parts.append(said + _mark(read if last else read[:-1]))
    return " ".join(parts)


def _mark(read: str) -> str:
    """The punctuation at the end of a clause's text."""
    end = read.rstrip().rstrip("\"'”’)]»")
    if not end or end[-1] not in _MARKS:
        return ""
    if end[-1] == "." and end[:-1].split(" ")[-1] in _SPOKEN_OUT:
        return ""
    return "…" if end.endswith("...") else end[-1]


# --- spellings --------------------------------------------------------------------------------------------------------


def piper(phonemes: str) -> str:
    """As Piper's voices learnt them: IPA, each accent a character of its own (NFD)."""
    return unicodedata.normalize("NFD", phonemes)


# One letter for what is one sound, as misaki writes it (github.com/hexgrad/misaki, the phonemes Kokoro 1.0 learnt).
_DIPHTHONGS = {"a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ"}
_ENGLISH = {
    "ʔˌn\u0329": "tᵊn", "ʔn": "tᵊn", "ə^l": "ᵊl", "ʲ": "", "ɚ": "əɹ", "ɐ": "ə", "ɬ": "l", "ʔ": "t", "r": "ɹ", "x": "k",
    "ç": "k", "e": "A", "\u0303": "",
}  # fmt: skip
_AMERICAN = {"o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}
_BRITISH = {"e^ə": "ɛː", "iə": "ɪə", "ə^ʊ": "Q"}
_OTHERS = {"o^ʊ": "O", "ə^ʊ": "Q", "d^z": "ʣ", "t^s": "ʦ"}


def kokoro(phonemes: str, language: str) -> str:
    """As Kokoro 1.0 and later learnt them. ``phonemes`` are tied with ``^``."""
    tables = [_DIPHTHONGS, _OTHERS]
    if language.startswith("en"):
        british = language.startswith("en-gb")
        # What is longer first, and British vowels before the lone "e" that is American for "eɪ".
        tables = [_DIPHTHONGS, _BRITISH, _ENGLISH] if british else [_DIPHTHONGS, _ENGLISH, _AMERICAN]
    for table in tables:
        for old, new in table.items():
            phonemes = phonemes.replace(old, new)
    return re.sub("(\\S)\u0329", "ᵊ\\1", phonemes).replace("^", "")


class Phonemiser:
    """espeak-ng's program, for one language. It blocks: call it inside a `Lane`. All deadlines are in seconds."""

    def __init__(self, language: str, *, stage: str, model: str) -> None:
        self.language = language
        self._model = model
        self._child = Child(_WORKER, stage=stage, model=model)
        self._ready = 0

    def start(self, deadline: float = 30.0) -> None:
        """Starts the program, if it does not run, and chooses the language. Raises ``EngineMissing``, ``EngineFailed``."""
        if self._child.alive and self._ready == self._child.lives:
            return
        try:
            self._child.start(deadline)
            self._child.request("load", deadline=deadline, voice=self.language, rate_wpm=175, pitch=50, data=None)
        except WorkerError as error:
            if error.kind in ("ModuleNotFoundError", "ImportError"):
                raise EngineMissing(
                    f"{self._child.stage}: {self._model} needs the package espeakng-loader for its phonemes",
                    stage=self._child.stage, model=self._model, hint="pip install espeakng-loader",
                ) from error  # fmt: skip
            raise
        self._ready = self._child.lives

    def phonemes(self, texts: Sequence[str], *, tie: str = "", deadline: float = 10.0) -> list[str]:
        """IPA for each text, with its punctuation. ``deadline`` holds for each. A program that has died is started
        again first. Raises ``EngineFailed`` or ``EngineTimeout``."""
        self.start()
        payload = json.dumps([text.encode("utf-8", "replace").decode() for text in texts]).encode()
        replies: Iterable[Reply] = self._child.stream("phonemize", payload, deadline=deadline, tie=tie)
        return [joined(json.loads(reply.payload)) for reply in replies]

    def kill(self) -> None:
        """Ends the program. From any thread, also twice."""
        self._child.kill()
