"""Text to speech alone: to samples, or to a speaker.

    sound = await speech.synthesize("The kettle is on.", tts="kokoro-82m")

    async for piece in speech.stream(tokens()):      # text as it is written, speech as it is ready
        player.write(piece.samples)

    await speech.say("The kettle is on.")            # through the speaker gate

What is written is made speakable first (no markdown, links, code or emoji is read aloud) and spoken clause by clause, as
in a session. Whoever speaks often keeps the voice loaded: ``async with speech.speaker(tts=...) as one: await one.say(...)``.
"""

from __future__ import annotations

from locara.speech.speaking import Piece, Sound, Speaker, say, speaker, stream, synthesize

__all__ = ["Piece", "Sound", "Speaker", "say", "speaker", "stream", "synthesize"]
