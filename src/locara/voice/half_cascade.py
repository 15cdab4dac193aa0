"""The half cascade: a language model that hears the user's sound itself, and a voice. There is no recogniser.

What may live here: how the user's sound comes into the messages; how long it is kept says `kept_sound`. Replies are made
as in `pipeline`, with the same speculation, interruption, tools and history of what was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from locara.audio import Samples
from locara.engines.contracts import Engine, HearsAudio, LanguageModel, Message, Sound, Tool, Voice
from locara.errors import EngineFailed
from locara.voice.brain import Deadlines, Exactness, Post
from locara.voice.kept_sound import KEPT_SECONDS, KEPT_TURNS, KeptSound
from locara.voice.moves import Understood
from locara.voice.pipeline import PipelineBrain


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
        self._kept = KeptSound(turns=kept_turns, seconds=kept_seconds)

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
        if self._kept.begin(turn):
            self._read_ahead()  # the conversation so far; what is being said now cannot be read before it is said
        self.hear(turn, at, samples)

    def hear(self, turn: int, at: int, samples: Samples) -> None:
        """The next block of this turn; none is kept twice."""
        self._kept.hear(turn, at, samples)

    def settle(self, turn: int, revision: int) -> None:
        """There are no words to wait for."""
        assert self._post is not None
        self._keep(asyncio.create_task(self._settled(self._post, turn, revision), name=f"settle-{turn}"))

    @staticmethod
    async def _settled(post: Post, turn: int, revision: int) -> None:
        await post(Understood(turn, revision, "", settled=True))

    def forget(self, turn: int) -> None:
        """The turn is over. What a reply was asked with stays for the next prompts."""
        self._kept.end(turn, answered=turn in self._turn_of.values())

    def sound_of(self, turn: int) -> Sound | None:
        """See `locara.voice.brain.KeepsSound`."""
        return self._kept.of(turn)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _asked(self, turn: int, text: str) -> Message:
        """What was said as sound; what was typed as text."""
        sound = None if text else self._kept.ask(turn)
        return Message("user", text) if sound is None else Message("user", "", sounds=(sound,))

    def commit(self, reply: int) -> None:
        """This turn's sound is part of the conversation now; the oldest may have to go."""
        super().commit(reply)
        self._kept.trim()
