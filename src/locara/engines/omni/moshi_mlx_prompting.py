"""PersonaPlex's voice and role on MLX, heard by one conversation before it begins: for `moshi_mlx_worker`.

What may live here: the steps of that prompt. What is forced in each is planned in `personaplex`. Unlike on torch nothing is
kept of a prompt for the next conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from locara.engines.isolated_worker import Trouble
from locara.engines.omni import personaplex, prompt_sound, torch_archive
from locara.engines.omni.moshi_mlx_codec import Codec
from locara.engines.omni.personaplex import Codes, Forced

_LARGEST_VOICE = 2**28  # bytes: 256 MB; the published ones have some hundred kilobytes
_STREAMS = 17  # text, 8 of the agent, 8 of the user
_HINT = "take the voice from the model's own repository"


class Talk(Protocol):
    """The conversation that hears the prompt."""

    @property
    def codec(self) -> Codec: ...

    def force(self, forced: Forced) -> None:
        """One step, in which the model thinks and says what it is told to."""
        ...

    def feed(self, embedding: npt.NDArray[np.float32]) -> None:
        """One step of the temporal transformer alone, with ``(width,)`` numbers instead of tokens."""
        ...

    def resume(self, steps: int, text: int, made: list[int], heard: list[int]) -> None:
        """The tokens as they are after so many steps: what the next one reads."""
        ...


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the model: ``width`` of its embeddings, ``card`` and ``text_card`` of its tokens, ``context`` in frames, ``pad``
    the text token of silence, ``rate`` in hertz and ``frame`` in samples."""

    width: int
    card: int
    text_card: int
    context: int
    pad: int
    rate: int
    frame: int


def hear(talk: Talk, sizes: Sizes, words: list[int], voice: Path | None) -> Iterator[float]:
    """Voice and role, one step of the model between two items. ``words``: tokens of the role. Raises ``Trouble``."""
    if len(words) + 2 * personaplex.PAUSE > sizes.context // 2:
        raise Trouble(
            f"the role has {len(words)} tokens, and the model remembers {sizes.context} frames",
            hint="describe the role in fewer words",
        )
    last = personaplex.SILENCE
    more = len(words) + 2 * personaplex.PAUSE + 1
    done = 0
    if voice is not None and voice.suffix == ".pt":
        embeddings, tokens = _saved(voice, sizes)
        done = len(embeddings)
        for number, embedding in enumerate(embeddings, 1):
            talk.feed(embedding)
            yield number / (done + more)
        # The acoustic codes of the voice's last frame stand one position after the rest of it.
        last = (0, *(int(one) for one in tokens[2:9, 1]))
        talk.resume(done, int(tokens[0, 0]), tokens[1:9, 0].tolist(), tokens[9:, 0].tolist())
    elif voice is not None:
        frames = _frames(voice, sizes)
        done = len(frames) - 1
        before: Codes | None = None
        for number, frame in enumerate(frames):
            this = tuple(talk.codec.encode(frame))
            if before is not None:
                talk.force(Forced(personaplex.SINE, sizes.pad, this[0], before[1:]))
            before = this
            yield number / (done + more)
        last = before or last
    for number, forced in enumerate(personaplex.steps(last, words, sizes.pad), 1):
        talk.force(forced)
        yield (done + number) / (done + more)


def _frames(path: Path, sizes: Sizes) -> npt.NDArray[np.float32]:
    sound = prompt_sound.read(path, sizes.rate, personaplex.LEVEL)
    frames: npt.NDArray[np.float32] = np.pad(sound, (0, -sound.size % sizes.frame)).reshape(-1, sizes.frame)
    _refuse_long(path, len(frames), sizes)
    return frames


def _saved(path: Path, sizes: Sizes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A voice in the format of NVIDIA's program: embeddings ``(frames, width)``, and the tokens of the two positions after
    them, ``(17, 2)``."""
    try:
        told = torch_archive.read(path, _LARGEST_VOICE)
        embeddings, ring = told["embeddings"], told["cache"]
    except (torch_archive.NotTensors, OSError, KeyError) as error:
        raise Trouble(f"{path} is no voice of PersonaPlex's: {error}", hint=_HINT) from None
    if embeddings.ndim != 4 or embeddings.shape[1:] != (1, 1, sizes.width) or embeddings.dtype.kind != "f":
        raise Trouble(
            f"{path}: embeddings should have the shape [frames, 1, 1, {sizes.width}] and have {list(embeddings.shape)}",
            hint=_HINT,
        )
    if ring.ndim != 3 or ring.shape[:2] != (1, _STREAMS) or ring.shape[2] < 3 or ring.dtype.kind != "i":
        raise Trouble(f"{path}: cache should have the shape [1, {_STREAMS}, 4] and has {list(ring.shape)}", hint=_HINT)
    count = len(embeddings)
    _refuse_long(path, count, sizes)
    tokens = ring[0][:, [(count + ahead) % ring.shape[2] for ahead in (0, 1)]].astype(np.int64)
    # What stands in the text and the first codes of the second position is written before it is read.
    used = np.concatenate([tokens[1:, 0], tokens[2:9, 1], tokens[10:, 1]])
    if used.min() < 0 or used.max() > sizes.card or not 0 <= tokens[0, 0] <= sizes.text_card:
        raise Trouble(f"{path}: its cache has tokens that the model has not", hint=_HINT)
    if not np.isfinite(embeddings).all():
        raise Trouble(f"{path}: its embeddings are not finite", hint=_HINT)
    return embeddings[:, 0, 0].astype(np.float32), tokens


def _refuse_long(path: Path, frames: int, sizes: Sizes) -> None:
    if frames > sizes.context // 2:
        raise Trouble(
            f"{path} has {frames} frames, and the model remembers {sizes.context}",
            hint="give a shorter piece of the voice",
        )


def words(tokenizer: Path, role: str) -> list[int]:
    """The tokens of a role; none for an empty one."""
    if not role:
        return []
    import sentencepiece

    found: Any = sentencepiece.SentencePieceProcessor(str(tokenizer)).encode(role)
    return [int(one) for one in found]
