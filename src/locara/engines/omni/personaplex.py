"""What PersonaPlex hears before a conversation: a voice and a role, forced on the model frame by frame.

What may live here: the pure plan of that prompt, and how a voice is named. Source: NVIDIA/personaplex (MIT), its
``moshi/models/lm.py`` and ``moshi/server.py``: voice, half a second of silence, role, half a second of silence; the user is
a sine meanwhile.

A frame of the agent has a text token, a semantic code and seven acoustic codes, which stand one position later in the
model's streams than the rest. So what is forced into one position comes from two frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from locara.engines.isolated_worker import Trouble
from locara.engines.omni.moshi_files import VOICES

Codes = tuple[int, ...]
"""Of one frame: 8 of Mimi's, the semantic one first."""

SILENCE: Codes = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
"""The agent, saying nothing."""
SINE: Codes = (430, 1268, 381, 1611, 1095, 1495, 56, 472)
"""The user during the prompt: 440 Hz."""
PAUSE = 6
"""Frames of silence after voice and role: half a second."""
LEVEL = -24.0
"""LUFS to which a voice that is given as sound is brought."""
_ROLE = "<system>"
_SUFFIXES = (".pt", ".wav")


@dataclass(frozen=True, slots=True)
class Forced:
    """What one step of the model is given: ``user``: the codes it hears. ``text`` and ``semantic``: what it must think and
    say next, None: what it likes. ``acoustic``: the seven codes that it must say next."""

    user: Codes
    text: int | None
    semantic: int | None
    acoustic: Codes


def steps(last: Codes, text: Sequence[int], pad: int) -> tuple[Forced, ...]:
    """The steps from the voice to the first live frame.

    ``last``: the last frame of the voice (of which only the acoustic codes count). ``text``: tokens of the role. In the
    last step the model chooses what it says first; only the rest of the frame before is forced.
    """
    words = [pad] * PAUSE + list(text) + [pad] * PAUSE
    before = [last] + [SILENCE] * (len(words) - 1)
    forced = [Forced(SINE, word, SILENCE[0], frame[1:]) for word, frame in zip(words, before, strict=True)]
    return (*forced, Forced(SINE, None, None, SILENCE[1:]))


def role(text: str) -> str:
    """The role as the model knows it, between two signs; empty for none."""
    cleaned = text.strip()
    if not cleaned or (cleaned.startswith(_ROLE) and cleaned.endswith(_ROLE) and len(cleaned) > len(_ROLE)):
        return cleaned
    return f"{_ROLE} {cleaned} {_ROLE}"


def voice_file(folder: Path, name: str, known: Sequence[str]) -> Path:
    """The file of a voice: by its name in ``voices``, or by a path inside ``folder``. Raises ``Trouble`` for one that is
    not there, and for one outside."""
    inside = folder.resolve()
    tried = [folder / VOICES / f"{name}{suffix}" for suffix in _SUFFIXES]
    if name.endswith(_SUFFIXES):
        tried = [folder / VOICES / name, folder / name]
    for path in tried:
        if path.is_file():
            if not path.resolve().is_relative_to(inside):
                raise Trouble(f"the voice {name!r} lies outside of {folder}", hint=f"copy it into {folder / VOICES}")
            return path
    if known:
        names = ", ".join(known)
        raise Trouble(f"there is no voice {name!r}", hint=f"it can be {names}, or a .pt or .wav file inside {folder}")
    packed = " (unpack voices.tgz there)" if (folder / "voices.tgz").is_file() else ""
    raise Trouble(
        f"there is no voice {name!r} in {folder / VOICES}{packed}", hint="leave the voice out, or add its file"
    )
