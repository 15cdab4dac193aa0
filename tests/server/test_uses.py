"""REST and Wyoming under the switch for all sound, and in the log of what used microphone and speaker."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.server.ipc_running import soon
from tests.server.rest_server import Telling, serving, tones, wav
from tests.server.test_rest_speech import ASKED, URL, Loud
from tests.server.test_wyoming import FORM, SOUND, Client, connected

from locara.consent.audit import default_audit
from locara.gate.switch import Switch, default_switch
from locara.server import wyoming_session
from locara.server.uses import REST, WYOMING


@pytest.fixture(autouse=True)
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Switch:
    monkeypatch.setenv("LOCARA_SWITCH", str(tmp_path / "muted"))
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))
    return default_switch()


def logged(app: str) -> list[str]:
    return [one.what for one in default_audit().entries() if one.app == app]


def test_while_muted_nothing_is_spoken_and_no_engine_is_asked(switch: Switch) -> None:
    async def go() -> None:
        tts = Loud()
        async with serving(tts=tts) as client:
            switch.mute()
            async with client.post(URL, json=ASKED) as answer:
                told = await answer.json()
                assert answer.status == 403
            assert told["error"]["code"] == "sound-muted"
            assert "locara unmute" in told["error"]["message"]
            assert not tts.spoken
            switch.unmute()
            async with client.post(URL, json={**ASKED, "input": "One."}) as answer:
                assert answer.status == 200

    asyncio.run(go())


def test_muting_ends_speech_that_is_being_sent(switch: Switch) -> None:
    async def go() -> tuple[int, list[str]]:
        tts = Loud()
        async with serving(tts=tts) as client:
            got = 0
            async with client.post(URL, json=ASKED) as answer:
                got += len(await answer.content.readany())
                switch.mute()
                tts.gate.set()
                with pytest.raises(aiohttp.ClientError):  # cut off
                    got += len(await answer.content.read())
            await asyncio.wait_for(tts.left.wait(), 10)
            return got, logged(REST.id)

    got, lines = asyncio.run(go())
    assert 0 < got < 2 * 1.1 * 24_000, "of the second sentence nothing was sent"
    assert lines == ["allowed", "speaker-opened", "session-started", "models", "speaker-closed", "session-ended"]


def test_a_file_that_was_recorded_before_is_transcribed_while_muted(switch: Switch) -> None:
    async def go() -> int:
        switch.mute()
        async with serving() as client:
            form: dict[str, Any] = {"file": io.BytesIO(wav(tones(0.8))), "model": "whisper-1"}
            async with client.post("/v1/audio/transcriptions", data=form) as answer:
                return answer.status

    assert asyncio.run(go()) == 200


def test_muting_ends_what_a_satellite_hears_and_says(switch: Switch) -> None:
    async def go() -> None:
        async with connected() as (connect, _):
            client = await connect()
            await client.say("audio-start", **FORM)
            await client.say("audio-chunk", SOUND[:2048], **FORM)
            await soon(lambda: "microphone-opened" in logged(WYOMING.id))
            switch.mute()
            await client.say("audio-chunk", SOUND[2048:4096], **FORM)
            told = await client.until("error", "transcript")
            assert told[-1].type == "error"
            assert told[-1].data["code"] == "sound-muted"
            other = await connect()
            await other.say("synthesize", text="Good morning.")
            assert [one.type for one in await other.until("error", "audio-stop")] == ["error"]
            switch.unmute()
            third = await connect()
            await third.record()
            assert (await third.until("error", "transcript"))[-1].type == "transcript"

    asyncio.run(go())
    lines = logged(WYOMING.id)
    assert lines.count("microphone-opened") == lines.count("microphone-closed") == 2


def test_pings_do_not_keep_an_engine_for_a_recording_that_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wyoming_session, "IDLE_SECONDS", 0.3)

    async def go() -> None:
        async with connected(stt=Telling()) as (connect, services):
            client = await connect()
            await client.say("audio-start", **FORM)
            for _ in range(20):
                await client.say("ping", text="x")
                if "error" in [one.type for one in await client.until("pong", "error")]:
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("it has the engine for ever")
            assert services.working == 0

    asyncio.run(go())


def test_a_server_that_stops_takes_no_satellite_and_lets_one_finish() -> None:
    async def go() -> None:
        async with connected() as (connect, services):
            client: Client = await connect()
            await client.say("audio-start", **FORM)
            await soon(lambda: services.working)
            services.shut()
            with pytest.raises(OSError):  # noqa: PT011  refused, in the words of the system
                await connect()
            await client.say("audio-chunk", SOUND, **FORM)
            await client.say("audio-stop")
            assert (await client.until("transcript", "error"))[-1].type == "transcript"
            await soon(lambda: not services.working)

    asyncio.run(go())
