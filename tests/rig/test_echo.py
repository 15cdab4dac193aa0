"""Our own voice at the microphone: it is neither answered nor does it stop us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from locara import voice
from locara.audio import RATE, Samples, resample, silence
from locara.engines.contracts import Speech
from locara.testing import (
    Conversation,
    EnergyDetector,
    Line,
    Result,
    Room,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedVoice,
    play,
    run,
)  # fmt: skip
from locara.testing.babble import answer, babble
from locara.voice import Session
from locara.voice.events import EchoHandling, Event

from .scenes import LONG, check_story

HALF = {"echo": "half-duplex"}


@pytest.mark.parametrize("echo_db", [-40.0, -20.0, -6.0, 0.0])
@pytest.mark.parametrize("room", [(1.0,), (1.0, *([0.0] * 200), 0.6, *([0.0] * 400), 0.4)], ids=["near", "reverberant"])
def test_half_duplex_never_answers_itself(echo_db: float, room: tuple[float, ...]) -> None:
    lines = [Line(0.5, "tell me all about it"), Line(13.0, "what time is it now")]
    model = ScriptedModel([LONG, "It is noon."])
    talk = Conversation(lines, echo_db=echo_db, settings=HALF)
    result = play(talk, llm=model, response=np.asarray(room, dtype=np.float32))
    check_story(result)
    assert result.texts("final-transcript") == ["tell me all about it", "what time is it now"]
    assert [one.turn for one in result.of("speech-start")] == [0, 1]
    assert not result.of("barge-in", "resume", "rejected")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    assert len(model.asked) == 2


def test_headphones_have_no_echo_and_can_be_interrupted() -> None:
    talk = Conversation([Line(0.5, "tell me all about it"), Line(4.0, "stop please")], replies=[LONG, "Fine."])
    full = play(talk)
    assert full.of("barge-in")
    half = play(Conversation(talk.lines, replies=talk.replies, settings=HALF))
    check_story(half)
    assert not half.of("barge-in", "resume"), "half duplex does not listen while it speaks"
    assert half.turn_ends("assistant")[0].reason == "finished"


def test_what_the_app_says_does_not_answer_itself_either() -> None:
    async def acts(session: Session) -> None:
        await asyncio.sleep(0.5)
        await session.say("Good morning to you, it is a fine day.")

    result = play(Conversation([], echo_db=-6.0, settings=HALF, more=8.0), acts=acts)
    check_story(result)
    assert not result.of("speech-start")
    assert [getattr(one, "text", "") for one in result.history] == ["Good morning to you, it is a fine day."]


def test_half_duplex_hears_the_user_right_after_its_last_word() -> None:
    """A quarter of a second after the reply, and whole: nothing is deaf at the start of the next turn."""
    alone = play(Conversation([Line(0.5, "what time is it now")], replies=["It is noon."], settings=HALF))
    end = alone.turn_ends("assistant")[0].t
    lines = [Line(0.5, "what time is it now"), Line(end + 0.3, "and what day is it")]
    result = play(Conversation(lines, replies=["It is noon.", "Sunday."], echo_db=-10.0, settings=HALF))
    check_story(result)
    assert result.texts("final-transcript") == ["what time is it now", "and what day is it"]


def test_the_microphone_is_heard_from_the_first_block() -> None:
    result = play(
        Conversation([Line(0.0, "what time is it now")], replies=["It is noon."], echo_db=-20.0, settings=HALF)
    )
    assert result.texts("final-transcript") == ["what time is it now"]
    assert result.of("speech-start")[0].t <= 0.12


def test_without_any_echo_handling_the_rig_does_hear_the_echo() -> None:
    """The test of the tests above: with headphones set and a loudspeaker in fact, the reply disturbs itself."""
    talk = Conversation(
        [Line(0.5, "tell me all about it")], replies=[LONG], echo_db=-6.0, settings={"echo": "headphones"}, more=20.0
    )
    result = play(talk)
    assert result.of("barge-in", "resume", "rejected")


CANCEL = {"echo": "cancel"}


class Talking(ScriptedVoice):
    """Speaks noise with the rhythm of speech: the tones of the scripted voice teach a canceller a few frequencies only."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """As long as the scripted voice would take."""
        self.spoken.append(text)
        sound = resample(babble(max(0.3, len(text) / 15.0), len(text)), RATE, self.rate)
        for at in range(0, sound.size, 2400):
            await asyncio.sleep(0.01)
            yield Speech(sound[at : at + 2400])


ROOMS = {"near": answer(1, delay=0.0, loss_db=0.0), "far": answer(2, delay=0.15, loss_db=0.0, decay=0.3)}


@pytest.mark.parametrize("echo_db", [-20.0, 0.0])
@pytest.mark.parametrize("response", list(ROOMS.values()), ids=list(ROOMS))
def test_a_session_that_cancels_its_echo_neither_stops_for_itself_nor_answers_itself(
    echo_db: float, response: Samples
) -> None:
    talk = Conversation(
        [Line(0.5, "tell me all about it")], echo_db=echo_db, noise_dbfs=-65.0, settings=CANCEL, more=12.0
    )
    model = ScriptedModel([LONG])
    result = play(talk, llm=model, tts=Talking(), response=response)
    check_story(result)
    assert not result.of("barge-in", "rejected", "echo-handling")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]
    assert len(model.asked) == 1
    assert result.metrics["echo_return_loss"] == pytest.approx(-echo_db, abs=4.0)
    assert result.metrics["echo_return_loss_enhancement"] > 15.0
    assert result.metrics["echo_resynchronised"] == 0


@pytest.mark.parametrize("after", [0.6, 1.5, 4.0])
def test_a_session_that_cancels_its_echo_can_be_interrupted_from_its_first_second(after: float) -> None:
    first = play(Conversation([Line(0.5, "tell me all about it")], replies=[LONG]), tts=Talking())
    begins = first.of("audio-chunk")[0].t
    lines = [Line(0.5, "tell me all about it"), Line(begins + after, "stop please I know it")]
    talk = Conversation(lines, replies=[LONG, "Fine."], echo_db=-12.0, noise_dbfs=-65.0, settings=CANCEL, more=4.0)
    result = play(talk, tts=Talking(), response=ROOMS["near"], user=_voices(lines))
    check_story(result)
    (barge,) = result.of("barge-in")
    assert 0.0 < barge.t - (begins + after) < 1.2
    assert result.texts("final-transcript") == ["tell me all about it", "stop please I know it"]


def _interrupted_by(sound: Samples, words: str, *, echo_db: float = -12.0) -> Result:
    """A reply on open speakers, and ``sound`` after 2 s of it, in which the recogniser finds ``words``."""
    first = play(Conversation([Line(0.5, "tell me all about it")], replies=[LONG]), tts=Talking())
    begins = first.of("audio-chunk")[0].t + 2.0
    lines = [Line(0.5, "tell me all about it"), Line(begins, words, seconds=sound.size / RATE)]
    user = silence(round(begins * RATE) + sound.size)
    user[: round((lines[0].end + 0.1) * RATE)] = _voices(lines[:1])
    user[-sound.size :] += sound
    talk = Conversation(lines, replies=[LONG, "Fine."], echo_db=echo_db, noise_dbfs=-65.0, settings=CANCEL, more=10.0)
    result = play(talk, tts=Talking(), response=ROOMS["near"], user=user)
    check_story(result)
    return result


def _rattle(seconds: float) -> Samples:
    return (0.1 * np.random.default_rng(8).standard_normal(round(seconds * RATE))).astype(np.float32)


def _vowels(seconds: float, partials: int = 11) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    heights = range(1, partials + 1)
    return np.asarray(0.1 * sum(np.cos(2 * np.pi * k * 130.0 * at + k) / k for k in heights), dtype=np.float32)


def test_a_noise_while_it_speaks_on_open_speakers_stops_nothing_though_words_are_found_in_it() -> None:
    """Voice activity takes any loud sound for a voice here, and the recogniser hears words in it: it has no pitch."""
    result = _interrupted_by(_rattle(0.6), "in london")
    assert not result.of("barge-in")
    assert result.of("resume")
    assert [one.reason for one in result.of("rejected")] == ["no-speech"]
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished"]


def test_a_voice_while_it_speaks_on_open_speakers_takes_the_floor_by_the_same_words() -> None:
    result = _interrupted_by(_vowels(0.6), "in london")
    assert result.of("barge-in")
    assert result.texts("final-transcript")[-1] == "in london"


def test_a_short_vowel_that_never_stands_out_of_a_loud_echo_takes_the_floor() -> None:
    """Three partials are too few bands for the echo not to explain them; the pitch is left all the same."""
    result = _interrupted_by(_vowels(0.4, partials=3), "in london", echo_db=0.0)
    assert result.of("barge-in")
    assert result.texts("final-transcript")[-1] == "in london"


def test_a_sound_that_goes_on_takes_the_floor_without_a_pitch() -> None:
    assert _interrupted_by(_rattle(1.5), "i only whisper to you").of("barge-in")


class Distorting(Room):
    """A speaker that turns every sample's sign at random: as loud as what was played, and not to be predicted from it."""

    def sound(self, samples: Samples) -> None:
        """What comes back."""
        signs = np.random.default_rng(samples.size).choice(np.array([-1.0, 1.0], np.float32), samples.size)
        super().sound(samples * signs * np.sign(samples))


