"""Other engines while the conversation runs: between turns only, the old ones closed, nothing lost when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from locara.engines.contracts import EngineInfo
from locara.errors import ConfigError, EngineTimeout, LocaraError, SessionError, StageError
from locara.testing import (
    Conversation,
    Fault,
    Line,
    Result,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    play,
)
from locara.voice import Deadlines, Session, changing
from locara.voice.events import PlanChanged, to_json

from .leaks import tasks_left
from .scenes import LONG, check_story


class Model(ScriptedModel):
    """Knows its name, how long it takes to load, and whether it was closed."""

    def __init__(self, name: str, replies: Sequence[str], load: float = 0.0, **more: Any) -> None:
        super().__init__(lambda _: replies[min(len(self.asked) - 1, len(replies) - 1)], **more)
        self.info = EngineInfo("scripted", name, "Apache-2.0")
        self.closed = 0
        self.loaded = False
        self._load = load

    async def load(self) -> None:
        await super().load()
        await asyncio.sleep(self._load)
        self.loaded = True

    async def close(self) -> None:
        self.closed += 1


class Voice(ScriptedVoice):
    """Knows whether it was closed, and what it said by then."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


def order(result: Result) -> list[str]:
    """Turn-ends and changes, in their order."""
    told = []
    for one in result.events:
        if one.type == "turn-end":
            told.append(f"{getattr(one, 'who', '')} {getattr(one, 'reason', '')}")
        elif one.type in ("plan-changed", "llm-token", "speech-start"):
            told.append(one.type)
    return [one for number, one in enumerate(told) if number == 0 or told[number - 1] != one]


def test_the_next_reply_is_the_new_models_and_the_old_one_is_closed() -> None:
    old, new = Model("old", ["Old."]), Model("new", ["New."], load=0.3)
    plans: list[dict[str, dict[str, str]]] = []

    async def acts(session: Session) -> None:
        await asyncio.sleep(3.0)
        plans.append(await session.change(llm=new))
        assert (old.closed, new.closed) == (1, 0)
        assert session.plan == plans[0]

    result = play(Conversation([Line(0.5, "who are you"), Line(5.0, "and now")]), llm=old, acts=acts)
    check_story(result)
    assert "".join(result.texts("llm-token")) == "Old.New."
    (told,) = result.of("plan-changed")
    assert (told.stages, told.plan["llm"]["model"]) == (("llm",), "new")
    assert plans[0]["llm"]["model"] == "new"
    assert [one.content for one in new.asked[0]][-3:] == ["who are you", "Old.", "and now"]
    assert to_json(told)["stages"] == ("llm",)
    assert (old.closed, new.closed) == (1, 1)


@pytest.mark.parametrize(
    ("when", "after"),
    [(0.8, "while the user speaks"), (1.7, "while the turn is decided"), (3.0, "while the assistant speaks")],
)
def test_a_change_waits_for_the_end_of_turn_and_reply(when: float, after: str) -> None:
    old, new = Model("old", [LONG]), Model("new", ["New."])

    async def acts(session: Session) -> None:
        await asyncio.sleep(when)
        await session.change(llm=new, tts=voice)

    before, voice = Voice(), Voice()
    result = play(Conversation([Line(0.5, "tell me a lot"), Line(12.0, "and now")]), llm=old, tts=before, acts=acts)
    check_story(result)
    # The user's turn-end comes with the first audible sample; nothing changes until the reply has played out.
    assert order(result) == [
        "speech-start", "llm-token", "user complete", "llm-token", "assistant finished",
        "plan-changed",
        "speech-start", "llm-token", "user complete", "assistant finished",
    ] or order(result) == [
        "speech-start", "llm-token", "user complete", "assistant finished",
        "plan-changed",
        "speech-start", "llm-token", "user complete", "assistant finished",
    ], after  # fmt: skip
    assert "".join(result.texts("llm-token")) == LONG + "New."
    assert voice.spoken == ["New."]
    assert (before.closed, voice.closed) == (1, 1)


def test_a_change_under_a_barge_in_takes_over_after_the_interrupting_turn() -> None:
    old, new = Model("old", [LONG, "Fine."]), Model("new", ["New."])

    async def acts(session: Session) -> None:
        await asyncio.sleep(3.2)  # the assistant speaks, and is about to be interrupted
        await session.change(llm=new)

    lines = [Line(0.5, "tell me a lot"), Line(3.5, "no wait stop it please"), Line(9.0, "and now")]
    result = play(Conversation(lines), llm=old, acts=acts)
    check_story(result)
    assert len(result.of("barge-in")) == 1
    (told,) = result.of("plan-changed")
    second = next(one for one in result.turn_ends("assistant") if one.reason == "finished")
    assert told.t >= second.t
    assert "".join(result.texts("llm-token")).endswith("Fine.New.")


def test_a_new_recogniser_hears_the_next_turn_whole() -> None:
    script = [Spoken(0.5, 1.5, "first words"), Spoken(4.0, 5.0, "second words")]
    other = [Spoken(0.5, 1.5, "never asked"), Spoken(4.0, 5.0, "other words here")]
    first, second = ScriptedRecogniser(script), ScriptedRecogniser(other)
    second.began = lambda: first.began()  # noqa: PLW0108  `play` sets it later

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.2)
        await session.change(stt=second)

    result = play(Conversation([Line(0.5, "first words", 1.0), Line(4.0, "second words", 1.0)]), stt=first, acts=acts)
    assert result.texts("final-transcript") == ["never asked", "other words here"]
    result = play(
        Conversation([Line(0.5, "first words", 1.0), Line(4.0, "second words", 1.0)]),
        stt=first,
        acts=lambda session: _later(session, 1.0, second),
    )
    assert result.texts("final-transcript") == ["first words", "other words here"]


