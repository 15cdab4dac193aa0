"""How fast sherpa-onnx's models are here, through Locara's engines: files of the real sizes with random weights, made on
the spot. So it is speed alone; what they say is noise, or "low" and "high".

    python benchmarks/sherpa.py [--threads 1 2] [--runs 5] [--only NAME]

Shapes: Piper "medium" (its real layers, see ``tests/engines/sherpa_voice_models.py``), a streaming zipformer and moonshine
tiny (their real graphs' names, states and loops, with plain layers of as many weights inside; a real zipformer computes
its middle layers at half to an eighth of the rate and is faster). A model's folder is measured with --path and --kind.
Prints median and range. Needs: pip install 'locara[sherpa]' onnx
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from locara.audio import RATE, Samples
from locara.engines import sherpa_stt, sherpa_tts
from locara.errors import LocaraError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "engines"))

_BLOCK = RATE // 50
_TEXTS = (
    "Sure.",
    "I can help you with that.",
    "The meeting starts at three o'clock, and it should be finished before the end of the day.",
)


def _shapes() -> dict[str, tuple[str, Callable[[Path], None]]]:
    import sherpa_models  # type: ignore[import-not-found]
    import sherpa_voice_models  # type: ignore[import-not-found]

    return {
        "piper-medium": ("tts", sherpa_voice_models.piper_medium),
        "zipformer-20m": ("stt", lambda path: sherpa_models.zipformer_transducer(path, 384, 17)),
        "zipformer-70m": ("stt", lambda path: sherpa_models.zipformer_transducer(path, 512, 33)),
        "moonshine-tiny": ("stt", lambda path: sherpa_models.moonshine(path, 288, 9, 32_768, 10)),
    }


def _told(values: Sequence[float], unit: str = "ms", scale: float = 1e3) -> str:
    middle = statistics.median(values) * scale
    return f"{middle:.3g} ({min(values) * scale:.3g}-{max(values) * scale:.3g}) {unit}".rstrip()


def _speech(seconds: float) -> Samples:
    """Tones of half a second with short gaps: the models that know them say a word for each."""
    import sherpa_models

    sound: Samples = sherpa_models.tones(*["low", "high"] * round(seconds), seconds=0.45, gap=0.05)
    return sound[: round(seconds * RATE)]


async def _hear(path: Path, threads: int, runs: int) -> None:
    engine = sherpa_stt.create("benchmark", {"engine": "sherpa-onnx", "path": str(path), "threads": threads})
    assert engine is not None
    began = time.perf_counter()
    await engine.load()
    print(f"  load {time.perf_counter() - began:.2f} s")
    for seconds in (3.0, 10.0):
        sound = _speech(seconds)
        factors, cpu, ends, partials = [], [], [], 0
        for _ in range(runs):
            recognition = engine.open()
            began, spent, partials = time.perf_counter(), time.process_time(), 0
            for at in range(0, sound.size, _BLOCK):
                partials += await recognition.push(sound[at : at + _BLOCK]) is not None
            heard = time.perf_counter()
            await recognition.settle()
            ends.append(time.perf_counter() - heard)
            factors.append((heard - began) / seconds)
            cpu.append((time.process_time() - spent) / seconds)
            await recognition.close()
        print(
            f"  {seconds:4.0f} s: real-time factor of push {_told(factors, '', 1)}, CPU {statistics.median(cpu):.3f}, "
            f"settle {_told(ends)}, {partials} partials"
        )
    await engine.close()


async def _say(path: Path, threads: int, runs: int) -> None:
    voice = sherpa_tts.create("benchmark", {"engine": "sherpa-onnx", "path": str(path), "threads": threads})
    assert voice is not None
    began = time.perf_counter()
    await voice.load()
    print(f"  load {time.perf_counter() - began:.2f} s")
    for text in _TEXTS:
        firsts, factors, cpu, length = [], [], [], 0.0
        for _ in range(runs):
            began, spent, first, samples = time.perf_counter(), time.process_time(), 0.0, 0
            async for speech in voice.speak(text):
                first = first or time.perf_counter() - began
                samples += speech.samples.size
            length = samples / voice.rate
            firsts.append(first)
            factors.append((time.perf_counter() - began) / length)
            cpu.append((time.process_time() - spent) / length)
        print(
            f"  {len(text):3d} characters, {length:.2f} s: first {_told(firsts)}, real-time factor "
            f"{_told(factors, '', 1)}, CPU {statistics.median(cpu):.3f}"
        )
    await voice.close()


def main() -> int:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="one shape")
    parser.add_argument("--path", type=Path, help="a real model's folder instead")
    parser.add_argument("--kind", choices=("stt", "tts"), default="stt")
    chosen = parser.parse_args()
    measure: dict[str, Any] = {"stt": _hear, "tts": _say}
    try:
        if chosen.path is not None:
            for threads in chosen.threads:
                print(f"{chosen.path.name}, {threads} thread(s)")
                asyncio.run(measure[chosen.kind](chosen.path, threads, chosen.runs))
            return 0
        for name, (kind, make) in _shapes().items():
            if chosen.only in (None, name):
                with tempfile.TemporaryDirectory() as folder:
                    make(Path(folder))
                    size = sum(one.stat().st_size for one in Path(folder).iterdir()) / 1e6
                    for threads in chosen.threads:
                        print(f"{name} (random, {size:.0f} MB), {threads} thread(s)")
                        asyncio.run(measure[kind](Path(folder), threads, chosen.runs))
    except ImportError as error:
        print(f"{error}. Needed: pip install 'locara[sherpa]' onnx", file=sys.stderr)
        return 1
    except LocaraError as error:
        print(error.explain(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
