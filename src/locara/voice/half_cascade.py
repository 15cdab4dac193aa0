"""The half cascade: a language model that hears the user's sound itself, and a voice. There is no recogniser.

What may live here: how the user's sound comes into the messages, and how long it is kept. Replies are made as in
`pipeline`, with the same speculation, interruption, tools and history of what was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from locara.audio import RATE, Samples
from locara.engines.contracts import Engine, HearsAudio, LanguageModel, Message, Sound, Tool, Voice
from locara.errors import EngineFailed
from locara.voice.brain import Deadlines, Exactness, Post
from locara.voice.moves import Understood
from locara.voice.pipeline import PipelineBrain
from locara.voice.streams import Fresh

KEPT_TURNS = 8
"""Turns of the user that stay in the conversation as sound; of older ones the model only knows that they were."""

KEPT_SECONDS = 40.0
"""The same in seconds: about 1,000 tokens of a model that makes 25 of a second. The newest turn is always whole."""


class HalfCascadeBrain(PipelineBrain):
    """A language model with ears, and a voice. It gives no words of the user."""

    words = False

    def __init__(
        self,
        llm: LanguageModel,
        tts: Voice,
        *,
        system: str = "",
        tools: Sequence[Tool] = (),
        deadlines: Deadlines | None = None,
        kept_turns: int = KEPT_TURNS,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:
        super().__init__(None, llm, tts, system=system, tools=tools, deadlines=deadlines)
        self._kept_turns = kept_turns
        self._kept_samples = round(kept_seconds * RATE)
        self._open: dict[int, tuple[Fresh, list[Samples]]] = {}
        """The blocks of each turn that is open."""
        self._sounds: dict[int, Sound] = {}
        """What a reply was asked with, by turn, the oldest first."""

    @property
    def engines(self) -> dict[str, Engine]:
        """Stage -> engine."""
        return {"llm": self._engines.llm, "tts": self._engines.tts}

    @property
    def capabilities(self) -> dict[str, Exactness]:
        """As a pipeline's, without any transcript of the user."""
        return {**super().capabilities, "partial-transcript": "absent", "final-transcript": "absent"}

    def start(self, post: Post, output_rate: int, history: Callable[[], Sequence[Message]]) -> None:
        """Raises ``EngineFailed`` for a model that, now that it is loaded, turns out not to hear."""
        llm = self._engines.llm
        if not (isinstance(llm, HearsAudio) and llm.hears):
            raise EngineFailed(
                f"llm: {llm.info.model} takes no sound, and audio_input was asked for",
                stage="llm",
                model=llm.info.model,
                hint="choose a model with audio input, or leave audio_input out: a recogniser then hears for it",
            )
        super().start(post, output_rate, history)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def listen(self, turn: int, at: int, samples: Samples) -> None:
        """Begins to keep the sound of this turn, or goes on."""
        if turn not in self._open:
            self._open[turn] = (Fresh(), [])
            self._read_ahead()  # the conversation so far; what is being said now cannot be read before it is said
        self.hear(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn; none is kept twice."""
        if turn in self._open:
            fresh, blocks = self._open[turn]
            if (new := fresh.of(at, samples)).size:
                blocks.append(new)

    def settle(self, turn: int, revision: int) -> None:
        """There are no words to wait for."""
        assert self._post is not None
        self._keep(asyncio.create_task(self._settled(self._post, turn, revision), name=f"settle-{turn}"))

    @staticmethod
    async def _settled(post: Post, turn: int, revision: int) -> None:
        await post(Understood(turn, revision, "", settled=True))

    def forget(self, turn: int) -> None:
        """The turn is over. What a reply was asked with stays for the next prompts."""
        self._open.pop(turn, None)
        if turn not in self._turn_of.values():
            self._sounds.pop(turn, None)

    def sound_of(self, turn: int) -> Sound | None:
        """See `locara.voice.brain.KeepsSound`."""
        return self._sounds.get(turn)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _asked(self, turn: int, text: str) -> Message:
        """What was said as sound; what was typed as text."""
        blocks = self._open[turn][1] if turn in self._open else []
        if text or not blocks:
            return Message("user", text)
        self._sounds.pop(turn, None)
        sound = self._sounds[turn] = Sound(np.concatenate(blocks))
        return Message("user", "", sounds=(sound,))

    def commit(self, reply: int) -> None:
        """This turn's sound is part of the conversation now; the oldest may have to go."""
        super().commit(reply)
        for turn in over_budget(self._sounds, self._kept_turns, self._kept_samples):
            del self._sounds[turn]


def over_budget(sounds: Mapping[int, Sound], turns: int, samples: int) -> tuple[int, ...]:
    """The turns whose sound goes: the oldest, until half of what may be kept is left; never the newest.

    Half, so that in between the conversation only grows at its end: a model need not read it all again after each turn.
    """
    left = [(turn, sound.samples.size) for turn, sound in sounds.items()]
    if len(left) <= turns and sum(size for _, size in left) <= samples:
        return ()
    gone: list[int] = []
    while len(left) > 1 and (len(left) > turns // 2 or sum(size for _, size in left) > samples // 2):
        gone.append(left.pop(0)[0])
    return tuple(gone)
