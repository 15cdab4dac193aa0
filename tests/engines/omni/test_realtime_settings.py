"""Names, addresses and options of realtime servers: what is meant, and what cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from locara.engines import registry
from locara.engines.backend import VoiceBackend
from locara.engines.omni.realtime import create
from locara.engines.omni.realtime_dialects import DIALECTS
from locara.engines.omni.realtime_settings import Settings, understand
from locara.errors import ConfigError

HERE = "ws://127.0.0.1:8000/v1/realtime"


def settings(name: str, **options: Any) -> Settings:
    made = understand(name, options)
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("name", "options", "dialect", "url", "model"),
    [
        (f"realtime:{HERE}", {}, "openai", HERE, ""),
        (f"realtime:{HERE}#m", {}, "openai", f"{HERE}?model=m", "m"),
        (f"realtime:{HERE}#m&voice=v&deadline=5&input_rate=16000", {}, "openai", f"{HERE}?model=m", "m"),
        (f"realtime:{HERE}#voice=v&model=a%2Fb", {}, "openai", f"{HERE}?model=a%2Fb", "a/b"),
        ("realtime:llama:http://127.0.0.1:8080", {}, "llama", "ws://127.0.0.1:8080/v1/realtime", ""),
        ("realtime:wss://host.example/v1", {}, "openai", "wss://host.example/v1/realtime", ""),
        ("wss://host.example/v1/realtime", {}, "openai", "wss://host.example/v1/realtime", ""),
        ("x", {"url": HERE}, "openai", HERE, ""),
        ("x", {"url": HERE, "dialect": "mlx-vlm", "model": "m"}, "mlx-vlm", f"{HERE}?model=m", "m"),
        ("x", {"url": "ws://127.0.0.1:9", "engine": "realtime"}, "openai", "ws://127.0.0.1:9/v1/realtime", ""),
        (
            "realtime:vllm-omni-duplex:ws://127.0.0.1:9#minicpm",
            {},
            "vllm-omni-duplex",
            "ws://127.0.0.1:9/v1/realtime?duplex=1&autostart=0&model=minicpm",
            "minicpm",
        ),
        (
            "realtime:openai-live:wss://api.openai.com#gpt-live-1",
            {},
            "openai-live",
            "wss://api.openai.com/v1/live/sessions",
            "gpt-live-1",
        ),
    ],
)
def test_a_name_means_a_server(name: str, options: dict[str, Any], dialect: str, url: str, model: str) -> None:
    made = settings(name, **options)
    assert (made.dialect.name, made.url, made.model) == (dialect, url, model)


@pytest.mark.parametrize(
    "name", ["moshiko-mlx", "ws://127.0.0.1:8998/api/chat", "", "http://127.0.0.1/v1", "realtimes"]
)
def test_other_names_are_not_for_this_engine(name: str) -> None:
    assert create(name, {}) is None


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("realtime:ws://", {}, "no address"),
        ("realtime:ftp://x", {}, "no dialect 'ftp'"),
        ("realtime:opena:ws://x", {}, "no dialect 'opena'"),
        ("realtime:ws://x:port/", {}, "no address"),
        ("realtime:ws://x y/", {}, "no address"),
        ("realtime:ws://me:secret@host/", {}, "user name or a password"),
        ("realtime:mlx-vlm:ws://127.0.0.1", {}, "which model"),
        (f"realtime:{HERE}", {"api_key": "sk-1"}, "not given as an option"),
        (f"realtime:{HERE}#m&api_key=sk-1", {}, "cannot stand behind"),
        (f"realtime:{HERE}#m&deadline=soon", {}, "no number"),
        (f"realtime:{HERE}#m&voise=x", {}, "no option 'voise'"),
        (f"realtime:{HERE}", {"api_key_env": "sk-1 2"}, "not the name of an environment variable"),
        ("realtime:ws://host.example/", {"api_key_env": "KEY"}, "for everybody to read"),
        (f"realtime:{HERE}", {"headers": {"Authorization": "Bearer x"}}, "carries a secret"),
        (f"realtime:{HERE}", {"headers": {"X Y": "z"}}, "no header's name"),
        (f"realtime:{HERE}", {"headers": {"X": "a\nb"}}, "cannot be sent"),
        (f"realtime:{HERE}", {"headers": 3}, "no mapping"),
        (f"realtime:{HERE}", {"dialekt": "x"}, "no option 'dialekt'"),
        (f"realtime:{HERE}", {"dialect": "open"}, "dialect is 'open'"),
        (f"realtime:{HERE}", {"deadline": 0}, "deadline is 0"),
        (f"realtime:{HERE}", {"input_rate": 1}, "input_rate is 1"),
        (f"realtime:{HERE}", {"replies": "derived"}, "answers when it is asked"),
        ("realtime:mlx-vlm:ws://127.0.0.1#m", {"transcription": "t"}, "cannot be told who transcribes"),
    ],
)
def test_what_cannot_work_is_told_with_a_remedy(name: str, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        create(name, options)
    assert caught.value.hint
    assert "secret@" not in caught.value.explain()
    assert "sk-1" not in caught.value.explain()


def test_options_may_stand_behind_an_address() -> None:
    made = settings(f"realtime:{HERE}#m&voice=v&deadline=5&api_key_env=KEY", voice="w")
    assert (made.voice, made.deadline, made.key_variable, made.url) == ("w", 5.0, "KEY", f"{HERE}?model=m")


def test_a_key_may_go_unencrypted_only_to_this_machine() -> None:
    assert settings(f"realtime:{HERE}", api_key_env="KEY").here
    assert settings("realtime:wss://host.example/", api_key_env="KEY").key_variable == "KEY"


def test_the_name_of_a_model_says_what_its_sound_is() -> None:
    plex = settings("realtime:vllm-omni-duplex:ws://127.0.0.1:9#nvidia/PersonaPlex-7b-v1").dialect
    assert (plex.encoding, plex.input_rate, plex.marks_replies, plex.resumes) == ("pcm_f32le", 24_000, False, False)
    voicechat = settings("realtime:vllm-omni-duplex:ws://127.0.0.1:9#nemotron-voicechat").dialect
    assert (voicechat.encoding, voicechat.input_rate, voicechat.output_rate) == ("pcm_f32le", 16_000, 22_050)
    named = settings("realtime:sglang-omni:ws://127.0.0.1:9#own", replies="derived", output_rate=22_050).dialect
    assert (named.marks_replies, named.frame_seconds, named.output_rate) == (False, 0.08, 22_050)


def test_the_engine_is_found_by_the_registry() -> None:
    made = registry.create("omni", f"realtime:{HERE}", {})
    assert isinstance(made, VoiceBackend)
    assert (made.info.where, made.info.note) == (HERE, "")
    far = registry.create("omni", "realtime:wss://host.example/v1/realtime?token=hidden", {})
    assert "leaves this machine" in far.info.note
    assert "hidden" not in repr(far.info)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_keeps_to_the_contract(name: str) -> None:
    made = create(f"realtime:{name}:ws://127.0.0.1:9#m", {})
    assert made is not None
    can = made.capabilities
    assert (can.turn_owner == "locara") == (can.duplex == "half")
    assert can.marks_replies or can.frame_seconds > 0
    assert can.clocked == (can.duplex == "full")
    assert not (can.wants_played and not can.marks_replies)
