"""Moshi and PersonaPlex on torch, frame by frame, for many conversations at once: started by `locara.engines.omni.moshi` in
the environment that has the package ``moshi`` (MIT).

What may live here: this one `FrameModel`. Files are checked in `moshi_files` and loaded in `moshi_loading`; what PersonaPlex
hears first is `moshi_prompting`.

The package steps a batch of which each row may stand still (``support_out_of_sync``, ``set_exec_mask``): a row that does
keeps its state, whatever is computed for it. Its answer is filler then, and also in a conversation's first step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from locara.engines.frame_model import FrameFacts, Sound
from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_files, moshi_loading, personaplex
from locara.engines.omni.moshi_files import AGENT_BOOKS, MoshiFiles
from locara.engines.omni.moshi_prompting import Forcing, Prompting, Rows
from locara.engines.omni.sentencepiece_pieces import PieceText

_WARM_FRAMES = 4
"""As many as the package's own server: the first allocates and compiles, the second captures the graphs."""
_SAMPLING = {"temperature": "temp", "text_temperature": "temp_text", "top_k": "top_k", "text_top_k": "top_k_text"}
"""Our options, and the package's names for them, which the configuration may have, too."""


class MoshiModel:
    """See `locara.engines.frame_model.FrameModel`. Options: those of `locara.engines.omni.moshi.create`."""

    def __init__(self) -> None:
        self._torch: Any = None
        self._files: MoshiFiles
        self._mimi: Any = None
        self._steps: Any = None
        self._ear: Rows
        self._mind: Rows
        self._prompting: Prompting | None = None
        self._slots = 0
        self._seed: int | None = None
        self._voice = ""
        self._sound: Any = None  # (slots, 1, frame): what is heard in this step
        self._taken: dict[int, int] = {}  # slot -> steps of its conversation
        self._texts: dict[int, PieceText] = {}

    def load(self, options: Mapping[str, Any], report: Callable[[str], None]) -> FrameFacts:
        """See `FrameModel`."""
        files = moshi_files.read(Path(options["path"]), str(options.get("family", "auto")))
        usual = _usual_voice(files, str(options.get("voice") or ""))
        import torch

        torch.set_num_threads(int(options.get("threads", 1)))
        where = moshi_loading.device(str(options.get("device", "auto")))
        dtype = moshi_loading.number_format(torch, str(options.get("precision", "auto")), files)
        moshi_loading.refuse_too_large(torch, files, where, dtype, int(options.get("slots", 1)))
        report(f"reading {files.size / 1e9:.1f} GB of weights")
        with torch.no_grad():
            mimi, model = moshi_loading.load(files, where, dtype)
        report("warming up")
        return self.adopt(files, mimi, model, {**options, "voice": usual})

    def adopt(self, files: MoshiFiles, mimi: Any, model: Any, options: Mapping[str, Any]) -> FrameFacts:
        """Takes networks of the package that are on their device, and warms up. Options as for ``load``."""
        import torch

        self._torch = torch
        self._files, self._mimi = files, mimi
        self._voice = str(options.get("voice") or "")
        self._slots = int(options.get("slots", 1))
        self._seed = options.get("seed")
        with torch.no_grad():
            self._begin_streaming(model, options)
            self._warm_up()
        return FrameFacts(
            rate=int(mimi.sample_rate),
            frame=int(mimi.frame_size),
            slots=self._slots,
            instructions=files.family == "personaplex",
            voices=files.voices,
            device=str(model.device),
            note=f"{'PersonaPlex' if files.family == 'personaplex' else 'Moshi'}, {str(model.dtype).removeprefix('torch.')}",
        )

    def open(self, slot: int, settings: Mapping[str, Any]) -> Iterator[float]:
        """See `FrameModel`. Moshi takes no step here; PersonaPlex hears its voice and its role."""
        role, voice = str(settings.get("instructions") or ""), str(settings.get("voice") or "")
        if slot in self._taken or not 0 <= slot < self._slots:
            raise Trouble(f"place {slot} of {self._slots} is not free", hint="end a conversation first")
        if self._prompting is None and (role.strip() or voice):
            said = "instructions" if role.strip() else "choice of voices"
            raise Trouble(f"Moshi takes no {said}: it was trained to be one person", hint="use PersonaPlex for that")
        self._taken[slot] = 0
        try:
            self._ear.reset((slot,))
            self._mind.reset((slot,))
            if self._prompting is not None:
                taken = yield from self._prompting.hear(slot, personaplex.role(role), voice or self._voice)
                self._reseed()
                self._prompting.choose(slot)
                self._taken[slot] = taken + 1
                self._ear.reset((slot,))  # what it heard of the voice was no sound of the user
                yield 1.0
            else:
                self._reseed()
            silent = (self._steps.lm_model.text_padding_token_id, self._steps.lm_model.end_of_text_padding_id)
            self._texts[slot] = PieceText(self._files.pieces, silent)
        except BaseException:
            self.close(slot)
            raise

    def step(self, frames: Mapping[int, Sound]) -> Mapping[int, tuple[Sound | None, str]]:
        """See `FrameModel`."""
        heard = frozenset(frames)
        with self._torch.no_grad():
            codes = self._encode(frames)
            fresh = [slot for slot in heard if self._taken[slot] == 0]
            if fresh:
                # The codes of a conversation's first frame are replaced by the tokens that every one begins with. The
                # package's server hears it and forgets it, so that the next one has the padding that belongs to a start.
                self._ear.reset(fresh)
            self._mind.only(heard)
            tokens = self._steps.step(codes)
            for slot in heard:
                self._taken[slot] += 1
            said = self._decode(tokens, heard)
            thought = tokens[:, 0, 0].tolist()
        return {
            slot: (said[slot], self._texts[slot].next(thought[slot])) if slot in said else (None, "") for slot in heard
        }

    def close(self, slot: int) -> None:
        """See `FrameModel`. Its state is forgotten when the next conversation begins there."""
        self._taken.pop(slot, None)
        self._texts.pop(slot, None)

    def _begin_streaming(self, model: Any, options: Mapping[str, Any]) -> None:
        from moshi.models import LMGen

        sampling = {name: self._files.generation[name] for name in _SAMPLING.values() if name in self._files.generation}
        sampling |= {name: options[ours] for ours, name in _SAMPLING.items() if options.get(ours) is not None}
        forcing = Forcing()
        self._steps = LMGen(
            model, **sampling, support_out_of_sync=True, on_text_hook=forcing.text, on_audio_hook=forcing.audio
        )
        self._mimi.streaming_forever(self._slots)
        self._steps.streaming_forever(self._slots)
        self._ear = Rows(self._torch, self._mimi, self._slots, model.device)
        self._mind = Rows(self._torch, self._steps, self._slots, model.device)
        self._sound = self._torch.zeros((self._slots, 1, int(self._mimi.frame_size)))
        if model.device.type == "cuda":
            self._sound = self._sound.pin_memory()
        if self._files.family == "personaplex":
            self._prompting = Prompting(
                self._torch, self._files, self._mimi, self._steps, self._ear, self._mind, forcing, self._slots
            )

    def _warm_up(self) -> None:
        """All places at once, and one alone: what changes between two steps is captured, too."""
        everyone = range(self._slots)
        silence = self._sound.numpy()[0, 0] * 0
        self._taken = dict.fromkeys(everyone, 0)
        self._texts = {slot: PieceText(()) for slot in everyone}
        for _ in range(_WARM_FRAMES):
            self.step(dict.fromkeys(everyone, silence))
            self.step({0: silence})
        self._taken, self._texts = {}, {}
        self._ear.reset(tuple(everyone))
        self._mind.reset(tuple(everyone))

    def _reseed(self) -> None:
        """The same conversation again, where a seed is given and nobody else draws numbers meanwhile."""
        if self._seed is not None and len(self._taken) == 1:
            self._torch.manual_seed(self._seed)

    def _encode(self, frames: Mapping[int, Sound]) -> Any:
        """The codes of what is heard, ``(slots, 8, 1)``; nonsense in other rows."""
        rows = self._sound.numpy()
        for slot, samples in frames.items():
            rows[slot, 0] = samples
        self._ear.only(frozenset(frames))
        return self._mimi.encode(self._sound.to(self._steps.lm_model.device, non_blocking=True))

    def _decode(self, tokens: Any, heard: frozenset[int]) -> dict[int, Sound]:
        """What is said, where it is not filler."""
        said = frozenset(slot for slot in heard if self._taken[slot] > self._steps.max_delay)
        if not said:
            return {}
        self._ear.only(said)
        codes = tokens[:, 1 : AGENT_BOOKS + 1]
        if len(said) < self._slots:
            codes = codes.clamp(min=0)  # filler is -2, which no codebook has
        sound = self._mimi.decode(codes)[:, 0].float().clamp(-1.0, 1.0).cpu().numpy()
        return {slot: sound[slot] for slot in said}


def _usual_voice(files: MoshiFiles, wanted: str) -> str:
    """The voice of conversations that name none: the option's, else the first. Raises ``Trouble``."""
    if files.family == "personaplex":
        if wanted:
            personaplex.voice_file(files.folder, wanted, files.voices)
        return wanted or next(iter(files.voices), "")
    if wanted:
        raise Trouble(f"{files.folder} is Moshi, which has one voice", hint="leave the option voice out")
    return ""


if __name__ == "__main__":
    from locara.engines.frame_worker import serve_model

    serve_model(MoshiModel())
