"""A walk through source files, call by call, for every way to a microphone or a speaker that does not go through the gate.

What may live here: reading Python with `ast`, and what counts as such a way. Nothing is imported or run. Where a call could
be one and is none, it is named in `REVIEWED` with what it is: a new one fails until somebody has looked at it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOUND_LIBRARIES = frozenset(
    "sounddevice miniaudio pyaudio simpleaudio playsound playsound3 soundcard winsound ossaudiodev alsaaudio pygame "
    "pyglet just_playback pulsectl audioplayer rtmixer openal AppKit CoreAudio AVFAudio jack pyttsx3".split()
)
OPENING = frozenset({"locara.devices.soundcard", "locara.devices.portaudio", "locara.devices.miniaudio"})
OPENERS = frozenset({"microphone", "speaker"})  # of locara.devices.listing
PLAYERS = frozenset(
    "aplay paplay pacat pw-play pw-cat pw-record afplay afrecord ffplay mpv mplayer cvlc vlc mpg123 ogg123 arecord parec "
    "parecord spd-say festival say play rec sox termux-tts-speak".split()
)
STARTERS = frozenset(
    {"Popen", "run", "call", "check_call", "check_output", "system", "popen", "startfile", "posix_spawn", "spawnv",
     "execv", "execvp", "create_subprocess_exec", "create_subprocess_shell"}
)  # fmt: skip
FILES = frozenset({"os", "io", "tarfile", "gzip", "bz2", "lzma", "zipfile", "wave", "codecs", "tokenize"})

DOOR = "locara/gate/opening.py"
"""The one file that opens; what it does is checked by itself."""

REVIEWED = {
    ("locara/transcribe/transcribing.py", "self._recogniser.open"): "a recognition",
    ("locara/voice/recognising.py", "self._recogniser.open"): "a recognition",
    ("locara/engines/host.py", "host.open"): "a recognition",
    ("locara/engines/host.py", "cast(Recogniser, self.engine).open"): "a recognition",
    ("locara/engines/sidecar_recogniser.py", "self.open"): "a recognition",
    ("locara/testing/conformance_speech.py", "engine.open"): "a recognition",
    ("locara/catalog/machine.py", "subprocess.run"): "nvidia-smi, sysctl and sw_vers: facts of the machine",
    ("locara/catalog/machine.py", "ctypes.WinDLL"): "memory, as Windows tells it",
    ("locara/engines/kokoro_files.py", "archive.open"): "an array in an npz file",
    ("locara/engines/piper_program.py", "subprocess.Popen"): "piper, writing WAV files into a folder",
    ("locara/voice/probing.py", "engine.open"): "a recognition",
    ("locara/catalog/importing.py", "stage.open"): "a folder of files on their way into the store",
    ("locara/catalog/pulling.py", "self._stage.open"): "a folder of files on their way into the store",
    ("locara/catalog/unpacking.py", "opened.open"): "a file in an archive",
    ("locara/engines/piped.py", "subprocess.Popen"): "a Python or a Swift program of ours, over pipes",
    ("locara/engines/frame_worker.py", "self._model.open"): "a conversation with a model",
    ("locara/voice/loading.py", "brain.open"): "a conversation with a model",
    ("locara/voice/duplex.py", "self._session.open"): "a conversation with a model",
    ("locara/voice/omni.py", "self._session.open"): "a conversation with a model",
    ("locara/engines/espeak_program.py", "subprocess.Popen"): "espeak-ng with --stdout",
    ("locara/engines/espeak_program.py", "subprocess.run"): "espeak-ng --version",
    ("locara/engines/swift_program.py", "subprocess.run"): "the Swift compiler",
    ("locara/engines/espeak_worker.py", "ctypes.CDLL"): "espeak-ng, initialised to give buffers",
    ("locara/cli/screen.py", "ctypes.WinDLL"): "the console of Windows",
    ("locara/cli/serve.py", "options.open"): "an option of the command line",
    ("locara/server/realtime_actor.py", "machine.open"): "a connection's first event",
    ("locara/cli/serve.py", "webbrowser.open"): "the page in the user's browser",
    ("locara/offline/kernel.py", "ctypes.CDLL"): "the C library, for seccomp",
    ("locara/offline/loopback.py", "subprocess.Popen"): "the relay, a Python of ours, over a socket",
}


@dataclass(frozen=True, slots=True)
class Way:
    """A call or an import that could lead around the gate."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def ways_around(root: Path) -> list[Way]:
    """Every way under ``root`` (the folder that has ``locara`` in it, or a folder of examples) but through the gate."""
    found: list[Way] = []
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if not file.startswith("locara/devices/"):
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=file)
            found += [Way(file, line, what) for line, what in _in_file(tree, file)]
    return found


