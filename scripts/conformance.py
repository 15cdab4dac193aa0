#!/usr/bin/env python3
"""Examines every engine that is installed and writes the table: ``python scripts/conformance.py docs/conformance.md``.

Run it in the environment of the tests (all extras). The part of the page above the marker is written by hand and kept.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "engines"))

from specimens import ENGINES, Engine, question  # type: ignore[import-not-found]  # noqa: E402

from locara.engines import registry  # noqa: E402
from locara.testing.conformance import Outcome, Specimen, examine, table  # noqa: E402

MARKER = "<!-- below: written by scripts/conformance.py -->\n"
TITLES = {
    "stt": "Speech to text",
    "llm": "Language models",
    "tts": "Text to speech",
    "vad": "Voice activity",
    "turn": "End of turn",
    "wake": "Wake word",
}


def examined(engine: Engine, folder: Path) -> list[Outcome]:
    """The outcomes of one engine."""
    options = {**engine.options(folder), "engine": engine.name}
    return asyncio.run(
        examine(engine.kind, lambda: registry.create(engine.kind, engine.model, options), Specimen(question()))
    )


def main() -> int:
    """Examines, writes, and says what failed."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    page = Path(sys.argv[1])
    parts, notes, code = [], [], 0
    for kind, title in TITLES.items():
        rows = []
        for engine in (one for one in ENGINES if one.kind == kind):
            if engine.missing:
                notes.append(f"- {engine.title}: not examined, {engine.missing}")
                continue
            with tempfile.TemporaryDirectory() as folder:
                outcomes = examined(engine, Path(folder))
            rows.append((engine.title, outcomes))
            print(engine.title, "; ".join(f"{one.check}: {one.why}" for one in outcomes if not one.passed) or "passed")
            notes += [f"- {engine.title}, {name}: {why}" for name, why in engine.known.items()]
            code = code or int({one.check for one in outcomes if not one.passed} != set(engine.known))
        if rows:
            parts.append(f"## {title}\n\n{table(rows)}")
    head = page.read_text(encoding="utf-8").partition(MARKER)[0]
    page.write_text(head + MARKER + "\n" + "\n".join([*parts, *notes]).rstrip() + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
