"""The voices of Windows in a process of their own: started by `locara.engines.windows_tts`.

What may live here: the calls into Windows.Media.SpeechSynthesis, and nothing that others import. The names are those of the
projection winrt-Windows.Media.SpeechSynthesis 4!10.0.28000 (its type stubs were read and checked against). Experimental:
nobody has run this on Windows.

Windows makes the sound of a whole text before it gives any: send sentences.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from locara.engines.frames import Call, serve
from locara.engines.wav_header import Format, wav_format

_PIECE = 8_192  # bytes of sound in one frame, at most 0.25 s at 16 kHz


class _VoiceError(Exception):
    """Travels to the parent with its hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def choose(voices: Sequence[Any], voice: str, language: str) -> Any:
    """The voice with this name, else the first for this language (``en`` is any English), else None: the system's own.

    Raises ``_VoiceError`` when what was asked for is not installed.
    """
    known = ", ".join(f"{one.display_name} ({one.language})" for one in voices) or "none"
    if voice:
        wanted = voice.lower()
        for one in voices:
            if wanted in (
                one.id.lower(),
                one.display_name.lower(),
                one.display_name.lower().removeprefix("microsoft "),
            ):
                return one
        raise _VoiceError(
            f"Windows has no voice {voice!r}", f"it has {known}; more are in Settings > Time & language > Speech"
        )
    if language:
        wanted = language.lower()
        for exact in (True, False):
            for one in voices:
                code = one.language.lower()
                if code == wanted or (not exact and code.split("-")[0] == wanted.split("-")[0]):
                    return one
        raise _VoiceError(
            f"Windows has no voice for {language!r}",
            f"it has {known}; add the language in Settings > Time & language > Language & region, with its speech",
        )
    return None


class Synthesiser:
    """One synthesiser; this process has one thread that enters it."""

    def __init__(self) -> None:
        self._synthesizer: Any = None

    def load(self, call: Call) -> Mapping[str, Any]:
        """Fields ``voice``, ``language``, ``rate``, ``pitch``. Replies with the voice's ``language`` and ``name``."""
        from winrt.runtime import ApartmentType, init_apartment
        from winrt.windows.media.speechsynthesis import SpeechSynthesizer

        if self._synthesizer is None:
            with contextlib.suppress(OSError):  # this thread may be in an apartment already
                init_apartment(ApartmentType.MULTI_THREADED)
            self._synthesizer = SpeechSynthesizer()
        voices = list(SpeechSynthesizer.all_voices)
        if not voices:
            raise _VoiceError("Windows has no voice at all", "add one in Settings > Time & language > Speech")
        chosen = choose(voices, str(call.fields["voice"]), str(call.fields["language"]))
        if chosen is not None:
            self._synthesizer.voice = chosen
        options = self._synthesizer.options
        options.speaking_rate = float(call.fields["rate"])
        options.audio_pitch = float(call.fields["pitch"])
        options.include_word_boundary_metadata = True
        now = self._synthesizer.voice
        return {"language": now.language, "name": now.display_name}

    def speak(self, call: Call) -> Mapping[str, Any]:
        """The payload is the text. Items: 16-bit PCM with ``rate``; the first has ``words`` as [seconds, start, end] in
        UTF-16 positions."""
        from winrt.windows.storage.streams import DataReader

        stream = self._synthesizer.synthesize_text_to_stream_async(
            call.payload.decode("utf-8").replace("\0", " ")
        ).get()
        try:
            size = int(stream.size)
            reader = DataReader(stream.get_input_stream_at(0))
            try:
                got = int(reader.load_async(size).get())
                data = bytearray(got)
                reader.read_bytes(data)
            finally:
                reader.close()
            words = _words(stream)
        finally:
            stream.close()
        form = wav_format(bytes(data[:4096]))
        if form is None:
            if not data:
                return {}
            raise _VoiceError("Windows gave no sound that can be read", "choose another voice")
        self._send(call, form, data, words)
        return {}

    def _send(self, call: Call, form: Format, data: bytearray, words: list[tuple[float, int, int]]) -> None:
        for start in range(form.size, len(data) - 1, _PIECE):
            if call.cancelled:
                return
            piece = bytes(data[start : start + _PIECE])
            call.send(piece[: len(piece) // 2 * 2], rate=form.rate, words=words)
            words = []


def _words(stream: Any) -> list[tuple[float, int, int]]:
    """Where words begin. Not every voice tells; nothing that goes wrong here may cost the sound."""
    found: list[tuple[float, int, int]] = []
    try:
        from winrt.windows.media.core import SpeechCue

        for track in stream.timed_metadata_tracks:
            if track.id != "SpeechWord":
                continue
            for cue in track.cues:
                word = cue.as_(SpeechCue)
                start, end = word.start_position_in_input, word.end_position_in_input
                if start is not None and end is not None:
                    found.append((word.start_time.total_seconds(), int(start), int(end) + 1))
    except Exception:  # no such package, no such interface, no such track: then there are no marks
        return []
    return sorted(found)


def main() -> None:
    """Serves until stdin ends."""
    engine = Synthesiser()
    serve({"load": engine.load, "speak": engine.speak})


if __name__ == "__main__":
    main()
