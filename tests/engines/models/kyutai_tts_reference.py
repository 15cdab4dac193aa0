"""Our loop beside the package's own ``TTSModel.generate``, on the same random model: run in an environment that has
``moshi``, with Locara's source on the path.

    python tests/engines/models/kyutai_tts_reference.py FOLDER TEXT

FOLDER is one that ``kyutai_tts_random.py`` wrote. Prints one JSON object: ``equal`` (the same samples), ``again`` (and once
more in the same process, after one that was stopped), ``frames``, ``words`` ([sample, start, end] each), ``stopped``
(frames that still came after that).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

os.environ["NO_TORCH_COMPILE"] = "1"

import numpy as np
import torch
from moshi.models.loaders import CheckpointInfo
from moshi.models.tts import TTSModel

from locara.engines.kyutai_tts_worker import KyutaiTts

_VOICE = "voices/anna.wav.1e68beda@240.safetensors"


def theirs(folder: Path, text: str) -> Any:
    """As ``simple_generate`` does it, with the voice from a file."""
    config = json.loads((folder / "config.json").read_text())
    info = CheckpointInfo.from_hf_repo(
        "",
        moshi_weights=folder / config["moshi_name"],
        mimi_weights=folder / config["mimi_name"],
        tokenizer=folder / config["tokenizer_name"],
        config_path=folder / "config.json",
        mimi_config_path=folder / config["mimi_config_name"],
    )
    model = TTSModel.from_checkpoint_info(info, n_q=16, temp=0.0, dtype=torch.float32)
    entries = model.prepare_script([text], padding_between=1)
    made = model.generate([entries], [model.make_condition_attributes([folder / _VOICE], 2.0)])
    sound = []
    with model.mimi.streaming(1), torch.no_grad():
        for frame in made.frames[model.delay_steps :]:
            sound.append(torch.clip(model.mimi.decode(frame[:, 1:]), -1, 1)[0, 0].numpy())
    return np.concatenate(sound[2:][: made.end_steps[0]])


def main() -> None:
    """See the file's docstring."""
    folder, text = Path(sys.argv[1]), sys.argv[2]
    worker = KyutaiTts()
    options = {"device": "cpu", "precision": "fp32", "threads": 1, "codebooks": 16, "temperature": 0.0, "guidance": 2.0}
    worker.load({**options, "path": str(folder), "voice": "anna"})
    first = list(worker.speak(text, threading.Event()))
    stop, stopped = threading.Event(), 0
    for number, _ in enumerate(worker.speak(text, stop)):
        stopped += stop.is_set()
        if number == 2:
            stop.set()
    again = list(worker.speak(text, threading.Event()))
    ours, second = (np.concatenate([samples for samples, _ in pieces]) for pieces in (first, again))
    wanted = theirs(folder, text)
    print(
        json.dumps(
            {
                "equal": bool(np.array_equal(ours, wanted)),
                "again": bool(np.array_equal(ours, second)),
                "frames": len(first),
                "loud": float(np.abs(ours).max()),
                "words": [mark for _, marks in first for mark in marks],
                "stopped": stopped,
            }
        )
    )


if __name__ == "__main__":
    main()
