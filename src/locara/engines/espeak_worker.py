"""espeak-ng in a program of its own: started by `locara.engines.espeak` as ``python -m locara.engines.espeak_worker``.

What may live here: the calls into the library, and nothing that others import. espeak-ng is GPL-3.0-or-later. This
program loads it; Locara itself (Apache-2.0) only starts the program and exchanges text and sound with it over pipes.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from locara.engines.frames import Call, serve

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: sound comes through the callback, while espeak_Synth runs
_DONT_EXIT = 0x8000  # else the library calls exit() when its data is not found
_CHUNK_MS = 60
_CHARS_UTF8 = 1
_WORD = 1  # espeakEVENT_WORD
_RATE, _PITCH = 1, 3  # espeak_PARAMETER
_IPA, _TIE = 0x02, 0x80  # phonememode: IPA; bits 8 to 23 are a character that ties
_PATH_BYTES = 150  # the library's own buffer has 160, its folder's name included


class _EspeakError(Exception):
    """Travels to the parent with its hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Name(ctypes.Union):
    _fields_: ClassVar = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


class _Voice(ctypes.Structure):
    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesiser:
    """The library's one global state; this process has one thread that enters it."""

    def __init__(self) -> None:
        self._library: Any = None
        self._callback = _Callback(self._chunk)  # kept: the library holds only its address
        self._call: Call | None = None
        self._error: BaseException | None = None
        self._rate = 0
        self._sent = 0

    def load(self, call: Call) -> Mapping[str, Any]:
        """Fields ``voice``, ``rate_wpm``, ``pitch``, ``data`` (or null). Replies with ``rate`` in hertz, ``version``."""
        import espeakng_loader

        data = str(call.fields.get("data") or espeakng_loader.get_data_path())
        if self._library is None:
            self._initialise(str(espeakng_loader.get_library_path()), data)
        library, voice = self._library, str(call.fields["voice"])
        if library.espeak_SetVoiceByName(voice.encode()) != 0 and not self._choose_language(voice):
            raise _EspeakError(f"espeak-ng has no voice {voice!r}", "try en-us, en-gb, de, fr-fr, es, it, pt-br or ru")
        library.espeak_SetParameter(_RATE, int(call.fields["rate_wpm"]), 0)
        library.espeak_SetParameter(_PITCH, int(call.fields["pitch"]), 0)
        library.espeak_Info.restype = ctypes.c_char_p
        return {"rate": self._rate, "version": library.espeak_Info(None).decode("utf-8", "replace")}

    def speak(self, call: Call) -> Mapping[str, Any]:
        """The payload is the text. Items: 16-bit PCM, and ``words`` as [sample, first character, length] of the whole
        text; the end says how many ``samples`` there were."""
        text = call.payload.decode("utf-8").replace("\0", " ")
        self._call, self._error, self._sent = call, None, 0
        data = text.encode() + b"\0"
        code = self._library.espeak_Synth(data, len(data), 0, 1, 0, _CHARS_UTF8, None, None)
        self._call = None
        if self._error is not None:
            raise self._error
        if code != 0 and not call.cancelled:
            raise _EspeakError(f"espeak-ng could not speak this text (code {code})", "shorten the text")
        return {"samples": self._sent}

    def phonemize(self, call: Call) -> Mapping[str, Any]:
        """The payload is a JSON list of texts. For each an item: a JSON list of clauses as [IPA, the text it was read
        from]. The field ``tie``, one character or empty, joins what belongs to one sound (``a^ɪ``). Of the text of a
        clause the last character may be the next one's first: the library looks ahead."""
        call_in = self._library.espeak_TextToPhonemes
        call_in.restype = ctypes.c_char_p
        call_in.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        tie = str(call.fields.get("tie") or "")
        mode = _IPA | (_TIE | ord(tie) << 8 if tie else 0)
        for text in json.loads(call.payload):
            buffer = ctypes.create_string_buffer(str(text).replace("\0", " ").encode("utf-8", "replace"))
            start = ctypes.addressof(buffer)
            at, read, clauses = ctypes.c_void_p(start), 0, []
            while at.value and not call.cancelled:
                said = call_in(ctypes.byref(at), _CHARS_UTF8, mode) or b""
                now = at.value - start if at.value else len(buffer.value)
                clauses.append((said.decode("utf-8", "replace"), buffer.value[read:now].decode("utf-8", "ignore")))
                read = now
            call.send(json.dumps(clauses).encode())
        return {}

    def _initialise(self, path: str, data: str) -> None:
        if not Path(data).is_dir():
            raise _EspeakError(
                f"espeak-ng's data folder {data!r} does not exist", "pip install --force-reinstall espeakng-loader"
            )
        size = len(data.encode())
        if size > _PATH_BYTES:
            raise _EspeakError(
                f"the path of espeak-ng's data folder has {size} bytes, it can handle {_PATH_BYTES}: {data!r}",
                "install Locara into a folder with a shorter path, or make a short link to the data folder"
                ' and name it with the option "data"',
            )
        library = ctypes.CDLL(path)
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        library.espeak_SetSynthCallback.argtypes = [_Callback]
        rate = int(library.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data.encode(), _DONT_EXIT))
        if rate <= 0:
            raise _EspeakError(
                f"espeak-ng could not read its data in {data!r} (code {rate})",
                "pip install --force-reinstall espeakng-loader",
            )
        library.espeak_SetSynthCallback(self._callback)
        self._library, self._rate = library, rate

    def _choose_language(self, code: str) -> bool:
        """A voice for exactly this language code (``en-gb`` is the code of a voice file called ``en``)."""
        wanted = _Voice(languages=code.lower().encode())
        if self._library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
            return False
        self._library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_Voice)
        # ``languages``: a priority byte and a code ended by a zero byte, repeated. The first is the voice's own.
        codes = self._library.espeak_GetCurrentVoice().contents.languages
        return bool(codes) and codes[1:].lower() == code.lower().encode()

    def _chunk(self, samples: Any, count: int, events: Any) -> int:
        """The library's callback, about 60 ms of sound each: 0 goes on, 1 stops."""
        call = self._call
        if call is None or call.cancelled:
            return 1
        try:
            words = []
            index = 0
            while events and (event := events[index]).type != 0:
                if event.type == _WORD:
                    # ``sample`` is exact, ``audio_position`` is rounded to milliseconds; characters count from 1.
                    words.append((event.sample, event.text_position - 1, event.length))
                index += 1
            sound = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
            if sound or words:
                call.send(sound, words=words)
            self._sent += count if sound else 0
        except BaseException as error:
            self._error = error
            return 1
        return 0


def main() -> None:
    """Serves until stdin ends."""
    engine = Synthesiser()
    serve({"load": engine.load, "speak": engine.speak, "phonemize": engine.phonemize})


if __name__ == "__main__":
    main()
