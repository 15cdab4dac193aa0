"""The conversation that all systems have, what is measured in it, and what a runner prints.

What may live here: the order of trials and the measures, all taken from the two recordings; a system is only asked for
its history. Standard library and numpy only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from stage import FOURTEEN, LONG, ONE_WORD, RATE_OUT, SHORT, WORD, Line, Reply, Said, Speaker, Stage, read_lines

LONGEST = 8.0
"""Seconds that an answer is waited for before it counts as none."""
GAP = 0.12
"""Seconds of silence in the output that are a stop: longer than any gap between frames, shorter than any pause."""
QUIET = 1.2
"""Seconds of silence on both sides before the next trial."""
AFTER_NOISE = 6.0
"""The same after a noise: pipecat answers it after 5 s, and that must not fall into the next trial."""
EARLY, LATE = 1.5, 4.5
"""Seconds into a reply at which it is interrupted."""


class System(Protocol):
    """What a runner gives for each session."""

    stage: Stage
    speaker: Speaker

    def history(self) -> list[tuple[str, str]]:
        """(role, text) of the conversation as the system would tell it to the model: "user" and "assistant"."""
        ...


@dataclass
class Trial:
    """One measured moment; seconds, None where it did not happen."""

    kind: str
    voice_to_voice: float | None = None
    added: float | None = None
    stop: float | None = None
    resume: float | None = None
    stopped: bool | None = None
    completed: bool | None = None
    heard_words: int | None = None
    history_words: int | None = None
    note: str = ""


@dataclass
class Report:
    """What a runner prints as JSON."""

    system: str
    versions: dict[str, str]
    sessions: int
    trials: list[Trial] = field(default_factory=list)
    cpu_share: float = 0.0
    """Seconds of processor per second, of all sessions together."""
    memory_mb: float | None = None
    """Resident memory at the end."""


async def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Looks every 10 ms; False when the time is over."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True


async def quiet(system: System, seconds: float = QUIET) -> None:
    """Waits until the output was silent for so long, 30 s more at most."""
    now = system.stage.clock
    await asyncio.sleep(seconds)
    await wait_for(lambda: system.speaker.loud(now.now - seconds).size == 0, 30.0)


async def answered(system: System, said: Said) -> float | None:
    """When the first sample of the answer was audible."""
    await system.stage.clock.until(said.end)
    if not await wait_for(lambda: system.speaker.loud(said.start).size > 0, LONGEST):
        return None
    return float(system.speaker.loud(said.start)[0])


async def turn(system: System, reply: Reply, line: Line) -> Trial:
    """One question and its answer."""
    system.stage.reply = reply
    said = system.stage.mic.say(line)
    first = await answered(system, said)
    trial = Trial(reply.name)
    if first is None:
        trial.note = "no answer"
    elif first < said.end:
        trial.note = "spoke before the question was over"
    else:
        trial.voice_to_voice = first - said.end
        trial.added = trial.voice_to_voice - reply.parts
    await quiet(system)
    return trial


def gap_after(loud: np.ndarray, since: float, now: float) -> tuple[float, float | None] | None:
    """The first silence of the output after ``since``: when it began, and when it ended, if it has."""
    times = loud[loud >= since]
    if times.size == 0:
        before = loud[loud < since]
        return (float(before[-1]) if before.size else since, None)
    steps = np.flatnonzero(np.diff(times) > GAP)
    if steps.size:
        return float(times[steps[0]]), float(times[steps[0] + 1])
    return (float(times[-1]), None) if now - times[-1] > GAP else None


def heard_between(loud: np.ndarray, since: float, until: float) -> int:
    """Words that sounded: audible samples by the length of a word."""
    audible = int(((loud >= since) & (loud <= until)).sum())
    return round(audible / RATE_OUT / WORD)


async def barge_in(system: System, kind: str, after: float, question: Line, stop: Line) -> Trial:
    """The user takes the floor ``after`` seconds into a long answer."""
    trial = Trial(kind)
    before = remembered(system.history())
    system.stage.reply = LONG
    asked = system.stage.mic.say(question)
    first = await answered(system, asked)
    if first is None or first < asked.end:
        trial.note = "no answer" if first is None else "spoke before the question was over"
        await quiet(system)
        return trial
    await system.stage.clock.until(first + after)
    system.stage.reply = SHORT
    said = system.stage.mic.say(stop)
    await system.stage.clock.until(said.end + 0.5)
    await quiet(system)
    loud = system.speaker.loud(asked.start)
    found = gap_after(loud, said.start, system.stage.clock.now)
    if found is None or found[0] > said.end + 2.0:
        trial.note = "not stopped"
        return trial
    trial.stop = found[0] - said.start
    trial.heard_words = heard_between(loud, first - 0.001, found[0] + 0.001)
    trial.history_words = remembered(system.history()) - before
    return trial


def remembered(history: list[tuple[str, str]]) -> int:
    """Words of the long answer that the history holds, wherever the system put them; `SHORT` shares none of them."""
    known = {word.strip(".") for word in LONG.text.split()}
    return sum(word.strip(".") in known for role, text in history if role == "assistant" for word in text.split())


async def noise(system: System, question: Line, sound: Line) -> Trial:
    """A wordless noise in the middle of a long answer: it should go on."""
    trial = Trial("noise")
    system.stage.reply = LONG
    asked = system.stage.mic.say(question)
    first = await answered(system, asked)
    if first is None or first < asked.end:
        trial.note = "no answer" if first is None else "spoke before the question was over"
        await quiet(system)
        return trial
    await system.stage.clock.until(first + LATE)
    system.stage.reply = SHORT
    said = system.stage.mic.say(sound)
    await quiet(system, AFTER_NOISE)
    loud = system.speaker.loud(asked.start)
    whole = first + LONG.words * WORD
    found = gap_after(loud, said.start, system.stage.clock.now)
    trial.stopped = found is not None and found[0] < whole - 0.1
    trial.completed = heard_between(loud, first - 0.001, np.inf) >= LONG.words - 1
    if trial.stopped and trial.completed and found is not None and found[1] is not None:
        trial.resume = found[1] - said.end
    return trial


async def perform(system: System, lines: dict[str, Line], trials: int) -> list[Trial]:
    """All trials of one session, ``trials`` of each kind."""
    questions = [line for name, line in lines.items() if name.startswith("question")]
    done: list[Trial] = []
    await asyncio.sleep(1.0)
    # The very first answer: LiveKit does not listen during the first 3 s that it speaks, by default.
    done.append(await barge_in(system, "barge-in first", EARLY, questions[0], lines["stop"]))
    for number in range(trials):
        question = questions[number % len(questions)]
        done.append(await turn(system, ONE_WORD, question))
        done.append(await turn(system, FOURTEEN, question))
        done.append(await barge_in(system, "barge-in early", EARLY, question, lines["stop"]))
        done.append(await barge_in(system, "barge-in late", LATE, question, lines["stop"]))
        done.append(await noise(system, question, lines["noise"]))
    return done


async def load(system: System, lines: dict[str, Line], trials: int) -> list[Trial]:
    """Only short answers: what a session costs."""
    questions = [line for name, line in lines.items() if name.startswith("question")]
    await asyncio.sleep(1.0)
    return [await turn(system, ONE_WORD, questions[number % len(questions)]) for number in range(trials)]


def resident_mb() -> float | None:
    """Resident memory of this process, where the system tells it (Linux)."""
    try:
        told = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(told[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, AttributeError):
        return None


def arguments(description: str, configurations: tuple[str, ...]) -> argparse.Namespace:
    """The command line of every runner."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("speech", type=Path, help="the folder that make_speech.py wrote")
    parser.add_argument("--configuration", choices=configurations, default=configurations[0])
    parser.add_argument("--trials", type=int, default=6, help="of each kind (6); negative: only short turns, that many")
    parser.add_argument("--sessions", type=int, default=1, help="more than one: only what sessions cost is measured")
    given = parser.parse_args()
    if not (given.speech / "speech.json").is_file():
        raise SystemExit(f"{given.speech} has no speech.json: make it with make_speech.py")
    return given


async def report(
    given: argparse.Namespace,
    name: str,
    versions: dict[str, str],
    start: Callable[[int], Awaitable[tuple[System, Callable[[], Awaitable[Any]]]]],
) -> Report:
    """Starts the sessions one after the other with ``start(seed)``, which gives a system and how to end it; runs them
    side by side; measures; ends them."""
    lines = read_lines(given.speech)
    running = [await start(seed) for seed in range(given.sessions)]
    told = Report(f"{name} {given.configuration}", versions, given.sessions)
    began, spent = time.monotonic(), time.process_time()
    act = perform if given.sessions == 1 and given.trials > 0 else load
    done = await asyncio.gather(*(act(system, lines, abs(given.trials)) for system, _ in running))
    told.cpu_share = (time.process_time() - spent) / (time.monotonic() - began)
    told.memory_mb = resident_mb()
    told.trials = [trial for trials in done for trial in trials]
    for _, end in running:
        await asyncio.wait_for(end(), 20.0)
    return told


def show(told: Report) -> None:
    """One line of JSON on stdout, the last one."""
    sys.stdout.flush()
    print(json.dumps(asdict(told)), flush=True)
