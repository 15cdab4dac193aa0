"""``locara doctor``: everything that a first conversation needs, looked at, with what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locara.cli.checks.verdict import Verdict

_EXAMPLES = """examples:
  locara doctor                    plays a short test tone, and listens for a second
  locara doctor --no-tone          without the tone
  locara doctor --json

exit codes: 0 all is well, or only warnings; 1 something that a conversation needs is missing or broken; 2 wrong command
line; 130 Ctrl-C
"""

CHECK_SECONDS = 20.0
"""For one check; one that hangs is told as failed, and the others go on."""

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "skip": "-   "}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara doctor``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--input", metavar="DEVICE", default="default", help="a microphone by name; none leaves it out")
    add("--output", metavar="DEVICE", default="default", help="a speaker by name; none leaves it out")
    add("--no-tone", action="store_true", help="play nothing, so say nothing of the echo")
    add("--json", action="store_true", help="one object: status, and a list of checks")


def run(options: argparse.Namespace) -> int:
    """Looks at everything; returns the exit code."""
    from locara.cli.checks.verdict import worst

    verdicts = asyncio.run(_all(options))
    if options.json:
        told = {"status": worst(verdicts), "checks": [dataclasses.asdict(one) for one in verdicts]}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(f"{_summary(verdicts)}\n")
    return 1 if worst(verdicts) == "fail" else 0


async def _all(options: argparse.Namespace) -> list[Verdict]:
    from locara.cli.checks import software, sound

    told: list[Verdict] = []

    async def check(name: str, work: Callable[[], Awaitable[list[Verdict]]]) -> None:
        some = await _bounded(name, work)
        told.extend(some)
        if not options.json:
            for one in some:
                sys.stdout.write(line(one))
            sys.stdout.flush()

    await check("machine", lambda: software.in_thread(software.machine))
    await check("engines", lambda: software.in_thread(software.engines))
    await check("models", lambda: software.in_thread(software.models))
    await check("model server", software.server)
    await check("offline", lambda: software.in_thread(software.offline))
    found: list[Any] = []

    async def listed() -> list[Verdict]:
        verdicts, devices = await sound.listed()
        found.extend(devices)
        return verdicts

    await check("devices", listed)
    kinds = {one.kind for one in found}
    if options.input != "none" and "input" in kinds:
        tone = options.output != "none" and "output" in kinds and not options.no_tone
        await check("microphone", lambda: _sound(options, tone=tone))
    await check("latency", lambda: software.in_thread(software.latency))
    return told


async def _sound(options: argparse.Namespace, *, tone: bool) -> list[Verdict]:
    """A second of the microphone, then the test tone through the air."""
    from locara.cli.checks import judging, sound
    from locara.gate import opening

    heard = await sound.microphone(opening.microphone(options.input))
    if not tone:
        return [heard]
    return judging.together(heard, await sound.loop(opening.microphone(options.input), opening.speaker(options.output)))


async def _bounded(name: str, work: Callable[[], Awaitable[list[Verdict]]]) -> list[Verdict]:
    """The verdicts of a check, whatever it does."""
    from locara.cli.checks.verdict import Verdict
    from locara.errors import LocaraError

    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await work()
    except TimeoutError:
        return [
            Verdict(name, "fail", f"gave no answer within {CHECK_SECONDS:g} s", "try again; then report it, please")
        ]
    except LocaraError as error:
        return [Verdict(name, "fail", error.message, error.hint)]
    except Exception as error:  # a check must not keep the others from being made
        return [Verdict(name, "fail", f"{type(error).__name__}: {error}", "report it, please: this is a fault of ours")]


def line(one: Verdict) -> str:
    """A verdict as a person reads it: one line, and the fix under it."""
    from locara.cli.lines import plain

    told = f"{_MARKS[one.status]}  {one.check:18}{plain(one.found)}\n"
    return told + (f"      {'':18}-> {plain(one.fix)}\n" if one.fix else "")


def _summary(verdicts: list[Verdict]) -> str:
    failed = [one.check for one in verdicts if one.status == "fail"]
    warned = [one.check for one in verdicts if one.status == "warn"]
    if failed:
        return f"Not ready: {', '.join(failed)}."
    return f"Ready to talk: locara talk. To look at: {', '.join(warned)}." if warned else "Ready to talk: locara talk"
