"""Barge-in on real voices: how fast a reply gives way, and what it survives. In virtual time, with headphones.

    python benchmarks/barge_in.py --scenes DIR [--families bargein_headset,backchannel_headset] [--limit N] [--json FILE]

Without ``--charge`` the work of pocketsphinx is charged the processor time that its process took (Linux; elsewhere the time
that passed, which on a busy machine is longer).

DIR holds ``truth.json`` and the WAV files it names, at 16 kHz: scenes in which an assistant speaks (``ref``) and somebody
interrupts it, listens aloud ("mm-hm") or makes a noise (``mic``). Each scene is one real session: Silero and pocketsphinx
are real and take the time that they take, the language model and the voice are scripted. The reply is the scene's ``ref``,
from second 0; it is really lowered, held and stopped, and after an interruption a reply goes on where ``ref`` is by then,
so that every sound of a scene meets a speaking assistant.

Times are in milliseconds from the first sample of the sound, as ``truth.json`` has it:
  duck      until the output is below half of what it would have been, measured in the recording of the output
  silence   until the last audible sample of it (above -60 dBFS), or until it was held or stopped if it paused by itself
  barge-in  until the event: the floor is the user's
  resume    from the end of a noise to the ``resume`` event
An interruption is *yielded* if the barge-in comes within 2 s; a backchannel *survived* without a barge-in within 1 s (the
windows of tau-voice), or without any until the next sound ("for good"); a noise without any.
Beside it, on the same sound: a timer on Silero at 0.5, which stops after N seconds of speech and never comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from locara.audio import RATE, Samples
from locara.devices.wav import read_wav
from locara.engines import registry
from locara.engines.contracts import EngineInfo, Speech
from locara.testing import Conversation, Result, ScriptedModel, play
from locara.voice import Session, events

FAMILIES = ("bargein_headset", "bargein_short", "backchannel_headset", "noise_headset")
YIELD_WITHIN, SURVIVE_WITHIN = 2.0, 1.0
TIMERS = (0.2, 0.5)
AUDIBLE = 0.001
STATE_SECONDS = 0.005
"""How often the assistant's state is looked at."""


