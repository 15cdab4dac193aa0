"""The live view: what is shown, that nothing harmful or too wide is, and what really stands on a terminal afterwards.

Also checked here: the spoken questions in ``question.wav`` (synthetic speech: flite, voice kal16, made by
``scripts/make_question.sh``; 16 kHz, mono, 16 bit).
"""

from __future__ import annotations

import io
import re
import sys
import unicodedata
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import locara.cli.screen as screen_module
from locara.cli.screen import (
    Line,
    Meter,
    Screen,
    View,
    broken,
    can_be_live,
    columns,
    ledger_line,
    metered,
    plain,
    render,
    view_after,
    word,
)
from locara.voice import events as on

SAMPLES = np.zeros(480, np.float32)
SGR = re.compile(r"\x1b\[[0-9;]*m")
NASTY = st.text(
    alphabet=st.sampled_from(
        "ab \x1b[]31mJH;\x07\\\x9b\x9c\x90\x00\x08\r\n\t\x7f\u202e\u2066\u0301漢字👍🏽\u200d\ufe0f🇩🇪ﷺ"
    ),
    max_size=80,
)


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


def a_conversation() -> list[on.Event]:
    chunk = on.AudioChunk(t=2.2, turn=1, samples=SAMPLES, sample_rate=24_000, text="It's")
    return [
        on.SessionStart(plan={}),
        on.SpeechStart(t=0.6, turn=1, probability=0.9),
        on.PartialTranscript(t=1.0, turn=1, text="what time", revision=0),
        on.SpeechEnd(t=1.6, turn=1, probability=0.1),
        on.FinalTranscript(t=1.9, turn=1, text="what time is it"),
        *(on.LlmToken(t=2.0, turn=1, text=text) for text in ("It's", " ten", " past", " two.")),
        chunk,
        on.TurnEnd(
            t=2.3,
            turn=1,
            who="user",
            reason="complete",
            latency=on.Latency(endpoint=0.38, output=0.03),
            speech_end=1.6,
        ),
    ]


def after(events: list[on.Event], view: View | None = None) -> View:
    view = view or View()
    for event in events:
        view = view_after(view, event)
    return view


def bare(lines: list[str]) -> list[str]:
    return [SGR.sub("", line).rstrip() for line in lines]


def finished(view: View) -> list[str]:
    return ["".join(text for text, _ in line.pieces) for line in view.finished]


# --- the view ---------------------------------------------------------------------------------------------------------


def test_the_state_follows_a_turn_from_listening_to_speaking_and_back() -> None:
    view, words = View(), [word(View())]
    for event in [*a_conversation(), on.TurnEnd(t=4.0, turn=1, who="assistant", reason="finished")]:
        view = view_after(view, event)
        if words[-1] != word(view):
            words.append(word(view))
    assert words == ["starting", "listening", "thinking", "speaking", "listening"]


def test_a_voice_over_the_reply_ducks_it_until_it_resumes() -> None:
    view = after([*a_conversation(), on.SpeechStart(t=3.0, probability=0.8)])
    assert word(view) == "listening to you…"
    assert word(view_after(view, on.Resume(t=3.2, turn=1, paused_ms=0))) == "speaking"
    assert word(view_after(view, on.Rejected(t=3.2, text="mm-hm", reason="backchannel"))) == "speaking"


def test_captions_and_the_ledger_become_finished_lines_in_order() -> None:
    view = after([*a_conversation(), on.TurnEnd(t=4.0, turn=1, who="assistant", reason="finished")])
    assert finished(view) == [
        "you    what time is it",
        "       0.41 s = endpoint 0.38 + output 0.03",
        "locara It's ten past two.",
    ]
    assert view.reply == view.partial == ""


def test_a_growing_caption_is_dim_and_a_reply_is_shown_as_its_tokens_come() -> None:
    shown = render(after(a_conversation()[:3]), 80)
    assert bare(shown)[0] == "you    what time"
    assert "\x1b[2mwhat" in shown[0]
    assert bare(render(after(a_conversation()[:7]), 80))[0] == "locara It's ten"


def test_what_was_not_heard_is_dimmed_after_a_barge_in() -> None:
    barge = on.BargeIn(t=2.6, turn=1, heard_text="It's ten", unheard_text=" past two.", heard_ms=400)
    view = after([*a_conversation(), barge, on.TurnEnd(t=2.6, turn=1, who="assistant", reason="interrupted")])
    assert view.finished[-1] == Line((("locara ", "name"), ("It's ten ", "plain"), ("past two.", "unheard")))
    assert word(view) == "listening"
    assert finished(view).count("locara It's ten past two.") == 1


