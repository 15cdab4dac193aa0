"""`locara check` on Python source: what it follows, what it finds, and that it never falls over."""

# ruff: noqa: E501  one form, one line: that is a table

from __future__ import annotations

import ast
import inspect
import keyword
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.check.apps import checked, codes, manifest

from locara import llm, speech, transcribe, voice
from locara.check import calls, python_source, rules, tree
from locara.devices import listing
from locara.manifest import reading
from locara.manifest.values import Manifest
from locara.voice import building

SAME = {
    "from the package": 'from locara import voice\nvoice.session(stt="{model}")',
    "under another name": 'from locara import voice as v\nv.session(stt="{model}")',
    "the whole package": 'import locara\nlocara.voice.session(stt="{model}")',
    "the module": 'import locara.voice\nlocara.voice.session(stt="{model}")',
    "the module under another name": 'import locara.voice as v\nv.session(stt="{model}")',
    "the function": 'from locara.voice import session\nsession(stt="{model}")',
    "the function under another name": 'from locara.voice import session as talk\ntalk(stt="{model}")',
    "from the inner module": 'from locara.voice.building import session\nsession(stt="{model}")',
    "inside a function": 'def f():\n    from locara import voice\n    return voice.session(stt="{model}")',
    "bound again": 'from locara import voice\ns = voice.session\ns(stt="{model}")',
    "bound twice": 'from locara import voice\nv = voice\ns = v.session\ns(stt="{model}")',
    "a partial": 'import functools\nfrom locara import voice\nfunctools.partial(voice.session, stt="{model}")()',
    "getattr": 'from locara import voice\ngetattr(voice, "session")(stt="{model}")',
    "import_module": 'import importlib\nimportlib.import_module("locara.voice").session(stt="{model}")',
    "a fallback import": 'try:\n    from locara import voice\nexcept ImportError:\n    voice = None\nvoice.session(stt="{model}")',
    "a walrus": 'from locara import voice\n(v := voice).session(stt="{model}")',
    "a mapping": 'from locara import voice\nvoice.session(stt={{"model": "{model}", "gain": 2}})',
    "dict()": 'from locara import voice\nvoice.session(stt=dict(model="{model}"))',
    "a constant": 'from locara import voice\nM = "{model}"\nvoice.session(stt=M)',
    "an annotated constant": 'from locara import voice\nM: str = "{model}"\ndef f():\n    voice.session(stt=M)',
    "a constant below": 'from locara import voice\ndef f():\n    voice.session(stt=M)\nM = "{model}"',
    "constants put together": 'from locara import voice\nA = "{model}"\nvoice.session(stt="" + A[:0] if 0 else f"{{A}}")',
    "unpacked": 'from locara import voice\nA, B = "{model}", 1\nvoice.session(stt=A)',
    "an item": 'from locara import voice\nM = {{"stt": "{model}"}}\nvoice.session(stt=M["stt"])',
    "keywords of a mapping": 'from locara import voice\nM = {{"stt": "{model}"}}\nvoice.session(**M)',
    "merged mappings": 'from locara import voice\nM = {{"model": "{model}"}}\nvoice.session(stt={{"gain": 1, **M}})',
    "mappings with a bar": 'from locara import voice\nM = {{"gain": 1}} | {{"model": "{model}"}}\nvoice.session(stt=M)',
    "a class": 'from locara import voice\nclass C:\n    M = "{model}"\nvoice.session(stt=C.M)',
    "one of two": 'from locara import voice\nvoice.session(stt="pocketsphinx" if x else "{model}")',
    "assigned in both branches": 'from locara import voice\nif x:\n    M = "pocketsphinx"\nelse:\n    M = "{model}"\nvoice.session(stt=M)',
    "a loop": 'from locara import voice\nfor M in ("pocketsphinx", "{model}"):\n    voice.session(stt=M)',
    "a comprehension": 'from locara import voice\n[voice.session(stt=M) for M in ["{model}"]]',
    "a global": 'from locara import voice\ndef f():\n    global M\n    M = "{model}"\nvoice.session(stt=M)',
    "async with": 'from locara import voice\nasync def f():\n    async with voice.session(stt="{model}") as s:\n        pass',
    "a lambda": 'from locara import voice\nf = lambda: voice.session(stt="{model}")',
    "the word of attention": 'from locara import voice\nvoice.session(attention={{"mode": "wake-word", "word": "{model}"}})',
    "transcribe": 'from locara import transcribe\ntranscribe.from_file("a.wav", stt="{model}")',
    "a transcriber": 'from locara.transcribe import transcriber\ntranscriber(vad="{model}")',
    "speech": 'from locara import speech\nspeech.synthesize("a", tts="{model}")',
    "llm": 'from locara import llm\nllm.chat("a", llm={{"model": "{model}"}})',
    "a chatter": 'import locara.llm as m\nm.chatter(llm="{model}")',
}  # fmt: skip


