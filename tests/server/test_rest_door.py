"""What the REST door does as a whole: its line of waiting, its list of models, its document, malformed bodies."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
from typing import Any

import jsonschema
import pytest
from aiohttp import ClientSession, FormData, web
from tests.server.rest_server import Telling, app, serving, tones, wav

from locara.server import rest
from locara.server.rest_errors import Refused
from locara.server.rest_jobs import Jobs
from locara.server.rest_openapi import document

HOSTILE = 300
"""Malformed bodies that are tried."""


# --- the line of waiting ----------------------------------------------------------------------------------------------


def test_so_many_run_so_many_wait_and_the_next_is_told_when_to_come_again() -> None:
    async def go() -> tuple[int, float | None]:
        jobs = Jobs(at_once=1, waiting=1)
        async with jobs.place(), jobs.place():
            try:
                async with jobs.place():
                    return 0, None
            except Refused as refused:
                return refused.refusal.status, refused.refusal.retry_after

    status, after = asyncio.run(go())
    assert status == 429
    assert after is not None
    assert 1.0 <= after <= 60.0


def test_who_waits_too_long_is_told_so_and_keeps_nobody_out() -> None:
    async def go() -> tuple[int, int]:
        jobs = Jobs(at_once=1, waiting=1, wait_seconds=0.05)
        async with jobs.place(), jobs.turn():
            with pytest.raises(Refused) as refused:
                async with jobs.place(), jobs.turn():
                    pass
        async with jobs.place(), jobs.turn():
            pass
        return refused.value.refusal.status, jobs.taken

    assert asyncio.run(go()) == (429, 0)


def test_a_full_line_is_429_with_retry_after_and_empties_again() -> None:
    async def go() -> tuple[list[int], list[str | None], int]:
        stt = Telling(fault="hangs")
        recording = wav(tones(0.5))

        async def ask(client: ClientSession) -> tuple[int, str | None]:
            form = FormData({"model": "default"})
            form.add_field("file", recording, filename="a.wav")
            async with client.post("/v1/audio/transcriptions", data=form) as response:
                await response.read()
                return response.status, response.headers.get("Retry-After")

        async with serving(stt=stt) as client:
            most = rest.Jobs()._most
            hanging = [asyncio.create_task(ask(client)) for _ in range(most)]
            await stt.begins.wait()
            await asyncio.sleep(0.3)  # the others have come, too
            late = [await ask(client) for _ in range(2)]
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            stt.fault = ""
            for _ in range(50):
                last, _ = await ask(client)
                if last == 200:
                    break
                await asyncio.sleep(0.1)
            return [status for status, _ in late], [after for _, after in late], last

    statuses, afters, last = asyncio.run(go())
    assert statuses == [429, 429]
    assert all(after is not None and int(after) >= 1 for after in afters)
    assert last == 200


# --- models and the document ------------------------------------------------------------------------------------------


async def got(client: ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        return response.status, await response.json()


def test_models_that_run_here_are_listed_and_found_by_id_by_alias_and_by_openais_names() -> None:
    async def go() -> list[tuple[int, Any]]:
        async with serving() as client:
            names = ("pocketsphinx-en-us", "pocketsphinx", "whisper-1", "tts-1", "silero", "hf/some/model", "a%00b")
            return [await got(client, "/v1/models"), *[await got(client, f"/v1/models/{name}") for name in names]]

    (status, told), *found = asyncio.run(go())
    assert status == 200
    kinds = {model["id"]: model["kind"] for model in told["data"]}
    assert kinds["pocketsphinx-en-us"] == "stt"
    assert {"stt", "tts", "llm"} <= set(kinds.values())
    assert [status for status, _ in found] == [200, 200, 200, 200, 404, 404, 404]
    assert found[0][1] == found[1][1]
    assert [one["kind"] for _, one in found[2:4]] == ["stt", "tts"]
    assert all(one["error"]["code"] == "model_not_found" for _, one in found[4:])


def test_every_route_is_in_the_document_and_every_path_of_the_document_is_a_route() -> None:
    told = document()["paths"]
    served = {
        (route.path.replace(":.+", ""), route.method) for route in rest.routes() if isinstance(route, web.RouteDef)
    }
    promised = {(path, method.upper()) for path, methods in told.items() for method in methods}
    assert promised == {(path, method) for path, method in served if method != "*" and path != "/openapi.json"}
    assert {(path, method) for path, methods in rest.PATHS.items() for method in methods} == {
        (path, method) for path, method in served if method != "*"
    }


def test_answers_are_as_the_document_says() -> None:
    schemas = document()["components"]

    def check(name: str, told: Any) -> None:
        jsonschema.validate(told, {"$ref": f"#/components/schemas/{name}", "components": schemas})

    async def go() -> None:
        async with serving(stt=Telling(word_times=True)) as client:
            for model in (await got(client, "/v1/models"))[1]["data"]:
                check("Model", model)
            check("Model", (await got(client, "/v1/models/tts-1"))[1])
            check("Error", (await got(client, "/v1/models/none"))[1])
            check("Error", (await got(client, "/v1/none"))[1])
            for name, form in (("Transcription", "json"), ("Verbose", "verbose_json")):
                data = FormData({"model": "default", "response_format": form})
                data.add_field("file", wav(tones(0.5)), filename="a.wav")
                async with client.post("/v1/audio/transcriptions", data=data) as response:
                    check(name, await response.json())

    asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/audio/speech", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/models/tts-1", 405),
        ("POST", "/v1/audio/translations", 400),
        ("GET", "/v1/chat/completions", 404),
        ("GET", "/v1/audio", 404),
    ],
)
def test_other_methods_and_addresses_are_answered_in_json(method: str, path: str, status: int) -> None:
    async def go() -> tuple[int, Any, str | None]:
        async with serving() as client, client.request(method, path) as response:
            return response.status, await response.json(), response.headers.get("Allow")

    got_status, told, allow = asyncio.run(go())
    assert got_status == status
    assert told["error"]["message"]
    assert (allow is not None) == (status == 405)


# --- bodies that are none ---------------------------------------------------------------------------------------------


def hostile(source: random.Random) -> tuple[str, dict[str, str], bytes]:
    """(path, headers, body): a good request, of which something was broken."""
    if source.random() < 0.5:
        body = bytearray(json.dumps({"model": "tts-1", "voice": "alloy", "input": "Hello there."}).encode())
        path, kind = "/v1/audio/speech", "application/json"
    else:
        parts = [
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + wav(tones(0.2)) + b"\r\n",
            b"--b--\r\n",
        ]
        source.shuffle(parts)
        body = bytearray(b"".join(parts[: source.randint(1, 3)]))
        path, kind = "/v1/audio/transcriptions", "multipart/form-data; boundary=b"
    for _ in range(source.randint(0, 6)):
        at = source.randrange(len(body) or 1)
        match source.randrange(4):
            case 0:
                body[at : at + source.randint(1, 40)] = b""
            case 1:
                body[at:at] = source.randbytes(source.randint(1, 40))
            case 2:
                body[at:at] = body[: source.randint(1, 200)]
            case _:
                body[at : at + 1] = source.choice([b"\0", b"\r\n", b'"', b"{", b"\xff", b"--b", b"\r\n\r\n"])
    if source.random() < 0.2:
        kind = source.choice(
            ["multipart/form-data", "multipart/mixed; boundary=b", "text/plain", "", "application/json;"]
        )
    headers = {"Content-Type": kind}
    if source.random() < 0.1:
        headers["Content-Encoding"] = source.choice(["gzip", "deflate", "br", "zstd", "none"])
    return path, headers, bytes(body)


def test_no_malformed_body_is_answered_with_anything_but_an_error_in_json(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> tuple[dict[int, int], int]:
        source = random.Random(6)
        counts: dict[int, int] = {}
        async with serving() as client:
            for number in range(HOSTILE):
                path, headers, body = hostile(source)
                async with client.post(path, data=io.BytesIO(body), headers=headers) as response:
                    raw = await response.read()
                    counts[response.status] = counts.get(response.status, 0) + 1
                    assert response.status < 500, (number, raw[:300])
                    assert b"Traceback" not in raw
                    if response.status != 200 and response.content_type == "application/json":
                        assert json.loads(raw)["error"]["message"]
            status, _ = await got(client, "/v1/models")
        return counts, status

    with caplog.at_level(logging.INFO, logger="locara"):
        counts, status = asyncio.run(go())
    assert status == 200
    assert counts.get(200, 0) > 10  # some were still good
    assert counts.get(400, 0) > 50
    assert not [
        record for record in caplog.records if record.levelno >= logging.ERROR and record.name.startswith("locara")
    ]


def test_an_error_that_nobody_foresaw_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Telling):
        def open(self) -> Any:
            raise ValueError("the secret words")

    async def go() -> tuple[int, str]:
        async with serving(stt=Broken()) as client:
            form = FormData({"model": "default"})
            form.add_field("file", wav(tones(0.5)), filename="a.wav")
            async with client.post("/v1/audio/transcriptions", data=form) as response:
                return response.status, await response.text()

    status, text = asyncio.run(go())
    assert status == 500
    assert "secret" not in text + caplog.text
    assert "ValueError at rest_server.py" in caplog.text or "ValueError at test_rest_door.py" in caplog.text


def test_the_server_of_these_tests_asks_for_the_token() -> None:
    assert app({}).middlewares
