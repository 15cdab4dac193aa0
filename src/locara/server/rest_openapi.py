"""The REST part as an OpenAPI 3.1 document, made of the same numbers and names that requests are judged by. Pure.

What may live here: the description. tests/server/test_rest_openapi.py holds the routes and the answers to it.
"""

from __future__ import annotations

from typing import Any

from locara import __version__
from locara.server.rest_wanted import (
    GRANULARITIES,
    INPUT_CHARACTERS,
    MODEL_CHARACTERS,
    SOUND_FORMATS,
    SPEEDS,
    STREAM_FORMATS,
    TEXT_FORMATS,
)

Json = dict[str, Any]

_STATUSES = {
    400: "The request cannot be: the message says what is wrong and what would be right.",
    401: "The token is missing or wrong.",
    403: "Not from here: the Host or the Origin is not one of this server's, or the app may not use this model.",
    404: "There is no such model on this machine.",
    405: "This address takes another method.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is of another Content-Type than this address takes.",
    429: "Busy. Retry-After says in how many seconds to come again.",
    500: "The server or an engine failed.",
    503: "An engine did not answer in time.",
}


def document() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Locara REST",
            "version": __version__,
            "description": "Speech to text and text to speech on this machine, in the shapes of OpenAI's API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, "Model": _MODEL, "Transcription": _TRANSCRIPTION, "Verbose": _VERBOSE},
        },
    }


def _paths() -> Json:
    name = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "/v1/models": {
            "get": _operation(
                "listModels",
                "The models that can be run here now",
                {"application/json": {"schema": {
                    "type": "object",
                    "required": ["object", "data"],
                    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _ref("Model")}},
                }}},
                (401, 403, 500),
            )
        },
        "/v1/models/{model}": {
            "get": _operation(
                "getModel", "One model, by id or alias", {"application/json": {"schema": _ref("Model")}},
                (401, 403, 404, 500), parameters=[name],
            )
        },
        "/v1/audio/transcriptions": {"post": _transcriptions()},
        "/v1/audio/translations": {
            "post": {
                "operationId": "createTranslation",
                "summary": "Always refused: nothing here translates",
                "responses": _errors((400, 401, 403)),
            }
        },
        "/v1/audio/speech": {"post": _speech()},
    }  # fmt: skip


def _transcriptions() -> Json:
    text = {"type": "string"}
    properties = {
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "model": _MODEL_NAME,
        "response_format": {"enum": list(TEXT_FORMATS), "default": "json"},
        "timestamp_granularities[]": {"type": "array", "items": {"enum": list(GRANULARITIES)}},
        "language": {**text, "description": "A code, such as en or pt-BR. Left out: the one that is heard."},
        "stream": {"type": "boolean", "default": False},
        "prompt": {**text, "description": "Taken, and not used."},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "Taken, and not used."},
    }
    schema = {"type": "object", "required": ["file", "model"], "properties": properties}
    answer = {
        "application/json": {"schema": {"anyOf": [_ref("Transcription"), _ref("Verbose")]}},
        "text/plain": {"schema": text},
        "text/vtt": {"schema": text},
        "text/event-stream": {"schema": text},
    }
    return _operation(
        "createTranscription",
        "The words of a recording: WAV, FLAC, MP3 or Ogg Vorbis, at most 25 MiB",
        answer,
        (400, 401, 403, 404, 408, 413, 415, 429, 500, 503),
        body={"multipart/form-data": {"schema": schema}},
    )


def _speech() -> Json:
    name = {"type": "string", "maxLength": 64}
    optional = ["null"]
    schema = {
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": _MODEL_NAME,
            "input": {"type": "string", "minLength": 1, "maxLength": INPUT_CHARACTERS, "pattern": "\\S"},
            "voice": {"anyOf": [name, {"type": "object", "properties": {"id": name}}, {"type": "null"}]},
            "response_format": {"enum": [*SOUND_FORMATS, None], "default": "wav"},
            "speed": {"type": ["number", *optional], "minimum": SPEEDS[0], "maximum": SPEEDS[1], "default": 1},
            "stream_format": {"enum": [*STREAM_FORMATS, None], "default": "audio"},
            "instructions": {"description": "Taken, and not used."},
        },
    }
    sound = {"schema": {"type": "string", "contentMediaType": "audio/wav"}}
    answer = {"audio/wav": sound, "audio/pcm": sound, "text/event-stream": {"schema": {"type": "string"}}}
    return _operation(
        "createSpeech",
        "A text, spoken: 24 kHz, 16 bits, one channel; the first of it as soon as the first clause is spoken",
        answer,
        (400, 401, 403, 404, 408, 413, 415, 429, 500, 503),
        body={"application/json": {"schema": schema}},
    )


def _operation(
    name: str, summary: str, answer: Json, errors: tuple[int, ...], *, body: Json | None = None, parameters: Any = None
) -> Json:
    told: Json = {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": "Done.", "content": answer}, **_errors(errors)},
    }
    if body is not None:
        told["requestBody"] = {"required": True, "content": body}
    if parameters is not None:
        told["parameters"] = parameters
    return told


def _errors(statuses: tuple[int, ...]) -> Json:
    told: Json = {}
    for status in statuses:
        content = {"application/json": {"schema": _ref("Error")}}
        told[str(status)] = {"description": _STATUSES[status], "content": content}
    if 429 in statuses:
        told["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return told


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_MODEL_NAME: Json = {
    "description": "An id or alias of /v1/models; default, and OpenAI's own names, mean the default here.",
    "anyOf": [{"const": "default"}, {"type": "string", "minLength": 1, "maxLength": MODEL_CHARACTERS}],
}
_TEXT_OR_NONE = {"type": ["string", "null"]}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": {"type": "string"},
                "param": _TEXT_OR_NONE,
                "code": _TEXT_OR_NONE,
            },
        }
    },
}
_MODEL: Json = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by", "kind"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer", "description": "Always 0: not known."},
        "owned_by": {"type": "string"},
        "kind": {"enum": ["stt", "tts", "llm", "omni"]},
        "title": {"type": "string"},
        "licence": {"type": "string"},
        "flags": {"type": "array", "items": {"type": "string"}},
        "languages": {"type": "array", "items": {"type": "string"}},
        "status": {"enum": ["works", "experimental"]},
        "default": {"type": "boolean", "description": "Whether it is what is taken where nothing is named."},
    },
}
_USAGE: Json = {
    "type": "object",
    "required": ["type", "seconds"],
    "properties": {"type": {"const": "duration"}, "seconds": {"type": "number", "minimum": 0}},
}
_TRANSCRIPTION: Json = {
    "type": "object",
    "required": ["text", "usage"],
    "properties": {"text": {"type": "string"}, "usage": _USAGE},
}
_VERBOSE: Json = {
    "type": "object",
    "required": ["task", "language", "duration", "text", "usage"],
    "properties": {
        "task": {"const": "transcribe"},
        "language": {"type": "string"},
        "duration": {"type": "number", "minimum": 0},
        "text": {"type": "string"},
        "usage": _USAGE,
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
                    "no_speech_prob",
                ],
            },
        },
        "words": {"type": "array", "items": {"type": "object", "required": ["word", "start", "end"]}},
    },
}  # fmt: skip
