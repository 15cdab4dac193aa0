"""A voice that is a real engine behind a real row: one small file, read from a folder, spoken as tones.

What may live here: the plugin as it would be installed (a module and its entry points), its file, and catalog rows for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_MODULE = """
import json
from pathlib import Path
import numpy as np
from locara.engines.contracts import EngineInfo, Speech
from locara.errors import ConfigError, EngineFailed, ModelMissing

MODELS = ()

def create(model, options):
    if options.get("engine") != "file-voice":
        return None
    if "path" not in options:
        raise ModelMissing(f"tts: {model} has no files", stage="tts", model=model, hint=f"locara models pull {model}")
    if unknown := set(options) - {"engine", "path", "level"}:
        raise ConfigError(f"file-voice has no option {unknown}", hint="it knows level")
    return FileVoice(model, Path(options["path"]), float(options.get("level", 0.2)))

class FileVoice:
    rate = 16000
    def __init__(self, model, path, level):
        self.info = EngineInfo("file-voice", model, "MIT")
        self.path, self.level = path, level
    async def load(self):
        try:
            told = json.loads((self.path / "voice.json").read_text("utf-8"))
            self.hertz, self.seconds = float(told["hertz"]), float(told["seconds"])
        except (OSError, ValueError, KeyError) as error:
            raise EngineFailed(f"tts: {self.path}: {error}", stage="tts", model=self.info.model, hint="pull it again")
    async def close(self):
        pass
    async def speak(self, text):
        n = round(self.seconds * self.rate)
        tone = (self.level * np.sin(2 * np.pi * self.hertz / self.rate * np.arange(n))).astype(np.float32)
        for word in text.split():
            yield Speech(np.concatenate([tone, np.zeros(n // 2, np.float32)]))
"""

FILE = json.dumps({"hertz": 600, "seconds": 0.08, "padding": "x" * 400_000}).encode()
"""The model: 400 kB, most of them for the progress line."""


def install(folder: Path) -> Path:
    """Lays the plugin out in ``folder``, which then belongs on ``sys.path`` or ``PYTHONPATH``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file_voice_plugin.py").write_text(_MODULE, encoding="utf-8")
    info = folder / "file_voice_plugin-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: file-voice-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[locara.tts]\nfile-voice = file_voice_plugin:create\n", encoding="utf-8")
    return folder


def row(
    id_: str = "tone-voice",
    *,
    url: str = "https://example.invalid/voice.json",
    data: bytes = FILE,
    more: str = "",
    language: str = "en",
) -> str:
    """A catalog row as TOML."""
    return f"""
[[model]]
id = "{id_}"
kind = "tts"
title = "Tones from a file"
licence = "MIT"
status = "experimental"
engine = "file-voice"
languages = ["{language}"]
params = 90_000_000
memory = 60_000_000
{more}
[[model.files]]
path = "voice.json"
url = "{url}"
sha256 = "{hashlib.sha256(data).hexdigest()}"
size = {len(data)}
"""


def put(model: str, folder: Path) -> None:
    """Puts the file of a row into the store that the environment names, as ``locara models import`` does."""
    from locara.catalog import importing, index
    from locara.catalog.store import default_store

    found = index.find(model)
    assert found is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "voice.json").write_bytes(FILE)
    importing.import_files(found, [folder / "voice.json"], default_store())


@contextmanager
def served(data: bytes = FILE, *, blocks: int = 8, gate: threading.Event | None = None) -> Iterator[str]:
    """A server on loopback that gives ``data`` for any path, in so many blocks; it waits for ``gate`` after the first.
    Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            step = -(-len(data) // blocks)
            try:
                for at in range(0, len(data), step):
                    self.wfile.write(data[at : at + step])
                    self.wfile.flush()
                    if gate is not None:
                        gate.wait(20)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/voice.json"
    finally:
        if gate is not None:
            gate.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def environment(folder: Path, catalog: str) -> dict[str, str]:
    """What a process needs to see the plugin, one catalog file, and folders of its own."""
    plugin = install(folder / "plugin")
    (folder / "rows.toml").write_text(catalog, encoding="utf-8")
    return {
        "PYTHONPATH": os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
        "LOCARA_CATALOG": str(folder / "rows.toml"),
        "LOCARA_MODELS": str(folder / "models"),
        "LOCARA_CACHE": str(folder / "cache"),
        "LOCARA_NO_SERVERS": "1",
        "HF_HUB_CACHE": str(folder / "no-hub"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


def locara(*arguments: str, environment: dict[str, str], within: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "locara", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=within,
        check=False,
        stdin=subprocess.DEVNULL,
    )
