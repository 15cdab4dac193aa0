"""What an app asks of a session: typed text, things to say, interrupting, muting, its own sound."""

from __future__ import annotations

import numpy as np
import pytest

from locara.audio import RATE
from locara.engines.contracts import Message
from locara.errors import SessionError
from locara.testing import Conversation, Line, Noise, Result, ScriptedModel, play
from locara.voice import Session
from locara.voice.history import Said

from .scenes import (
    BLOCK_SECONDS,
    LONG,
    NotingRecogniser,
    Voices,
    at_times,
    check_story,
    during,
    first_audible,
    names,
    spoken,
)


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
    first = result.turn_ends("user")[0]
    assert (first.turn, first.reason) == (0, "replaced")
    assert "never mind" in result.texts("final-transcript")


def test_a_text_typed_right_after_another_does_not_lose_the_first() -> None:
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
    result = play(
        talk, llm=ScriptedModel(["It is noon."], first_token=2.0), acts=at_times((3.0, lambda s: s.interrupt()))
    )
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
