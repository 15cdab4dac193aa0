"""Locara's own client of this protocol (the engine ``realtime``) and Locara's own door: two ends that were written apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from locara.audio import Samples, silence
from locara.engines.backend import (
    BackendFailed,
    BackendSettings,
    Cancel,
    Disregard,
    Ended,
    Played,
    ReplyAudio,
    ReplyEnded,
    ReplyText,
    TurnEnd,
    UserText,
    UserTyped,
    VoiceBackend,
)
from locara.engines.omni.realtime import create
from locara.errors import EngineFailed

from .serving import RATE, TOKEN, WITHIN, omni, question, scripted, server


class Session:
    """One session of the backend, and what it told."""

    def __init__(self, backend: VoiceBackend, name: str) -> None:
        self.backend = backend
        self.name = name
        self.events: list[Any] = []

    async def read(self) -> None:
        async for event in self.backend.event_stream(self.name):
            self.events.append(event)

    async def push(self, samples: Samples) -> None:
        for at in range(0, samples.size, RATE // 50):
            await self.backend.push_audio(self.name, samples[at : at + RATE // 50])

    async def tell(self, signal: Any) -> bool:
        return await self.backend.signal(self.name, signal)

    async def until(self, happened: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                while not happened():  # noqa: ASYNC110  a list that another task fills
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"there was {self.events[-10:]}") from None

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.events if isinstance(one, kind)]

    def text(self, reply: int) -> str:
        return "".join(one.text for one in self.of(ReplyText) if one.reply == reply)

    def ended(self, reply: int) -> str:
        return next((one.reason for one in self.of(ReplyEnded) if one.reply == reply), "")


@contextlib.asynccontextmanager
async def talking(port: int, settings: BackendSettings | None = None, **options: Any) -> AsyncIterator[Session]:
    made = create(f"realtime:ws://127.0.0.1:{port}/v1/realtime", {"api_key_env": "LOCARA_TEST_KEY", **options})
    assert made is not None
    await made.load()
    session = Session(made, await made.start_session(settings or BackendSettings()))
    task = asyncio.create_task(session.read())
    try:
        yield session
    finally:
        await made.close()
        async with asyncio.timeout(WITHIN):
            await task
    assert session.events[-1] == Ended("stopped")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_TEST_KEY", TOKEN)


def test_two_turns_are_answered_with_words_and_sound() -> None:
    async def talk() -> None:
        engines = scripted(("what time is it", "thank you"), ("It is noon now.", "You are welcome."))
        async with server(engines) as port, talking(port, transcription="whisper-1") as session:
            for number, text in ((1, "It is noon now."), (2, "You are welcome.")):
                await session.push(question())
                assert await session.tell(TurnEnd(number))
                await session.until(lambda number=number: session.ended(number) == "finished")  # type: ignore[misc]
                assert session.text(number).strip() == text
                sound = [one.samples for one in session.of(ReplyAudio) if one.reply == number]
                assert sum(one.size for one in sound) > 0.2 * RATE
                await session.tell(Played(number, sum(one.size for one in sound) / RATE, ended=True))
            final = [one.text for one in session.of(UserText) if one.final]
            assert final == ["what time is it", "thank you"]
            assert not session.of(BackendFailed)

    asyncio.run(talk())


def test_an_interrupted_reply_and_the_next_one() -> None:
    async def talk() -> None:
        engines = scripted(
            replies=("One two three four five six seven eight nine ten. " * 8, "Yes."), chars_per_second=12.0
        )
        async with server(engines) as port, talking(port) as session:
            await session.push(question())
            await session.tell(TurnEnd(1))
            await session.until(lambda: len(session.of(ReplyAudio)) > 3)
            assert await session.tell(Cancel(1))
            await session.tell(Played(1, 0.3, ended=True))
            await session.push(question(0))
            await session.tell(TurnEnd(2))
            await session.until(lambda: session.ended(2) == "finished")
            assert (session.ended(1), session.text(2).strip()) == ("cancelled", "Yes.")
            assert not session.of(BackendFailed)

    asyncio.run(talk())


def test_a_turn_that_goes_on_and_one_that_was_none() -> None:
    async def talk() -> None:
        async with server(scripted(("a", "b", "c", "d"))) as port, talking(port) as session:
            await session.push(question())
            await session.tell(Disregard())
            await session.push(question())
            await session.tell(TurnEnd(1))
            await session.tell(Cancel(1, revoke=True))
            await session.push(question())
            await session.tell(TurnEnd(2))
            await session.until(lambda: session.ended(2) == "finished")
            assert session.text(2)
            assert not [one for one in session.of(BackendFailed) if one.fatal]

    asyncio.run(talk())


def test_typed_words_and_instructions_are_taken() -> None:
    async def talk() -> None:
        settings = BackendSettings(instructions="Answer in one sentence.")
        async with server(scripted()) as port, talking(port, settings) as session:
            assert await session.tell(UserTyped("hello"))
            await session.tell(TurnEnd(1))
            await session.until(lambda: session.ended(1) == "finished")
            assert session.text(1).strip() == "It is noon now."

    asyncio.run(talk())


def test_a_whole_omni_model_behind_the_door() -> None:
    async def talk() -> None:
        async with server(omni(), omni={"model": "scripted"}) as port, talking(port) as session:
            await session.push(question())
            await session.push(silence(RATE // 5))
            await session.tell(TurnEnd(1))
            await session.until(lambda: session.ended(1) == "finished")
            assert session.text(1).strip() == "Hello there."

    asyncio.run(talk())


def test_the_wrong_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_TEST_KEY", "wrong-token_0123456789")

    async def talk() -> None:
        async with server(scripted()) as port:
            with pytest.raises(EngineFailed, match="401") as caught:
                async with talking(port):
                    pass
            assert "wrong-token" not in caught.value.explain()

    asyncio.run(talk())