@pytest.mark.parametrize("form", SAME)
def test_a_model_that_is_not_declared_is_found_in_every_form(form: str, tmp_path: Path) -> None:
    report = checked(tmp_path, SAME[form].format(model="no-such-model"))
    assert "LV001" in codes(report), report.findings
    assert set(codes(report)) <= {"LV001", "LV101"}


@pytest.mark.parametrize("form", SAME)
def test_a_declared_model_is_clean_in_every_form(form: str, tmp_path: Path) -> None:
    source = SAME[form]
    model = (
        "espeak-ng" if "tts=" in source
        else "hey jarvis" if '"word"' in source
        else "built-in" if "llm=" in source
        else "silero" if "vad=" in source
        else "pocketsphinx"
    )  # fmt: skip
    report = checked(tmp_path, source.format(model=model))
    assert set(codes(report)) <= ({"LV101"} if form == "constants put together" else set()), report.findings


FAULTS = [
    ("LV001", 'voice.session(tts="kokoro-82m")', 'add "kokoro-82m" = {}'),
    ("LV001", 'voice.session(stt="pocketsphnx-en-us")', "did you mean 'pocketsphinx-en-us'"),
    ("LV001", 'voice.session(vad="ten-vad")', "add"),
    ("LV001", 'voice.session(turn_detection="smart-turn")', 'add "smart-turn-v3.2" = {}'),
    ("LV001", 'voice.session(attention={"mode": "wake-word", "word": "Okay Nabu"})', 'add "okay-nabu" = {}'),
    ("LV003", 'voice.session(stt="native", tts="native")', 'variant = "native"'),
    ("LV003", 'voice.session(llm={"model": "built-in", "audio_input": True})', 'variant = "half-cascade"'),
    ("LV004", 'voice.session(stt="espeak-ng")', "declared for speech to text: pocketsphinx-en-us"),
    ("LV004", 'voice.session(llm="kokoro-82m")', "declared for language models"),
    ("LV005", 'from locara import speech\nspeech.say("a")', ""),
    ("LV006", 'voice.session(sst="pocketsphinx")', "did you mean 'stt'"),
    ("LV006", 'voice.session("pocketsphinx")', "name them"),
    ("LV006", "voice.session(stt=5)", "a model's name"),
    ("LV006", 'voice.session(stt={"modle": "pocketsphinx"})', "did you mean 'model'"),
    ("LV006", 'voice.session(stt={"model": 3})', "a model's name"),
    ("LV007", 'voice.session(output="Headset")', "device.speaker.select"),
    ("LV007", "from locara.devices import listing\nlisting.list_devices()", "device.speaker.select"),
    ("LV009", 'voice.session(llm="https://api.example.com/v1")', "this machine"),
    ("LV009", 'voice.session(llm={"model": "x", "url": "https://api.example.com/v1"})', "this machine"),
    ("LV101", "import os\nvoice.session(stt=os.environ['M'])", "run time"),
    ("LV101", "def f(m):\n    voice.session(stt=m)", "run time"),
    ("LV101", 'voice.session(stt=f"whisper-{size()}")', "run time"),
    ("LV101", "voice.session(**load())", "literals"),
    ("LV101", 'M = {"model": "pocketsphinx"}\nM["model"] = x()\nvoice.session(stt=M)', "run time"),
    ("LV101", 'M = {"model": "pocketsphinx"}\nM.update(x())\nvoice.session(stt=M)', "run time"),
    ("LV101", "voice.session(output=where())", "run time"),
    ("LV101", "voice.session(stt=Engine())", "run time"),
    ("LV103", "getattr(voice, name)()", "by its name"),
    ("LV103", "from locara.voice import *", "import the names"),
    ("LV103", "run(voice.session)", "by its name"),
    ("LV103", "make = {1: voice.session}", "by its name"),
]


