"""`locara.toml` to a `Manifest`: what is good, what is broken and where, and that nothing else ever comes out."""

from __future__ import annotations

import json
import os
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.manifest.corpus import APP, BROKEN, GOOD, HASH, Case

from locara.errors import ManifestError
from locara.manifest import positions, reading
from locara.manifest.declared import declared, leaves_machine
from locara.manifest.values import CAPABILITIES, Manifest


@pytest.fixture(autouse=True)
def _no_rows_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("LOCARA_CATALOG", str(empty))


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_good_manifest_is_read(case: Case) -> None:
    assert reading.parse(case.text).id == "com.example.talk"


def test_everything_that_it_says_is_there() -> None:
    manifest = reading.parse(GOOD[1].text, "locara.toml")
    assert (manifest.name, manifest.version, manifest.entry) == ("Talk", "1.2.0", "talk/main.py")
    assert manifest.modalities == ("voice-to-voice", "speech-to-text")
    assert (manifest.variant, manifest.offline) == ("pipeline", True)
    assert [one.capability for one in manifest.needs] == list(CAPABILITIES)
    assert manifest.needs[2].why.startswith("Lets you choose")
    assert {one.name: one.task for one in manifest.models} == {
        "pocketsphinx-en-us": "stt",
        "kokoro-82m": "tts",
        "prosody": "turn",
        "hey-jarvis": "wake",
        "whisper-base.en": "stt",
        "mine": "stt",
        "morse": "tts",
    }
    assert manifest.models[1].sha256 == HASH
    assert manifest.defaults["tts"] == "kokoro-82m"
    assert manifest.defaults["llm"] == "auto"


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_manifest_is_refused_where_it_is_broken(case: Case) -> None:
    with pytest.raises(ManifestError) as caught:
        reading.parse(case.text, "app/locara.toml")
    error = caught.value
    assert case.says in error.what
    assert error.line == case.line
    assert case.hint in error.hint
    assert error.hint, "there is always a next step"
    assert error.message.startswith(
        f"app/locara.toml:{case.line}:{error.column}: " if case.line else "app/locara.toml: "
    )
    assert error.message.isprintable(), "a manifest cannot write to the terminal"


def test_the_column_is_that_of_the_key_or_the_value() -> None:
    text = APP + '[models]\nkokoro-82m = { sha256 = "abc" }\n'
    with pytest.raises(ManifestError) as caught:
        reading.parse(text)
    assert (caught.value.line, caught.value.column) == (6, 25)
    with pytest.raises(ManifestError) as caught:
        reading.parse(text.replace("sha256", "sha255"))
    assert (caught.value.line, caught.value.column) == (6, 16)


@pytest.mark.parametrize("case", [*GOOD, *(case for case in BROKEN if case.schema)], ids=lambda case: case.name)
def test_the_published_schema_and_the_reader_agree(case: Case) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((resources.files("locara.manifest") / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(case.text)))
    assert bool(errors) == bool(case.says), errors


def test_the_schema_knows_the_same_words() -> None:
    from typing import get_args

    from locara.manifest import declared as models
    from locara.manifest import document
    from locara.manifest.values import Modality, Task, Variant

    schema = json.loads((resources.files("locara.manifest") / "schema.json").read_text(encoding="utf-8"))
    of = schema["properties"]
    assert tuple(of) == document.TABLES
    assert tuple(of["app"]["properties"]) == document.APP
    assert tuple(of["modalities"]["properties"]["use"]["items"]["enum"]) == get_args(Modality)
    settings_ = of["modality"]["properties"]
    assert {name: tuple(one["properties"]) for name, one in settings_.items()} == {
        name: (("variant",) if name == "voice-to-voice" else ()) + stages for name, stages in document.STAGES.items()
    }
    assert tuple(settings_["voice-to-voice"]["properties"]["variant"]["enum"]) == get_args(Variant)
    assert tuple(of["capabilities"]["properties"]) == CAPABILITIES
    assert tuple(schema["$defs"]["model"]["properties"]) == models.KEYS
    assert tuple(schema["$defs"]["model"]["properties"]["task"]["enum"]) == get_args(Task)
    assert set(of["models"]["propertyNames"]["not"]["enum"]) == set(models.WORDS)


PIECES = st.sampled_from(
    "[app] [ [[ ]] ] { } = , . \n \r\n # \" ' \"\"\" ''' \\ \\u0041 app id modalities use models kokoro-82m a b c "
    "true 1 1e9 2020-01-01 -0x 99:99:99 ü \u202e \x00 \x1b schema offline 0b2 inf".split(" ")
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(lambda some: APP + "".join(some))))
@example("a=2020-01-01T99:99:99")
@example("\ud800")
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    try:
        manifest = reading.parse(text)
    except ManifestError as error:
        _is_told_well(error, text)
    else:
        assert isinstance(manifest, Manifest)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_good_manifest_with_one_change_is_a_manifest_or_a_manifest_error(data: st.DataObject) -> None:
    text = GOOD[1].text
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    text = text[:start] + data.draw(st.one_of(PIECES, st.text(max_size=4))) + text[end:]
    try:
        reading.parse(text)
    except ManifestError as error:
        _is_told_well(error, text)


