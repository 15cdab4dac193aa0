"""Our loop beside the package's own, on the same random model: run in an environment that has ``moshi_mlx``, with Locara's
source on the path.

    python tests/engines/models/moshi_mlx_reference.py FOLDER STEPS

FOLDER is one that ``moshi_mlx_random.py`` wrote. Prints one JSON object; what each entry means stands beside it below.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mlx.core as mx
import numpy as np
from moshi_mlx import models

from locara.engines.omni.moshi_mlx_worker import MoshiMlx

_OPTIONS = {"device": "cpu", "slots": 1, "top_k": 250, "text_top_k": 25}
Tokens = list[tuple[int, list[int]] | None]
"""Of each frame, None for the first: its text token, and its codes, which the package has one step later."""


def ours(worker: MoshiMlx, heard: Any) -> Tokens:
    """What our loop says to these codes, from nothing."""
    for _ in worker.open(0, {}):
        pass
    return [worker.tokens(worker._conversations[0], [int(code) for code in frame]) for frame in heard]


def theirs(worker: MoshiMlx, heard: Any, most: int) -> Tokens:
    """What the package's loop says; fewer where it stops."""
    model = worker._model
    steps = models.LmGen(model, most, worker._text_sampler, worker._audio_sampler)
    said: Tokens = []
    before = -1
    for frame in heard[1:]:  # it takes in one frame later what it hears
        try:
            text = steps.step(mx.array(frame[None]))[0].item()
        except ValueError:
            break
        audio = steps.last_audio_tokens()
        said.append(None if audio is None else (before, [int(code) for code in np.array(audio)[0]]))
        before = int(text)
    return said


def main() -> None:
    """See the file's docstring."""
    folder, count = sys.argv[1], int(sys.argv[2])
    heard = np.random.default_rng(8).integers(0, 2048, (count + 1, 8)).astype(np.int32)
    told: dict[str, Any] = {}
    for name, temperature in (("likeliest", 0.0), ("sampled", 0.8)):
        worker = MoshiMlx()
        worker.load(
            {**_OPTIONS, "path": folder, "temperature": temperature, "text_temperature": temperature}, lambda _: None
        )
        model = worker._model
        sizes = model.transformer.cfg
        mx.random.seed(1)
        mine = ours(worker, heard[:-1])
        mx.random.seed(1)
        # Its own rings turn out wrong beyond their length, so it gets caches without an end; and it looks back on one step
        # more than its configuration says.
        model.transformer_cache, sizes.context = model.transformer.make_cache(), sizes.context - 1
        said = theirs(worker, heard, count)
        sizes.context += 1
        # A ring that has turned sums in another order, and a draw can hang on the last bit of that.
        same = count if temperature == 0 else sizes.context
        told[name] = said[:same] == mine[:same]
        told["kinds"] = len({frame[0] for frame in mine if frame})  # of text tokens: one would prove nothing
    told["context"] = sizes.context
    # Where the package's loop stops, ours goes on.
    model.transformer_cache = model.transformer.make_cache()
    told["stops_at"] = len(theirs(worker, heard, 20))
    # From which step on the package's own ring, a little longer than the context, gives other tokens than no ring does.
    worker.load({**_OPTIONS, "path": folder, "temperature": 0.0, "text_temperature": 0.0}, lambda _: None)
    model = worker._model
    sizes = model.transformer.cfg
    model.transformer_cache = model.transformer.make_cache()
    endless = theirs(worker, heard, count)
    sizes.max_seq_len = sizes.context + 8
    model.transformer_cache = model.transformer.make_rot_cache()
    turned = theirs(worker, heard, count)
    told["ring"] = sizes.max_seq_len
    told["wrong_from"] = next((n for n, pair in enumerate(zip(endless, turned, strict=True)) if pair[0] != pair[1]), -1)
    # A second conversation in the same process knows nothing of the first.
    told["again"] = ours(worker, heard[:-1]) == ours(worker, heard[:-1])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