@pytest.mark.parametrize(("code", "source", "fix"), FAULTS, ids=lambda part: part[:40])
def test_each_fault_is_found_with_its_code_and_no_other(code: str, source: str, fix: str, tmp_path: Path) -> None:
    use = '"speech-to-text"' if code == "LV005" else '"voice-to-voice"'
    more = '[modality.voice-to-voice]\nvariant = "pipeline"\n' if code != "LV005" else ""
    text = manifest(use=use, more=more, top="offline = true\n")
    report = checked(tmp_path, f"from locara import voice\n{source}", text)
    assert codes(report) == [code], report.findings
    finding = next(one for one in report.findings if one.code == code)
    assert finding.path == "main.py"
    assert finding.line >= 2
    assert fix in finding.fix


def test_what_stands_in_for_one_model_for_everything_is_to_be_declared_too(tmp_path: Path) -> None:
    text = manifest(models="moshiko-mlx-q4 = {}")
    source = 'from locara import voice\nvoice.session(omni={{"model": "moshiko-mlx-q4", "fallback": {}}})\n'
    for fallback in ("True", '{"llm": "built-in", "tts": "espeak-ng"}'):
        found = codes(checked(tmp_path, source.format(fallback), text))
        assert "LV001" not in found
        assert "LV101" not in found
    report = checked(tmp_path, source.format('{"llm": "qwen2.5-3b-instruct-q4", "tts": {"model": "kokoro-82m"}}'), text)
    assert [one.what for one in report.findings if one.code == "LV001"] == [
        "the model 'qwen2.5-3b-instruct-q4' is not declared in the manifest",
        "the model 'kokoro-82m' is not declared in the manifest",
    ]


def test_a_recogniser_may_stand_beside_one_model_for_everything_and_nothing_else(tmp_path: Path) -> None:
    more = '[modality.voice-to-voice]\nvariant = "omni"\n'
    text = manifest(more=more, models="moshiko-mlx-q4 = {}\n")
    beside = 'voice.session(omni="moshiko-mlx-q4", stt="pocketsphinx-en-us", {})'
    report = checked(tmp_path, "from locara import voice\n" + beside.format('llm="built-in"'), text)
    assert [(one.code, one.fix) for one in report.findings if one.code == "LV006"] == [
        ("LV006", "leave llm= and tts= out")
    ]
    report = checked(tmp_path, "from locara import voice\n" + beside.format(""), text)
    assert not [one for one in report.findings if one.code < "LV100"], report.findings


CLEAN = [
    "def session(stt): ...\nsession(stt='nothing of Locara')",
    "import voice\nvoice.session(stt='another package')",
    "from other.locara import voice\nvoice.session(stt='x')",
    "class voice:\n    session = print\nvoice.session(stt='x')",
    "from locara import voice\ndef f(voice):\n    voice.session(stt='a parameter of the same name')",
    "from locara import voice\nvoice.session()",
    "from locara import voice\nvoice.session(llm='http://localhost:11434/v1#qwen2.5:3b')",
    "from locara import voice\nvoice.session(llm={'model': 'anything', 'url': 'http://127.0.0.1:1/v1'})",
    "from locara import voice\nvoice.session(llm='auto', turn_detection='silence', stt=None)",
    "from locara import voice\nvoice.session(input='a.wav', output='none', tts='espeak')",
    "from locara import voice\nvoice.session(input='Any microphone by name')",
    "from pathlib import Path\nfrom locara import voice\nvoice.session(input=Path('a.wav'), output=Path('b'))",
    "from locara import voice\nfrom locara.devices.wav import WavSink\nvoice.session(output=WavSink('b.wav'))",
    "from locara import voice\nx: voice.Session\ndef f(s: voice.Session) -> voice.Session: ...",
    "from locara import voice\nvoice.session(input=anything(), tools=[f], deadlines=voice.Deadlines())",
]


@pytest.mark.parametrize("source", CLEAN)
def test_nothing_false_is_found(source: str, tmp_path: Path) -> None:
    report = checked(tmp_path, source, manifest(top="offline = true\n"))
    assert codes(report) == [], report.findings


def test_files_need_no_capability(tmp_path: Path) -> None:
    source = (
        "from locara import voice, speech, transcribe\nvoice.session(input='a.wav', output='b.wav')\n"
        "speech.say('x', output='c.wav')\nspeech.synthesize('x')\ntranscribe.from_file('a.wav')\n"
    )
    assert codes(checked(tmp_path, source, manifest(use=""))) == []


