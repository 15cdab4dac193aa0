"""Kyutai's text to speech in its own environment: started by `locara.engines.kyutai_tts`. Calls the package ``moshi``.

What may live here: this one synthesiser. It reads local files only, and only safetensors. The loop is that of the package's
``TTSModel.generate``, taken apart so that a frame is heard when it is made and a reply stops within one; the model keeps
its graphs from one text to the next.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines import kyutai_files, torch_device
from locara.engines.isolated_worker import Mark, Piece, Trouble, work
from locara.engines.kyutai_tts_words import spans
from locara.engines.published_files import json_object, tensors_of

_USUAL = {"moshi_name": "dsm_tts_1e68beda@240.safetensors", "mimi_name": "tokenizer-e351c8d8-checkpoint125.safetensors"}
_PAUSE_BETWEEN = 1
"""Frames of rest after each word: the package's ``simple_generate`` has it, for clearer speech."""
_CLICK = 2
"""Frames at the beginning that the package leaves out; no word can begin in them (``initial_padding``)."""


class KyutaiTts:
    """The model, and the state of one text: ``_offset`` counts the steps of it."""

    def __init__(self) -> None:
        self._torch: Any = None
        self._model: Any = None
        self._steps: Any = None
        self._script: Any = None
        self._offset = 0

    def load(self, options: Mapping[str, Any]) -> int:
        """See `locara.engines.isolated_worker.Synthesiser`."""
        folder = Path(options["path"])
        config = _config(folder)
        files = kyutai_files.find(folder, config, _USUAL)
        os.environ["NO_TORCH_COMPILE"] = "1"  # it would start a compiler, which most machines have not
        import torch
        from moshi.models.tts import TTSModel

        self._torch = torch
        torch.set_num_threads(int(options["threads"]))
        device = torch_device.choose(torch, str(options["device"]))
        precision = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[str(options["precision"])]
        try:
            info = kyutai_files.checkpoint(folder, files)
            books = min(int(options["codebooks"]), int(config["n_q"]))
            self._model = TTSModel.from_checkpoint_info(
                info, n_q=books, temp=float(options["temperature"]), device=device, dtype=precision
            )
        except ImportError:
            raise
        except Exception as error:
            raise kyutai_files.not_whole(folder, error) from error
        self._prepare(_voice(folder, str(options["voice"]), self._model.voice_suffix), float(options["guidance"]))
        return int(self._model.mimi.sample_rate)

    def speak(self, text: str, stop: threading.Event) -> Iterator[Piece]:
        """See `locara.engines.isolated_worker.Synthesiser`. Ends after the frame (80 ms of sound) it is in."""
        model = self._model
        entries = model.prepare_script([text], padding_between=_PAUSE_BETWEEN)
        if not entries:
            return
        places = spans(text, [entry.text for entry in entries if entry.tokens])
        self._script = script = model.machine.new_state(entries)
        self._offset = 0
        model.mimi.reset_streaming()
        self._steps.reset_streaming()
        told = given = decoded = 0
        for _ in range(model.max_gen_length):
            end = script.end_step
            if stop.is_set() or (end is not None and given >= end):
                return
            codes = self._step()
            if codes is None or self._offset <= model.delay_steps + self._steps.max_delay:
                continue
            samples = self._decode(codes)
            decoded += 1
            if decoded <= _CLICK:
                continue
            given += 1
            # A word sounds as many frames after it was taken as the sound lags behind the text.
            marks: list[Mark] = []
            while told < len(script.transcript) and script.transcript[told][1] - _CLICK < given:
                marks.append((max(script.transcript[told][1] - _CLICK, 0) * samples.size, *places[told]))
                told += 1
            yield samples, marks

    def _prepare(self, voice: Path, guidance: float) -> None:
        """What is the same for every text: the voice, and the loop's hooks."""
        from moshi.models import LMGen

        torch, model = self._torch, self._model
        allowed = sorted(model.valid_cfg_conditionings)
        if guidance not in allowed:
            raise Trouble(
                f"guidance is {guidance:g}", hint=f"this model knows {', '.join(f'{one:g}' for one in allowed)}"
            )
        told = tensors_of(voice).get("speaker_wavs")
        wide = model.lm.condition_provider.conditioners["speaker_wavs"].dim
        if told is None or len(told.shape) != 3 or told.shape[:2] != (1, wide):
            shape = "no speaker_wavs" if told is None else f"speaker_wavs of shape {list(told.shape)}"
            raise Trouble(
                f"{voice} has {shape}, and this model needs [1, {wide}, frames]",
                hint="take a voice of kyutai/tts-voices that was made for this model",
            )
        attributes = model.make_condition_attributes([voice], cfg_coef=guidance)
        conditions = model.lm.condition_provider.prepare_and_provide([attributes])
        model.lm.dep_q = model.n_q
        self._steps = LMGen(
            model.lm,
            temp=model.temp,
            temp_text=model.temp,
            condition_tensors=conditions,
            on_text_hook=self._on_text,
            on_audio_hook=self._on_audio,
        )
        silent = model.machine.token_ids.zero
        missing = model.lm.n_q - model.lm.dep_q
        self._given = torch.full((1, missing, 1), silent, dtype=torch.long, device=model.lm.device)
        self._no_sound = torch.full((1, model.lm.dep_q, 1), silent, dtype=torch.long, device=model.lm.device)
        self._steps.streaming_forever(1)
        model.mimi.streaming_forever(1)

    def _step(self) -> Any:
        """One step of the language model: the codes of a frame, None in the first ones."""
        with self._torch.no_grad():
            # The sound lags behind the text: in the first steps there is none, and the depth decoder need not run.
            none_yet = self._no_sound if self._offset < self._model.delay_steps else None
            codes = self._steps.step(self._given, depformer_replace_tokens=none_yet)
        self._offset += 1
        return codes

    def _decode(self, codes: Any) -> npt.NDArray[np.float32]:
        with self._torch.no_grad():
            sound = self._model.mimi.decode(codes[:, 1:]).clamp(-1, 1)
        samples: npt.NDArray[np.float32] = sound[0, 0].float().cpu().numpy()
        return samples

    def _on_text(self, tokens: Any) -> None:
        """The state machine turns what the model asks for (a word, or a pause) into the next token of the text."""
        token, _ = self._model.machine.process(self._offset, self._script, int(tokens[0]))
        tokens.fill_(token)

    def _on_audio(self, tokens: Any) -> None:
        """Before its delay a codebook is silent."""
        lm = self._model.lm
        for book in range(tokens.shape[1]):
            if self._offset < lm.delays[book + lm.audio_offset] + self._model.delay_steps:
                tokens[:, book] = self._model.machine.token_ids.zero


