"""Sound to a model behind an OpenAI-compatible server: what goes over the wire, and who is refused beforehand."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, ChatServer, Request, fails, says  # type: ignore[import-not-found]

from locara.audio import RATE, Samples
from locara.engines import openai_compatible
from locara.engines.contracts import HearsAudio, Message, Sound
from locara.engines.hosted_wire import messages_in, prompt_json
from locara.engines.server_facts import Facts, of_llama_server, of_ollama, root, wishes
from locara.errors import ConfigError, EngineFailed


def buzz(seconds: float = 0.3) -> Samples:
    at = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)


def props(*, audio: bool | None) -> dict[str, Any]:
    more = {} if audio is None else {"modalities": {"vision": False, "audio": audio}}
    return {"default_generation_settings": {"n_ctx": 4096}, "model_path": "m.gguf", **more}


def serving(own: dict[str, Any], chat: Answer | None = None) -> Callable[[Request], Answer]:
    """A server with these answers under its own paths."""

    def answer(request: Request) -> Answer:
        if request.path.endswith("/chat/completions"):
            return chat or says("Yes", ".")
        return Answer(body=[own[request.path]]) if request.path in own else fails(404, {"error": "no such path"})

    return answer


def asked(answers: Callable[[Request], Answer], messages: list[Message] | None = None, **options: Any) -> list[Request]:
    async def main() -> list[Request]:
        async with ChatServer(answers) as server:
            engine = openai_compatible.create(server.url, {"model": "test-model", **options})
            assert engine is not None
            try:
                await engine.load()
                if messages is not None:
                    assert [piece async for piece in engine.reply(messages)] == ["Yes", "."]
                assert isinstance(engine, HearsAudio)
                assert engine.hears == bool(options.get("audio_input"))
            finally:
                await engine.close()
            return list(server.requests)

    return asyncio.run(main())


def _json(value: Any) -> bytes:

    return json.dumps(value).encode()


def test_the_user_s_sound_is_sent_as_a_wav_that_any_reader_takes() -> None:
    heard = buzz()
    messages = [
        Message("system", "Be brief."),
        Message("user", "", sounds=(Sound(heard),)),
        Message("assistant", "Yes?"),
        Message("user", "and this", sounds=(Sound(heard[:1600]),)),
    ]
    requests = asked(serving({"/props": _json(props(audio=True))}), messages, audio_input=True)
    sent = requests[-1].body["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "user"]
    (part,) = sent[1]["content"]
    assert (part["type"], part["input_audio"]["format"]) == ("input_audio", "wav")
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        got = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32768
    assert got.size == heard.size
    assert np.abs(got - heard).max() < 1e-4
    assert [one["type"] for one in sent[3]["content"]] == ["input_audio", "text"]
    assert sent[3]["content"][1]["text"] == "and this"


def test_a_conversation_without_sound_is_sent_as_ever() -> None:
    requests = asked(serving({}), [Message("user", "Hi")])
    assert requests[-1].body["messages"] == [{"role": "user", "content": "Hi"}]
    assert {one.path for one in requests} == {"/v1/chat/completions"}


def test_the_warm_up_hears_too_so_that_the_first_turn_pays_nothing() -> None:
    (*_, chat) = asked(serving({"/props": _json(props(audio=True))}), audio_input=True)
    assert chat.body["messages"][0]["content"][0]["type"] == "input_audio"


@pytest.mark.parametrize(
    "own",
    [
        {"/props": _json(props(audio=False))},
        {"/props": _json(props(audio=None))},
        {"/api/show": _json({"capabilities": ["completion", "vision"]})},
    ],
)
def test_a_server_that_says_it_takes_no_sound_is_refused_before_any_is_sent(own: dict[str, Any]) -> None:
    with pytest.raises(EngineFailed, match="takes no sound") as caught:
        asked(serving(own), audio_input=True)
    assert "--mmproj" in caught.value.hint


def test_ollama_with_a_model_that_hears_is_taken() -> None:
    own = {"/api/show": _json({"capabilities": ["completion", "audio"]})}
    requests = asked(serving(own), audio_input=True)
    assert [one.path for one in requests] == ["/props", "/api/show", "/v1/chat/completions"]
    assert requests[1].body == {"model": "test-model"}


def test_a_server_that_only_refuses_the_sound_itself_is_refused_with_its_reason() -> None:
    answer = fails(500, {"error": {"message": "audio input is not supported"}})
    with pytest.raises(EngineFailed, match=r"refuses sound.*audio input is not supported"):
        asked(serving({}, answer), audio_input=True)


def test_a_model_is_told_to_answer_at_once_and_may_be_told_to_think() -> None:
    assert asked(serving({}))[-1].body["chat_template_kwargs"] == {"enable_thinking": False}
    assert asked(serving({}), reasoning=True)[-1].body["chat_template_kwargs"] == {"enable_thinking": True}
    assert wishes("http://127.0.0.1:11434/v1", None, here=True)["reasoning_effort"] == "none"
    assert wishes("https://api.example.com/v1", None, here=False) == {}
    assert wishes("https://api.example.com/v1", False, here=False)


def test_a_server_that_refuses_to_be_told_is_not_told_again() -> None:
    def answer(request: Request) -> Answer:
        return fails(400, {"error": "unknown field"}) if "chat_template_kwargs" in request.body else says("Yes", ".")

    requests = asked(answer, [Message("user", "Hi")])
    assert ["chat_template_kwargs" in one.body for one in requests if one.body and "messages" in one.body] == [
        True,
        False,
        False,
    ]


def test_ollama_is_told_how_long_to_keep_the_model() -> None:
    requests = asked(serving({"/api/generate": b"{}"}), keep_alive="1h")
    assert (requests[0].path, requests[0].body) == ("/api/generate", {"model": "test-model", "keep_alive": "1h"})


def test_options_that_cannot_be_are_refused() -> None:
    wrong: list[dict[str, Any]] = [{"audio_input": "yes"}, {"reasoning": 1}, {"keep_alive": True}, {"keep_alive": []}]
    for options in wrong:
        with pytest.raises(ConfigError):
            openai_compatible.create("http://127.0.0.1:1/v1", options)


def test_what_servers_say_is_read_and_anything_else_passed_over() -> None:
    assert of_llama_server(props(audio=True)) == Facts("llama-server", True, 4096)
    assert of_ollama({"capabilities": ["audio"]}) == Facts("Ollama", True)
    others: list[Any] = [None, [], "x", {}, {"capabilities": "audio"}, {"default_generation_settings": 3}]
    for other in others:
        assert of_llama_server(other) is None
        assert of_ollama(other) is None
    assert root("http://h:1/v1") == "http://h:1"
    assert root("http://h:1/prefix/v1/") == "http://h:1/prefix"


def test_sound_travels_into_a_process_of_its_own() -> None:

    message = Message("user", "a", sounds=(Sound(buzz()),))
    (back,) = messages_in(json.loads(prompt_json([message], ()))["messages"])
    assert (back.role, back.content) == ("user", "a")
    assert np.array_equal(back.sounds[0].samples, message.sounds[0].samples)
