from __future__ import annotations

from datetime import timedelta
from typing import Any


class SpeechCue:
    def __init__(self, seconds: float, start: int | None, end: int | None) -> None:
        self.start_time = timedelta(seconds=seconds)
        self.start_position_in_input = start
        self.end_position_in_input = end

    def as_(self, kind: type[Any], /) -> SpeechCue:
        assert kind is SpeechCue
        return self


class TimedMetadataTrack:
    def __init__(self, name: str, cues: list[SpeechCue]) -> None:
        self.id = name
        self.cues = cues
