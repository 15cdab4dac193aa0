"""Open speakers, closed loop: does a session interrupt or answer itself, and does it hear who interrupts?

    python benchmarks/echo.py --scenes DIR [--every 4] [--echo cancel] [--compare]

DIR has ``truth.json`` and for each scene the near end (``near``), what the assistant says (``ref``) and the room's answer
from speaker to microphone (``rir``, with delay and gain); families echo_only, bargein_echo, bargein_short_echo and
noise_echo are used. Each scene is a real ``voice.session`` in virtual time with real Silero: the assistant says the
reference from second 0, what its output really plays comes back through the room (with a saturating speaker where the
scene says so), so ducking, holding and stopping act on the echo as they do in a room. Every session is new: nothing is
known of the room at second 0.

The recogniser is a pessimist, which hears a word in every 0.35 s of any sound it is given, so that whatever passes for a
turn is answered. The baseline is a timer on Silero (0.5) behind WebRTC's AEC3 (``pip install livekit``, only with
``--compare``), stopped at its first firing, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from locara import voice
from locara.audio import RATE, Samples, pcm16, silence
from locara.devices.wav import read_wav
from locara.engines.contracts import EngineInfo, Speech, Transcript
from locara.engines.silero import Silero
from locara.testing import Room, ScriptedModel, run

FAMILIES = ("echo_only", "bargein_echo", "bargein_short_echo", "noise_echo")
WORD_SECONDS = 0.35
GRACE_SECONDS = 1.0
"""After the end of an interruption: what has not stopped the assistant by then was missed."""
QUIET = 10 ** (-50 / 20)
SATURATION = 3.0  # of the scenes' soft clipping


@dataclass(frozen=True)
class Scene:
    """One scene of truth.json; times in seconds."""

    id: str
    family: str
    near: Samples
    said: Samples
    response: Samples
    saturation: float
    begins: float
    interruption: tuple[float, float] | None


@dataclass
class Outcome:
    """What came of one scene. ``stopped``: when the assistant was interrupted; ``silent``: when its last sample sounded
    before that; ``turns``: when turns of the user that were answered had begun."""

    scene: Scene
    stopped: float | None = None
    silent: float | None = None
    turns: list[float] = field(default_factory=list)
    lowered: int = 0
    modes: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def too_early(self) -> bool:
        onset = self.scene.interruption[0] if self.scene.interruption else float("inf")
        return self.stopped is not None and self.stopped < onset

    @property
    def minutes(self) -> float:
        """Of the assistant alone, until it was stopped or the user spoke."""
        ends = [self.scene.said.size / RATE]
        ends += [self.stopped] if self.stopped is not None else []
        ends += [self.scene.interruption[0]] if self.scene.interruption else []
        return max(0.0, min(ends) - self.scene.begins) / 60


class Pessimist:
    """A recogniser that hears words in everything."""

    info = EngineInfo("pessimist", "pessimist", "Apache-2.0")

    async def load(self) -> None:
        """Ready."""

    async def close(self) -> None:
        """Nothing to close."""

    def open(self) -> _Pessimism:
        """One turn."""
        return _Pessimism()


class _Pessimism:
    def __init__(self) -> None:
        self._samples = -round(0.3 * RATE)  # the pre-roll is no sound

    async def push(self, samples: Samples) -> str | None:
        self._samples += samples.size
        return self._text()

    async def settle(self) -> Transcript:
        return Transcript(self._text(), 0.5)

    def _text(self) -> str:
        return " ".join(["something"] * max(0, round(self._samples / RATE / WORD_SECONDS)))

    async def close(self) -> None:
        """Nothing to close."""


class Recorded:
    """A voice that says a recording."""

    info = EngineInfo("recorded", "recorded", "Apache-2.0")
    rate = RATE

    def __init__(self, sound: Samples) -> None:
        self._sound = sound

    async def load(self) -> None:
        """Ready."""

    async def close(self) -> None:
        """Nothing to close."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The recording, whatever the text; a short tone for what is not the recording's text."""
        sound = self._sound if "recording" in text else silence(RATE // 10)
        for at in range(0, sound.size, RATE // 5):
            await asyncio.sleep(0.005)
            yield Speech(sound[at : at + RATE // 5])


def load(folder: Path, every: int, families: Sequence[str]) -> list[Scene]:
    """The scenes of a folder, every ``every``-th of each family."""
    truth = folder / "truth.json"
    if not truth.is_file():
        sys.exit(f"there is no {truth}: give a folder of scenes with --scenes (see the top of this file)")
    scenes: list[Scene] = []
    for family in families:
        rows = [one for one in json.loads(truth.read_text())["scenarios"] if one["family"] == family]
        for row in rows[::every]:
            overlaps = [one for one in row["overlaps"] if "interruption" in one["kind"]]
            scenes.append(
                Scene(
                    row["id"],
                    family,
                    read_wav(folder / row["near"])[0],
                    read_wav(folder / row["ref"])[0],
                    np.load(folder / row["rir"]),
                    SATURATION if row["echo"]["softclip"] else 0.0,
                    row["assistant"][0][0],
                    (overlaps[0]["start"], overlaps[0]["end"]) if overlaps else None,
                )
            )
    return scenes


async def _play(scene: Scene, echo: Any) -> Outcome:
    energy = float(np.sum(scene.response.astype(np.float64) ** 2))
    room = Room(
        scene.near,
        echo_db=10 * np.log10(energy),
        delay=0.02,
        response=scene.response[320:],
        saturation=scene.saturation,
    )
    session = voice.session(
        stt=Pessimist(),
        llm=ScriptedModel(["All right."]),
        tts=Recorded(scene.said),
        vad=Silero(),
        input=room.microphone,
        output=room.speaker,
        echo=echo,
    )
    outcome, played, started = Outcome(scene), list[Samples](), dict[int | None, float]()

    async def watch() -> None:
        async for event in session.events():
            match event.type:
                case "speech-start":
                    started.setdefault(event.turn, event.t)
                case "barge-in" if outcome.stopped is None:
                    outcome.stopped = event.t
                case "resume":
                    outcome.lowered += 1
                case "final-transcript" if event.turn in started:
                    outcome.turns.append(started[event.turn])
                case "echo-handling":
                    outcome.modes.append(getattr(event, "mode", ""))

    async def record() -> None:
        async for block in session.raw_output():
            played.append(block)

    tasks = [asyncio.create_task(watch()), asyncio.create_task(record())]
    async with session:
        session.say("recording")
        await asyncio.sleep(scene.near.size / RATE + 1.5)
        outcome.metrics = session.metrics()
    await asyncio.gather(*tasks)
    if outcome.stopped is not None:
        sound = np.concatenate(played)[: round((outcome.stopped + 0.05) * session.output_rate)]
        loud = np.flatnonzero(np.abs(sound) > QUIET)
        outcome.silent = float(loud[-1]) / session.output_rate if loud.size else outcome.stopped
    return outcome


def baseline(scene: Scene, waits: Sequence[float], detector: Any) -> dict[float, float | None]:
    """When a timer on Silero behind AEC3 first fires, for each wait in seconds."""
    from livekit.rtc import AudioFrame, apm

    said = scene.said
    driven = np.tanh(scene.saturation * said) / scene.saturation if scene.saturation else said
    size = 1 << (said.size + scene.response.size).bit_length()
    echo = np.fft.irfft(np.fft.rfft(driven, size) * np.fft.rfft(scene.response, size), size)[: said.size]
    heard = (scene.near[: said.size] + echo).astype(np.float32)
    module = apm.AudioProcessingModule(echo_cancellation=True, high_pass_filter=True)
    out = bytearray()
    for at in range(0, said.size - 159, 160):
        module.process_reverse_stream(AudioFrame(bytearray(pcm16(said[at : at + 160])), RATE, 1, 160))
        frame = AudioFrame(bytearray(pcm16(heard[at : at + 160])), RATE, 1, 160)
        module.process_stream(frame)
        out += bytes(frame.data.cast("B"))
    clean = np.frombuffer(bytes(out), "<i2").astype(np.float32) / 32768
    detector.reset()
    fired: dict[float, float | None] = dict.fromkeys(waits)
    run_of, on = 0, False
    for number, at in enumerate(range(0, clean.size - 511, 512)):
        on = detector.probability(clean[at : at + 512]) >= (0.35 if on else 0.5)
        run_of = run_of + 1 if on else 0
        for wait in waits:
            if fired[wait] is None and run_of * 512 / RATE >= wait:
                fired[wait] = (number + 1) * 512 / RATE
    return fired


def report(name: str, outcomes: Sequence[Outcome]) -> None:
    """One row of the table."""
    alone = [one for one in outcomes if one.scene.family == "echo_only"]
    interrupted = [one for one in outcomes if one.scene.interruption]
    noisy = [one for one in outcomes if one.scene.family == "noise_echo"]
    early = [one for one in interrupted if one.too_early]
    heard, missed = [], 0
    for one in interrupted:
        assert one.scene.interruption is not None
        onset, end = one.scene.interruption
        if one.too_early:
            continue
        if one.stopped is None or one.stopped > end + GRACE_SECONDS:
            missed += 1
        else:
            heard.append(max(0.0, (one.silent if one.silent is not None else one.stopped) - onset))
    false = sum(one.too_early for one in alone) + len(early)
    minutes = sum(one.minutes for one in (*alone, *interrupted))
    answered = sum(
        sum(1 for at in one.turns if one.scene.interruption is None or at < one.scene.interruption[0] - 0.3)
        for one in (*alone, *interrupted)
    )
    p50, p95 = (1000 * np.percentile(heard, q) if heard else float("nan") for q in (50, 95))
    lowered = sum(one.lowered for one in alone)
    print(
        f"| {name} | {false / max(1e-9, minutes):.2f} ({false}) | {len(early)}/{len(interrupted)} "
        f"| {missed}/{len(interrupted) - len(early)} | {p50:.0f} / {p95:.0f} | {answered} "
        f"| {sum(one.stopped is not None for one in noisy)}/{len(noisy)} "
        f"| {lowered / max(1e-9, sum(one.minutes for one in alone)):.1f} |",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument(
        "--echo", nargs="*", default=["cancel"], help='settings of echo=, such as "cancel" "headphones"'
    )
    parser.add_argument("--compare", action="store_true", help="the baseline too (needs livekit)")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    scenes = load(options.scenes, options.every, options.families)
    print(f"{len(scenes)} scenes, {sum(one.said.size for one in scenes) / RATE / 60:.1f} minutes\n")
    print(
        "| | false a minute | before the user | missed | stop ms p50 / p95 | self-answers | noises | lowered a minute |"
    )
    print("|---|---|---|---|---|---|---|---|")
    if options.compare:
        detector, waits = Silero(), (0.2, 0.5)
        asyncio.run(detector.load())
        fired = [(one, baseline(one, waits, detector)) for one in scenes]
        for wait in waits:
            report(
                f"AEC3, Silero {wait:g} s",
                [Outcome(one, stopped=when[wait], silent=when[wait]) for one, when in fired],
            )
    for echo in options.echo:
        began, outcomes = time.process_time(), list[Outcome]()
        for scene in scenes:
            outcomes.append(run(_play(scene, echo), charge=0.0))
            if options.verbose:
                last = outcomes[-1]
                onset = scene.interruption[0] if scene.interruption else None
                print(scene.id, "onset", onset, "stopped", last.stopped, "silent", last.silent, last.turns, last.modes)
        report(f'locara echo="{echo}"', outcomes)
        seconds = sum(one.near.size for one in scenes) / RATE
        print(f"\n{(time.process_time() - began) / seconds:.3f} CPU seconds a second of conversation, all told")


if __name__ == "__main__":
    main()
