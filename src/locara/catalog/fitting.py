"""Does a model fit a machine: the rules of headroom, and the reasons in words. Pure: no I/O, no clock.

What may live here: what is known (`Facts`), and what speaks against one model. The facts come from `machine`, `extras`
and the store. Which models are taken together is the business of `proposing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from locara.catalog.machine import Machine, version_reached
from locara.catalog.row import Row

GB = 1_000_000_000
MB = 1_000_000

RESERVE_SHARE = 0.10
"""Of all memory, left to the system and other programs: what they take changes while one talks, and the first thing that
swaps is the voice."""
RESERVE_LEAST = 500 * MB
"""And never less: a conversation itself takes about 300 MB with its embedded engines."""

UNKNOWN_FACTOR, UNKNOWN_MORE = 1.25, 150 * MB
"""A model whose memory nobody told: its files once, a quarter for what is computed, and the runtime library."""

CONTEXT = 300 * MB
"""A language model's context of 4,096 tokens, where only the size of its file is known: a model of 3 to 4 B parameters with
grouped keys takes 100 to 600 MB at 16 bit."""

DISK_RESERVE = 500 * MB
"""Left on the disk after a download, as the store leaves it."""

STT_SLOWEST, TTS_SLOWEST = 0.5, 0.7
"""Measured real-time factors above which a model is too slow to talk with: the rest of the turn needs the cores too."""
LLM_TOKENS_A_SECOND = 8.0
"""Speech takes 3 to 4 tokens a second (150 words a minute); twice that lets the first clause come early."""

STT_PARAMS_A_CORE, TTS_PARAMS_A_CORE = 150e6, 50e6
"""Not measured yet: parameters that one core carries in real time with room to spare. Published: Moonshine with 245 M
answers 0.8 s after a phrase on the four cores of a Raspberry Pi 5 and 0.27 s on a PC; Kokoro with 82 M speaks at half of
real time on four virtual cores."""
LLM_BYTES_ON_CPU, LLM_BYTES_ON_METAL = 3 * GB, 8 * GB
"""Not measured yet: weights that can be read `LLM_TOKENS_A_SECOND` times a second. Every token reads all weights; memory
of a PC with two channels gives about 25 GB/s, Apple silicon from 68 GB/s on."""

LLM_PARAMS_A_CORE = 1e9
"""And parameters that one core carries at that pace without an accelerator: a token takes two operations for each, and a
core does some 20 G of them a second on weights of four bits."""

UNASKED = frozenset({"non-commercial", "gated", "framework-bound", "non-compete"})
"""Licence flags of models that are never proposed, only taken when somebody names them."""

UNCHECKED = "LicenseRef-unchecked"
"""The licence of a row for which none was looked up."""

SERVED = "openai-compatible"
"""The engine of models that a server runs: without that server there is nothing to propose."""

Reach = Literal["ready", "download", "install"]
"""How far a proposal may go: what is ``ready`` (on disk, its engine installed), what only needs a ``download``, or what
also needs an extra of this package to be ``install``-ed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A language model server that answers: ``url`` as it is given to ``llm=``, and the models it has."""

    name: str
    url: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured here. ``real_time_factor``: seconds of work for a second of sound; ``tokens_a_second``."""

    real_time_factor: float | None = None
    tokens_a_second: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known beside the catalog. ``on_disk``: ids whose files are here; ``extras``: those installed; ``engines``:
    kind -> names of the engines that are installed at all (None: not asked); ``language``: a BCP 47 code."""

    machine: Machine
    language: str = "en"
    on_disk: frozenset[str] = frozenset()
    extras: frozenset[str] = frozenset()
    engines: Mapping[str, frozenset[str]] | None = None
    servers: tuple[Server, ...] = ()
    speeds: Mapping[str, Speed] = field(default_factory=dict)
    reach: Reach = "download"


# --- one model and one machine ----------------------------------------------------------------------------------------


def budget(machine: Machine) -> int | None:
    """Bytes of memory that models may take together; None where the memory is not known."""
    if machine.memory_free is None:
        return None
    total = machine.memory_total or machine.memory_free
    return max(0, machine.memory_free - max(RESERVE_LEAST, round(RESERVE_SHARE * total)))


def size_of(row: Row) -> int | None:
    """Bytes on disk, or to be fetched: as the row says, else its files together; None where one is not known."""
    if row.disk is not None:
        return row.disk
    sizes = [one.size for one in row.files]
    return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def memory_of(row: Row) -> tuple[int | None, bool]:
    """(bytes of memory it takes, is that an estimate). What is bundled is counted in `RESERVE_LEAST`."""
    if row.memory is not None:
        return row.memory, False
    if row.bundled:
        return 0, False
    size = size_of(row)
    if size is None:
        return None, True
    return round(UNKNOWN_FACTOR * size) + UNKNOWN_MORE + (CONTEXT if row.kind == "llm" else 0), True


def speaks(row: Row, language: str) -> bool:
    """Whether a row knows a language. A row without languages, or with ``mul``, says nothing against any."""
    wanted = language.lower().split("-")[0]
    return not row.languages or any(one.lower().split("-")[0] in (wanted, "mul") for one in row.languages)


def on_card(row: Row, machine: Machine) -> bool:
    """Whether it takes the memory of a graphics card, not the machine's."""
    return "cuda" in row.needs.accelerator and any(one.kind == "cuda" for one in machine.accelerators)


