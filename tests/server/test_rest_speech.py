"""``POST /v1/audio/speech``, over a real connection."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.server.rest_server import serving

from locara.audio import from_pcm16
from locara.devices.wav import read_wav
from locara.engines.contracts import EngineInfo, Speech
from locara.gate.limiter import CEILING
from locara.server.rest_sound import RATE
from locara.testing import Fault, ScriptedVoice

URL = "/v1/audio/speech"
ASKED = {"model": "tts-1", "voice": "alloy", "input": "Good morning. It is nine."}


class Loud:
    """A voice that is a square wave at full scale. ``gate``: opened before each sentence but the first."""

    info = EngineInfo("loud", "loud", "Apache-2.0")
    rate = 16_000

    def __init__(self) -> None:
        self.spoken: list[str] = []
        self.gate = asyncio.Event()
        self.left = asyncio.Event()

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        self.spoken.append(text)
        try:
            if len(self.spoken) > 1:
                await self.gate.wait()
            yield Speech(np.sign(np.sin(np.arange(16_000) * 0.2 + 0.1)).astype(np.float32))
        finally:
            self.left.set()


def one(tts: Any = None, **fields: Any) -> tuple[int, str, bytes]:
    async def go() -> tuple[int, str, bytes]:
        async with (
            serving(**({"tts": tts} if tts else {})) as client,
            client.post(URL, json={**ASKED, **fields}) as response,
        ):
            return response.status, response.content_type, await response.read()

    return asyncio.run(go())


def test_a_wav_can_be_read_although_its_length_was_not_known_when_it_began(tmp_path: Path) -> None:
    status, kind, data = one()
    assert (status, kind) == (200, "audio/wav")
    (tmp_path / "said.wav").write_bytes(data)
    samples, rate = read_wav(tmp_path / "said.wav")
    assert rate == RATE
    assert samples.size / rate == pytest.approx(len(ASKED["input"]) / 15, abs=0.15)


def test_pcm_is_the_same_samples_without_a_header() -> None:
    _, kind, pcm = one(response_format="pcm")
    assert kind == "audio/pcm"
    assert one()[2][44:] == pcm


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_length_and_not_the_pitch(speed: float) -> None:
    normal = from_pcm16(one(response_format="pcm")[2])
    other = from_pcm16(one(response_format="pcm", speed=speed)[2])
    assert other.size / normal.size == pytest.approx(1 / speed, rel=0.05)
    assert abs(_pitch(other) - _pitch(normal)) < 5


def _pitch(samples: Any) -> float:
    piece = samples[2400 : 2400 + 9600]
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(piece.size)))
    return float(np.argmax(spectrum) * RATE / piece.size)


def test_nothing_leaves_louder_than_the_gate_lets_it() -> None:
    samples = from_pcm16(one(Loud(), input="Loud.", response_format="pcm")[2])
    assert np.abs(samples).max() <= CEILING + 1e-3
    assert np.sqrt(np.mean(samples[RATE // 2 :] ** 2)) < 0.6  # a square wave at that ceiling has 0.89


def test_the_first_sentence_is_sent_before_the_second_is_spoken() -> None:
    async def go() -> tuple[int, int, int]:
        tts = Loud()
        async with serving(tts=tts) as client, client.post(URL, json=ASKED) as response:
            first = await asyncio.wait_for(response.content.readexactly(30_000), 10)
            spoken = len(tts.spoken)
            tts.gate.set()
            return len(first), spoken, len(await response.read())

    first, spoken, rest = asyncio.run(go())
    assert first == 30_000
    assert spoken == 2  # the second waits at the gate
    assert rest > 50_000


def test_events_carry_the_same_sound() -> None:
    _, kind, raw = one(stream_format="sse", response_format="pcm")
    assert kind == "text/event-stream"
    events = [json.loads(line.removeprefix(b"data: ")) for line in raw.splitlines() if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1]["type"] == "speech.audio.done"
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == one(response_format="pcm")[2]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": ""}, 400, "input"),
        ({"input": "a" * 4097}, 400, "input"),
        ({"input": 7}, 400, "input"),
        ({"input": "..."}, 400, "input"),
        ({"model": None}, 400, "model"),
        ({"model": "tts-9"}, 404, "model"),
        ({"model": "whisper-tiny.en"}, 400, "model"),
        ({"response_format": "mp3"}, 400, "response_format"),
        ({"speed": 9}, 400, "speed"),
        ({"speed": "fast"}, 400, "speed"),
        ({"speed": True}, 400, "speed"),
        ({"stream_format": "udp"}, 400, "stream_format"),
        ({"voice": "../../etc/passwd"}, 400, "voice"),
        ({"voice": 7}, 400, "voice"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], status: int, param: str) -> None:
    got, kind, raw = one(**fields)
    assert (got, kind) == (status, "application/json")
    assert json.loads(raw)["error"]["param"] == param


def test_another_format_is_refused_with_those_that_work() -> None:
    assert "wav, pcm" in json.loads(one(response_format="mp3")[2])["error"]["message"]


def test_a_voice_that_fails_before_the_first_sound_is_an_error_with_a_status() -> None:
    status, _, raw = one(ScriptedVoice(first_chunk=0.01, fault=Fault("raises", "speak")))
    assert status == 500
    assert json.loads(raw)["error"]["code"] == "internal_error"


def test_a_voice_that_fails_later_breaks_the_connection_off() -> None:
    async def go() -> str:
        tts = ScriptedVoice(first_chunk=0.01, speed=1000, fault=Fault("raises", "chunk", 3))
        async with serving(tts=tts) as client, client.post(URL, json=ASKED) as response:
            try:
                await response.read()
            except Exception as error:
                return type(error).__name__
            return "whole"

    assert asyncio.run(go()) in ("ClientPayloadError", "ClientOSError", "ServerDisconnectedError")


def test_a_client_that_leaves_stops_the_voice() -> None:
    async def go() -> int:
        tts = Loud()
        async with serving(tts=tts) as client:
            async with client.post(URL, json=ASKED) as response:
                await response.content.readexactly(1000)
                tts.left.clear()
            async with asyncio.timeout(20):
                await tts.left.wait()
            tts.gate.set()
            async with client.post(URL, json=ASKED) as response:
                return response.status

    assert asyncio.run(go()) == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"input": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b" " * 200_000, "application/json", 413),
        (json.dumps(ASKED).encode(), "text/plain", 415),
        (b"", "application/json", 400),
    ],
)
def test_a_body_that_is_no_json_is_refused(body: bytes, kind: str, status: int) -> None:
    async def go() -> tuple[int, Any]:
        async with serving() as client, client.post(URL, data=body, headers={"Content-Type": kind}) as response:
            return response.status, await response.json()

    got, told = asyncio.run(go())
    assert got == status
    assert told["error"]["message"]
