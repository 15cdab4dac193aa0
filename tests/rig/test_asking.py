"""What an app asks of a session: typed text, things to say, interrupting, muting, its own sound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from locara.audio import RATE
from locara.engines.contracts import Message
from locara.errors import SessionError
from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, play
from locara.voice import Session
from locara.voice.history import Said

from .scenes import BLOCK_SECONDS, LONG, NotingRecogniser, Voices, check_story, during, first_audible, names, spoken

Act = Callable[[Session], object]


def at_times(*asks: tuple[float, Act]) -> Callable[[Session], Awaitable[None]]:
    """Each act at its second of the session."""

    async def acts(session: Session) -> None:
        now = 0.0
        for when, act in asks:
            await asyncio.sleep(when - now)
            now = when
            act(session)

    return acts


def _said(result: Result) -> list[tuple[str, str]]:
    return [(one.role, one.text) for one in result.history if isinstance(one, Said)]


# --- typed text -------------------------------------------------------------------------------------------------------


def test_typed_text_is_a_turn() -> None:
    model = ScriptedModel(["It is noon."])
    result = play(
        Conversation([], more=4.0), llm=model, acts=at_times((1.0, lambda s: s.send_text("  what time is it  ")))
    )
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it"]
    assert [one.reason for one in result.turn_ends("user")] == ["typed"]
    assert not result.of("speech-start", "partial-transcript")
    assert _said(result) == [("user", "what time is it"), ("assistant", "It is noon.")]
    assert model.asked[0][-1] == Message("user", "what time is it")


def test_typed_text_takes_the_floor_from_a_speaking_assistant() -> None:
    talk = Conversation([Line(0.5, "tell me all about it")], replies=[LONG, "Fine."])
    result = play(talk, tts=Voices(), acts=at_times((4.0, lambda s: s.send_text("never mind"))))
    check_story(result)
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted", "finished"]
    assert result.of("barge-in")[0].t <= 4.02
    assert not during(result, 4.0 + 0.06, 4.2).any()
    assert _said(result)[2:] == [("user", "never mind"), ("assistant", "Fine.")]


def test_typed_text_while_the_user_speaks_replaces_the_spoken_turn() -> None:
    talk = Conversation([Line(0.5, "tell me all about it", 3.0)], replies=["Fine."], more=4.0)
    result = play(talk, acts=at_times((2.0, lambda s: s.send_text("never mind"))))
    check_story(result)
    assert [(one.turn, one.reason) for one in result.turn_ends("user")][0] == (0, "replaced")
    assert "never mind" in result.texts("final-transcript")


def test_a_text_typed_right_after_another_does_not_lose_the_first() -> None:
    # BUG: the first one is dropped: neither the history nor the model ever knows it.
    model = ScriptedModel(["Fine."])
    talk = Conversation([], more=4.0)
    both = at_times((1.0, lambda s: s.send_text("my name is ada")), (1.0, lambda s: s.send_text("what is my name")))
    result = play(talk, llm=model, acts=both)
    check_story(result)
    assert [text for role, text in _said(result) if role == "user"] == ["my name is ada", "what is my name"]
    assert Message("user", "my name is ada") in model.asked[-1]


def test_blank_text_is_no_turn() -> None:
    result = play(Conversation([], more=2.0), acts=at_times((0.5, lambda s: s.send_text("  \n"))))
    assert names(result.events) == ["session-start", "session-end"]


# --- things to say ----------------------------------------------------------------------------------------------------


def test_what_the_app_says_is_said_word_for_word_in_order_and_awaited() -> None:
    done: list[tuple[str, float]] = []

    async def acts(session: Session) -> None:
        clock = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        texts = ("The first thing.", "The second thing.", "The third thing.")
        for text, handle in [(text, session.say(text)) for text in texts]:
            await handle
            done.append((text, clock.time()))

    result = play(Conversation([], more=8.0), acts=acts)
    check_story(result)
    assert result.texts("llm-token") == ["The first thing.", "The second thing.", "The third thing."]
    assert [text for role, text in _said(result)] == ["The first thing.", "The second thing.", "The third thing."]
    assert {role for role, text in _said(result)} == {"assistant"}
    ends = [one.t for one in result.turn_ends("assistant")]
    assert [text for text, _ in done] == ["The first thing.", "The second thing.", "The third thing."]
    assert all(0 <= when - end <= 0.04 for (_, when), end in zip(done, ends, strict=True))
    assert not result.turn_ends("user")
    assert result.metrics["turns"] == 0


def test_what_the_app_says_waits_for_the_user() -> None:
    talk = Conversation([Line(0.5, "what time is it now")], replies=["It is noon."])
    result = play(talk, acts=at_times((1.0, lambda s: s.say("By the way, it rains."))))
    check_story(result)
    assert [one.turn for one in result.turn_ends("assistant")] == [0, 1]
    assert _said(result)[1:] == [("assistant", "It is noon."), ("assistant", "By the way, it rains.")]


def test_what_the_app_says_can_be_interrupted_and_the_handle_ends() -> None:
    ended: list[float] = []

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        await session.say(LONG)
        ended.append(asyncio.get_running_loop().time())

    talk = Conversation([Line(3.0, "stop please")], replies=["Fine."], more=4.0)
    model = ScriptedModel(["Fine."])
    result = play(talk, acts=acts, llm=model, tts=Voices())
    check_story(result)
    barge = result.of("barge-in")[0]
    assert abs(ended[0] - barge.t) <= 0.04
    assert LONG.startswith(barge.heard_text)
    assert 0 < len(barge.heard_text) < len(LONG)
    assert _said(result)[0] == ("assistant", barge.heard_text)
    assert model.asked[-1][-2].content.startswith(barge.heard_text)


def test_interrupt_ends_all_handles_also_of_what_was_never_begun() -> None:
    ended: list[str] = []

    async def one(session: Session, text: str) -> None:
        await session.say(text)
        ended.append(text)

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        waiting = [asyncio.create_task(one(session, text)) for text in (LONG, "Never.")]
        await asyncio.sleep(2.0)
        session.interrupt()
        await asyncio.sleep(1.0)
        session.say("Afterwards.")
        await asyncio.sleep(3.0)
        for task in waiting:
            task.cancel()

    result = play(Conversation([], more=8.0), acts=acts)
    check_story(result)
    assert result.texts("llm-token")[-1] == "Afterwards."
    assert "Never." not in "".join(result.texts("llm-token"))
    assert ended == [LONG, "Never."]


def test_each_handle_belongs_to_its_own_text_also_after_an_interrupt() -> None:
    # BUG: handles are matched to replies by order alone, and what an interrupt drops keeps its place in that order.
    when: dict[str, float] = {}

    async def one(session: Session, text: str) -> None:
        await session.say(text)
        when[text] = asyncio.get_running_loop().time()

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.3)
        tasks = [asyncio.create_task(one(session, "The first of them.")), asyncio.create_task(one(session, "Never."))]
        await asyncio.sleep(0.5)
        session.interrupt()
        await asyncio.sleep(0.5)
        tasks.append(asyncio.create_task(one(session, "The very last of them.")))
        await asyncio.sleep(4.0)
        for task in tasks:
            task.cancel()

    result = play(Conversation([], more=7.0), acts=acts)
    last = result.turn_ends("assistant")[-1].t
    assert when.get("The very last of them.") == pytest.approx(last, abs=0.04)


def test_too_many_things_to_say_are_refused_with_an_error_and_no_handle_hangs() -> None:
    # BUG: the handle of a refused text never ends.
    ended: list[int] = []

    async def one(session: Session, number: int) -> None:
        await session.say(f"Number {number}.")
        ended.append(number)

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.1)
        tasks = [asyncio.create_task(one(session, number)) for number in range(20)]
        await asyncio.sleep(25.0)
        for task in tasks:
            task.cancel()

    result = play(Conversation([], more=27.0), acts=acts)
    check_story(result)
    errors = result.of("error")
    assert errors
    assert {one.code for one in errors} == {"too-many-sayings"}
    assert all(one.hint for one in errors)
    assert len(result.turn_ends("assistant")) + len(errors) == 20
    assert sorted(ended) == list(range(20))


class Announcing(ScriptedModel):
    """A model that has something to say by itself after half a second."""

    async def announcements(self) -> AsyncIterator[str]:
        """One text."""
        await asyncio.sleep(0.5)
        yield "Your timer rings, it has been ringing for a while."


def test_the_handle_of_a_text_does_not_end_with_an_announcement() -> None:
    # BUG: an announcement takes the first waiting handle, whosever it is.
    when: list[float] = []

    async def acts(session: Session) -> None:
        await asyncio.sleep(0.6)
        await session.say("By the way, it rains.")
        when.append(asyncio.get_running_loop().time())

    talk = Conversation([Line(0.3, "well then")], replies=["Well."], more=10.0)
    result = play(talk, acts=acts, llm=Announcing(["Well."]))
    check_story(result)
    tokens = [one for one in result.of("llm-token") if one.text == "By the way, it rains."]
    end = next(one for one in result.turn_ends("assistant") if one.turn == tokens[0].turn)
    assert when[0] == pytest.approx(end.t, abs=0.04)


# --- interrupting -----------------------------------------------------------------------------------------------------


def test_interrupt_stops_a_speaking_assistant() -> None:
    talk = Conversation([Line(0.5, "tell me all about it")], replies=[LONG])
    result = play(talk, tts=Voices(), acts=at_times((4.0, lambda s: s.interrupt())))
    check_story(result)
    assert [one.reason for one in result.turn_ends("assistant")] == ["cancelled"]
    assert result.turn_ends("assistant")[0].t <= 4.02
    assert not during(result, 4.08, 5.0).any()
    entry = result.history[-1]
    assert isinstance(entry, Said)
    assert entry.interrupted
    assert entry.unheard


def test_interrupt_stops_what_is_being_prepared() -> None:
    talk = Conversation([Line(0.5, "what time is it now")], replies=["It is noon."], more=4.0)
    result = play(talk, llm=ScriptedModel(["It is noon."], first_token=2.0), acts=at_times((3.0, lambda s: s.interrupt())))
    check_story(result)
    assert [one.reason for one in result.turn_ends("user")] == ["cancelled"]
    assert not result.of("audio-chunk", "llm-token")
    assert _said(result) == [("user", "what time is it now")]
    assert not result.output.any()


def test_interrupt_with_nothing_to_stop_does_nothing() -> None:
    talk = Conversation([Line(1.5, "what time is it now")], replies=["It is noon."])
    quiet = play(talk)
    result = play(talk, acts=at_times((0.5, lambda s: s.interrupt()), (2.0, lambda s: s.interrupt())))
    assert result.events == quiet.events


# --- muting -----------------------------------------------------------------------------------------------------------


def test_muted_is_zeros_for_everyone_and_ends_the_open_turn() -> None:
    # BUG: voice activity still stands at "voice" with its whole run, so another turn is opened over what was said before
    # the muting, and answered.
    talk = Conversation([Line(1.0, "tell me all about it", 2.0), Line(5.0, "what time is it now")], replies=["Noon."])
    ears = NotingRecogniser(spoken(talk))
    result = play(talk, stt=ears, acts=at_times((2.0, lambda s: s.mute()), (4.0, lambda s: s.unmute())))
    check_story(result)
    muted = result.input[round(2.02 * RATE) : round(4.0 * RATE)]
    assert not muted.any()
    assert result.input[: round(1.99 * RATE)].any()
    first = result.turn_ends("user")[0]
    assert (first.turn, first.reason) == (0, "muted")
    assert abs(first.t - 2.0) <= 1.01 * BLOCK_SECONDS
    assert [one.reason for one in result.of("rejected")] == ["muted"]
    assert result.texts("final-transcript") == ["what time is it now"]
    assert ears.sound(0).size <= round(1.4 * RATE), "nothing more of the muted turn reaches the recogniser"


def test_a_muted_microphone_cannot_interrupt() -> None:
    talk = Conversation([Line(0.5, "tell me all about it"), Line(4.0, "stop stop stop")], replies=[LONG])
    result = play(talk, acts=at_times((3.0, lambda s: s.mute())))
    check_story(result)
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert not result.of("barge-in", "resume")


@pytest.mark.parametrize("voiced", [0.5, 0.85])
def test_a_reply_goes_on_when_the_microphone_is_muted_while_it_is_lowered(voiced: float) -> None:
    # BUG: the voice that was on when the microphone was muted opens another turn at once, which holds the reply again.
    talk = Conversation([Line(0.5, "tell me all about it"), Noise(4.0, 1.5)], replies=[LONG])
    result = play(talk, acts=at_times((4.0 + voiced, lambda s: s.mute())))
    check_story(result)
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert len(result.of("resume")) == 1
    assert result.of("resume")[0].t <= 4.04 + voiced
    assert [one.reason for one in result.turn_ends("user")] == ["complete", "muted"]


# --- the app's own sound ----------------------------------------------------------------------------------------------


def test_raw_input_and_output_are_as_long_as_the_session() -> None:
    talk = Conversation([Line(0.5, "what time is it now")], replies=["It is noon."])
    result = play(talk)
    end = result.of("session-end")[0].t
    assert abs(result.input.size / RATE - end) < 0.041
    assert abs(result.output.size / result.output_rate - end) < 0.041
    assert first_audible(result) > 2.0


def test_push_audio_to_a_session_with_another_microphone_is_refused() -> None:
    caught: list[SessionError] = []

    async def acts(session: Session) -> None:
        try:
            session.push_audio(np.zeros(320, dtype=np.float32))
        except SessionError as error:
            caught.append(error)

    play(Conversation([], more=0.5), acts=acts)
    assert 'input="push"' in caught[0].hint
