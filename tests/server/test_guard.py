"""Who may come in, decided on values alone."""

from __future__ import annotations

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.running import TOKEN

from locara.server.guard import OPEN_FOLDERS, OPEN_PATHS, Facts, guard, is_open, is_token, tokens_of

GUARD = guard(TOKEN, 7777, origins=("http://localhost:5173",))
GOOD = Facts("GET", "/v1/models", "/v1/models", ("127.0.0.1:7777",), authorizations=(f"Bearer {TOKEN}",))
POST = dataclasses.replace(
    GOOD,
    method="POST",
    target="/v1/audio/speech",
    path="/v1/audio/speech",
    content_type="application/json",
    has_body=True,
)
SOCKET = dataclasses.replace(GOOD, target="/ipc", path="/ipc", upgrade=True)


def code(facts: Facts, **changed: object) -> str | None:
    refusal = GUARD.judge(dataclasses.replace(facts, **changed))  # type: ignore[arg-type]
    return None if refusal is None else refusal.code


def test_a_good_request_comes_in() -> None:
    assert code(GOOD) is None
    assert code(POST) is None
    assert code(SOCKET) is None
    assert code(POST, origins=("http://127.0.0.1:7777",), site="same-origin") is None


@pytest.mark.parametrize("host", ["127.0.0.1:7777", "localhost:7777", "[::1]:7777", "LocalHost:7777"])
def test_every_name_of_this_machine_is_answered_to(host: str) -> None:
    assert code(GOOD, hosts=(host,)) is None


@pytest.mark.parametrize(
    "hosts",
    [
        (),
        ("",),
        ("127.0.0.1",),
        ("127.0.0.1:7778",),
        ("rebind.example:7777",),
        ("localhost.:7777",),
        ("localhost:7777.evil.example",),
        ("127.0.0.1:7777", "127.0.0.1:7777"),
        ("127.0.0.1:7777, evil.example",),
        ("mybox.local:7777",),
        ("0.0.0.0:7777",),
        ("127.1:7777",),
        ("2130706433:7777",),
    ],
)
def test_no_other_host_is_even_with_the_token(hosts: tuple[str, ...]) -> None:
    assert code(GOOD, hosts=hosts) == "host-refused"
    assert code(SOCKET, hosts=hosts) == "host-refused"


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://127.0.0.1:7778",
        "https://127.0.0.1:7777",
        "http://rebind.example:7777",
        "http://127.0.0.1:7777.evil.example",
        "http://localhost:5174",
        "http://LOCALHOST:5173",
        "file://",
        "chrome-extension://abcdef",
    ],
)
def test_no_page_of_another_origin_is_even_with_the_token(origin: str) -> None:
    assert code(SOCKET, origins=(origin,)) == "origin-refused"
    assert code(POST, origins=(origin,)) == "origin-refused"


def test_a_page_that_was_allowed_may_connect_and_read() -> None:
    page = {"origins": ("http://localhost:5173",), "site": "same-site"}
    assert code(SOCKET, **page) is None
    assert code(POST, **page) is None
    assert code(GOOD, method="OPTIONS", authorizations=(), **page) is None
    assert code(GOOD, method="OPTIONS", authorizations=()) == "bad-method"
    assert code(POST, authorizations=(), **page) == "invalid_api_key"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_causes_is_refused_but_a_link_to_the_page(site: str) -> None:
    assert code(POST, site=site) == "origin-refused"
    assert code(GOOD, site=site) == "origin-refused"
    link = Facts("GET", "/", "/", ("127.0.0.1:7777",), site=site, mode="navigate")
    assert code(link) is None
    assert code(link, mode="no-cors") == "origin-refused"  # <img>, <script>
    assert code(link, path="/healthz", target="/healthz") == "origin-refused"


@pytest.mark.parametrize(
    "given",
    [(), ("",), ("Bearer",), ("Bearer ",), ("Basic " + TOKEN,), (TOKEN,), ("Bearer " + TOKEN[:-1],), ("Bearer é",)],
)
def test_without_the_token_nothing_is_done(given: tuple[str, ...]) -> None:
    assert code(GOOD, authorizations=given) == "invalid_api_key"
    assert code(SOCKET, authorizations=given) == "invalid_api_key"


def test_a_browser_gives_the_token_as_a_subprotocol_of_a_websocket_only() -> None:
    for prefix in ("locara.token.", "openai-insecure-api-key."):
        offered = ("locara.ipc.v1", prefix + TOKEN)
        assert code(SOCKET, authorizations=(), protocols=offered) is None
        assert code(SOCKET, authorizations=(), protocols=(prefix + "wrong",)) == "invalid_api_key"
        assert code(GOOD, authorizations=(), protocols=offered) == "invalid_api_key"
    # One right and one wrong: somebody is trying.
    assert code(SOCKET, protocols=("locara.token.wrong",)) == "invalid_api_key"


def test_a_token_in_the_address_is_not_looked_at() -> None:
    assert code(GOOD, target=f"/v1/models?token={TOKEN}&api_key={TOKEN}", authorizations=()) == "invalid_api_key"


