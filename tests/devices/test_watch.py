"""Seeing what was plugged in, taken away, or made the default."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

from locara.devices import watch
from locara.devices.contracts import DeviceInfo
from locara.devices.watch import difference
from locara.errors import NoDevice

BUILT_IN = DeviceInfo("Built-in", "input", True, "x")
HEADSET = DeviceInfo("Headset", "input", False, "x")
SPEAKER = DeviceInfo("Headset", "output", True, "x")
NEW_DEFAULT = DeviceInfo("Headset", "input", True, "x")


def test_what_came_went_and_became_the_default_is_told_apart() -> None:
    assert not difference([BUILT_IN, SPEAKER], [SPEAKER, BUILT_IN])
    assert difference([BUILT_IN], [BUILT_IN, HEADSET]).added == (HEADSET,)
    assert difference([BUILT_IN, HEADSET, SPEAKER], [BUILT_IN, SPEAKER]).removed == (HEADSET,)
    moved = difference([BUILT_IN, HEADSET], [DeviceInfo("Built-in", "input", False, "x"), NEW_DEFAULT])
    assert (moved.added, moved.removed, moved.default) == ((), (), (NEW_DEFAULT,))


def test_a_sound_system_that_does_not_answer_gives_no_answer_and_is_asked_again() -> None:
    asked: list[str] = []

    def ask() -> list[DeviceInfo]:
        asked.append(threading.current_thread().name)
        if len(asked) == 2:
            raise NoDevice("the server is gone")
        return [BUILT_IN]

    async def look() -> list[list[DeviceInfo]]:
        got: list[list[DeviceInfo]] = []
        async with aclosing(watch.answers(ask, every=0.001)) as answers:  # type: ignore[type-var]
            async for answer in answers:
                got.append(answer)
                if len(got) == 2:
                    break
        return got

    assert asyncio.run(look()) == [[BUILT_IN], [BUILT_IN]]
    assert len(asked) == 3
    assert set(asked) == {"locara-device"}, "the event loop waited for the sound system"
