"""A conversation from Python: a recording goes in, a recording of the replies comes out, your own system prompt.

    python examples/talk_in_code.py [QUESTION.wav] [ANSWER.wav] [--simulated]

What it shows: ``voice.session`` with named stages, the events an app reacts to, and the latency ledger. The engines are
the embedded ones, which need no download; a model server that runs on this machine (Ollama, LM Studio, llama-server)
is taken as the language model by itself, and only such a model follows a system prompt. Leave ``input`` and ``output``
out to use microphone and speaker.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from importlib.resources import files

from locara import testing, voice
from locara.voice.events import BargeIn, Error, FinalTranscript, SessionStart, TurnEnd

SYSTEM = "You are a kitchen helper. Answer in one short sentence, without lists. Give amounts in grams."
QUESTION = str(files("locara.cli") / "question.wav")


async def talk(question: str, answer: str, llm: str) -> tuple[voice.Said | voice.Used, ...]:
    """Talks until the recording has ended and everything is said; returns what each side said."""
    session = voice.session(
        stt="pocketsphinx",
        llm={"model": llm, "system": SYSTEM},
        tts={"model": "espeak-ng", "rate_wpm": 165},
        input=question,
        output=answer,
        end_with_input=True,
    )
    events = session.events()  # subscribed before the start, so that nothing is missed
    async with session:
        async for event in events:
            match event:
                case SessionStart(plan=plan):
                    print("models:", ", ".join(f"{stage} {facts['model']}" for stage, facts in plan.items()))
                case FinalTranscript(text=text):
                    print(f"you said: {text}")
                case BargeIn(heard_text=heard):
                    print(f"you interrupted after: {heard}")
                case TurnEnd(who="user", latency=latency) if latency is not None:
                    print(
                        f"answered {latency.total:.2f} s after your last sound, {latency.endpoint:.2f} s of it to be sure"
                    )
                case Error(message=message, hint=hint):
                    print(f"{message}\n  -> {hint}")
    return session.history


def main(argv: Sequence[str] | None = None) -> tuple[voice.Said | voice.Used, ...]:
    """Runs it in real time, or with ``--simulated`` on a virtual clock."""
    parser = argparse.ArgumentParser(description="A conversation from Python.")
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("answer", nargs="?", default="answer.wav")
    parser.add_argument("--llm", default="auto", help="the language model, for example built-in")
    parser.add_argument("--simulated", action="store_true", help="on a virtual clock")
    options = parser.parse_args(argv)
    run = testing.run if options.simulated else asyncio.run
    history = run(talk(options.question, options.answer, options.llm))
    for said in history:
        if isinstance(said, voice.Said):
            print(f"{said.role:>9}: {said.text}")
    return history


if __name__ == "__main__":
    main()
