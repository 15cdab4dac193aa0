"""What Locara adds to the time its engines take, in virtual time, exactly.

    python benchmarks/turn_latency.py

The engines' delays are fixed: the settled text 100 ms after the end of speech, the model's first token 100 ms after it is
asked and 20 tokens a second from then on, the voice's first sound 100 ms after it gets a clause. The end of speech is
moved through a whole 20 ms block in steps of 1 ms, so that no lucky alignment is measured.

Columns, in milliseconds, median (worst) of the 20 runs:
  voice to voice    last sample of speech to first audible sample, measured in the two recordings
  decision          ... to the decision that the turn is over (the patience that was asked for)
  over the parts    voice to voice minus the 300 ms of the three engines
  ours              voice to voice minus what cannot be avoided: the decision, or the engines one after the other if that
                    takes longer: 300 ms and the tokens that the first clause waits for (2 or 5)
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np

from locara.audio import RATE, Samples
from locara.testing import Conversation, Line, Result, ScriptedModel, ScriptedRecogniser, ScriptedVoice, Spoken, play
from locara.voice.clauses import Clauses

STT, LLM, TTS = 0.1, 0.1, 0.1
TOKENS_PER_SECOND = 20.0
OPENERS = {
    "1 word": "Sure. The early train to the coast leaves at nine from platform two.",
    "14 words": "The early train to the coast leaves at nine from platform two on Sundays. Bring a coat.",
}
TEXT = "when does the early train leave"


@dataclass(frozen=True)
class Measured:
    """One run, in seconds."""

    voice_to_voice: float
    decision: float
    first_clause_tokens: int


def one(opener: str, patience: str, offset: float) -> Measured:
    """One turn whose speech ends ``offset`` seconds into a block."""
    end = 3.0 + offset
    result = play(
        Conversation([Line(1.0, TEXT, seconds=end - 1.0)], more=3.0, settings={"patience": patience}),
        stt=ScriptedRecogniser([Spoken(1.0, end, TEXT)], final_delay=STT),
        llm=ScriptedModel([opener], first_token=LLM, tokens_per_second=TOKENS_PER_SECOND),
        tts=ScriptedVoice(first_chunk=TTS),
    )
    ledger = result.turn_ends("user")[0].latency
    return Measured(_measured(result), ledger.endpoint, _tokens_needed(opener))


def _measured(result: Result) -> float:
    """From the recordings alone: the last audible sample of the user, the first one of the reply after it."""
    last = np.flatnonzero(_loud(result.input))[-1] / RATE
    played = np.flatnonzero(_loud(result.output)) / result.output_rate
    return float(played[0] - last)


def _loud(samples: Samples) -> np.ndarray:
    return np.abs(samples) > 0.001


def _tokens_needed(opener: str) -> int:
    """Tokens, a word each, until the first clause is cut."""
    clauses = Clauses()
    for number, word in enumerate(opener.split(), start=1):
        if clauses.push(word if number == 1 else f" {word}"):
            return number
    return len(opener.split())


def main() -> None:
    """Prints the table."""
    print("| patience | first sentence | voice to voice | decision | over the parts | ours |")
    print("|---|---|---|---|---|---|")
    medians: dict[tuple[str, str], float] = {}
    for patience in ("quick", "normal", "patient"):
        for name, opener in OPENERS.items():
            runs = [one(opener, patience, step / 1000) for step in range(20)]
            engines = [STT + LLM + (run.first_clause_tokens - 1) / TOKENS_PER_SECOND + TTS for run in runs]
            ours = [run.voice_to_voice - max(run.decision, parts) for run, parts in zip(runs, engines, strict=True)]
            over = [run.voice_to_voice - STT - LLM - TTS for run in runs]
            medians[patience, name] = statistics.median(run.voice_to_voice for run in runs)
            columns = ([run.voice_to_voice for run in runs], [run.decision for run in runs], over, ours)
            cells = " | ".join(f"{1000 * statistics.median(one):.0f} ({1000 * max(one):.0f})" for one in columns)
            print(f"| {patience} | {name} | {cells} |")
    for patience in ("quick", "normal", "patient"):
        more = 1000 * (medians[patience, "14 words"] - medians[patience, "1 word"])
        print(f"\n{patience}: the 14-word first sentence costs {more:.0f} ms more than the 1-word one", end="")
    print()


if __name__ == "__main__":
    main()
