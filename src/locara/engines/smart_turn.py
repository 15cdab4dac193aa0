"""End of turn by Smart Turn v3 (pipecat-ai, BSD-2-Clause), an ONNX model that hears how a sentence is spoken.

What may live here: this one detector: which file it is, that it is the right one, one answer of it, and what its answer
weighs beside that of `prosody`. How the sound becomes its input stands in `smart_turn_features`, how two answers become one
in `blended_turn`. The weights are not part of Locara and nothing is downloaded: they are found where the Hugging Face client
keeps them, or where ``path`` says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import Samples
from locara.engines import hugging_face, onnx_runtime, prosody, smart_turn_features
from locara.engines.blended_turn import Blend, Blended
from locara.engines.contracts import EngineInfo, TurnDetector
from locara.engines.lane import Lane
from locara.errors import ConfigError, EngineFailed, EngineMissing

MODELS = ("smart-turn", "smart-turn-v3.2")
"""The second is what the catalog calls it."""
REPOSITORY = "pipecat-ai/smart-turn-v3"
FILE = "smart-turn-v3.2-cpu.onnx"
"""The newest file for processors: int8, 8.7 MB. The other one, ``-gpu``, is float32, 32 MB, and runs here too."""

_LOAD_SECONDS = 60.0
_ANSWER_SECONDS = 2.0
"""Deadline of one answer. It takes 50 to 250 ms of one core; after 2 s the silence itself has answered."""

BLEND = Blend(main=0.3, second=1.5, bias=0.0)
"""Logistic regression on 401 ends and pauses of one seed of composed scenes, prosody by weights that had not heard the clip:
0.28, 1.47 and -0.04, both halves alike (0.22 and 0.36, 1.41 and 1.56). This model is far too sure of itself there, prosody
too cautious. On two other seeds the same fit gives 0.42 and 0.26, 1.53 and 2.03; docs/benchmarks.md has what it brings."""

_VERSION = re.compile(r"smart-turn-v(\d+)\.(\d+)(-cpu|-gpu)?\.onnx")


def create(model: str, options: Mapping[str, Any]) -> TurnDetector | None:
    """The detector, or None when ``model`` is not one of `MODELS`.

    ``path``: the ONNX file, or a folder that holds it. Without it, the cache of the Hugging Face client is searched.
    ``blend``: whether `prosody` is asked too (True) or this model answers alone (False). ``weights``: a file for prosody
    of your own, as there.
    """
    if model not in MODELS:
        return None
    if unknown := set(options) - {"path", "engine", "blend", "weights"}:
        raise ConfigError(
            f"smart-turn has no option {', '.join(map(repr, sorted(unknown)))}",
            hint="it knows path (the ONNX file, or a folder that holds it), blend (True or False) and weights (of prosody)",
        )
    blend = options.get("blend", True)
    if not isinstance(blend, bool):
        raise ConfigError(f"smart-turn: blend={blend!r} is neither True nor False", hint="True also asks prosody")
    path = options.get("path")
    if path is not None and not (isinstance(path, str | os.PathLike) and os.fspath(path)):
        raise ConfigError(f"smart-turn: path={path!r} is no path", hint="name the ONNX file, or a folder that holds it")
    alone = SmartTurn(None if path is None else Path(path))
    if not blend:
        return alone
    second = prosody.create("prosody", {key: options[key] for key in ("weights",) if key in options})
    assert second is not None
    return Blended(alone, second, BLEND)


class SmartTurn:
    """See `locara.engines.contracts.TurnDetector`. ``path``: the file or its folder; None searches the usual place."""

    seconds = float(smart_turn_features.SECONDS)

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._file: Path | None = None
        self._runtime: Any = None
        self._session: Any = None
        self._lane = Lane("smart-turn", stage="turn", model=MODELS[0])

    @property
    def info(self) -> EngineInfo:
        """What it is, and once loaded which file."""
        return EngineInfo(
            engine="onnxruntime",
            model=MODELS[0],
            licence="BSD-2-Clause",
            streaming=False,
            note="" if self._file is None else self._file.name,
            sharing="shared",
        )

    async def load(self) -> None:
        """Finds and loads the weights, and answers once. Raises ``EngineMissing`` or ``EngineFailed``."""
        await self._lane.run(self._load, deadline=_LOAD_SECONDS)

    async def close(self) -> None:
        """Ends its thread and frees the weights."""
        self._lane.close()
        self._session = None

    async def finished(self, samples: Samples) -> float:
        """How likely the speaker has finished, 0 to 1.

        ``samples``: float32 mono at 16 kHz, shape ``(n,)``: the turn from its beginning, at most its last 8 s, with the
        pause at its end. Computed on a thread of its own; a cancelled question stops at the model's next layer. Raises
        ``AudioError``, ``EngineFailed`` or ``EngineTimeout``.
        """
        if self._session is None:
            raise EngineFailed(
                "turn: smart-turn is not loaded", stage="turn", model=MODELS[0], hint="await load() first"
            )
        run = self._runtime.RunOptions()
        return await self._lane.run(
            lambda: self._answer(samples, run),
            deadline=_ANSWER_SECONDS,
            abandon=lambda: setattr(run, "terminate", True),
        )

    def _load(self) -> None:
        self._file = find(self._path)
        self._runtime = onnx_runtime.library(stage="turn", model=MODELS[0], extra="smart-turn")
        session = onnx_runtime.session(self._runtime, self._file, stage="turn", model=MODELS[0], hint=_where())
        _check(session, self._file)
        self._session = session
        self._answer(np.zeros(smart_turn_features.LENGTH, np.float32), self._runtime.RunOptions())

    def _answer(self, samples: Samples, run: Any) -> float:
        session = self._session
        if session is None:  # closed while this question stood in the queue
            raise EngineFailed("turn: smart-turn was closed", stage="turn", model=MODELS[0], hint="load it again")
        heard = smart_turn_features.features(samples)[None]
        try:
            # The output is called "logits", but the model ends with a sigmoid: it is a probability.
            (answer,) = session.run(None, {session.get_inputs()[0].name: heard}, run)
        except Exception as error:
            raise EngineFailed(
                f"turn: smart-turn failed: {error}", stage="turn", model=MODELS[0], hint=_where()
            ) from error
        finished = float(np.asarray(answer).reshape(-1)[0])
        if not 0.0 <= finished <= 1.0:
            raise EngineFailed(
                f"turn: smart-turn answered {finished}, which is no probability",
                stage="turn",
                model=MODELS[0],
                hint=_where(),
            )
        return finished


def find(path: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The ONNX file: ``path`` itself, the best one in the folder ``path``, or the one in the Hugging Face cache.

    In a folder the highest version counts, of that the file for processors; a folder with one ONNX file of any name is
    clear too. Raises ``EngineMissing`` and says what to fetch from where.
    """
    if path is None:
        for folder in hugging_face.snapshots(REPOSITORY, environment):
            if best := _best(folder):
                return best
        searched = f"it is not in the cache of Hugging Face ({hugging_face.cache(environment)})"
    else:
        path = path.expanduser()
        if path.is_file():
            return path
        if path.is_dir() and (best := _best(path)):
            return best
        searched = f"{path} holds no single ONNX file" if path.is_dir() else f"there is no file {path}"
    raise EngineMissing(f"turn: smart-turn has no weights: {searched}", stage="turn", model=MODELS[0], hint=_where())


