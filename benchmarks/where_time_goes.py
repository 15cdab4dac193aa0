"""The latency ledger of whole conversations with the embedded engines, part by part.

    python benchmarks/where_time_goes.py RECORDING.wav [...] [--patience quick]

Each recording is a session of its own on the virtual clock, where the engines' work is charged what it really took. The
first turn of a session is shown apart from later ones: the recogniser does not know the microphone yet. Milliseconds,
median (least to most). The built-in responder answers, so no model server is needed.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path

from locara import voice
from locara.testing import clock
from locara.voice import events as on


async def talk(recording: Path, patience: str) -> list[on.Latency]:
    """The ledgers of one session's turns."""
    session = voice.session(
        llm="built-in",
        input=recording,
        output="none",
        patience=patience,  # type: ignore[arg-type]  # argparse has checked it
        end_with_input=True,
    )
    stream = session.events()
    ledgers: list[on.Latency] = []
    async with session:
        async for event in stream:
            if isinstance(event, on.TurnEnd) and event.who == "user" and event.latency is not None:
                ledgers.append(event.latency)
    return ledgers


def shown(values: list[float]) -> str:
    """Median (least to most), in milliseconds."""
    return f"{1000 * statistics.median(values):.0f} ({1000 * min(values):.0f} to {1000 * max(values):.0f})"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--patience", choices=("quick", "normal", "patient"), default="normal")
    options = parser.parse_args()
    if missing := [str(one) for one in options.recordings if not one.is_file()]:
        raise SystemExit(f"there is no {', '.join(missing)}: give WAV files of somebody who asks something")
    sessions = [clock.run(talk(one, options.patience)) for one in options.recordings]
    groups = {
        "first": [ledgers[0] for ledgers in sessions if ledgers],
        "later": [one for ledgers in sessions for one in ledgers[1:]],
    }
    parts = [field.name for field in dataclasses.fields(on.Latency)]
    print(f"| turns | n | {' | '.join(parts)} | voice to voice |\n|{'---|' * (len(parts) + 3)}")
    for name, ledgers in groups.items():
        if ledgers:
            cells = [shown([getattr(one, part) for one in ledgers]) for part in parts]
            print(f"| {name} | {len(ledgers)} | {' | '.join(cells)} | {shown([one.total for one in ledgers])} |")


if __name__ == "__main__":
    main()
