"""`locara check` on apps of the browser SDK: the same rules, with a real parser."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.check.apps import checked, codes, manifest

from locara.check import calls, javascript_source
from locara.check.javascript_values import snake

PARSERS = ("tree_sitter", "tree_sitter_javascript", "tree_sitter_typescript")
needs_the_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PARSERS),
    reason='the extra is not installed (pip install "locara[check-js]")',
)
SDK = 'import { voice } from "/sdk/locara.js";\n'

SAME = {
    "the import": SDK + 'voice.session({ stt: "{model}" });',
    "another name": 'import { voice as v } from "./locara.js";\nv.session({ stt: "{model}" });',
    "everything": "import * as sdk from 'http://127.0.0.1:7000/sdk/locara.mjs';\nsdk.voice.session({ stt: '{model}' });",
    "the default": 'import locara from "locara";\nlocara.voice.session({ stt: "{model}" });',
    "awaited": 'const { voice } = await import("./locara.js");\nawait voice.session({ stt: "{model}" });',
    "awaited whole": 'const sdk = await import("./locara.js");\nsdk.voice.session({ stt: "{model}" });',
    "bound again": SDK + 'const { session } = voice;\nsession({ stt: "{model}" });',
    "bound under another name": SDK + 'const { session: talk } = voice;\ntalk({ stt: "{model}" });',
    "an item": SDK + 'voice["session"]({ stt: "{model}" });',
    "optional": SDK + 'voice?.session({ stt: "{model}" });',
    "a mapping": SDK + 'voice.session({ stt: { model: "{model}", gain: 2 } });',
    "a quoted key": SDK + 'voice.session({ "stt": { "model": "{model}" } });',
    "a constant": SDK + 'const M = "{model}";\nvoice.session({ stt: M });',
    "shorthand": SDK + 'const stt = "{model}";\nvoice.session({ stt });',
    "a template": SDK + "const M = `{model}`;\nvoice.session({ stt: `${M}` });",
    "a sum": SDK + 'voice.session({ stt: "" + "{model}" });',
    "spread": SDK + 'const base = { stt: "{model}" };\nvoice.session({ ...base, output: "default" });',
    "an item of a constant": SDK + 'const MODELS = { hear: "{model}" };\nvoice.session({ stt: MODELS.hear });',
    "options as a constant": SDK + 'const options = { stt: "{model}" };\nvoice.session(options);',
    "one of two": SDK + 'voice.session({ stt: x ? "pocketsphinx" : "{model}" });',
    "with a fallback": SDK + 'voice.session({ stt: null ?? "{model}" });',
    "transcribe": 'import { transcribe } from "./locara.js";\ntranscribe.fromFile("a.wav", { stt: "{model}" });',
    "the word": SDK + 'voice.session({ attention: { mode: "wake-word", word: "{model}" } });',
    "inside a class": SDK + 'class A { async talk() { return voice.session({ stt: "{model}" }); } }',
}


@needs_the_extra
@pytest.mark.parametrize("name", ["main.js", "main.ts", "main.tsx", "main.mjs"])
@pytest.mark.parametrize("form", SAME)
def test_a_model_that_is_not_declared_is_found_in_every_form(form: str, name: str, tmp_path: Path) -> None:
    report = checked(tmp_path, SAME[form].replace("{model}", "no-such-model"), name=name)
    assert codes(report) == ["LV001"], report.findings
    good = "hey jarvis" if "word:" in SAME[form] else "pocketsphinx"
    assert codes(checked(tmp_path, SAME[form].replace("{model}", good), name=name)) == []


FAULTS = [
    ("LV001", 'voice.session({ tts: "kokoro-82m" })'),
    ("LV001", 'voice.session({ turnDetection: "smart-turn" })'),
    ("LV003", "voice.session({ llm: { model: 'built-in', audioInput: true } })"),
    ("LV004", 'voice.session({ stt: "espeak-ng" })'),
    ("LV006", 'voice.session({ sst: "pocketsphinx" })'),
    ("LV006", "voice.session({ stt: 5 })"),
    ("LV007", 'voice.session({ output: "Headset" })'),
    ("LV008", "voice.session({ stt: )"),
    ("LV101", "voice.session({ stt: localStorage.model })"),
    ("LV101", "voice.session({ stt: choose() })"),
    ("LV101", "voice.session(options())"),
    ("LV101", "voice.session({ ...settings() })"),
    ("LV101", 'let m = "pocketsphinx"; m = other(); voice.session({ stt: m })'),
    ("LV101", "function f(stt) { voice.session({ stt }); }"),
    ("LV103", "run(voice.session)"),
]


@needs_the_extra
@pytest.mark.parametrize(("code", "source"), FAULTS)
def test_each_fault_is_found_with_its_code_and_no_other(code: str, source: str, tmp_path: Path) -> None:
    text = manifest(more='[modality.voice-to-voice]\nvariant = "pipeline"\n')
    report = checked(tmp_path, SDK + source, text, name="app/main.js")
    assert code in codes(report), report.findings
    assert set(codes(report)) <= {code, "LV101"}
    assert next(one for one in report.findings if one.code == code).line == 2


@needs_the_extra
@pytest.mark.parametrize(
    "source",
    [
        'import { voice } from "./other.js";\nconst x = "locara";\nvoice.session({ stt: "x" });',
        'const x = "locara";\nvoice.session({ stt: "x" });',
        SDK + "voice.session();",
        SDK + "const s = await voice.session({ llm: 'http://localhost:1/v1', output: 'default' }); s.say('hello');",
        SDK + "voice.session({ tools: [f], idlePrompt: 'Still there?', idle: 30, /* why */ patience: 'quick' });",
    ],
)
def test_nothing_false_is_found(source: str, tmp_path: Path) -> None:
    assert codes(checked(tmp_path, source, name="main.js")) == []


@needs_the_extra
def test_typescript_keeps_its_types_out_of_the_way(tmp_path: Path) -> None:
    source = (
        SDK + 'const M = "no-such-model" as const;\n'
        "const options = { stt: M } satisfies Record<string, string>;\nexport async function f(x: number): Promise<void> "
        "{\n  const s = await voice.session(options!);\n}\n"
    )
    assert codes(checked(tmp_path, source, name="main.ts")) == ["LV001"]


@needs_the_extra
def test_columns_count_characters(tmp_path: Path) -> None:
    report = checked(tmp_path, SDK + 'const x = "größe 🎧"; voice.session({ stt: "nope" });\n', name="main.js")
    (finding,) = (one for one in report.findings if one.code == "LV001")
    assert (finding.line, finding.column) == (2, 43)


def test_without_the_extra_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter", None)
    report = checked(tmp_path, {"main.js": SDK, "other.js": "const x = 1;"})
    assert codes(report) == ["LV008"], "a file that does not name the SDK needs no parser"
    assert 'pip install "locara[check-js]"' in next(one.fix for one in report.findings if one.code == "LV008")


PIECES = st.sampled_from(
    "voice session ( ) { } [ ] , : ; . ... ` ${ = => ? ?? + stt model : \"a\" 'b' const let x await import new "
    "class function for of /* */ // \n \\u{ \x00 ü".split(" ")
)


@needs_the_extra
@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=20).map(lambda some: " ".join(some).encode())))
def test_no_bytes_at_all_make_it_fall_over(data: bytes) -> None:
    for name in ("a.js", "a.tsx"):
        for _, found in javascript_source.read({name: SDK.encode() + data}):
            assert isinstance(found, calls.Call | calls.Unfollowed | calls.Fault)


@needs_the_extra
def test_deep_source_is_read() -> None:
    deep = (
        SDK + "x = " + "[" * 20_000 + "]" * 20_000 + ";\nvoice.session({ stt: " + "(" * 500 + '"a"' + ")" * 500 + " });"
    )
    assert any(isinstance(one, calls.Call | calls.Fault) for _, one in javascript_source.read({"a.js": deep.encode()}))


@pytest.mark.parametrize(
    ("name", "snaked"), [("turnDetection", "turn_detection"), ("stt", "stt"), ("idle_prompt", "idle_prompt")]
)
def test_names_are_written_as_python_writes_them(name: str, snaked: str) -> None:
    assert snake(name) == snaked
