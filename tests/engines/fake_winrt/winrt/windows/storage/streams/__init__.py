from __future__ import annotations

from typing import Any


class Operation:
    def __init__(self, result: Any) -> None:
        self._result = result

    def get(self) -> Any:
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


class DataReader:
    def __init__(self, input_stream: bytes, /) -> None:
        self._data = input_stream

    def load_async(self, count: int, /) -> Operation:
        self._data = self._data[:count]
        return Operation(len(self._data))

    def read_bytes(self, value: bytearray, /) -> None:
        assert len(value) == len(self._data)
        value[:] = self._data

    def close(self) -> None:
        self._data = b""
