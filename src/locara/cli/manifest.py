"""``locara manifest expand`` and ``schema``: what a ``locara.toml`` asks for, and what one may say."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from locara.manifest.values import Manifest

_EXAMPLES = """examples:
  locara manifest expand               what the app in this folder, or above it, asks for, and why
  locara manifest expand examples/app --json
  locara manifest schema > locara.schema.json

exit codes: 0 done, 1 the manifest cannot be used, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara manifest``."""
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    expand = commands.add_parser("expand", help="its capabilities, and why it has each")
    expand.add_argument("where", nargs="?", default="", metavar="DIR", help="its folder or file (default: the nearest)")
    expand.add_argument("--json", action="store_true", help="an object: id, capabilities, models, defaults")
    schema = commands.add_parser("schema", help="the JSON schema of a manifest, for editors")
    for one in (expand, schema):
        # Also behind the subcommand; without a default here, or it would undo the one before it.
        one.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="show an error's traceback")


def run(options: argparse.Namespace) -> int:
    """Prints it; returns the exit code. Raises ``ManifestError``."""
    if options.subcommand == "schema":
        sys.stdout.write((resources.files("locara.manifest") / "schema.json").read_text(encoding="utf-8"))
        return 0
    from locara.manifest import reading

    where = options.where or reading.find(Path.cwd()) or Path.cwd()
    manifest = reading.read(where)
    if options.json:
        sys.stdout.write(json.dumps(_as_json(manifest), indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(_as_text(manifest))
    return 0


def _as_json(manifest: Manifest) -> dict[str, object]:
    return {
        "id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "path": manifest.path,
        "digest": manifest.digest,
        "modalities": list(manifest.modalities),
        "variant": manifest.variant,
        "capabilities": [{"capability": one.capability, "why": one.why} for one in manifest.needs],
        "models": [
            {
                "name": one.name,
                "task": one.task,
                "sha256": one.sha256 or None,
                "file": one.file or None,
                "engine": one.engine or None,
            }
            for one in manifest.models
        ],
        "defaults": dict(manifest.defaults),
        "offline": manifest.offline,
    }


def _as_text(manifest: Manifest) -> str:
    lines = [f"{manifest.name} {manifest.version} ({manifest.id})"]
    width = max((len(one.capability) for one in manifest.needs), default=0)
    lines += [f"  {one.capability:{width}}  {one.why}" for one in manifest.needs]
    if not manifest.needs:
        lines.append("  no capability: it neither listens nor speaks")
    if manifest.variant:
        lines.append(f"voice-to-voice is done as {manifest.variant}")
    if manifest.models:
        lines.append("models")
        width = max(len(one.name) for one in manifest.models)
        lines += [f"  {one.name:{width}}  {one.task:4}  {_pinned(one.sha256, one.file)}" for one in manifest.models]
    for stage, model in manifest.defaults.items():
        lines.append(f"where a call names no {stage}: {model}")
    if manifest.offline:
        lines.append("offline: no connection leaves this machine")
    return "".join(f"{line}\n" for line in lines)


def _pinned(sha256: str, file: str) -> str:
    hash_ = f"pinned to sha256 {sha256[:16]}.." if sha256 else "as the catalog has it"
    return f"{file}, {hash_}" if file else hash_