def _config(folder: Path) -> dict[str, Any]:
    path = folder / kyutai_files.CONFIG
    config = json_object(path)
    conditions = config.get("conditioners") or {}
    if not config.get("tts_config") or not {"speaker_wavs", "cfg"} <= set(conditions):
        raise Trouble(
            f"{path} is no voice that this engine runs: it has no tts_config, or no conditioners for voice and cfg",
            hint="take kyutai/tts-1.6b-en_fr",
        )
    if config["tts_config"].get("multistream") or config.get("lora_name"):
        raise Trouble(
            f"{path} has two streams or LoRA weights, which are not read here", hint="take kyutai/tts-1.6b-en_fr"
        )
    return config


def _voice(folder: Path, named: str, suffix: str) -> Path:
    """The file of the voice: a path, a name in the folder, or the first one there. ``suffix``: the ending of those that
    were made for this model."""
    if named and (path := Path(named).expanduser()).is_file():
        if not path.name.endswith(suffix):
            raise Trouble(f"{path.name} was not made for this model", hint=f"its name must end with {suffix}")
        return path
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob(f"*{suffix}"))}
    names = {name.removesuffix(suffix).removesuffix(".wav"): path for name, path in there.items()}
    wanted = named.removesuffix(".wav")
    for name, path in names.items():
        if not named or wanted in (name, name.rpartition("/")[2]):
            return path
    listed = ", ".join(list(names)[:8]) or f"none; put one of kyutai/tts-voices there, it ends with {suffix}"
    raise Trouble(
        f"there is no voice {named!r} in {folder}" if named else f"there is no voice in {folder}",
        hint=f"voices there: {listed}",
    )


if __name__ == "__main__":
    work(KyutaiTts())
