"""The tensors of a ``.pt`` file of PyTorch, read without PyTorch and without running anything that is in it.

What may live here: this reading. Such a file is a ZIP archive with a pickle that names tensors, and their numbers beside it,
not compressed (``torch.save`` since 1.6). The pickle may name nothing but the few things that put tensors together, so it
cannot run a program. Source: ``torch/serialization.py`` and ``torch/_weights_only_unpickler.py`` of PyTorch (BSD-3-Clause).
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

_TYPES: dict[str, str] = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bf16", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip
_BRAIN = "bf16"
"""numpy has no such type: its bits are the upper half of a 32-bit number."""


class NotTensors(ValueError):
    """The file is no archive of tensors, wants more than tensors, or is torn. The message says which."""


def read(path: Path, most: int) -> dict[str, Numbers]:
    """The tensors of a file that holds a table of them, by their names. bf16 becomes float32. ``most``: bytes that may be
    read from the archive. Raises `NotTensors`, and ``OSError``."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.namelist() if one.endswith("/data.pkl")]
            if len(names) != 1:
                raise NotTensors("it is an archive of something else")
            if sum(one.file_size for one in archive.infolist()) > most:
                raise NotTensors(f"it unpacks to more than {most} bytes")
            told = _Reader(archive, names[0].removesuffix("data.pkl")).load()
    except NotTensors:
        raise
    except OSError:
        raise
    except Exception as error:  # a pickle that is torn can fail in any way
        raise NotTensors(f"it cannot be read: {' '.join(str(error).split())[:200] or type(error).__name__}") from None
    if not isinstance(told, dict):
        raise NotTensors("it holds no table of tensors")
    return {str(name): one for name, one in told.items() if isinstance(one, np.ndarray)}


class _Reader(pickle.Unpickler):
    """Knows three functions and ten types of numbers; whatever else a pickle names is refused."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise NotTensors(f"it wants {module}.{name}, which is no tensor: it could run any program")

    def persistent_load(self, told: Any) -> Numbers:
        kind, dtype, key, _place, count = told
        if kind != "storage" or dtype not in _TYPES.values():
            raise NotTensors(f"it names {kind!r}")
        data = self._archive.read(f"{self._folder}data/{key}")
        brain = dtype == _BRAIN
        numbers = np.frombuffer(data, "<u2" if brain else dtype, count=int(count))
        return (numbers.astype(np.uint32) << 16).view(np.float32) if brain else numbers


def _tensor(numbers: Numbers, start: int, shape: Sequence[int], strides: Sequence[int], *_more: Any) -> Numbers:
    """The tensor as it lies in its storage; strides are in numbers, as PyTorch has them."""
    if min((start, *shape, *strides), default=0) < 0:
        raise NotTensors("a tensor lies outside of its storage")
    last = start + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape or last >= numbers.size or math.prod(shape) > numbers.size:
        raise NotTensors("a tensor lies outside of its storage")
    places = np.full(tuple(shape), start)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        steps = [1] * len(shape)
        steps[axis] = size
        places = places + (np.arange(size) * stride).reshape(steps)
    found: Numbers = numbers[places]
    return found
