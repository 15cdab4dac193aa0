"""Orpheus 3B as a voice: a language model that writes sound, served by any program that runs GGUF, and the SNAC decoder.

What may live here: the engine. The tokens come from the server's ``/v1/completions`` (llama-server, LM Studio, vLLM); what
they mean is `orpheus_frames`'. The decoder is the ONNX file of onnx-community/snac_24khz-ONNX (MIT), run here.

A second of speech is 82 tokens. What does not write that many a second (a 3B model on a CPU does not) stutters; ``info``
then says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from locara.audio import Samples
from locara.engines import onnx_runtime
from locara.engines.chat_wire import Events, reason_in
from locara.engines.contracts import EngineInfo, Speech, Voice
from locara.engines.lane import Lane, real_work
from locara.engines.local_servers import is_loopback
from locara.engines.orpheus_frames import FRAME_SAMPLES, FRAME_TOKENS, RATE, VOICES, Tokens, Window, Windows, prompt
from locara.errors import ConfigError, EngineFailed, EngineTimeout, ModelMissing, SessionError

if TYPE_CHECKING:
    import httpx

ENGINE = "orpheus"
MODELS = ("orpheus-3b", *(f"orpheus:{voice}" for voice in VOICES))
LICENCE = "Apache-2.0, and the Llama 3.2 Community License of its base; decoder MIT"
OPTIONS = (
    "engine", "path", "url", "served", "api_key", "voice", "temperature", "top_p", "repeat_penalty", "max_tokens",
    "timeout", "gap_timeout",
)  # fmt: skip

NEEDED_TOKENS = RATE / FRAME_SAMPLES * FRAME_TOKENS
"""Tokens a second for speech without gaps: 82."""

_DECODE_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_INPUTS = ("audio_codes.0", "audio_codes.1", "audio_codes.2")
_OUTPUT = "audio_values"
_FILES = ("decoder_model.onnx", "onnx/decoder_model.onnx", "decoder_model_fp16.onnx", "onnx/decoder_model_fp16.onnx")


@dataclass(frozen=True, slots=True)
class Settings:
    """What was understood. The sampling defaults are those of Orpheus' makers, who ask for a repeat penalty of at least
    1.1. ``max_tokens``: half a minute of speech, more than any clause. Times in seconds."""

    path: Path
    url: str
    served: str = ""
    api_key: str = field(default="", repr=False)
    voice: str = VOICES[0]
    temperature: float = 0.6
    top_p: float = 0.8
    repeat_penalty: float = 1.3
    max_tokens: int = 2400
    first: float = 10.0
    gap: float = 5.0


def create(model: str, options: Mapping[str, Any]) -> Voice | None:
    """The voice for ``orpheus-3b``, ``orpheus:leo`` and so on, or for any name with ``engine="orpheus"``.

    ``options``: ``url`` (the server, as far as ``/v1``), ``served`` (the model's name there, if it has several), ``path``
    (the decoder: ``decoder_model.onnx`` or its folder), ``api_key``, ``voice``, ``temperature``, ``top_p``,
    ``repeat_penalty``, ``max_tokens``, ``timeout``, ``gap_timeout`` (seconds to the first token, between tokens).
    Raises ``ConfigError`` and ``ModelMissing``.
    """
    if options.get("engine") != ENGINE and model != ENGINE and model not in MODELS and not model.startswith("orpheus:"):
        return None
    for name in options:
        if name not in OPTIONS:
            close = difflib.get_close_matches(name, OPTIONS, 1, 0.6)
            hint = f"did you mean {close[0]!r}?" if close else f"it knows: {', '.join(OPTIONS)}"
            raise ConfigError(f"tts: orpheus has no option {name!r}", hint=hint)
    if not isinstance(options.get("url"), str) or not str(options["url"]).startswith(("http://", "https://")):
        raise ConfigError(
            f"tts: {model} is spoken by a server that runs its GGUF, and none is named",
            hint='start one (llama-server -m orpheus-3b-0.1-ft-Q4_K_M.gguf --port 5005) and give url="http://127.0.0.1:5005/v1"',
        )
    if "path" not in options:
        raise ModelMissing(
            f"tts: the SNAC decoder of {model} is not on this machine",
            stage="tts",
            model=model,
            hint=f'`locara models pull {model}`, or give decoder_model.onnx of snac_24khz-ONNX as the option "path"',
        )
    voice = str(options.get("voice", model.partition(":")[2] or VOICES[0]))
    numbers = {name: _number(options, name, default) for name, default in _NUMBERS.items()}
    return Orpheus(
        Settings(
            path=Path(options["path"]).expanduser(),
            url=str(options["url"]).rstrip("/"),
            served=str(options.get("served", "")),
            api_key=str(options.get("api_key", "")),
            voice=voice,
            temperature=numbers["temperature"],
            top_p=numbers["top_p"],
            repeat_penalty=numbers["repeat_penalty"],
            max_tokens=int(numbers["max_tokens"]),
            first=numbers["timeout"],
            gap=numbers["gap_timeout"],
        )
    )


_NUMBERS = {
    "temperature": 0.6, "top_p": 0.8, "repeat_penalty": 1.3, "max_tokens": 2400, "timeout": 10.0, "gap_timeout": 5.0,
}  # fmt: skip


class Orpheus:
    """One voice of one served model. Several texts may be spoken at once, as far as the server does."""

    rate = RATE
    language = "en"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lane = Lane(ENGINE, stage="tts", model=settings.voice)
        self._decoder: Any = None
        self._client: httpx.AsyncClient | None = None
        self._closed = False
        self._speed = 0.0

    @property
    def info(self) -> EngineInfo:
        """With a warning where the server was too slow in `load`, or is elsewhere."""
        note = "" if is_loopback(self._settings.url) else "what is said leaves this machine as text; "
        if 0 < self._speed < NEEDED_TOKENS:
            note += f"slower than speech: {self._speed:.0f} tokens a second, {NEEDED_TOKENS:.0f} are needed"
        return EngineInfo(
            engine=ENGINE,
            model=f"orpheus:{self._settings.voice}",
            licence=LICENCE,
            device="chosen by the server",
            where=self._settings.url,
            note=note,
        )

    async def load(self) -> None:
        """Opens the decoder and says one word. Raises ``StageError``."""
        await self._lane.run(self._open_decoder, deadline=60.0)
        began, samples = time.perf_counter(), 0
        async for speech in self.speak("Hi."):
            samples += speech.samples.size
        if not samples:
            raise self._failed(
                f"wrote no sound for {self._settings.url}", "serve orpheus-3b-0.1-ft there; another model cannot speak"
            )
        self._speed = samples / FRAME_SAMPLES * FRAME_TOKENS / (time.perf_counter() - began)

    async def close(self) -> None:
        """Closes connections and the thread."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(TimeoutError), real_work():
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.aclose()
        self._lane.close()

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The speech of ``text``: 170 ms after 28 tokens, then 85 ms for every 7. Closing the iterator stops the server.
        Tags such as ``<laugh>`` and ``<sigh>`` are for the model."""
        if not text.strip():
            return
        tokens, windows = Tokens(), Windows()
        async with contextlib.aclosing(self._pieces(text)) as pieces:
            async for piece in pieces:
                for code in tokens.push(piece):
                    if (window := windows.push(code)) is not None:
                        yield Speech(await self._decode(window))
        if (window := windows.flush()) is not None:
            yield Speech(await self._decode(window))
        elif tokens.others:
            raise self._failed(
                "wrote text instead of sound", "serve orpheus-3b-0.1-ft there; another model cannot speak"
            )

    async def _decode(self, window: Window) -> Samples:
        def work() -> Samples:
            (sound,) = self._decoder.run([_OUTPUT], dict(zip(_INPUTS, window.books(), strict=True)))
            flat: Samples = np.asarray(sound, dtype=np.float32).reshape(-1)
            return flat[window.start : window.stop]

        return await self._lane.run(work, deadline=_DECODE_SECONDS)

    def _open_decoder(self) -> None:
        if self._decoder is not None:
            return
        path = self._settings.path
        if path.is_dir():
            path = next((path / name for name in _FILES if (path / name).is_file()), path / _FILES[0])
        hint = "give decoder_model.onnx of onnx-community/snac_24khz-ONNX"
        runtime = onnx_runtime.library(stage="tts", model=ENGINE, extra="orpheus")
        decoder = onnx_runtime.session(runtime, path, stage="tts", model=ENGINE, hint=hint)
        names = {one.name for one in decoder.get_inputs()}
        if names != set(_INPUTS) or _OUTPUT not in {one.name for one in decoder.get_outputs()}:
            raise EngineFailed(
                f"tts: {path} is no SNAC decoder of 24 kHz: it takes {', '.join(sorted(names)) or 'nothing'}",
                stage="tts",
                model=ENGINE,
                hint=hint,
            )
        self._decoder = decoder

    # --- the server ---------------------------------------------------------------------------------------------------

    async def _pieces(self, text: str) -> AsyncGenerator[str]:
        """What the model writes, piece by piece."""
        settings = self._settings
        body = {
            "prompt": prompt(settings.voice, text),
            "stream": True,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "repeat_penalty": settings.repeat_penalty,
            "repetition_penalty": settings.repeat_penalty,  # as vLLM names it
            "max_tokens": settings.max_tokens,
            "stop": ["<custom_token_2>"],  # the end of speech
            **({"model": settings.served} if settings.served else {}),
        }
        client = self._open()
        request = client.build_request("POST", f"{settings.url}/completions", json=body)
        response = await self._wait(client.send(request, stream=True), settings.first)
        try:
            if response.status_code != 200:
                said = (await self._wait(response.aread(), settings.gap)).decode("utf-8", "replace")
                raise self._failed(
                    f"was refused by {settings.url}: {response.status_code} {reason_in(said)}".rstrip(),
                    "look at the server's log, and at the address: it ends where /completions begins, mostly in /v1",
                )
            events, left = Events(), settings.first
            blocks = aiter(response.aiter_bytes())
            while (block := await self._wait(anext(blocks, None), left)) is not None:
                left = settings.gap
                for data in events.push(block):
                    if data == "[DONE]":
                        return
                    yield self._text(data)
        finally:
            with contextlib.suppress(TimeoutError), real_work():
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await response.aclose()

    def _text(self, data: str) -> str:
        try:
            event = json.loads(data)
            if isinstance(event, Mapping) and event.get("error"):
                raise self._failed(f"failed while it spoke: {reason_in(data)}", "look at the server's log")
            choices = event.get("choices") or [{}]
            return str(choices[0].get("text") or "")
        except (ValueError, AttributeError, IndexError, TypeError):
            raise self._failed("sent what is no completion", "is this an OpenAI-compatible server?") from None

    def _open(self) -> httpx.AsyncClient:
        if self._closed or self._decoder is None:
            raise SessionError(
                f"the tts engine is {'closed' if self._closed else 'not loaded'}", hint="start a new session"
            )
        if self._client is None:
            import httpx

            from locara.engines import loopback_http

            here = is_loopback(self._settings.url)
            key = self._settings.api_key
            self._client = loopback_http.client(  # every wait stands in asyncio.timeout
                trust_env=not here,
                verify=self._settings.url.startswith("https"),
                headers={"Authorization": f"Bearer {key}"} if key else None,
                limits=httpx.Limits(max_keepalive_connections=0 if here else None),
            )
        return self._client

    async def _wait(self, awaitable: Any, seconds: float) -> Any:
        import httpx

        from locara.engines.loopback_http import mended

        try:
            with real_work():
                async with asyncio.timeout(seconds):
                    return await awaitable
        except TimeoutError:
            raise EngineTimeout(
                f"tts: orpheus: {self._settings.url} sent nothing for {seconds:g} s",
                stage="tts",
                model=ENGINE,
                hint="it is too slow for this machine or it hangs; choose another voice",
            ) from None
        except httpx.HTTPError as error:
            raise self._failed(
                f"cannot be heard from {self._settings.url}: {str(error) or type(error).__name__}",
                mended(error, "start the server (llama-server -m orpheus-3b-0.1-ft-Q4_K_M.gguf), or check the address"),
            ) from None

    def _failed(self, what: str, hint: str) -> EngineFailed:
        return EngineFailed(f"tts: orpheus {what}", stage="tts", model=ENGINE, hint=hint)


def _number(options: Mapping[str, Any], name: str, default: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e5:
        raise ConfigError(f"tts: {name}={value!r} is no number", hint=f"leave {name} out for {default:g}")
    return float(value)
