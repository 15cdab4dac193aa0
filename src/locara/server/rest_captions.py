"""A transcription in each form that it can be asked for: JSON, plain text, SubRip, WebVTT, events. Pure.

What may live here: text formats. https://www.w3.org/TR/webvtt1/ for WebVTT; SubRip has no standard, this is what players
read.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from locara.server.rest_wanted import TextWanted
from locara.transcribe import Segment

TYPES = {"json": "application/json", "verbose_json": "application/json", "text": "text/plain", "srt": "text/plain"}
"""Content types; WebVTT has its own."""
_LEAST_CONFIDENCE = 1e-6  # of which there is still a logarithm worth telling


def joined(segments: Sequence[Segment]) -> str:
    """The whole text."""
    return " ".join(segment.text.strip() for segment in segments)


def written(wanted: TextWanted, segments: Sequence[Segment], seconds: float, language: str) -> tuple[str, str]:
    """(body, content type). ``seconds``: how long the recording is."""
    match wanted.format:
        case "json":
            told = {"text": joined(segments), "usage": _usage(seconds)}
            return json.dumps(told, ensure_ascii=False), TYPES["json"]
        case "verbose_json":
            return json.dumps(_verbose(wanted, segments, seconds, language), ensure_ascii=False), TYPES["json"]
        case "text":
            return joined(segments) + "\n", TYPES["text"]
        case "srt":
            return _srt(segments), TYPES["srt"]
        case "vtt":
            return _vtt(segments), "text/vtt"


def event(data: Mapping[str, Any]) -> bytes:
    """A server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _usage(seconds: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(seconds, 3)}


def _verbose(wanted: TextWanted, segments: Sequence[Segment], seconds: float, language: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(seconds, 3),
        "text": joined(segments),
        "usage": _usage(seconds),
    }
    if wanted.segments:
        told["segments"] = [_segment(number, one) for number, one in enumerate(segments)]
    if wanted.words:
        told["words"] = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
            for one in segments
            for word in one.words
        ]
    return told


def _segment(number: int, one: Segment) -> dict[str, Any]:
    """OpenAI's fields are Whisper's. ``avg_logprob`` is the logarithm of our confidence, 0 where there is none."""
    raw = one.text.encode()
    confidence = 1.0 if one.confidence is None else max(_LEAST_CONFIDENCE, min(1.0, one.confidence))
    return {
        "id": number,
        "seek": round(one.start * 100),
        "start": round(one.start, 3),
        "end": round(one.end, 3),
        "text": one.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(confidence), 4),
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 3) if raw else 0.0,
        "no_speech_prob": 0.0,
    }


def _srt(segments: Sequence[Segment]) -> str:
    return "".join(
        f"{number}\n{_time(one.start, ',')} --> {_time(one.end, ',')}\n{_line(one.text)}\n\n"
        for number, one in enumerate(segments, 1)
    )


def _vtt(segments: Sequence[Segment]) -> str:
    cues = (f"{_time(one.start, '.')} --> {_time(one.end, '.')}\n{_escaped(_line(one.text))}\n\n" for one in segments)
    return "WEBVTT\n\n" + "".join(cues)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    """An empty line would end the caption."""
    return " ".join(text.split())


def _time(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
