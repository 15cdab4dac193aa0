"""What a frame worker and our side say to each other, as values.

What may live here: the words of that conversation, and sound as bytes. Each word is one frame of `locara.engines.frames`;
nothing but the standard library and numpy is imported. Sound is 32-bit float, little-endian, as the model gets and gives
it: a model whose tokens depend on the last bit says the same as in one process.

To the worker, by ``op``: ``load`` (the payload: its options as JSON), ``check`` (time some steps), ``open`` a session (the
payload: its settings as JSON), ``sound`` of a session (whole frames), ``close`` a session. From it, by ``kind``:
``progress`` of loading, ``loaded`` or ``error``; ``checked``; ``opening``, ``opened`` or ``refused``; ``step``, one for all
sessions that were in it; ``failed``, after which it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.frames import FrameError, Reply, encode


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What one session got of a step. ``heard``: how far the model had come in its samples. ``samples``: the frame that it
    said, None when it says nothing yet. ``skipped``: samples that were dropped just before the frame it heard now, because
    it was ``behind`` by so many seconds; they count as come past."""

    session: int
    heard: int
    text: str
    samples: Sound | None
    skipped: int = 0
    behind: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class StepMade:
    """One step of the model, which took so many ``seconds``."""

    seconds: float
    said: tuple[Said, ...]


def to_bytes(samples: npt.NDArray[np.float32]) -> bytes:
    """Samples as a payload."""
    return np.ascontiguousarray(samples, dtype="<f4").tobytes()


def to_samples(payload: bytes) -> Sound:
    """A payload as samples, which may be written to. Raises ``FrameError`` where it is none."""
    if len(payload) % 4:
        raise FrameError(f"{len(payload)} bytes are no 32-bit samples")
    return np.frombuffer(payload, dtype="<f4").astype(np.float32)


def step(made: StepMade) -> bytes:
    """The step as it travels: one header for all sessions, their frames one after the other as the payload."""
    rows: list[Sequence[Any]] = []
    sound: list[bytes] = []
    for one in made.said:
        sound.append(b"" if one.samples is None else to_bytes(one.samples))
        rows.append([one.session, one.heard, one.text, len(sound[-1]), one.skipped, one.behind])
    return encode({"kind": "step", "took": made.seconds, "said": rows}, b"".join(sound))


def step_made(reply: Reply) -> StepMade:
    """The other way. Raises ``FrameError``."""
    said: list[Said] = []
    at = 0
    try:
        for session, heard, text, size, skipped, behind in reply.header["said"]:
            samples = to_samples(reply.payload[at : at + size]) if size else None
            said.append(Said(int(session), int(heard), str(text), samples, int(skipped), float(behind)))
            at += size
        took = float(reply.header["took"])
    except (KeyError, TypeError, ValueError) as error:
        raise FrameError(f"a step must say who said what: {error!r}") from None
    if at != len(reply.payload):
        raise FrameError(f"a step told of {at} bytes of sound and brought {len(reply.payload)}")
    return StepMade(took, tuple(said))


def loaded(facts: FrameFacts) -> Mapping[str, Any]:
    """The header that tells what was loaded."""
    return {"kind": "loaded", **asdict(facts)}


def facts(reply: Reply) -> FrameFacts:
    """The other way. Raises ``FrameError`` for what cannot be."""
    told = {name: value for name, value in reply.header.items() if name != "kind"}
    try:
        read = FrameFacts(**{**told, "voices": tuple(str(one) for one in told["voices"])})
    except (KeyError, TypeError) as error:
        raise FrameError(f"a model must say what it is: {error!r}") from None
    if not all(isinstance(n, int) and n > 0 for n in (read.rate, read.frame, read.slots)):
        raise FrameError(f"its rate is {read.rate!r} Hz, its frame {read.frame!r} samples, its slots {read.slots!r}")
    return read