def test_a_speaker_that_stays_loaded_is_followed_to_what_it_says(tmp_path: Path) -> None:
    source = (
        "from locara import speech\nasync def f():\n    async with speech.speaker() as one:\n"
        "        await one.say('x', output='Headset')\ndef g(s: speech.Speaker):\n    s.say('y')\n"
    )
    report = checked(tmp_path, source, manifest(use=""))
    assert codes(report) == ["LV005", "LV007", "LV005"]
    assert [one.line for one in report.findings if one.code == "LV005"] == [4, 6]


def test_constants_and_functions_are_followed_through_the_modules_of_the_app(tmp_path: Path) -> None:
    files = {
        "main.py": 'from talk import make, names\nfrom talk.names import STT as S\nmake(stt=S)\nmake(stt=names.TTS["model"])',
        "talk/__init__.py": "from locara.voice import session as make\nfrom . import names\n",
        "talk/names.py": 'from .more import STT\nTTS = {"model": "espeak-ng"}\n',
        "talk/more.py": 'STT = "no-such-model"\n',
    }
    report = checked(tmp_path, files)
    assert [(one.path, one.line, one.code) for one in report.findings if one.code != "LV102"] == [
        ("main.py", 3, "LV001"),
        ("main.py", 4, "LV004"),
    ]


def test_modules_that_import_each_other_in_a_circle_end(tmp_path: Path) -> None:
    names = "\n".join("from {other} import a, b, c" for _ in range(3))
    body = "\nfrom locara import voice\nvoice.session(stt=a)\na()\nb.c.a()\n"
    files = {"x.py": names.format(other="y") + body, "y.py": names.format(other="x") + body}
    assert set(codes(checked(tmp_path, files))) == {"LV101"}


def test_constants_that_double_each_time_end(tmp_path: Path) -> None:
    lines = ["from locara import voice", 'a0 = "x"', *(f"a{n} = a{n - 1} + a{n - 1}" for n in range(1, 36))]
    report = checked(tmp_path, "\n".join([*lines, "voice.session(stt=a35)"]))
    assert codes(report) == ["LV101"]


def test_columns_count_characters(tmp_path: Path) -> None:
    report = checked(tmp_path, 'from locara import voice\nx = "größe 🎧"; voice.session(stt="nope")\n')
    finding = next(one for one in report.findings if one.code == "LV001")
    assert (finding.line, finding.column) == (2, 34)


BROKEN = {
    "syntax": b"def f(:\n",
    "a NUL": b"x = 1\0\n",
    "not UTF-8": b"x = '\xff'\n",
    "an unknown encoding": b"# coding: nothing-such\n",
    "deep": b"x = " + b"(" * 5_000 + b")" * 5_000 + b"\n",
    "deep attributes": b"x = " + b"-" * 100_000 + b"1\n",
    "an indentation": b"if x:\n  y\n z\n",
    "a lone bracket": b"(\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_source_that_does_not_parse_is_a_finding(name: str) -> None:
    ((path, found),) = python_source.read({"main.py": BROKEN[name]})
    assert path == "main.py"
    assert isinstance(found, calls.Fault)
    assert found.what.isprintable()
    assert found.at >= (1, 1)


def test_deep_source_that_parses_is_read() -> None:
    chain = "from locara import voice\nx = " + "+".join(["1"] * 900) + "\nvoice" + ".a" * 500 + "\nvoice.session()\n"
    found = list(python_source.read({"main.py": chain.encode()}))
    assert [type(one) for _, one in found] == [calls.Call]


NAMES = st.sampled_from(["locara", "voice", "session", "stt", "a", "b", "functools", "partial", "getattr", "dict"])
ATOMS = st.sampled_from(['"pocketsphinx"', '"nope"', "None", "1", "...", "f'{a}'", "{}", "[]", "{'model': a}", "b'x'"])
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, NAMES).map(lambda parts: f"({parts[0]}).{parts[1]}"),
        st.tuples(inner, inner, NAMES).map(lambda parts: f"({parts[0]})({parts[1]}, {parts[2]}={parts[1]})"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]})(**{parts[1]})"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]} or {parts[1]})"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]} | {parts[1]})"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]})[{parts[1]}]"),
        st.tuples(NAMES, inner).map(lambda parts: f"({parts[0]} := {parts[1]})"),
        st.tuples(NAMES, inner).map(lambda parts: f"(lambda {parts[0]}: {parts[1]})"),
        st.tuples(inner, NAMES, inner).map(lambda parts: f"[{parts[0]} for {parts[1]} in ({parts[2]})]"),
    ),
    max_leaves=6,
)
STATEMENTS = st.one_of(
    st.tuples(NAMES, EXPRESSIONS).map(lambda parts: f"{parts[0]} = {parts[1]}"),
    st.tuples(NAMES, NAMES, EXPRESSIONS).map(lambda parts: f"{parts[0]}, *{parts[1]} = {parts[2]}"),
    st.tuples(NAMES, NAMES).map(lambda parts: f"from {parts[0]} import {parts[1]}"),
    st.tuples(NAMES, NAMES).map(lambda parts: f"from locara.{parts[0]} import {parts[1]} as a"),
    st.tuples(NAMES, NAMES).map(lambda parts: f"from main import {parts[0]} as {parts[1]}"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda parts: f"def f({parts[0]}):\n    global a\n    a = {parts[1]}"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda parts: f"class {parts[0]}:\n    a = {parts[1]}"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda parts: f"with {parts[1]} as {parts[0]}: pass"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda parts: f"match {parts[1]}:\n    case {{'x': {parts[0]}, **rest}}: pass"),
    EXPRESSIONS,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STATEMENTS, max_size=8))
