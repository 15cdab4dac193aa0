"""A model for each stage: rows and facts in, a proposal out, with its reasons and what was refused. Pure.

What may live here: the choice among models that fit together. Whether one fits is `fitting`; how good it is says `picks`.

What holds whatever comes in (``tests/catalog/test_proposing.py``): nothing is proposed that does not fit; there is always
a proposal for each stage that has an embedded row; more memory never makes it worse; no licence is proposed that a person
would have to agree to first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from locara.catalog.fitting import Facts, budget, memory_of, on_card, size_of, speaks, why_not_here, why_refused, words
from locara.catalog.machine import Machine
from locara.catalog.picks import worth
from locara.catalog.row import Row, RowKind

STAGES: tuple[RowKind, ...] = ("stt", "llm", "tts")

Source = Literal["embedded", "on disk", "server", "download"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A model for a stage. ``model`` is what ``voice.session(stage=...)`` takes. ``memory`` and ``download`` in bytes,
    ``memory`` as estimated where ``guessed``. ``extra`` is to be installed first where it is not empty."""

    stage: RowKind
    model: str
    title: str
    source: Source
    licence: str
    flags: tuple[str, ...] = ()
    memory: int = 0
    guessed: bool = False
    download: int | None = 0
    extra: str = ""
    status: str = "works"
    why: str = ""
    worth: float = 0.0
    on_card: bool = False
    """Its memory is the accelerator's own."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that would be better and is not proposed. ``instead``: what is."""

    stage: RowKind
    model: str
    why: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A choice for each stage, and what was refused. ``budget``: bytes of memory that models may take together."""

    choices: tuple[Choice, ...]
    refused: tuple[Refusal, ...]
    budget: int | None
    notes: tuple[str, ...] = ()

    def of(self, stage: str) -> Choice | None:
        """The choice for a stage."""
        return next((one for one in self.choices if one.stage == stage), None)

    @property
    def memory(self) -> int:
        """Bytes of the machine's memory that all take together."""
        return sum(one.memory for one in self.choices if not one.on_card)

    @property
    def download(self) -> int:
        """Bytes to be fetched, as far as sizes are known."""
        return sum(one.download or 0 for one in self.choices)

    @property
    def worth(self) -> float:
        """What the choice was made by: more is better."""
        return sum(one.worth for one in self.choices)


def propose(rows: Iterable[Row], facts: Facts, stages: Sequence[RowKind] = STAGES) -> Proposal:
    """The best set that fits: of all combinations whose memory fits together, the one worth most; of equals, the one that
    takes less to fetch, then less memory, then the first by name."""
    rows = tuple(rows)
    candidates: dict[RowKind, list[Choice]] = {}
    refused: list[Refusal] = []
    for stage in stages:
        candidates[stage] = [*_of_servers(stage, facts)]
        for row in sorted((one for one in rows if one.kind == stage), key=lambda one: one.id):
            why = why_refused(row, facts)
            if why:
                refused.append(Refusal(stage, row.id, why))
            else:
                candidates[stage].append(_choice(row, facts))
        if all(one.memory for one in candidates[stage]):
            candidates[stage] += _last_resort(stage, rows, facts)
    chosen = _best({stage: some for stage, some in candidates.items() if some}, facts.machine)
    alternatives = {one.stage: one.model for one in chosen}
    passed_over = _passed_over(candidates, chosen, facts)
    better = _better_ones([*refused, *passed_over], rows, chosen, alternatives)
    return Proposal(tuple(chosen), tuple(better), budget(facts.machine), tuple(_notes(chosen, facts, rows, stages)))


def _choice(row: Row, facts: Facts) -> Choice:
    need, guessed = memory_of(row)
    here = row.id in facts.on_disk
    source: Source = "embedded" if row.bundled else "on disk" if here else "download"
    return Choice(
        stage=row.kind,
        model=row.id,
        title=row.title,
        source=source,
        licence=row.licence,
        flags=row.flags,
        memory=need or 0,
        guessed=guessed,
        download=size_of(row) if source == "download" else 0,
        extra=row.extra if row.extra not in facts.extras else "",
        status=row.status,
        why=_why(row, facts, source),
        worth=worth(row),
        on_card=on_card(row, facts.machine),
    )


def _why(row: Row, facts: Facts, source: Source) -> str:
    where = {
        "embedded": "comes with the installation",
        "on disk": "the best of what is on this machine",
        "download": "the best that fits this machine",
    }[source]
    speed = facts.speeds.get(row.id)
    if speed is not None and speed.real_time_factor is not None:
        where += f"; {speed.real_time_factor:.2f} s of work for a second of sound, measured here"
    elif speed is not None and speed.tokens_a_second is not None:
        where += f"; {speed.tokens_a_second:.0f} tokens a second, measured here"
    return where


_SERVER_WORTH = 90.0  # whoever runs a server has chosen its model


