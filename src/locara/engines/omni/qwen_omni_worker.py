"""Qwen2.5-Omni and Qwen3-Omni in their own environment: started by `locara.engines.omni.qwen_omni`. Calls the package
``transformers``.

What may live here: loading a folder, and the calls of the process: ``load``, ``sound``, ``answer``, ``forget``. It reads
local files only; weights as safetensors only, speakers without unpickling objects, and no code of the folder.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from locara.engines import torch_device
from locara.engines.frames import Call, serve
from locara.engines.free_memory import free_memory
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import qwen_omni_prompt as prompts
from locara.engines.omni.qwen_omni_asked import Asked, Manner, Stopped
from locara.engines.omni.qwen_omni_files import OmniFolder, look, shortage, within
from locara.engines.omni.qwen_omni_prompt import HEARD_RATE, LONGEST_SECONDS, SHORTEST_SAMPLES, TextPieces
from locara.engines.published_files import AGAIN

_MARKS: Mapping[str, tuple[str, str, str]] = {
    "qwen2.5-omni": ("<|AUDIO|>", "<|im_end|>", "<|endoftext|>"),
    "qwen3-omni": ("<|audio_pad|>", "<|im_end|>", "<|endoftext|>"),
}
"""The place of a sound, the end of a turn, the end of a text."""
_USUAL_VOICE: Mapping[str, str] = {"qwen2.5-omni": "Chelsie", "qwen3-omni": "Ethan"}
"""Of the package, where none is named."""
_WARM = Manner(text_tokens=8, speech_seconds=1.0, speech_temperature=0.0)
_SPEAKER_KEYS = ("bos_token", "cond", "ref_mel")


class QwenOmni:
    """The loaded model, and the sounds of the conversations that it keeps."""

    def __init__(self) -> None:
        self._torch: Any = None
        self._folder: OmniFolder
        self._speech: Any = None
        self._tokenizer: Any = None
        self._features: Any = None
        self._manner = Manner()
        self._seed: int | None = None
        self._room = 0
        self._audio_mark = -1
        self._window = 50
        self._sounds: dict[tuple[str, int], tuple[Any, int]] = {}
        """(session, name) -> (mel spectrogram, tokens)."""

    def load(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Loads the folder ``path``, says something, and tells what there is. Raises `Trouble`."""
        self._folder = look(Path(options["path"]))
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch = torch
        torch.set_num_threads(int(options["threads"]))
        self._manner = Manner(**options["manner"])
        self._seed = options["seed"]
        device = torch_device.choose(torch, str(options["device"]))
        width = 4 if options["precision"] == "fp32" else 2
        on_card = device == "cuda"
        free = int(torch.cuda.mem_get_info()[0]) if on_card else free_memory()
        shortage(self._folder.weights, width, free, "of the graphics card" if on_card else "of memory")
        dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[str(options["precision"])]
        self._tokens(transformers, int(options["context"]))
        model = self._model(transformers, device, dtype)
        self._speech = self._speaking(model)
        self._warm_up()
        # Qwen3's configuration writes the names small, its makers large; both are understood.
        voices = [name.capitalize() if name.islower() else name for name in self._speech.voices]
        return {"rate": 24_000, "voices": voices, "device": device, "family": self._folder.family}

    def hear(self, session: str, name: int, samples: npt.NDArray[np.float32]) -> None:
        """Keeps a sound (16 kHz) of a conversation, as the mel spectrogram that the model hears."""
        samples = samples[-LONGEST_SECONDS * HEARD_RATE :]
        samples = np.pad(samples, (0, max(0, SHORTEST_SAMPLES - samples.size)))
        frames = prompts.frames_of(samples.size)
        # Qwen2.5's processor computes the spectrogram of 300 s, zeros after the sound: a window of zeros gives the same.
        ahead = 2 * int(self._features.n_fft) if self._folder.family == "qwen2.5-omni" else 0
        padded = np.pad(samples, (0, ahead + frames * prompts.HOP - samples.size)) if ahead else samples
        made = self._features(
            padded, sampling_rate=HEARD_RATE, padding=True, truncation=False, return_attention_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        mel = made["input_features"][..., : frames if ahead else int(made["attention_mask"].sum())]
        self._sounds[session, name] = mel, prompts.audio_tokens(mel.shape[-1], self._folder.family, self._window)

    def forget(self, session: str, keep: Sequence[int] = ()) -> None:
        """Drops the sounds of a conversation but those in ``keep``."""
        for known in [one for one in self._sounds if one[0] == session and one[1] not in keep]:
            del self._sounds[known]

    def answer(
        self,
        asked: Mapping[str, Any],
        tell: Callable[[str], None],
        play: Callable[[npt.NDArray[np.float32]], None],
        stop: threading.Event,
        manner: Manner | None = None,
    ) -> None:
        """Makes a reply. ``asked``: ``session``, ``messages`` (see `qwen_omni_prompt.said_in`), ``instructions`` and
        ``voice``. Raises `Stopped` when ``stop`` is set."""
        session = str(asked["session"])
        ids, names = self.prompt(session, asked["messages"], str(asked["instructions"]))
        voice = self._voice(str(asked["voice"]))
        if self._seed is not None:
            self._torch.manual_seed(self._seed)
        pieces = TextPieces(lambda some: str(self._tokenizer.decode(some, skip_special_tokens=True)))

        def token(one: int) -> None:
            if text := pieces.push(one):
                tell(text)

        self._speech.reply(
            Asked(
                ids,
                [self._sounds[session, name][0] for name in names],
                voice,
                manner or self._manner,
                token,
                play,
                stop,
            )
        )
        if text := pieces.rest():
            tell(text)

    def prompt(self, session: str, messages: Any, instructions: str) -> tuple[list[int], list[int]]:
        """The tokens of the prompt with room for each sound, and the sounds' names in order."""
        said = prompts.turns(prompts.said_in(messages), self._folder.family, instructions)
        for one in said:
            for name in one.sounds:
                if (session, name) not in self._sounds:
                    raise Trouble(f"sound {name} of the conversation was not given", hint="this is a fault of Locara")
        weights = [len(self._rendered([one], session, end=False)) for one in said]
        said = prompts.shortened(said, weights, self._room)
        names = [name for one in said for name in one.sounds]
        return self._rendered(said, session, end=True), names

    def _rendered(self, said: Sequence[prompts.Said], session: str, *, end: bool) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            prompts.for_template(said),
            chat_template=self._folder.template,
            tokenize=False,
            add_generation_prompt=end,
        )
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        counts = [self._sounds[session, name][1] for one in said for name in one.sounds]
        try:
            return prompts.expanded(ids, self._audio_mark, counts)
        except ValueError as error:
            raise Trouble(
                f"the chat template in {self._folder.path} is not this model's: {error}", hint=AGAIN
            ) from error

    def _voice(self, wanted: str) -> str:
        voices = {name.lower(): str(name) for name in self._speech.voices}
        found = voices.get((wanted or _USUAL_VOICE[self._folder.family]).lower())
        if found is None and wanted:
            raise Trouble(f"there is no voice {wanted!r}", hint=f"voices: {', '.join(self._speech.voices)}")
        return found or str(self._speech.voices[0])

    def _tokens(self, transformers: Any, context: int) -> None:
        """Tokenizer and feature extractor, and whether they are this model's."""
        folder, config = self._folder.path, self._folder.config
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._features = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            raise Trouble(f"the tokenizer or the feature extractor in {folder}: {_first(error)}", hint=AGAIN) from error
        thinker = config["thinker_config"]
        expected = thinker.get("audio_token_id", thinker.get("audio_token_index"))
        found = [self._tokenizer.convert_tokens_to_ids(mark) for mark in _MARKS[self._folder.family]]
        if None in found or self._tokenizer.unk_token_id in found or (expected is not None and found[0] != expected):
            raise Trouble(
                f"the tokenizer in {folder} is another model's: {_MARKS[self._folder.family][0]} is {found[0]}, and "
                f"config.json says {expected}",
                hint=AGAIN,
            )
        self._audio_mark = int(found[0])
        bins, wanted = self._features.feature_size, within(config, "thinker_config", "audio_config", "num_mel_bins")
        if wanted is not None and bins != wanted:
            raise Trouble(f"{folder} computes {bins} mel bins, and the model hears {wanted}", hint=AGAIN)
        self._window = int(within(config, "thinker_config", "audio_config", "n_window") or 50)
        most = within(config, "thinker_config", "text_config", "max_position_embeddings") or context
        self._room = min(context, int(most) - self._manner.text_tokens)

    def _model(self, transformers: Any, device: str, dtype: Any) -> Any:
        kind = (
            transformers.Qwen3OmniMoeForConditionalGeneration
            if self._folder.family == "qwen3-omni"
            else transformers.Qwen2_5OmniForConditionalGeneration
        )
        places = {} if device == "cpu" else {"device_map": {"": device}}
        try:
            # Not the classes' own from_pretrained: Qwen2.5's cannot tell which weights were missing.
            model, told = transformers.PreTrainedModel.from_pretrained.__func__(
                kind, self._folder.path, dtype=dtype, local_files_only=True, use_safetensors=True,
                output_loading_info=True, **places,
            )  # fmt: skip
        except ImportError:
            raise
        except Exception as error:
            raise Trouble(
                f"the model in {self._folder.path} is not whole, or another one: {_first(error)}", hint=AGAIN
            ) from error
        for what in ("missing_keys", "mismatched_keys"):
            if wrong := sorted(str(one) for one in told.get(what) or ()):
                how = "are missing" if what == "missing_keys" else "have another shape"
                raise Trouble(f"weights in {self._folder.path} {how}: {', '.join(wrong[:3])}", hint=AGAIN)
        del model.thinker.model.visual  # it is shown no pictures
        return model.eval()

    def _speaking(self, model: Any) -> Any:
        _, *marks = _MARKS[self._folder.family]
        ends = [int(self._tokenizer.convert_tokens_to_ids(mark)) for mark in marks]
        if self._folder.family == "qwen3-omni":
            from locara.engines.omni.qwen3_omni_speech import Qwen3Speech

            return Qwen3Speech(self._torch, model, ends, ends[-1])
        from locara.engines.omni.qwen25_omni_speech import Qwen25Speech

        model.token2wav.float()  # it is right in fp32 only, as the package says
        return Qwen25Speech(self._torch, model, self._speakers(model), ends, ends[-1])

    def _speakers(self, model: Any) -> dict[str, Any]:
        """The voices of Qwen2.5: tensors, read by torch's reader that builds nothing else."""
        file, dit = self._folder.speakers, model.config.token2wav_config.dit_config
        try:
            found = self._torch.load(file, map_location="cpu", weights_only=True)
            for name, one in found.items():
                bos, cond, mel = (one[key] for key in _SPEAKER_KEYS)
                if not isinstance(name, str) or not isinstance(bos, int):
                    raise TypeError("names and bos_token of another type")
                if tuple(cond.shape) != (1, dit.enc_emb_dim) or mel.ndim != 3 or mel.shape[::2] != (1, dit.mel_dim):
                    raise ValueError(f"{name}: shapes {tuple(cond.shape)} and {tuple(mel.shape)}")
            if not found:
                raise ValueError("it is empty")
        except Exception as error:
            raise Trouble(f"{file} holds no speakers of this model: {_first(error)}", hint=AGAIN) from error
        return dict(found)

    def _warm_up(self) -> None:
        """One real reply to half a second of silence, so that the first turn pays nothing."""
        self.hear("", 0, np.zeros(HEARD_RATE // 2, np.float32))
        asked = {"session": "", "messages": [{"role": "user", "sounds": [0]}], "instructions": "", "voice": ""}
        self.answer(asked, lambda text: None, lambda samples: None, threading.Event(), _WARM)
        self.forget("")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def main() -> None:
    """Serves until the parent has gone."""
    omni = QwenOmni()
    stops: dict[int, threading.Event] = {}

    def load(call: Call) -> Mapping[str, Any]:
        return omni.load(json.loads(call.payload))

    def sound(call: Call) -> None:
        omni.hear(str(call.fields["session"]), int(call.fields["name"]), np.frombuffer(call.payload, np.float32))

    def forget(call: Call) -> None:
        omni.forget(str(call.fields["session"]), [int(one) for one in call.fields["keep"]])

    def answer(call: Call) -> None:
        stop = stops.setdefault(call.number, threading.Event())
        try:
            if not call.cancelled:
                omni.answer(
                    json.loads(call.payload),
                    lambda text: call.send(text.encode("utf-8", "replace"), what="text"),
                    lambda samples: call.send(np.ascontiguousarray(samples, np.float32).tobytes(), what="sound"),
                    stop,
                )
        except Stopped:
            return  # whoever cancelled hears of it by the frame that ends every call
        finally:
            stops.pop(call.number, None)

    def cancel(number: int) -> None:
        if event := stops.get(number):
            event.set()

    serve({"load": load, "sound": sound, "forget": forget, "answer": answer}, cancel)


if __name__ == "__main__":
    main()
