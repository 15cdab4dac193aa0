"""Manifests, ledgers and people for these tests. What may live here: making them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from locara.consent import Answer, Ask, Ledger, Question
from locara.manifest.values import Manifest, Modality

APP = "com.example.talk"


def manifest(*use: Modality, version: str = "1.0", **more: object) -> Manifest:
    """Of `APP`."""
    return Manifest(APP, "Talk", version, modalities=use or ("voice-to-voice",), digest=version, **more)  # type: ignore[arg-type]


class Clock:
    """Seconds since the epoch, as they are set."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def ledger(folder: Path, now: Callable[[], float] | None = None) -> Ledger:
    """In ``folder``."""
    return Ledger(folder, now=now or Clock())


def says(*words: Literal["once", "always", "deny", "dismissed"], asked: list[Question] | None = None) -> Ask:
    """A person who answers so, and no more."""
    left = list(words)

    def ask(question: Question) -> Answer:
        if asked is not None:
            asked.append(question)
        return Answer(left.pop(0))

    return ask


def nobody_may_be_asked(question: Question) -> Answer:
    """Fails the test."""
    raise AssertionError(f"asked: {question}")
