"""A model of one's own that hears and speaks: it counts the syllables that it hears, and says how many there were.

    python examples/own_backend.py

What it shows: everything a half-duplex backend has to offer (``docs/backends.md`` explains it line by line). It hears with
numpy and speaks with espeak-ng: no weights. The conversation runs in the rig: no microphone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, cast

import numpy as np

from locara.audio import RATE, Samples, resample
from locara.devices.wav import read_wav
from locara.engines import backend as be
from locara.engines import option_values, registry
from locara.engines.backend_events import SessionEvents
from locara.engines.backend_settings import demand
from locara.engines.contracts import EngineInfo, Message, Voice
from locara.errors import EngineFailed
from locara.testing import Conversation, Line, Result, play

MODELS = ("syllables",)


def create(model: str, options: Mapping[str, Any]) -> be.VoiceBackend | None:
    """The backend, or None when ``model`` is none of `MODELS`."""
    if model not in MODELS:
        return None
    option_values.known("syllables", options, ("speaker",))
    return Syllables(option_values.text("syllables", options, "speaker", "espeak-ng"))


def syllables(sound: Samples) -> int:
    """How often the loudness, every 10 ms and smoothed over 130 ms, rises by 3 dB and falls again."""
    power = np.add.reduceat(sound**2, np.arange(0, sound.size, RATE // 100)) if sound.size else np.zeros(1)
    curve = 20 * np.log10(np.convolve(np.sqrt(power), np.hanning(13) / 6, "same") + 1e-4)
    count, rising, turn = 0, False, curve[0]
    for level in curve:
        turn = max(turn, level) if rising else min(turn, level)
        if abs(level - turn) > 3.0:
            count += rising and turn > curve.max() - 20.0
            rising, turn = not rising, level
    return int(count)


class Syllables:
    """The sessions share one voice: a reply waits until the one before it was made."""

    info = EngineInfo(engine="syllables", model="syllables", licence="Apache-2.0", sharing="shared")

    def __init__(self, speaker: str = "espeak-ng") -> None:
        self._voice = cast(Voice, registry.create("tts", speaker, {}))
        self._speaking = asyncio.Lock()
        self._sessions: dict[str, tuple[SessionEvents, dict[int, asyncio.Task[None]]]] = {}
        can = be.BackendCapabilities("half", "locara", input_rate=RATE, output_rate=self._voice.rate)
        self.capabilities = replace(can, memory="locara", cancels=True, max_sessions=None)

    async def load(self) -> None:
        await self._voice.load()

    async def close(self) -> None:
        for session in self._sessions:
            await self.stop_session(session)
        await self._voice.close()

    async def start_session(self, settings: be.BackendSettings) -> str:
        demand(self.info.model, self.capabilities, settings)
        session = f"syllables-{len(self._sessions)}"
        self._sessions[session] = (SessionEvents(), {})
        return session

    async def stop_session(self, session: str) -> None:
        events, replies = self._of(session)
        for reply in list(replies):
            await self._cancel(events, reply, replies.pop(reply))
        events.end("stopped")

    async def push_audio(self, session: str, samples: Samples) -> None:
        self._of(session)  # with memory="locara", all of a turn's sound comes once more with its TurnEnd

    async def signal(self, session: str, signal: be.Signal) -> bool:
        events, replies = self._of(session)
        match signal:
            case be.TurnEnd(reply, messages) if messages and events.ended is None:
                replies[reply] = asyncio.create_task(self._answer(events, reply, messages[-1]))
                return True
            case be.Cancel(reply) if reply in replies:
                return await self._cancel(events, reply, replies.pop(reply))
        return False

    def event_stream(self, session: str) -> AsyncIterator[be.BackendEvent]:
        return self._of(session)[0].stream()

    async def _answer(self, events: SessionEvents, reply: int, asked: Message) -> None:
        try:
            heard = [await asyncio.to_thread(syllables, sound.samples) for sound in asked.sounds]
            text = f"I heard {sum(heard)} syllables."
            events.tell(be.ReplyText(reply, text))
            async with self._speaking:
                async for speech in self._voice.speak(text):
                    events.tell(be.ReplyAudio(reply, speech.samples))
            events.tell(be.ReplyEnded(reply))
        except Exception as error:
            events.tell(be.BackendFailed(EngineFailed.code, f"syllables: {error}", reply=reply))
            events.tell(be.ReplyEnded(reply, "failed"))

    async def _cancel(self, events: SessionEvents, reply: int, making: asyncio.Task[None]) -> bool:
        if making.cancel():
            await asyncio.wait([making])
            return events.tell(be.ReplyEnded(reply, "cancelled"))
        return False

    def _of(self, session: str) -> tuple[SessionEvents, dict[int, asyncio.Task[None]]]:
        if session not in self._sessions:
            raise EngineFailed(f"syllables: there is no session {session!r}", stage="omni", hint="start one")
        return self._sessions[session]


def main() -> Result:
    """A recording of "what time is it" and "what is twelve times seven", answered."""
    user = resample(*read_wav(str(files("locara.cli") / "question.wav")), RATE)
    result = play(Conversation([Line(0.0, "(as recorded)", user.size / RATE)]), omni=Syllables(), user=user)
    for turn in result.turn_ends("assistant"):
        print(f"{turn.t:5.2f} s  {''.join(one.text for one in result.of('llm-token') if one.turn == turn.turn)}")
    return result


if __name__ == "__main__":
    main()
