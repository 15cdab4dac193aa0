"""What a client may name in a stage: models, never files, programs, other machines or the server's disk."""

from __future__ import annotations

from typing import Any

import pytest

from locara.errors import ConfigError
from locara.server.ipc_app import stage_of


@pytest.mark.parametrize(
    "stage",
    [
        {"model": "x", "path": "y"},
        {"model": "x", "mmproj": "y"},
        {"model": "x", "weights": "y"},
        {"model": "x", "more": {"path": "y"}},
        {"model": "x", "more": [{"file": "/etc/passwd"}]},
        {"model": "x", "voice": "/home/someone/voice"},
        {"model": "x", "voice": "voices/someone"},
        {"model": "x", "voice": ["~/voice.wav"]},
        {"model": "C:/windows/x"},
        {"model": "file:///etc/passwd"},
        {"model": "x", "install": True},
        {"model": "pocketsphinx", "remember": True},
        {"model": "pocketsphinx", "device": "a name of my own"},
        {"model": "pocketsphinx", "device": 7},
        {"model": "http://169.254.169.254/v1#m"},
        "HTTP://192.168.0.1/v1#m",
        "https://example.com/v1#m",
        "http://127.0.0.1.example.com/v1#m",
        "http://127.0.0.1@example.com/v1#m",
        "http://[::ffff/v1#m",
        {"model": "m", "url": "http://10.0.0.1/v1"},
    ],
)
def test_a_client_cannot_name_files_programs_or_other_machines(stage: Any) -> None:
    with pytest.raises(ConfigError):
        stage_of("llm", stage)


@pytest.mark.parametrize(
    "stage",
    [
        "kokoro-82m",
        {"model": "org/name-of-a-hub", "speed": 1.2},
        {"model": "x", "device": "cuda:0"},
        {"model": "x", "device": "cpu"},
        {"model": "x", "system": "/me answers ./like this. See https://example.com"},
        "http://127.0.0.1:11434/v1#qwen2.5:3b",
        "http://localhost:8080/v1#m",
        "http://[::1]:8080/v1#m",
        {"model": "m", "url": "http://127.0.0.1:8080/v1", "temperature": 0.2},
    ],
)
def test_models_and_servers_of_this_machine_can_be_named(stage: Any) -> None:
    assert stage_of("llm", stage) == stage
