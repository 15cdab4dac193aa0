"""What really stands on a terminal while a conversation is shown, and afterwards."""

from __future__ import annotations

import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.cli.screen import Screen, can_be_live
from locara.cli.view import View, render
from locara.voice import events as on

from .shown import NASTY, SGR, a_conversation


class Terminal(io.StringIO):
    """A small terminal: rows that scroll, a cursor, and just the sequences a screen is allowed to use."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.rows: list[list[str]] = [[]]
        self.y = self.x = 0
        self.cursor_shown = True
        self.writes = 0
        self.strange: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes += 1
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|.", text, re.DOTALL):
            if part.startswith("\x1b"):
                self._sequence(part)
            elif part == "\n":
                self.y, self.x = self.y + 1, 0
                if self.y == len(self.rows):
                    self.rows.append([])
            elif part == "\r":
                self.x = 0
            elif unicodedata.category(part) == "Cc":
                self.strange.append(part)
            else:
                self._letter(part)
        return len(text)

    def _letter(self, letter: str) -> None:
        if self.x >= self.width:
            self.strange.append("a line ran over the edge")
        row = self.rows[self.y]
        row += [" "] * (self.x + 1 - len(row))
        row[self.x] = letter
        self.x += 1

    def _sequence(self, part: str) -> None:
        if part.endswith("A"):
            up = int(part[2:-1])
            if up >= self.height:
                self.strange.append("the cursor would have left the terminal")
            self.y -= up
        elif part == "\x1b[K":
            del self.rows[self.y][self.x :]
        elif part == "\x1b[J":
            del self.rows[self.y][self.x :]
            del self.rows[self.y + 1 :]
        elif part in {"\x1b[?25l", "\x1b[?25h"}:
            self.cursor_shown = part.endswith("h")
        elif not SGR.fullmatch(part):
            self.strange.append(part)

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_a_conversation_the_scrollback_holds_each_finished_line_once() -> None:
    terminal, clock = Terminal(60, 24), Clock()
    ends = [on.TurnEnd(t=4.0, turn=1, who="assistant", reason="finished"), on.SessionEnd(reason="stopped")]
    with Screen(terminal, now=clock, size=lambda: (60, 24), live=True) as screen:
        for event in [*a_conversation(), *ends]:
            clock.now += 0.03  # faster than it may paint
            screen.show(event)
            screen.levels(-20.0 - clock.now, -60.0)
        assert not terminal.cursor_shown
    assert terminal.lines() == [
        "you    what time is it",
        "       0.41 s = endpoint 0.38 + output 0.03",
        "locara It's ten past two.",
        "",
    ]
    assert terminal.cursor_shown
    assert terminal.strange == []


def test_it_is_painted_at_most_twenty_times_a_second_and_not_when_nothing_changed() -> None:
    terminal, clock = Terminal(80, 24), Clock()
    screen = Screen(terminal, now=clock, size=lambda: (80, 24), live=True)
    for step in range(1_000):
        clock.now = step / 1_000
        screen.levels(-60.0 + step / 20, -60.0)
    assert 15 <= terminal.writes <= 20
    before = terminal.writes
    for _ in range(100):
        clock.now += 0.1
        screen.tick()
    assert terminal.writes <= before + 1
    screen.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["token", "final", "barge", "end"]), NASTY), max_size=12), st.integers(40, 90)
)
def test_whatever_is_said_the_terminal_gets_only_what_it_understands(steps: list[tuple[str, str]], width: int) -> None:
    terminal, clock = Terminal(10_000, 30), Clock()
    with Screen(terminal, now=clock, size=lambda: (width, 30), live=True) as screen:
        for kind, text in steps:
            clock.now += 0.1
            event: on.Event = on.LlmToken(turn=1, text=text)
            if kind == "final":
                event = on.FinalTranscript(turn=1, text=text)
            elif kind == "barge":
                event = on.BargeIn(turn=1, heard_text=text, unheard_text=text, heard_ms=1)
            elif kind == "end":
                event = on.TurnEnd(turn=1, who="assistant", reason="finished")
            screen.show(event)
    assert terminal.strange == []
    assert terminal.rows[-1] == []  # the live lines are gone
    assert not [line for line in terminal.lines() if "push-to-talk" in line]


def test_a_terminal_made_narrower_is_cleared_by_as_many_rows_as_it_now_has() -> None:
    out, clock, width = io.StringIO(), Clock(), 100
    screen = Screen(out, now=clock, size=lambda: (width, 24), live=True)
    screen.tick()
    assert len(render(View(), 100)) == 2
    width, clock.now = 50, 1.0
    out.truncate(0)
    screen.tick()
    # Two lines were painted, the first now takes two rows, the second (50 columns) one.
    assert "\x1b[2A" in out.getvalue()
    screen.close()


def test_the_cursor_comes_back_when_the_program_fails() -> None:
    terminal = Terminal(80, 24)

    def fail() -> None:
        with Screen(terminal, live=True, size=lambda: (80, 24)) as screen:
            screen.show(a_conversation()[0])
            assert not terminal.cursor_shown
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert terminal.cursor_shown


def test_a_pipe_gets_finished_lines_only_and_no_escape() -> None:
    out = io.StringIO()
    with Screen(out) as screen:
        for event in a_conversation():
            screen.show(event)
            screen.levels(-20.0, -30.0)
        screen.show(on.BargeIn(t=2.6, turn=1, heard_text="It's\x1b[2J ten", unheard_text=" past two.", heard_ms=400))
        screen.note("bye")
        assert out.getvalue().endswith("bye\n")  # at once, not only at the end
    assert out.getvalue().splitlines() == [
        "you    what time is it",
        "       0.41 s = endpoint 0.38 + output 0.03",
        "locara It's ten [not heard: past two.]",
        "bye",
    ]


def test_a_reply_that_is_cut_by_the_end_is_still_written() -> None:
    out = io.StringIO()
    with Screen(out) as screen:
        screen.show(on.LlmToken(turn=1, text="half a"))
    assert out.getvalue() == "locara half a\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a console of Windows is asked itself, and this terminal is none")
def test_no_color_dumb_terminals_and_pipes_are_not_painted_on() -> None:
    terminal = Terminal(80, 24)
    assert can_be_live(terminal, {"TERM": "xterm"})
    assert not can_be_live(terminal, {"TERM": "xterm", "NO_COLOR": "1"})
    assert can_be_live(terminal, {"TERM": "xterm", "NO_COLOR": ""})
    assert not can_be_live(terminal, {"TERM": "dumb"})
    assert not can_be_live(terminal, {})
    assert not can_be_live(io.StringIO(), {"TERM": "xterm"})


def test_a_terminal_that_knows_only_ascii_gets_only_ascii() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    with Screen(out, live=True, size=lambda: (80, 24)) as screen:
        screen.levels(-20.0, -40.0)
        screen.show(on.FinalTranscript(turn=1, text="naïve"))
    assert "####" in raw.getvalue().decode("ascii")
    assert b"na?ve" in raw.getvalue()
