"""The turn machine as pictures and text, made from the tables in `state` and the numbers in `evidence`: nobody draws or
copies them twice.

    python -m locara.voice.drawing docs/turns.md            rewrites the parts between the markers, and the pictures
    python -m locara.voice.drawing --check docs/turns.md    exit code 1 when they are not what the code says

What may live here: the way from the tables `USER` and `ASSISTANT` to Mermaid, Markdown and SVG, and from the constants of
`evidence` to a table, as pure functions, and the command that writes them. Only where a state stands in its picture is
chosen by hand.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import html
import inspect
import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from locara.errors import ConfigError
from locara.voice import deriving, dictating, endings, evidence, misheard, model_led
from locara.voice.state import ASSISTANT, USER, Assistant, On, User

BEGIN, NUMBERS, END = "<!-- drawn from the tables -->", "<!-- numbers of evidence.py -->", "<!-- end -->"
"""What stands between the first or the second and the next third line of the page belongs to this file."""

Point = tuple[float, float]
S = TypeVar("S", bound=Enum)


@dataclass(frozen=True, slots=True)
class Machine:
    """One of the two machines. ``moves``: (state, why, state), in the order of its table."""

    name: str
    title: str
    start: Enum
    moves: tuple[tuple[Enum, On, Enum], ...]

    @property
    def states(self) -> tuple[Enum, ...]:
        """Every state, in the order in which they are declared."""
        return tuple(type(self.start))

    @property
    def arrows(self) -> dict[tuple[Enum, Enum], list[On]]:
        """(state, state) -> every reason for which one becomes the other."""
        found: dict[tuple[Enum, Enum], list[On]] = {}
        for before, why, after in self.moves:
            found.setdefault((before, after), []).append(why)
        return found


def _moves(table: Mapping[tuple[S, On], S]) -> tuple[tuple[Enum, On, Enum], ...]:
    return tuple((before, why, after) for (before, why), after in table.items())


MACHINES = (
    Machine("user", "What the user is doing", User.QUIET, _moves(USER)),
    Machine("assistant", "What the assistant is doing", Assistant.IDLE, _moves(ASSISTANT)),
)

# --- text -------------------------------------------------------------------------------------------------------------


def mermaid(machine: Machine) -> str:
    """The machine as a Mermaid ``stateDiagram-v2``, one line a move."""
    lines = ["stateDiagram-v2", f"    [*] --> {machine.start.value}"]
    lines += [f"    {before.value} --> {after.value} : {why.value}" for before, why, after in machine.moves]
    return "\n".join(lines)


def table(machine: Machine) -> str:
    """The machine as a Markdown table: one row for each pair of states, with every reason."""
    lines = ["| from | why | to |", "|---|---|---|"]
    for (before, after), reasons in machine.arrows.items():
        lines.append(f"| {before.value} | {', '.join(why.value for why in reasons)} | {after.value} |")
    return "\n".join(lines)


def page_part(machine: Machine) -> str:
    """What the page shows of a machine: the picture, the table, and the Mermaid text folded away."""
    words = html.escape(f"{machine.title}: {', '.join(state.value for state in machine.states)}.", quote=True)
    return "\n\n".join(
        (
            f"### {machine.title}",
            f"![{words} The table below says the same.]({picture_name(machine)})",
            table(machine),
            f"<details><summary>The {machine.name}'s machine as Mermaid text</summary>",
            f"```mermaid\n{mermaid(machine)}\n```",
            "</details>",
        )
    )


EVIDENCE: tuple[ModuleType, ...] = (evidence, endings, dictating, misheard, model_led, deriving)
"""The files whose numbers are shown."""


def reasons(module: ModuleType) -> dict[str, str]:
    """Constant that ``module`` itself sets -> the reason that stands below it in the source."""
    found: dict[str, str] = {}
    for one, after in itertools.pairwise(ast.parse(inspect.getsource(module)).body):
        match one, after:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split()).replace("``", "`").replace("|", "\\|")
    return found


HEARD: tuple[tuple[str, float | None], ...] = (
    ("sounds finished", 0.97), ("no model", None), ("sounds unfinished", 0.1),
)  # fmt: skip
SAID = {
    "whole": "what time is it", "finished": "can i have tea", "unsure": "my dog", "hanging": "my name is",
    "counting": "five five three",
}  # fmt: skip


def waits() -> list[str]:
    """The silence that each patience waits out, by what the words and the sound say."""
    names = [f"{said}, {heard}" for said in SAID for heard, _ in HEARD]
    lines = ["| words, sound | " + " | ".join(f"`{name}`" for name in endings.PATIENCE) + " |", "|---|---|---|---|"]
    for name, (text, finished) in zip(names, ((t, f) for t in SAID.values() for _, f in HEARD), strict=True):
        needed = [endings.silence_needed(text, one, finished=finished) for one in endings.PATIENCE.values()]
        lines.append(f"| {name} | {' | '.join(f'{seconds:.2f}' for seconds in needed)} |")
    return lines


def numbers() -> str:
    """The constants of `EVIDENCE` as a Markdown table with their reasons; the settings of patience, and what comes of
    them."""
    lines = ["| name | value | why |", "|---|---|---|"]
    for module in EVIDENCE:
        told = reasons(module)
        for name, value in vars(module).items():
            if name in told and name.isupper() and isinstance(value, float | int):
                lines.append(f"| `{name}` | {value:g} | {told[name]} |")
    titles = [one.name for one in dataclasses.fields(endings.Patience)]
    lines += ["", f"{reasons(endings)['PATIENCE']} Seconds since the last sample of speech:", ""]
    lines += [f"| patience | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for name, patience in endings.PATIENCE.items():
        lines.append(f"| `{name}` | {' | '.join(f'{value:g}' for value in dataclasses.astuple(patience))} |")
    lines += ["", "The silence that comes of it, in seconds since the last sample of speech:", "", *waits()]
    return "\n".join(lines)


def with_drawing(page: str) -> str:
    """``page`` with what is between its markers made anew. Raises ``ConfigError`` where it has none."""
    for begin, part in ((BEGIN, "\n\n".join(map(page_part, MACHINES))), (NUMBERS, numbers())):
        before, begun, rest = page.partition(begin)
        _, ended, after = rest.partition(END)
        if not begun or not ended:
            raise ConfigError(
                f"the page has no part between {begin!r} and {END!r}", hint="put the two markers where it belongs"
            )
        page = f"{before}{begin}\n\n{part}\n\n{END}{after}"
    return page


# --- pictures ---------------------------------------------------------------------------------------------------------

PLACES: dict[Enum, Point] = {
    User.QUIET: (110, 250),
    User.TALKING: (430, 250),
    User.YIELDED: (750, 250),
    User.PAUSING: (430, 440),
    Assistant.PREPARING: (110, 130),
    Assistant.SPEAKING: (360, 130),
    Assistant.DUCKED: (610, 130),
    Assistant.HELD: (880, 130),
    Assistant.IDLE: (470, 400),
}
"""Where each state stands, in pixels: chosen so that no two arrows cross."""

BENDS: dict[tuple[Enum, Enum], float] = {
    (User.QUIET, User.YIELDED): 460,
    (User.YIELDED, User.QUIET): -280,
    (User.TALKING, User.PAUSING): 110,
    (User.PAUSING, User.TALKING): 110,
    (User.PAUSING, User.QUIET): 50,
    (User.PAUSING, User.YIELDED): -50,
    (Assistant.PREPARING, Assistant.SPEAKING): 0,
    (Assistant.HELD, Assistant.SPEAKING): -200,
    (Assistant.DUCKED, Assistant.HELD): 0,
    (Assistant.IDLE, Assistant.PREPARING): 150,
    (Assistant.PREPARING, Assistant.IDLE): 10,
    (Assistant.SPEAKING, Assistant.IDLE): 0,
    (Assistant.DUCKED, Assistant.IDLE): 0,
    (Assistant.HELD, Assistant.IDLE): -60,
}
"""How far an arrow bends to its left, in pixels. Arrows that are not named bend a little, so that two between the same
states stand apart."""

SIZES = {"user": (860, 500), "assistant": (990, 460)}
_USUAL_BEND = 44.0
_BOX: Point = (58.0, 24.0)  # half of a state's box
_LINE = 17.0  # pixels from one reason to the next
_LETTER = 6.9  # pixels of one letter at 13 pixels, on the wide side: no font is embedded
_HEAD = 9.0
_STYLE = """
.back,.label{fill:#ffffff}.state{fill:#eef3fb;stroke:#3a5f9a;stroke-width:1.5}.first{stroke-width:3.5}
.name{fill:#12233d;font-weight:600;font-size:16px}.why{fill:#333a45;font-size:13px}
.arrow{fill:none;stroke:#6b7686;stroke-width:1.5}.head{fill:#6b7686}
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;text-anchor:middle}
@media (prefers-color-scheme:dark){.back,.label{fill:#14181f}.state{fill:#1f2b3f;stroke:#8fb3ec}
.name{fill:#eef3fb}.why{fill:#d3d9e2}.arrow{stroke:#98a3b3}.head{fill:#98a3b3}}
"""


def picture_name(machine: Machine) -> str:
    """The file name of a machine's picture."""
    return f"turns-{machine.name}.svg"


def svg(machine: Machine) -> str:
    """The machine as one SVG that needs no font, script or style from elsewhere and follows light and dark mode.

    Raises ``ConfigError`` for a state that has no place in `PLACES`.
    """
    width, height = SIZES[machine.name]
    arrows = [_arrow(before, after) for before, after in machine.arrows]
    labels = [_label(_middle(pair), [why.value for why in reasons]) for pair, reasons in machine.arrows.items()]
    said = "; ".join(f"{before.value} to {after.value}: {why.value}" for before, why, after in machine.moves)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img">',
            f"<title>{html.escape(machine.title)}</title>",
            f"<desc>{html.escape(said)}</desc>",
            f"<style>{_STYLE}</style>",
            f'<rect class="back" width="{width}" height="{height}" rx="8"/>',
            *arrows,
            *labels,
            *(_box(state, first=state is machine.start) for state in machine.states),
            "</svg>\n",
        )
    )


def _place(state: Enum) -> Point:
    if state not in PLACES:
        raise ConfigError(
            f"the state {state} has no place in the picture", hint="give it one in PLACES in locara/voice/drawing.py"
        )
    return PLACES[state]


def _control(before: Enum, after: Enum) -> Point:
    """The point towards which an arrow bends: beside the middle, to its left."""
    (x0, y0), (x1, y1) = _place(before), _place(after)
    bend, length = BENDS.get((before, after), _USUAL_BEND), math.hypot(x1 - x0, y1 - y0)
    return (x0 + x1) / 2 + bend * (y1 - y0) / length, (y0 + y1) / 2 - bend * (x1 - x0) / length


def _on_curve(start: Point, control: Point, end: Point, t: float) -> Point:
    a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
    return a * start[0] + b * control[0] + c * end[0], a * start[1] + b * control[1] + c * end[1]


def _leaves_box(start: Point, control: Point, end: Point) -> float:
    """Where, from 0 to 1, a curve that begins in the middle of a state's box comes out of it."""
    inside, outside = 0.0, 0.5
    for _ in range(40):
        t = (inside + outside) / 2
        x, y = _on_curve(start, control, end, t)
        if abs(x - start[0]) < _BOX[0] and abs(y - start[1]) < _BOX[1]:
            inside = t
        else:
            outside = t
    return outside


def _curve(before: Enum, after: Enum) -> tuple[Point, Point, Point]:
    """The visible part of an arrow, from box to box: start, control point, end."""
    start, control, end = _place(before), _control(before, after), _place(after)
    first, last = _leaves_box(start, control, end), 1 - _leaves_box(end, control, start)
    # The control point of a part of a quadratic curve: the blend of both ends of the part.
    x, y = (
        (1 - first) * (1 - last) * p0 + (first + last - 2 * first * last) * p1 + first * last * p2
        for p0, p1, p2 in zip(start, control, end, strict=True)
    )
    return _on_curve(start, control, end, first), (x, y), _on_curve(start, control, end, last)


def _middle(pair: tuple[Enum, Enum]) -> Point:
    return _on_curve(*_curve(*pair), 0.5)


def _arrow(before: Enum, after: Enum) -> str:
    start, control, end = _curve(before, after)
    dx, dy = end[0] - control[0], end[1] - control[1]
    length = math.hypot(dx, dy)
    dx, dy = dx / length, dy / length
    back = (end[0] - _HEAD * dx, end[1] - _HEAD * dy)
    side = _HEAD * 0.45
    left, right = (back[0] - side * dy, back[1] + side * dx), (back[0] + side * dy, back[1] - side * dx)
    return (
        f'<path class="arrow" d="M{_at(start)} Q{_at(control)} {_at(back)}"/>'
        f'<path class="head" d="M{_at(end)} L{_at(left)} L{_at(right)} Z"/>'
    )


def _label(middle: Point, lines: Sequence[str]) -> str:
    """The reasons, one below the other, in the middle of their arrow."""
    width, height = max(map(len, lines)) * _LETTER + 8, len(lines) * _LINE + 4
    x, y = middle
    top = y - height / 2
    rect = (
        f'<rect class="label" x="{_n(x - width / 2)}" y="{_n(top)}" width="{_n(width)}" height="{_n(height)}" rx="4"/>'
    )
    texts = (
        f'<text class="why" x="{_n(x)}" y="{_n(top + 15 + number * _LINE)}">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return rect + "".join(texts)


def _box(state: Enum, *, first: bool) -> str:
    x, y = _place(state)
    return (
        f'<rect class="state{" first" * first}" x="{_n(x - _BOX[0])}" y="{_n(y - _BOX[1])}" width="{_n(2 * _BOX[0])}" '
        f'height="{_n(2 * _BOX[1])}" rx="12"/>'
        f'<text class="name" x="{_n(x)}" y="{_n(y + 5.5)}">{html.escape(str(state.value))}</text>'
    )


def _at(point: Point) -> str:
    return f"{_n(point[0])},{_n(point[1])}"


def _n(value: float) -> str:
    """A number with one digit behind the point, and no negative zero: the same text on every machine."""
    return f"{round(value, 1) + 0.0:g}"


# --- the command ------------------------------------------------------------------------------------------------------


def files(page: Path) -> dict[Path, str]:
    """What every file should hold: the page, and the pictures beside it. Raises ``ConfigError``."""
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{page} cannot be read: {error.strerror}", hint="name the page, docs/turns.md") from error
    made = {page: with_drawing(text)}
    made.update({page.with_name(picture_name(machine)): svg(machine) for machine in MACHINES})
    return made


def _differs(path: Path, wanted: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != wanted


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done or equal, 1 different or impossible."""
    parser = argparse.ArgumentParser(prog="python -m locara.voice.drawing", description="Draws the turn machine.")
    parser.add_argument("page", type=Path, help="the page to write into, docs/turns.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something differs")
    options = parser.parse_args(argv)
    try:
        wrong = {path: text for path, text in files(options.page).items() if _differs(path, text)}
    except ConfigError as error:
        sys.stderr.write(f"drawing: {error.explain()}\n")
        return 1
    for path, text in wrong.items():
        if options.check:
            sys.stderr.write(f"{path} is not what locara/voice/state.py and evidence.py say\n")
        else:
            path.write_text(text, encoding="utf-8", newline="\n")
            sys.stdout.write(f"{path} written\n")
    if wrong and options.check:
        sys.stderr.write(f"  -> python -m locara.voice.drawing {options.page}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
