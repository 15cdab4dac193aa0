"""What a REST request asks for, checked: fields in, frozen values out, or a refusal that says what would be right. Pure.

What may live here: the fields of OpenAI's ``audio/transcriptions`` and ``audio/speech`` (as of openai 3.54.0), which of them
mean something here, and their limits.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from locara.server.rest_errors import wrong

INPUT_CHARACTERS = 4096
"""Of a text to be spoken, as OpenAI's limit."""
MODEL_CHARACTERS = 200
SPEEDS = (0.25, 4.0)

TextFormat = Literal["json", "text", "verbose_json", "srt", "vtt"]
TEXT_FORMATS: tuple[TextFormat, ...] = ("json", "text", "verbose_json", "srt", "vtt")
SoundFormat = Literal["wav", "pcm"]
SOUND_FORMATS: tuple[SoundFormat, ...] = ("wav", "pcm")
STREAM_FORMATS = ("audio", "sse")
GRANULARITIES = ("word", "segment")

HINTS_OF_TEXT = (
    "prompt", "temperature", "include", "chunking_strategy", "keywords", "languages", "known_speaker_names",
    "known_speaker_references",
)  # fmt: skip
"""Fields of a transcription that only guide a model, or that no engine here knows: taken, and left unused."""
HINTS_OF_SPEECH = ("instructions",)

TEXT_FIELDS = ("model", "response_format", "timestamp_granularities", "language", "stream", *HINTS_OF_TEXT)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}")
_VOICE = re.compile(r"[\w][\w .+()-]{0,63}")  # a name, never the path of a file


@dataclass(frozen=True, slots=True)
class TextWanted:
    """A transcription. ``language``: a code, "" for the one that is heard. ``unused``: fields that change nothing."""

    model: str
    format: TextFormat = "json"
    words: bool = False
    segments: bool = True
    language: str = ""
    stream: bool = False
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechWanted:
    """A text to be spoken. ``voice``: "" for the model's own. ``events``: as server-sent events, not as plain bytes."""

    model: str
    text: str
    voice: str = ""
    format: SoundFormat = "wav"
    speed: float = 1.0
    events: bool = False
    unused: tuple[str, ...] = ()


def text_wanted(fields: Mapping[str, Sequence[str]]) -> TextWanted:
    """``fields``: name (without ``[]``) -> the values it came with. Raises ``Refused``."""

    def one(name: str) -> str:
        return fields[name][-1].strip() if fields.get(name) else ""

    form = _one_of("response_format", one("response_format") or "json", TEXT_FORMATS)
    granularities = [value.strip() for value in fields.get("timestamp_granularities", ())]
    for value in granularities:
        _one_of("timestamp_granularities", value, GRANULARITIES)
    if granularities and form != "verbose_json":
        raise wrong("timestamp_granularities are only in verbose_json: set response_format so", "response_format")
    stream = _flag("stream", one("stream"))
    if stream and form not in ("json", "text"):
        raise wrong(f"stream sends text alone: response_format {form!r} comes only as a whole", "response_format")
    if given := one("temperature"):
        _number("temperature", given, 0.0, 1.0)
    return TextWanted(
        model=_model(one("model")),
        format=cast(TextFormat, form),
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        language=_language(one("language")),
        stream=stream,
        unused=tuple(name for name in HINTS_OF_TEXT if fields.get(name)),
    )


def speech_wanted(given: Any) -> SpeechWanted:
    """``given``: the decoded JSON of the body. Raises ``Refused``."""
    if not isinstance(given, Mapping):
        raise wrong("the body must be a JSON object")
    text = given.get("input")
    if not isinstance(text, str) or not text.strip():
        raise wrong("input must be the text to speak", "input")
    if len(text) > INPUT_CHARACTERS:
        raise wrong(
            f"input has {len(text)} characters; {INPUT_CHARACTERS} are the most: send it in parts",
            "input",
            code="string_above_max_length",
        )
    if not isinstance(model := given.get("model"), str):
        raise wrong('model must be a string, such as "tts-1" or an id of /v1/models', "model")
    form = given.get("response_format")
    stream = given.get("stream_format")
    return SpeechWanted(
        model=_model(model.strip()),
        text=text,
        voice=_voice(given.get("voice")),
        format=cast(SoundFormat, _one_of("response_format", "wav" if form is None else form, SOUND_FORMATS)),
        speed=_number("speed", 1.0 if (speed := given.get("speed")) is None else speed, *SPEEDS),
        events=_one_of("stream_format", "audio" if stream is None else stream, STREAM_FORMATS) == "sse",
        unused=tuple(name for name in HINTS_OF_SPEECH if given.get(name)),
    )


def _model(name: str) -> str:
    if not name:
        raise wrong('model is missing: an id of /v1/models, or "default"', "model")
    if len(name) > MODEL_CHARACTERS or not name.isprintable():
        raise wrong(f"model is no name: at most {MODEL_CHARACTERS} printable characters", "model")
    return name


def _voice(given: Any) -> str:
    """A voice's name; OpenAI's custom voices come as ``{"id": name}``."""
    name = given.get("id") if isinstance(given, Mapping) else given
    if name is None:
        return ""
    if not isinstance(name, str) or (name and (not _VOICE.fullmatch(name) or ".." in name)):
        raise wrong('voice must be a name, such as "alloy" or one that the model knows', "voice")
    return name


def _language(code: str) -> str:
    if code and not _LANGUAGE.fullmatch(code):
        raise wrong(f"language {code[:20]!r} is no code: use one such as en or pt-BR", "language")
    return code.replace("_", "-")


def _one_of(name: str, value: Any, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise wrong(f"{name} {str(value)[:40]!r} is not offered here: use {', '.join(known)}", name)
    return value


def _number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not low <= number <= high:
        raise wrong(f"{name} must be a number from {low:g} to {high:g}", name)
    return number


def _flag(name: str, value: str) -> bool:
    """A boolean in a form: clients write it in each of these ways."""
    word = value.lower()
    if word not in ("", "true", "false", "1", "0"):
        raise wrong(f"{name} must be true or false", name)
    return word in ("true", "1")