def _of_servers(stage: str, facts: Facts) -> Iterable[Choice]:
    if stage != "llm":
        return
    for rank, server in enumerate(facts.servers):
        model = f"{server.url}#{server.models[0]}" if server.models else server.url
        title = f"{server.models[0] if server.models else 'a model'} on {server.name}"
        why = f"{server.name} already runs at {server.url}"
        yield Choice("llm", model, title, "server", "as its model's", why=why, worth=_SERVER_WORTH - rank)


def _last_resort(stage: RowKind, rows: Sequence[Row], facts: Facts) -> Iterable[Choice]:
    """For when nothing else has room: what is embedded runs anywhere, if perhaps in another language."""
    for row in rows:
        if row.kind == stage and row.bundled and row.status != "listed" and not why_not_here(row, facts.machine):
            yield replace(_choice(row, facts), worth=_LAST_RESORT)


_LAST_RESORT = (
    -200.0
)  # worse than any loss elsewhere: no larger language model is worth a recogniser that knows no word
_NOTHING = -1000.0  # a stage without a model is worse than any model


def _best(candidates: Mapping[RowKind, Sequence[Choice]], machine: Machine) -> list[Choice]:
    """Of all combinations that fit, the best. Candidates that another beats in everything are left out first, so that
    there are few. A stage whose every model takes memory may stay empty."""
    most = budget(machine)
    cards = [one.free for one in machine.accelerators if one.kind == "cuda" and one.free is not None]
    fronts: list[list[Choice | None]] = []
    for some in candidates.values():
        front: list[Choice | None] = [*_front(some)]
        fronts.append(front if any(one.memory == 0 for one in some) else [*front, None])
    best: tuple[Choice | None, ...] | None = None
    for combination in itertools.product(*fronts):
        there = [one for one in combination if one is not None]
        memory = sum(one.memory for one in there if not one.on_card)
        on_cards = sum(one.memory for one in there if one.on_card)
        if (memory and most is not None and memory > most) or (on_cards and cards and on_cards > max(cards)):
            continue
        if best is None or _order(combination) < _order(best):
            best = combination
    return [one for one in best or () if one is not None]


def _front(choices: Sequence[Choice]) -> list[Choice]:
    front: list[Choice] = []
    for one in sorted(choices, key=lambda one: (one.on_card, one.memory, *_order((one,)))):
        if not any(_beats(other, one) for other in front):
            front.append(one)
    return front


def _beats(other: Choice, one: Choice) -> bool:
    same = other.on_card == one.on_card and other.memory <= one.memory
    return same and other.worth >= one.worth and (other.download or 0) <= (one.download or 0)


def _order(combination: Sequence[Choice | None]) -> tuple[float, int, int, tuple[str, ...]]:
    there = [one for one in combination if one is not None]
    return (
        -sum(one.worth if one is not None else _NOTHING for one in combination),
        sum(one.download or 0 for one in there),
        sum(one.memory for one in there),
        tuple(one.model for one in there),
    )


def _passed_over(
    candidates: Mapping[RowKind, Sequence[Choice]], chosen: Sequence[Choice], facts: Facts
) -> Iterable[Refusal]:
    """Those that would fit alone, but not beside the others."""
    for mine in chosen:
        others = sum(one.memory for one in chosen if one is not mine and not one.on_card)
        for one in candidates[mine.stage]:
            if one.worth > mine.worth:
                why = f"needs {words(one.memory)} beside {words(others)} for the other stages"
                most = budget(facts.machine)
                yield Refusal(mine.stage, one.model, why + ("" if most is None else f", {words(most)} may be taken"))


def _better_ones(
    refused: Iterable[Refusal], rows: Sequence[Row], chosen: Sequence[Choice], instead: Mapping[RowKind, str]
) -> Iterable[Refusal]:
    """Only what would have been better, the best first; the rest is of no interest to anybody."""
    values = {(row.kind, row.id): worth(row) for row in rows}
    level = {one.stage: one.worth for one in chosen}
    found = [
        Refusal(one.stage, one.model, one.why, instead.get(one.stage, ""))
        for one in refused
        if values.get((one.stage, one.model), 0.0) > level.get(one.stage, 0.0)
    ]
    order = list(STAGES)
    return sorted(
        found,
        key=lambda one: (
            order.index(one.stage) if one.stage in order else len(order),
            -values.get((one.stage, one.model), 0.0),
            one.model,
        ),
    )


def _notes(chosen: Sequence[Choice], facts: Facts, rows: Sequence[Row], stages: Sequence[str]) -> Iterable[str]:
    for stage in stages:
        if all(one.stage != stage for one in chosen):
            yield f"{stage}: nothing that knows {facts.language} fits here"
    by_id = {(row.kind, row.id): row for row in rows}
    for one in chosen:
        row = by_id.get((one.stage, one.model))
        if row is not None and not speaks(row, facts.language):
            yield f"{one.stage}: nothing that knows {facts.language} fits here; {one.model} knows {', '.join(row.languages)}"
    if facts.machine.memory_free is None:
        yield "how much memory is free could not be read: nothing was refused for its memory"
