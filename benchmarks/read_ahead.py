"""Time to the first token with and without reading the prompt ahead, against a real server.

    python benchmarks/read_ahead.py --url http://127.0.0.1:8080/v1 [--histories 200 1000 3000] [--runs 3]

Works with any OpenAI-compatible server on this machine. Each run has a history of its own, so nothing of it is cached: that
is the first turn of a session with a long system prompt or many tools, a turn after the server has served somebody else, or
one after an interruption early in a long reply. A second table has the usual case, a turn whose history was read before.

A question of 16 words is said in ``--speech`` seconds (5), its partial transcripts come word by word. The reply is asked
0.15 s after the end of speech, as a session does. Columns, in seconds, median (least to most):
  first token     from the request for the reply to its first token
  user waits      from the end of speech to the first token, but not less than the decision that the turn is over, which
                  is 0.35 s (quick) or 0.45 s (normal) after the end of speech
With and without take turns within each run, so what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from dataclasses import dataclass

import httpx

from locara.engines.chat_settings import understand
from locara.engines.contracts import Message
from locara.engines.openai_compatible import OpenAICompatible
from locara.errors import LocaraError
from locara.voice.endings import PATIENCE, silence_needed
from locara.voice.reading_ahead import ReadingAhead

ASKED_SECONDS = 0.15
"""From the end of speech to the request, with Silero's hangover; see `HINT_SECONDS`."""

WORDS_A_TOKEN = 0.75
HEAD = "| tokens | read ahead | first token | user waits, quick | user waits, normal | requests |\n|---|---|---|---|---|---|"
QUESTION = "could you please tell me how long the slow train to the coast takes on a sunday"
SOME_WORDS = (
    "the of and to in is was he for it with as his on be at by had not are but from or have an they which one you were "
    "her all she there would their we him been has when who will more no if out so said what up its about into than them "
    "can only other new some could time these two may then do first any my now such like our over man me even most made "
    "after also did many before must through years where much your way well down should because each just those people"
).split()


@dataclass(frozen=True)
class Run:
    """Seconds to the first token, and requests that read ahead."""

    first_token: float
    requests: int


async def one(engine: OpenAICompatible, history: list[Message], *, ahead: bool, speech: float) -> Run:
    """One turn in real time."""
    question = f"{QUESTION} {random.random():.6f}"
    reading = ReadingAhead(engine, (), "", lambda: history, deadline=120.0)
    words = question.split()
    if ahead:
        reading.begins()
    for count in range(1, len(words) + 1):
        await asyncio.sleep(speech / len(words))
        if ahead:
            reading.heard(" ".join(words[:count]))
    await asyncio.sleep(ASKED_SECONDS)
    reading.asked(question)
    began = time.perf_counter()
    stream = engine.reply([*history, Message("user", question)])
    async for _ in stream:
        break
    taken = time.perf_counter() - began
    await stream.aclose()
    await reading.close()
    return Run(taken, reading.requests)


def a_history(tokens: int) -> list[Message]:
    """About so many tokens that nobody has read before: a system prompt and an exchange."""
    words = random.choices(SOME_WORDS, k=max(8, round(tokens * WORDS_A_TOKEN)))
    half = len(words) // 2
    return [
        Message("system", " ".join(words[:half])),
        Message("user", "go on"),
        Message("assistant", " ".join(words[half:])),
    ]


async def count_tokens(url: str, history: list[Message]) -> int:
    """What the server counts."""
    body = {
        "model": "any",
        "messages": [{"role": one.role, "content": one.content} for one in history]
        + [{"role": "user", "content": "x"}],
        "max_tokens": 1,
    }
    async with httpx.AsyncClient(timeout=300.0) as client:
        answer = (await client.post(f"{url}/chat/completions", json=body)).json()
    return int((answer.get("usage") or {}).get("prompt_tokens", 0))


def shown(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def row(name: str, tokens: int, runs: list[Run]) -> str:
    """A row of the table."""
    cells = [shown([run.first_token for run in runs])]
    for patience in ("quick", "normal"):
        decision = silence_needed("what time is it", PATIENCE[patience])
        cells.append(shown([max(decision, ASKED_SECONDS + run.first_token) for run in runs]))
    requests = statistics.median(run.requests for run in runs)
    return f"| {tokens} | {name} | {' | '.join(cells)} | {requests:g} |"


async def measure(url: str, histories: list[int], runs: int, speech: float) -> None:
    """Prints both tables."""
    settings = understand(url, {"timeout": 300.0, "gap_timeout": 300.0, "temperature": 0.0, "max_tokens": 4})
    assert settings is not None
    engine = OpenAICompatible(settings)
    try:
        await engine.load()
        for title, known in (("history not read before", False), ("history read before", True)):
            print(f"\n{title}\n\n{HEAD}")
            for tokens in histories:
                found: dict[bool, list[Run]] = {False: [], True: []}
                for number in range(runs):
                    for ahead in (False, True) if number % 2 else (True, False):
                        history = a_history(tokens)
                        if known:
                            await engine.read([*history, Message("user", "x")])
                        found[ahead].append(await one(engine, history, ahead=ahead, speech=speech))
                counted = await count_tokens(settings.url, history)
                for ahead in (False, True):
                    print(row("yes" if ahead else "no", counted, found[ahead]), flush=True)
    finally:
        await engine.close()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="http://127.0.0.1:PORT/v1 of a server that runs")
    parser.add_argument("--histories", type=int, nargs="+", default=[200, 1000, 3000], help="tokens, about")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--speech", type=float, default=5.0, help="seconds that the question lasts")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    try:
        asyncio.run(measure(options.url, options.histories, options.runs, options.speech))
    except LocaraError as error:
        raise SystemExit(f"{error.message}\n{error.hint}") from None


if __name__ == "__main__":
    main()
