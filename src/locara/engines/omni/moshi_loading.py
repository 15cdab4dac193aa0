"""Moshi's two networks on torch, from files that `moshi_files` has found whole. Runs in the environment that has ``moshi``.

What may live here: device, number format, loading, and PersonaPlex's depth decoder cut to the half that is used.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from locara.engines import torch_device
from locara.engines.free_memory import free_memory
from locara.engines.isolated_worker import Trouble
from locara.engines.omni.moshi_files import AGENT_BOOKS, MoshiFiles

_APART = re.compile(r"^(depformer_in|linears|depformer\.layers\.\d+\.gating)\.(\d+)\.")
_STACKED = ("self_attn.in_proj_weight", "self_attn.in_proj.weight", "self_attn.out_proj.weight")
_SPLIT = re.compile(r"^depformer\.layers\.\d+\.self_attn\.(?:in|out)_projs\.(\d+)\.")
_WORK_BYTES = 1_200_000_000
"""What is taken besides weights and caches: kernels, work space and graphs, and the prompts that are kept."""
_OTHER = "the weights are not of the model that config.json describes: download the whole repository again"


def device(wanted: str) -> Any:
    """The torch device. Raises ``Trouble`` for one that is not there. Decides before ``moshi`` is imported whether it
    compiles: the package looks at the variable then."""
    import torch

    chosen = torch_device.choose(torch, wanted)
    if chosen != "cuda" or not _can_compile():
        os.environ["NO_TORCH_COMPILE"] = "1"
    return torch.device(chosen)


def number_format(torch: Any, wanted: str, files: MoshiFiles) -> Any:
    """The torch type to compute in. ``wanted``: ``auto`` (as published), ``bf16``, ``fp16`` or ``fp32``. Raises ``Trouble``
    for weights in 8 bits: ``moshi`` 0.2.13 turns their scales into 16 bits when it reads them, and then refuses those."""
    if files.quantized:
        raise Trouble(
            f"{files.weights} is in 8 bits, which the package moshi does not run",
            hint="download the bf16 weights, or use MLX, which has 8 and 4 bits",
        )
    return {"fp16": torch.float16, "fp32": torch.float32}.get(wanted, torch.bfloat16)


def refuse_too_large(torch: Any, files: MoshiFiles, where: Any, dtype: Any, slots: int) -> None:
    """Raises ``Trouble`` with the figures where weights and caches do not fit: torch would fail minutes later, and the
    system might end other programs first."""
    each = int(dtype.itemsize)
    weights = files.parameters * each + files.mimi.stat().st_size
    needed = weights + slots * files.memory_per_slot(each) + (_WORK_BYTES if where.type == "cuda" else 0)
    free = torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else free_memory()
    if free is not None and needed > free:
        raise Trouble(
            f"it needs {needed / 1e9:.1f} GB for weights and {slots} conversation(s); {where} has {free / 1e9:.1f} GB free",
            hint="fewer slots, a smaller precision, or another device",
        )


def load(files: MoshiFiles, where: Any, dtype: Any) -> tuple[Any, Any]:
    """Mimi and the language model, both ready to step. Raises ``Trouble``."""
    from moshi.models import loaders

    try:
        mimi = loaders.get_mimi(str(files.mimi), _plain(files.mimi_config), device=where, num_codebooks=AGENT_BOOKS)
        return mimi, _language_model(files, where, dtype)
    except (ImportError, Trouble):
        raise
    except Exception as error:  # whatever the package finds that the headers did not show
        said = " ".join(str(error).split())[:400] or type(error).__name__
        raise Trouble(f"the model in {files.folder} cannot be loaded: {said}", hint=_OTHER) from error


def cut(state: dict[str, Any], books: int, kept: int = AGENT_BOOKS) -> dict[str, Any]:
    """The weights of a depth decoder of ``books`` codebooks, cut to the first ``kept``: each codebook has its own, stacked
    or side by side, and none looks at a later one."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        if name.startswith("depformer.") and name.endswith(_STACKED):
            found[name] = value[: value.shape[0] // books * kept]
            continue
        numbered = _APART.match(name) or _SPLIT.match(name)
        if numbered and int(numbered.groups()[-1]) >= kept:
            continue
        # The last codebook is never an input.
        if name.startswith("depformer_emb.") and int(name.split(".")[1]) >= kept - 1:
            continue
        found[name] = value
    return found


def _language_model(files: MoshiFiles, where: Any, dtype: Any) -> Any:
    from moshi.models import loaders

    books = int(files.config["dep_q"])
    if books <= AGENT_BOOKS:
        return loaders.get_moshi_lm(files.weights, dict(files.config), device=where, dtype=dtype)
    import torch
    from moshi.models import LMModel
    from safetensors.torch import load_file

    arguments = {name: value for name, value in files.config.items() if name != "depformer_causal"}  # of old versions
    model = LMModel(device=torch.device("meta"), dtype=dtype, **{**arguments, "dep_q": AGENT_BOOKS})
    state = cut(load_file(files.weights, device=str(where)), books)
    # A slice keeps the memory of the whole alive.
    state = {name: value.to(dtype, copy=name.endswith(_STACKED)) for name, value in state.items()}
    # As NVIDIA's program does: what else the file may hold is left out.
    if missing := model.load_state_dict(state, strict=False, assign=True).missing_keys:
        raise Trouble(f"{files.weights}: {missing[0]} is missing (and {len(missing) - 1} more)", hint=_OTHER)
    return model.eval()


def _plain(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if config is None else dict(config)


def _can_compile() -> bool:
    """Whether torch.compile has what it needs for CUDA: Triton, and a C compiler for its starters. Without, the package
    would fail at its first step."""
    return importlib.util.find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))
