"""Do silence and noise become words, is a real sentence lost, and do we answer ourselves? Real Silero and pocketsphinx.

    python benchmarks/recognition_evidence.py --scenes DIR [--limit N]
    python benchmarks/recognition_evidence.py --audio DIR [--limit N] [--echo-db -6,-12,-20]

``--scenes``: a folder with ``truth.json`` and the WAV files it names. Of the families ``noise_idle`` (nobody speaks) the
turns that were answered are counted as false; of ``turn_eot`` and ``turn_noisy`` the scenes in which nothing was
answered are counted as lost, with the reason that was told.
``--audio``: a folder with ``index.json`` and recordings of an assistant's voice with their transcripts (category
``assistant_lj``, FLAC: needs soundfile). They are played as a reply into a room, without any echo cancellation, and what
comes back is judged by its text alone: false barge-ins a minute and self-answers, beside the same run without that
judgement. Every call of an engine is charged 20 ms of virtual time.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from locara.audio import RATE, Samples, silence
from locara.devices.wav import read_wav
from locara.engines import registry
from locara.engines.contracts import EngineInfo, Speech
from locara.testing import Conversation, Result, ScriptedModel, play
from locara.voice import Session, echoes

CHARGE = 0.02
SPOKEN = ("turn_eot", "turn_noisy")


class Recorded:
    """A voice that speaks a recording of ``text``, each clause as large a part of it as of the letters; then silence."""

    rate = RATE

    def __init__(self, recording: Samples, text: str) -> None:
        self.info = EngineInfo("scripted", "a recording", "Apache-2.0")
        self._recording = recording
        self._letters = recording.size / max(1, len(text))
        self._at = 0

    async def load(self) -> None:
        """Ready at once."""

    async def close(self) -> None:
        """Nothing to close."""

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        """The next piece of it."""
        begin, self._at = self._at, self._at + round((len(text) + 1) * self._letters)
        yield Speech(self._recording[begin : self._at] if begin < self._recording.size else silence(RATE // 5))


def main() -> int:
    """Prints what was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--audio", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="scenes of each family, or recordings; 0 for all")
    parser.add_argument("--echo-db", default="-6,-12,-20", help="levels of the echo at the microphone")
    args = parser.parse_args()
    done = False
    for folder, file, run in ((args.scenes, "truth.json", of_scenes), (args.audio, "index.json", of_echoes)):
        if folder is None:
            continue
        if not (folder / file).is_file():
            print(f"{folder / file} is missing", file=sys.stderr)
            return 2
        run(folder, args)
        done = True
    if not done:
        print("nothing to do: give --scenes or --audio", file=sys.stderr)
        return 2
    return 0


def _heard(user: Samples, **more: Any) -> Result:
    stt: Any = registry.create("stt", "pocketsphinx", {})
    vad: Any = registry.create("vad", "silero", {})
    return play(Conversation([], more=user.size / RATE), stt=stt, vad=vad, user=user, charge=CHARGE, **more)


def of_scenes(folder: Path, args: argparse.Namespace) -> None:
    """False turns in noise, lost turns in speech."""
    count: collections.Counter[str] = collections.Counter()
    minutes = 0.0
    reasons: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for scene in json.loads((folder / "truth.json").read_text())["scenarios"]:
        family = scene["family"]
        if family not in ("noise_idle", *SPOKEN) or (args.limit and count[family] >= args.limit):
            continue
        count[family] += 1
        user, _ = read_wav(folder / scene["mic"])
        result = _heard(user, llm=ScriptedModel(["Yes."]))
        answered = len(result.of("final-transcript"))
        if family == "noise_idle":
            minutes += user.size / RATE / 60
            reasons[family]["answered"] += answered
        elif not answered:
            reasons[family]["lost"] += 1
        for one in result.of("rejected"):
            reasons[family][one.reason] += 1
    for family, n in count.items():
        rate = f", {reasons[family]['answered'] / minutes:.2f} false turns a minute" if family == "noise_idle" else ""
        print(f"{family}: {n} scenes, {dict(reasons[family])}{rate}")


def of_echoes(folder: Path, args: argparse.Namespace) -> None:
    """What our own voice does to us, with and without the judgement by text."""
    import soundfile

    index = json.loads((folder / "index.json").read_text())
    clips = [one for one in index["clips"] if one["category"] == "assistant_lj" and one["transcript"]]
    print("| echo dB | judged by text | barge-ins a minute | self-answers | rejected as echo | minutes |")
    print("|---|---|---|---|---|---|")
    share = echoes.SHARE
    for level in (float(one) for one in args.echo_db.split(",")):
        for judged in (True, False):
            echoes.SHARE = share if judged else 2.0
            barged = answered = known = 0
            minutes = 0.0
            for clip in clips[: args.limit or None]:
                sound, rate = soundfile.read(folder / clip["file"], dtype="float32")
                assert rate == RATE
                result = _echo(sound, clip["transcript"], level)
                barged += len(result.of("barge-in"))
                answered += len(result.of("final-transcript"))
                known += sum(one.reason == "echo" for one in result.of("rejected"))
                minutes += sound.size / RATE / 60
            print(f"| {level:g} | {judged} | {barged / minutes:.2f} | {answered} | {known} | {minutes:.1f} |")
    echoes.SHARE = share


def _echo(sound: Samples, text: str, level: float) -> Result:
    async def acts(session: Session) -> None:
        session.say(text)
        await asyncio.sleep(0)

    stt: Any = registry.create("stt", "pocketsphinx", {})
    vad: Any = registry.create("vad", "silero", {})
    talk = Conversation([], echo_db=level, settings={"echo": "headphones"}, more=2 * sound.size / RATE + 4)
    return play(
        talk, stt=stt, vad=vad, tts=Recorded(sound, text), llm=ScriptedModel(["Yes."]), acts=acts, charge=CHARGE
    )


if __name__ == "__main__":
    sys.exit(main())
