"""Kyutai's speech to text in its own environment: started by `locara.engines.kyutai_stt`. Calls the package ``moshi``.

What may live here: this one transcriber. It reads local files only, and only safetensors: the package would unpickle
anything else, and fetch from a hub what the configuration names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines import kyutai_files, torch_device
from locara.engines.isolated_worker import Trouble, Word, listen
from locara.engines.kyutai_words import words
from locara.engines.published_files import AGAIN, json_object

_USUAL = {
    "moshi_name": "model.safetensors",
    "mimi_name": "mimi-pytorch-e351c8d8@125.safetensors",
    "tokenizer_name": "tokenizer_en_fr_audio_8000.model",
}
"""The files' names where ``config.json`` does not say them."""
_MOST_MORE = 12
"""Frames of silence after the delay, about a second: as many as the package's ``run_inference`` always adds."""


class KyutaiStt:
    """The models and one turn.

    A frame of Mimi is 80 ms. ``_heard`` says for each frame how many seconds of the turn had been heard when it began: the
    silence that is put before the turn, and after it at each settling, takes no time of the turn.
    """

    def __init__(self) -> None:
        self._torch: Any = None
        self._mimi: Any = None
        self._steps: Any = None
        self._tokenizer: Any = None
        self._device = "cpu"
        self._padding = 3
        self._prefix = self._delay = 0
        self._tokens: list[int] = []
        self._heard: list[float] = []
        self._rest = np.zeros(0, np.float32)
        self._seconds = 0.0
        self._flushed = True

    def load(self, options: Mapping[str, Any]) -> int:
        """See `locara.engines.isolated_worker.Transcriber`."""
        os.environ["NO_TORCH_COMPILE"] = "1"  # it would start a compiler, which most machines have not
        import torch
        from moshi.models import LMGen

        self._torch = torch
        torch.set_num_threads(int(options["threads"]))
        self._device = torch_device.choose(torch, str(options["device"]))
        folder = Path(options["path"])
        config = _config(folder)
        files = kyutai_files.find(folder, config, _USUAL)
        try:
            info = kyutai_files.checkpoint(folder, files)
            self._mimi = info.get_mimi(device=self._device)
            dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[str(options["precision"])]
            self._steps = LMGen(info.get_moshi(device=self._device, dtype=dtype), temp=0.0, temp_text=0.0)
            self._tokenizer = info.get_text_tokenizer()
        except ImportError:
            raise
        except Exception as error:
            raise kyutai_files.not_whole(folder, error) from error
        self._padding = int(config.get("existing_text_padding_id", 3))
        timing = config.get("stt_config") or {}
        rate = float(self._mimi.frame_rate)
        self._prefix = math.ceil(float(timing.get("audio_silence_prefix_seconds", 0.0)) * rate)
        self._delay = math.ceil(float(timing.get("audio_delay_seconds", 0.5)) * rate)
        self._mimi.streaming_forever(1)
        self._steps.streaming_forever(1)
        return int(self._mimi.sample_rate)

    def begin(self) -> None:
        """See `locara.engines.isolated_worker.Transcriber`."""
        self._mimi.reset_streaming()
        self._steps.reset_streaming()
        self._tokens, self._heard = [], []
        self._rest = np.zeros(0, np.float32)
        self._seconds = 0.0
        self._flushed = True
        for _ in range(self._prefix):
            self._frame(np.zeros(self._size, np.float32), 0)

    def hear(self, samples: npt.NDArray[np.float32]) -> str:
        """See `locara.engines.isolated_worker.Transcriber`."""
        if samples.size:
            self._flushed = False
        self._rest = np.concatenate([self._rest, samples])
        while self._rest.size >= self._size:
            frame, self._rest = self._rest[: self._size], self._rest[self._size :]
            self._frame(frame, frame.size)
        return self._text()

    def settle(self) -> tuple[str, list[Word]]:
        """See `locara.engines.isolated_worker.Transcriber`. What the model holds back is pushed out by silence."""
        if not self._flushed:
            if self._rest.size:
                last, self._rest = self._rest, np.zeros(0, np.float32)
                self._frame(np.pad(last, (0, self._size - last.size)), last.size)
            for number in range(self._delay + _MOST_MORE):
                # A word's pieces come one a frame: the last word may not be written out yet.
                if number >= self._delay and not (self._tokens and self._tokens[-1] > self._padding):
                    break
                self._frame(np.zeros(self._size, np.float32), 0)
            self._flushed = True
        return self._text(), self._words()

    @property
    def _size(self) -> int:
        """Samples of a frame."""
        return int(self._mimi.frame_size)

    def _frame(self, samples: npt.NDArray[np.float32], of_the_turn: int) -> None:
        self._heard.append(self._seconds)
        self._seconds += of_the_turn / float(self._mimi.sample_rate)
        with self._torch.no_grad():
            sound = self._torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self._device)
            said = self._steps.step(self._mimi.encode(sound[None, None]))
        if said is not None:
            self._tokens.append(int(said[0, 0, 0]))

    def _text(self) -> str:
        return " ".join(word for word, *_ in self._words())

    def _words(self) -> list[Word]:
        # What token n tells was heard ``delay`` frames before frame n.
        heard = [*self._heard, self._seconds]
        at = [heard[min(max(number - self._delay, 0), len(heard) - 1)] for number in range(len(self._tokens) + 1)]
        return words(self._tokens, at, self._padding, self._tokenizer.id_to_piece, self._tokenizer.decode)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / kyutai_files.CONFIG
    config = json_object(path)
    if "stt_config" not in config:
        raise Trouble(f"{path} is no speech to text of Kyutai's: it has no stt_config", hint=AGAIN)
    if config.get("lora_name"):
        raise Trouble(f"{path} names LoRA weights, which are not read here", hint="choose the published model")
    return config


if __name__ == "__main__":
    listen(KyutaiStt())
