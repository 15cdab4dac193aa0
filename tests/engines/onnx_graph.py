"""A small way to write ONNX graphs, for models that are made by tests and benchmarks. Needs the package ``onnx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Shape = Sequence[int | str]
IR_VERSION = 9  # what ONNX Runtime from 1.17 on reads
OPSET = 17


class Graph:
    """Nodes, constants and ends of one graph. Every ``node`` gives the name of its output."""

    def __init__(self) -> None:
        import onnx

        self._onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, shape: Shape, kind: Any = np.float32) -> str:
        """An input of the model."""
        self._inputs.append(self._info(name, shape, kind))
        return name

    def output(self, name: str, value: str, shape: Shape, kind: Any = np.float32) -> None:
        """Gives ``value`` out as ``name``."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._info(name, shape, kind))

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """A weight."""
        name = self._name("weight")
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def whole(self, *values: int) -> str:
        """A vector of int64."""
        return self.constant(values, np.int64)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One operation with one output."""
        name = self._name(kind)
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def cast(self, value: str, kind: Any) -> str:
        """``value`` as another type."""
        return self.node("Cast", value, to=self._kind(kind))

    def save(self, path: Path, metadata: Mapping[str, Any] | None = None) -> Path:
        """Writes the model with its metadata."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, path.stem, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        helper.set_model_props(model, {key: str(value) for key, value in (metadata or {}).items()})
        self._onnx.save(model, str(path))
        return path

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def _kind(self, kind: Any) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def _info(self, name: str, shape: Shape, kind: Any) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._kind(kind), list(shape))