def _voices(lines: list[Line]) -> Samples:
    sound = silence(round((lines[-1].end + 0.1) * RATE))
    for number, line in enumerate(lines):
        for part in range(4):  # several at once leave no pause that would end the turn
            voice_of = babble(line.end - line.at, 50 + 4 * number + part, level=0.06)
            sound[round(line.at * RATE) :][: voice_of.size] += voice_of
    return sound


def test_an_echo_that_cannot_be_cancelled_is_told_and_the_session_takes_turns() -> None:
    """It is noticed after some seconds of our own voice; from then on nobody is listened to meanwhile."""

    async def main() -> tuple[list[Event], dict[str, float]]:
        space = Distorting(silence(0), echo_db=-3.0)
        session = voice.session(
            stt=ScriptedRecogniser([]), llm=ScriptedModel(), tts=Talking(), vad=EnergyDetector(), input=space.microphone,
            output=space.speaker, echo="cancel",
        )  # fmt: skip
        events: list[Event] = []

        async def collect() -> None:
            async for event in session.events():
                events.append(event)

        collecting = asyncio.create_task(collect())
        async with session:
            for _ in range(4):
                await session.say(LONG)
        await collecting
        return events, session.metrics()

    events, _ = run(main())
    told = next(one for one in events if isinstance(one, EchoHandling))
    assert (told.mode, told.reason) == ("half-duplex", "echo-not-cancelled")
    assert told.hint
    assert told.t < 15.0
    later = [one.type for one in events if one.t > told.t + 1.5]
    assert not {"speech-start", "barge-in", "resume"} & set(later)
    assert later.count("turn-end") >= 1, "and it goes on speaking"


def test_with_echo_cancelled_the_user_is_recognised_as_without() -> None:
    plain = play(Conversation([Line(0.5, "what time is it now")], replies=["It is noon."]))
    cancelling = play(Conversation([Line(0.5, "what time is it now")], replies=["It is noon."], settings=CANCEL))
    assert cancelling.texts("final-transcript") == plain.texts("final-transcript")
    assert [one.t for one in cancelling.of("speech-start")] == [one.t for one in plain.of("speech-start")]
    assert cancelling.turn_ends("user")[0].latency == plain.turn_ends("user")[0].latency, "nothing is late"


def test_noise_suppression_and_gain_control_change_what_is_recognised_and_nothing_that_is_decided() -> None:
    talk = [Line(0.5, "what time is it now")]
    plain = play(Conversation(talk, replies=["It is noon."], noise_dbfs=-50.0))
    settings = {"noise_suppression": True, "gain_control": True}
    better = play(Conversation(talk, replies=["It is noon."], noise_dbfs=-50.0, settings=settings))
    assert [one.t for one in better.events] == [one.t for one in plain.events]
    assert better.texts("final-transcript") == plain.texts("final-transcript")
