"""The engines of macOS and Windows keep their contract too, as far as our side of them goes: against a sidecar and a
stand-in of the tests. That they are no rows of docs/conformance.md is on purpose: there, only real engines are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from specimens import question  # type: ignore[import-not-found]

from locara.engines import registry
from locara.engines.contracts import Kind
from locara.testing.conformance import Specimen, examine

HERE = Path(__file__).parent


def _fake(kind: str) -> Mapping[str, Any]:
    return {"program": [sys.executable, str(HERE / "fake_sidecar.py"), kind, "none"]}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("kind", "model", "options"),
    [
        ("stt", "apple-dictation", _fake("stt")),
        ("stt", "apple-speech-analyzer", _fake("stt")),
        ("stt", "apple-sfspeech", _fake("stt")),
        ("tts", "apple-avspeech", _fake("tts")),
        ("tts", "windows-tts", {}),
    ],
)
def test_the_engines_of_other_systems_keep_their_contract(
    kind: Kind, model: str, options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if model == "windows-tts":
        if sys.platform == "win32":
            pytest.skip("the stand-in would hide the real packages")
        monkeypatch.setenv("PYTHONPATH", str(HERE / "fake_winrt"))
    sound = question()[:16_000]
    outcomes = asyncio.run(examine(kind, lambda: registry.create(kind, model, options), Specimen(sound)))
    failed = {outcome.check: outcome.why for outcome in outcomes if not outcome.passed}
    assert not failed
