"""`/ipc` with the whole server: a conversation, every method, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from locara.audio import pcm16
from locara.client.frames import MICROPHONE, packed, sounding
from locara.engines.contracts import ToolCall
from locara.server import ipc_wire as wire

from .ipc_running import LONG, MANIFEST, TOKEN, allow, run, running

START = "voice.session_start"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def test_a_conversation_from_hello_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, ["It is noon."]) as server, server.line() as line:
            hello = (await line.until(lambda: line.told))[0]["hello"]
            assert hello["protocol"] == 1
            assert hello["limits"]["frame_bytes"] == 1 << 20
            started = await line.ask(START, reports=False)
            assert (started["input_rate"], started["output_rate"]) == (16000, 24000)
            assert set(started["plan"]) >= {"stt", "llm", "tts"}
            await line.ask("session.send_text", text="what time is it")
            ended = await line.event("turn-end", 2)
            assert (ended["who"], ended["reason"]) == ("assistant", "finished")
            kinds = [one["type"] for one in line.events()]
            assert kinds[0] == "session-start"
            assert [one for one in kinds if one not in ("llm-token", "audio-chunk")] == [
                "session-start", "final-transcript", "turn-end", "turn-end",
            ]  # fmt: skip
            assert [one["seq"] for one in line.told if "seq" in one] == list(range(1, len(kinds) + 1))
            assert all(isinstance(one["samples"], int) for one in line.events("audio-chunk")), "no sound in JSON"
            assert {frame.turn for frame in line.sound} == {0}
            assert sum(frame.end - frame.at for frame in line.sound) >= 24000 * 11 / 15
            said = (await line.ask("session.history"))["history"]
            assert [(one["role"], one["text"]) for one in said] == [
                ("user", "what time is it"), ("assistant", "It is noon."),
            ]  # fmt: skip
            assert (await line.ask("voice.session_stop"))["reason"] == "stopped"
            assert line.events()[-1]["type"] == "session-end"
            assert server.seats.taken == 0
            again = await line.ask(START)
            assert "session" in again, "a connection may have one conversation after another"

    run(work())


def test_states_are_told_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START)

            def states() -> list[tuple[str, str, bool]]:
                return [tuple(one["state"].values()) for one in line.told if "state" in one]  # type: ignore[misc]

            await line.ask("session.send_text", text="go")
            await line.until(lambda: any(state[1] == "speaking" for state in states()))
            await line.ask("session.mute")
            await line.until(lambda: states()[-1][2])
            await line.ask("session.interrupt")
            await line.until(lambda: states()[-1] == ("quiet", "idle", True))
            assert states()[0] == ("quiet", "idle", False)
            assert all(one != two for one, two in zip(states(), states()[1:], strict=False))

    run(work())


def test_an_interrupt_flushes_what_is_not_played_and_nothing_of_the_reply_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START, reports=False)
            await line.ask("session.send_text", text="go")
            await line.until(lambda: len(line.sound) > 20)
            await line.ask("session.interrupt")
            flush = await line.until(lambda: next((one for one in line.told if "playback" in one), None))
            assert flush["playback"] == "flush"
            ended = await line.event("turn-end", 2)
            assert ended["reason"] == "cancelled"
            sent = len(line.sound)
            await line.ask("ping")
            quiet = [frame for frame in line.sound[sent:] if np.abs(frame.samples).max() > 0.01]
            assert not quiet
            heard = (await line.ask("session.history"))["history"][-1]
            assert heard["interrupted"]
            assert LONG.startswith(heard["text"])

    run(work())


def test_pushed_sound_is_taken_as_json_and_as_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START)
            tone = (0.3 * np.sin(np.arange(1600) / 8)).astype(np.float32)
            pushed = await line.ask("voice.session_push", audio=base64.b64encode(pcm16(tone)).decode(), sample_rate=16000)
            assert pushed["accepted"] == 1600
            frame = packed(sounding(MICROPHONE, 0, tone))
            for _ in range(2):  # the second is the same piece of the stream
                await line.ws.send_bytes(frame)
            (session,) = [seat.session for seat in server.seats._taken]
            heard = session.raw_input()
            loud = 0
            async for block in heard:
                loud += int(np.count_nonzero(np.abs(block) > 0.2))
                if session.metrics()["seconds_heard"] > 0.8:
                    break
            all_loud = int(np.count_nonzero(np.abs(tone) > 0.2))
            assert loud <= 2 * all_loud + 100, "a frame that comes twice is heard once"
            assert not [one for one in line.told if "error" in one]

    run(work())


def test_tools_of_the_client_are_called_and_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        replies = [[ToolCall("t1", "lamp", {"room": "hall"})], "Done."]
        tool = {"name": "lamp", "description": "switches a lamp", "parameters": {"type": "object"}}
        async with running(monkeypatch, replies) as server, server.line() as line:
            await line.ask(START, tools=[tool], reports=False)
            await line.ask("session.send_text", text="switch on the lamp")
            called = await line.until(lambda: next((one["tool"] for one in line.told if "tool" in one), None))
            assert (called["name"], called["arguments"]) == ("lamp", {"room": "hall"})
            assert "error" in await line.ask("tool.result", call="c123", result=1)
            assert await line.ask("tool.result", call=called["call"], result={"on": True}) == {}
            result = await line.event("tool-result")
            assert result["result"] == {"on": True}
            ended = await line.event("turn-end", 2)
            assert ended["reason"] == "finished"

    run(work())


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "no session": ("session.say", {"text": "hello"}, "session-state"),
    "a method that is none": ("voice.sesion_start", {}, "bad-message"),
    "a parameter that is none": (START, {"sst": "x"}, "bad-message"),
    "a wrong type": (START, {"patience": 3}, "bad-message"),
    "a wrong word": (START, {"patience": "quik"}, "bad-message"),
    "pauses out of order": (START, {"patience": {"even": 1.0, "least": 2.0, "last": 3.0}}, "bad-config"),
    "a path": (START, {"llm": {"model": "x", "path": "/etc/passwd"}}, "bad-config"),
    "a program": (START, {"tts": {"model": "piper", "program": "/bin/sh"}}, "bad-config"),
    "a path for a name": (START, {"llm": "../../x.gguf"}, "bad-config"),
    "a voice that is a file": (START, {"tts": {"model": "f5-tts", "voice": "/home/me/diary.wav"}}, "bad-config"),
    "a manifest that is none": (START, {"manifest": "x"}, "bad-manifest"),
    "Locara's own id": (START, {"manifest": MANIFEST.replace("com.example.talk", "dev.locara.cli")}, "bad-manifest"),
    "a file of the app": (
        START,
        {"manifest": MANIFEST + '[models."own"]\ntask = "llm"\nengine = "llama"\nfile = "m.gguf"\nsha256 = "' + "0" * 64 + '"\n'},
        "bad-manifest",
    ),
    "a promise of the process": (START, {"manifest": "offline = true\n" + MANIFEST}, "bad-manifest"),
    "a model that is not declared": (START, {"manifest": MANIFEST, "llm": "qwen2.5-3b-instruct-q4"}, "model-not-declared"),
    "another speaker, not declared": (START, {"manifest": MANIFEST, "other_speaker": True}, "bad-manifest"),
    "no such session": (
        "session.resume", {"session": "abc", "resume_token": "def", "after": 0, "received": 0}, "session-state"
    ),
    "an answer to no question": ("consent.answer", {"question": "q1", "answer": "always"}, "bad-message"),
}  # fmt: skip


def test_what_cannot_be_is_refused_with_a_linked_error_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            for name, (method, params, code) in REFUSED.items():
                answer = await line.ask(method, **params)
                assert answer["error"]["code"] == code, (name, answer)
                assert answer["error"]["hint"], name
            assert await line.ask("ping") == {}
            assert server.seats.taken == 0
            misspelt = await line.ask("voice.sesion_start")
            assert "voice.session_start" in misspelt["error"]["hint"]
            assert "stt" in (await line.ask(START, sst="x"))["error"]["hint"]

    run(work())


def test_every_method_of_the_wire_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START)
            asked: dict[str, dict[str, Any]] = {
                "session.say": {"text": "hello"}, "session.interrupt": {}, "session.mute": {}, "session.unmute": {},
                "session.push_to_talk": {"down": True}, "session.configure": {"patience": "quick"}, "session.metrics": {},
                "session.plan": {}, "models.list": {"task": "vad"}, "playback.ack": {"played_ms": 1}, "ping": {},
                "voice.session_events": {"after": 0}, "session.history": {}, "session.send_text": {"text": "x"},
            }  # fmt: skip
            for method, params in asked.items():
                answer = await line.ask(method, **params)
                assert "error" not in answer, (method, answer)
            models = (await line.ask("models.list"))["models"]
            assert {"id", "task", "status", "installed"} <= set(models[0])
            assert any(one["installed"] for one in models)
            tested = {START, "voice.session_push", "voice.session_stop", "session.resume", "session.change", "tool.result"}
            assert set(wire.METHODS) == set(asked) | tested | {"consent.answer"}

    run(work())


def test_events_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, ["Yes."]) as server, server.line() as line:
            await line.ask(START, reports=False)
            await line.ask("session.send_text", text="go")
            await line.event("turn-end", 2)
            before = [json.dumps(one) for one in line.told if "seq" in one]
            line.told.clear()
            again = await line.ask("voice.session_events", after=2)
            assert again == {"seq": len(before), "missed": 0}
            await line.until(lambda: sum("seq" in one for one in line.told) == len(before) - 2)
            assert [json.dumps(one) for one in line.told if "seq" in one] == before[2:]

    run(work())


def test_a_second_client_is_told_when_to_come_again_and_cannot_touch_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch, sessions=1) as server, server.line() as one, server.line() as two:
            started = await one.ask(START)
            busy = (await two.ask(START))["error"]
            assert busy["code"] == "busy"
            assert busy["retry_after"] >= 1.0
            for token in ("x" * 43, started["resume_token"][:-1] + "_", started["session"]):
                stolen = await two.ask(
                    "session.resume", session=started["session"], resume_token=token, after=0, received=0
                )
                assert stolen["error"]["code"] == "session-state"
            for method in ("session.history", "session.metrics", "voice.session_stop", "session.interrupt"):
                assert (await two.ask(method))["error"]["code"] == "session-state"
            assert await one.ask("ping") == {}
            assert not two.events()

    run(work())


def test_a_client_that_says_goodbye_frees_its_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server:
            async with server.line() as line:
                await line.ask(START)
                assert server.seats.taken == 1
            async with server.line() as line:
                await line.ask("ping")
                for _ in range(100):
                    if not server.seats.taken:
                        break
                    await line.ask("ping")
                    await asyncio.sleep(0.02)
                assert server.seats.taken == 0

    run(work())


def test_who_sends_no_message_of_the_protocol_is_told_each_time_and_then_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, server.line() as line:
            for _ in range(40):
                await line.ws.send_str("no JSON")
            await line.until(lambda: line.ws.closed or any("closing" in one for one in line.told))
            errors = [one for one in line.told if "error" in one]
            assert len(errors) == 20
            assert all(one["id"] is None for one in errors)
            closing = next(one["closing"] for one in line.told if "closing" in one)
            assert closing["reason"] == "bad-message"
            await line.until(lambda: line.ws.closed)
            assert line.ws.close_code == 1008

    run(work())


def test_a_subprotocol_that_is_not_ours_is_refused_before_anything_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as told:
                await http.ws_connect(f"{server.url}/ipc", protocols=(f"locara.token.{TOKEN}",))
            assert told.value.status == 400
            both = await http.ws_connect(f"{server.url}/ipc", protocols=("locara.ipc.v1", f"locara.token.{TOKEN}"))
            assert both.protocol == "locara.ipc.v1"
            await both.close()

    caplog.set_level("DEBUG")
    run(work())
    assert TOKEN not in caplog.text
