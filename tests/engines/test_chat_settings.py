"""What a person may write for a chat server, and what is said of what cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from locara.engines.chat_settings import understand
from locara.errors import ConfigError


def test_address_and_model_can_be_given_in_three_ways() -> None:
    for name, options in [
        ("http://127.0.0.1:8080/v1#m", {}),
        ("m", {"url": "http://127.0.0.1:8080/v1/"}),
        ("http://127.0.0.1:8080/v1/chat/completions", {"model": "m"}),
    ]:
        settings = understand(name, options)
        assert settings is not None
        assert (settings.url, settings.model) == ("http://127.0.0.1:8080/v1", "m")


def test_an_address_without_a_path_gets_v1() -> None:
    settings = understand("http://localhost:11434", {})
    assert settings is not None
    assert (settings.url, settings.model) == ("http://localhost:11434/v1", "")


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("m", {"url": "ftp://x"}, "address"),
        ("http://", {}, "address"),
        ("http://h:99999/v1", {}, "address"),
        ("http://h/v1?x=1", {}, "address"),
        ("http://h/v1", {"temprature": 1}, "temprature"),
        ("http://h/v1", {"timeout": 0}, "timeout"),
        ("http://h/v1", {"timeout": float("nan")}, "timeout"),
        ("http://h/v1", {"max_tokens": "many"}, "max_tokens"),
        ("http://h/v1", {"api_key": "a\nb"}, "api_key"),
    ],
)
def test_an_option_that_cannot_work_is_named(name: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        understand(name, options)
    assert caught.value.hint
