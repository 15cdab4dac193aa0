"""What the package ``moshi`` itself says, and what our frame model says, for the same sound: run in an environment that has
``moshi``, by tests/engines/omni/test_moshi_frames.py.

    python tests/engines/models/moshi_reference.py MOSHI PERSONAPLEX [CASE...]

Prints one JSON object: for each conversation of each case the reference's tokens, how many of ours are the same, and how
far the sounds are apart. The reference is written as plainly as can be: the loop of the package's own server for Moshi, and
for PersonaPlex tables of what stands at which position of which stream, after NVIDIA's program.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["NO_TORCH_COMPILE"] = "1"

import numpy as np
import sentencepiece
import torch
from moshi.models import LMGen, loaders

from locara.engines.omni import moshi_files, personaplex, prompt_sound
from locara.engines.omni.moshi_worker import MoshiModel

FRAME = 1920
Frames = list[np.ndarray[Any, np.dtype[np.float32]]]
GREEDY = {"device": "cpu", "precision": "fp32", "threads": 1, "temperature": 0.0, "text_temperature": 0.0}


def sound(seed: int, frames: int) -> Frames:
    """Some noise and a tone, another one for each seed."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames * FRAME) / 24_000
    wave = 0.1 * np.sin(2 * np.pi * (150 + 40 * seed) * time) + 0.03 * generator.standard_normal(time.size)
    return list(wave.astype(np.float32).reshape(frames, FRAME))


class Reference:
    """The package's own networks, alone. ``tokens``: of each frame said; ``said``: its sound."""

    def __init__(self, folder: Path, **sampling: Any) -> None:
        files = moshi_files.read(folder)
        self.files = files
        codec = dict(files.mimi_config or {})
        self.mimi = loaders.get_mimi(str(files.mimi), codec, num_codebooks=8)
        config = dict(files.config)
        if config["dep_q"] == 16:  # cut by hand, unlike `moshi_loading.cut`: from a whole model, module by module
            whole = loaders.get_moshi_lm(files.weights, config, dtype=torch.float32).state_dict()
            self.lm = loaders.get_moshi_lm(None, {**config, "dep_q": 8}, dtype=torch.float32)
            self.lm.load_state_dict({name: whole[name] for name in self.lm.state_dict()})
        else:
            self.lm = loaders.get_moshi_lm(files.weights, config, dtype=torch.float32)
        self.force: dict[str, Any] = {}
        self.steps = LMGen(
            self.lm, **{"temp": 0.0, "temp_text": 0.0, **sampling}, on_text_hook=self._text, on_audio_hook=self._audio
        )

    def _text(self, tokens: Any) -> None:
        if self.force.get("text") is not None:
            tokens[:] = self.force["text"]

    def _audio(self, tokens: Any) -> None:
        for book, code in enumerate(self.force.get("audio", ())):
            if code is not None:
                tokens[:, book] = code

    def talk(self, frames: Frames) -> tuple[list[list[int]], Frames]:
        """The loop of ``moshi.server``."""
        tokens, said = [], []
        with self.mimi.streaming(1), self.steps.streaming(1):
            for number, frame in enumerate(frames):
                codes = self.mimi.encode(torch.from_numpy(frame)[None, None])
                if number == 0:
                    self.mimi.reset_streaming()
                found = self.steps.step(codes)
                if found is not None:
                    tokens.append(found[0, :, 0].tolist())
                    said.append(self.mimi.decode(found[:, 1:])[0, 0].clamp(-1.0, 1.0).numpy())
        return tokens, said

    def talk_as(self, voice: list[list[int]] | None, role: Sequence[int], frames: Frames) -> Any:
        """A conversation after a prompt: first what the agent says and thinks in each frame of it, then the frames."""
        silence, sine = list(personaplex.SILENCE), list(personaplex.SINE)
        pause = 6
        agent = [*(voice or [silence]), *[silence] * (2 * pause + len(role))]
        text = [3] * (len(voice or [silence]) + pause) + list(role) + [3] * pause
        with self.mimi.streaming(1), self.steps.streaming(1):
            return self._after(agent, text, sine, frames)

    def _after(self, agent: list[list[int]], text: list[int], user: list[int], frames: Frames) -> Any:
        tokens, said = [], []
        for call in range(len(agent)):
            # What a call makes stands one position later: text and semantic code of the next frame, the rest of this one.
            more = call + 1 < len(agent)
            self.force = {
                "text": text[call + 1] if more else None,
                "audio": [agent[call + 1][0] if more else None, *agent[call][1:]],
            }
            self.steps.step(torch.tensor(user).view(1, 8, 1))
        self.force = {}
        for frame in frames:
            found = self.steps.step(self.mimi.encode(torch.from_numpy(frame)[None, None]))
            tokens.append(found[0, :, 0].tolist())
            said.append(self.mimi.decode(found[:, 1:])[0, 0].clamp(-1.0, 1.0).numpy())
        return tokens, said

    def voice_codes(self, path: Path) -> list[list[int]]:
        """Mimi's codes of a voice, all at once."""
        wave = prompt_sound.read(path, 24_000, personaplex.LEVEL)
        wave = np.pad(wave, (0, -wave.size % FRAME))
        codes: list[list[int]] = self.mimi.encode(torch.from_numpy(wave)[None, None])[0].T.tolist()
        return codes

    def talk_from(self, path: Path, role: Sequence[int], frames: Frames) -> Any:
        """A conversation after a saved voice and a role."""
        saved = torch.load(path, weights_only=True)
        codes, count = saved["cache"][0, :17], len(saved["embeddings"])
        silence, sine, pause = list(personaplex.SILENCE), list(personaplex.SINE), 6
        last = [0, *codes[2:9, (count + 1) % 4].tolist()]
        agent = [last, *[silence] * (2 * pause + len(role))]
        text = [3] * (1 + pause) + list(role) + [3] * pause
        with self.mimi.streaming(1), self.steps.streaming(1):
            for one in saved["embeddings"]:
                self.lm.transformer(one)
            state = self.steps._streaming_state
            state.offsets[:] = state.offset_cpu = count
            for position in (count - 1, count, count + 1):
                state.cache[0, :, position % 3] = codes[:, position % 4]
            return self._after(agent, text, sine, frames)


