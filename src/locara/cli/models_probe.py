"""``locara models probe``: how fast the models that are here run on this machine. What is proposed goes by it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locara.catalog.row import Row
    from locara.voice.probing import Measured

_EXAMPLES = """examples:
  locara models probe                    what is embedded and what is on disk, the best first, for about ten seconds
  locara models probe kokoro-82m         this one
  locara models probe --seconds 60 --json

exit codes: 0 done, 1 nothing could be measured or a name is wrong, 2 wrong command line, 130 Ctrl-C
"""

SECONDS = 10.0
"""Of measuring, loading not counted: no model is begun after that."""

LOAD_SECONDS, MEASURE_SECONDS, CLOSE_SECONDS = 60.0, 30.0, 5.0
"""Deadlines of one model. One that needs longer than 30 s for five seconds of speech is no model for talking."""

AGAIN_SECONDS = 4.0
"""What took less is measured twice."""

RECORDING_SECONDS = 4.0
"""Of the bundled question: one sentence and the silence after it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models probe``."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "names", metavar="ID", nargs="*", help="models that are on this machine; all of them if left out"
    )
    parser.add_argument("--seconds", metavar="N", type=float, default=SECONDS, help=f"how long in all, {SECONDS:g}")
    parser.add_argument("--json", action="store_true", help="one object: machine, file, and the figures of each model")


def run(options: argparse.Namespace) -> int:
    """Measures; returns the exit code. Raises ``ModelError`` and ``StageError``."""
    from locara.catalog import index, speeds
    from locara.catalog.machine import this_machine
    from locara.cli.models_show import found

    rows = [found(name) for name in options.names] or ready(index.rows())
    machine = this_machine()
    told, failed = asyncio.run(_probe(rows, options.seconds, named=bool(options.names), quiet=options.json))
    kept = speeds.remember(machine, told) if told else None
    if options.json:
        whole = {"machine": machine.fingerprint, "file": str(kept or ""), "models": told, "failed": failed}
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    elif kept is not None:
        sys.stdout.write(f"Kept in {kept}; locara models recommend uses it.\n")
    return 0 if told else 1


def ready(rows: tuple[Row, ...]) -> list[Row]:
    """What can be measured without a download: embedded or on disk, its engine and its system there; the best first."""
    from locara.catalog.fitting import SERVED, why_out_of_reach
    from locara.catalog.fitting import why_not_here as elsewhere
    from locara.catalog.picks import worth
    from locara.voice import choosing

    facts = choosing.facts(rows, reach="ready")
    some = [
        row
        for row in rows
        if row.kind in ("stt", "llm", "tts")
        and row.engine not in (SERVED, "built-in")  # another program's speed, and no model at all
        and not elsewhere(row, facts.machine)
        and not why_out_of_reach(row, facts)
    ]
    return sorted(some, key=lambda row: (-worth(row), row.id))


async def _probe(
    rows: list[Row], seconds: float, *, named: bool, quiet: bool
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    from locara.errors import LocaraError

    told: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    used = 0.0
    for row in rows:
        if used >= seconds:
            failed[row.id] = f"not measured: {seconds:g} s were over"
            continue
        try:
            measured, took = await _one(row)
        except LocaraError as error:
            failed[row.id] = error.message
            if named:
                raise
        except TimeoutError:
            failed[row.id] = f"took more than {MEASURE_SECONDS:g} s: too slow to talk with"
        else:
            used += took
            told[row.id] = figures(measured)
        if not quiet:
            line = _line(row, told[row.id]) if row.id in told else f"{row.id}: {failed[row.id]}"
            sys.stdout.write(f"{row.kind:5}{line}\n")
            sys.stdout.flush()
    return told, failed


async def _one(row: Row) -> tuple[Measured, float]:
    """One model: (figures, seconds of measuring). It is closed whatever happens."""
    from locara.voice import loading, naming, probing

    engine = naming.named(row.kind, row.id, {})
    began = time.perf_counter()
    try:
        await loading.load_all({row.kind: engine}, LOAD_SECONDS)
        loaded = time.perf_counter()
        measured = await _measured(row.kind, engine)
        if time.perf_counter() - loaded < AGAIN_SECONDS:  # what else the machine does only ever adds: the better counts
            measured = probing.better(measured, await _measured(row.kind, engine))
        took = time.perf_counter() - loaded
    finally:
        await loading.close_all([engine], CLOSE_SECONDS)
    return dataclasses.replace(measured, load=loaded - began), took


async def _measured(kind: str, engine: Any) -> Measured:
    from locara.voice import probing

    if kind == "stt":
        return await probing.recogniser(engine, recording(), MEASURE_SECONDS)
    if kind == "omni":
        return await probing.backend(engine, recording(), MEASURE_SECONDS)
    measure = probing.voice if kind == "tts" else probing.model
    return await measure(engine, MEASURE_SECONDS)


def recording() -> Any:
    """The bundled question, float32 at 16 kHz: its first `RECORDING_SECONDS`."""
    from locara.audio import RATE
    from locara.devices.wav import read_wav

    samples, rate = read_wav(Path(__file__).with_name("question.wav"))
    if rate != RATE:
        raise ValueError(f"question.wav is at {rate} Hz")
    return samples[: round(RECORDING_SECONDS * RATE)]


def figures(measured: Measured) -> dict[str, Any]:
    """What is kept: what was measured, rounded, and the day. Not what was said."""
    numbers = {name: value for name, value in dataclasses.asdict(measured).items() if isinstance(value, float)}
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {**{name: round(value, 4) for name, value in numbers.items()}, "measured": today}


def _line(row: Row, told: dict[str, Any]) -> str:
    first = {"stt": "text settled", "tts": "first sound", "llm": "first token", "omni": "first sound"}[row.kind]
    parts = [f"{row.id}: loaded in {told['load']:.1f} s, {first} after {told['first']:.2f} s"]
    if "real_time_factor" in told:
        parts.append(f"{told['real_time_factor']:.2f} s of work for a second of sound")
    if "tokens_a_second" in told:
        parts.append(f"{told['tokens_a_second']:.0f} tokens a second")
    return ", ".join(parts)