class Replay:
    """A voice that speaks a recording, from where it is by the session's clock."""

    rate = RATE

    def __init__(self, recording: Samples) -> None:
        self.info = EngineInfo("scripted", "a recording", "Apache-2.0")
        self._recording = recording
        self.began: float | None = None

    async def load(self) -> None:
        """Ready at once."""

    async def close(self) -> None:
        """Nothing to close."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The rest of the recording in pieces of 0.2 s, at once."""
        now = asyncio.get_running_loop().time()
        if self.began is None:
            self.began = now
        rest = self._recording[round((now - self.began) * RATE) :]
        for at in range(0, rest.size, RATE // 5):
            yield Speech(rest[at : at + RATE // 5])


class ProcessorTime:
    """What a call of pocketsphinx costs: the processor time of its process since the last call, in seconds."""

    def __init__(self, sphinx: Any) -> None:
        self._sphinx = sphinx
        self._life = (0, 0.0)

    def __call__(self, real_seconds: float) -> float:
        """``real_seconds`` where the system does not tell."""
        pid = self._sphinx.child.pid
        if pid is None:
            return real_seconds
        try:
            tasks = Path(f"/proc/{pid}/task").iterdir()
            used = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        except OSError:
            return real_seconds
        before = self._life[1] if self._life[0] == pid else 0.0
        self._life = (pid, used)
        return min(real_seconds, used - before)


@dataclass
class Sound:
    """One sound of the user during the reply, and what came of it. Seconds, on the scene's clock."""

    scene: str
    kind: str
    clip: str
    start: float
    end: float
    duck: float | None = None
    silence: float | None = None
    barge_in: float | None = None
    resume: float | None = None
    lowered: bool = False
    """The reply was lowered or held at all."""
    texts: list[tuple[float, str]] = field(default_factory=list)
    reason: str = ""
    timers: dict[float, float | None] = field(default_factory=dict)


def main() -> int:
    """Prints the table."""
    args = _arguments()
    truth = args.scenes / "truth.json"
    if not truth.is_file():
        print(f"{truth} is missing: --scenes names a folder of scenes with their truth.json", file=sys.stderr)
        return 2
    wanted = args.families.split(",")
    scenes = [one for one in json.loads(truth.read_text())["scenarios"] if one["family"] in wanted]
    if not scenes:
        print(f"{truth} has no scene of {', '.join(wanted)}", file=sys.stderr)
        return 2
    sounds: list[Sound] = []
    for number, scene in enumerate(_some(scenes, args.limit), start=1):
        print(f"\r{number} {scene['id']}          ", end="", file=sys.stderr, flush=True)
        sounds += run_scene(args.scenes, scene, args.charge)
    print(file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps([asdict(one) for one in sounds], indent=1))
    report(sounds)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scenes", type=Path, required=True, help="folder with truth.json")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--limit", type=int, default=0, help="scenes of each family, 0 for all")
    parser.add_argument("--charge", type=float, default=None, help="seconds for each call of an engine, not measured")
    parser.add_argument("--json", type=Path, help="write what came of every sound")
    return parser.parse_args()


def _some(scenes: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    seen: dict[str, int] = {}
    for one in scenes:
        seen[one["family"]] = seen.get(one["family"], 0) + 1
        one["number"] = seen[one["family"]]
    return [one for one in scenes if not limit or one["number"] <= limit]


# --- one scene --------------------------------------------------------------------------------------------------------


def run_scene(folder: Path, scene: dict[str, Any], charge: float | None) -> list[Sound]:
    """Plays a scene and finds out what became of its sounds."""
    user, _ = read_wav(folder / scene["mic"])
    reply, _ = read_wav(folder / scene["ref"])
    states: list[tuple[float, str]] = []
    voice = Replay(reply)

    async def acts(session: Session) -> None:
        began = asyncio.get_running_loop().time()
        session.say("As recorded.")
        while True:
            await asyncio.sleep(STATE_SECONDS)
            state = session.state[1]
            if not states or states[-1][1] != state:
                states.append((asyncio.get_running_loop().time() - began, state))

    recogniser: Any = registry.create("stt", "pocketsphinx", {})
    result = play(
        Conversation([], more=user.size / RATE),
        stt=recogniser,
        vad=registry.create("vad", "silero", {}),  # type: ignore[arg-type]
        llm=ScriptedModel(["As recorded."]),
        tts=voice,
        user=user,
        acts=acts,
        charge=ProcessorTime(recogniser) if charge is None else charge,
    )
    spans = silero_spans(user)
    sounds = [
        Sound(scene["id"], one["kind"], one["clip"].rpartition("/")[2], one["start"], one["end"])
        for one in scene["overlaps"]
    ]
    for number, sound in enumerate(sounds):
        until = sounds[number + 1].start if number + 1 < len(sounds) else user.size / RATE
        _look(sound, until, result, states)
        for timer in TIMERS:
            fired = [on + timer for on, off in spans if off - on >= timer and sound.start <= on + timer < until]
            sound.timers[timer] = fired[0] - sound.start if fired else None
    if sounds:
        sounds[0].duck = _duck(sounds[0], result, reply)
    return sounds


def _look(sound: Sound, until: float, result: Result, states: Sequence[tuple[float, str]]) -> None:
    mine = [one for one in result.events if sound.start <= one.t < until]
    barge = next((one.t for one in mine if one.type == "barge-in"), None)
    resumed = [one.t for one in mine if one.type == "resume"]
    sound.barge_in = None if barge is None else barge - sound.start
    sound.resume = resumed[-1] - sound.end if resumed else None
    sound.lowered = any(state in ("ducked", "held") for t, state in states if sound.start <= t < until)
    sound.texts = [
        (round(one.t - sound.start, 2), one.text) for one in mine if isinstance(one, events.PartialTranscript)
    ]
    sound.reason = ",".join(one.reason for one in mine if isinstance(one, events.Rejected))
    stands = [t for t, state in states if sound.start <= t < until and state in ("held", "idle")]
    if barge is not None and stands:
        begin, end = (round(t * result.output_rate) for t in (sound.start, barge + 0.1))
        loud = np.flatnonzero(np.abs(result.output[begin:end]) > AUDIBLE)
        last = loud[-1] / result.output_rate if loud.size else 0.0
        sound.silence = max(last, stands[0] - sound.start)


def _duck(sound: Sound, result: Result, reply: Samples) -> float | None:
    """Where the output falls below half of the reply, by blocks of 5 ms. Only for the first sound of a scene: until then
    the reply runs as recorded. None where the reply itself is silent just then."""
    rate = result.output_rate
    step = rate // 200
    power = _power(result.output, step)
    said = _power(reply, RATE // 200)
    offset = _first(power) - _first(said)
    for at in range(int(sound.start * 200), min(power.size, int((sound.start + 1.0) * 200))):
        if at - offset >= said.size:
            return None
        if said[at - offset] < 1e-5:
            if at - sound.start * 200 < 20:
                continue
            return None
        if power[at] < 0.25 * said[at - offset]:
            return at / 200 - sound.start
    return None


def _power(samples: Samples, step: int) -> Samples:
    whole = samples.size // step
    power: Samples = np.mean(samples[: whole * step].reshape(whole, step) ** 2, axis=1, dtype=np.float32)
    return power


def _first(power: Samples) -> int:
    loud = np.flatnonzero(power > 1e-5)
    return int(loud[0]) if loud.size else 0


def silero_spans(sound: Samples) -> list[tuple[float, float]]:
    """Where Silero is at 0.5 or above, without a break: (on, off) in seconds."""
    detector: Any = registry.create("vad", "silero", {})
    asyncio.run(detector.load())
    size, spans = detector.window, []
    on: float | None = None
    for at in range(0, sound.size - size + 1, size):
        voice = detector.probability(sound[at : at + size]) >= 0.5
        if voice and on is None:
            on = at / RATE
        elif not voice and on is not None:
            spans.append((on, at / RATE))
            on = None
    asyncio.run(detector.close())
    return spans if on is None else [*spans, (on, sound.size / RATE)]


# --- the table --------------------------------------------------------------------------------------------------------


def report(sounds: Sequence[Sound]) -> None:
    """What came of all of them."""
    meant = [one for one in sounds if one.kind == "interruption"]
    short = [one for one in sounds if one.kind == "short_interruption"]
    listening = [one for one in sounds if one.kind == "backchannel"]
    noises = [one for one in sounds if one.kind == "noise"]
    both = [*meant, *short]
    ducks = [one.duck for one in both if one.duck is not None]
    print(f"| figure | n | locara | {' | '.join(f'Silero, {timer:g} s of speech' for timer in TIMERS)} |")
    print("|---|---|---|" + "---|" * len(TIMERS))
    _row("onset to duck, p50 / p95 ms", len(ducks), _ms(ducks), ["-"] * len(TIMERS))
    timed = [[one.timers[timer] for one in both if one.timers[timer] is not None] for timer in TIMERS]
    silences = [one.silence for one in both if one.silence is not None]
    _row("onset to silence, p50 / p95 ms", len(silences), _ms(silences), [_ms(one) for one in timed])
    for name, group in (("sentences", meant), ("short words", short)):
        taken = [one.barge_in for one in group if one.barge_in is not None]
        same = [[one.timers[timer] for one in group if one.timers[timer] is not None] for timer in TIMERS]
        _row(f"{name}: onset to barge-in, p50 / p95 ms", len(taken), _ms(taken), [_ms(one) for one in same])
        yielded = [_share(one.barge_in, YIELD_WITHIN) for one in group]
        others = [[_share(one.timers[timer], YIELD_WITHIN) for one in group] for timer in TIMERS]
        _row(f"{name}: yielded within 2 s", len(group), _of(yielded), [_of(one) for one in others])
    for name, group, within in (
        ("backchannels survived, 1 s", listening, SURVIVE_WITHIN),
        ("backchannels survived, for good", listening, 1e9),
        ("noises survived", noises, 1e9),
    ):
        kept = [not _share(one.barge_in, within) for one in group]
        others = [[not _share(one.timers[timer], within) for one in group] for timer in TIMERS]
        _row(name, len(group), _of(kept), [_of(one) for one in others])
    wordless = [one for one in noises if one.lowered and one.barge_in is None and one.resume is not None]
    after = [max(0.0, one.resume) for one in wordless if one.resume is not None]
    _row("resume after a noise ended, p50 / p95 ms", len(after), _ms(after), ["never"] * len(TIMERS))
    back = [one.resume for one in listening if one.barge_in is None and one.resume is not None]
    _row("resume after a backchannel ended, p50 / p95 ms", len(back), _ms(back), ["never"] * len(TIMERS))


def _row(name: str, n: int, mine: str, others: Sequence[str]) -> None:
    print(f"| {name} | {n} | {mine} | {' | '.join(others)} |")


def _share(seconds: float | None, within: float) -> bool:
    return seconds is not None and seconds <= within


def _of(good: Sequence[bool]) -> str:
    return f"{sum(good)} ({sum(good) / len(good):.3f})" if good else "-"


def _ms(seconds: Sequence[float | None]) -> str:
    values = [1000 * one for one in seconds if one is not None]
    if not values:
        return "-"
    return f"{statistics.median(values):.0f} / {float(np.percentile(values, 95)):.0f}"


if __name__ == "__main__":
    sys.exit(main())
