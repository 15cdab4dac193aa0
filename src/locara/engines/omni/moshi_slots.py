"""One place in the batch of a streaming Moshi: what it remembers, taken out and put back. On torch, for `moshi_worker`.

What may live here: the language model's state of one slot, and a voice of PersonaPlex in the format of NVIDIA's program,
which is such a state half written out. Everything is copied in place: CUDA graphs know the addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locara.engines.isolated_worker import Trouble

_LARGEST_VOICE = 2**28  # bytes: 256 MB; the published ones have some hundred kilobytes
_MOST_FRAMES = 750  # of a voice: a minute
_STREAMS = 17  # text, 8 of the agent, 8 of the user
_HINT = "take the voice from the model's own repository"


@dataclass(frozen=True, slots=True, eq=False)
class SlotState:
    """What the language model knows after ``steps`` steps. ``layers``: keys and values of each, ``(2, heads, steps,
    width)``; ``ring``: its last tokens, ``(streams, places)``."""

    steps: int
    layers: tuple[Any, ...]
    ring: Any

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(one.numel() * one.element_size() for one in self.layers)


def take(steps: Any, slot: int, count: int) -> SlotState | None:
    """The state of a slot after ``count`` steps; None where the window is full, so that it does not lie from 0 on.
    ``steps``: the package's ``LMGen``."""
    caches = [one.kv_cache for one in _attention(steps)]
    if count > min(one.capacity for one in caches):
        return None
    layers = tuple(one.cache[:, slot, :, :count].clone() for one in caches)
    return SlotState(count, layers, steps._streaming_state.cache[slot].clone())


def put(steps: Any, slot: int, state: SlotState) -> None:
    """Gives a slot that was reset this state."""
    for one, saved in zip(_attention(steps), state.layers, strict=True):
        one.kv_cache.cache[:, slot, :, : state.steps] = saved
        one.kv_cache.end_offset[slot] = state.steps
        one.offset[slot] = state.steps
    steps.lm_model.transformer._streaming_state.offsets[slot] = state.steps
    put_tokens(steps, slot, state.steps, state.ring)


def put_tokens(steps: Any, slot: int, count: int, ring: Any) -> None:
    """The tokens and the position alone."""
    state = steps._streaming_state
    state.cache[slot] = ring.to(state.cache)
    state.offsets[slot] = count


@dataclass(frozen=True, slots=True, eq=False)
class SavedVoice:
    """``embeddings``: what the temporal transformer is fed, ``(frames, 1, width)``. ``tokens``: of the streams at the two
    positions after it, ``(streams, 2)``."""

    embeddings: Any
    tokens: Any

    @property
    def acoustic(self) -> tuple[int, ...]:
        """The seven acoustic codes of the last frame, which stand one position later."""
        return tuple(int(one) for one in self.tokens[2:9, 1])

    def ring(self, size: int) -> Any:
        """The tokens where a ring of ``size`` positions has them."""
        count = self.embeddings.shape[0]
        ring = self.tokens.new_zeros((self.tokens.shape[0], size))
        for ahead in (0, 1):
            ring[:, (count + ahead) % size] = self.tokens[:, ahead]
        return ring


def read_voice(path: Path, width: int, card: int, text_card: int) -> SavedVoice:
    """A ``.pt`` voice, read without running anything that is in it, and checked. Raises ``Trouble``."""
    import torch

    if path.stat().st_size > _LARGEST_VOICE:
        raise Trouble(f"{path} has {path.stat().st_size} bytes: no voice is that large", hint=_HINT)
    try:
        told = torch.load(path, map_location="cpu", weights_only=True)
        embeddings, cache = told["embeddings"], told["cache"]
        shapes = tuple(embeddings.shape), tuple(cache.shape)
    except Exception as error:  # a pickle that wants more than tensors, a file that is torn, a table of other things
        said = " ".join(str(error).split())[:200]
        raise Trouble(f"{path} is no voice of PersonaPlex's: {type(error).__name__}: {said}", hint=_HINT) from error
    (frames, *rest), ring = shapes[0] or (0,), shapes[1]
    if rest != [1, 1, width] or not 1 <= frames <= _MOST_FRAMES or not embeddings.is_floating_point():
        raise Trouble(
            f"{path}: embeddings should have the shape [1 to {_MOST_FRAMES}, 1, 1, {width}] and have {list(shapes[0])}",
            hint=_HINT,
        )
    if len(ring) != 3 or ring[:2] != (1, _STREAMS) or ring[2] < 3 or cache.is_floating_point():
        raise Trouble(f"{path}: cache should have the shape [1, {_STREAMS}, 4] and has {list(ring)}", hint=_HINT)
    places = [(frames + ahead) % ring[2] for ahead in (0, 1)]
    tokens = cache[0][:, places].long()
    if not bool(torch.isfinite(embeddings).all()):
        raise Trouble(f"{path}: its embeddings are not finite", hint=_HINT)
    # The text and the first codes of the second position are not there yet: they are written before they are read.
    used = torch.cat([tokens[1:, 0], tokens[2:9, 1], tokens[10:, 1]])
    if int(used.min()) < 0 or int(used.max()) > card or not 0 <= int(tokens[0, 0]) <= text_card:
        raise Trouble(f"{path}: its cache has tokens that the model has not", hint=_HINT)
    return SavedVoice(embeddings[:, 0], tokens.clamp(min=0))


def feed(steps: Any, slots: int, frame: Any) -> None:
    """One step of the temporal transformer alone, in the slots that execute, with an embedding instead of tokens."""
    model = steps.lm_model
    model.transformer(frame.to(model.device, model.dtype).expand(slots, 1, -1))


def _attention(steps: Any) -> list[Any]:
    return [layer.self_attn._streaming_state for layer in steps.lm_model.transformer.layers]
