"""The checks of what a `VoiceBackend` answers, and of what it is given: for `conformance_backend`.

What may live here: checks, each one promise of `locara.engines.backend`, that look at replies, sound and signals.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import numpy as np

from locara.audio import RATE, silence
from locara.engines.backend import (
    Cancel,
    Disregard,
    Frame,
    Played,
    ReplyAudio,
    ReplyBegan,
    ReplyEnded,
    ReplyText,
    Signal,
    ToolResult,
    UserTyped,
)
from locara.engines.contracts import ToolCall
from locara.errors import LocaraError, StageError
from locara.testing.backend_listening import (
    ANSWER_SECONDS,
    SOON_SECONDS,
    BackendCheck,
    Examination,
    Listening,
    long_enough,
    of_reply,
)
from locara.testing.conformance import Failed, NotForThis, expect

TYPED = "What time is it?"

FLOOD_SECONDS, FLOOD_MOST = 45.0, 5.0
"""So much sound at once is pushed in so many seconds, whatever the model makes of it: ``push_audio`` does not wait."""


# --- replies ----------------------------------------------------------------------------------------------------------


async def _answers(of: Examination) -> None:
    try:
        talk = await of.record()
    except NotForThis as reason:
        raise Failed(str(reason)) from None
    made = talk.all_sound()
    expect(bool(made), "it made no sound")
    for sound in made:
        expect(
            isinstance(sound, np.ndarray) and sound.dtype == np.float32 and sound.ndim == 1,
            f"sound is {getattr(sound, 'dtype', type(sound).__name__)} of {np.ndim(sound)} dimensions, not float32 of one",
        )
        expect(bool(np.isfinite(sound).all()), "some samples are no numbers")
        expect(not sound.size or float(np.abs(sound).max()) <= 2.0, "samples far outside -1 to 1")
    for reply in (3, 4) if of.asked else ():
        expect(talk.sound_of(reply).size > 0, f"reply {reply} has no sound")


async def _numbers_replies(of: Examination) -> None:
    talk = await of.record()
    told = [one.reply for one in talk.events if isinstance(one, ReplyBegan | ReplyText | ReplyAudio | ReplyEnded)]
    if of.asked:
        expect(set(told) == {3, 4}, f"it was asked for replies 3 and 4, and told of {sorted(set(told))}")
        expect(told == sorted(told), "it told of one reply in the midst of another")
        return
    if not told:
        raise NotForThis("it did not answer this sound, or marks no replies")
    began = [one.reply for one in talk.events if isinstance(one, ReplyBegan)]
    expect(began == list(range(1, len(began) + 1)), f"its replies began as {began}, not 1, 2, 3 ...")
    expect(set(told) == set(began), f"replies {sorted(set(told) - set(began))} never began")


async def _nothing_after_its_end(of: Examination) -> None:
    talk = await of.record()
    ended: set[int] = set()
    for event in talk.events:
        if isinstance(event, ReplyBegan | ReplyText | ReplyAudio | ReplyEnded):
            expect(event.reply not in ended, f"after the end of reply {event.reply} came {type(event).__name__}")
        if isinstance(event, ReplyEnded):
            ended.add(event.reply)


async def _frames_are_whole(of: Examination) -> None:
    if of.can.marks_replies:
        raise NotForThis("it gives replies, not frames")
    talk = await of.record()
    frames = [one for one in talk.events if isinstance(one, Frame)]
    wanted = round(of.can.frame_seconds * of.can.output_rate)
    expect(bool(frames), "no frame came")
    odd = {frame.samples.size for frame in frames} - {wanted}
    expect(not odd, f"a frame of {of.can.frame_seconds} s at {of.can.output_rate} Hz has {wanted} samples, not {odd}")
    most = round(talk.pushed / of.can.input_rate / of.can.frame_seconds) + 1
    expect(len(frames) <= most, f"{len(frames)} frames came for sound of {most - 1}")
    heard = [frame.heard for frame in frames]
    expect(heard == sorted(heard), "what it had heard went back in time")
    expect(heard[-1] <= talk.pushed, f"it says that it heard {heard[-1]} samples of {talk.pushed}")


async def _cancels(of: Examination) -> None:
    of.only_when_asked()
    if not of.can.cancels:
        raise NotForThis("it says that it cannot")
    async with Listening(of.backend) as talk:
        await talk.hear(of.specimen.sound)
        await talk.ask(0)
        await talk.until("a reply", lambda events: any(of_reply(one, 0) for one in events), ANSWER_SECONDS)
        await of.backend.signal(talk.session, Cancel(0))
        await talk.replied(0, SOON_SECONDS)
        talk.begin_turn()
        await talk.hear(of.specimen.sound)
        await talk.ask(1)
        await talk.replied(1, ANSWER_SECONDS)
        expect(talk.sound_of(1).size > 0, "after a reply that was cancelled it says nothing")


async def _revokes(of: Examination) -> None:
    if not of.can.cancels:
        raise NotForThis("it cannot cancel")
    first, rest = of.specimen.sound[:RATE], of.specimen.sound[RATE:]
    whole = await of.answer(first, rest)
    if await of.answer(first, rest) != whole:
        raise NotForThis("it answers the same sound in another way each time")
    got = await of.answer(first, rest, revoke_after=1)
    expect(got == whole, f"after a revoked reply a turn is answered by {got}, the same turn at once by {whole}")


async def _disregards(of: Examination) -> None:
    alone = await of.answer(of.specimen.sound)
    if await of.answer(of.specimen.sound) != alone:
        raise NotForThis("it answers the same sound in another way each time")
    got = await of.answer(of.specimen.sound, noise=of.specimen.sound[: RATE // 2])
    expect(got == alone, f"after noise that was disregarded a turn is answered by {got}, without it by {alone}")


# --- what it is given -------------------------------------------------------------------------------------------------


async def _survives_odd_sound(of: Examination) -> None:
    odd = np.concatenate((silence(RATE // 2), np.full(333, np.nan, np.float32), np.full(500, np.inf, np.float32)))
    async with Listening(of.backend) as talk:
        for size in (0, 1, 7, 333, 1921):
            await of.backend.push_audio(talk.session, odd[-size:] if size else silence(0))
        await talk.hear(np.concatenate((np.ones(RATE // 4, np.float32), 4.0 * of.specimen.sound[: RATE // 2])))
        if not of.asked:
            await talk.hear(long_enough(of.specimen.sound, 1.0))
            await talk.until("any sound", lambda _: bool(talk.all_sound()) or of.can.marks_replies, ANSWER_SECONDS)
        else:
            await talk.ask(0)
            await talk.replied(0, ANSWER_SECONDS)
        expect(
            all(bool(np.isfinite(sound).all()) for sound in talk.all_sound()), "sound without numbers comes out again"
        )
        expect(not talk.over, f"the session ended{talk.why_over()}")


async def _does_not_wait(of: Examination) -> None:
    loop = asyncio.get_running_loop()
    async with Listening(of.backend) as talk:
        began = loop.time()
        await talk.hear(long_enough(of.specimen.sound, FLOOD_SECONDS), paced=False)
        took = loop.time() - began
        expect(
            took < FLOOD_MOST,
            f"{FLOOD_SECONDS:g} s of sound were pushed in {took:.1f} s: push_audio waits for the model",
        )


async def _is_quiet_after_the_end(of: Examination) -> None:
    async with Listening(of.backend) as talk:
        await talk.hear(of.specimen.sound[: RATE // 2])
    await of.backend.push_audio(talk.session, silence(160))
    with contextlib.suppress(LocaraError):
        expect(not await of.backend.signal(talk.session, Disregard()), "a session that has ended took a signal")
    try:
        await of.backend.push_audio("no such session", silence(160))
    except StageError:
        return
    raise Failed("it took sound for a session that never was, instead of raising StageError")


async def _survives_odd_signals(of: Examination) -> None:
    odd: tuple[Signal, ...] = (
        Cancel(99), Cancel(99, revoke=True), Played(99, 1.0), Played(99, 0.0, ended=True), Disregard(),
        ToolResult(99, ToolCall("none", "none", {}), "{}"),
    )  # fmt: skip
    async with Listening(of.backend) as talk:
        for signal in odd:
            taken = await of.backend.signal(talk.session, signal)
            expect(isinstance(taken, bool), f"signal({type(signal).__name__}) gave {taken!r}, neither True nor False")
        await talk.hear(of.specimen.sound[:RATE])
        if of.asked:
            await talk.ask(0)
            await talk.replied(0, ANSWER_SECONDS)
        expect(not talk.over, f"the session ended{talk.why_over()}")


async def _takes_text(of: Examination) -> None:
    async with Listening(of.backend) as talk:
        taken = await of.backend.signal(talk.session, UserTyped(TYPED))
        expect(taken == of.can.takes_text, f"takes_text is {of.can.takes_text}, and UserTyped gave {taken}")
        if not taken:
            raise NotForThis("it takes no text")
        if of.asked:
            await talk.ask(0, TYPED)
            await talk.replied(0, ANSWER_SECONDS)
        else:
            await talk.until("an answer", lambda _: bool(talk.all_sound()), ANSWER_SECONDS)


REPLIES: Mapping[str, BackendCheck] = {
    "answers": _answers,
    "numbers": _numbers_replies,
    "nothing after its end": _nothing_after_its_end,
    "whole frames": _frames_are_whole,
    "cancel": _cancels,
    "revoke": _revokes,
    "disregard": _disregards,
}
"""Name -> check, in the order in which they are run."""

GIVEN: Mapping[str, BackendCheck] = {
    "typed text": _takes_text,
    "odd sound": _survives_odd_sound,
    "odd signals": _survives_odd_signals,
    "does not wait": _does_not_wait,
    "after the end": _is_quiet_after_the_end,
}
"""The same for what it is given."""
