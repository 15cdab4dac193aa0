"""What goes into the Realtime machine beside the client's events, and what comes out of it. Pure.

What may live here: frozen values. `realtime_actor` makes the first and carries out the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from locara.audio import Samples
from locara.engines.contracts import Message
from locara.server.realtime_wire import JSON

# --- what happens -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """Sound left the gate: ``samples`` (float32, 24 kHz), the first one at ``at`` of the output's stream. ``held``: the
    reply stands still, so this is no sound of it."""

    at: int
    samples: Samples
    held: bool = False


@dataclass(frozen=True, slots=True)
class Called:
    """The model calls a function of the client's, and its reply waits for what comes of it."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Nobody waits any more for what comes of this call."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Over:
    """A reply that was asked for by `Respond` is over, or was never begun."""

    response: str


@dataclass(frozen=True, slots=True)
class Tick:
    """The session's clock stands at ``t`` seconds. Comes a few times a second, for deadlines."""

    t: float


# --- what is done -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """A server event, complete but for its ``event_id``."""

    event: JSON


@dataclass(frozen=True, slots=True, eq=False)
class SendSound:
    """A ``response.output_audio.delta`` with these samples, in the session's output format. ``last``: nothing follows, so
    what a converter of rates holds back is sent too."""

    head: JSON
    samples: Samples
    last: bool = False


@dataclass(frozen=True, slots=True)
class Hear:
    """Push this sound to the microphone."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Press:
    """When everything pushed so far has been heard: the key is down."""


@dataclass(frozen=True, slots=True)
class Release:
    """When everything pushed so far has been heard: the key is up."""


@dataclass(frozen=True, slots=True)
class Disregard:
    """When everything pushed so far has been heard: it was no turn."""


@dataclass(frozen=True, slots=True)
class Configure:
    """`Session.configure` with these."""

    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Respond:
    """`Session.respond`, after what was pushed has been heard where ``after_input``. ``tools``: functions as the client
    declared them."""

    response: str
    system: str | None = None
    tools: tuple[JSON, ...] | None = None
    speaks: bool | None = None
    messages: tuple[Message, ...] | None = None
    record: bool = True
    after_input: bool = False


@dataclass(frozen=True, slots=True)
class Remember:
    """`Session.remember`, under the item's id."""

    item: str
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Forget:
    """`Session.forget`: what was remembered under the item's id, or said in ``turn`` by ``role``."""

    item: str
    turn: int | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class Truncate:
    """`Session.truncate`; its answer is told to `Machine.heard`."""

    item: str
    turn: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """`Session.interrupt`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The function's output, for the reply that waits for it."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the connection."""

    code: int
    reason: str


Effect = (
    Send | SendSound | Hear | Press | Release | Disregard | Configure | Respond | Remember | Forget | Truncate | Interrupt
    | Answer | Close
)  # fmt: skip


@dataclass(slots=True)
class Outbox:
    """Where the parts of the machine lay their effects, in order; and the one source of ids. ``mark`` makes them unlike
    those of other connections."""

    mark: str
    effects: list[Effect] = field(default_factory=list)
    _made: int = 0

    def do(self, *effects: Effect) -> None:
        """Lays them down."""
        self.effects += effects

    def send(self, kind: str, **fields: Any) -> None:
        """A server event."""
        self.effects.append(Send({"type": kind, **fields}))

    def new_id(self, kind: str) -> str:
        """An id: ``item_...``, ``resp_...``."""
        self._made += 1
        return f"{kind}_{self.mark}{self._made:04d}"

    def take(self) -> list[Effect]:
        """What was laid down since it was last taken."""
        taken, self.effects = self.effects, []
        return taken
