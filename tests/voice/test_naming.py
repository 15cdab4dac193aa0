"""A model's name becomes an engine with its folder and options, or an error that says what to do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import file_voice  # type: ignore[import-not-found]
from locara import speech
from locara.catalog import extras, index
from locara.catalog.fitting import GB
from locara.catalog.machine import Machine, this_machine
from locara.errors import ConfigError, EngineMissing, LocaraError, ModelMissing
from locara.testing import ScriptedModel
from locara.voice import choosing, naming, session


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog file of its own, an empty store, and the plugin. Returns the file."""
    for name, value in file_voice.environment(tmp_path, file_voice.row()).items():
        if name != "PYTHONPATH":
            monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    return tmp_path / "rows.toml"


def engine(stage: Any, kind: Any = "tts") -> Any:
    options = dict(stage) if isinstance(stage, dict) else {"model": stage}
    return naming.named(kind, options.pop("model"), options)


def test_a_row_that_is_on_disk_becomes_its_engine_with_its_folder(catalog: Path, tmp_path: Path) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    got = engine({"model": "tone-voice", "level": 0.1})
    assert (got.info.engine, got.info.model, got.level) == ("file-voice", "tone-voice", 0.1)
    assert (got.path / "voice.json").read_bytes() == file_voice.FILE
    assert got.path.is_relative_to(tmp_path / "models")


def test_an_alias_and_options_of_the_row_are_taken_and_the_apps_come_first(catalog: Path, tmp_path: Path) -> None:
    more = 'aliases = ["tones"]\noptions = { level = 0.3 }'
    catalog.write_text(file_voice.row(more=more))
    file_voice.put("tones", tmp_path / "here")
    assert engine("Tones").level == 0.3
    assert engine({"model": "tones", "level": 0.4}).level == 0.4


