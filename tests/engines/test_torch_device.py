"""Where torch computes: chosen from what it says it has. What it says is given: torch is not in this environment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from locara.engines import torch_device
from locara.engines.isolated_worker import Trouble


def _torch(*, cuda: bool, mps: bool | None) -> Any:
    """``mps``: None for a torch that does not know the word."""
    metal = {} if mps is None else {"mps": SimpleNamespace(is_available=lambda: mps)}
    return SimpleNamespace(
        __version__="2.13", cuda=SimpleNamespace(is_available=lambda: cuda), backends=SimpleNamespace(**metal)
    )


@pytest.mark.parametrize(("cuda", "chosen"), [(True, "cuda"), (False, "cpu")])
@pytest.mark.parametrize("mps", [True, False, None])
def test_what_is_not_said_is_cuda_or_the_processor(cuda: bool, mps: bool | None, chosen: str) -> None:
    assert torch_device.choose(_torch(cuda=cuda, mps=mps), "auto") == chosen


@pytest.mark.parametrize("wanted", ["cpu", "cuda", "mps"])
def test_what_is_there_is_taken(wanted: str) -> None:
    assert torch_device.choose(_torch(cuda=True, mps=True), wanted) == wanted


@pytest.mark.parametrize(("wanted", "mps"), [("cuda", True), ("mps", False), ("mps", None)])
def test_what_is_not_there_is_refused_with_what_to_do(wanted: str, mps: bool | None) -> None:
    with pytest.raises(Trouble, match=rf"torch 2\.13 has no {wanted} here") as caught:
        torch_device.choose(_torch(cuda=False, mps=mps), wanted)
    assert "device=cpu" in caught.value.hint
