"""End of turn by two detectors that hear different things: one that costs much and knows much, one that costs little.

What may live here: how two opinions become one (pure), and the detector that asks both at the same time. Neither of the two
is named here; `smart_turn` says which they are and with what weights.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from locara.audio import Samples
from locara.engines.contracts import EngineInfo, TurnDetector
from locara.errors import EngineTimeout

CERTAIN = 1e-3
"""No opinion counts as more certain than this far from 0 or 1: one model alone must not outvote everything else."""

WAIT_SECONDS = 0.6
"""The main model is waited for so long. It needs 50 to 250 ms; on a machine so busy that it takes longer, the quick one's
opinion is in time for the decision, and the main one's is not."""


@dataclass(frozen=True, slots=True)
class Blend:
    """What each opinion weighs in log-odds, and what is added to the sum."""

    main: float
    second: float
    bias: float


def blended(main: float, second: float, blend: Blend) -> float:
    """One probability (0 to 1) of two: their log-odds, weighted and added.

    This is a logarithmic opinion pool (C. Genest and J. Zidek, "Combining probability distributions", Statistical Science
    1, 1986). With both weights 1 it would be Bayes' rule for independent witnesses; two models that hear the same sound
    are not independent, and one that is too sure of itself has to be shrunk, so the weights are fitted to recordings.
    """
    odds = blend.main * log_odds(main) + blend.second * log_odds(second) + blend.bias
    return 1.0 / (1.0 + math.exp(-odds))


def log_odds(probability: float) -> float:
    """Natural, and finite: never more certain than `CERTAIN`."""
    held = min(1.0 - CERTAIN, max(CERTAIN, probability))
    return math.log(held / (1.0 - held))


class Blended:
    """See `locara.engines.contracts.TurnDetector`. ``main`` is what the session asked for, ``second`` helps it.

    An answer of ``main`` that takes longer than `WAIT_SECONDS` is not waited for: ``second`` alone answers. If ``main``
    fails, its error is raised the first time, so that it is told; after that ``second`` answers alone.
    """

    def __init__(self, main: TurnDetector, second: TurnDetector, blend: Blend) -> None:
        self._main, self._second, self._blend = main, second, blend
        self._told = False

    @property
    def info(self) -> EngineInfo:
        """The main one's, with a note about the second."""
        main, second = self._main.info, self._second.info
        note = ", ".join(part for part in (main.note, f"blended with {second.model}") if part)
        return EngineInfo(main.engine, main.model, main.licence, streaming=main.streaming, note=note, sharing="shared")

    @property
    def seconds(self) -> float:
        """As much sound as the one that wants more."""
        return max(self._main.seconds, self._second.seconds)

    async def load(self) -> None:
        """Loads both. Raises what either raises; then neither stays loaded."""
        self._told = False
        try:
            await self._main.load()
            await self._second.load()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Closes both."""
        try:
            await self._main.close()
        finally:
            await self._second.close()

    async def finished(self, samples: Samples) -> float:
        """How likely the speaker has finished, 0 to 1, by both.

        ``samples``: float32 mono at 16 kHz, shape ``(n,)``, ending with the pause. Raises what ``second`` raises, and the
        first time what ``main`` raises; never `EngineTimeout` of ``main``.
        """
        asked = asyncio.create_task(self._ask_main(samples), name="turn-main")
        try:
            second = await self._second.finished(samples)
            main = await asked
        finally:
            if not asked.done():
                asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        return second if main is None else blended(main, second, self._blend)

    async def _ask_main(self, samples: Samples) -> float | None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._main.finished(samples)
        except (TimeoutError, EngineTimeout):
            return None
        except Exception:  # whatever a model does: once it is told, the session goes on without it
            if self._told:
                return None
            self._told = True
            raise
