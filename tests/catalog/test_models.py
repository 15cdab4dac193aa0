"""The data themselves: what every row of ours has to keep, and the models that must be among them."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from collections import Counter
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from locara.catalog import index, page
from locara.catalog.row import Row
from locara.engines import registry
from locara.errors import ConfigError, EngineMissing, ModelMissing

ROWS = index.ours()
ROOT = Path(__file__).parents[2]
SPDX = {
    "Apache-2.0",
    "BSD-2-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC0-1.0",
    "GPL-3.0-or-later",
    "MIT",
}
"""Those of the SPDX list that occur; a new one is added here after a look at the list."""

ENGINES = {
    "stt": "sherpa-onnx moonshine faster-whisper whisper-cpp kyutai pocketsphinx apple-speech apple-sfspeech",
    "tts": "sherpa-onnx kokoro-onnx piper pocket-tts supertonic orpheus f5-tts xtts apple-avspeech windows-tts espeak-ng "
    "espeak-ng-program kyutai",
    "llm": "llama openai-compatible built-in",
    "turn": "prosody smart-turn",
    "wake": "micro-wake-word",
    "vad": "silero",
    "omni": "moshi moshi-mlx moshi-server mini-omni qwen-omni realtime",
}

MUST = """moshiko-mlx-q4 moshika-mlx-q4 moshi-7b-mlx-int4 personaplex-7b-v1 mini-omni mini-omni2 glm-4-voice step-audio
qwen2.5-omni-3b qwen2.5-omni-7b qwen3-omni whisper-tiny whisper-base whisper-small whisper-medium whisper-large-v3
whisper-large-v3-turbo apple-speech-analyzer apple-sfspeech kyutai-stt-1b kyutai-stt-2.6b-en piper kokoro-82m f5-tts xtts-v2
orpheus-3b apple-avspeech kyutai-tts-1.6b-en_fr pocket-tts qwen2.5-3b-instruct-q4 llama-3.2-1b llama-3.2-3b
openai-compatible ollama silero apple-speech-detector pocketsphinx-en-us espeak-ng built-in prosody smart-turn-v3.2
hey-jarvis okay-nabu hey-mycroft alexa moonshine-tiny moonshine-medium-streaming parakeet-tdt-0.6b-v3
nemotron-3.5-asr-streaming-0.6b supertonic-3 kitten-nano-0.8 distil-large-v3 apple-dictation windows-tts""".split()


def label(row: Row) -> str:
    return row.id


@pytest.mark.parametrize("name", MUST)
def test_a_model_that_was_promised_has_a_row(name: str) -> None:
    assert index.find(name) is not None


def test_names_are_unique_over_all_kinds() -> None:
    names = Counter(name.lower() for row in ROWS for name in {row.id, *row.aliases})
    assert [name for name, times in names.items() if times > 1] == []


def test_the_data_keep_the_published_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    folder = resources.files("locara.catalog")
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for kind in index.KINDS:
        text = (folder / "models" / f"{kind}.toml").read_text(encoding="utf-8")
        jsonschema.validate(tomllib.loads(text), schema)


def test_each_row_stands_in_the_file_of_its_kind() -> None:
    assert [row.kind for row in ROWS] == sorted((row.kind for row in ROWS), key=index.KINDS.index)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_a_row_is_consistent(row: Row) -> None:
    assert row.licence in SPDX or row.licence.startswith("LicenseRef-")
    assert row.engine in ENGINES[row.kind].split() if row.status != "listed" else not row.engine
    # Nothing else could run here with its real weights; Smart Turn's came inside another project's package.
    assert (row.status == "works") <= (row.bundled or row.id == "smart-turn-v3.2")
    if row.status == "experimental" and not row.bundled:
        assert row.files or "import" in row.note or "not download" in row.note, "how does a person get it"
    if row.licence == "LicenseRef-unchecked":
        assert "licence" in row.note.lower() or "gpl" in row.flags or not row.engine
    if any(word in row.licence for word in ("-NC-", "Research", "Community")):
        assert {"non-commercial", "use-restricted"} & set(row.flags)


@pytest.mark.parametrize("row", [row for row in ROWS if row.files], ids=label)
def test_sizes_and_revisions_are_what_they_look_like(row: Row) -> None:
    sizes = [file.size for file in row.files]
    assert None in sizes or row.disk is None or row.disk >= sum(one or 0 for one in sizes)
    assert not row.revision or re.fullmatch(r"[0-9a-f]{40}", row.revision), "a commit, not a branch"
    for file in row.files:
        assert not file.path.endswith((".pt", ".pth", ".ckpt", ".pkl")), "a pickle is never downloaded"
        assert bool(file.unpack) == file.path.endswith((".tar.bz2", ".tar.gz", ".zip"))
        if "huggingface.co" in file.url:
            assert "/resolve/" in file.url


def test_a_hash_belongs_to_one_content() -> None:
    """The same hash with two sizes would be a slip of the pen."""
    sizes: dict[str, set[int]] = {}
    for row in ROWS:
        for file in row.files:
            if file.sha256 and file.size is not None:
                sizes.setdefault(file.sha256, set()).add(file.size)
    assert {sha: found for sha, found in sizes.items() if len(found) > 1} == {}


def test_the_extras_of_rows_are_extras_of_the_package() -> None:
    pyproject: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = set(pyproject["project"]["optional-dependencies"])
    assert {row.extra for row in ROWS if row.extra} <= known


@pytest.mark.parametrize("row", [row for row in ROWS if row.status != "listed"], ids=label)
def test_an_engine_that_is_installed_takes_its_rows(row: Row, tmp_path: Path) -> None:
    """As whoever builds a session calls it. Nothing is loaded. No option of a row may be one that its engine does not
    know; an engine may miss something that only a person can say (a server, a recording of a voice)."""
    if row.engine not in {point.name for point in entry_points(group=f"locara.{row.kind}")}:
        pytest.skip(f"no engine {row.engine!r} is installed here")
    folder = {} if row.bundled else {"path": str(tmp_path)}
    try:
        engine = registry.create(row.kind, row.id, {"engine": row.engine, **folder, **row.options})
    except (EngineMissing, ModelMissing):
        return  # its package, or the files that an empty folder does not have: it did take the row
    except ConfigError as error:
        if "option" in error.message:
            raise
        return
    assert engine.info.engine


def test_the_page_has_the_table_that_the_data_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main([str(ROOT / "docs" / "models.md"), "--check"]) == 0, capsys.readouterr().err


def test_a_page_that_is_behind_the_data_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    assert page.main([str(file), "--check"]) == 1
    assert "is not what the data say" in capsys.readouterr().err
    assert page.main([str(file)]) == 0
    assert page.main([str(file), "--check"]) == 0
    text = file.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert all(f"`{row.id}`" in text for row in ROWS)


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("no marks", encoding="utf-8")
    assert page.main([str(file)]) == 1
    assert file.read_text(encoding="utf-8") == "no marks"
    assert page.main([]) == 2


def test_the_catalog_is_read_when_it_is_asked_and_not_before() -> None:
    importlib.reload(index)
    assert index.ours.cache_info().misses == 0
    assert index.find("silero") is not None
    assert index.ours.cache_info().misses == 1