def _in_file(tree: ast.AST, file: str) -> Iterator[tuple[int, str]]:
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, f"imports {name}") for name in _forbidden_imports(node, file))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value in SOUND_LIBRARIES or node.value in OPENING:
                yield node.lineno, f"names {node.value}"
        elif isinstance(node, ast.Attribute) and node.attr in ("open", "reopen", *OPENERS):
            what = _attribute(node, names, file)
            if what:
                yield node.lineno, what
        elif isinstance(node, ast.Call):
            what = _call(node, names, file)
            if what:
                yield node.lineno, what


def _imported(tree: ast.AST) -> dict[str, str]:
    """Local name -> what was imported under it."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                root = one.name.split(".")[0]
                names[one.asname or root] = one.name if one.asname else root
        elif isinstance(node, ast.ImportFrom):
            names |= {(one.asname or one.name): f"{node.module}.{one.name}" for one in node.names}
    return names


def _forbidden_imports(node: ast.Import | ast.ImportFrom, file: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        whole = [one.name for one in node.names]
    else:
        module = node.module or ""
        if node.level:  # a relative import, from the folder of this file
            above = file.removesuffix(".py").split("/")[: -node.level]
            module = ".".join([*above, *filter(None, [module])])
        whole = [module, *(f"{module}.{one.name}" for one in node.names)]
    for name in whole:
        opener = name.startswith("locara.devices.listing.") and name.rsplit(".", 1)[1] in (*OPENERS, "*")
        inside = any(name == one or name.startswith(one + ".") for one in OPENING)
        if name.split(".")[0] in SOUND_LIBRARIES or inside or (opener and file != DOOR):
            yield name


def _attribute(node: ast.Attribute, names: dict[str, str], file: str) -> str:
    text = ast.unparse(node)
    receiver = names.get(ast.unparse(node.value), "")
    if node.attr in OPENERS:
        return f"makes a device: {text}" if receiver == "locara.devices.listing" and file != DOOR else ""
    if (file, text) in REVIEWED or file == DOOR:
        return ""
    if node.attr == "open" and receiver in FILES:
        return ""
    return f"opens: {text}" if not _opens_a_file(node) else ""


def _opens_a_file(node: ast.Attribute) -> bool:
    """Called with a mode, as files are: marked by `_call` before its function is seen (``ast.walk`` goes from the outside
    in)."""
    return getattr(node, "mode", False)


def _call(node: ast.Call, names: dict[str, str], file: str) -> str:
    function = node.func
    first = node.args[0] if node.args else None
    mode = isinstance(first, ast.Constant) and isinstance(first.value, str) and set(first.value) <= set("rwaxbt+")
    if isinstance(function, ast.Attribute) and mode and first is not None and ast.literal_eval(first):
        function.mode = True  # type: ignore[attr-defined]
    text = ast.unparse(function)
    where, _, name = names.get(text, text).rpartition(".")
    root = names.get(where, where)
    if name == "getattr" or text == "getattr":
        wanted = node.args[1] if len(node.args) > 1 else None
        if isinstance(wanted, ast.Constant) and wanted.value in ("open", "reopen"):
            return f"opens by getattr: {ast.unparse(node)}"
    if (file, text) in REVIEWED:
        return _player(node)
    if name in ("CDLL", "WinDLL", "OleDLL", "PyDLL", "LoadLibrary", "dlopen"):
        return f"loads native code: {ast.unparse(node)}"
    starts = {"subprocess": True, "os": name != "run", "asyncio": name.startswith("create_subprocess")}
    if name in STARTERS and starts.get(root, False):
        return f"starts a program: {text}"
    return ""


def _player(node: ast.Call) -> str:
    """A reviewed call may still have been given a program that plays."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.split(" ")[0] in PLAYERS:
            return f"starts a player: {part.value}"
    return ""


def opens_in_the_door(source: str) -> list[str]:
    """Every call of ``open`` in the one file that opens, as text."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return sorted(ast.unparse(one) for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "open")
