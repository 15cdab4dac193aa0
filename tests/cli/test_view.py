"""The view: what is shown of a conversation, and that no line of it is too wide or harmful."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locara.cli.lines import Line, columns, plain
from locara.cli.view import Meter, View, ledger_line, metered, render, view_after, word
from locara.voice import events as on

from .shown import NASTY, SAMPLES, SGR, a_conversation, after, bare, finished


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


def test_a_barge_in_with_nothing_left_to_say_is_still_seen() -> None:
    view = after([*a_conversation(), on.BargeIn(t=2.6, turn=1, heard_text="It's ten", unheard_text="", heard_ms=400)])
    assert finished(view)[-1] == "locara It's ten (interrupted)"


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


def test_the_word_that_is_waited_for_is_said_in_the_state_and_keys_go_before_it() -> None:
    waits = on.AttentionChanged(t=0.1, state="waiting", reason="started", word="hey jarvis")
    view = after([*a_conversation()[:1], waits])
    assert word(view) == 'say "hey jarvis"'
    assert word(replace(view, held=True)) == "listening, go on…"
    assert word(replace(view, muted=True)) == "muted"
    woken = on.AttentionChanged(t=0.2, state="attentive", reason="wake-word", word="hey jarvis")
    assert word(view_after(view, woken)) == "listening"


def test_a_long_silence_is_one_line() -> None:
    view = after([on.UserIdle(t=20.0 * count, seconds=20.0 * count, count=count) for count in (1, 2, 3)])
    assert [plain(text).strip() for text in finished(view)] == ["(quiet for 20 s)"]


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
        "state": "waiting", "word": "w", "stages": ("llm",), "seconds": 5.0, "count": 1, "mode": "half-duplex",
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


# --- the picture ------------------------------------------------------------------------------------------------------


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


def test_a_changed_device_is_one_line() -> None:
    hint = "the speaker 'Headset' is back; the conversation goes on"
    view = view_after(View(), on.DeviceChanged(device="Headset", hint=hint, kind="output", change="back"))
    (line,) = view.finished
    assert "".join(text for text, _ in line.pieces) == f"note   {hint}"
