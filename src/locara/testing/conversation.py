"""A conversation as data, played in the rig: who says what when, what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from locara.audio import Samples
from locara.engines.backend import VoiceBackend
from locara.engines.contracts import Detector, LanguageModel, Message, Recogniser, ToolCall, Voice, WakeWord
from locara.testing import clock
from locara.testing.room import Room
from locara.testing.scripted import (
    EnergyDetector,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    ScriptedWakeWord,
    Spoken,
    speech_like,
)
from locara.voice.building import session as build
from locara.voice.conversation import Session
from locara.voice.events import Event
from locara.voice.history import Said, Used

CHARS_PER_SECOND = 14.0
"""How fast a scripted user speaks."""


@dataclass(frozen=True, slots=True)
class Line:
    """The user begins to say ``text`` at second ``at``. ``seconds``: how long it takes, or None for a usual pace."""

    at: float
    text: str
    seconds: float | None = None

    @property
    def end(self) -> float:
        """When it is said."""
        return self.at + (self.seconds if self.seconds is not None else max(0.2, len(self.text) / CHARS_PER_SECOND))


@dataclass(frozen=True, slots=True)
class Noise:
    """Something that sounds like a voice and has no words, from second ``at`` on. Where nobody else speaks, the session says
    that it did not understand: ``settings={"not_understood": None}`` for one that says nothing."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """``replies``: what the language model answers, in order. ``more``: seconds after the user's last word; None plays
    until everything is said. The rest are the settings of ``voice.session`` and of `Room`."""

    lines: Sequence[Line | Noise]
    replies: Sequence[str | Sequence[str | ToolCall]] | Callable[[Sequence[Message]], str] = ("I see.",)
    more: float | None = None
    echo_db: float | None = None
    noise_dbfs: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What came of it. ``input`` and ``output`` are what was heard and played, at ``RATE`` and ``output_rate``."""

    events: list[Event]
    input: Samples
    output: Samples
    output_rate: int
    history: tuple[Said | Used, ...]
    metrics: dict[str, float]

    def of(self, *types: str) -> list[Any]:
        """The events of these types, in order."""
        return [event for event in self.events if event.type in types]

    def texts(self, kind: str) -> list[str]:
        """The texts of the events of this type."""
        return [event.text for event in self.of(kind)]

    def turn_ends(self, who: Literal["user", "assistant"]) -> list[Any]:
        """The turn-ends of one side."""
        return [event for event in self.of("turn-end") if event.who == who]


Acts = Callable[[Session], Awaitable[None]]


def play(
    conversation: Conversation,
    *,
    stt: Recogniser | None = None,
    llm: LanguageModel | None = None,
    tts: Voice | None = None,
    omni: VoiceBackend | None = None,
    vad: Detector | None = None,
    wake: WakeWord | None = None,
    user: Samples | None = None,
    response: Samples | None = None,
    acts: Acts | None = None,
    charge: Literal["measured"] | float | Callable[[float], float] = 0.0,
) -> Result:
    """Plays a conversation in virtual time. Engines left out are scripted with their usual delays.

    ``omni``: one model that hears and speaks instead of the three; ``stt`` then stands beside it, if it is given.
    ``wake``: what listens for the wake word; the conversation is then in wake-word mode.
    ``user``: real sound instead of tones, at ``RATE``. ``acts``: what an app does meanwhile, with the started session.
    ``charge``: what the work of real engines costs, see `VirtualLoop`; with a number the same run gives the same events.
    """
    script = [
        Spoken(
            one.at,
            one.end if isinstance(one, Line) else one.at + one.seconds,
            one.text if isinstance(one, Line) else "",
        )
        for one in conversation.lines
    ]
    last = max((one.end for one in script), default=0.0)
    sound = speech_like(script, last + 0.1) if user is None else user
    room = Room(
        sound,
        echo_db=conversation.echo_db,
        noise_dbfs=conversation.noise_dbfs,
        response=(1.0,) if response is None else response,
    )
    hearing = stt or ScriptedRecogniser(script)
    if isinstance(hearing, ScriptedRecogniser):
        hearing.began = lambda: room.began or 0.0
    settings = dict(conversation.settings)
    if isinstance(wake, ScriptedWakeWord):
        wake.script = wake.script or tuple(script)
    if wake is not None:
        settings["attention"] = {"mode": "wake-word", **settings.get("attention", {}), "engine": wake}
    stages: dict[str, Any] = {"omni": omni, "stt": stt}
    if omni is None and "omni" not in settings:
        model = llm or ScriptedModel(conversation.replies)
        stages = {"stt": hearing, "llm": model, "tts": tts or ScriptedVoice()}
    session = build(
        vad=vad or EnergyDetector(),
        input=room.microphone,
        output=room.speaker,
        end_with_input=conversation.more is None,
        # Tones have no melody that an end-of-turn model could hear: words and silence decide, if nothing else is asked.
        **{**stages, "turn_detection": "silence", **settings},
    )
    return clock.run(
        _play(session, acts, None if conversation.more is None else last + conversation.more), charge=charge
    )


async def _play(session: Session, acts: Acts | None, until: float | None) -> Result:
    events: list[Event] = []
    heard: list[Samples] = []
    played: list[Samples] = []
    taps = [
        asyncio.create_task(_collect(session.events(), events)),
        asyncio.create_task(_collect(session.raw_input(), heard)),
        asyncio.create_task(_collect(session.raw_output(), played)),
    ]
    try:
        async with session:
            acting = asyncio.create_task(_act(acts, session))
            if until is None:
                await session.wait_ended()
            else:
                await asyncio.sleep(until)
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)
        await asyncio.gather(*taps)
    finally:
        for tap in taps:
            tap.cancel()
    empty: Samples = np.zeros(0, dtype=np.float32)
    return Result(
        events,
        np.concatenate(heard) if heard else empty,
        np.concatenate(played) if played else empty,
        session.output_rate,
        session.history,
        session.metrics(),
    )


async def _act(acts: Acts | None, session: Session) -> None:
    if acts is not None:
        await acts(session)


async def _collect(stream: Any, into: list[Any]) -> None:
    async for item in stream:
        into.append(item)
