"""What a call may say under a manifest. What may live here: pure rules on one call; no source, no files.

What is asked of the catalog is asked through `locara.manifest.declared`, which the run time asks too.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import PurePosixPath

from locara.check.calls import (
    EVERYWHERE,
    FUNCTIONS,
    Call,
    Function,
    Made,
    Nothing,
    Other,
    Place,
    Single,
    Table,
    Text,
    Unknown,
    each,
)
from locara.check.findings import Finding
from locara.manifest import declared as models
from locara.manifest.names import shown
from locara.manifest.values import Capability, Manifest, Task, Variant

SOUND_FILES = frozenset({".wav", ".wave", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aiff", ".aif"})
"""As `locara.voice.building` tells a file from a device; a test keeps the two together."""
NO_DEVICE = frozenset({"push", "none"})
_GIVES = {"device.microphone": "speech-to-text or voice-to-voice", "device.speaker": "text-to-speech or voice-to-voice"}
_WORDS = {"stt": "speech to text", "llm": "language models", "tts": "text to speech", "omni": "end-to-end speech"} | {
    "vad": "voice activity", "turn": "the end of a turn", "wake": "wake words"
}  # fmt: skip


class Rules:
    """The rules of one manifest for the calls of one file. ``used``: the declared models that were named."""

    def __init__(self, manifest: Manifest, path: str) -> None:
        self._manifest = manifest
        self._path = path
        self.used: set[str] = set()

    def of(self, call: Call) -> Iterator[Finding]:
        """What is wrong with a call."""
        function = FUNCTIONS[call.function]
        yield from self._form(call, function)
        for keyword, task in function.stages.items():
            if keyword in call.keywords:
                for value in each(call.keywords[keyword]):
                    yield from self._stage(keyword, task, value)
        if call.function == "voice.session":
            for value in each(call.keywords.get("attention", Nothing(call.at))):
                yield from self._attention(value)
            yield from self._variant(call)
        yield from self._devices(call, function)

    def _finding(self, at: Place, code: str, what: str, fix: str) -> Finding:
        return Finding(self._path, at[0], at[1], code, what, fix)

    # --- keywords -----------------------------------------------------------------------------------------------------

    def _form(self, call: Call, function: Function) -> Iterator[Finding]:
        known = (*function.positional, *function.keywords, *EVERYWHERE)
        for name in call.keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                guess = f"did you mean {near[0]!r}? " if near else ""
                names = ", ".join((*function.positional, *function.keywords)) or "nothing"
                what = f"{call.function} has no parameter {shown(name)}"
                yield self._finding(call.names.get(name, call.at), "LV006", what, f"{guess}It knows {names}")
        if len(call.positional) > len(function.positional):
            many = len(function.positional)
            what = f"{call.function} takes {many or 'no'} argument{'s' * (many != 1)} without a name"
            yield self._finding(call.at, "LV006", what, f"name them: {', '.join(function.keywords[:4])}")
        if not call.complete:
            what = f"not all arguments of {call.function} are written here"
            yield self._finding(call.at, "LV101", what, "name the models as literals to have them checked here")
        if _says(call, "omni") and any(_says(call, name) for name in ("llm", "tts")):
            at = call.names.get("omni", call.at)
            yield self._finding(at, "LV006", "omni= is one model that thinks and speaks", "leave llm= and tts= out")

    # --- models -------------------------------------------------------------------------------------------------------

    def _stage(self, keyword: str, task: Task, value: Single) -> Iterator[Finding]:
        if isinstance(value, Nothing):
            return
        if isinstance(value, Text):
            yield from self._model(keyword, task, value)
        elif isinstance(value, Table):
            yield from self._table(keyword, task, value)
            yield from self._fallback(value) if task == "omni" else ()
        elif isinstance(value, Other):
            what = f"{keyword}={shown(str(value.value))} names no model"
            yield self._finding(value.at, "LV006", what, f'{keyword}="a model\'s name" or {{"model": "its name"}}')
        else:
            yield self._unknown(value, f"{keyword} is {value.what}")

    def _table(self, keyword: str, task: Task, table: Table) -> Iterator[Finding]:
        model = table.items.get("model")
        for url in each(table.items.get("url", Nothing(table.at))) if task == "llm" else ():
            if isinstance(url, Text):
                yield from self._model(keyword, task, url)
            elif not isinstance(url, Nothing):
                yield self._unknown(url, f"the url of {keyword} is not a literal")
            else:
                continue
            return  # the address is what is declared; the name is the server's own
        if model is None:
            if not table.complete:
                yield self._unknown(table, f"the model of {keyword} may be among what is not written here")
            for name in table.items:
                if difflib.get_close_matches(name, ("model",), n=1, cutoff=0.8):
                    what = f"{keyword} has an option {shown(name)}"
                    yield self._finding(table.at, "LV006", what, "did you mean 'model'?")
            return
        for one in each(model):
            if isinstance(one, Text):
                yield from self._model(keyword, task, one)
            elif isinstance(one, Other | Table | Nothing):
                yield self._finding(one.at, "LV006", f"the model of {keyword} is no text", "a model's name")
            else:
                yield self._unknown(one, f"the model of {keyword} is {one.what}")

    def _fallback(self, table: Table) -> Iterator[Finding]:
        """What stands in for a model that cannot be had is loaded, too."""
        tasks: tuple[Task, ...] = ("stt", "llm", "tts")
        for value in each(table.items.get("fallback", Nothing(table.at))):
            if isinstance(value, Unknown | Made):
                yield self._unknown(value, f"the fallback of omni is {value.what}")
            elif isinstance(value, Table):
                for task in tasks:
                    for one in each(value.items.get(task, Nothing(value.at))):
                        yield from self._stage(f"the fallback's {task}", task, one)

    def _attention(self, value: Single) -> Iterator[Finding]:
        if isinstance(value, Unknown | Made):
            yield self._unknown(value, f"attention is {value.what}")
        if not isinstance(value, Table) or "word" not in value.items:
            return
        for word in each(value.items["word"]):
            if isinstance(word, Text) and word.text.strip():
                yield from self._model("attention's word", "wake", word)
            elif isinstance(word, Unknown | Made):
                yield self._unknown(word, f"the word of attention is {word.what}")

    def _model(self, keyword: str, task: Task, name: Text) -> Iterator[Finding]:
        text = name.text.strip()
        if not text or task in models.WORDS.get(text, ()):
            return
        address = task == "llm" and models.is_address(text)
        if address and self._manifest.offline and models.leaves_machine(text):
            what = f"{shown(text)} is not on this machine, and the manifest says offline"
            yield self._finding(name.at, "LV009", what, "use an address of this machine, or leave offline out")
        found = models.declared(self._manifest, task, text)
        if found is None:
            yield self._undeclared(keyword, task, name, address)
            return
        self.used.add(found.name)
        if found.task != task:
            what = f"{keyword} names {found.name!r}, which is for {_WORDS[found.task]}, not for {_WORDS[task]}"
            yield self._finding(name.at, "LV004", what, self._others(task))

    def _undeclared(self, keyword: str, task: Task, name: Text, address: bool) -> Finding:
        if address:
            what = f"{keyword} names the server {shown(name.text)}, and the manifest declares no model server"
            return self._finding(
                name.at, "LV001", what, 'add "ollama" = {} (or lm-studio, llama-server) under [models]'
            )
        id_ = models.canonical(task, name.text)
        row = models.row_of(id_)
        if row is not None and row.kind != task:
            what = f"{keyword} names {row.id!r}, which is for {_WORDS[row.kind]}, not for {_WORDS[task]}"
            return self._finding(name.at, "LV004", what, self._others(task))
        what = f"the model {shown(name.text)} is not declared in the manifest"
        names = [one.name for one in self._manifest.models if one.task == task]
        near = difflib.get_close_matches(name.text.lower(), names, n=1, cutoff=0.75)
        if row is not None:
            guess = f"did you mean {near[0]!r}? Else " if near else ""
            return self._finding(name.at, "LV001", what, f'{guess}add "{row.id}" = {{}} under [models]')
        known = tuple(near) or models.near(name.text, task)
        guess = f"did you mean {' or '.join(map(repr, known))}? " if known else ""
        fix = f"{guess}The catalog does not know it: for one of your own declare task, and file or engine"
        return self._finding(name.at, "LV001", what, fix)

    def _others(self, task: Task) -> str:
        names = [one.name for one in self._manifest.models if one.task == task]
        return f"declared for {_WORDS[task]}: {', '.join(names)}" if names else f"see locara models list --kind {task}"

    def _unknown(self, value: Single, what: str) -> Finding:
        return self._finding(value.at, "LV101", what, "only the run time can check it; a literal is checked here")

    # --- the form of voice-to-voice -----------------------------------------------------------------------------------

    def _variant(self, call: Call) -> Iterator[Finding]:
        wanted, form = self._manifest.variant, form_of(call)
        if wanted is not None and form is not None and form != wanted:
            what = f"the call has the form {form}, and the manifest says {wanted}"
            yield self._finding(call.at, "LV003", what, f'write variant = "{form}", or call it as {_SHAPES[wanted]}')

    # --- devices ------------------------------------------------------------------------------------------------------

    def _devices(self, call: Call, function: Function) -> Iterator[Finding]:
        if function.input:
            for value in self._named(call, function, function.input):
                if isinstance(value, Unknown):
                    yield from self._perhaps(value, function.input, "device.microphone")
                elif _is_device(value):
                    yield from self._capability(call, value.at, "device.microphone")
        if function.output:
            for value in self._named(call, function, function.output):
                if isinstance(value, Unknown):
                    yield from self._perhaps(value, function.output, "device.speaker.select")
                elif _is_device(value):
                    yield from self._capability(call, value.at, "device.speaker")
                    if isinstance(value, Text) and value.text != "default":
                        yield from self._selected(value.at, f"{shown(value.text)} is not the default output")
        if function.lists:
            yield from self._selected(call.at, f"{call.function} tells which outputs there are")

    def _named(self, call: Call, function: Function, name: str) -> tuple[Single, ...]:
        """What a parameter that names a device may be; what is left out is the default one."""
        if name in function.positional and len(call.positional) > function.positional.index(name):
            return each(call.positional[function.positional.index(name)])
        if name in call.keywords:
            return each(call.keywords[name])
        return (Text("default", call.at),) if call.complete else ()

    def _perhaps(self, value: Unknown, name: str, capability: Capability) -> Iterator[Finding]:
        """What is not known needs no word where everything that it can be is allowed."""
        if capability not in self._manifest.capabilities:
            yield self._unknown(value, f"{name} is {value.what}")

    def _capability(self, call: Call, at: Place, capability: Capability) -> Iterator[Finding]:
        if capability not in self._manifest.capabilities:
            what = f"{call.function} needs {capability} here, and the manifest does not have it"
            yield self._finding(at, "LV005", what, f"add {_GIVES[capability]} to use under [modalities]")

    def _selected(self, at: Place, what: str) -> Iterator[Finding]:
        if "device.speaker.select" not in self._manifest.capabilities:
            fix = 'add [capabilities."device.speaker.select"] with a reason'
            yield self._finding(at, "LV007", f"{what}, and the manifest does not have device.speaker.select", fix)


_SHAPES = {
    "pipeline": "session(stt=..., llm=..., tts=...)",
    "half-cascade": 'session(llm={"model": ..., "audio_input": True}, tts=...)',
    "omni": "session(omni=...)",
    "native": 'session(stt="native", tts="native")',
}


def form_of(call: Call) -> Variant | None:
    """Which variant of voice-to-voice a call asks for; None where it names nothing that would tell."""
    if _says(call, "omni"):
        return "omni"
    for llm in each(call.keywords.get("llm", Nothing(call.at))):
        if isinstance(llm, Table) and isinstance(hears := llm.items.get("audio_input"), Other) and hears.value:
            return "half-cascade"
    named = [one for name in ("stt", "tts") if _says(call, name) for one in each(call.keywords[name])]
    if not named:
        return "pipeline" if _says(call, "llm") else None
    if all(_model_text(one) == "native" for one in named):
        return "native"
    return None if any(isinstance(one, Unknown) for one in named) else "pipeline"


def _model_text(value: Single) -> str:
    named = value.items.get("model", value) if isinstance(value, Table) else value
    return named.text if isinstance(named, Text) else ""


def _says(call: Call, name: str) -> bool:
    value = call.keywords.get(name)
    return value is not None and any(not isinstance(one, Nothing) for one in each(value))


def _is_device(value: Single) -> bool:
    """Whether a value means a device of this machine."""
    if not isinstance(value, Text):
        return False
    return value.text not in NO_DEVICE and PurePosixPath(value.text).suffix.lower() not in SOUND_FILES