def test_no_python_that_parses_makes_it_fall_over(statements: list[str]) -> None:
    source = "from locara import voice\nimport functools\n" + "\n".join(statements)
    try:
        ast.parse(source)
    except SyntaxError:
        return
    checker = rules.Rules(_manifest(), "main.py")
    for _, found in python_source.read({"main.py": source.encode()}):
        assert not isinstance(found, calls.Fault)
        if isinstance(found, calls.Call):
            for finding in checker.of(found):
                assert finding.line >= 1
                assert finding.what.isprintable()
                assert finding.fix


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(string.printable, max_size=60).map(str.encode)))
def test_no_bytes_at_all_make_it_fall_over(data: bytes) -> None:
    for _, found in python_source.read({"main.py": data, "a/__init__.py": data}):
        assert isinstance(found, calls.Call | calls.Unfollowed | calls.Fault)


def _manifest() -> Manifest:
    return reading.parse(manifest())


ROOMS = {"voice": voice, "transcribe": transcribe, "speech": speech, "llm": llm, "devices": listing}


def _function(name: str) -> object:
    room, *rest = name.split(".")
    found: object = ROOMS[room]
    for part in rest:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", calls.FUNCTIONS)
def test_the_table_of_functions_is_that_of_the_code(name: str) -> None:
    stated = calls.FUNCTIONS[name]
    parameters = inspect.signature(_function(name)).parameters  # type: ignore[arg-type]
    of_kind = {
        kind: tuple(one.name for one in parameters.values() if one.kind is kind and one.name != "self")
        for kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
    assert of_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD] == stated.positional
    keywords = set(of_kind[inspect.Parameter.KEYWORD_ONLY])
    assert keywords - set(calls.EVERYWHERE) == set(stated.keywords)
    assert set(stated.stages) == {one for one in keywords if "Stage" in str(parameters[one].annotation)}


def test_every_public_function_that_takes_a_model_is_in_the_table() -> None:
    for room, module in ROOMS.items():
        for name in getattr(module, "__all__", ()):
            one = getattr(module, name)
            if inspect.isfunction(one) and any(
                "Stage" in str(it.annotation) for it in inspect.signature(one).parameters.values()
            ):
                assert f"{room}.{name}" in calls.FUNCTIONS


def test_a_file_is_told_from_a_device_as_the_run_time_does() -> None:
    assert rules.SOUND_FILES == building._SOUND_FILES


def test_names_that_python_keeps_for_itself_are_no_keywords() -> None:
    assert not any(keyword.iskeyword(name) for one in calls.FUNCTIONS.values() for name in one.keywords)


def test_what_is_not_the_apps_own_is_skipped(tmp_path: Path) -> None:
    bad = "from locara import voice\nvoice.session(stt='nope')\n"
    files = dict.fromkeys((".venv/lib/x.py", "node_modules/x/y.py", "__pycache__/x.py", "env/lib/x.py", ".git/x.py", "other/main.py"), bad)  # fmt: skip
    files |= {"env/pyvenv.cfg": "", "main.py": "x = 1\n", "other/locara.toml": ""}
    report = checked(tmp_path, files)
    assert codes(report) == []
    assert report.files == 1
    assert report.others == ("other",)


def test_a_file_that_is_too_large_is_said_and_not_passed_over(tmp_path: Path) -> None:
    report = checked(tmp_path, "#" + "x" * tree.MAX_BYTES)
    assert codes(report) == ["LV008"]
