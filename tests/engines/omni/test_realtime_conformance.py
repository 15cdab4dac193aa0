"""The suite for backends, run against this one: with a server that is asked, one that decides turns, and one of frames. It
takes ten seconds each and more, so the other dialects are only examined where LOCARA_EXPLORE is set."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import pytest
from realtime_engine_fakes import Live, Mlx, PersonaPlexOnVllm, VllmTurn  # type: ignore[import-not-found]
from realtime_fakes import OpenAI, Plan, SpeechToSpeech  # type: ignore[import-not-found]
from realtime_talking import backend  # type: ignore[import-not-found]

from locara.testing.conformance import Specimen, babble
from locara.testing.conformance_backend import examine_backend

EXPLORED = pytest.mark.skipif("LOCARA_EXPLORE" not in os.environ, reason="LOCARA_EXPLORE is not set")


@pytest.mark.parametrize(
    ("dialect", "make", "model"),
    [
        ("openai", OpenAI, "m"),
        ("speech-to-speech", SpeechToSpeech, "m"),
        ("vllm-omni-duplex", PersonaPlexOnVllm, "personaplex"),
        *(
            pytest.param(
                *one, marks=pytest.mark.skipif("LOCARA_EXPLORE" not in os.environ, reason="LOCARA_EXPLORE is not set")
            )
            for one in (("vllm-omni", VllmTurn, "m"), ("mlx-vlm", Mlx, "m"), ("openai-live", Live, "m"))
        ),
    ],
)
def test_it_keeps_the_contract_of_backends(dialect: str, make: Any, model: str) -> None:
    async def examine() -> None:
        async with make(Plan(reply_seconds=0.5, places=20)) as server:
            speech = Specimen(np.concatenate([babble(), np.zeros(8_000, np.float32)]))
            outcomes = await examine_backend(lambda: backend(f"realtime:{dialect}:{server.url}#{model}"), speech)
            failed = [one for one in outcomes if not one.passed]
            assert not failed, failed

    asyncio.run(examine())
