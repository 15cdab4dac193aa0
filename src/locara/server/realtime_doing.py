"""What the Realtime machine wants done with a session, done.

What may live here: from effects to calls of a `locara.voice` session and its microphone, and the functions of the client as
tools that wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from locara.engines.contracts import Tool
from locara.errors import LocaraError, SessionError
from locara.server import realtime_effects as effects
from locara.server.places import without_places
from locara.server.realtime_machine import Machine
from locara.server.realtime_session import input_format
from locara.server.realtime_sound import heard
from locara.server.realtime_wire import JSON, Invalid
from locara.server.seats import Seat

GRACE_SECONDS = 0.05
"""Between the end of what was asked for and the news of it: the session's events of that moment come first."""

Post = Callable[[effects.Called | effects.Lapsed | effects.Over], None]


class Doing:
    """Given the seat, and the machine that knows formats and clock."""

    def __init__(self, seat: Seat, machine: Machine, post: Post) -> None:
        self._session = seat.session
        self._microphone = seat.microphone
        self._machine = machine
        self._post = post
        self._outputs: dict[str, asyncio.Future[str]] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._unasked: set[str] = set()
        """Responses that are asked for once what was pushed has been heard."""

    async def close(self) -> None:
        """Ends what waits."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def do(self, effect: effects.Effect) -> None:
        """Does it. Raises `Invalid` for what the session refuses."""
        try:
            self._do(effect)
        except SessionError:
            if isinstance(effect, effects.Respond):  # it is ending, and says so itself
                self._post(effects.Over(effect.response))
        except LocaraError as error:
            if isinstance(effect, effects.Respond):
                self._post(effects.Over(effect.response))
            raise Invalid(without_places(error.message), code=error.code) from None

    def _do(self, effect: effects.Effect) -> None:
        session = self._session
        match effect:
            case effects.Hear(audio=audio):
                self._hear(audio)
            case effects.Press():
                self._mark(session.push_to_talk.press)
            case effects.Release():
                self._mark(session.push_to_talk.release)
            case effects.Disregard():
                self._mark(session.disregard)
                self._mark(session.push_to_talk.release)
            case effects.Configure(settings=settings):
                session.configure(**self._with_tools(settings))
            case effects.Respond():
                if effect.after_input:
                    self._unasked.add(effect.response)
                    self._mark(lambda: self._respond_unless_cancelled(effect))
                else:
                    self._respond(effect)
            case effects.Interrupt():
                self._unasked.clear()
                session.interrupt()
            case effects.Answer(call_id=call, output=output):
                waiting = self._outputs.get(call)
                if waiting is not None and not waiting.done():
                    waiting.set_result(output)
            case _:
                self._do_with_history(effect)

    def _do_with_history(self, effect: effects.Effect) -> None:
        session = self._session
        match effect:
            case effects.Remember(item=item, role=role, text=text):
                session.remember(role, text, key=item)  # type: ignore[arg-type]  # the machine has checked it
            case effects.Forget(item=item, turn=turn, role=role):
                if not session.forget(key=item) and turn is not None:
                    session.forget(turn=turn, role=role)
            case effects.Truncate(item=item, turn=turn, seconds=seconds):
                self._machine.heard(item, session.truncate(turn, seconds))

    # --- sound --------------------------------------------------------------------------------------------------------

    def _hear(self, audio: bytes) -> None:
        samples, rate = heard(audio, input_format(self._machine.session))
        at = self._session.metrics()["seconds_heard"] + self._microphone.buffered
        accepted = self._microphone.push(samples, rate)
        self._machine.clock.appended(accepted / rate, at)
        if accepted < samples.size:
            raise Invalid(
                f"{(samples.size - accepted) / rate:.2f} s of sound were dropped: too much waits to be heard already.",
                code="input_audio_buffer_full",
            )

    def _mark(self, reached: Callable[[], Any]) -> None:
        def call() -> None:
            with contextlib.suppress(LocaraError):  # the session has ended meanwhile
                reached()

        self._microphone.mark(call)

    # --- replies ------------------------------------------------------------------------------------------------------

    def _respond(self, wish: effects.Respond) -> None:
        more: dict[str, Any] = {}
        if wish.tools is not None:
            more["tools"] = [self._tool(one) for one in wish.tools]
        handle = self._session.respond(
            system=wish.system, speaks=wish.speaks, messages=wish.messages, record=wish.record, **more
        )
        self._spawn(self._tell_over(handle, wish.response))

    def _respond_unless_cancelled(self, wish: effects.Respond) -> None:
        if wish.response in self._unasked:
            self._unasked.discard(wish.response)
            self._respond(wish)
        else:
            self._post(effects.Over(wish.response))

    async def _tell_over(self, handle: Awaitable[Any], response: str) -> None:
        await handle
        await asyncio.sleep(GRACE_SECONDS)
        self._post(effects.Over(response))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work, name="locara-realtime-over")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    # --- functions ----------------------------------------------------------------------------------------------------

    def _with_tools(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(settings)
        if "tools" in given:
            given["tools"] = [self._tool(one) for one in given["tools"]]
        return given

    def _tool(self, declared: JSON) -> Tool:
        """A function of the client's as the model sees it: it acts on the world, so it only runs for a decided turn."""
        name = str(declared["name"])

        async def run(**arguments: Any) -> Any:
            return await self._ask_client(name, arguments)

        parameters = declared.get("parameters") or {"type": "object", "properties": {}}
        return Tool(name, declared.get("description") or name, parameters, run, side_effects=True)

    async def _ask_client(self, name: str, arguments: Mapping[str, Any]) -> Any:
        call = f"call_{uuid.uuid4().hex[:20]}"
        waiting = self._outputs[call] = asyncio.get_running_loop().create_future()
        self._post(effects.Called(call, name, json.dumps(arguments, default=str)))
        try:
            output = await waiting
        except asyncio.CancelledError:  # its deadline
            self._post(effects.Lapsed(call))
            raise
        finally:
            del self._outputs[call]
        try:
            return json.loads(output)  # so that a model is not given JSON inside of JSON
        except (ValueError, RecursionError):
            return output
