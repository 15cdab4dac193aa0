"""The wire between an engine's child process and us, and the child's end of it, `serve`.

What may live here: frames (one JSON header and one binary payload, both with their length), and the loop that answers
them. No engine; nothing heavy is imported, since each child imports this first.

``b"LCR1"``, header length, payload length (both 32-bit little-endian), header (UTF-8 JSON object), payload.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_PREFIX = struct.Struct("<4sII")
_MAGIC = b"LCR1"
_BACKLOG = 64  # calls that wait in the child
HEADER_LIMIT = 64 * 1024
"""Bytes. A text to be spoken travels in the payload, so headers stay small."""
PAYLOAD_LIMIT = 16 * 1024 * 1024
"""Bytes: 8 minutes of 16-bit sound at 16 kHz."""


class FrameError(ValueError):
    """Bytes that are no frame, or a frame past the limits. The connection cannot be used any longer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame as it was read: the header's fields, and the payload."""

    header: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


def encode(header: Mapping[str, Any], payload: bytes = b"") -> bytes:
    """The frame as bytes. Raises ``FrameError`` when it is past the limits or ``header`` is not JSON."""
    try:
        head = json.dumps(dict(header), separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FrameError(f"a header must be plain JSON: {error}") from None
    _check(len(head), len(payload))
    return _PREFIX.pack(_MAGIC, len(head), len(payload)) + head + payload


def decode(read: Callable[[int], bytes]) -> Reply | None:
    """The next frame. ``read(n)`` gives ``n`` bytes, fewer only at the end. None at a clean end between two frames."""
    prefix = read(_PREFIX.size)
    if not prefix:
        return None
    if len(prefix) < _PREFIX.size:
        raise FrameError("the stream ended inside a frame's prefix")
    magic, head_size, payload_size = _PREFIX.unpack(prefix)
    if magic != _MAGIC:
        raise FrameError(f"a frame must begin with {_MAGIC!r}, this one begins with {magic!r}")
    _check(head_size, payload_size)
    head = read(head_size)
    payload = read(payload_size) if payload_size else b""
    if len(head) < head_size or len(payload) < payload_size:
        raise FrameError("the stream ended inside a frame")
    try:
        header = json.loads(head)
    except ValueError as error:
        raise FrameError(f"a header must be JSON: {error}") from None
    if not isinstance(header, dict):
        raise FrameError("a header must be a JSON object")
    return Reply(header, payload)


def _check(head: int, payload: int) -> None:
    if head > HEADER_LIMIT:
        raise FrameError(f"a header of {head} bytes is past the limit of {HEADER_LIMIT}")
    if payload > PAYLOAD_LIMIT:
        raise FrameError(f"a payload of {payload} bytes is past the limit of {PAYLOAD_LIMIT}")


def read_all(fd: int, size: int) -> bytes:
    """``size`` bytes, fewer at the end of the stream."""
    parts = bytearray()
    while len(parts) < size and (data := os.read(fd, min(size - len(parts), 1 << 20))):
        parts += data
    return bytes(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


# --- the child's end --------------------------------------------------------------------------------------------------


class Call:
    """One call, as a handler in the child sees it. ``fields`` are the header's; ``payload`` the bytes."""

    def __init__(self, server: _Server, frame: Reply) -> None:
        self.fields = frame.header
        self.payload = frame.payload
        self.number = int(frame.header["id"])
        self._server = server

    @property
    def cancelled(self) -> bool:
        """True when nobody waits for this call any longer. Long work looks at it often."""
        return self.number in self._server.cancelled

    def send(self, payload: bytes = b"", **fields: Any) -> None:
        """One item of a streamed reply."""
        self._server.reply({**fields, "kind": "item", "id": self.number}, payload)


Handler = Callable[[Call], Mapping[str, Any] | None]
"""Does one ``op``; what it returns are the fields of the last reply."""


def own_pipes() -> tuple[int, int]:
    """In the child, first of all: what our parent is read from and written to. Standard input and output are taken away:
    whatever a library prints or reads must not get between the frames."""
    from locara.offline import keep_in_worker

    keep_in_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if sys.platform == "win32":
        import msvcrt

        for fd in (source, sink):
            msvcrt.setmode(fd, os.O_BINARY)
    return source, sink


def serve(handlers: Mapping[str, Handler], on_cancel: Callable[[int], None] | None = None) -> None:
    """The child's main loop: calls handlers by ``op``, one after the other, until stdin ends (our parent has died).

    An exception becomes an error reply and the loop goes on; its ``hint`` attribute, if any, travels with it.
    ``on_cancel`` is told the number of each call that is cancelled, on the reader's thread: for handlers that wait for
    something and cannot look at ``Call.cancelled`` meanwhile.
    """
    _Server(*own_pipes(), on_cancel).run(handlers)


class _Server:
    def __init__(self, source: int, sink: int, on_cancel: Callable[[int], None] | None = None) -> None:
        self.cancelled: set[int] = set()
        self._on_cancel = on_cancel
        self._source = source
        self._sink = sink
        self._calls: queue.Queue[Reply] = queue.Queue(_BACKLOG)
        self._lock = threading.Lock()

    def reply(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        frame = encode(header, payload)
        with self._lock:
            write_all(self._sink, frame)

    def run(self, handlers: Mapping[str, Handler]) -> None:
        threading.Thread(target=self._read, name="frames", daemon=True).start()
        while True:
            call = Call(self, self._calls.get())
            # Numbers only grow: whatever was cancelled before this call will not come again.
            self.cancelled = {n for n in self.cancelled if n >= call.number}
            try:
                self._do(handlers, call)
            except (BrokenPipeError, OSError):
                os._exit(0)

    def _do(self, handlers: Mapping[str, Handler], call: Call) -> None:
        try:
            if call.fields["op"] == "hello":
                fields: Mapping[str, Any] | None = {}
            elif call.cancelled:
                fields = None
            else:
                fields = handlers[str(call.fields["op"])](call) or {}
            if fields is None or call.cancelled:
                self.reply({"kind": "cancelled", "id": call.number})
            else:
                self.reply({**fields, "kind": "end", "id": call.number})
        except BrokenPipeError:
            raise
        except Exception as error:
            self.reply(
                {
                    "kind": "error",
                    "id": call.number,
                    "type": type(error).__name__,
                    "message": str(error)[:2000],
                    "hint": str(getattr(error, "hint", ""))[:2000],
                }
            )

    def _read(self) -> None:
        """Reads while a handler works, so that a cancel is seen. Ends the process when the parent has gone."""
        try:
            while (frame := decode(lambda n: read_all(self._source, n))) is not None:
                if frame.header.get("op") == "cancel":
                    self.cancelled.add(number := int(frame.header["id"]))
                    if self._on_cancel is not None:
                        self._on_cancel(number)
                else:
                    self._calls.put_nowait(frame)
        except (FrameError, OSError, ValueError, KeyError, queue.Full) as error:
            os.write(2, f"the worker cannot read its calls: {error!r}\n".encode())
        os._exit(0)  # at once, also out of native code: there is nobody left to work for
