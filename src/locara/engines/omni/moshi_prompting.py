"""PersonaPlex's voice and role, heard by one conversation of the batch while the others go on. On torch, for `moshi_worker`.

What may live here: the steps of the prompt as calls of the package ``moshi``, and keeping what was heard once. What is
forced in each step is planned in `personaplex`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from locara.engines.isolated_worker import Trouble
from locara.engines.omni import moshi_slots, personaplex, prompt_sound
from locara.engines.omni.moshi_files import MoshiFiles
from locara.engines.omni.moshi_slots import SlotState
from locara.engines.omni.personaplex import Codes, Forced

_KEPT_BYTES = 500_000_000
"""Of prompts that were heard: at the published size 0.5 MB a frame, 80 MB for a voice and a role."""
_KEPT = 16


class Rows:
    """A network of the package that steps a batch: which rows of it execute. Telling it costs a call for each layer, so it
    is told changes only."""

    def __init__(self, torch: Any, network: Any, count: int, device: Any) -> None:
        self._torch = torch
        self._network = network
        self._count = count
        self._device = device
        self._now: frozenset[int] | None = None

    def only(self, rows: frozenset[int]) -> None:
        """From now on only these rows move on."""
        if rows != self._now:
            self._network.set_exec_mask(self._mask(rows))
            self._now = rows

    def reset(self, rows: Sequence[int]) -> None:
        """These rows begin anew. The package lets them execute again, too."""
        self._network.reset_streaming(self._mask(rows))
        if self._now is None or not self._now.issuperset(rows):
            self._now = None

    def _mask(self, rows: frozenset[int] | Sequence[int]) -> Any:
        return self._torch.tensor([row in rows for row in range(self._count)], device=self._device)


class Forcing:
    """What the model is made to think and say in a step, through the hooks of the package's ``LMGen``."""

    def __init__(self) -> None:
        self._text: int | None = None
        self._acoustic: Codes | None = None

    def text(self, tokens: Any) -> None:
        """The hook for the text tokens of the batch."""
        if self._text is not None:
            tokens.fill_(self._text)

    def audio(self, tokens: Any) -> None:
        """The hook for the codes of the batch, ``(slots, 8)``."""
        if self._acoustic is not None:
            tokens[:, 1:] = tokens.new_tensor(self._acoustic)

    def step(self, steps: Any, slots: int, forced: Forced) -> None:
        """One step of the rows that execute."""

        def rows(codes: Sequence[int]) -> Any:
            return steps.delays_cuda.new_tensor(codes).view(1, -1, 1).expand(slots, -1, -1)

        free = forced.semantic is None
        self._text, self._acoustic = forced.text, forced.acoustic if free else None
        try:
            steps.step(
                rows(forced.user), None if forced.semantic is None else rows((forced.semantic, *forced.acoustic))
            )
        finally:
            self._text = self._acoustic = None