class Ours:
    """Our frame model; what its steps gave, with the tokens taken at the network's door."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.model = MoshiModel()
        self.facts = self.model.load({"path": str(folder), **GREEDY, **options}, lambda _said: None)
        self.tokens: dict[int, list[list[int]]] = {}
        self.said: dict[int, Frames] = {}
        self.text: dict[int, str] = {}
        self._last: Any = None
        step = self.model._steps.step

        def listen(*given: Any) -> Any:
            self._last = step(*given)
            return self._last

        self.model._steps.step = listen

    def open(self, slot: int, **settings: str) -> Iterator[float]:
        """A new conversation there."""
        self.tokens[slot], self.said[slot], self.text[slot] = [], [], ""
        return iter(self.model.open(slot, settings))

    def step(self, frames: dict[int, Any]) -> None:
        """One frame each."""
        for slot, (samples, text) in self.model.step(frames).items():
            if samples is not None:
                self.tokens[slot].append(self._last[slot, :, 0].tolist())
                self.said[slot].append(samples)
            self.text[slot] += text


def compare(theirs: tuple[list[list[int]], Frames], ours: Ours, slot: int) -> dict[str, Any]:
    """One conversation."""
    tokens, said = theirs
    same = sum(one == other for one, other in zip(tokens, ours.tokens[slot], strict=False))
    apart = max(
        (float(np.abs(one - other).max()) for one, other in zip(said, ours.said[slot], strict=False)), default=9.0
    )
    loudest = max(float(np.abs(one).max()) for one in said)
    tokenizer = sentencepiece.SentencePieceProcessor(str(ours.model._files.tokenizer))
    written = [tokenizer.id_to_piece(one[0]).replace("▁", " ") if one[0] not in (0, 3) else "" for one in tokens]
    return {
        "theirs": len(tokens), "ours": len(ours.tokens[slot]), "same": same, "apart": apart, "loudest": loudest,
        "tokens": tokens, "text": ours.text[slot], "written": written,
    }  # fmt: skip


def one(folder: Path, frames: int = 30) -> list[dict[str, Any]]:
    """One conversation, as long as it likes."""
    ours, heard = Ours(folder), sound(1, frames)
    list(ours.open(0))
    for frame in heard:
        ours.step({0: frame})
    return [compare(Reference(folder).talk(heard), ours, 0)]


def long(folder: Path) -> list[dict[str, Any]]:
    """Past the window of 40 frames, twice around."""
    return one(folder, 90)


def batch(folder: Path) -> list[dict[str, Any]]:
    """Three places: two conversations that begin, end and pause at their own times, the second one's place used twice."""
    ours, first, second, third = Ours(folder, slots=3), sound(1, 40), sound(2, 12), sound(3, 25)
    reference = Reference(folder)
    found = []
    list(ours.open(2))
    left, right = iter(first), iter(second)
    for number in range(34):
        frames = {}
        if number % 5 != 3:  # its microphone is late now and then
            frames[2] = next(left)
        if number == 6:
            list(ours.open(0))
        if 6 <= number < 18:
            frames[0] = next(right)
        if number == 18:
            found.append(compare(reference.talk(second), ours, 0))
            ours.model.close(0)
            list(ours.open(0))
            right = iter(third)
        if number >= 19 and number % 3:
            frames[0] = next(right)
        ours.step(frames) if frames else None
    for frame in left:
        ours.step({2: frame})
    for frame in right:
        ours.step({0: frame})
    return [*found, compare(reference.talk(first), ours, 2), compare(reference.talk(third), ours, 0)]


