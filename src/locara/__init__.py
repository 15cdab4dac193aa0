"""Locara: the voice that runs on your own machine.

``from locara import voice`` is all an app needs. Importing this package alone imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locara import llm, speech, testing, transcribe, voice

__version__ = "0.1.0"
__all__ = ["__version__", "llm", "speech", "testing", "transcribe", "voice"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        return importlib.import_module(f"locara.{name}")
    raise AttributeError(f"module 'locara' has no attribute {name!r}")
