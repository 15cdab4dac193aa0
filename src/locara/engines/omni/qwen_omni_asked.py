"""What a reply of a Qwen-Omni model is asked with, and where its pieces go.

What may live here: values shared by the speech of both models and their worker; standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Stopped(Exception):
    """The reply was cancelled; raised inside the model between two tokens or codes."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How it writes and speaks. ``temperature`` 0 takes the likeliest token; None: the package's own value."""

    temperature: float = 0.0
    top_p: float = 1.0
    speech_temperature: float = 0.9
    speech_top_p: float | None = None
    speech_top_k: int | None = None
    text_tokens: int = 512
    speech_seconds: float = 120.0

    def thinker(self, ends: Sequence[int], pad: int) -> dict[str, Any]:
        """The settings of ``generate`` for the thinker."""
        return {
            "max_new_tokens": self.text_tokens,
            "eos_token_id": list(ends),
            "pad_token_id": pad,
            **self._drawn(self.temperature, {"top_p": self.top_p}),
        }

    def talker(self, codes_per_second: float, usual: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of ``generate`` for the talker; ``usual``: the package's own."""
        own = {"top_p": self.speech_top_p, "top_k": self.speech_top_k}
        drawn = {**usual, **{name: value for name, value in own.items() if value is not None}}
        return {
            "max_new_tokens": max(1, round(self.speech_seconds * codes_per_second)),
            **self._drawn(self.speech_temperature, drawn),
        }

    def _drawn(self, temperature: float, others: Mapping[str, Any]) -> dict[str, Any]:
        return {"do_sample": True, "temperature": temperature, **others} if temperature else {"do_sample": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """One reply: ``ids`` of the prompt, sounds expanded; ``features``: for each sound a mel spectrogram, shape ``(1, 128,
    frames)``; ``tell`` takes each token of the text, ``play`` each piece of sound (float32, ``(n,)``); ``stop`` ends it."""

    ids: Sequence[int]
    features: Sequence[Any]
    voice: str
    manner: Manner
    tell: Callable[[int], None]
    play: Callable[[Any], None]
    stop: threading.Event

    def check(self) -> None:
        """Raises `Stopped` when the reply is no longer wanted."""
        if self.stop.is_set():
            raise Stopped

    def inputs(self, torch: Any, model: Any) -> dict[str, Any]:
        """The tensors that the thinker is given, on the model's device."""
        ids = torch.tensor([list(self.ids)], device=model.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_audio_in_video": False}
        if self.features:
            longest = max(one.shape[-1] for one in self.features)
            padded = [torch.nn.functional.pad(one, (0, longest - one.shape[-1])) for one in self.features]
            mask = torch.zeros((len(padded), longest), dtype=torch.long)
            for row, one in enumerate(self.features):
                mask[row, : one.shape[-1]] = 1
            inputs["input_features"] = torch.cat(padded).to(model.device, model.dtype)
            inputs["feature_attention_mask"] = mask.to(model.device)
        return inputs
