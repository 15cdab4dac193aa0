"""The engines that are examined here, each with what it takes to make one: a real model, or a small one in its format.

What may live here: one `Specimen` an engine. An engine whose package is not installed says which extra brings it.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from locara.audio import RATE, Resampler, Samples, from_pcm16
from locara.engines.contracts import Kind

NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Engine:
    """``options`` makes the engine's options, with a folder it may write weights into. ``needs``: modules of an extra.
    ``known``: checks that it is known not to pass, and why: they are shown, and a pass is then a failure."""

    name: str
    kind: Kind
    model: str
    options: Callable[[Path], Mapping[str, Any]] = field(default=lambda _: NO_OPTIONS)
    needs: tuple[str, ...] = ()
    extra: str = ""
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The engine, and the model where that says more."""
        return self.name if self.model in ("", self.name) else f"{self.name}: {self.model}"

    @property
    def missing(self) -> str:
        """Why it cannot be examined here, or nothing."""
        absent = [name for name in self.needs if find_spec(name) is None]
        return f"{', '.join(absent)} is not installed: the extra {self.extra}" if absent else ""


@cache
def question() -> Samples:
    """Real speech: the recorded question that comes with the program, its first three seconds at 16 kHz."""
    import locara.cli

    with wave.open(str(Path(locara.cli.__file__).parent / "question.wav")) as file:
        sound, rate = from_pcm16(file.readframes(3 * file.getframerate())), file.getframerate()
    return sound if rate == RATE else Resampler(rate, RATE).push(sound, last=True)


ENGINES: tuple[Engine, ...] = (
    Engine("silero", "vad", "silero"),
    Engine("prosody", "turn", "prosody"),
    Engine("pocketsphinx", "stt", "pocketsphinx"),
    Engine("espeak-ng", "tts", "espeak-ng"),
    Engine("built-in", "llm", "built-in"),
    Engine("micro-wake-word", "wake", "", needs=("pymicro_wakeword",), extra="wake"),
)
"""In the order of the table in the documentation."""