def test_a_barge_in_that_knows_nothing_says_that_nothing_was_heard() -> None:
    view = after([*a_conversation(), on.BargeIn(t=2.6, turn=1, heard_text="", unheard_text="", heard_ms=0)])
    assert view.finished[-1].pieces == (("locara ", "name"), ("It's ten past two.", "unheard"))


def test_the_end_of_an_older_reply_does_not_hide_that_a_new_one_is_being_thought_of() -> None:
    view = after([*a_conversation(), on.FinalTranscript(t=3, turn=2, text="stop"), on.LlmToken(t=3, turn=2, text="OK")])
    old = view_after(view, on.TurnEnd(t=3.1, turn=1, who="assistant", reason="interrupted"))
    assert word(old) == "thinking"
    assert word(view_after(old, on.TurnEnd(t=3.2, turn=2, who="assistant", reason="empty"))) == "listening"


def test_a_turn_without_an_answer_goes_back_to_listening() -> None:
    for reason in ("no-words", "backchannel", "echo", "muted", "failed"):
        view = after(a_conversation()[:5])
        assert word(view) == "thinking"
        assert word(view_after(view, on.TurnEnd(t=2, turn=1, who="user", reason=reason))) == "listening"


def test_mute_and_push_to_talk_are_said_in_the_state() -> None:
    view = after(a_conversation()[:1])
    assert word(replace(view, muted=True)) == "muted"
    assert word(replace(view, held=True)) == "listening, go on…"
    assert word(replace(after(a_conversation()), muted=True)) == "speaking, muted"


def test_an_error_is_one_line_and_its_hint() -> None:
    view = view_after(
        View(), on.Error(code="engine-timeout", message="no\nanswer", stage="stt", hint="a smaller model")
    )
    assert [plain(text) for text in finished(view)] == [
        "error  stt: no answer (engine-timeout)",
        "       -> a smaller model",
    ]


@pytest.mark.parametrize("kind", on.ALL, ids=lambda kind: kind.type)
def test_every_event_can_be_shown(kind: type[on.Event]) -> None:
    values: dict[str, Any] = {
        "plan": {}, "probability": 0.5, "text": "x", "revision": 0, "samples": SAMPLES, "sample_rate": 24_000, "who": "user",
        "reason": "complete", "heard_text": "a", "unheard_text": "b", "heard_ms": 1, "paused_ms": 1, "name": "n",
        "arguments": {"a": 1}, "result": 1, "device": "d", "hint": "h", "code": "c", "message": "m", "stage": "s",
    }  # fmt: skip
    fields = {one: values[one] for one in kind.__dataclass_fields__ if one in values}
    view = view_after(View(), kind(dropped=3, **fields))
    assert "3 events were lost" in finished(view)[0]
    assert render(view, 60)


def test_lost_lines_are_bounded_when_nobody_writes_them() -> None:
    view = View()
    for index in range(1_500):
        view = view_after(view, on.FinalTranscript(turn=index, text=f"line {index}"))
    assert len(view.finished) == 1_000
    assert finished(view)[-1].endswith("line 1499")


def test_a_ledger_adds_up_to_its_total_as_shown() -> None:
    assert ledger_line(on.Latency(endpoint=0.38, output=0.03)) == "0.41 s = endpoint 0.38 + output 0.03"
    assert ledger_line(on.Latency()) == "0.00 s"
    seven = ledger_line(on.Latency(0.104, 0.104, 0.104, 0.104, 0.104, 0.104, 0.104))
    total, parts = seven.split(" s = ")
    assert float(total) == pytest.approx(sum(float(part.split()[-1]) for part in parts.split(" + ")))


# --- meters -----------------------------------------------------------------------------------------------------------


def test_a_peak_is_held_for_a_second_and_then_falls() -> None:
    meter = metered(Meter(), -10.0, 5.0)
    for now in (5.2, 5.6, 5.99):
        meter = metered(meter, -50.0, now)
        assert (meter.level, meter.peak) == (-50.0, -10.0)
    assert metered(meter, -50.0, 7.0).peak == -10.0  # still remembered: it falls to -30 by now
    assert metered(meter, -25.0, 7.0).peak == -25.0
    assert metered(meter, float("nan"), 7.0).level == -120.0


