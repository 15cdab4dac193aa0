"""One app checked: its manifest, its source, the findings. What may live here: putting these together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from locara.check import python_source, tree
from locara.check.calls import Call, Fault, Place, Unfollowed
from locara.check.findings import Finding
from locara.check.rules import Rules
from locara.errors import ConfigError, ManifestError
from locara.manifest import declared as models
from locara.manifest import positions
from locara.manifest.reading import NAME, read
from locara.manifest.values import Manifest


@dataclass(frozen=True, slots=True)
class Report:
    """``files``: how many were read; ``calls``: how many calls of Locara were found. ``others``: folders below that are
    apps of their own, and were left out. ``manifest``: None where it cannot be used, which is then the only finding."""

    folder: str
    findings: tuple[Finding, ...] = ()
    files: int = 0
    calls: int = 0
    others: tuple[str, ...] = ()
    manifest: Manifest | None = None

    @property
    def errors(self) -> int:
        """How many."""
        return sum(one.severity == "error" for one in self.findings)

    @property
    def warnings(self) -> int:
        """How many."""
        return len(self.findings) - self.errors


def check(folder: str | os.PathLike[str]) -> Report:
    """The app in a folder that has a ``locara.toml``. Nothing of it is run.

    Raises ``ConfigError`` where there is no such folder or manifest, or where it is too large to be checked.
    """
    where = Path(folder)
    try:
        if not where.is_dir():
            raise ConfigError(f"{where} is no folder", hint="name the folder of the app, with its locara.toml")
        if not (where / NAME).exists():
            raise ConfigError(
                f"there is no {NAME} in {where}", hint="write one: see docs/manifest.md, or locara manifest schema"
            )
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where} cannot be read: {error}", hint="name the folder of the app") from error
    try:
        manifest = read(where)
    except ManifestError as error:
        return Report(str(where), (Finding(NAME, error.line, error.column, "LV000", error.what, error.hint),))
    source = tree.sources(where)
    findings = [
        Finding(name, 0, 0, "LV008", what, "make it readable, or move it out of the app")
        for name, what in source.refused.items()
    ]
    used: set[str] = set()
    calls = 0
    for path, found in _found(source):
        if isinstance(found, Call):
            calls += 1
            rules = Rules(manifest, path)
            findings += rules.of(found)
            used |= rules.used
        else:
            code = "LV008" if isinstance(found, Fault) else "LV103"
            findings.append(Finding(path, *found.at, code, found.what, found.fix))
    findings += of_manifest(manifest, where, frozenset(used))
    files = len(source.python) + len(source.javascript)
    return Report(str(where), tuple(sorted(set(findings))), files, calls, tuple(source.others), manifest)


def _found(source: tree.Tree) -> Iterator[tuple[str, Call | Unfollowed | Fault]]:
    yield from python_source.read(source.python)
    if source.javascript:
        from locara.check.javascript_source import read as read_javascript

        yield from read_javascript(source.javascript)


def of_manifest(manifest: Manifest, folder: Path, used: frozenset[str]) -> Iterator[Finding]:
    """What is wrong with the manifest where the calls are known. ``used``: the models that they name."""
    text = (folder / NAME).read_text(encoding="utf-8-sig", errors="replace")
    places = positions.scan(text)

    def at(path: positions.Path) -> Place:
        return places.keys.get(path) or places.values.get(path) or (0, 0)

    if manifest.entry and not (folder / manifest.entry).is_file():
        what = f"the entry {manifest.entry!r} does not exist"
        yield Finding(NAME, *at(("app", "entry")), "LV010", what, "name the file where the program begins")
    for model in manifest.models:
        place = at(("models", model.name))
        if model.name not in used and model.name not in manifest.defaults.values():
            what = f"{model.name} is declared, and no call that can be read names it"
            yield Finding(NAME, *place, "LV102", what, "leave it out, unless it is named at run time")
        if model.file and not (folder / model.file).is_file():
            what = f"the file {model.file!r} of {model.name} does not exist"
            yield Finding(NAME, *place, "LV010", what, "put it there")
        row = models.row_of(model.name)
        if row is None or not row.files:
            continue
        hashes = {one.sha256 for one in row.files}
        if model.sha256 and model.sha256 not in hashes and row.pinned:
            what = f"the sha256 of {model.name} is none of those that the catalog has for it"
            place = at(("models", model.name, "sha256"))
            yield Finding(NAME, *place, "LV002", what, f"leave it out, or see locara models show {model.name}")
        elif not model.sha256 and not row.pinned:
            what = f"{model.name} has no published hash, so nobody can tell whether it is the one you tested"
            yield Finding(NAME, *place, "LV104", what, "add the sha256 of the file that you tested with")
