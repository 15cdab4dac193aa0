"""What an answer means, as a table; and which addresses may be asked at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locara.catalog.answers import (
    Asked,
    Body,
    Complete,
    Passing,
    Refused,
    is_markup,
    judge,
    linked_sha256,
    retry_after,
    validator,
)
from locara.catalog.connecting import allowed, bare, is_loopback, redirected
from locara.errors import ModelError

NOW = 1_700_000_000.0
HASH = "a" * 64


@pytest.mark.parametrize(
    ("status", "headers", "asked", "expected"),
    [
        (200, {"content-length": "10"}, Asked(0), Body(0, 10, True)),
        (200, {}, Asked(0), Body(0, None, False)),
        (200, {"transfer-encoding": "chunked"}, Asked(0), Body(0, None, True)),
        (206, {"content-range": "bytes 5-9/10"}, Asked(5), Body(5, 10, True)),
        (206, {"content-range": "bytes 5-9/*"}, Asked(5, 10), Body(5, None, True)),
        (416, {"content-range": "bytes */10"}, Asked(10), Complete()),
        (416, {"content-range": "bytes */10"}, Asked(10, 10), Complete()),
    ],
)
def test_good_answers(status: int, headers: dict[str, str], asked: Asked, expected: Body | Complete) -> None:
    assert judge(status, headers, asked, NOW) == expected


@pytest.mark.parametrize(
    ("status", "headers", "asked", "sort"),
    [
        (206, {"content-range": "bytes 4-9/10"}, Asked(5), Passing),
        (206, {"content-range": "bytes 5-12/10"}, Asked(5), Passing),
        (206, {"content-range": "bytes 5-4/10"}, Asked(5), Passing),
        (206, {}, Asked(5), Passing),
        (206, {"content-range": "bytes 5-9/10"}, Asked(5, 11), Refused),
        (416, {"content-range": "bytes */10"}, Asked(10, 11), Refused),
        (416, {"content-range": "bytes */3"}, Asked(10), Passing),
        (416, {}, Asked(0), Refused),
        (200, {"content-length": "9"}, Asked(0, 10), Refused),
        (200, {"content-encoding": "br", "content-length": "10"}, Asked(0, 10), Refused),
        (200, {"content-type": "Text/HTML ; charset=x"}, Asked(0), Refused),
        (503, {}, Asked(0), Passing),
        (408, {}, Asked(0), Passing),
        (400, {}, Asked(0), Refused),
        (410, {}, Asked(0), Refused),
        (302, {}, Asked(0), Refused),
        (204, {}, Asked(0), Refused),
    ],
)
def test_answers_that_bring_no_file(status: int, headers: dict[str, str], asked: Asked, sort: type) -> None:
    assert isinstance(judge(status, headers, asked, NOW), sort)


def test_a_web_page_that_is_the_file_is_taken() -> None:
    assert judge(200, {"content-type": "text/html", "content-length": "1"}, Asked(0, markup=True), NOW) == Body(
        0, 1, True
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9" * 40, 999_999_999.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 99 Nov 2023", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_a_weak_tag_is_not_a_validator() -> None:
    assert validator({"etag": '"a"', "last-modified": "d"}) == '"a"'
    assert validator({"etag": 'W/"a"', "last-modified": "d"}) == "d"
    assert validator({"etag": "bare"}) == ""
    assert linked_sha256({"x-linked-etag": f'"{HASH}"'}) == HASH
    assert linked_sha256({"x-linked-etag": f'"{"a" * 40}"'}) == ""


@pytest.mark.parametrize(
    ("head", "page"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf \r\n<html lang=en>", True),
        (b"<?xml version='1.0'?><!DOCTYPE html>", True),
        (b"<unk> 0\n<s> 1", False),  # a list of tokens
        (b"GGUF", False),
        (b"", False),
    ],
)
def test_a_page_is_told_from_a_file(head: bytes, page: bool) -> None:
    assert is_markup(head) is page


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(
            ["content-length", "content-range", "content-type", "content-encoding", "retry-after", "transfer-encoding"]
        ),
        st.text(max_size=20) | st.from_regex(r"bytes [0-9]{1,3}-[0-9]{1,3}/[0-9*]{1,3}", fullmatch=True),
    ),
    st.integers(0, 1000),
    st.none() | st.integers(0, 1000),
)
def test_whatever_a_server_says_is_judged(status: int, headers: dict[str, str], offset: int, size: int | None) -> None:
    verdict = judge(status, headers, Asked(offset, size), NOW)

    if isinstance(verdict, Body):
        assert verdict.start in {0, offset}
        assert size is None or verdict.total in {None, size}


@pytest.mark.parametrize("url", ["https://e.org/a", "http://127.0.0.1:1/a", "http://localhost/a", "http://[::1]:8/a"])
def test_https_and_this_machine_may_be_asked(url: str) -> None:
    assert allowed(url) == url


@pytest.mark.parametrize(
    "url",
    ["http://e.org/a", "http://127.0.0.1.e.org/", "http://localhost.e.org/", "https://", "https://[", "//e.org/a", ""],
)
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(ModelError):
        allowed(url)


def test_a_redirect_from_elsewhere_may_not_lead_to_this_machine() -> None:
    assert redirected("https://e.org/a/b", "../c") == "https://e.org/c"
    assert redirected("http://127.0.0.1:1/a", "http://localhost:1/b") == "http://localhost:1/b"
    for target in ("http://127.0.0.1/a", "https://localhost/a", "http://[::1]/", "http://e.org/a"):
        with pytest.raises(ModelError):
            redirected("https://e.org/a", target)
    assert is_loopback("127.9.9.9")
    assert not is_loopback("128.0.0.1")


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    assert bare("https://me:pw@e.org:8/a?X-Signature=s#f") == "https://e.org:8/a"
