"""Sound as Opus in Ogg pages, for the servers that speak it (unmute).

What may live here: the way to the codec, and what is said where it is not installed.
"""

from __future__ import annotations

from locara.audio import Samples
from locara.errors import EngineMissing


def demand() -> None:
    """Raises ``EngineMissing`` where there is no codec."""
    raise EngineMissing(
        "omni: unmute's sound is Opus, and there is no codec for it here", stage="omni", hint="use another server"
    )


class Codec:
    """Encodes one stream and decodes another. ``rate``: hertz of both."""

    def __init__(self, rate: int) -> None:
        demand()

    def encode(self, samples: Samples) -> str:
        """The pages that are complete, in base64; may be empty."""
        raise NotImplementedError

    def decode(self, data: bytes) -> Samples:
        """The samples of these pages. Raises ``ValueError``."""
        raise NotImplementedError
