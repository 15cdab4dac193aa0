"""What is kept of a conversation: its events as JSON lines, both sides as one WAV, and a picture of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TextIO

import numpy as np

from locara.audio import RATE, Samples, resample
from locara.devices.wav import write_wav
from locara.errors import AudioError
from locara.voice.conversation import Session
from locara.voice.events import Event, to_json
from locara.voice.timeline import Timeline, draw

MAX_SECONDS = 1800.0
"""A recording of both sides ends after half an hour: it is held in memory (115 kB a second) until the end."""


_LAST_SECONDS = 5.0  # for the last blocks of a session that has ended


class EventsFile:
    """Events as JSON lines, each written when it happens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise AudioError(
                f"{path} cannot be written: {error.strerror}", hint="give another --events file"
            ) from error

    def write(self, event: Event) -> None:
        """One line."""
        try:
            self._file.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise AudioError(f"{self._path} cannot be written: {error.strerror}", hint="is the disk full?") from error

    def close(self) -> None:
        """Done."""
        with contextlib.suppress(OSError):  # what could not be written was already told
            self._file.close()


class Recording:
    """Both sides of a conversation from its start, for ``save``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.events: list[Event] = []
        self._heard: list[Samples] = []
        self._played: list[Samples] = []
        self._tasks = [
            asyncio.create_task(_collect(session.raw_input(), self._heard)),
            asyncio.create_task(_collect(session.raw_output(), self._played)),
        ]

    async def save(self, folder: Path, title: str) -> list[Path]:
        """Writes ``conversation.wav`` (left: the user, right: the assistant), ``timeline.svg`` and ``events.jsonl``."""
        await asyncio.wait(self._tasks, timeout=_LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        rate = self._session.output_rate
        user, assistant = _joined(self._heard), _joined(self._played)
        paths = [folder / "conversation.wav", folder / "timeline.svg", folder / "events.jsonl"]
        write_wav(paths[0], [resample(user, RATE, rate), assistant], rate)
        _write(paths[1], draw(Timeline(user, RATE, assistant, rate, self.events, title)))
        lines = (json.dumps(to_json(event, audio=False), ensure_ascii=False) for event in self.events)
        _write(paths[2], "\n".join(lines) + "\n")
        return paths


def make_folder(folder: Path) -> None:
    """Makes the folder of a recording. Raises ``AudioError``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"{folder} cannot be made: {error.strerror}", hint="give another --record folder") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AudioError(f"{path} cannot be written: {error.strerror}", hint="give another --record folder") from error


async def _collect(blocks: AsyncIterator[Samples], into: list[Samples]) -> None:
    limit = int(MAX_SECONDS * RATE / 320)
    async for block in blocks:
        if len(into) < limit:
            into.append(block)


def _joined(blocks: list[Samples]) -> Samples:
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