async def _later(session: Session, when: float, stt: ScriptedRecogniser) -> None:
    await asyncio.sleep(when)
    await session.change(stt=stt)


def test_two_changes_come_one_after_the_other() -> None:
    old, second, third = Model("old", ["Old."]), Model("second", ["Second."], load=1.0), Model("third", ["Third."])

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.1)
        await asyncio.gather(session.change(llm=second), session.change(llm=third))
        assert (old.closed, second.closed, third.closed) == (1, 1, 0)

    result = play(Conversation([Line(4.0, "who are you")]), llm=old, acts=acts)
    assert [one.plan["llm"]["model"] for one in result.of("plan-changed")] == ["second", "third"]
    assert result.texts("llm-token") == ["Third."]


@pytest.mark.parametrize("kind", ["raises", "hangs"])
def test_what_cannot_be_loaded_leaves_everything_as_it_was(kind: Any) -> None:
    old, new = Model("old", ["Old."]), Model("new", ["New."], fault=Fault(kind, "load"))
    voice = Voice()

    async def acts(session: Session) -> None:
        before = session.plan
        with pytest.raises(StageError, match="new"):
            await session.change(llm=new, tts=voice)
        assert session.plan == before

    conversation = Conversation([Line(4.0, "who are you")], settings={"deadlines": Deadlines(load=1.0)})
    result = play(conversation, llm=old, acts=acts)
    check_story(result)
    assert result.texts("llm-token") == ["Old."]
    assert not result.of("plan-changed", "error")
    assert (new.closed, voice.closed) == (1, 1)


def test_wrong_names_are_said_before_anything_is_done() -> None:
    old = Model("old", ["Old."])

    async def acts(session: Session) -> None:
        with pytest.raises(LocaraError, match="no-such-voice"):
            await session.change(tts="no-such-voice")
        with pytest.raises(ConfigError, match="nothing to change"):
            await session.change()
        with pytest.raises(ConfigError, match="whole session"):
            await session.change(llm={"model": "built-in", "history": 4000})
        assert old.closed == 0

    assert play(Conversation([Line(0.5, "who are you")]), llm=old, acts=acts).texts("llm-token") == ["Old."]


def test_a_model_by_name_brings_its_own_tools_and_the_apps_stay() -> None:
    def weather(city: str) -> str:
        """The weather.

        city: where
        """
        return f"{city}: rain"

    async def acts(session: Session) -> None:
        await session.change(llm={"model": "built-in", "system": "ignored by it"})
        names = [tool.name for tool in session._parts.brain._engines.tools]  # type: ignore[attr-defined]
        assert names[-1] == "weather"
        assert len(names) > 1
        assert session.plan["llm"]["why"] == "asked for by name"
        await session.change(llm=Model("plain", ["Plain."]))
        assert [tool.name for tool in session._parts.brain._engines.tools] == ["weather"]  # type: ignore[attr-defined]

    conversation = Conversation([Line(3.0, "who are you")], settings={"tools": [weather]})
    assert play(conversation, llm=Model("old", ["Old."]), acts=acts).texts("llm-token") == ["Plain."]


@pytest.mark.parametrize("when", ["loading", "waiting", "cancelled"])
def test_a_stop_while_it_changes_leaves_nothing(when: str) -> None:
    old, new = Model("old", [LONG]), Model("new", ["New."], load=5.0 if when != "waiting" else 0.1)
    known: list[frozenset[asyncio.Task[Any]]] = []

    async def acts(session: Session) -> None:
        known.append(frozenset(asyncio.all_tasks()))
        await asyncio.sleep(2.0)  # the reply begins
        change = asyncio.create_task(session.change(llm=new))
        await asyncio.sleep(1.0)
        assert not change.done()
        if when == "cancelled":
            change.cancel()
            with pytest.raises(asyncio.CancelledError):
                await change
        else:
            await session.stop()
            with pytest.raises(SessionError, match="ended before the change"):
                await change
        assert (new.closed, old.closed) == (1, 0 if when == "cancelled" else 1)
        assert not [task for task in tasks_left(known[0]) if "change" in task]

    result = play(Conversation([Line(0.5, "tell me a lot")], more=8.0), llm=old, acts=acts)
    assert not result.of("plan-changed")
    assert (old.closed, new.closed) == (1, 1)


def test_a_conversation_without_a_gap_keeps_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changing, "PATIENCE_SECONDS", 2.0)
    old, new = Model("old", [LONG]), Model("new", ["New."])

    async def acts(session: Session) -> None:
        await asyncio.sleep(1.0)
        with pytest.raises(EngineTimeout, match="no moment between turns for 2 s"):
            await session.change(llm=new)

    result = play(Conversation([Line(0.5, "tell me a lot")]), llm=old, acts=acts)
    check_story(result)
    assert (old.closed, new.closed) == (1, 1)
    assert "".join(result.texts("llm-token")) == LONG


def test_outside_a_running_session_there_is_nothing_to_change() -> None:
    from locara.voice import session

    async def main() -> None:
        with pytest.raises(SessionError, match="is new"):
            await session(input="none", output="none").change(llm="built-in")

    asyncio.run(main())


def test_the_event_is_a_plain_value() -> None:
    assert PlanChanged(stages=("tts",), plan={}) == PlanChanged(stages=("tts",), plan={})
