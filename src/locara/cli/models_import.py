"""``locara models import``: a model from files that are here, for machines without a network and for models of one's own."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

from locara.cli.models_asking import here, row_named, store
from locara.errors import ConfigError

_EXAMPLES = """examples:
  locara models import kokoro-82m /media/stick/kokoro        a folder that holds the files which the catalog names
  locara models import whisper-tiny ggml-tiny.bin            a file
  locara models import --as my-voice --kind tts --engine sherpa-onnx --option family=vits ./my-voice

Files are compared with the catalog's sizes and hashes and copied to the folder of models; --link makes hard links instead.
With --as a row is written among your own (LOCARA_CATALOG, else the folder that docs/models.md names).

exit codes: 0 done, 1 it failed and one sentence said why, 2 wrong command line, 130 Ctrl-C
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara models import``."""
    from locara.catalog.row import RowKind

    parser.epilog = _EXAMPLES
    parser.add_argument(
        "what", nargs="+", metavar="ID PATH", help="a model's id and its files; with --as only the files"
    )
    parser.add_argument("--as", dest="name", metavar="NAME", help="import it under a name of its own")
    parser.add_argument("--kind", choices=get_args(RowKind), help="with --as: what it is")
    parser.add_argument("--engine", help="with --as: the engine that runs it")
    parser.add_argument("--licence", default="unknown", help="with --as: its licence, as SPDX id where there is one")
    parser.add_argument(
        "--language", action="append", default=[], help="with --as: a language it speaks, several times"
    )
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="with --as: for its engine")
    parser.add_argument("--link", action="store_true", help="hard links instead of copies, where the disk allows")
    parser.add_argument("--json", action="store_true", help="an object: id, folder, row_file, left_out")


def run(options: argparse.Namespace) -> int:
    """Imports it; returns the exit code. Raises ``LocaraError``."""
    import os

    from locara.catalog import importing
    from locara.cli.models_progress import Bar

    if options.name:
        if not (options.kind and options.engine):
            raise ConfigError("--as also needs --kind and --engine", hint="e.g. --kind stt --engine whisper-cpp")
        with Bar() as bar:
            own = importing.import_as(
                options.name,
                [Path(one) for one in options.what],
                store(),
                kind=options.kind,
                engine=options.engine,
                licence=options.licence,
                languages=options.language,
                options=dict(_option(one) for one in options.option),
                link=options.link,
                progress=bar,
            )
        for one in own.left_out:
            here(options.json, [f"left out, because loading it could run a program: {one}"])
        written = importing.row_file(options.name, os.environ)
        _say(options, own.row.id, own.folder, str(written), own.left_out)
        return 0
    if len(options.what) < 2:
        raise ConfigError(
            "a model's id and its files are needed", hint="locara models import ID PATH, or --as NAME PATH for your own"
        )
    row = row_named(options.what[0])
    with Bar() as bar:
        folder = importing.import_files(
            row, [Path(one) for one in options.what[1:]], store(), link=options.link, progress=bar
        )
    _say(options, row.id, folder, None, ())
    if not row.pinned:
        here(options.json, ["The catalog has no hash for it: what was found is noted, and verify compares with that."])
    return 0


def _say(options: argparse.Namespace, id_: str, folder: Path, row_file: str | None, left_out: tuple[str, ...]) -> None:
    if options.json:
        told = {"id": id_, "folder": str(folder), "row_file": row_file, "left_out": list(left_out)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
        return
    here(False, [f"{id_} is here now: {folder}", *([f"its row: {row_file}"] if row_file else [])])


def _option(text: str) -> tuple[str, Any]:
    """``key=value``; the value as TOML reads it (a number, true, a list), else as it stands."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--option {text!r} is not KEY=VALUE", hint="e.g. --option family=whisper")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value
