"""The page's files, without a browser: what is given out, under which headers, and that they need nobody else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from tests.server.running import Seats

from locara.manifest import reading
from locara.server import page
from locara.server.serving import serving
from locara.server.settings import Settings

TOKEN = "token-of-the-page-tests"  # noqa: S105  it opens nothing
FILES = sorted(one for folder in (page.PAGE, page.SDK) for one in folder.iterdir() if one.suffix in page.TYPES)


def fetched(*asked: tuple[str, dict[str, str]]) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of each address, asked with these headers and without a token."""

    async def go() -> list[tuple[int, dict[str, str], bytes]]:
        settings = Settings(token=TOKEN, port=0, origins=("http://localhost:5173",))
        out = []
        async with (
            serving(settings, seats=Seats(), questions=None) as server,
            aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
        ):
            for path, headers in asked:
                async with http.get(path, headers=headers) as answer:
                    out.append((answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read()))
        return out

    return asyncio.run(go())


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in() -> None:
    ((status, headers, body),) = fetched(("/", {}))
    assert status == 200
    assert body == (page.PAGE / "index.html").read_bytes()
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert set(policy["connect-src"].split()) > {"'self'"}
    assert all(
        one.startswith(("ws://127.0.0.1:", "wss://127.0.0.1:", "'self'")) for one in policy["connect-src"].split()
    )
    assert "unsafe" not in headers["content-security-policy"]
    assert "microphone=(self)" in headers["permissions-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_every_file_is_given_out_with_its_type_and_asked_for_again_costs_nothing() -> None:
    paths = [f"/{file.parent.name}/{file.name}" for file in FILES]
    for path, (status, headers, body) in zip(paths, fetched(*((path, {}) for path in paths)), strict=True):
        assert status == 200, path
        assert headers["content-type"] == page.TYPES[Path(path).suffix]
        assert body
    tag = fetched(("/sdk/locara.js", {}))[0][1]["etag"]
    again = fetched(("/sdk/locara.js", {"If-None-Match": tag}), ("/sdk/locara.js", {"If-None-Match": '"other"'}))
    assert [one[0] for one in again] == [304, 200]


@pytest.mark.parametrize(
    "name",
    ["locara.toml", "../page.py", "..%2fpage.py", "%2e%2e/%2e%2e/errors.py", "a/b.js", "nothing.js", ".js", "x" * 300],
)
def test_nothing_but_the_page_is_given_out(name: str) -> None:
    for folder in ("page", "sdk"):
        ((status, _, body),) = fetched((f"/{folder}/{quote(name, safe='%/.')}", {}))
        assert status in (401, 403, 404, 400), name  # what is outside the two folders needs the token
        assert b"def " not in body


def test_other_pages_may_load_the_sdk_only_where_the_server_was_told_so() -> None:
    ours, others = fetched(
        ("/sdk/locara.js", {"Origin": "http://localhost:5173"}), ("/sdk/locara.js", {"Origin": "http://evil.example"})
    )
    assert ours[0] == 200
    assert ours[1]["access-control-allow-origin"] == "http://localhost:5173"
    assert others[0] == 403
    assert "access-control-allow-origin" not in others[1]


def test_the_files_ask_nobody_else_for_anything() -> None:
    for file in FILES:
        text = file.read_text("utf-8")
        text = text.replace("http://www.w3.org/2000/svg", "")
        text = re.sub(r"(?m)^\s*(//|\*|/\*).*$|http://127\.0\.0\.1|http://localhost", "", text)
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/|@import|url\(", text), file.name
        assert "innerHTML" not in text, f"{file.name}: words of others must never become markup"
        assert " style=" not in text, f"{file.name}: the policy forbids styles inside markup"


def test_every_file_that_is_named_is_there_and_every_file_is_named() -> None:
    named = {"index.html", "locara.js", "locara.d.ts"}
    for file in FILES:
        text = file.read_text("utf-8")
        for name in re.findall(r"""(?:from|URL\(|href=|src=|import\()\s*["'](?:\./|/page/|/sdk/)([\w.-]+)["']""", text):
            named.add(name)
            assert any(one.name == name for one in FILES), f"{file.name} names {name}"
    assert {one.name for one in FILES} == named


def test_the_page_is_an_app_with_a_manifest() -> None:
    app = reading.read(page.PAGE / "locara.toml")
    assert app.id == "dev.locara.page"
    assert set(app.capabilities) == {"device.microphone", "device.speaker", "device.speaker.select"}


def _colours(selector: str) -> dict[str, tuple[float, ...]]:
    css = (page.PAGE / "page.css").read_text("utf-8")
    block = css[css.index(selector) :]
    found = re.findall(r"--([a-z-]+): #([0-9a-f]{6});", block[: block.index("}")])
    return {name: tuple(int(value[at : at + 2], 16) / 255 for at in (0, 2, 4)) for name, value in found}


def _luminance(colour: tuple[float, ...]) -> float:
    """Of WCAG 2."""
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("selector", [":root {", ':root[data-theme="light"] {', ':root:not([data-theme="dark"]) {'])
def test_words_can_be_read_in_both_colours(selector: str) -> None:
    colours = _colours(selector)
    on = [*product(("text", "dim"), ("ground", "surface", "raised")), *product(("text", "dim"), ("accent-soft",))]
    on += [("on-accent", "accent"), ("alarm", "alarm-soft"), ("text", "alarm-soft"), ("alarm", "ground")]
    for front, back in on:
        light, dark = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_both_light_themes_are_the_same() -> None:
    assert _colours(':root[data-theme="light"] {') == _colours(':root:not([data-theme="dark"]) {')


def test_the_sources_and_the_declarations_agree(tmp_path: Path) -> None:
    home = Path(os.environ.get("LOCARA_CLIENTS", Path(__file__).parents[2] / ".clients"))
    tsc = shutil.which("tsc", path=f"{home / 'npm' / 'node_modules' / '.bin'}{os.pathsep}{os.environ.get('PATH', '')}")
    if tsc is None:
        pytest.skip("needs TypeScript's compiler: python3 scripts/stock_clients.py installs it")
    typing = Path(__file__).parents[1] / "browser" / "typing"
    config = (typing / "tsconfig.json").read_text("utf-8").replace("{src}", (page.SDK.parent).as_posix())
    (tmp_path / "tsconfig.json").write_text(config.replace("{here}", typing.as_posix()), "utf-8")
    told = subprocess.run([tsc, "-p", str(tmp_path)], capture_output=True, text=True, timeout=110, check=False)
    assert told.returncode == 0, told.stdout
