"""Finding engines: built-in ones and plugins by the same door, and errors that say what there is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from locara.engines import registry
from locara.engines.contracts import Kind
from locara.errors import EngineMissing

Install = Callable[[str, str, str], None]

PLUGIN = """
MODELS = {models}

def create(model, options):
    if model not in ("", *MODELS):
        return None
    return ({name!r}, model, dict(options))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(name, kind, code)``: a package with one module and one entry point, as pip would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name: str, kind: str, code: str) -> None:
        module = f"plugin_{name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[locara.{kind}]\n{name} = {module}:create\n", encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()

    return add


def plugin(name: str, *models: str) -> str:
    return PLUGIN.format(name=name, models=models)


def test_a_plugin_comes_in_by_the_same_door_as_the_built_in_engines(install: Install) -> None:
    install("a-parrot", "tts", plugin("a-parrot", "parrot-large", "parrot-small"))
    names = list(registry.installed("tts"))
    assert "a-parrot" in names
    assert names == sorted(names)
    made: object = registry.create("tts", "parrot-small", {"speed": 2})
    assert made == ("a-parrot", "parrot-small", {"speed": 2})
    assert {"parrot-large", "parrot-small"} <= set(registry.models("tts"))


def test_the_first_that_knows_the_model_runs_it_unless_an_engine_is_named(install: Install) -> None:
    install("one", "omni", plugin("one", "m", "only-one"))
    install("two", "omni", plugin("two", "m"))
    assert registry.create("omni", "m", {})[0] == "one"  # type: ignore[index]
    assert registry.create("omni", "m", {"engine": "two"})[0] == "two"  # type: ignore[index]
    assert registry.create("omni", "", {"engine": "two"})[:2] == ("two", "")  # type: ignore[index]


def test_a_misspelled_model_is_answered_with_the_nearest_name_and_all_others(install: Install) -> None:
    install("a-parrot", "omni", plugin("a-parrot", "parrot-large", "gull"))
    with pytest.raises(EngineMissing, match=r"end-to-end speech.*'parot-large'") as caught:
        registry.create("omni", "parot-large", {})
    assert "did you mean 'parrot-large'?" in caught.value.hint
    assert "gull" in caught.value.hint
    assert (caught.value.stage, caught.value.model) == ("omni", "parot-large")
    with pytest.raises(EngineMissing) as caught:
        registry.create("omni", "zzzzzz", {})
    assert "did you mean" not in caught.value.hint
    assert caught.value.hint.startswith("Installed engines know")


def test_where_no_engine_of_a_kind_is_installed_the_hint_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: ())
    monkeypatch.setattr(registry, "_looked", {})
    with pytest.raises(EngineMissing, match="no engine of this kind") as caught:
        registry.create("omni", "moshi-7b", {})
    assert "locara.omni" in caught.value.hint


@pytest.mark.parametrize("code", ["import a_library_that_is_not_there", "raise RuntimeError('too old')", "x = 1"])
def test_a_broken_plugin_is_named_and_not_silently_missing(install: Install, code: str) -> None:
    install("broken", "omni", code)
    with pytest.raises(EngineMissing, match="plugin 'broken'") as caught:
        registry.create("omni", "x", {})
    assert "uninstall" in caught.value.hint
    assert caught.value.__cause__ is not None


def test_a_broken_plugin_does_not_keep_the_others_from_working(install: Install) -> None:
    install("a-broken", "omni", "import nothing_of_that_name")
    install("parrot", "omni", plugin("parrot", "parrot-large"))
    assert registry.create("omni", "parrot-large", {}) is not None
    with pytest.raises(EngineMissing, match="plugin 'a-broken'"):
        registry.create("omni", "parrot-large", {"engine": "a-broken"})


def test_create_may_say_itself_which_models_it_knows(install: Install) -> None:
    install("own", "omni", plugin("own", "x") + "\ncreate.models = ['y', 'z']\n")
    names = registry.models("omni")
    assert [name for name in names if name in ("x", "y", "z")] == ["y", "z"]


def test_without_a_list_of_models_the_engine_stands_for_itself(install: Install) -> None:
    install("lonely", "omni", "def create(model, options):\n    return None\n")
    assert "lonely" in registry.models("omni")


@pytest.mark.parametrize(
    ("kind", "engine"), [("vad", "silero"), ("stt", "pocketsphinx"), ("tts", "espeak-ng"), ("llm", "auto")]
)
def test_the_built_in_engines_are_there(kind: Kind, engine: str) -> None:
    assert engine in registry.installed(kind)
    assert registry.models(kind)


def test_an_engine_that_is_not_installed_is_what_the_error_is_about(install: Install) -> None:
    install("a-parrot", "omni", plugin("a-parrot", "parrot-large"))
    with pytest.raises(EngineMissing) as caught:
        registry.create("omni", "parrot-large", {"engine": "a-parot"})
    assert "a-parot" in str(caught.value)
    assert "did you mean 'parrot-large'" not in caught.value.hint
    assert "a-parrot" in caught.value.hint
