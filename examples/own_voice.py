"""A voice of one's own: text to speech in Morse code, as a plugin would bring it.

    python examples/own_voice.py

What it shows: everything a text-to-speech engine has to offer (``docs/engines.md`` explains it line by line). The
conversation runs in the rig, so it needs no microphone and takes a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np

from locara.audio import Samples
from locara.engines.contracts import EngineInfo, Speech, Voice, WordMark
from locara.errors import ConfigError
from locara.testing import Conversation, Line, play

MODELS = ("morse",)
CODE = dict(zip("abcdefghijklmnopqrstuvwxyz0123456789", (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
).split(), strict=True))  # fmt: skip


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice, or None when ``model`` is none of `MODELS`."""
    if model not in MODELS:
        return None
    if unknown := set(options) - {"wpm", "engine"}:
        raise ConfigError(f"morse has no option {', '.join(unknown)}", hint="it knows wpm, words a minute")
    return Morse(float(options.get("wpm", 40)))


class Morse:
    """Dots of ``1.2 / wpm`` seconds at 600 Hz."""

    info = EngineInfo(engine="morse", model="morse", licence="Apache-2.0", word_times=True)
    rate = 16_000

    def __init__(self, wpm: float = 40.0) -> None:
        self._dot = round(1.2 / wpm * self.rate)

    async def load(self) -> None:
        """There are no weights. A real engine loads them here, and speaks one word."""

    async def close(self) -> None:
        """There is nothing to close. A real engine ends its thread or process here."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """One word at a time: the first sounds while the second is made."""
        at = end = 0
        for word in text.split():
            start = text.index(word, end)
            end = start + len(word)
            samples = self._sound(" ".join(CODE.get(letter, "") for letter in word.lower()))
            yield Speech(samples, (WordMark(at, start, end),))
            at += samples.size

    def _sound(self, dashes: str) -> Samples:
        units = "".join({".": "10", "-": "1110", " ": "00"}[sign] for sign in dashes) + "000000"
        on = np.repeat(np.array([unit == "1" for unit in units]), self._dot)
        tone: Samples = (0.2 * on * np.sin(2 * np.pi * 600 / self.rate * np.arange(on.size))).astype(np.float32)
        return tone


def main() -> None:
    """One question, answered in Morse code."""
    result = play(Conversation([Line(0.5, "where are you")], replies=["Here I am."]), tts=Morse())
    for event in result.of("final-transcript", "audio-chunk", "turn-end"):
        if event.type == "audio-chunk":
            seconds = event.samples.size / event.sample_rate
            print(f"{event.t:6.2f} s  {seconds:.2f} s of Morse code {event.text}".rstrip())
        else:
            print(f"{event.t:6.2f} s  {event.type}: {getattr(event, 'text', '') or event.reason}")


if __name__ == "__main__":
    main()