def why_not_here(row: Row, machine: Machine) -> str:
    """Why this system can never run it; empty where it can."""
    needs = row.needs
    if needs.os and machine.os not in needs.os:
        return f"runs on {' and '.join(needs.os)} only"
    if not version_reached(machine.os_version, needs.os_version):
        return f"needs version {needs.os_version} of the system, this is {machine.os_version}"
    has = {one.kind for one in machine.accelerators}
    has_words = {"cuda": {"cuda"}, "metal": {"metal", "mlx"}}
    if needs.accelerator and not any(set(needs.accelerator) & has_words[one] for one in has):
        return f"needs {' or '.join(needs.accelerator)}, which this machine does not have"
    return ""


def why_too_large(row: Row, machine: Machine, used: int = 0) -> str:
    """Why its memory cannot be had now, beside ``used`` bytes of others; empty where it can, or nothing is known."""
    need, guessed = memory_of(row)
    about = "about " if guessed else ""
    if need is None:
        return ""
    if on_card(row, machine):
        free = [one.free for one in machine.accelerators if one.kind == "cuda" and one.free is not None]
        if free and need > max(free):
            return f"needs {about}{words(need)} of graphics memory, {words(max(free))} free"
        return ""
    most = budget(machine)
    if most is None or need == 0 or need <= most - used:
        return ""
    free_memory = machine.memory_free or 0
    left = f"{words(free_memory)} free" + (f", {words(used)} for the other stages" if used else "")
    return f"needs {about}{words(need)}, {left}, of which {words(free_memory - most)} stay with the system"


def why_too_slow(row: Row, facts: Facts) -> str:
    """Why it would be too slow here: by what was measured, else by rules of thumb; empty where it would not."""
    if row.bundled:
        return ""  # there is nothing smaller to take instead
    speed = facts.speeds.get(row.id)
    if speed is not None:
        return _measured_too_slow(row.kind, speed)
    kinds = {one.kind for one in facts.machine.accelerators}
    return "" if "cuda" in kinds else _probably_too_slow(row, facts.machine.cores, metal="metal" in kinds)


def _probably_too_slow(row: Row, cores: int, *, metal: bool) -> str:
    if row.kind == "llm":
        size = size_of(row)
        if size and size > (LLM_BYTES_ON_METAL if metal else LLM_BYTES_ON_CPU):
            return f"{words(size)} of weights are too much to read for each token here"
        if metal:
            return ""
    limit = {"stt": STT_PARAMS_A_CORE, "tts": TTS_PARAMS_A_CORE, "llm": LLM_PARAMS_A_CORE}.get(row.kind)
    if limit is None or row.params is None or row.params <= limit * cores:
        return ""
    wanted = -(-row.params // int(limit))
    return f"{round(row.params / 1e6)} M parameters want about {wanted} cores, {cores} may be used"


def _measured_too_slow(kind: str, speed: Speed) -> str:
    limit = {"stt": STT_SLOWEST, "tts": TTS_SLOWEST}.get(kind)
    if limit is not None and speed.real_time_factor is not None and speed.real_time_factor > limit:
        return f"measured here: {speed.real_time_factor:.2f} s of work for a second of sound, {limit:g} at most"
    if kind == "llm" and speed.tokens_a_second is not None and speed.tokens_a_second < LLM_TOKENS_A_SECOND:
        return f"measured here: {speed.tokens_a_second:.1f} tokens a second, {LLM_TOKENS_A_SECOND:g} at least"
    return ""


def why_out_of_reach(row: Row, facts: Facts) -> str:
    """Why it cannot be had without somebody doing or deciding something; empty where it can."""
    if row.status == "listed":
        return "no engine runs it yet"
    if why := _why_to_be_named(row):
        return f"{why}: it is only taken when you name it"
    if facts.engines is not None and row.engine not in facts.engines.get(row.kind, frozenset()):
        return f"the engine {row.engine or '(none)'} is not installed"
    if row.extra and row.extra not in facts.extras and facts.reach != "install":
        return f'needs pip install "locara[{row.extra}]"'
    return "" if row.bundled or row.id in facts.on_disk else _why_not_fetched(row, facts)


def _why_to_be_named(row: Row) -> str:
    flags = sorted(UNASKED.intersection(row.flags))
    if flags:
        return f"its licence is {' and '.join(flags)}"
    if row.licence == UNCHECKED:
        return "nobody has looked up its licence"
    return "it is a server's, and one that runs here is found by itself" if row.engine == SERVED else ""


def _why_not_fetched(row: Row, facts: Facts) -> str:
    if facts.reach == "ready":
        return "is not on this machine"
    if not row.files:
        return "has no files in the catalog: bring them with locara models import"
    size, free = size_of(row), facts.machine.disk_free
    if size is not None and free is not None and size + DISK_RESERVE > free:
        return f"needs {words(size)} of disk and {words(DISK_RESERVE)} to spare, {words(free)} free"
    return ""


def why_refused(row: Row, facts: Facts) -> str:
    """The first reason against a model by itself; empty where there is none."""
    if not speaks(row, facts.language):
        return f"does not know the language {facts.language}"
    need, _ = memory_of(row)
    if need is None and facts.machine.memory_free is not None:
        return "how much memory it takes is not known"
    return (
        why_not_here(row, facts.machine)
        or why_too_large(row, facts.machine)
        or why_too_slow(row, facts)
        or why_out_of_reach(row, facts)
    )


def words(size: int | None) -> str:
    """A size as people read it, in decimal units: ``5.1 GB``, ``340 MB``, ``69 kB``."""
    if size is None:
        return "an unknown size"
    if size >= 999_500_000:
        return f"{size / GB:.1f} GB"
    return f"{max(size, 0) / MB:.0f} MB" if size >= 999_500 else f"{max(size, 0) / 1000:.0f} kB"
