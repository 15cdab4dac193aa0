"""A half-duplex backend behind the session: which signals it gets, in which order, and what becomes of its events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from locara import voice
from locara.audio import RATE, silence
from locara.engines.backend import (
    BackendCapabilities,
    BackendSettings,
    Cancel,
    Disregard,
    Played,
    Signal,
    ToolResult,
    TurnEnd,
    UserTyped,
)
from locara.engines.contracts import ToolCall
from locara.errors import ConfigError, EngineBusy
from locara.testing import (
    Conversation,
    Fault,
    Line,
    Noise,
    Result,
    ScriptedBackend,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    Spoken,
    play,
    run,
)
from locara.testing.scripted_backend import CAN
from locara.voice import Deadlines, Session
from locara.voice.history import INTERRUPTED
from locara.voice.omni import HalfDuplexBrain

from .scenes import check_story

REPLIES = ("It is noon now and the sun is high up in the sky.", "It is Sunday.")
FIRST = Line(0.5, "what time is it now")
SECOND = Line(7.5, "and what day is it now")
REMEMBERS_NOTHING = replace(CAN, memory="locara")
SHORT = Deadlines(load=1.0, push=0.5, first_sound=0.9, sound=0.7, close=0.5)


def _talk(
    backend: ScriptedBackend,
    *lines: Line | Noise,
    stt: ScriptedRecogniser | None = None,
    acts: Any = None,
    more: float = 6.0,
    **settings: Any,
) -> Result:
    named = settings.pop("omni", {})
    settings["omni"] = {"model": backend, **named}
    result = play(Conversation(lines, more=more, settings={"deadlines": SHORT, **settings}), stt=stt, acts=acts)
    check_story(result, words=stt is not None)
    return result


def _side(*lines: Line, **more: Any) -> ScriptedRecogniser:
    return ScriptedRecogniser([Spoken(one.at, one.end, one.text) for one in lines], **more)


def _of(backend: ScriptedBackend, *kinds: type) -> list[Signal]:
    return [one for one in backend.told if isinstance(one, kinds)]


# --- turns ------------------------------------------------------------------------------------------------------------


def test_each_turn_is_asked_once_and_what_was_heard_of_its_reply_is_told() -> None:
    backend = ScriptedBackend(REPLIES)
    result = _talk(backend, FIRST, SECOND)
    assert [type(one) for one in backend.told] == [TurnEnd, Played, TurnEnd, Played]
    for played, text in zip(_of(backend, Played), REPLIES, strict=True):
        assert isinstance(played, Played)
        assert played.ended
        assert played.seconds == pytest.approx(len(text) / 15, abs=0.01)
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    assert backend.begun == [BackendSettings()]


def test_a_turn_that_goes_on_after_a_pause_is_answered_as_one() -> None:
    backend = ScriptedBackend(REPLIES, delay=0.05)
    lines = (Line(0.5, "what time", 1.0), Line(2.7, "is it now", 1.0))
    result = _talk(backend, *lines, patience="patient")
    cancelled = _of(backend, Cancel)
    assert cancelled == [Cancel(0, revoke=True)]
    assert len(result.turn_ends("user")) == 1
    assert result.metrics["wasted"] == 1
    assert "".join(one.text for one in result.of("llm-token")) == REPLIES[0]
    first, second = (one.size / RATE for one in backend.turns)
    assert first < 2.7 < second, "what was heard before the pause belongs to the whole turn"
    assert second < 4.7, "and nothing of it was heard twice"


def test_a_model_that_cannot_stop_is_asked_only_when_the_turn_is_decided() -> None:
    backend = ScriptedBackend(REPLIES, delay=0.05, capabilities=replace(CAN, cancels=False))
    lines = (Line(0.5, "what time", 1.0), Line(2.7, "is it now", 1.0))
    result = _talk(backend, *lines, patience="patient")
    assert [type(one) for one in backend.told] == [TurnEnd, Played]
    assert result.metrics["prepared"] == 1


def test_an_interrupted_reply_is_told_as_far_as_it_was_heard_before_anything_else() -> None:
    backend = ScriptedBackend(REPLIES)
    result = _talk(backend, FIRST, Line(3.6, "stop please now that will do", 2.0))
    barge = result.of("barge-in")[0]
    kinds = [type(one) for one in backend.told]
    assert kinds[:3] == [TurnEnd, Played, TurnEnd]
    played = backend.told[1]
    assert isinstance(played, Played)
    assert played == Played(0, played.seconds, ended=True)
    assert played.seconds == pytest.approx(barge.heard_ms / 1000, abs=0.05)


def test_a_reply_that_is_still_being_made_is_cancelled_when_it_is_interrupted() -> None:
    slow = ScriptedBackend([" ".join(["word"] * 400)], delay=0.1)  # 8 s to make
    _talk(slow, FIRST, Line(4.0, "stop please now that will do", 2.0), more=2.0)
    kinds = [type(one) for one in slow.told]
    assert kinds[:4] == [TurnEnd, Played, Cancel, TurnEnd]
    assert slow.told[2] == Cancel(0)


def test_how_far_it_played_is_told_meanwhile_to_whoever_wants_to_know() -> None:
    backend = ScriptedBackend(REPLIES, capabilities=replace(CAN, wants_played=True))
    _talk(backend, FIRST)
    told = [one for one in backend.told if isinstance(one, Played)]
    assert len(told) > 20
    assert [one.seconds for one in told] == sorted(one.seconds for one in told)
    assert [one.ended for one in told].count(True) == 1
    assert told[-1].ended


def test_noise_is_disregarded_and_the_next_turn_has_nothing_of_it() -> None:
    backend = ScriptedBackend(REPLIES)
    result = _talk(
        backend, Noise(0.5, 0.3), Line(4.0, "what time is it now"), stt=_side(Line(4.0, "what time is it now"))
    )
    assert len(result.of("rejected")) == 1
    assert [type(one) for one in backend.told] == [Disregard, TurnEnd, Played]
    assert backend.turns[0].size / RATE < 2.5


def test_what_is_typed_is_told_and_answered() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.5)
        session.send_text("what time is it")

    backend = ScriptedBackend(REPLIES)
    result = _talk(backend, acts=acts)
    assert [type(one) for one in backend.told] == [UserTyped, TurnEnd, Played]
    assert backend.told[0] == UserTyped("what time is it")
    assert [one.text for one in result.history if isinstance(one, voice.Said)] == ["what time is it", REPLIES[0]]


def test_a_model_that_takes_no_text_says_so() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.5)
        session.send_text("what time is it")

    backend = ScriptedBackend(REPLIES, capabilities=replace(CAN, takes_text=False))
    result = _talk(backend, acts=acts)
    assert [(one.stage, "typed" in one.message) for one in result.of("error")] == [("omni", True)]
    assert backend.told == []


async def _driven(backend: ScriptedBackend, drive: Any) -> None:
    """A brain without a session around it: what the turn machine would ask of it, at once."""

    async def post(_news: object) -> None:
        """Nobody wants to know."""

    brain = HalfDuplexBrain(backend)
    await brain.open()
    brain.start(post, 24_000, tuple)
    drive(brain)
    await asyncio.sleep(0.1)
    await brain.close()


def test_a_turn_may_begin_in_what_was_just_disregarded() -> None:
    def drive(brain: HalfDuplexBrain) -> None:
        brain.listen(0, 0, silence(3200))
        brain.forget(0)
        brain.listen(1, 1600, silence(3200))  # its pre-roll reaches into the noise before it
        brain.prepare(0, 1, (), "", verbatim=False)

    backend = ScriptedBackend(REPLIES)
    run(_driven(backend, drive))
    assert [one.size for one in backend.turns] == [3200]


def test_what_is_typed_is_told_once_however_often_its_reply_is_prepared() -> None:
    def drive(brain: HalfDuplexBrain) -> None:
        for reply in (0, 1):
            brain.prepare(reply, 0, (), "hello", verbatim=False)
            brain.discard(reply)

    backend = ScriptedBackend(REPLIES)
    run(_driven(backend, drive))
    assert [type(one) for one in backend.told] == [UserTyped, TurnEnd, Cancel, TurnEnd, Cancel]


# --- a model without a memory -----------------------------------------------------------------------------------------


def test_a_model_without_a_memory_is_given_the_conversation_as_it_was_heard() -> None:
    backend = ScriptedBackend(REPLIES, capabilities=REMEMBERS_NOTHING)
    lines = (FIRST, Line(3.6, "stop please now that will do", 2.0), Line(11.0, "and what day is it", 2.0))
    result = _talk(backend, *lines)
    heard = result.of("barge-in")[0].heard_text
    asked = [one for one in _of(backend, TurnEnd) if isinstance(one, TurnEnd)]
    assert len(asked[0].messages) == 1
    (sound,) = asked[0].messages[0].sounds
    assert abs(sound.samples.size - backend.turns[0].size) <= 1
    before = asked[1].messages
    assert [(one.role, one.content) for one in before] == [
        ("user", ""),
        ("assistant", heard + INTERRUPTED),
        ("user", ""),
    ]
    assert before[0].sounds == (sound,), "the same sound, not a copy: what was read of it need not be read again"
    last = asked[-1].messages
    assert [one.role for one in last] == ["user", "assistant", "user", "assistant", "user"]


def test_beside_a_recogniser_it_is_still_given_the_sound() -> None:
    backend = ScriptedBackend(REPLIES, capabilities=REMEMBERS_NOTHING)
    _talk(backend, FIRST, SECOND, stt=_side(FIRST, SECOND))
    asked = [one for one in backend.told if isinstance(one, TurnEnd)]
    assert [(one.role, one.content, len(one.sounds)) for one in asked[1].messages] == [
        ("user", "", 1),
        ("assistant", REPLIES[0], 0),
        ("user", "", 1),
    ]


# --- the user's words -------------------------------------------------------------------------------------------------


def test_a_recogniser_beside_it_gives_the_words() -> None:
    capabilities: dict[str, str] = {}

    async def acts(session: Session) -> None:
        capabilities.update(session.capabilities)

    backend = ScriptedBackend(REPLIES)
    result = _talk(backend, FIRST, SECOND, stt=_side(FIRST, SECOND), acts=acts)
    assert result.texts("final-transcript") == [FIRST.text, SECOND.text]
    assert result.of("partial-transcript")
    assert capabilities["partial-transcript"] == capabilities["final-transcript"] == "exact"
    assert [one.text for one in result.history if isinstance(one, voice.Said)] == [
        FIRST.text,
        REPLIES[0],
        SECOND.text,
        REPLIES[1],
    ]
    assert [type(one) for one in backend.told] == [TurnEnd, Played, TurnEnd, Played]


def test_a_fault_of_the_recogniser_beside_it_is_that_stages() -> None:
    backend = ScriptedBackend(REPLIES)
    result = _talk(backend, FIRST, SECOND, stt=_side(FIRST, SECOND, fault=Fault("raises", "settle")))
    assert [one.stage for one in result.of("error")] == ["stt"]
    assert result.turn_ends("assistant")[-1].reason == "finished"


def test_what_the_model_understood_is_told_where_it_tells_it_before_its_reply() -> None:
    capabilities: dict[str, str] = {}

    async def acts(session: Session) -> None:
        capabilities.update(session.capabilities)

    backend = ScriptedBackend(REPLIES, understands=[FIRST.text, SECOND.text])
    result = _talk(backend, FIRST, SECOND, acts=acts)
    assert result.texts("final-transcript") == [FIRST.text, SECOND.text]
    assert result.metrics["wasted"] == 0, "its words do not make it answer again"
    assert capabilities["final-transcript"] == "estimated"


# --- tools ------------------------------------------------------------------------------------------------------------


def test_a_tool_with_side_effects_runs_for_a_decided_turn_only_and_its_result_is_told() -> None:
    ran: list[str] = []

    def lamp(on: bool) -> str:
        """Switches the lamp."""
        ran.append(str(on))
        return "it is on"

    call = ToolCall("1", "lamp", {"on": True})
    backend = ScriptedBackend([[call, "It is on now."]], delay=0.05)
    lines = (Line(0.5, "switch on", 1.0), Line(2.7, "the lamp", 1.0))
    result = _talk(backend, *lines, patience="patient", tools=[lamp])
    assert ran == ["True"], "the reply to the first half asked for it, too"
    assert [type(one) for one in backend.told] == [TurnEnd, Cancel, TurnEnd, ToolResult, Played]
    assert backend.told[3] == ToolResult(1, call, "it is on")
    assert [one.name for one in backend.begun[0].tools] == ["lamp"]
    assert [one.type for one in result.of("tool-call", "tool-result")] == ["tool-call", "tool-result"]


def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    backend = ScriptedBackend([[ToolCall("1", "lump", {}), "I cannot."]])
    result = _talk(backend, FIRST)
    told = backend.told[1]
    assert isinstance(told, ToolResult)
    assert "there is no tool" in told.content
    assert result.turn_ends("assistant")[0].reason == "finished"


def test_a_model_that_asks_for_tools_without_end_is_stopped() -> None:
    calls = [ToolCall(str(number), "look", {}) for number in range(20)]
    backend = ScriptedBackend([calls])

    @voice.tool(side_effects=False)
    def look() -> str:
        """Looks."""
        return "nothing"

    result = _talk(backend, FIRST, tools=[look])
    assert "times in one reply" in result.of("error")[0].message
    assert result.turn_ends("assistant")[0].reason == "failed"


# --- settings ---------------------------------------------------------------------------------------------------------


def test_instructions_voice_and_tools_are_the_sessions() -> None:
    backend = ScriptedBackend(REPLIES)
    _talk(backend, FIRST, omni={"instructions": "Be brief.", "voice": "low"})
    assert backend.begun == [BackendSettings("Be brief.", "low")]
    backend = ScriptedBackend(REPLIES)
    _talk(backend, FIRST, omni={"system": "Be brief."})
    assert backend.begun == [BackendSettings("Be brief.")]


@pytest.mark.parametrize(
    ("can", "options", "says"),
    [
        (CAN, {"voice": "lov"}, "did you mean 'low'"),
        (replace(CAN, voices=()), {"voice": "low"}, "one voice"),
        (replace(CAN, instructions="none"), {"instructions": "Be brief."}, "no instructions"),
    ],
)
def test_settings_that_it_cannot_keep_are_refused(can: BackendCapabilities, options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _talk(ScriptedBackend(REPLIES, capabilities=can), FIRST, omni=options)
    assert says in caught.value.explain()


def test_a_backend_that_is_full_says_so_before_a_device_opens() -> None:
    async def main() -> None:
        backend = ScriptedBackend(REPLIES, capabilities=replace(CAN, max_sessions=1))
        taken = await backend.start_session(BackendSettings())
        session = voice.session(omni=backend, input="none", output="none")
        with pytest.raises(EngineBusy):
            await session.start()
        await backend.stop_session(taken)
        async with voice.session(omni=backend, input="none", output="none"):
            pass

    run(main())


# --- sessions that are lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["limit", "closed", "failed"])
def test_a_session_that_is_lost_between_turns_is_told_and_the_next_turn_begins_another(reason: Any) -> None:
    backend = ScriptedBackend(REPLIES)

    async def acts(session: Session) -> None:
        await asyncio.sleep(6.8)
        await backend.drop(reason)

    result = _talk(backend, FIRST, SECOND, acts=acts)
    assert len(backend.begun) == 2
    assert [one.stage for one in result.of("error")] == ([] if reason == "failed" else ["omni"])
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]


def test_who_speaks_while_a_session_is_lost_is_heard_whole_by_the_next() -> None:
    backend = ScriptedBackend(REPLIES)

    async def acts(session: Session) -> None:
        await asyncio.sleep(1.2)
        await backend.drop("closed")

    result = _talk(backend, FIRST, acts=acts)
    assert len(backend.begun) == 2
    assert len(result.of("error")) == 1
    assert backend.turns[0].size / RATE > FIRST.end - FIRST.at
    assert result.turn_ends("assistant")[-1].reason == "finished"


def test_a_reply_that_is_lost_fails_and_says_that_the_next_turn_begins_anew() -> None:
    backend = ScriptedBackend([" ".join(["word"] * 400)], delay=0.1)

    async def acts(session: Session) -> None:
        await asyncio.sleep(4.0)
        await backend.drop("closed")

    result = _talk(backend, FIRST, Line(40.0, "and now"), acts=acts, more=4.0)
    (error,) = result.of("error")
    assert "begins another" in error.message
    assert result.turn_ends("assistant")[0].reason == "failed"
    assert len(backend.begun) == 2


def test_where_no_other_session_can_be_had_each_turn_says_so_once() -> None:
    class Gone(ScriptedBackend):
        """Begins one session only."""

        async def start_session(self, settings: BackendSettings) -> str:
            if self.begun:
                raise EngineBusy("omni: nobody is there", stage="omni", hint="wait")
            return await super().start_session(settings)

    backend = Gone(REPLIES)

    async def acts(session: Session) -> None:
        await asyncio.sleep(6.8)
        await backend.drop("closed")

    result = _talk(backend, FIRST, SECOND, Line(16.0, "hello there again"), acts=acts)
    messages = [one.message for one in result.of("error")]
    assert "begins another" in messages[0]
    assert sum("nobody is there" in one for one in messages) == 2
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "failed", "failed"]


class Leaving(ScriptedBackend):
    """Begins one session only, and that is soon lost."""

    async def start_session(self, settings: BackendSettings) -> str:
        """The second time nobody is there."""
        if self.begun:
            raise EngineBusy("omni: nobody is there", stage="omni", hint="wait")
        return await super().start_session(settings)

    async def leaves(self, _session: Session) -> None:
        """While the session runs."""
        await asyncio.sleep(0.1)
        await self.drop("closed")


FOUR = tuple(Line(0.5 + 5.0 * number, "hello there again") for number in range(4))


def test_a_model_that_is_gone_for_good_ends_the_session() -> None:
    backend = Leaving(REPLIES)
    result = _talk(backend, *FOUR, acts=backend.leaves)
    assert [one.fatal for one in result.of("error")].count(True) == 1
    assert result.of("session-end")[0].reason == "engine-lost"


def test_a_pipeline_takes_over_from_a_model_that_is_gone_where_that_was_asked_for() -> None:
    backend = Leaving(REPLIES)
    instead = {"stt": _side(*FOUR), "llm": ScriptedModel(["Here I am instead."]), "tts": ScriptedVoice()}
    result = _talk(backend, *FOUR, acts=backend.leaves, omni={"fallback": instead})
    assert [one.reason for one in result.turn_ends("assistant")][-1] == "finished"
    text = "".join(one.text for one in result.of("llm-token"))
    assert text == 2 * "Here I am instead.", "who was speaking when it became certain is answered, too"
    assert result.of("session-end")[0].reason == "stopped"


def test_a_lag_is_told_once_and_counted() -> None:
    from locara.engines.backend import Lag

    class Slow(ScriptedBackend):
        """Skips a tenth of a second at each push."""

        async def push_audio(self, session: str, samples: Any) -> None:
            self._of(session).events.tell(Lag(0.1, 1600))
            await super().push_audio(session, samples)

    result = _talk(Slow(REPLIES), FIRST)
    assert [one.stage for one in result.of("error")] == ["omni"]
    assert "slower" in result.of("error")[0].message
    assert result.metrics["omni_skipped_seconds"] > 1.0


def test_sound_at_another_rate_is_given_at_the_models() -> None:
    backend = ScriptedBackend(REPLIES, capabilities=replace(CAN, input_rate=24_000, memory="locara"))
    _talk(backend, FIRST)
    asked = backend.told[0]
    assert isinstance(asked, TurnEnd)
    sound = asked.messages[0].sounds[0]
    assert 0 <= backend.turns[0].size - sound.samples.size * 1.5 <= 48, (
        "nothing is lost, and a millisecond more at its end"
    )
