from __future__ import annotations

import os
import re
import struct
import time
from typing import Any

from winrt.windows.media.core import SpeechCue, TimedMetadataTrack
from winrt.windows.storage.streams import Operation

FAULT = os.environ.get("FAKE_WINRT", "")
RATE = 16_000


class VoiceInformation:
    def __init__(self, name: str, language: str) -> None:
        self.id = f"HKEY_LOCAL_MACHINE\\Speech_OneCore\\{name}"
        self.display_name = f"Microsoft {name}"
        self.language = language


VOICES = [VoiceInformation("David", "en-US"), VoiceInformation("Hazel", "en-GB"), VoiceInformation("Hedda", "de-DE")]


class SpeechSynthesisStream:
    """A word is a tenth of a second."""

    def __init__(self, text: str, marks: bool) -> None:
        found = list(re.finditer(r"\S+", text))
        rate = RATE if FAULT != "changes-rate" or text == "Ready now." else 22_050
        sound = struct.pack("<h", 3_000) * (RATE // 10 * len(found))
        header = b"RIFF" + struct.pack("<I", 36 + len(sound)) + b"WAVEfmt "
        header += struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16) + b"data" + struct.pack("<I", len(sound))
        self._data = b"<html>" if FAULT == "no-wav" else header + sound
        self.size = len(self._data)
        cues = []
        for index, word in enumerate(found):
            start, end = (len(text[:at].encode("utf-16-le")) // 2 for at in word.span())
            cues.append(SpeechCue(index / 10, start, end - 1))
        self.timed_metadata_tracks = [TimedMetadataTrack("SpeechWord", cues)] if marks and FAULT != "no-marks" else []

    def get_input_stream_at(self, position: int, /) -> bytes:
        return self._data[position:]

    def close(self) -> None:
        self._data = b""


class SpeechSynthesizerOptions:
    speaking_rate = 1.0
    audio_pitch = 1.0
    include_word_boundary_metadata = False


class _Static(type):
    @property
    def all_voices(cls) -> list[VoiceInformation]:
        return [] if FAULT == "no-voices" else VOICES


class SpeechSynthesizer(metaclass=_Static):
    def __init__(self) -> None:
        self.voice = VOICES[0]
        self.options = SpeechSynthesizerOptions()

    def synthesize_text_to_stream_async(self, text: str, /) -> Any:
        if FAULT == "dies" and "die" in text:
            os._exit(7)
        if FAULT == "hangs" and "hang" in text:
            time.sleep(60)
        if FAULT == "fails" and "fail" in text:
            return Operation(OSError("[WinError -2147023170] The remote procedure call failed"))
        return Operation(SpeechSynthesisStream(text, self.options.include_word_boundary_metadata))
