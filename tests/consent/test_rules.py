"""What follows from the records: the rule for updates, as properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.consent import chain
from locara.consent.chain import Chain
from locara.consent.rules import COOL_DOWN_SECONDS, Book, Record, after, fold, open_until, state
from locara.errors import ConsentError
from locara.manifest.values import CAPABILITIES

DAY = 86_400.0
MIC, SPEAKER, SELECT = CAPABILITIES


def seen(at: float, *capabilities: str, version: str = "1") -> Record:
    return Record("seen", at, "a.b", name="App", version=version, capabilities=capabilities)


def said(do: Any, at: float, capability: str, **more: Any) -> Record:
    return Record(do, at, "a.b", capability, "terminal", **more)


def of(book: Book, capability: str = MIC, once: int = 0) -> str:
    return state(book, "a.b", capability, once)


def test_a_fresh_app_is_asked_at_once_for_everything() -> None:
    book = fold([seen(0, MIC, SPEAKER)])
    assert [of(book, one) for one in (MIC, SPEAKER)] == ["unasked", "unasked"]
    assert open_until(book, "a.b", MIC, 0.0) == 0.0


def test_what_an_update_adds_waits_seven_days_and_what_was_granted_goes_on() -> None:
    book = fold([seen(0, MIC), said("grant", 1, MIC), seen(10 * DAY, MIC, SPEAKER, version="2")])
    assert of(book) == "granted"
    assert of(book, SPEAKER) == "pending"
    assert open_until(book, "a.b", SPEAKER, 16.9 * DAY) == 17 * DAY
    assert open_until(book, "a.b", SPEAKER, 17 * DAY) == 0.0
    assert of(book, SPEAKER) == "pending"  # it is asked for then; nothing is granted by waiting


def test_what_was_not_answered_at_the_first_start_is_no_addition_later() -> None:
    book = fold([seen(0, MIC, SPEAKER), said("grant", 1, MIC), seen(DAY, MIC, SPEAKER, version="2")])
    assert of(book, SPEAKER) == "unasked"


def test_what_was_granted_before_the_first_start_makes_nothing_else_an_update() -> None:
    book = fold([said("grant", 0, MIC), seen(1, MIC, SPEAKER)])
    assert (of(book), of(book, SPEAKER)) == ("granted", "unasked")
    later = after(book, seen(2, *CAPABILITIES, version="2"))
    assert of(later, SELECT) == "pending"


def test_a_capability_that_was_removed_and_comes_again_counts_as_added() -> None:
    records = [seen(0, MIC, SPEAKER), said("grant", 1, MIC), said("grant", 2, SPEAKER), seen(3, MIC, version="2")]
    book = fold(records)
    assert of(book, SPEAKER) == "unasked"
    book = after(book, seen(4, MIC, SPEAKER, version="3"))
    assert of(book, SPEAKER) == "pending"
    assert of(book) == "granted"


def test_starting_a_pending_update_again_does_not_begin_the_wait_anew() -> None:
    book = fold(
        [seen(0, MIC), said("grant", 1, MIC), seen(DAY, MIC, SPEAKER), seen(5 * DAY, MIC, SPEAKER, version="3")]
    )
    assert open_until(book, "a.b", SPEAKER, 5 * DAY) == 8 * DAY


def test_a_clock_set_back_does_not_shorten_the_wait() -> None:
    book = fold([seen(0, MIC), said("grant", 30 * DAY, MIC), seen(10 * DAY, MIC, SPEAKER)])
    assert book.clock == 30 * DAY
    assert open_until(book, "a.b", SPEAKER, 10 * DAY) == 37 * DAY
    assert open_until(book, "a.b", SPEAKER, 36 * DAY) == 37 * DAY


def test_a_clock_set_back_after_the_wait_does_not_begin_it_again() -> None:
    book = fold([seen(0, MIC), said("grant", 1, MIC), seen(DAY, MIC, SPEAKER), said("grant", 9 * DAY, MIC)])
    assert open_until(book, "a.b", SPEAKER, 2 * DAY) == 0.0


def test_granting_before_the_wait_is_over_needs_the_explicit_word_and_revoking_is_no_way_around() -> None:
    book = fold([seen(0, MIC), said("grant", 1, MIC), seen(2, MIC, SPEAKER)])
    for do in ("grant", "once", "revoke"):
        assert of(after(book, said(do, 3, SPEAKER)), SPEAKER, once=99) == "pending"
    assert of(after(book, said("grant", 3, SPEAKER, now=True)), SPEAKER) == "granted"
    assert of(after(book, said("deny", 3, SPEAKER)), SPEAKER) == "denied"
    assert of(after(book, said("grant", 2 + COOL_DOWN_SECONDS, SPEAKER)), SPEAKER) == "granted"


def test_once_holds_for_the_process_it_was_said_to_until_it_is_taken_back() -> None:
    book = fold([seen(0, MIC), said("once", 1, MIC)])
    assert of(book, once=2) == "once"
    assert of(book) == "unasked"
    for do in ("revoke", "deny"):
        taken = after(book, said(do, 2, MIC))
        assert of(taken, once=2) != "once"
        again = after(taken, said("once", 3, MIC))
        assert (of(again, once=2), of(again, once=4)) == ("unasked", "once")


capabilities = st.sampled_from(CAPABILITIES)
times = st.floats(0, 60 * DAY, allow_nan=False)
records = st.one_of(
    st.builds(lambda at, some: seen(at, *sorted(some)), times, st.sets(capabilities, min_size=1)),
    st.builds(
        lambda do, at, one, now: said(do, at, one, now=now),
        st.sampled_from(["grant", "deny", "once", "revoke"]),
        times,
        capabilities,
        st.booleans(),
    ),
)
histories = st.lists(records, max_size=25)


@given(histories, times)
def test_nothing_is_ever_granted_without_a_word_of_a_person(history: list[Record], wall: float) -> None:
    """Whatever happens: granted means that the last word about it was yes, and not one said too early."""
    book = Book()
    last: dict[str, str] = {}
    for record in history:
        waits = open_until(book, "a.b", record.capability, max(record.at, book.clock)) > 0
        before = book
        book = after(book, record)
        assert book.clock >= before.clock
        if record.do == "seen":
            for one in CAPABILITIES:
                if one not in record.capabilities and last.get(one):
                    last[one] = ""
            continue
        if record.do in ("grant", "once") and waits and not record.now:
            continue
        if record.do == "revoke" and of(before, record.capability) == "pending":
            continue
        last[record.capability] = record.do
    for one in CAPABILITIES:
        assert (of(book, one) == "granted") <= (last.get(one) == "grant")
        assert (of(book, one, once=book.records) == "once") <= (last.get(one) == "once")


@given(histories, st.lists(times, min_size=2, max_size=6))
def test_a_wait_never_becomes_shorter_whatever_the_clock_says(history: list[Record], walls: list[float]) -> None:
    book = fold([seen(0, MIC), said("grant", 1, MIC), *history])
    first = book.clock
    book = after(book, seen(first, MIC))  # then nothing else is pending
    book = after(book, said("grant", first, MIC, now=True))
    book = after(book, seen(first, MIC, SPEAKER, version="new"))
    for wall in walls:
        book = after(book, seen(wall, MIC, SPEAKER, version=str(wall)))
        if book.clock < first + COOL_DOWN_SECONDS:
            assert open_until(book, "a.b", SPEAKER, wall) >= first + COOL_DOWN_SECONDS


def _timed(history: list[Record]) -> list[Record]:
    """As the ledger writes them: never before the line before."""
    import dataclasses

    clock, told = 0.0, []
    for record in history:
        clock = max(clock, record.at)
        told.append(dataclasses.replace(record, at=clock))
    return told


@given(histories)
def test_a_ledger_is_read_as_it_was_written(history: list[Record]) -> None:
    whole = Chain("id", tuple(_timed(history)))
    assert chain.read(chain.written(whole), "x") == whole


@given(histories.filter(bool), st.data())
def test_any_change_of_a_character_is_noticed(history: list[Record], data: st.DataObject) -> None:
    text = chain.written(Chain("id", tuple(_timed(history))))
    head = text.index("\n") + 1
    at = data.draw(st.integers(head, len(text) - 1))
    new = data.draw(st.sampled_from("0aZ \n{"))
    if text[at] == new:
        return
    with pytest.raises(ConsentError):
        chain.read(text[:at] + new + text[at + 1 :], "x")


@given(histories.filter(bool), st.data())
def test_any_cut_is_noticed(history: list[Record], data: st.DataObject) -> None:
    text = chain.written(Chain("id", tuple(_timed(history))))
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(ConsentError):
        chain.read(text[:cut], "x")


@given(st.text(max_size=300))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    with pytest.raises(ConsentError):
        chain.read(text, "x")


def test_lines_taken_out_turned_round_or_added_are_noticed() -> None:
    text = chain.written(Chain("id", (seen(0, MIC), said("deny", 1, MIC), said("grant", 2, SPEAKER))))
    head, one, two, three = text.splitlines()
    for lines in ([head, one, three], [head, one, three, two], [head, one, two, three, three], [head, two, three]):
        with pytest.raises(ConsentError, match="cannot be trusted"):
            chain.read("\n".join(lines) + "\n", "x")


def test_a_ledger_from_a_newer_locara_is_not_guessed_at() -> None:
    text = chain.written(Chain("id")).replace('"locara-grants":1', '"locara-grants":2')
    with pytest.raises(ConsentError, match="newer Locara"):
        chain.read(text, "x")


def test_a_long_ledger_is_folded_and_says_the_same() -> None:
    whole = Chain("id")
    history = [seen(0, MIC, SPEAKER)]
    for number in range(2000):
        history.append(said("deny" if number % 3 else "once", float(number), MIC if number % 2 else SPEAKER))
    for record in history:
        whole = chain.longer(whole, record)
    text = chain.written(whole)
    assert len(whole.records) <= chain.COMPACT_LINES
    assert len(text) < 150_000
    again = chain.read(text, "x")
    assert again == whole
    assert again.book == fold(history)


def test_a_folded_ledger_keeps_the_apps_touched_last() -> None:
    whole = Chain("id")
    for number in range(2 * chain.MOST_APPS):
        whole = chain.longer(whole, Record("grant", float(number), f"app.n{number}", MIC, "cli"))
    kept = whole.book.apps
    assert len(kept) <= chain.MOST_APPS + chain.COMPACT_LINES
    assert f"app.n{2 * chain.MOST_APPS - 1}" in kept
    assert "app.n0" not in kept
    assert len(chain.written(whole)) < chain.MOST_BYTES
