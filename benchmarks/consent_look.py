"""What a look at the grants costs, for every block of sound: ``python benchmarks/consent_look.py [rounds]``.

Three figures, each the median of the rounds with the lowest and the highest: a look at an unchanged ledger; one right after
it was changed, which reads it again; the same shortly before it is
folded.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from locara.consent import Ledger, Watch, chain

LOOKS = 2_000


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.decide("grant", "com.example.talk", "device.microphone", by="cli")
        watch = Watch(ledger, "com.example.talk")
        watch.over("device.microphone")
        _told("a look, unchanged", rounds, lambda: _unchanged(watch))
        _told("a look after a change, small ledger", rounds, lambda: _changed(ledger, watch))
        for number in range(chain.COMPACT_LINES - 3 * rounds):
            ledger.decide("deny", f"app.n{number}", "device.speaker", by="cli")
        size = ledger.path.stat().st_size
        _told(f"a look after a change, {size // 1000} kB", rounds, lambda: _changed(ledger, watch))
    return 0


def _unchanged(watch: Watch) -> float:
    began = time.perf_counter()
    for _ in range(LOOKS):
        assert watch.holds("device.microphone")
    return (time.perf_counter() - began) / LOOKS


def _changed(ledger: Ledger, watch: Watch) -> float:
    ledger.decide("grant", "com.example.other", "device.speaker", by="cli")
    began = time.perf_counter()
    assert watch.holds("device.microphone")
    return time.perf_counter() - began


def _told(what: str, rounds: int, one: Callable[[], float]) -> None:
    took = sorted(one() * 1e6 for _ in range(rounds))
    print(f"{what:<40} {statistics.median(took):10.1f} us  ({took[0]:.1f} to {took[-1]:.1f})")


if __name__ == "__main__":
    raise SystemExit(main())
