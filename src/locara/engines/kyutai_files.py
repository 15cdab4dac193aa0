"""A folder with a model of Kyutai's, found whole and given to the package ``moshi``: what its two engines for text share.

What may live here: which files ``config.json`` names, and handing them to the package, which would else fetch from a hub
what it does not get, and unpickle what is no safetensors. File names: ``moshi/models/loaders.py`` of kyutai-labs/moshi.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from locara.engines.isolated_worker import Trouble
from locara.engines.published_files import AGAIN, file_in, tensors_of

CONFIG = "config.json"
_WEIGHTS = ("moshi_name", "mimi_name")
_ROLES = (*_WEIGHTS, "tokenizer_name")


def find(folder: Path, config: Mapping[str, Any], usual: Mapping[str, str]) -> dict[str, Path]:
    """The files that ``config`` names, all inside ``folder``: role -> path. ``usual``: their names where it does not say
    them. Raises ``Trouble`` for one that is missing, or weights that are torn or no safetensors."""
    files: dict[str, Path] = {}
    for role in _ROLES:
        name = config.get(role) or usual.get(role)
        if name is None:
            raise Trouble(f"{folder / CONFIG} names no {role.removesuffix('_name')}", hint=AGAIN)
        files[role] = file_in(folder, str(name))
        if role in _WEIGHTS:
            tensors_of(files[role])
    if name := config.get("mimi_config_name"):
        files["mimi_config_name"] = file_in(folder, str(name))
    return files


def checkpoint(folder: Path, files: Mapping[str, Path]) -> Any:
    """The package's ``CheckpointInfo`` of these ``files``: with all of them named, it looks for nothing elsewhere."""
    from moshi.models.loaders import CheckpointInfo

    return CheckpointInfo.from_hf_repo(
        "",
        moshi_weights=files["moshi_name"],
        mimi_weights=files["mimi_name"],
        tokenizer=files["tokenizer_name"],
        config_path=folder / CONFIG,
        mimi_config_path=files.get("mimi_config_name"),
    )


def not_whole(folder: Path, error: Exception) -> Trouble:
    """What the package said of a model that it could not load."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return Trouble(f"the model in {folder} is not whole, or another one: {said}", hint=AGAIN)