def _is_told_well(error: ManifestError, text: str) -> None:
    assert error.message.isprintable()
    assert error.line <= text.count("\n") + 1


KEYS = st.text(st.characters(categories=["L", "N", "Zs", "P"], exclude_characters="\r\n"), max_size=6)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_key_and_value_of_a_document_has_a_place(document: dict[str, object]) -> None:
    text = "\n".join(f"{_written(key)} = {_toml(value)}" for key, value in document.items())
    assert tomllib.loads(text) == document
    found = positions.scan(text)
    if found.trouble is not None:
        assert "deep" in found.trouble.what
        return
    assert set(found.values) == set(_paths(document))
    for path, (line, column) in found.keys.items():
        key = path[-1]
        assert isinstance(key, str)
        assert text.split("\n")[line - 1][column - 1 :].startswith(_written(key))


def _written(key: str) -> str:
    return positions.dotted((key,)) if key else '""'


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_written(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # JSON writes a lone half of a pair, which TOML has not; st.text gives none. DEL is TOML's own exception.
    return json.dumps(value).replace("\x7f", "\\u007f") if not _astral(value) else json.dumps(value, ensure_ascii=False)


def _astral(value: object) -> bool:
    return isinstance(value, str) and any(ord(letter) > 0xFFFF for letter in value)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    here = [path] if path else []
    if isinstance(value, dict):
        return here + [one for key, inner in value.items() for one in _paths(inner, (*path, key))]
    if isinstance(value, list):
        return here + [one for number, inner in enumerate(value) for one in _paths(inner, (*path, number))]
    return here


def test_a_folder_means_the_manifest_in_it(tmp_path: Path) -> None:
    (tmp_path / "locara.toml").write_text(APP, encoding="utf-8")
    manifest = reading.read(tmp_path)
    assert manifest.path == str(tmp_path / "locara.toml")
    assert manifest == reading.read(tmp_path / "locara.toml")
    assert len(manifest.digest) == 64


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.toml", Path("a\0b")):
        with pytest.raises(ManifestError, match="cannot be read"):
            reading.read(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "locara.toml")
        with pytest.raises(ManifestError, match="it is no file"):
            reading.read(tmp_path)


def test_bytes_that_are_no_utf_8_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "locara.toml"
    path.write_bytes(APP.encode() + b'entry = "\xff"\n')
    with pytest.raises(ManifestError, match="UTF-8") as caught:
        reading.read(path)
    assert (caught.value.line, caught.value.column) == (5, 10)
    path.write_bytes(b"\xef\xbb\xbf" + APP.encode())
    assert reading.read(path).id == "com.example.talk", "an editor's mark at the beginning is no fault"


def test_an_entry_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (tmp_path / "elsewhere.py").write_text("", encoding="utf-8")
    try:
        (app / "main.py").symlink_to(tmp_path / "elsewhere.py")
    except OSError:
        pytest.skip("this system makes no links for this user")
    (app / "locara.toml").write_text(APP + 'entry = "main.py"\n', encoding="utf-8")
    with pytest.raises(ManifestError, match="leads out of the manifest's folder"):
        reading.read(app)


def test_the_nearest_manifest_is_found_and_never_one_of_home_or_of_everyone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    inner = home / "code" / "app" / "deep"
    inner.mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    (home / "locara.toml").write_text(APP, encoding="utf-8")
    assert reading.find(inner) is None, "the one in the home folder would speak for every program"
    assert reading.find(home) == home / "locara.toml"
    (home / "code" / "locara.toml").write_text(APP, encoding="utf-8")
    assert reading.find(inner) == home / "code" / "locara.toml"
    (home / "code" / "app" / ".git").mkdir()
    assert reading.find(inner) is None, "a repository ends the search"
    (home / "code" / "app" / "locara.toml").write_text(APP, encoding="utf-8")
    assert reading.find(inner) == home / "code" / "app" / "locara.toml"
    if os.name == "posix":
        shared = tmp_path / "shared"
        (shared / "mine").mkdir(parents=True)
        shared.chmod(0o1777)
        (shared / "locara.toml").write_text(APP, encoding="utf-8")
        assert reading.find(shared / "mine") is None, "anyone may have put it there"


def test_names_in_calls_stand_for_declared_models() -> None:
    manifest = reading.parse(APP + "[models]\nespeak-ng = {}\nhey-jarvis = {}\nollama = {}\n")
    assert declared(manifest, "tts", "espeak") == manifest.models[0]
    assert declared(manifest, "wake", "Hey Jarvis") == manifest.models[1]
    assert declared(manifest, "llm", "http://127.0.0.1:11434/v1#qwen2.5:3b") == manifest.models[2]
    assert declared(manifest, "tts", "kokoro-82m") is None


@pytest.mark.parametrize(
    ("address", "leaves"),
    [
        ("http://127.0.0.1:11434/v1", False),
        ("http://localhost:1/v1", False),
        ("http://[::1]:8080/v1", False),
        ("https://api.example.com/v1", True),
        ("http://127.0.0.1.example.com/v1", True),
        ("http://localhost@example.com/v1", True),
        ("http://[::1/v1", True),
        ("http:///v1", True),
    ],
)
def test_an_address_of_this_machine_is_told_from_others(address: str, leaves: bool) -> None:
    assert leaves_machine(address) is leaves
