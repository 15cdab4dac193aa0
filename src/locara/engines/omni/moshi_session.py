"""One conversation with a Moshi server: frames out, sound and text in, until somebody ends it.

What may live here: the two tasks of a conversation and what waits for them. Every queue is bounded; an end comes once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import numpy as np

from locara.audio import Samples
from locara.engines.backend import BackendEvent, BackendFailed, Ended, Frame, Lag
from locara.engines.lane import real_work
from locara.engines.omni import moshi_wire as wire
from locara.engines.omni.moshi_dialling import Place, hang_up
from locara.engines.omni.moshi_pace import FRAME_SECONDS, Pace
from locara.engines.omni.opus import Decoder, Encoder
from locara.errors import AudioError

OUTBOX = 13
"""Frames that may wait to be sent, 1.04 s: what a network that stands still for a moment makes wait."""
UNTAKEN = 256
"""Events that may wait for whoever reads them: 20 s of frames. More, and the session is lost."""
_LAG_FRAMES = 13
"""Frames left out, after which it is told even though they go on being left out."""
_TEXT_CHARACTERS = 4096
"""Text that may come without sound: a frame has one piece, a word or less."""
_BURST_SECONDS = 10.0
"""Sound that one message may hold: a server that stood still may send what it then has, never more than it was given."""

Reason = Literal["stopped", "limit", "closed", "failed"]


class MoshiSession:
    """After the handshake. ``stall``: seconds of sound given without any coming back, after which the server is lost."""

    def __init__(
        self,
        name: str,
        place: Place,
        socket: aiohttp.ClientWebSocketResponse,
        handshake: wire.Handshake,
        stall: float,
    ) -> None:
        self.name = name
        self.handshake = handshake
        self.over = False
        self.streamed = False
        """Whether its events were asked for."""
        self._place = place
        self._socket = socket
        self._stall = stall
        self._encoder, self._decoder, self._pace = Encoder(), Decoder(), Pace()
        self._began = asyncio.get_running_loop().time()
        self._rest = np.zeros(0, np.float32)
        self._pushed = 0
        self._outbox: deque[tuple[Samples, int]] = deque()
        self._heard: deque[int] = deque(maxlen=UNTAKEN)
        """Where in what was pushed the frames end that are on their way."""
        self._left_out = 0
        self._behind = 0.0
        self._wake = asyncio.Event()
        self._sound: list[Samples] = []
        self._held = 0
        self._text = ""
        self._events: asyncio.Queue[BackendEvent] = asyncio.Queue()
        self._ending: asyncio.Task[None] | None = None
        self._tasks = (
            asyncio.create_task(self._read(), name=f"{name}-reader"),
            asyncio.create_task(self._write(), name=f"{name}-writer"),
        )

    # --- our side -----------------------------------------------------------------------------------------------------

    def push(self, samples: Samples) -> None:
        """The next samples of the user, shape ``(n,)`` at 24 kHz. Does not wait; does nothing after the end."""
        if self.over:
            return
        self._pushed += samples.size
        have = np.concatenate((self._rest, samples)) if self._rest.size else samples
        whole = have.size // wire.FRAME * wire.FRAME
        self._rest = have[whole:].copy()
        first = self._pushed - self._rest.size - whole
        for at in range(0, whole, wire.FRAME):
            self._frame(have[at : at + wire.FRAME].copy(), first + at + wire.FRAME)

    async def events(self) -> AsyncIterator[BackendEvent]:
        """Everything, `Ended` last."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    async def stop(self) -> None:
        """Ends it, if it has not ended. May be called twice, and at once."""
        self._end("stopped")
        if self._ending is not None:
            await asyncio.shield(self._ending)

    # --- frames out ---------------------------------------------------------------------------------------------------

    def _frame(self, frame: Samples, end: int) -> None:
        wanted = self._pace.wants()
        if self._pace.silent_seconds >= self._stall:
            self._fail(
                "engine-timeout",
                f"omni: {self._place.shown} was given {self._stall:.3g} s of sound and gave none back",
                "the server hangs, or is far too slow: look at its log; or raise the option stall",
            )
            return
        if not wanted:
            self._leave_out()
            return
        if len(self._outbox) >= OUTBOX:  # the network stands still: the oldest are the least worth
            self._outbox.popleft()
            self._leave_out()
        self._outbox.append((frame, end))
        self._wake.set()

    def _leave_out(self) -> None:
        self._left_out += 1
        self._behind = max(self._behind, self._pace.seconds + len(self._outbox) * FRAME_SECONDS)
        if self._left_out >= _LAG_FRAMES:
            self._tell_lag()

    def _tell_lag(self) -> None:
        self._post(Lag(behind=self._behind, skipped=self._left_out * wire.FRAME))
        self._left_out, self._behind = 0, 0.0

    async def _write(self) -> None:
        try:
            while True:
                while not self._outbox:
                    self._wake.clear()
                    await self._wake.wait()
                frame, end = self._outbox.popleft()
                if self._left_out:
                    self._tell_lag()
                pages = self._encoder.encode(frame)
                self._pace.sent()
                self._heard.append(end)
                with real_work():
                    await self._socket.send_bytes(wire.encode(wire.Pages(pages)))
        except (aiohttp.ClientError, OSError, RuntimeError):
            return  # the reader sees the end of the connection too, and knows more of it
        except Exception as error:  # what a codec may say
            self._fail("engine-failed", f"omni: sound cannot be encoded: {error}", "report this: it should not happen")

    # --- sound and text in --------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            with real_work():
                async for message in self._socket:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        self._take(wire.parse(message.data))
                    elif isinstance(message.data, aiohttp.WebSocketError):
                        what = f"omni: {self._place.shown} sends what is no WebSocket message: {message.data}"
                        self._fail("engine-failed", what, "is it Moshi's own server?")
                    if self.over:
                        return
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            self._fail("engine-failed", f"omni: {self._place.shown} broke off: {error}", "look at the server's log")
        except AudioError as error:
            self._fail(
                "engine-failed", f"omni: {self._place.shown} sends sound that cannot be read: {error}", error.hint
            )
        else:
            self._closed()

    def _take(self, said: wire.Message | None) -> None:
        if isinstance(said, wire.Pages):
            self._hear(self._decoder.decode(said.data))
        elif isinstance(said, wire.Piece):
            self._text += said.text
            if len(self._text) > _TEXT_CHARACTERS:
                raise AudioError("text without any sound", hint="is it Moshi's own server?")
        elif isinstance(said, wire.Refusal):
            self._fail(
                "engine-failed", f"omni: {self._place.shown} says: {said.text[:400]}", "look at the server's log"
            )

    def _hear(self, samples: Samples) -> None:
        if samples.size > _BURST_SECONDS * wire.RATE:
            raise AudioError(f"{samples.size / wire.RATE:.0f} s of it in one message", hint="is it Moshi's own server?")
        self._sound.append(samples)
        self._held += samples.size
        if self._held < wire.FRAME:
            return
        have = np.nan_to_num(np.concatenate(self._sound), nan=0.0, posinf=1.0, neginf=-1.0)
        have = np.clip(have, -1.0, 1.0)
        whole = self._held // wire.FRAME * wire.FRAME
        self._sound, self._held = [have[whole:]], self._held - whole
        for at in range(0, whole, wire.FRAME):
            self._pace.came()
            text, self._text = self._text, ""
            self._post(Frame(have[at : at + wire.FRAME].copy(), text, self._heard_by_now()))

    def _heard_by_now(self) -> int:
        """As far as can be known. A frame is made upon hearing the one after its own, because the acoustic codes of a model
        come a frame after its semantic ones: so the last of those on their way has been heard, and those after it not."""
        while len(self._heard) > max(1, self._pace.on_their_way):
            self._heard.popleft()
        return self._heard[0] if self._heard else 0

    # --- the end ------------------------------------------------------------------------------------------------------

    def _closed(self) -> None:
        seconds = asyncio.get_running_loop().time() - self._began
        if (reason := wire.ended(rust=self.handshake.rust, seconds=seconds)) == "limit":
            self._fail(
                "session-limit",
                f"omni: {self._place.shown} ends every conversation after {wire.RUST_SECONDS:g} s",
                "begin another one; it remembers nothing of this one",
                reason,
            )
        else:
            self._fail(
                "engine-closed",
                f"omni: {self._place.shown} closed the conversation after {seconds:.0f} s, without a reason",
                "look at the server's log; a new conversation remembers nothing of this one",
                reason,
            )

    def _fail(self, code: str, message: str, hint: str, reason: Reason = "failed") -> None:
        if not self.over:
            self._events.put_nowait(BackendFailed(code, message, hint, fatal=True))
            self._end(reason)

    def _end(self, reason: Reason) -> None:
        if self.over:
            return
        self.over = True
        self._outbox.clear()
        self._heard.clear()
        self._sound = []
        self._events.put_nowait(Ended(reason))
        self._ending = asyncio.create_task(self._gone(), name=f"{self.name}-ending")

    async def _gone(self) -> None:
        """Both tasks and the connection end."""
        reader, writer = self._tasks
        writer.cancel()
        await hang_up(self._socket)
        reader.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)

    def _post(self, event: BackendEvent) -> None:
        if self.over:
            return
        if self._events.qsize() >= UNTAKEN:
            while not self._events.empty():
                self._events.get_nowait()
            self._fail(
                "consumer-slow",
                f"omni: {UNTAKEN} events of {self._place.shown} were waiting and nobody took them",
                "read event_stream without waiting for anything else",
            )
            return
        self._events.put_nowait(event)
