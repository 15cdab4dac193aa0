"""Consent over a connection: who is asked, who may answer, and what an app can do about it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from locara.client.frames import MICROPHONE, packed, sounding
from locara.consent.ledger import default_ledger

from .ipc_running import MANIFEST, PAGE, Raw, Running, allow, run, running

START = "voice.session_start"
APP = "com.example.talk"


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCARA_CONSENT", str(tmp_path / "consent"))


def page(server: Running) -> Raw:
    """The page of this server, as its browser connects."""
    return server.line(origin=server.url)


def questions(line: Raw) -> list[dict[str, Any]]:
    return [one["consent"] for one in line.told if "consent" in one]


async def asked(line: Raw, count: int = 1) -> dict[str, Any]:
    await line.until(lambda: len(questions(line)) >= count)
    return questions(line)[count - 1]


def granted(app: str, capability: Any = "device.microphone") -> str:
    return default_ledger().state(app, capability)


def test_the_page_is_asked_on_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as line:
            starting = asyncio.create_task(line.ask(START))
            for count, capability in enumerate(("device.microphone", "device.speaker"), 1):
                question = await asked(line, count)
                assert (question["app"], question["capability"]) == (PAGE, capability)
                assert question["why"]
                await line.tell("consent.answer", question=question["question"], answer="always")
            assert "session" in await starting
            assert granted(PAGE) == granted(PAGE, "device.speaker") == "granted"
            assert server.questions.open == 0

    run(work())


def test_an_app_is_asked_about_on_the_page_and_cannot_answer_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as there, server.line() as app:
            await there.ask("ping")
            starting = asyncio.create_task(app.until(lambda: next((o for o in app.told if o.get("id") == 9), None)))
            await app.ws.send_str(json.dumps({"id": 9, "method": START, "params": {"manifest": MANIFEST}}))
            question = await asked(there)
            assert (question["app"], question["name"]) == (APP, "Talk")
            assert not questions(app)
            own = await app.ask("consent.answer", question=question["question"], answer="always")
            assert own["error"]["code"] == "bad-message"
            assert await there.ask("consent.answer", question=question["question"], answer="deny") == {}
            error = (await starting)["error"]
            assert error["code"] == "capability-denied"
            assert error["hint"] == f"locara grants allow {APP} device.microphone"
            assert granted(APP) == "denied"
            twice = await there.ask("consent.answer", question=question["question"], answer="always")
            assert "error" in twice
            assert granted(APP) == "denied"

    run(work())


def test_who_came_with_a_manifest_is_no_page_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as line:
            denied = await line.ask(START, manifest=MANIFEST)
            assert denied["error"]["code"] == "capability-denied"
            assert not questions(line), "it is not asked about itself"
            allow(APP)
            assert "session" in await line.ask(START, manifest=MANIFEST)
            async with server.line() as other:
                refused = await other.ask(START, manifest=MANIFEST.replace("example.talk", "example.second"))
                assert refused["error"]["code"] == "capability-denied"
            assert not questions(line), "nor about others"
            assert (await line.ask("consent.answer", question="q1", answer="once"))["error"]["code"] == "bad-message"

    run(work())


def test_without_a_page_nobody_is_asked_and_the_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, server.line() as line:
            for manifest, app in ((MANIFEST, APP), (None, PAGE)):
                error = (await line.ask(START, manifest=manifest))["error"]
                assert error["code"] == "capability-denied"
                assert error["hint"] == f"locara grants allow {app} device.microphone"
            assert granted(APP) == "unasked", "nobody said no"
            assert server.seats.taken == 0

    run(work())


def test_a_question_is_withdrawn_with_its_page_and_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, server.line() as app:
            for _ in range(2):
                async with page(server) as there:
                    await there.ask("ping")
                    starting = asyncio.create_task(app.ask(START, manifest=MANIFEST))
                    await asked(there)
                error = (await starting)["error"]
                assert error["code"] == "capability-denied"
                assert "closed" in error["message"]
                assert server.questions.open == 0
            assert granted(APP) == "unasked"

    run(work())


def test_a_question_is_withdrawn_when_its_app_goes_and_no_thread_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as there:
            await there.ask("ping")
            for count in range(1, 7):  # more than the pool of threads has
                async with server.line() as app:
                    await app.ws.send_str(json.dumps({"id": 9, "method": START, "params": {"manifest": MANIFEST}}))
                    await asked(there, count)
                await there.until(lambda n=count: sum("withdrawn" in one for one in there.told) == n)
            assert server.questions.open == 0
            assert server.seats.taken == 0

    run(work())


def test_nobody_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch, ask_seconds=0.2) as server, page(server) as there:
            error = (await there.ask(START))["error"]
            assert error["code"] == "capability-denied"
            assert "0.2 s" in error["message"]
            await there.until(lambda: any("withdrawn" in one for one in there.told))
            late = await there.ask("consent.answer", question=questions(there)[0]["question"], answer="always")
            assert "error" in late
            assert granted(PAGE) == "unasked"

    run(work())


def test_a_page_answers_only_what_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as one, page(server) as two:
            await one.ask("ping")
            starting = asyncio.create_task(one.ask(START))
            question = await asked(one)
            other = await two.ask("consent.answer", question=question["question"], answer="always")
            assert other["error"]["code"] == "bad-message"
            assert granted(PAGE) == "unasked"
            await one.ask("consent.answer", question=question["question"], answer="deny")
            assert (await starting)["error"]["code"] == "capability-denied"

    run(work())


def test_more_questions_than_anybody_reads_are_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(monkeypatch) as server, page(server) as there:
            await there.ask("ping")
            async with server.line() as a, server.line() as b, server.line() as c, server.line() as d:
                for number, app in enumerate((a, b, c)):
                    text = MANIFEST.replace("example.talk", f"example.talk{number}")
                    await app.ws.send_str(json.dumps({"id": 9, "method": START, "params": {"manifest": text}}))
                    await asked(there, number + 1)
                error = (await d.ask(START, manifest=MANIFEST))["error"]
                assert error["code"] == "capability-denied"
                assert "3 other questions" in error["message"]

    run(work())


def test_what_is_taken_back_ends_the_session_at_once_and_its_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        allow()
        async with running(monkeypatch) as server, server.line() as line:
            await line.ask(START, manifest=MANIFEST)
            await line.ask("session.send_text", text="go")
            await line.until(lambda: len(line.sound) > 20)
            (seat,) = server.seats._taken  # noqa: SLF001
            heard = seat.session.raw_input()
            tone = (0.3 * np.sin(np.arange(16_000) / 8)).astype(np.float32)
            await line.ws.send_bytes(packed(sounding(MICROPHONE, 0, tone)))
            async for block in heard:
                if np.abs(block).max() > 0.2:
                    break
            began = time.monotonic()
            default_ledger().decide("revoke", APP, "device.microphone", by="cli")
            loud = 0
            async for block in heard:
                loud += bool(np.abs(block).max() > 0.01)
            assert loud <= 2, "the block that was on its way, and no more"
            error = await line.event("error")
            assert (error["code"], error["fatal"]) == ("capability-denied", True)
            ended = await line.event("session-end")
            assert ended["reason"] == "revoked"
            assert time.monotonic() - began < 10
            assert any(one.get("playback") == "flush" for one in line.told)
            assert (await line.ask("session.say", text="still here"))["error"]["code"] == "session-state"
            async with asyncio.timeout(10):
                while server.seats.taken:
                    await asyncio.sleep(0.02)
            assert (await line.ask(START, manifest=MANIFEST))["error"]["code"] == "capability-denied"

    run(work())
