"""What is offered over Wyoming, as its ``info`` event says it. Pure.

What may live here: this one event. Home Assistant shows what is in it, and offers a language only where a model names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from locara import __version__
from locara.server.wyoming_wire import Event

Json = dict[str, Any]

_LOCARA = {"name": "The Locara authors", "url": ""}


def info(models: Iterable[Mapping[str, Any]]) -> Event:
    """``models``: as `locara.server.rest_models.Models.listed` gives them. The default of each kind comes first: it is what
    clients take."""
    found = sorted(models, key=lambda model: not model.get("default"))
    asr = [_artifact(model) for model in found if model["kind"] == "stt"]
    tts = [{**_artifact(model), "speakers": None} for model in found if model["kind"] == "tts"]
    told: Json = {"asr": [], "tts": [], "handle": [], "intent": [], "wake": [], "mic": [], "snd": []}
    if asr:
        told["asr"] = [
            {
                **_program("Speech to text on this machine"),
                "models": asr,
                "supports_transcript_streaming": True,
                "requires_external_vad": True,  # a transcript ends where the client says so
                "prefers_auto_gain_enabled": False,
                "prefers_noise_reduction_enabled": False,
            }
        ]
    if tts:
        told["tts"] = [
            {
                **_program("Text to speech on this machine"),
                "voices": tts,
                "supports_synthesize_streaming": True,
            }
        ]
    return Event("info", told)


def _program(description: str) -> Json:
    return {
        "name": "locara",
        "attribution": _LOCARA,
        "installed": True,
        "description": description,
        "version": __version__,
    }


def _artifact(model: Mapping[str, Any]) -> Json:
    return {
        "name": model["id"],
        "attribution": {"name": str(model.get("licence", "")) or "unknown", "url": ""},
        "installed": True,
        "description": str(model.get("title", model["id"])),
        "version": None,
        "languages": list(model.get("languages", ())),
    }