def sampled(folder: Path) -> list[dict[str, Any]]:
    """With chance: the same seed, the same conversation, twice."""
    options = {"temperature": 0.8, "text_temperature": 0.7, "top_k": 250, "text_top_k": 25}
    ours, heard = Ours(folder, seed=7, **options), sound(1, 25)
    reference = Reference(folder, temp=0.8, temp_text=0.7)
    torch.manual_seed(7)
    theirs = reference.talk(heard)
    found = []
    for _ in range(2):
        list(ours.open(0))
        for frame in heard:
            ours.step({0: frame})
        found.append(compare(theirs, ours, 0))
        ours.model.close(0)
    return found


def persona(folder: Path) -> list[dict[str, Any]]:
    """A spoken voice, while another conversation goes on; then the same again, from what was kept; then a saved voice."""
    ours, reference = Ours(folder, slots=2, voice="BERT"), Reference(folder)
    role = "you are the kettle"
    words = ours.model._prompting._tokenizer.encode(personaplex.role(role))  # type: ignore[union-attr]
    first, second = sound(1, 30), sound(2, 20)
    spoken = reference.talk_as(reference.voice_codes(folder / "voices" / "ANNA.wav"), words, second)
    saved = reference.talk_from(folder / "voices" / "BERT.pt", words, first)
    bare = reference.talk_from(folder / "voices" / "BERT.pt", [], second)
    found: list[dict[str, Any]] = []
    steps: list[int] = []
    list(ours.open(0, instructions=role))
    left = iter(first)
    given_up = ours.open(1, instructions="you are the bread", voice="ANNA")
    for _ in range(7):  # in the middle of the voice
        next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    ours.model.close(1)
    for _again in range(2):
        prompt, many = ours.open(1, instructions=role, voice="ANNA"), 0
        for done in prompt:
            assert 0.0 <= done <= 1.0
            many += 1
            if many % 4 == 0 and not steps:
                ours.step({0: next(left)})
        steps.append(many)
        for frame in second:
            ours.step({1: frame})
        found.append(compare(spoken, ours, 1))
        ours.model.close(1)
    for frame in left:
        ours.step({0: frame})
    found.append(compare(saved, ours, 0))
    list(ours.open(1))
    for frame in second:
        ours.step({1: frame})
    found.append(compare(bare, ours, 1))
    found[0]["steps"] = steps
    return found


def tone(folder: Path) -> list[dict[str, Any]]:
    """What the reference says to a tone, as ``tone.npy`` in the folder: for whoever asks our process the same."""
    time = np.arange(12 * FRAME) / 24_000
    heard = list((0.1 * np.sin(2 * np.pi * 190 * time)).astype(np.float32).reshape(12, FRAME))
    tokens, said = Reference(folder).talk(heard)
    np.save(folder / "tone.npy", np.stack(said))
    return [{"tokens": tokens}]


def main() -> None:
    """Prints what was found, case by case."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    moshi, persona_folder = Path(sys.argv[1]), Path(sys.argv[2])
    cases: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "one": lambda: one(moshi),
        "long": lambda: long(moshi),
        "batch": lambda: batch(moshi),
        "sampled": lambda: sampled(moshi),
        "tone": lambda: tone(moshi),
        "persona": lambda: persona(persona_folder),
    }
    print(json.dumps({name: cases[name]() for name in sys.argv[3:] or cases}))


if __name__ == "__main__":
    main()
