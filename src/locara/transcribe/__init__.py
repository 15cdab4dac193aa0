"""Speech to text alone: a file, or sound as it comes.

    text = (await transcribe.from_file("interview.wav", stt="whisper-base.en")).text

    async for segment in transcribe.stream(microphone(), 48_000):
        print(segment.text, end="\\n" if segment.final else "\\r")

Both cut the sound at pauses and recognise piece by piece, so a long file needs no more memory than a short one. Whoever
transcribes often keeps the models loaded: ``async with transcribe.transcriber(stt=...) as one: await one.from_file(...)``.
"""

from __future__ import annotations

from locara.transcribe.transcribing import Segment, Transcriber, Transcription, from_file, stream, transcriber

__all__ = ["Segment", "Transcriber", "Transcription", "from_file", "stream", "transcriber"]
