"""ONNX Runtime (MIT), the way Locara runs it: on the CPU, one thread, no spinning, and silent towards its maker.

What may live here: how the library is imported and how a file becomes a session. Every engine that runs ONNX files comes
through here, because from release 1.29 on the official packages for Linux, macOS and Windows report each start and each
model to Microsoft unless ``ORT_DISABLE_TELEMETRY`` is set before the library starts (its ``Privacy.md``; upstream pull
request 27379). Calling ``disable_telemetry_events()`` alone is too late: by then it has written an identifier of the
device into the user's cache folder. Both were seen with release 1.32 on Linux; with the variable set it writes nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

from locara.errors import EngineFailed, EngineMissing

_log = logging.getLogger("locara")

QUIET = "ORT_DISABLE_TELEMETRY"
"""The environment variable that turns the reports off, for this process and for those it starts."""
LARGEST = 256 * 2**20
"""Bytes of the largest file that is read: a small model by far, and no way to fill the memory with a mistaken path."""


def library(*, stage: str, model: str, extra: str) -> Any:
    """The module ``onnxruntime`` with its reports turned off. Imports it: call this on a `Lane`.

    Raises ``EngineMissing`` if it is not installed, ``EngineFailed`` if it cannot be imported. ``extra`` names the extra
    of Locara that brings it.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise EngineMissing(
            f"{stage}: {model} runs on onnxruntime, which is not installed",
            stage=stage,
            model=model,
            hint=f"pip install 'locara[{extra}]'",
        )
    late = "onnxruntime" in sys.modules and os.environ.get(QUIET) != "1"
    os.environ[QUIET] = "1"
    try:
        runtime = importlib.import_module("onnxruntime")
        runtime.disable_telemetry_events()
    except Exception as error:
        raise EngineFailed(
            f"{stage}: onnxruntime cannot be imported: {error!r}",
            stage=stage,
            model=model,
            hint=f"pip install --force-reinstall 'locara[{extra}]'",
        ) from error
    if late:
        _log.warning(
            "onnxruntime was imported before Locara asked for it and may have reported that to Microsoft; "
            "set %s=1 in the environment of the program to prevent it",
            QUIET,
        )
    return runtime


def options(runtime: Any, threads: int = 1) -> Any:
    """How a session is run beside a conversation: the audio and the loop need the other cores, so one thread unless a
    model is too slow for that; and a thread that waits must sleep, for the default is to spin."""
    chosen = runtime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen.add_session_config_entry("session.inter_op.allow_spinning", "0")
    chosen.log_severity_level = 4  # fatal: what goes wrong is raised, and said by us
    return chosen


class Run:
    """One piece of work that may be stopped from another thread: pass ``options`` to every ``run`` of a session. What runs
    then ends with an exception within one step of the graph, and ``stopped`` says why."""

    def __init__(self, runtime: Any) -> None:
        self.options = runtime.RunOptions()
        self.options.log_severity_level = 4  # a run that is stopped would be told on standard error
        self.stopped = False

    def stop(self) -> None:
        """From any thread, also twice."""
        self.stopped = True
        self.options.terminate = True


def session(runtime: Any, path: Path, *, stage: str, model: str, hint: str, threads: int = 1, largest: int = 0) -> Any:
    """The model in the file, ready to run. From its bytes, not its path: then it cannot name other files as its weights.
    ``largest``: bytes that are read at most, if it is not `LARGEST`.

    Raises ``EngineMissing`` if the file cannot be read, ``EngineFailed`` if it is no ONNX model that runs here; both end
    with ``hint``.
    """
    largest = largest or LARGEST
    try:
        size = path.stat().st_size
        if size > largest:
            raise EngineFailed(
                f"{stage}: {path} has {size / 2**20:.0f} MB, and {largest / 2**20:.0f} MB is the most that is read",
                stage=stage,
                model=model,
                hint=hint,
            )
        weights = path.read_bytes()
    except OSError as error:
        raise EngineMissing(
            f"{stage}: {path} cannot be read: {error.strerror or error}", stage=stage, model=model, hint=hint
        ) from error
    try:
        return runtime.InferenceSession(weights, options(runtime, threads), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineFailed(
            f"{stage}: {path} is no ONNX model that onnxruntime {runtime.__version__} can run: {_first_line(error)}",
            stage=stage,
            model=model,
            hint=hint,
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
