"""The docs are true: their Python runs, their tables are the code's, their links lead somewhere."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib.util
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest

from locara.cli import talk
from locara.engines import backend
from locara.voice import Deadlines, dictating, endings, events, evidence
from locara.voice.state import Assistant, Rules, User

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "locara"
PAGES = sorted(DOCS.glob("*.md"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The code blocks of a page in a language: (line in the page at which the code begins, code)."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, one.start()) + 1, one[2]) for one in FENCE.finditer(text) if one[1] == language]


def rows(text: str) -> list[list[str]]:
    """Every row of every table, as cells without backticks."""
    return [
        [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def section(text: str, title: str) -> str:
    _, found, rest = text.partition(f"\n## {title}\n")
    assert found, f"there is no section {title!r}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what the examples write stays there
    namespace: dict[str, Any] = {"__name__": f"docs.{page.stem}"}
    for line, code in blocks(page, "python"):
        # Empty lines in front, so that a traceback names the line of the page.
        exec(compile("\n" * line + code, str(page), "exec"), namespace)  # noqa: S102


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("event", events.ALL, ids=lambda event: str(event.type))
def test_every_event_is_documented_with_its_fields_and_types(event: type[events.Event]) -> None:
    common = {one.name for one in dataclasses.fields(events.Event)}
    fields = {one.name: one.type for one in dataclasses.fields(event) if one.name not in common}
    told = {name: kind for name, kind, *_ in rows(section(read("events.md"), event.type)) if name in fields}
    assert told == {name: str(kind).replace(" | ", " or ") for name, kind in fields.items()}


def test_the_page_of_events_names_no_others_and_the_fields_of_all() -> None:
    text = read("events.md")
    titles = set(re.findall(r"^## ([a-z-]+)$", text, re.MULTILINE))
    assert titles == {event.type for event in events.ALL}
    common = {name for name, *_ in rows(section(text, "What every event has"))} - {"field"}
    assert common == {one.name for one in dataclasses.fields(events.Event)}
    frozen = re.search(r"The set (.*?) is frozen", text, re.DOTALL)
    assert frozen is not None
    assert tuple(re.findall(r"`([a-z-]+)`", frozen[1])) == events.FROZEN


def test_every_reason_of_a_turn_end_and_every_part_of_the_ledger_is_documented() -> None:
    told = section(read("events.md"), "turn-end")
    described = (events.TurnEnd.__doc__ or "").partition("``speech_end``")[0]
    reasons = set(re.findall(r"``([a-z-]+)``", described)) - {"latency", "reason"}
    told_reasons = {name for name, *rest in rows(told) if len(rest) == 1} - {"reason, user", "reason, assistant"}
    assert reasons
    assert told_reasons == reasons
    parts = [one.name for one in dataclasses.fields(events.Latency)]
    assert [name for name, *_ in rows(section(read("turns.md"), "The ledger"))][1:] == parts


def test_the_numbers_of_the_evidence_are_those_of_the_code() -> None:
    told = section(read("turns.md"), "Evidence, and its numbers")
    numbers = {
        name: value
        for module in (evidence, endings, dictating)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, float | int)
    }
    assert {name: float(value) for name, value, *_ in rows(told) if name in numbers} == numbers
    patience = {name: tuple(map(float, row)) for name, *row in rows(told) if name in endings.PATIENCE and len(row) == 3}
    assert patience == {name: dataclasses.astuple(one) for name, one in endings.PATIENCE.items()}


def test_the_deadlines_are_those_of_the_code() -> None:
    told = {name: float(value) for name, value, *_ in rows(section(read("engines.md"), "Deadlines"))[1:]}
    assert told == dataclasses.asdict(Deadlines())
    told = {name: float(value) for name, value, *_ in rows(section(read("turns.md"), "Deadlines"))[1:]}
    assert told == {name: value for name, value in dataclasses.asdict(Rules()).items() if name.endswith("_seconds")}


def test_every_state_is_explained() -> None:
    told = [name for name, *_ in rows(section(read("turns.md"), "The machines").partition("<!--")[0])]
    assert [name for name in told if name not in ("user", "assistant")] == [
        state.value for state in (*User, *Assistant)
    ]


def test_the_way_of_one_frame_names_functions_that_exist() -> None:
    steps = rows(section(read("architecture.md"), "The way of one frame"))[1:]
    assert [row[0] for row in steps] == [str(number) for number in range(1, len(steps) + 1)]
    for _, file, function, *_ in steps:
        scope: list[ast.stmt] = ast.parse((SOURCE / file).read_text(encoding="utf-8")).body
        for name in function.split("."):
            found = [one for one in scope if getattr(one, "name", None) == name]
            assert found, f"{file} has no {function}"
            scope = getattr(found[0], "body", [])


def test_the_stairs_are_those_that_import_linter_checks() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one["type"] == "layers"]
    assert " -> ".join(layers) in section(read("architecture.md"), "The stairs")


def test_the_rooms_are_those_that_exist() -> None:
    told = set(re.findall(r"^  ([a-z_]+)(?:/|\.py) ", read("architecture.md"), re.MULTILINE))
    found = {one.stem for one in SOURCE.iterdir() if one.suffix == ".py" or (one / "__init__.py").exists()}
    assert told == {name for name in found if not name.startswith("__")}


def test_every_option_of_talk_is_documented_and_no_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    talk.arguments(parser)
    known = {option for action in parser._actions for option in action.option_strings} | {"--verbose"}
    told = {name.split()[0] for name, *_ in rows(section(read("talk.md"), "Options"))[1:]}
    assert told == known


def test_every_engine_and_every_dependency_is_named() -> None:
    points = PYPROJECT["project"]["entry-points"]
    told = read("engines.md")
    unnamed = [name for kind in points.values() for name in kind if not re.search(rf"[`=\"]{name}[`:\"]", told)]
    assert not unnamed
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    needed = {re.split(r"[^A-Za-z0-9-]", one)[0] for one in PYPROJECT["project"]["dependencies"]}
    assert set(re.findall(r"^  ([a-z][a-z0-9-]+)  ", notice, re.MULTILINE)) == needed
    for extra in PYPROJECT["project"]["optional-dependencies"].values():
        for name in {re.split(r"[^A-Za-z0-9-]", one)[0] for one in extra} - {"locara"}:
            assert re.search(rf"\b{name} \(", notice), f"NOTICE does not name {name}"


def test_the_tutorial_and_the_example_are_the_same_engine() -> None:
    example = (ROOT / "examples" / "own_voice.py").read_text(encoding="utf-8")
    engine = example[example.index("MODELS = ") : example.index("def main()")].strip()
    assert any(engine in code for _, code in blocks(DOCS / "engines.md", "python"))


def test_the_backend_of_the_tutorial_is_that_of_the_example() -> None:
    example = (ROOT / "examples" / "own_backend.py").read_text(encoding="utf-8")
    engine = example[example.index("MODELS = ") : example.index("def main()")].strip()
    assert any(engine in code for _, code in blocks(DOCS / "backends.md", "python"))


def test_every_signal_event_and_capability_of_a_backend_is_documented_and_no_other() -> None:
    page = read("backends.md")
    for title, kinds in (("What it is told", backend.Signal), ("What it tells", backend.BackendEvent)):
        told = {name for name, *_ in rows(section(page, title))[1:]}
        fields = {one: [field.name for field in dataclasses.fields(one)] for one in typing.get_args(kinds)}
        assert told == {f"{one.__name__}({', '.join(names)})" for one, names in fields.items()}
    told = {name for cell, *_ in rows(section(page, "What it can do"))[1:] for name in cell.split(", ")}
    assert told == {field.name for field in dataclasses.fields(backend.BackendCapabilities)}


def test_sphinx_builds_the_pages_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (pip install -e '.[docs]')")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    built = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, timeout=100, check=False
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "html" / "turns.html").read_text(encoding="utf-8")
    assert "turns-user.svg" in page
    loaded = re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="(https?://[^"]+)"', page)
    assert not loaded, "a page must not load anything from a network"
