"""The question at a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.consent import Question
from locara.consent.asking import at_terminal, text_of, understood

QUESTION = Question("com.example.talk", "Talk", "1.2", "device.microphone", "follows from voice-to-voice")


def test_the_question_says_who_wants_what_and_why() -> None:
    text = text_of(QUESTION)
    for part in ("Talk", "com.example.talk", "1.2", "microphone", "device.microphone", "follows from voice-to-voice"):
        assert part in text
    assert "Enter is no" in text
    assert "update" not in text
    assert "update" in text_of(Question("a.b", "A", "2", "device.speaker", update=True))


@given(st.text(max_size=400), st.text(max_size=400))
def test_an_app_cannot_repaint_the_question(name: str, why: str) -> None:
    text = text_of(Question("a.b", name, "1", "device.speaker", why))
    assert text.endswith("\n  [o]nce, [a]lways, [d]eny? Enter is no: ")
    assert len(text) < 700
    assert text.count("\n") <= 3
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize(
    ("typed", "word"),
    [("o\n", "once"), ("Always\n", "always"), (" d \n", "deny"), ("no\n", "deny"), ("\n", "dismissed"), ("", "dismissed"),
     ("y\n", "dismissed"), ("yes\n", "dismissed"), ("allow", "dismissed"), ("alwaysa", "dismissed")],
)  # fmt: skip
def test_only_a_clear_word_is_an_answer(typed: str, word: str) -> None:
    shown = io.StringIO()
    assert at_terminal(QUESTION, typed=io.StringIO(typed), shown=shown).word == word
    assert "wants to listen" in shown.getvalue()


@given(st.text(max_size=20))
def test_nothing_that_is_typed_by_chance_is_a_yes(line: str) -> None:
    if understood(line) in ("once", "always"):
        assert line.strip().lower() in ("o", "once", "a", "always")


_PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from locara.consent import Ledger
from locara.consent.access import Access
from locara.consent.audit import Audit
from locara.errors import CapabilityDenied
from locara.manifest.values import Manifest
folder = Path(sys.argv[1])
if sys.stdin.isatty():  # Ctrl-C on this terminal is then a signal for this process
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
app = Manifest("com.example.talk", "Talk", "1", modalities=("voice-to-voice",))
async def main():
    try:
        await Access(app, ledger=Ledger(folder), audit=Audit(folder)).demand("device.microphone")
        print("granted", flush=True)
    except CapabilityDenied as error:
        print("denied:", error.message, flush=True)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize(
    ("typed", "ends"),
    [(b"a\n", "granted"), (b"\n", "denied"), (b"\x04", "denied"), (b"\x03", "denied"), (b"d\n", "denied")],
    ids=["always", "Enter", "Ctrl-D", "Ctrl-C", "deny"],
)
def test_a_person_at_a_terminal_is_asked_by_a_program(tmp_path: Path, typed: bytes, ends: str) -> None:
    import select

    master, slave = os.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True,
    )  # fmt: skip
    try:
        seen, sent, deadline = b"", False, time.monotonic() + 30
        while time.monotonic() < deadline and b"granted" not in seen and b"denied" not in seen:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)
            if b"Enter is no:" in seen and not sent:
                os.write(master, typed)
                sent = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(10)
        assert run.poll() == 0, (sent, seen)
        assert ends in seen.decode(), seen
        assert b"Traceback" not in seen
    finally:
        run.kill()
        run.wait()
        os.close(master)
        os.close(slave)


def test_without_a_terminal_nobody_is_asked_and_it_is_no(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
        check=False, text=True,
    )  # fmt: skip
    assert run.stdout.startswith("denied:"), run.stderr
    assert "nobody can be asked" in run.stdout
