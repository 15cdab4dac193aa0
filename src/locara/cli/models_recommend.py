"""``locara models recommend``: the set that fits this machine best, with sizes, licences, reasons, and what was refused."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locara.catalog.fitting import Facts, Server
    from locara.catalog.machine import Machine
    from locara.catalog.proposing import Choice, Proposal

_EXAMPLES = """examples:
  locara models recommend
  locara models recommend --language de --stt whisper-base
  locara models recommend --ready              only what is on this machine already
  locara models recommend --json

exit codes: 0 done, 1 the catalog cannot be read or a name is wrong, 2 wrong command line
"""
_REFUSED = 3
"""Refusals shown for a stage; --all shows every one."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models recommend``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--language", metavar="CODE", default="en", help="what you speak: en (the default), de, fr, en-gb")
    add("--ready", action="store_true", help="only what is on disk and whose engine is installed")
    add("--installed", action="store_true", help="only what the engines that are installed can run")
    for stage in ("stt", "llm", "tts"):
        add(f"--{stage}", metavar="MODEL", help=f"this {stage}, and the best beside it")
    add("--all", action="store_true", help="everything that would be better and was refused")
    add("--json", action="store_true", help="one object: machine, choices, refused, notes, commands")


def run(options: argparse.Namespace) -> int:
    """Shows the proposal; returns the exit code. Raises ``ConfigError`` or ``ModelError``."""
    from locara.catalog import index
    from locara.catalog.proposing import propose
    from locara.voice import choosing

    rows = index.rows()
    named = {stage: _named(stage, name) for stage in ("stt", "llm", "tts") if (name := getattr(options, stage))}
    reach: Any = "ready" if options.ready else "download" if options.installed else "install"
    facts = choosing.facts(rows, language=options.language, reach=reach, servers=asyncio.run(_servers()))
    kept = tuple(row for row in rows if row.kind not in named or row.id == named[row.kind])
    if "llm" in named:
        facts = dataclasses.replace(facts, servers=())
    proposal = propose(kept, facts)
    if options.json:
        sys.stdout.write(json.dumps(_as_json(proposal, facts), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(proposal, facts, every=options.all)) + "\n")
    return 0


def _named(stage: str, name: str) -> str:
    """The id that ``--stt name`` means. Raises ``ModelError`` for none, ``ConfigError`` for another kind."""
    from locara.cli.models_show import found
    from locara.errors import ConfigError

    row = found(name)
    if row.kind != stage:
        raise ConfigError(f"{row.id} is of the kind {row.kind}, not {stage}", hint=f"locara models list --kind {stage}")
    return row.id


async def _servers() -> tuple[Server, ...]:
    from locara.catalog.fitting import Server
    from locara.engines import local_servers

    found = await local_servers.find()
    return (Server(found.name, found.url, found.models),) if found is not None else ()


def commands(proposal: Proposal) -> list[str]:
    """What to type to have it, in order."""
    extras = sorted({one.extra for one in proposal.choices if one.extra})
    told = [f'pip install "locara[{",".join(extras)}]"'] if extras else []
    absent = [one.model for one in proposal.choices if one.source == "download"]
    told += [f"locara models pull {' '.join(absent)}"] if absent else []
    chosen = [f"--{one.stage} {one.model}" for one in proposal.choices if one.source != "embedded"]
    return [*told, " ".join(["locara talk", *chosen])]


def machine_line(machine: Machine) -> str:
    """The machine in one line."""
    from locara.catalog.fitting import words

    parts = [f"{machine.processor}, {machine.cores} core{'s' if machine.cores > 1 else ''}"]
    if machine.memory_total is not None and machine.memory_free is not None:
        parts.append(f"{words(machine.memory_free)} of {words(machine.memory_total)} memory free")
    for one in machine.accelerators:
        own = f" ({words(one.free)} of {words(one.total)} free)" if one.free is not None and one.total else ""
        parts.append(f"{one.kind}: {one.name}{own}")
    if machine.disk_free is not None:
        parts.append(f"{words(machine.disk_free)} of disk free")
    return ", ".join(parts) + f"; {machine.os} {machine.os_version}"


def _lines(proposal: Proposal, facts: Facts, *, every: bool) -> Iterator[str]:
    from locara.catalog.fitting import words

    yield f"machine   {machine_line(facts.machine)}"
    if proposal.budget is not None:
        yield f"budget    {words(proposal.budget)} for all models together; these take {words(proposal.memory)}"
    for one in proposal.choices:
        yield f"{one.stage:10}{one.model}: {_facts_of(one)}"
        yield f"{'':10}{one.why}"
    for note in proposal.notes:
        yield f"note      {note}"
    for stage in ("stt", "llm", "tts"):
        refused = [one for one in proposal.refused if one.stage == stage]
        for refusal in refused if every else refused[:_REFUSED]:
            yield f"not {stage:6}{refusal.model}: {refusal.why}"
        if not every and len(refused) > _REFUSED:
            yield f"{'':10}and {len(refused) - _REFUSED} more: --all"
    yield "to have it"
    for command in commands(proposal):
        yield f"  {command}"


def _facts_of(choice: Choice) -> str:
    from locara.catalog.fitting import words

    flags = f" ({', '.join(choice.flags)})" if choice.flags else ""
    parts = [choice.source, f"{choice.licence}{flags}"]
    if choice.source == "download":
        parts.insert(1, words(choice.download))
    if choice.memory:
        where = " on the card" if choice.on_card else ""
        parts.append(f"{'about ' if choice.guessed else ''}{words(choice.memory)} of memory{where}")
    if choice.status == "experimental":
        parts.append("experimental")
    return ", ".join(parts)


def _as_json(proposal: Proposal, facts: Facts) -> dict[str, Any]:
    return {
        "machine": {**dataclasses.asdict(facts.machine), "fingerprint": facts.machine.fingerprint},
        "language": facts.language,
        "budget": proposal.budget,
        "memory": proposal.memory,
        "download": proposal.download,
        "choices": [dataclasses.asdict(one) for one in proposal.choices],
        "refused": [dataclasses.asdict(one) for one in proposal.refused],
        "notes": list(proposal.notes),
        "commands": commands(proposal),
    }
