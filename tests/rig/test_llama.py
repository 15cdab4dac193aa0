"""A whole conversation with llama.cpp for the model: the real library on a tiny file, in virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from locara.engines import registry
from locara.testing import Conversation, Line, play

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))
from tiny_gguf import CALL_WORD, LOOP_WORD, REPLY, tiny_model  # type: ignore[import-not-found]

pytest.importorskip("xllamacpp", reason='llama.cpp is not installed: pip install "locara[llama]"')

SAID = "".join(REPLY)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny_model(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    return made


def model(path: Path, process: str, **options: Any) -> Any:
    return registry.create("llm", "tiny", {"path": str(path), "process": process, "threads": 1, **options})


@pytest.mark.parametrize("process", ["shared", "own"])
def test_a_conversation_is_answered_and_the_prompt_read_ahead(path: Path, process: str) -> None:
    lines = [Line(0.5, "hello there my friend"), Line(6.0, "and how are you doing today")]
    result = play(Conversation(lines, more=5.0), llm=model(path, process))
    assert not result.of("error")
    assert [one.reason for one in result.turn_ends("assistant")] == ["finished", "finished"]
    for turn in (0, 1):
        assert "".join(one.text for one in result.of("llm-token") if one.turn == turn) == SAID
    assert result.metrics["read_ahead"] >= 1


@pytest.mark.parametrize("process", ["shared", "own"])
def test_an_interruption_stops_a_reply_that_would_never_end(path: Path, process: str) -> None:
    lines = [Line(0.5, f"go on {LOOP_WORD} please"), Line(5.0, "no stop now please that will do", 2.0)]
    result = play(Conversation(lines, more=6.0), llm=model(path, process, max_tokens=100_000))
    assert not result.of("error")
    assert [one.reason for one in result.turn_ends("assistant")] == ["interrupted", "finished"]
    assert "".join(one.text for one in result.of("llm-token") if one.turn == 1) == SAID


def test_a_tool_is_called_and_its_result_answered(path: Path) -> None:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    conversation = Conversation(
        [Line(0.5, f"what is the {CALL_WORD} in paris")], more=5.0, settings={"tools": [get_weather]}
    )
    result = play(conversation, llm=model(path, "own"))
    assert [(one.name, one.arguments) for one in result.of("tool-call")] == [("get_weather", {"city": "Paris"})]
    assert [one.result for one in result.of("tool-result")] == ["sunny in Paris"]
    assert "".join(result.texts("llm-token")) == SAID
