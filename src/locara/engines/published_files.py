"""A model's folder as its publisher made it: its small files read, and those that it names found, before anything is loaded.

What may live here: reading one file of such a folder, and saying what is wrong with it and what to do. Only the standard
library, for this runs in the engines' own environments too: weights are not read, nothing is unpickled or fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.engines import safetensors_header
from locara.engines.isolated_worker import Trouble
from locara.engines.safetensors_header import NotSafetensors, TensorFacts

AGAIN = "download the whole repository again, or name its folder with path=..."
"""What helps where a file is missing or damaged."""
_LARGEST_JSON = 2**26
"""Bytes: 64 MB. The largest of these files, the index of a model's shards, has a few."""


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ``Trouble``."""
    try:
        if (size := path.stat().st_size) > _LARGEST_JSON:
            raise ValueError(f"it has {size} bytes")
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise TypeError("it is no object")
    except FileNotFoundError:
        raise Trouble(f"{path.name} is missing in {path.parent}", hint=AGAIN) from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise Trouble(f"{path} cannot be read: {error}", hint=AGAIN) from None
    return told


def file_in(folder: Path, name: str) -> Path:
    """A file inside ``folder``, whatever path or address a configuration gives it. Raises ``Trouble``."""
    path = folder / Path(name.replace("\\", "/")).name
    if not path.is_file():
        raise Trouble(f"{path.name} is missing in {folder}", hint=AGAIN)
    return path


def tensors_of(path: Path) -> Mapping[str, TensorFacts]:
    """The tensors of a file of weights, by their names. Raises ``Trouble`` for one that is torn or in another format."""
    try:
        return safetensors_header.read(path)
    except NotSafetensors as error:
        hint = AGAIN if path.suffix == ".safetensors" else "only safetensors are read here, never pickles"
        raise Trouble(f"{path} is not whole, or not in the format safetensors: {error}", hint=hint) from None
    except OSError as error:
        raise Trouble(f"{path} cannot be read: {error}", hint=AGAIN) from None
