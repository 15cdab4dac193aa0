"""Mimi on MLX, one frame at a time and without an end: read in the environment that has ``moshi_mlx``.

What may live here: one conversation's codec, and loading it. The network itself is the package's.

Neither codec of that environment can be used as it is (moshi_mlx 0.3.0, rustymimi 0.4.1):

* ``rustymimi.Tokenizer`` ends with an error after 4096 frames (327 s) of its life, its ``reset`` does not set that back,
  it keeps every key and value (1.6 MB a second), and its ``reset`` leaves a piece of the last conversation in the encoder.
* ``moshi_mlx.models.mimi.Mimi`` gives its transformers the two latents of a frame at once and without a mask, so the first
  of them sees the second one; and its caches grow without an end.

Here the latents go one by one, as causal as the network was trained, and the caches are rings of the network's own context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Codec:
    """``model``: a `moshi_mlx.models.mimi.Mimi` that belongs to this conversation alone."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._encoder: list[Any] = []
        self._decoder: list[Any] = []
        self.reset()

    def reset(self) -> None:
        """Nothing of what was said before is left."""
        self._model.reset_all()
        self._encoder = rings(self._model.encoder_transformer.transformer)
        self._decoder = rings(self._model.decoder_transformer.transformer)

    def encode(self, samples: npt.NDArray[np.float32]) -> list[int]:
        """One frame (1920 samples) to its codes, one for each codebook."""
        import mlx.core as mx

        latents = self._model.encoder.step(mx.array(samples)[None, None])
        latents = self._one_by_one(self._model.encoder_transformer, latents, self._encoder)
        codes = self._model.quantizer.encode(self._model.downsample.step(latents))
        return [int(code) for code in np.array(codes)[0, :, 0]]

    def decode(self, codes: Sequence[int]) -> npt.NDArray[np.float32]:
        """One frame's codes to its samples."""
        import mlx.core as mx

        latents = self._model.upsample.step(self._model.quantizer.decode(mx.array(list(codes))[None, :, None]))
        latents = self._one_by_one(self._model.decoder_transformer, latents, self._decoder)
        samples: npt.NDArray[np.float32] = np.array(self._model.decoder.step(latents).astype(mx.float32))[0, 0]
        return samples

    @staticmethod
    def _one_by_one(transformer: Any, latents: Any, caches: list[Any]) -> Any:
        import mlx.core as mx

        steps = [transformer(latents[..., n : n + 1], cache=caches)[0] for n in range(latents.shape[-1])]
        return mx.concatenate(steps, axis=-1)


def rings(transformer: Any) -> list[Any]:
    """A cache for each layer that holds what the layer looks back on, itself included, and no more: as in PyTorch.

    The package's own rings are longer than the context; its attention then takes the end of the ring for the newest entries,
    which is no longer so once the ring has turned (after 4096 steps of Moshi, 5 minutes and 28 seconds). Before that it
    looks one step further back than the network was trained to.
    """
    from moshi_mlx.modules.kv_cache import RotatingKVCache
    from moshi_mlx.modules.transformer import LayerCache

    sizes = transformer.cfg
    heads = sizes.num_heads // sizes.kv_repeat
    return [LayerCache(RotatingKVCache(sizes.head_dim, heads, sizes.context)) for _ in transformer.layers]


def load(path: Path, config: Mapping[str, Any] | None, held: int, used: int) -> Any:
    """A Mimi with the weights of ``path``, which has ``held`` codebooks; the first ``used`` are kept. ``config``: in the
    package moshi's form, None for the published sizes. Raises ``ValueError`` for tensors that are missing, too many or
    of another shape."""
    import mlx.core as mx
    from moshi_mlx.models.mimi import Mimi, mimi_202407

    model = Mimi(mimi_202407(held) if config is None else _sized(config, held))
    model.load_pytorch_weights(str(path), strict=True)
    model.set_dtype(mx.float32)
    model.quantizer._nq = used
    rest = model.quantizer.rvq_rest.vq
    rest.layers = rest.layers[: used - 1]
    return model


def _sized(config: Mapping[str, Any], held: int) -> Any:
    from moshi_mlx.models.mimi import mimi_202407

    sizes = mimi_202407(held)
    seanet, transformer, quantizer = config["seanet"], config["transformer"], config["quantizer"]
    sizes.seanet.dimension = seanet["dimension"]
    sizes.seanet.nfilters = seanet["n_filters"]
    sizes.seanet.ratios = list(seanet["ratios"])
    for name in ("d_model", "num_heads", "num_layers", "dim_feedforward", "context"):
        setattr(sizes.transformer, name, transformer[name])
    sizes.quantizer_bins = quantizer["bins"]
    sizes.quantizer_dim = quantizer["dimension"]
    return sizes
