"""The deterministic rig: conversations in virtual time, with an acoustic loop and scripted or real engines.

    from locara.testing import Conversation, Line, play

    result = play(Conversation([Line(1.0, "what time is it")], replies=["It is noon."]))
    assert result.texts("final-transcript") == ["what time is it"]

The same conversation gives the same events, bit for bit, and ten minutes of it take seconds.
"""

from __future__ import annotations

from locara.testing.clock import VirtualLoop, run
from locara.testing.conversation import Conversation, Line, Noise, Result, play
from locara.testing.reading import ReadingModel
from locara.testing.room import Room
from locara.testing.scripted import (
    EnergyDetector,
    Fault,
    ScriptedModel,
    ScriptedRecogniser,
    ScriptedTurnDetector,
    ScriptedVoice,
    ScriptedWakeWord,
    Spoken,
)
from locara.testing.scripted_backend import ScriptedBackend
from locara.testing.scripted_duplex import Mishap, ScriptedDuplex

__all__ = [
    "Conversation",
    "EnergyDetector",
    "Fault",
    "Line",
    "Mishap",
    "Noise",
    "ReadingModel",
    "Result",
    "Room",
    "ScriptedBackend",
    "ScriptedDuplex",
    "ScriptedModel",
    "ScriptedRecogniser",
    "ScriptedTurnDetector",
    "ScriptedVoice",
    "ScriptedWakeWord",
    "Spoken",
    "VirtualLoop",
    "play",
    "run",
]
