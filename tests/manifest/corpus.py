"""Manifests, good and broken, as a table: what each is called, its text, and what the reader says of a broken one."""

# ruff: noqa: E501  one case, one line: that is a table

from __future__ import annotations

from dataclasses import dataclass

APP = '[app]\nid = "com.example.talk"\nname = "Talk"\nversion = "1.2.0"\n'
HASH = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Case:
    """``says``: a part of the message; empty: it is good. ``line``: where. ``schema``: whether a JSON schema can see it."""

    name: str
    text: str
    says: str = ""
    line: int = 0
    hint: str = ""
    schema: bool = True


GOOD = [
    Case("the least", APP),
    Case("everything", f"""schema = 1
offline = true
{APP}entry = "talk/main.py"
[modalities]
use = ["voice-to-voice", "speech-to-text"]
[modality.voice-to-voice]
variant = "pipeline"
stt = "pocketsphinx-en-us"
llm = "auto"
tts = "kokoro-82m"
turn = "prosody"
wake = "hey-jarvis"
[capabilities."device.speaker.select"]
reason = "Lets you choose the headset: größer, 漢字, 🎧"
[models]
pocketsphinx-en-us = {{}}
kokoro-82m = {{ sha256 = "{HASH}" }}
prosody = {{ task = "turn" }}
hey-jarvis = {{}}
"whisper-base.en" = {{}}
mine = {{ task = "stt", file = "models/mine.onnx", sha256 = "{HASH}" }}
morse = {{ task = "tts", engine = "morse" }}
"""),
    Case("as sub-tables, with Windows line ends", (APP + "[models.kokoro-82m]\n[models.'pocketsphinx-en-us']\n").replace("\n", "\r\n")),
    Case("omni", APP + '[modalities]\nuse = ["voice-to-voice"]\n[modality.voice-to-voice]\nvariant = "omni"\nomni = "moshiko-mlx-q4"\n[models]\nmoshiko-mlx-q4 = {}\n'),
    Case("a recogniser beside omni", APP + '[modalities]\nuse = ["voice-to-voice"]\n[modality.voice-to-voice]\nvariant = "omni"\nomni = "moshiko-mlx-q4"\nstt = "pocketsphinx-en-us"\n[models]\nmoshiko-mlx-q4 = {}\npocketsphinx-en-us = {}\n'),
    Case("native", APP + '[modalities]\nuse = ["voice-to-voice"]\n[modality.voice-to-voice]\nvariant = "native"\n'),
    Case("half-cascade", APP + '[modalities]\nuse = ["voice-to-voice"]\n[modality.voice-to-voice]\nvariant = "half-cascade"\ntts = "espeak-ng"\n[models]\nespeak-ng = {}\n'),
    Case("a microphone without a modality", APP + '[capabilities]\n"device.microphone" = { reason = "Draws your voice." }\n'),
]  # fmt: skip

USES = '[modalities]\nuse = ["voice-to-voice"]\n'
V2V = "[modality.voice-to-voice]\n"

