"""What the gate costs for each block that is played, and how loud what it lets out can be.

    python benchmarks/gate.py [--rate 24000] [--seconds 30]

Prints microseconds for a block of 20 ms, median and 99th of 100, for speech below the ceilings, for noise above them, for
silence, and for one look at the switch of this user.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from locara.audio import Samples, samples_in, silence
from locara.gate.mouth import Mouth
from locara.gate.switch import default_switch


def measured(what: str, once: Callable[[], object], times: int) -> None:
    """Prints how long ``once`` takes."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        once()
        took.append(time.perf_counter() - began)
    print(f"{what:34} {np.median(took) * 1e6:7.1f} us median {np.percentile(took, 99) * 1e6:8.1f} us 99th of 100")


def rendering(sound: Samples, rate: int) -> Callable[[], object]:
    """A mouth that has all of ``sound`` to play, block by block."""
    mouth = Mouth(rate)
    mouth.play(1, sound)
    return lambda: mouth.render(samples_in(0.02, rate))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=24_000, help="hertz of the output")
    parser.add_argument("--seconds", type=float, default=30.0, help="of sound for each")
    options = parser.parse_args()
    n = samples_in(options.seconds, options.rate)
    noise = np.random.default_rng(1).standard_normal(n).astype(np.float32)
    times = int(options.seconds / 0.02) - 2
    measured("render, below the ceilings", rendering(0.05 * noise, options.rate), times)
    measured("render, far above them", rendering(5.0 * noise, options.rate), times)
    measured("render, nothing to play", rendering(silence(1), options.rate), times)
    switch = default_switch()
    measured("one look at the switch", lambda: switch.muted, 20_000)


if __name__ == "__main__":
    main()