def test_files_that_hold_no_secret_need_no_token_and_still_the_right_host() -> None:
    for path in ("/", "/sdk/locara.js", "/page/page.css", "/favicon.ico"):
        open_one = dataclasses.replace(GOOD, path=path, target=path, authorizations=())
        assert code(open_one) is None
        assert code(open_one, hosts=("evil.example",)) == "host-refused"
        assert code(open_one, method="POST", content_type="application/json") == "invalid_api_key"
    assert code(POST, path="/code", target="/code", authorizations=()) is None
    assert code(POST, path="/code/new", target="/code/new", authorizations=()) == "invalid_api_key"
    assert code(GOOD, path="/code", target="/code", authorizations=()) == "invalid_api_key"


@pytest.mark.parametrize("path", ["/sdk/../ipc", "/sdk/./x", "/sdk/..", "/sdk/a\\..\\b", "/sdk/\0", "/sdk/x\n"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    assert code(GOOD, path=path, authorizations=()) == "bad-request"


@pytest.mark.parametrize("target", ["http://evil.example/v1/models", "*", "evil.example:80", ""])
def test_the_server_is_no_proxy(target: str) -> None:
    assert code(GOOD, target=target) == "bad-request"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_page_is_no_request(kind: str) -> None:
    assert code(POST, content_type=kind) == "unsupported-media-type"


def test_a_file_is_sent_as_a_form_and_only_there() -> None:
    upload = dataclasses.replace(POST, path="/v1/audio/transcriptions", target="/v1/audio/transcriptions")
    assert code(upload) == "unsupported-media-type"
    assert code(upload, content_type="multipart/form-data") is None
    assert code(upload, content_type="multipart/form-data", content_encoding="gzip") == "unsupported-media-type"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "get", "FOO"])
def test_unknown_methods_are_refused(method: str) -> None:
    assert code(GOOD, method=method) == "bad-method"


def test_a_name_behind_a_proxy_has_its_own_port() -> None:
    proxied = guard(TOKEN, 7777, hosts=("voice.example:443", "mybox.lan", "fd00::1"))
    for host in ("voice.example", "voice.example:443", "mybox.lan:7777", "[fd00::1]:7777"):
        assert proxied.judge(dataclasses.replace(GOOD, hosts=(host,))) is None, host
    for host in ("voice.example:7777", "mybox.lan", "mybox.lan:443"):
        assert proxied.judge(dataclasses.replace(GOOD, hosts=(host,))) is not None, host
    secure = dataclasses.replace(GOOD, hosts=("voice.example",), origins=("https://voice.example",))
    assert proxied.judge(secure) is None


@pytest.mark.parametrize(
    "origin", ["*", "localhost:5173", "http://localhost:5173/", "http://a/b", "null", "http://*.example"]
)
def test_an_origin_that_is_none_is_an_error_at_the_start(origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        guard(TOKEN, 7777, origins=(origin,))


def test_the_token_is_not_in_what_is_printed_of_a_guard() -> None:
    assert TOKEN not in repr(GUARD)
    assert TOKEN not in repr(GUARD.judge(dataclasses.replace(GOOD, hosts=(TOKEN,))))


TEXTS = st.text(max_size=40)
HEADERS = st.lists(TEXTS | st.sampled_from(["127.0.0.1:7777", "http://127.0.0.1:7777", f"Bearer {TOKEN}"]), max_size=3)
ANY = st.builds(
    Facts,
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"]) | TEXTS,
    target=st.just("/v1/models") | TEXTS,
    path=st.sampled_from(["/", "/ipc", "/code", "/sdk/x.js", "/v1/realtime"]) | TEXTS,
    hosts=HEADERS.map(tuple),
    origins=HEADERS.map(tuple),
    site=st.sampled_from(["", "none", "same-origin", "same-site", "cross-site"]),
    mode=st.sampled_from(["", "navigate", "cors"]),
    content_type=st.sampled_from(["", "application/json", "text/plain", "multipart/form-data"]),
    has_body=st.booleans(),
    authorizations=HEADERS.map(tuple),
    protocols=st.lists(TEXTS | st.just(f"locara.token.{TOKEN}"), max_size=3).map(tuple),
    upgrade=st.booleans(),
)


@given(ANY)
def test_whoever_comes_in_keeps_every_rule(facts: Facts) -> None:
    refusal = GUARD.judge(facts)
    if refusal is not None:
        assert 400 <= refusal.status < 500
        return
    assert facts.hosts[0].lower() in {"127.0.0.1:7777", "localhost:7777", "[::1]:7777"}
    assert len(facts.hosts) == 1
    assert set(facts.origins) <= {f"http://{one}" for one in GUARD.hosts} | {"http://localhost:5173"}
    assert is_open(facts) or GUARD.is_preflight(facts) or set(tokens_of(facts)) == {TOKEN}


@given(ANY)
def test_what_needs_no_token_has_no_effects(facts: Facts) -> None:
    if is_open(facts):
        reading = facts.method in ("GET", "HEAD") and not facts.upgrade
        assert (reading and (facts.path in OPEN_PATHS or facts.path.startswith(OPEN_FOLDERS))) or facts.path == "/code"


@given(st.text())
def test_a_token_has_only_characters_that_go_everywhere(text: str) -> None:
    assert is_token(text) == (bool(text) and set(text) <= set(string.ascii_letters + string.digits + "_-"))
