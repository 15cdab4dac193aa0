"""The process that decodes one compressed recording: the file comes on standard input, float32 samples leave on standard
output, after one line of JSON: ``{"rate": hertz, "error": ""}``.

What may live here: this program. Nothing imports it: a decoder that goes wrong takes this process alone with it.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

MEMORY = 2 << 30
"""Bytes of address space: the file, a second of sound, and the interpreter. A header that claims more ends here."""

CPU_SECONDS = 900
"""Decoding four hours takes well under a minute."""


def main(kind: str) -> int:
    """Decodes. Returns the exit code: 0, or 1 where it could not."""
    import miniaudio

    _limit()
    data = sys.stdin.buffer.read()
    out = sys.stdout.buffer
    try:
        rate = int(getattr(miniaudio, f"{kind}_get_info")(data).sample_rate)
        pieces = miniaudio.stream_memory(
            data,
            output_format=miniaudio.SampleFormat.FLOAT32,
            nchannels=1,
            sample_rate=max(rate, 1),
            frames_to_read=max(rate, 1),
        )
    except Exception as error:  # whatever the library makes of a damaged file
        _say(out, 0, str(error) or type(error).__name__)
        return 1
    _say(out, rate, "")
    for piece in pieces:
        if sys.byteorder == "big":
            piece.byteswap()
        out.write(piece.tobytes())
    out.flush()
    return 0


def _say(out: Any, rate: int, error: str) -> None:
    out.write(json.dumps({"rate": rate, "error": error[:200]}).encode() + b"\n")
    out.flush()


def _limit() -> None:
    """What this process may take, where the system can be told (Linux, and in part macOS)."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_SECONDS), (resource.RLIMIT_CORE, 0)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody wants the rest
        sys.exit(main(sys.argv[1]))