BROKEN = [
    Case("empty", "", "there is no [app]"),
    Case("no id", '[app]\nname = "T"\nversion = "1"\n', "[app] has no id", 1),
    Case("a misspelled table", APP + "[modalites]\n", "no key 'modalites'", 5, "did you mean 'modalities'?"),
    Case("a misspelled key", APP.replace("version", "verson"), "no key 'verson'", 4, "did you mean 'version'?"),
    Case("a key at the wrong place", APP + "offline = true\n", "no key 'offline'", 5, "belongs to the top of the file"),
    Case("a misspelled modality", APP + '[modalities]\nuse = ["voice-to-voise"]\n', "no modality 'voice-to-voise'", 6, "did you mean 'voice-to-voice'?"),
    Case("a modality twice", APP + '[modalities]\nuse = ["speech-to-text", "speech-to-text"]\n', "there twice", 6),
    Case("use is a text", APP + '[modalities]\nuse = "voice-to-voice"\n', "not a list", 6),
    Case("settings of an unused modality", APP + V2V, "is not in use", 5, 'add "voice-to-voice" to use', schema=False),
    Case("a misspelled variant", APP + USES + V2V + 'variant = "pipline"\n', "no variant 'pipline'", 8, "did you mean 'pipeline'?"),
    Case("a language model beside omni", APP + USES + V2V + 'variant = "omni"\nllm = "built-in"\n[models]\nbuilt-in = {}\n', "names no llm", 9, schema=False),
    Case("omni in a pipeline", APP + USES + V2V + 'variant = "pipeline"\nomni = "moshiko-mlx-q4"\n[models]\nmoshiko-mlx-q4 = {}\n', "names no omni", 9, schema=False),
    Case("a default that is not declared", APP + USES + V2V + 'tts = "kokoro-82m"\n', "'kokoro-82m' is not declared", 8, 'add "kokoro-82m" = {}', schema=False),
    Case("a default of another kind", APP + USES + V2V + 'tts = "pocketsphinx-en-us"\n[models]\npocketsphinx-en-us = {}\n', "of the kind stt", 8, schema=False),
    Case("two defaults", APP + '[modalities]\nuse = ["voice-to-voice", "speech-to-text"]\n[modality.voice-to-voice]\nstt = "pocketsphinx-en-us"\n[modality.speech-to-text]\nstt = "whisper-tiny"\n[models]\npocketsphinx-en-us = {}\nwhisper-tiny = {}\n', "another default", 10, schema=False),
    Case("a capability that a modality gives", APP + USES + '[capabilities]\n"device.speaker" = { reason = "x" }\n', "follows from voice-to-voice", 8, schema=False),
    Case("a capability without a reason", APP + '[capabilities."device.speaker.select"]\n', "has no reason", 5),
    Case("an empty reason", APP + '[capabilities."device.speaker.select"]\nreason = " "\n', "is empty", 6),
    Case("a long reason", APP + f'[capabilities."device.speaker.select"]\nreason = "{"x" * 301}"\n', "301 characters", 6),
    Case("a reason that turns the line round", APP + '[capabilities."device.speaker.select"]\nreason = "\\u202egrant"\n', "invisible", 6, schema=False),
    Case("a capability without quotes", APP + '[capabilities.device.speaker.select]\nreason = "x"\n', "needs quotes", 5),
    Case("a misspelled capability", APP + '[capabilities."device.mikrophone"]\nreason = "x"\n', "no capability", 5, "did you mean 'device.microphone'?"),
    Case("offline as a text", 'offline = "yes"\n' + APP, "neither true nor false", 1),
    Case("another schema", "schema = 2\n" + APP, "reads schema 1", 1),
    Case("a schema that is true", "schema = true\n" + APP, "not true", 1),
    Case("app is a number", "app = 1\n", "not a table", 1),
    Case("app is a list of tables", "[[app]]\n", "not a table", 1),
    Case("an id that is a number", APP.replace('"com.example.talk"', "7"), "not a text", 2),
    Case("an id of one word", APP.replace("com.example.talk", "talk"), "no app id", 2, "com.example.talk"),
    Case("an id in capitals", APP.replace("com.", "Com."), "no app id", 2, "lower case"),
    Case("an id as a path", APP.replace("com.example.talk", "../../com.example"), "no app id", 2),
    Case("a Cyrillic id", APP.replace("com.", "с\u043em."), "CYRILLIC SMALL LETTER ES, which looks like 'c'", 2),
    Case("a Greek id", APP.replace("example", "example\u03bf"), "GREEK SMALL LETTER OMICRON, which looks like 'o'", 2),
    Case("an id in full width", APP.replace("com.", "\uff43om."), "which looks like 'c'", 2),
    Case("an id with an invisible letter", APP.replace("com.", "com\u200b."), "U+200B ZERO WIDTH SPACE", 2),
    Case("a dotless i", APP.replace("com.", "\u0131com."), "which looks like 'i'", 2),
    Case("a long id", APP.replace('.talk"', "." + "t" * 120 + '"'), "132 characters", 2),
    Case("a name with an escape for the terminal", APP.replace('"Talk"', '"Talk\\u001b[31m"'), "invisible", 3, schema=False),
    Case("a version with a space", APP.replace("1.2.0", "1 2"), "no version", 4),
    *(
        Case(f"entry {number}", APP + f"entry = '{entry}'\n", says, 5)
        for number, (entry, says) in enumerate([
            ("../main.py", "does not stay"), ("/etc/passwd", "does not stay"), ("a/../../b.py", "does not stay"),
            ("C:\\main.py", "has a character"), ("a\\..\\b", "has a character"), ("~/main.py", "does not stay"),
            ("file:///etc/passwd", "has a character"), ("", "0 characters"), ("x" * 256, "256 characters"),
        ])
    ),
    Case("an entry with a NUL", APP + 'entry = "a\\u0000.py"\n', "has a character", 5),
    Case("a model with a NUL path", APP + f'[models]\nmine = {{ task = "stt", file = "..", sha256 = "{HASH}" }}\n', "does not stay", 6),
    Case("a misspelled model", APP + "[models]\nkokro-82m = {}\n", "no model 'kokro-82m'", 6, "did you mean kokoro-82m", schema=False),
    Case("an alias", APP + '[models]\n"espeak" = {}\n', "another name of 'espeak-ng'", 6, 'write "espeak-ng"', schema=False),
    Case("an alias with a colon", APP + '[models]\n"qwen2.5:3b" = {}\n', "cannot be a model's id", 6, "qwen2.5-3b-instruct-q4"),
    Case("a dot without quotes", APP + "[models]\nwhisper-base.en = {}\n", "needs quotes", 6, '"whisper-base.en"'),
    Case("a Cyrillic model", APP + '[models]\n"kok\u043ero-82m" = {}\n', "CYRILLIC SMALL LETTER O", 6),
    Case("a model as a text", APP + '[models]\nkokoro-82m = "latest"\n', "not for a table", 6),
    Case("a model's path", APP + '[models]\n"../../etc" = {}\n', "cannot be a model's id", 6),
    Case("a short hash", APP + '[models]\nkokoro-82m = { sha256 = "abc" }\n', "is no SHA-256", 6),
    Case("a hash in capitals", APP + f'[models]\nkokoro-82m = {{ sha256 = "{HASH.upper()}" }}\n', "is no SHA-256", 6),
    Case("a wrong task", APP + '[models]\nkokoro-82m = { task = "stt" }\n', "of the kind tts", 6, schema=False),
    Case("no such task", APP + '[models]\nkokoro-82m = { task = "sst" }\n', "no task 'sst'", 6, "did you mean"),
    Case("one's own without a hash", APP + '[models]\nmine = { task = "stt", file = "m.onnx" }\n', "no hash", 6),
    Case("one's own without a task", APP + '[models]\nmine = { engine = "morse" }\n', "no task", 6),
    Case("a file for a model of the catalog", APP + f'[models]\nkokoro-82m = {{ task = "tts", file = "m.onnx", sha256 = "{HASH}" }}\n', "the catalog knows", 6, schema=False),
    Case("a word of the resolver", APP + "[models]\nauto = {}\n", "a word for the resolver", 6),
    Case("an unknown key of a model", APP + '[models]\nkokoro-82m = { url = "http://x" }\n', "no key 'url'", 6),
    Case("too many models", APP + "[models]\n" + "\n".join(f"m{number} = {{}}" for number in range(257)), "more than 256", 262),
    Case("a model as a list of tables", APP + "[[models]]\nname = 'kokoro-82m'\n", "not a table", 5),
    # What is no TOML, or what must not reach tomllib.
    Case("a key twice", APP + 'id = "a.b"\n', "app.id is there twice, first in line 2", 5, schema=False),
    Case("a table twice", APP + "[modalities]\n[models]\n[modalities]\n", "first in line 5", 7, schema=False),
    Case("a key twice in one line", "app = { id = 1, id = 2 }\n", "there twice", 1, schema=False),
    Case("a table that is a value", "[app]\nid = 1\n[app.id]\n", "cannot overwrite", 3, schema=False),
    Case("half a text", '[app]\nid = "com', "unterminated", 2, schema=False),
    Case("half a table", "[app\n", "not TOML", 1, schema=False),
    Case("a value missing", "[app]\nid =\n", "not TOML", 2, schema=False),
    Case("a NUL", "[app]\nid = '\0'\n", "not TOML", 2, schema=False),
    Case("JSON", '{"app": {"id": "a.b"}}', "not TOML", 1, schema=False),
    Case("deep lists", "[app]\nx = " + "[" * 3_000, "more than 8 deep", 2, schema=False),
    Case("deep tables", "[app]\nx = " + "{a=" * 900, "more than 8 deep", 2, schema=False),
    Case("a long dotted key", "a." * 1_900 + "a = 1\n", "more than 8 parts", 1, schema=False),
    Case("a long dotted header", "[" + "a." * 1_900 + "a]\n", "more than 8 parts", 1, schema=False),
    Case("a long line", "a." * 100_000 + "a = 1\n", "4,000 characters", 1, schema=False),
    Case("many keys", "\n".join(f"k{number} = 1" for number in range(5_000)), "more than 4,000 keys", 4001, schema=False),
    Case("a long list", "use = [\n" + "1,\n" * 5_000 + "]\n", "more than 4,000 values", 4001, schema=False),
    Case("huge", "# " + "x\n#" * 128_001, "more than 256,000 bytes", schema=False),
]  # fmt: skip