def _best(folder: Path) -> Path | None:
    known: list[tuple[int, int, bool, Path]] = []
    others = sorted(folder.glob("*.onnx"))
    for one in others:
        if match := _VERSION.fullmatch(one.name):
            known.append((int(match[1]), int(match[2]), match[3] != "-gpu", one))
    if known:
        return max(known)[-1]
    return others[0] if len(others) == 1 else None


def _check(session: Any, file: Path) -> None:
    """Another model of the same kind is welcome; another kind of model would give nonsense without a word."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    wanted = [smart_turn_features.BANDS, smart_turn_features.FRAMES]
    if (
        len(inputs) == 1
        and len(outputs) == 1
        and inputs[0].type == outputs[0].type == "tensor(float)"
        and list(inputs[0].shape)[1:] == wanted
        and list(outputs[0].shape)[1:] == [1]
    ):
        return
    told = ", ".join(f"{one.name} {one.type} {list(one.shape)}" for one in (*inputs, *outputs))
    raise EngineFailed(
        f"turn: {file} is no Smart Turn v3 model: it has {told}; wanted is one float input of [n, 80, 800] and one float "
        "output of [n, 1]",
        stage="turn",
        model=MODELS[0],
        hint=_where(),
    )


def _where() -> str:
    return (
        f"download {FILE} (8.7 MB, BSD-2-Clause) from the repository {REPOSITORY} on huggingface.co and give its "
        'place: {"model": "smart-turn", "path": "..."}'
    )