def test_files_that_are_not_here_are_told_with_size_licence_and_command(catalog: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        session(tts="tone-voice")
    assert caught.value.message == "tts: tone-voice (400 kB, MIT) is not on this machine"
    assert caught.value.hint == "locara models pull tone-voice"
    catalog.write_text(file_voice.row(more='flags = ["non-commercial"]'))
    with pytest.raises(ModelMissing, match=r"\(400 kB, MIT, non-commercial\)"):
        engine("tone-voice")


def test_a_path_of_ones_own_needs_no_store(catalog: Path, tmp_path: Path) -> None:
    assert engine({"model": "tone-voice", "path": str(tmp_path)}).path == tmp_path


def test_another_kind_of_model_is_said_to_be_one(catalog: Path) -> None:
    with pytest.raises(ConfigError, match="tone-voice is a text-to-speech model, not a speech-to-text model") as caught:
        session(stt="tone-voice")
    assert "tts='tone-voice'" in caught.value.hint


@pytest.mark.parametrize(("typed", "meant"), [("tone-voise", "tone-voice"), ("espeak-nh", "espeak-ng")])
def test_an_unknown_name_is_guessed_from_catalog_and_engines(catalog: Path, typed: str, meant: str) -> None:
    with pytest.raises(EngineMissing) as caught:
        session(tts=typed)
    assert typed in caught.value.message
    assert caught.value.hint.startswith(f"did you mean {meant!r}")


def test_a_name_like_none_at_all_lists_what_there_is(catalog: Path) -> None:
    with pytest.raises(EngineMissing, match="no installed engine knows the model 'qqqqqq'") as caught:
        session(tts="qqqqqq")
    assert "espeak-ng" in caught.value.hint


def test_a_missing_extra_is_told_with_its_command(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.write_text(file_voice.row(more='extra = "sherpa"'))
    monkeypatch.setattr(extras, "installed", frozenset)
    with pytest.raises(EngineMissing) as caught:
        engine("tone-voice")
    assert caught.value.hint == 'pip install "locara[sherpa]"'


def test_what_is_only_listed_says_what_would_run_it(catalog: Path) -> None:
    catalog.write_text(file_voice.row(more='note = "Needs a card."').replace('"experimental"', '"listed"'))
    with pytest.raises(EngineMissing, match="only listed") as caught:
        engine("tone-voice")
    assert "Needs a card." in caught.value.hint


def test_what_runs_elsewhere_only_says_where(catalog: Path) -> None:
    catalog.write_text(file_voice.row() + '\n[model.needs]\nos = ["a-system"]\n'.replace("a-system", "windows"))
    if this_machine().os == "windows":
        pytest.skip("this is Windows")
    with pytest.raises(EngineMissing, match="runs on windows only"):
        engine("tone-voice")


def test_what_does_not_fit_is_refused_with_an_alternative_unless_one_insists(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.write_text(file_voice.row("small") + file_voice.row("large").replace("60_000_000", "5_100_000_000"))
    for model in ("small", "large"):
        file_voice.put(model, tmp_path / model)
    here = Machine("linux", "6", "x86_64", "a laptop", 8, 8 * GB, 3_200_000_000)
    monkeypatch.setattr(naming, "this_machine", lambda *_: here)
    with pytest.raises(ConfigError) as caught:
        engine("large")
    assert caught.value.message == "tts: large does not fit this machine: it needs 5.1 GB of memory, 3.2 GB free"
    assert caught.value.hint.startswith("take kokoro-82m instead")
    assert engine({"model": "large", "anyway": True}).info.model == "large"
    monkeypatch.setattr(naming, "this_machine", lambda *_: replace(here, memory_free=6 * GB))
    assert engine("large").info.model == "large"


def test_names_the_catalog_does_not_have_go_to_the_engines(catalog: Path) -> None:
    assert engine("espeak-ng:en-gb").info.model == "espeak-ng:en-gb"
    assert engine({"model": "http://127.0.0.1:9/v1#a-model", "temperature": 0.1}, "llm").info.model == "a-model"
    with pytest.raises(LocaraError, match="no engine 'nobody'"):
        engine({"model": "a-model", "engine": "nobody"})


def test_a_row_of_a_server_is_its_address(catalog: Path) -> None:
    row = index.find("ollama")
    assert row is not None
    assert engine("ollama", "llm").info.where == row.options["url"]


# --- nothing named ----------------------------------------------------------------------------------------------------


def test_with_nothing_on_disk_the_embedded_set_is_taken_and_the_machine_is_not_looked_at(
    catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "this_machine", lambda *_: pytest.fail("the machine was read"))
    plan = session(input="none", output="none").plan
    assert (plan["stt"]["engine"], plan["tts"]["engine"], plan["llm"]["model"]) == ("pocketsphinx", "espeak-ng", "auto")


def test_the_best_of_what_is_on_disk_is_taken_with_the_reason(catalog: Path, tmp_path: Path) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    plan = session(input="none", output="none").plan
    assert (plan["tts"]["model"], plan["tts"]["why"]) == ("tone-voice", "the best of what is on this machine")
    assert plan["stt"]["engine"] == "pocketsphinx"
    assert session(input="none", output="none", tts="espeak-ng").plan["tts"]["engine"] == "espeak-ng"


def test_a_voice_alone_is_chosen_as_in_a_session(catalog: Path, tmp_path: Path) -> None:
    file_voice.put("tone-voice", tmp_path / "here")
    assert asyncio.run(speech.synthesize("hello")).engine.model == "tone-voice"


def test_a_model_that_hears_is_not_given_a_recogniser(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def unnamed(stages: Any, **_: Any) -> tuple[dict[str, Any], dict[str, str]]:
        asked.append(set(stages))
        return {}, {}

    monkeypatch.setattr(choosing, "unnamed", unnamed)
    session(input="none", output="none", llm={"model": ScriptedModel(hears=True), "audio_input": True})
    session(input="none", output="none")
    assert asked == [{"llm", "tts"}, {"stt", "llm", "tts"}]


def test_recommended_says_what_to_pull_and_takes_it_when_it_is_here(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "installed", frozenset)  # else the best voice of the catalog is proposed
    with pytest.raises(ModelMissing) as caught:
        session(input="none", output="none", stt="pocketsphinx", llm="built-in", recommended=True)
    assert caught.value.hint == "locara models pull tone-voice"
    file_voice.put("tone-voice", tmp_path / "here")
    plan = session(input="none", output="none", stt="pocketsphinx", llm="built-in", recommended=True).plan
    assert plan["tts"]["model"] == "tone-voice"


def test_a_language_that_nothing_knows_is_an_error_before_the_start(catalog: Path) -> None:
    with pytest.raises(ConfigError, match="nothing that knows fi fits here") as caught:
        session(input="none", output="none", language="fi")
    assert "locara models recommend --language fi" in caught.value.hint


def test_the_catalog_of_this_test_is_the_one_that_is_read(catalog: Path) -> None:
    assert index.find("tone-voice") is not None
