"""Small apps to be checked: a folder with a manifest and one source, and the codes that are found in it."""

from __future__ import annotations

from pathlib import Path

from locara.check import Report, check

MANIFEST = """
[app]
id = "com.example.talk"
name = "Talk"
version = "1.0"
{app}
[modalities]
use = [{use}]
{more}
[models]
pocketsphinx-en-us = {{}}
espeak-ng = {{}}
built-in = {{}}
ollama = {{}}
silero = {{}}
prosody = {{}}
hey-jarvis = {{}}
{models}
"""


def manifest(*, use: str = '"voice-to-voice"', app: str = "", more: str = "", models: str = "", top: str = "") -> str:
    """A manifest that declares the engines of the installation."""
    return top + MANIFEST.format(use=use, app=app, more=more, models=models)


def checked(folder: Path, source: str | dict[str, str], text: str | None = None, *, name: str = "main.py") -> Report:
    """The report on an app with this source (or these files)."""
    files = {name: source} if isinstance(source, str) else source
    for path, content in {"locara.toml": text or manifest(), **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8", newline="")
    return check(folder)


def codes(report: Report) -> list[str]:
    """Of the findings, in order, without the models that a small source does not name."""
    return [one.code for one in report.findings if one.code != "LV102"]
