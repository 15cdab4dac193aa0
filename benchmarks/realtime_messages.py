"""What one message of a realtime server costs us: reading 100 ms of a reply, and writing 40 ms of the user's sound.

    python benchmarks/realtime_messages.py [--dialect openai] [--rounds 2000]

Needs no server: the pure part alone is timed, in one thread, and printed as the median and the spread of the rounds.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from locara.engines.backend import BackendSettings, TurnEnd
from locara.engines.omni import realtime_parse as parse
from locara.engines.omni import realtime_say as say
from locara.engines.omni.realtime_dialects import DIALECTS
from locara.engines.omni.realtime_settings import understand
from locara.engines.omni.realtime_shapes import encoded
from locara.engines.omni.realtime_state import State


def timed(name: str, work: Callable[[], object], rounds: int) -> None:
    """Prints what one call takes, in microseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e6)
    parts = statistics.quantiles(took, n=20)
    print(f"{name}: median {statistics.median(took):.0f} µs, 5 to 95 % {parts[0]:.0f} to {parts[-1]:.0f} µs")


def main() -> None:
    """Measures, and prints."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--dialect", default="openai", choices=[name for name in DIALECTS if name != "unmute"])
    arguments.add_argument("--rounds", type=int, default=2000)
    chosen = arguments.parse_args()
    settings = understand(f"realtime:{chosen.dialect}:ws://127.0.0.1:9#m", {})
    assert settings is not None
    dialect = settings.dialect
    state = say.opening(settings, BackendSettings())
    for kind in ("created", "updated"):
        for name, meant in dialect.events.items():
            if meant == kind and state.phase == "opening":
                state, _ = parse.heard(state, json.dumps({"type": name, "session": {}}), 0.0, 0)
    state, _, _ = say.said(state, TurnEnd(1), 0.0, dialect.input_rate)
    name = next(name for name, meant in dialect.events.items() if meant == "audio")
    sound = base64.b64encode(bytes(2 * dialect.output_rate // 10)).decode()
    raw = json.dumps({"type": name, "delta": sound, "response_id": "r", "item_id": "i"})
    block = np.zeros(round(0.04 * dialect.input_rate), np.float32)

    def read() -> State:
        return parse.heard(state, raw, 0.0, 0)[0]

    def write() -> str:
        return json.dumps(say.appended(dialect, encoded(block, dialect.encoding), 0))

    print(f"{dialect.name}: {dialect.server}")
    timed("reading 100 ms of a reply", read, chosen.rounds)
    timed("writing 40 ms of the user", write, chosen.rounds)


if __name__ == "__main__":
    main()
