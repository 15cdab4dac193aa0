"""The drawings of the turn machine say what its tables say, and the committed ones are exactly what is made."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from enum import Enum
from pathlib import Path

import pytest

from locara import audio
from locara.errors import ConfigError
from locara.voice import drawing, endings
from locara.voice.drawing import (
    BEGIN,
    END,
    MACHINES,
    NUMBERS,
    Machine,
    main,
    mermaid,
    picture_name,
    svg,
    table,
    with_drawing,
)
from locara.voice.state import ASSISTANT, USER, On

PAGE = Path(__file__).parents[2] / "docs" / "turns.md"
SVG = "{http://www.w3.org/2000/svg}"
EMPTY = f"before\n{BEGIN}\nto be replaced\n{END}\nbetween\n{NUMBERS}\nto be replaced\n{END}\nafter\n"


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314  our own text


def boxes(picture: str, *kinds: str) -> list[tuple[float, float, float, float]]:
    found = []
    for rect in parsed(picture).iter(f"{SVG}rect"):
        if rect.attrib["class"].split()[0] in kinds:
            x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def test_the_committed_page_and_pictures_are_what_the_tables_say() -> None:
    assert PAGE.exists(), "docs/turns.md belongs to the repository"
    for path, wanted in drawing.files(PAGE).items():
        assert path.read_text(encoding="utf-8") == wanted, f"run: python -m locara.voice.drawing {PAGE.name}"


def test_every_move_of_both_tables_is_drawn_and_no_other() -> None:
    user = {(before.value, why.value, after.value) for (before, why), after in USER.items()}
    assistant = {(before.value, why.value, after.value) for (before, why), after in ASSISTANT.items()}
    for machine, wanted in zip(MACHINES, (user, assistant), strict=True):
        lines = mermaid(machine).splitlines()[2:]
        drawn = {tuple(part.strip() for part in line.replace(" --> ", " : ").split(" : ")) for line in lines}
        assert {(before, why, after) for before, after, why in drawn} == wanted
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table(machine).splitlines()[2:]]
        assert {(before, why, after) for before, all_, after in rows for why in all_.split(", ")} == wanted
        description = parsed(svg(machine)).findtext(f"{SVG}desc")
        assert description is not None
        assert set(description.split("; ")) == {f"{before} to {after}: {why}" for before, why, after in wanted}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_picture_has_a_box_for_each_state_and_an_arrow_with_its_reasons_for_each_pair(machine: Machine) -> None:
    root = parsed(svg(machine))
    texts = [(text.attrib["class"], text.text) for text in root.iter(f"{SVG}text")]
    assert sorted(text for kind, text in texts if kind == "name" and text) == sorted(
        state.value for state in machine.states
    )
    arrows = [path for path in root.iter(f"{SVG}path") if path.attrib["class"] == "arrow"]
    assert len(arrows) == len(machine.arrows)
    assert len([text for kind, text in texts if kind == "why"]) == len(machine.moves)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_nothing_in_a_picture_covers_anything_else_or_leaves_it(machine: Machine) -> None:
    width, height = drawing.SIZES[machine.name]
    shown = boxes(svg(machine), "state", "label")
    assert len(shown) == len(machine.states) + len(machine.arrows)
    for left, top, right, bottom in shown:
        assert min(left, top) >= 0
        assert right <= width
        assert bottom <= height
    for one, other in itertools.combinations(shown, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, f"{one} covers {other}"


def test_a_picture_is_self_contained_and_knows_dark_mode() -> None:
    for machine in MACHINES:
        picture = svg(machine)
        assert "prefers-color-scheme:dark" in picture
        for outside in ("href", "url(", "@import", "<script", "<image"):
            assert outside not in picture


def test_a_state_without_a_place_is_named() -> None:
    class Other(Enum):
        HERE = "here"
        NOWHERE = "nowhere"

    machine = Machine("user", "Other", Other.HERE, ((Other.HERE, On.VOICE, Other.NOWHERE),))
    with pytest.raises(ConfigError, match="HERE has no place") as caught:
        svg(machine)
    assert "PLACES" in caught.value.hint


def test_every_number_of_the_evidence_has_its_value_and_its_reason() -> None:
    told = drawing.numbers()
    for name, value in (pair for module in drawing.EVIDENCE for pair in vars(module).items()):
        if name.isupper() and isinstance(value, float | int) and name not in vars(audio):  # not imported from there
            row = next(line for line in told.splitlines() if line.startswith(f"| `{name}` | {value:g} | "))
            assert len(row.split(" | ")[2]) > 10, f"{name} has no reason below it in its file"
    assert "`RATE`" not in told
    assert all(f"| `{name}` | {one.even:g} | " in told for name, one in endings.PATIENCE.items())


def test_two_numbers_of_one_name_have_each_its_own_reason() -> None:
    said = [line.split(" | ")[2] for line in drawing.numbers().splitlines() if line.startswith("| `SURE` | ")]
    assert len(said) == len(set(said)) == 2


def test_only_what_is_between_the_markers_is_made_anew_and_twice_is_once() -> None:
    page = with_drawing(EMPTY)
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert f"{END}\nbetween\n{NUMBERS}\n" in page
    assert "to be replaced" not in page
    assert with_drawing(page) == page


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}", f"{BEGIN} {END}", f"{NUMBERS} {END}"])
def test_a_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ConfigError, match="no part between"):
        with_drawing(page)


def test_the_command_writes_then_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "turns.md"
    page.write_text(EMPTY, encoding="utf-8")
    assert main(["--check", str(page)]) == 1
    assert "python -m locara.voice.drawing" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == EMPTY, "a check writes nothing"
    assert main([str(page)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["turns.md", *(picture_name(machine) for machine in MACHINES)]
    )
    assert main(["--check", str(page)]) == 0
    (tmp_path / picture_name(MACHINES[0])).write_text("<svg/>", encoding="utf-8")
    assert main(["--check", str(page)]) == 1


def test_the_command_says_what_is_wrong_with_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.md")]) == 1
    assert "none.md cannot be read" in capsys.readouterr().err
    (tmp_path / "bare.md").write_text("nothing", encoding="utf-8")
    assert main([str(tmp_path / "bare.md")]) == 1
    assert "->" in capsys.readouterr().err
