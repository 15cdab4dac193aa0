"""What can be chosen, as constants: so `locara check` can read it."""

from __future__ import annotations

STT = "pocketsphinx"
VOICE = {"model": "espeak-ng", "rate_wpm": 165}

BUILT_IN = {"model": "built-in"}
SERVER = {"model": "ollama", "system": "You are a kitchen helper. Answer in one short sentence. Give amounts in grams."}
