"""``locara models pull/import/verify/rm/prune/path``, through the command line, against a server on this machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from locara.catalog import writing
from locara.catalog.pulling import Progress
from locara.catalog.row import ModelFile, Row
from locara.cli import main
from locara.cli.models_progress import Bar, Meter, barred, told

from .hostile import Hostile, Served
from .made import BODY, sha


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "LOCARA_OFFLINE", "HF_ENDPOINT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCARA_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("LOCARA_CATALOG", str(tmp_path / "rows"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "rows").mkdir()
    with Hostile({"/m": Served(BODY)}) as running:
        url = f"{running.url}/m"
        pinned = ModelFile("model.onnx", url=url, sha256=sha(BODY), size=len(BODY))
        write(tmp_path, entry("test-small", pinned, aliases=("test/Small",), languages=("en", "de")))
        write(tmp_path, entry("test-loose", ModelFile("model.onnx", url=url), flags=("non-commercial", "gated")))
        yield running


def entry(name: str, *files: ModelFile, **more: object) -> Row:
    fields: dict[str, object] = {"kind": "stt", "title": "A test", "licence": "MIT", "status": "listed", "note": "n"}
    return Row(id=name, files=files, **{**fields, **more})  # type: ignore[arg-type]


def write(tmp_path: Path, row: Row) -> None:
    (tmp_path / "rows" / f"{row.id}.toml").write_text(writing.toml(row))


def test_pull_says_what_it_is_before_it_fetches_and_path_names_the_folder(
    server: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", "test/small", "--yes"]) == 0

    out, err = capsys.readouterr()
    assert out.splitlines()[:3] == [
        "test-small: A test (stt, 300 kB)",
        "  licence    MIT",
        "  languages  en de",
    ]
    assert "test-small is here now: " in out
    assert "test-small: downloading" in err
    assert main(["models", "path", "test-small"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert (folder / "model.onnx").read_bytes() == BODY
    assert len(server.seen) == 1


def test_pull_spells_out_flags_and_what_unpinned_means(server: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "test-loose", "--yes"]) == 0

    out = capsys.readouterr().out
    assert "NOT for commercial use" in out
    assert "wants the terms accepted and a token (HF_TOKEN)" in out
    assert "size unknown" in out
    assert "cannot be compared with what was meant" in out
    assert len(server.seen) == 1


def test_without_a_terminal_and_without_yes_nothing_is_fetched(
    server: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", "test-small"]) == 1

    assert "nobody can be asked here\n  -> add --yes" in capsys.readouterr().err
    assert not server.seen


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_one_question_is_asked(
    server: Hostile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})(answer))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    assert main(["models", "pull", "test-small", "test-loose"]) == code

    assert capsys.readouterr().out.count("Fetch these 2? [y/N]") == 1
    assert len(server.seen) == (2 if code == 0 else 0)


def test_what_is_here_is_not_asked_about(server: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "test-small", "--yes"]) == 0
    assert main(["models", "pull", "test-small", "--offline"]) == 0

    assert "test-small is here: " in capsys.readouterr().out
    assert len(server.seen) == 1


def test_offline_fails_with_the_way_to_import(server: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "test-small", "--offline"]) == 1

    assert "locara models import test-small PATH" in capsys.readouterr().err
    assert not server.seen


def test_one_model_that_fails_does_not_keep_the_next_and_json_tells_both(
    server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, entry("test-gone", ModelFile("m", url=f"{server.url}/gone", sha256=sha(BODY))))

    assert main(["models", "pull", "test-gone", "test-small", "--yes", "--json"]) == 1

    first, second = json.loads(capsys.readouterr().out)
    assert (first["id"], first["folder"]) == ("test-gone", None)
    assert "it is not there" in first["error"]
    assert (second["id"], second["error"]) == ("test-small", "")


def test_an_unknown_name_is_guessed_at(server: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    del server
    for command in ("pull", "path", "verify", "rm"):
        assert main(["models", command, "test-smal"]) == 1
        assert "test-small" in capsys.readouterr().err


def test_verify_names_the_damaged_file_and_the_command_that_mends_it(
    server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "pull", "test-small", "test-loose", "--yes"])
    capsys.readouterr()
    assert main(["models", "verify"]) == 0
    out = capsys.readouterr().out
    assert "test-small: intact, compared with the catalog's hashes" in out
    assert "test-loose: intact, compared with what was found when it was pulled" in out
    weights = next((tmp_path / "models" / "test-small").rglob("model.onnx"))
    weights.write_bytes(BODY[::-1])

    assert main(["models", "verify", "test-small"]) == 1

    out = capsys.readouterr().out
    assert "model.onnx: its contents have changed" in out
    assert "-> locara models pull test-small --again" in out
    assert main(["models", "verify", "--json"]) == 1
    assert [one["intact"] for one in json.loads(capsys.readouterr().out)] == [True, False]
    assert main(["models", "pull", "test-small", "--again", "--yes"]) == 0
    assert main(["models", "verify", "test-small"]) == 0
    assert len(server.seen) == 3


def test_verify_of_what_is_not_here_fails(server: Hostile, capsys: pytest.CaptureFixture[str]) -> None:
    del server
    assert main(["models", "verify", "test-small"]) == 1
    assert "locara models pull test-small" in capsys.readouterr().err
    assert main(["models", "path", "test-small"]) == 1
    assert main(["models", "verify"]) == 0


def test_rm_deletes_a_model_and_says_so(server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", "test-small", "--yes"])

    assert main(["models", "rm", "test-small"]) == 0

    assert "test-small: deleted, 301 kB freed" in capsys.readouterr().out
    assert not (tmp_path / "models" / "test-small").exists()
    assert main(["models", "rm", "test-small"]) == 1
    assert "is not in" in capsys.readouterr().err
    assert len(server.seen) == 1


def test_a_model_of_ones_own_comes_and_goes(
    server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del server
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    command = ["models", "import", "--as", "mine", "--kind", "llm", "--engine", "llama", "--option", "threads=4"]

    assert main([*command, str(tmp_path / "mine.gguf"), "--json"]) == 0

    answer = json.loads(capsys.readouterr().out)
    assert (Path(answer["folder"]) / "mine.gguf").exists()
    assert 'options = { "threads" = 4 }' in Path(answer["row_file"]).read_text()
    assert main(["models", "verify", "mine"]) == 0
    assert main(["models", "rm", "mine"]) == 0
    assert not Path(answer["row_file"]).exists()


def test_import_takes_files_for_a_row(server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(BODY)

    assert main(["models", "import", "test-small", str(tmp_path / "a")]) == 0
    assert main(["models", "pull", "test-small", "--offline"]) == 0
    assert main(["models", "import", "test-small"]) == 1
    assert main(["models", "import", "--as", "x", str(tmp_path / "a")]) == 1

    assert "--as also needs --kind and --engine" in capsys.readouterr().err
    assert not server.seen


def test_prune_shows_asks_and_deletes(server: Hostile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", "test-small", "test-loose", "--yes"])
    (tmp_path / "rows" / "test-loose.toml").unlink()
    capsys.readouterr()

    assert main(["models", "prune", "--dry-run"]) == 0
    assert "no row of the catalog names it" in capsys.readouterr().out
    assert main(["models", "prune"]) == 1
    assert (tmp_path / "models" / "test-loose").exists()
    capsys.readouterr()
    assert main(["models", "prune", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"]
    assert not (tmp_path / "models" / "test-loose").exists()
    assert (tmp_path / "models" / "test-small").exists()
    assert not list((tmp_path / "models" / ".locks").iterdir())
    assert len(server.seen) == 2


def test_the_help_of_every_subcommand_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("pull", "import", "verify", "rm", "prune", "path"):
        with pytest.raises(SystemExit):
            main(["models", command, "--help"])
        assert "examples:" in capsys.readouterr().out


def test_the_help_does_not_load_the_network(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom locara.cli import main\n"
        "try:\n    main(['models', 'path'])\nfinally:\n    assert 'httpx' not in sys.modules, 'httpx'"
    )
    env = {**os.environ, "LOCARA_MODELS": str(tmp_path)}

    assert subprocess.run([sys.executable, "-c", program], env=env, check=False, timeout=60).returncode == 0


def test_the_meter_tells_the_speed_of_the_last_seconds() -> None:
    meter = Meter()
    meter.mark(0.0, 0)
    assert meter.speed() is None
    for second in range(1, 21):
        meter.mark(float(second), second * 1000 if second < 10 else 9000 + (second - 9) * 5000)
    assert meter.speed() == pytest.approx(5000)
    assert meter.left(9000 + 11 * 5000 + 10_000) == pytest.approx(2.0)
    assert meter.left(None) is None
    meter.mark(21.0, 0)  # it starts anew
    assert meter.speed() is None


def test_the_bar_fits_the_terminal() -> None:
    half = Progress("small", "downloading", 150_000_000, 300_000_000, "model.onnx", 1, 1)

    assert told(half, 11_200_000, 13.4) == "small: downloading 150 MB of 300 MB (50%), 11.2 MB/s, 13 s left"
    assert barred(half, None, None, 100, ascii_only=True).startswith("############............  small: ")
    for width in (1, 5, 20, 60, 200):
        assert len(barred(half, 1e6, 150.0, width, ascii_only=False)) < max(2, width)


def test_a_log_gets_lines_now_and_then_and_no_escape_sequences() -> None:
    out = io.StringIO()
    now = [0.0]
    with Bar(out, live=False, now=lambda: now[0]) as bar:
        for step in range(100):
            now[0] = step / 10
            bar(Progress("small", "downloading", step, 100))
        bar(Progress("small", "retrying", 99, 100, note="the connection broke off\x1b[31m"))

    assert len(out.getvalue().splitlines()) == 3
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_bar_that_is_taken_away() -> None:
    out = io.StringIO()
    with Bar(out, live=True, now=lambda: 0.0) as bar:
        bar(Progress("small", "downloading", 50, 100))

    assert out.getvalue().startswith("\r\x1b[K")
    assert out.getvalue().endswith("\r\x1b[K")