def test_a_louder_microphone_draws_a_longer_bar() -> None:
    filled = [
        "".join(render(View(microphone=Meter(level, level, 0.0)), 100)).count("█") for level in (-70, -50, -30, -10, 0)
    ]
    assert filled == sorted(filled)
    assert filled[0] == 0
    assert filled[-1] >= 20


# --- text -------------------------------------------------------------------------------------------------------------


def test_escape_sequences_are_removed_whole() -> None:
    assert plain("a\x1b[31mred\x1b[0m b\x1b]0;title\x07c\x9b2Jd\x1bce") == "ared bcde"
    assert plain("one\ntwo\tthree\u202eevil\x85four") == "one two threeevil four"
    assert plain("naïve 漢字 e\u0301") == "naïve 漢字 e\u0301"


@given(NASTY)
def test_no_control_character_survives(text: str) -> None:
    assert not [one for one in plain(text) if unicodedata.category(one) == "Cc" or one in "\u202e\u2066"]


def test_wide_and_combining_characters_are_measured() -> None:
    assert columns("abc") == 3
    assert columns("漢字") == 4
    assert columns("e\u0301") == 1
    assert columns("👍") == 2


@given(NASTY, st.integers(12, 60))
def test_broken_lines_fit_and_lose_no_word(text: str, width: int) -> None:
    lines = broken(Line((("name   ", "name"), (text, "plain"))), width)
    whole = ["".join(piece for piece, _ in line.pieces) for line in lines]
    assert all(columns(line) <= width for line in whole)
    assert "".join("".join(whole).split()) == "".join(plain(f"name {text}").split())


@settings(max_examples=60)
@given(
    st.integers(40, 200),
    NASTY,
    NASTY,
    st.none() | NASTY,
    st.floats(-130, 5),
    st.booleans(),
    st.booleans(),
)
def test_nothing_live_is_wider_than_the_terminal_or_harmful(
    width: int, reply: str, partial: str, typing: str | None, level: float, muted: bool, ascii_only: bool
) -> None:
    meter = metered(Meter(), level, 0.0)
    view = View("ducked", True, muted, False, typing, meter, meter, partial, reply)
    for line in render(view, width, ascii_only=ascii_only):
        visible = SGR.sub("", line)
        assert columns(visible) < width
        assert not [one for one in visible if unicodedata.category(one) == "Cc"]


def test_a_long_reply_keeps_the_live_part_small_and_shows_its_end() -> None:
    view = after([on.LlmToken(turn=1, text=f"word{index} ") for index in range(3_000)])
    shown = bare(render(view, 60))
    assert len(shown) <= 12
    assert any("word2999" in line for line in shown)


def test_the_keys_line_says_what_can_be_pressed_and_fits_a_narrow_terminal() -> None:
    assert bare(render(View(), 80))[-1] == "space push-to-talk  m mute  s stop  t type  q quit"
    assert bare(render(View(), 40))[-1] == "space push-to-talk  m mute  q quit"


# --- the terminal -----------------------------------------------------------------------------------------------------


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


# --- the spoken questions ---------------------------------------------------------------------------------------------

QUESTION = Path(screen_module.__file__).with_name("question.wav")


def spoken() -> list[np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """The sentences of the file, with 0.3 s around each."""
    with wave.open(str(QUESTION)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    blocks = sound[: sound.size // 320 * 320].reshape(-1, 320).astype(np.float64)
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) > 32768 * 10 ** (-50 / 20))
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 50) + 1)
    return [sound[(part[0] - 15) * 320 : (part[-1] + 16) * 320] for part in parts]


def test_the_question_file_is_small_has_a_lead_and_is_never_digitally_silent() -> None:
    assert QUESTION.stat().st_size < 300_000
    with wave.open(str(QUESTION)) as file:
        lead = np.frombuffer(file.readframes(9_600), "<i2").astype(np.float64) / 32768
    assert -67.0 < 10 * np.log10((lead**2).mean()) < -63.0
    assert len(spoken()) == 2


def test_the_questions_are_recognised_word_for_word() -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL", fwdflat=False, maxhmmpf=5000, maxwpf=20)
    heard = []
    for sentence in spoken():
        decoder.start_utt()
        decoder.process_raw(sentence.tobytes(), full_utt=True)
        decoder.end_utt()
        heard.append(decoder.hyp().hypstr)
    assert heard == ["what time is it", "what is twelve times seven"]
