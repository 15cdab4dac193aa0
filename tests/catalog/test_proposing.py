"""What fits: the reasons in words, and what holds for any rows and any machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from locara.catalog.fitting import (
    GB,
    MB,
    UNASKED,
    Facts,
    Server,
    Speed,
    budget,
    memory_of,
    speaks,
    why_refused,
    words,
)
from locara.catalog.machine import Accelerator, Machine
from locara.catalog.proposing import propose
from locara.catalog.row import ModelFile, Needs, Row

LAPTOP = Machine("linux", "6.1", "x86_64", "a laptop", 8, 16 * GB, 10 * GB, 100 * GB)

EMBEDDED = (
    Row("pocketsphinx-en-us", "stt", "Sphinx", "BSD", "works", "pocketsphinx", languages=("en",), bundled=True),
    Row("built-in", "llm", "Responder", "Apache-2.0", "works", "built-in", languages=("en",), bundled=True),
    Row("espeak-ng", "tts", "eSpeak NG", "GPL-3.0-or-later", "works", "espeak-ng", bundled=True),
)  # fmt: skip
FILES = (ModelFile("model.onnx", sha256="0" * 64, size=100 * MB),)
SMALL = Row(
    "small-stt", "stt", "Small", "MIT", "experimental", "sherpa-onnx", languages=("en", "de"), streaming=True,
    params=30_000_000, memory=200 * MB, files=FILES,
)  # fmt: skip
MEDIUM = replace(SMALL, id="medium-stt", params=240_000_000, memory=5_100 * MB, files=FILES)


def test_the_better_of_two_is_taken_where_both_fit() -> None:
    got = propose([*EMBEDDED, SMALL, MEDIUM], Facts(LAPTOP))
    assert [one.model for one in got.choices] == ["medium-stt", "built-in", "espeak-ng"]
    stt = got.of("stt")
    assert stt is not None
    assert (stt.source, stt.download, stt.licence) == ("download", 100 * MB, "MIT")


def test_what_does_not_fit_is_refused_with_both_figures_and_an_alternative() -> None:
    got = propose([*EMBEDDED, SMALL, MEDIUM], Facts(replace(LAPTOP, memory_total=4 * GB, memory_free=3_200 * MB)))
    (refused,) = got.refused
    assert (refused.model, refused.instead) == ("medium-stt", "small-stt")
    assert refused.why == "needs 5.1 GB, 3.2 GB free, of which 500 MB stay with the system"


def test_two_that_fit_alone_but_not_together_are_not_both_taken() -> None:
    model = Row("big", "llm", "Big", "MIT", "experimental", "llama", params=3_000_000_000, memory=2 * GB, files=FILES)
    machine = replace(LAPTOP, memory_total=6 * GB, memory_free=6 * GB)
    got = propose([*EMBEDDED, replace(MEDIUM, memory=4 * GB), model], Facts(machine))
    taken = {one.model for one in got.choices}
    assert not {"big", "medium-stt"} <= taken
    assert taken & {"big", "medium-stt"}
    assert any("beside" in one.why for one in got.refused)


@pytest.mark.parametrize("flag", sorted(UNASKED))
def test_a_licence_that_wants_agreement_is_never_proposed(flag: str) -> None:
    row = replace(SMALL, flags=(flag,))  # type: ignore[arg-type]
    got = propose([*EMBEDDED, row], Facts(LAPTOP, on_disk=frozenset({row.id})))
    assert got.of("stt") is not None
    assert got.of("stt").model == "pocketsphinx-en-us"  # type: ignore[union-attr]
    assert flag in got.refused[0].why


@pytest.mark.parametrize(
    ("row", "facts", "why"),
    [
        (replace(SMALL, status="listed"), Facts(LAPTOP), "no engine runs it yet"),
        (replace(SMALL, needs=Needs(os=("macos",))), Facts(LAPTOP), "runs on macos only"),
        (replace(SMALL, needs=Needs(accelerator=("cuda",))), Facts(LAPTOP), "needs cuda, which this machine"),
        (replace(SMALL, extra="sherpa"), Facts(LAPTOP), 'pip install "locara[sherpa]"'),
        (replace(SMALL, files=()), Facts(LAPTOP), "locara models import"),
        (SMALL, Facts(LAPTOP, reach="ready"), "is not on this machine"),
        (SMALL, Facts(LAPTOP, language="fr"), "does not know the language fr"),
        (SMALL, Facts(replace(LAPTOP, disk_free=550 * MB)), "needs 100 MB of disk and 500 MB to spare, 550 MB free"),
        (SMALL, Facts(LAPTOP, engines={"stt": frozenset({"pocketsphinx"})}), "the engine sherpa-onnx is not installed"),
        (SMALL, Facts(LAPTOP, speeds={"small-stt": Speed(0.9)}), "measured here: 0.90 s of work"),
        (replace(SMALL, licence="LicenseRef-unchecked"), Facts(LAPTOP), "nobody has looked up its licence"),
        (replace(SMALL, engine="openai-compatible"), Facts(LAPTOP), "found by itself"),
        (replace(SMALL, params=600_000_000), Facts(replace(LAPTOP, cores=2)), "want about 4 cores, 2 may be used"),
        (replace(SMALL, memory=None, files=(ModelFile("a"),)), Facts(LAPTOP), "how much memory it takes is not known"),
    ],
)
def test_each_refusal_says_why(row: Row, facts: Facts, why: str) -> None:
    assert why in why_refused(row, facts)


def test_a_measured_speed_beats_the_rule_of_thumb() -> None:
    row = replace(SMALL, params=6_000_000_000)
    assert "cores" in why_refused(row, Facts(LAPTOP))
    assert why_refused(row, Facts(LAPTOP, speeds={row.id: Speed(0.1)})) == ""


def test_an_extra_is_proposed_with_its_command_only_where_one_may_install() -> None:
    row = replace(SMALL, extra="sherpa")
    assert propose([*EMBEDDED, row], Facts(LAPTOP)).of("stt").model == "pocketsphinx-en-us"  # type: ignore[union-attr]
    got = propose([*EMBEDDED, row], Facts(LAPTOP, reach="install")).of("stt")
    assert got is not None
    assert (got.model, got.extra) == ("small-stt", "sherpa")


def test_a_server_that_runs_comes_first() -> None:
    server = Server("Ollama", "http://127.0.0.1:11434/v1", ("qwen2.5:3b",))
    got = propose(EMBEDDED, Facts(LAPTOP, servers=(server,))).of("llm")
    assert got is not None
    assert (got.model, got.source) == ("http://127.0.0.1:11434/v1#qwen2.5:3b", "server")


def test_a_language_nothing_knows_gets_what_is_embedded_and_a_note() -> None:
    got = propose([*EMBEDDED, SMALL], Facts(LAPTOP, language="fi"))
    assert [one.model for one in got.choices] == ["pocketsphinx-en-us", "built-in", "espeak-ng"]
    assert any("stt: nothing that knows fi fits here" in note for note in got.notes)


def test_a_card_has_memory_of_its_own() -> None:
    row = replace(SMALL, needs=Needs(accelerator=("cuda",)), memory=20 * GB)
    card = Accelerator("cuda", "a card", 24 * GB, 23 * GB)
    machine = replace(LAPTOP, accelerators=(card,))
    got = propose([*EMBEDDED, row], Facts(machine)).of("stt")
    assert got is not None
    assert (got.model, got.on_card) == ("small-stt", True)
    full = replace(machine, accelerators=(replace(card, free=5 * GB),))
    assert "20.0 GB of graphics memory, 5.0 GB free" in why_refused(row, Facts(full))


def test_memory_is_estimated_from_the_files_where_nobody_told_it() -> None:
    assert memory_of(replace(SMALL, memory=None)) == (275 * MB, True)
    assert memory_of(replace(SMALL, memory=None, kind="llm")) == (575 * MB, True)
    assert memory_of(EMBEDDED[0]) == (0, False)


def test_unknown_memory_of_the_machine_refuses_nothing_and_says_so() -> None:
    got = propose([*EMBEDDED, MEDIUM], Facts(replace(LAPTOP, memory_total=None, memory_free=None)))
    assert got.of("stt").model == "medium-stt"  # type: ignore[union-attr]
    assert any("could not be read" in note for note in got.notes)


def test_languages_are_compared_by_their_first_part() -> None:
    assert speaks(SMALL, "de-AT")
    assert speaks(replace(SMALL, languages=("zh-CN",)), "zh")
    assert not speaks(SMALL, "fr")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 kB"), (69_000, "69 kB"), (999_600, "1 MB"), (340 * MB, "340 MB"), (5_100 * MB, "5.1 GB")]
)
def test_sizes_in_words(size: int, text: str) -> None:
    assert words(size) == text


# --- whatever comes in ------------------------------------------------------------------------------------------------

_rows = some.builds(
    Row,
    id=some.integers(0, 10**6).map(lambda n: f"row-{n}"),
    kind=some.sampled_from(["stt", "llm", "tts"]),
    title=some.just("A row"),
    licence=some.just("MIT"),
    status=some.sampled_from(["works", "experimental", "listed"]),
    engine=some.just("an-engine"),
    flags=some.lists(some.sampled_from([*sorted(UNASKED), "gpl", "use-restricted"]), max_size=1).map(tuple),
    languages=some.sampled_from([(), ("en",), ("de", "fr"), ("mul",)]),
    params=some.none() | some.integers(10**6, 10**10),
    memory=some.none() | some.integers(10**7, 2 * 10**10),
    needs=some.builds(Needs, accelerator=some.sampled_from([(), ("cuda",), ("metal", "cuda")])),
    files=some.just(FILES),
)
_machines = some.builds(
    lambda total, share, cores, cards: replace(
        LAPTOP, memory_total=total, memory_free=round(total * share), cores=cores, accelerators=cards
    ),
    some.integers(10**8, 10**11),
    some.floats(0.0, 1.0),
    some.integers(1, 64),
    some.sampled_from([(), (Accelerator("cuda", "a card", 24 * GB, 20 * GB),)]),
)
_catalogs = some.lists(_rows, max_size=12, unique_by=lambda row: row.id)


@settings(max_examples=150, deadline=None)
@given(_catalogs, _machines, some.sampled_from(["en", "de", "fi"]))
def test_what_is_proposed_fits_and_every_stage_has_something(rows: list[Row], machine: Machine, language: str) -> None:
    facts = Facts(machine, language=language)
    got = propose([*EMBEDDED, *rows], facts)
    assert [one.stage for one in got.choices] == ["stt", "llm", "tts"]
    most = budget(machine)
    assert most is not None
    assert got.memory <= most or got.memory == 0
    by_id = {row.id: row for row in rows}
    for choice in got.choices:
        if choice.model in by_id:
            assert why_refused(by_id[choice.model], facts) == ""
            assert not UNASKED.intersection(choice.flags)
    assert sum(one.memory for one in got.choices if one.on_card) <= 20 * GB
    assert all(one.instead for one in got.refused)


@settings(max_examples=150, deadline=None)
@given(_catalogs, _machines, some.integers(0, 10**10))
def test_more_memory_never_makes_it_worse(rows: list[Row], machine: Machine, more: int) -> None:
    assert machine.memory_total is not None
    assert machine.memory_free is not None
    larger = replace(machine, memory_total=machine.memory_total + more, memory_free=machine.memory_free + more)
    for catalog in ([*EMBEDDED, *rows], rows):  # also where nothing is embedded
        less, most = propose(catalog, Facts(machine)), propose(catalog, Facts(larger))
        assert (len(most.choices), most.worth) >= (len(less.choices), less.worth - 1e-9)


@settings(max_examples=50, deadline=None)
@given(_catalogs, _machines)
def test_the_order_of_the_rows_does_not_matter(rows: list[Row], machine: Machine) -> None:
    assert propose([*EMBEDDED, *rows], Facts(machine)) == propose([*reversed(rows), *EMBEDDED], Facts(machine))