class Prompting:
    """The prompts of one loaded PersonaPlex."""

    def __init__(
        self, torch: Any, files: MoshiFiles, mimi: Any, steps: Any, ear: Rows, mind: Rows, forcing: Forcing, slots: int
    ) -> None:
        import sentencepiece

        self._torch = torch
        self._files = files
        self._mimi = mimi
        self._steps = steps
        self._ear = ear
        self._mind = mind
        self._forcing = forcing
        self._slots = slots
        self._pad = int(steps.lm_model.text_padding_token_id)
        self._tokenizer = sentencepiece.SentencePieceProcessor(str(files.tokenizer))
        self._known: OrderedDict[tuple[str, str | None], tuple[SlotState, Codes]] = OrderedDict()

    def hear(self, slot: int, role: str, voice: str) -> Generator[float, None, int]:
        """Voice and role, one step of the model between two items; returns how many steps the conversation has had, all but
        the last, which `choose` makes. What was heard before is put in its place at once. Raises ``Trouble``."""
        words = self._tokenizer.encode(role) if role else []
        context = int(self._files.config["context"])
        if len(words) + 2 * personaplex.PAUSE > context // 2:
            raise Trouble(
                f"the role has {len(words)} tokens, and the model remembers {context} frames",
                hint="describe the role in fewer words",
            )
        known = self._recall(slot, (voice, role))
        if known is not None:
            return known[0]
        done, last = 0, personaplex.SILENCE
        if voice:
            done, last = yield from self._voice(slot, voice, len(words) + 2 * personaplex.PAUSE)
        plan = personaplex.steps(last, words, self._pad)[:-1]
        for number, forced in enumerate(plan, 1):
            self._force(slot, forced)
            yield (done + number) / (done + len(plan) + 1)
        done += len(plan)
        self._keep(slot, (voice, role), done, personaplex.SILENCE)
        return done

    def choose(self, slot: int) -> None:
        """The prompt's last step: from here on the model says what it likes."""
        self._force(slot, personaplex.steps(personaplex.SILENCE, (), self._pad)[-1])

    def _voice(self, slot: int, voice: str, more: int) -> Generator[float, None, tuple[int, Codes]]:
        """How many steps, and the voice's last frame. ``more``: steps that come after it."""
        known = self._recall(slot, (voice, None))
        if known is not None:
            return known
        path = personaplex.voice_file(self._files.folder, voice, self._files.voices)
        reading = self._saved if path.suffix == ".pt" else self._spoken
        done, last = yield from reading(slot, path, more)
        self._keep(slot, (voice, None), done, last)
        return done, last

    def _saved(self, slot: int, path: Path, more: int) -> Generator[float, None, tuple[int, Codes]]:
        """A voice in the format of NVIDIA's program: what the temporal transformer was fed, and the tokens after it."""
        sizes = self._files.config
        saved = moshi_slots.read_voice(path, int(sizes["dim"]), int(sizes["card"]), int(sizes["text_card"]))
        count = saved.embeddings.shape[0]
        self._refuse_long(path, count)
        for number, frame in enumerate(saved.embeddings, 1):
            self._mind.only(frozenset((slot,)))
            with self._torch.no_grad():
                moshi_slots.feed(self._steps, self._slots, frame)
            yield number / (count + more + 1)
        moshi_slots.put_tokens(self._steps, slot, count, saved.ring(self._steps.max_delay + 2))
        return count, (0, *saved.acoustic)  # its semantic code stands in the ring already

    def _spoken(self, slot: int, path: Path, more: int) -> Generator[float, None, tuple[int, Codes]]:
        """A voice as sound. A step comes from two frames of it, so the last one is left for what follows."""
        size = int(self._mimi.frame_size)
        sound = prompt_sound.read(path, int(self._mimi.sample_rate), personaplex.LEVEL)
        frames = np.pad(sound, (0, -sound.size % size)).reshape(-1, size)
        self._refuse_long(path, len(frames))
        last: Codes | None = None
        for number, this in enumerate(self._codes(slot, frames)):
            if last is not None:
                self._force(slot, Forced(personaplex.SINE, self._pad, this[0], last[1:]))
            last = this
            yield number / (len(frames) + more)
        return len(frames) - 1, last or personaplex.SILENCE

    def _codes(self, slot: int, frames: np.ndarray[Any, np.dtype[np.float32]]) -> Iterator[Codes]:
        """Mimi's codes of each frame, heard in the conversation's own row."""
        batch = self._steps.delays_cuda.new_zeros((self._slots, 1, frames.shape[1]), dtype=self._torch.float32)
        for frame in frames:
            batch[slot, 0] = batch.new_tensor(frame)
            self._ear.only(frozenset((slot,)))
            with self._torch.no_grad():
                found = self._mimi.encode(batch)
            yield tuple(found[slot, :, 0].tolist())

    def _refuse_long(self, path: Path, frames: int) -> None:
        context = int(self._files.config["context"])
        if frames > context // 2:
            raise Trouble(
                f"{path} has {frames} frames, and the model remembers {context}",
                hint="give a shorter piece of the voice",
            )

    def _force(self, slot: int, forced: Forced) -> None:
        self._mind.only(frozenset((slot,)))
        with self._torch.no_grad():
            self._forcing.step(self._steps, self._slots, forced)

    # --- what was heard once ------------------------------------------------------------------------------------------

    def _recall(self, slot: int, key: tuple[str, str | None]) -> tuple[int, Codes] | None:
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        state, last = known
        moshi_slots.put(self._steps, slot, state)
        return state.steps, last

    def _keep(self, slot: int, key: tuple[str, str | None], count: int, last: Codes) -> None:
        state = moshi_slots.take(self._steps, slot, count)
        if state is None or state.size > _KEPT_BYTES:
            return
        self._known[key] = (state, last)
        while len(self._known) > _KEPT or sum(one.size for one, _ in self._known.values()) > _KEPT_BYTES:
            self._known.popitem(last=False)
