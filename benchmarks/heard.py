"""How true the heard text is: replies of a real voice are cut at random samples, and the words counted.

    python benchmarks/heard.py [--cuts 200] [--seed 1]

Each reply goes the way of every reply (clauses, speakable text, espeak-ng, resampling, the script of the ledger). The
truth is espeak-ng's own exact time of each word: a word was heard when at least half of its sound had been played. Beside
it stands what `heard_until` says: with the voice's word times; without them, for a voice that has none, when the whole
clause was made; and without them while the clause is still being made, no more than 0.2 s ahead of what is played (the
worst case of a slow streaming voice, in the second reply of a conversation and later). *share* is the plain estimate as a
baseline: every character of a clause takes the same time.

The error is in written words, so "1999", which is spoken as three, counts as one. Columns: mean and worst error, and how
many cuts in a hundred were wrong by more than the words promised (1 with word times, 2 without).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from locara.engines import espeak
from locara.engines.contracts import EngineInfo, Speech, Voice
from locara.testing import ScriptedModel
from locara.voice.brain import Deadlines
from locara.voice.ledger import ClauseSpan, heard_until, with_chunk
from locara.voice.making import Engines, Making
from locara.voice.moves import Chunk, Happened, Sounded
from locara.voice.pacing import Pace

RATE = 24_000
AHEAD_SECONDS = 0.2

PLAIN = {
    "en-us": (
        "Sure. The early train to the coast leaves at nine from platform two, and it takes about forty minutes to get "
        "there. Bring a coat, because the wind near the water is quite cold in the evening.",
        "I think that the best way to learn a language is practising it daily. Read something short, write it down, "
        "and then say it aloud until it comes without thinking; nothing else works half as well.",
        "Photosynthesis converts light energy into chemical energy that plants use to grow. It happens in the "
        "chloroplasts, which contain a pigment called chlorophyll, and it releases oxygen as a byproduct of the process "
        "while carbon dioxide from the surrounding atmosphere is incorporated into carbohydrates.",
        "No. I do not know it, but I can ask. Would you like me to? It is no trouble at all, and I would be glad to.",
    ),
    "de": (
        "Gerne. Der frühe Zug an die Küste fährt um neun Uhr von Gleis zwei, und er braucht etwa vierzig Minuten bis "
        "dorthin. Nehmen Sie einen Mantel mit, denn der Wind am Wasser ist abends ziemlich kalt.",
    ),
    "fr-fr": (
        "Bien sûr. Le premier train pour la côte part à neuf heures de la voie deux, et il met environ quarante minutes "
        "pour y arriver. Prenez un manteau, parce que le vent près de la mer est assez froid le soir.",
    ),
    "es": (
        "Claro. El primer tren a la costa sale a las nueve desde el andén dos, y tarda unos cuarenta minutos en llegar "
        "hasta allí. Lleve un abrigo, porque el viento cerca del agua es bastante frío por la noche.",
    ),
    "pl": (
        "Jasne. Pierwszy pociąg nad morze odjeżdża o dziewiątej z peronu drugiego i jedzie około czterdziestu minut. "
        "Proszę zabrać płaszcz, ponieważ wiatr nad wodą jest wieczorem dość zimny.",
    ),
}

GREETING = {
    "en-us": "Hello, how can I help you today?",
    "de": "Hallo, wie kann ich Ihnen heute helfen?",
    "fr-fr": "Bonjour, comment puis-je vous aider aujourd'hui?",
    "es": "Hola, ¿en qué puedo ayudarle hoy?",
    "pl": "Dzień dobry, w czym mogę dziś pomóc?",
}
"""A conversation's first reply, from which the voice's pace is learned; it is not measured."""

# Written word, and how many words of it are spoken.
SIGNS = (
    ("It", 1), ("opened", 1), ("in", 1), ("1999", 3), ("for", 1), ("$3.50,", 5), ("on", 1), ("2024-05-01", 5), ("it", 1),
    ("had", 1), ("**50%**", 2), ("more,", 1), ("e.g.", 2), ("in", 1), ("[Paris](https://x.org/a)", 1), ("😊", 0),
    ("and", 1), ("at", 1), ("https://www.example.com/a?b=c", 3), ("you", 1), ("find", 1), ("12", 1), ("kg", 1),
    ("of", 1), ("`useful_stuff`", 2), ("and", 1), ("Dr.", 1), ("Smith,", 1), ("who", 1), ("calls", 1), ("5–10", 3),
    ("people", 1), ("a", 1), ("day.", 1),
)  # fmt: skip

SPEEDS = {"en-us": (80, 175, 260)}


class Recorded:
    """A voice that notes when each word really began; ``word_times`` False: it tells nobody."""

    def __init__(self, voice: Voice, *, word_times: bool) -> None:
        self._voice = voice
        self._word_times = word_times
        self.onsets: list[float] = []
        self.seconds = 0.0

    @property
    def info(self) -> EngineInfo:
        return self._voice.info

    @property
    def language(self) -> str:
        return str(getattr(self._voice, "language", "en"))

    @property
    def rate(self) -> int:
        return self._voice.rate

    async def load(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, text: str) -> AsyncIterator[Speech]:
        begins, found = self.seconds, {}
        async for speech in self._voice.speak(text):
            found.update({word.start: begins + word.at / self.rate for word in speech.words})
            self.seconds += speech.samples.size / self.rate
            yield speech if self._word_times else replace(speech, words=())
        self.onsets += every_onset([one.start() for one in re.finditer(r"\S+", text)], found, self.seconds)


def every_onset(starts: Sequence[int], found: dict[int, float], end: float) -> list[float]:
    """The onset of every word. espeak-ng says "in the" as one: the second is taken to begin halfway to the next."""
    onsets: list[float] = []
    for number, start in enumerate(starts):
        after = next((found[one] for one in starts[number + 1 :] if one in found), end)
        onsets.append(found.get(start, (onsets[-1] + after) / 2 if onsets else 0.0))
    return onsets


async def spoken(text: str, voice: Recorded, pace: Pace) -> list[Chunk]:
    """All chunks of a reply, as the loop gets them. ``pace``: what is known of the voice from replies before."""
    chunks: list[Chunk] = []

    async def post(happened: Happened) -> None:
        if isinstance(happened, Sounded):
            chunks.append(happened.chunk)
            making.played(1e6)

    making = Making(1, Engines(ScriptedModel([]), voice, (), Deadlines(), pace), post, RATE, text=text)
    await making.task
    return chunks


def script_of(chunks: Sequence[Chunk], until: int | None = None) -> tuple[ClauseSpan, ...]:
    """The script when so many samples had been made; None: all."""
    script: tuple[ClauseSpan, ...] = ()
    made = 0
    for chunk in chunks:
        if until is not None and made >= until:
            break
        script = with_chunk(script, chunk)
        made += chunk.samples.size
    return script


def by_share(script: Sequence[ClauseSpan], played: int, text: str) -> int:
    """The baseline: every character takes the same time."""
    span = next((one for one in script if played < one.at + one.n), script[-1])
    at = span.start + round((span.end - span.start) * max(0, played - span.at) / max(1, span.n))
    while at < span.end and text[at - 1 : at + 1].isalnum():
        at += 1
    return min(at, span.end)


@dataclass
class Errors:
    """Words between what was heard and what is said to have been."""

    allowed: int
    all: list[int]

    def __str__(self) -> str:
        many = 100 * sum(one > self.allowed for one in self.all) / len(self.all)
        return f"{sum(self.all) / len(self.all):.2f} / {max(self.all)} / {many:.1f} %"


def truly_heard(halves: Sequence[float], second: float) -> int:
    """Written words of which at least half had sounded."""
    return sum(half <= second for half in halves)


def words_in(text: str) -> int:
    """An emoji or a dash is no word."""
    return sum(any(map(str.isalnum, one)) for one in text.split())


def halfway(onsets: Sequence[float], end: float, counts: Sequence[int]) -> list[float]:
    """For each written word, the second at which half of it has sounded."""
    halves: list[float] = []
    at = 0
    for count in filter(None, counts):
        begins = onsets[at]
        at += count
        ends = onsets[at] if at < len(onsets) else end
        # Pauses after a word are no part of it: no single word of these lasts longer than a second at its speed.
        halves.append(begins + min(ends - begins, 1.0) / 2)
    return halves


async def measure(
    voice: Voice, text: str, counts: Sequence[int], cuts: Sequence[float], pace: Pace
) -> dict[str, list[int]]:
    """Errors of each way to tell, at these shares of the reply's length."""
    marked, bare = Recorded(voice, word_times=True), Recorded(voice, word_times=False)
    with_times, without = await spoken(text, marked, Pace()), await spoken(text, bare, pace)
    if len(marked.onsets) != sum(counts):
        raise SystemExit(f"espeak-ng said {len(marked.onsets)} words, {sum(counts)} were expected in: {text}")
    halves = halfway(marked.onsets, marked.seconds, counts)
    whole = script_of(without)
    errors: dict[str, list[int]] = {"times": [], "whole": [], "made": [], "share": []}
    for cut in cuts:
        played = round(cut * marked.seconds * RATE)
        true = truly_heard(halves, played / RATE)
        partial = script_of(without, played + round(AHEAD_SECONDS * RATE))
        for name, at in (
            ("times", heard_until(script_of(with_times), played, RATE, text)),
            ("whole", heard_until(whole, played, RATE, text)),
            ("made", heard_until(partial, played, RATE, text)),
            ("share", by_share(whole, played, text)),
        ):
            errors[name].append(abs(words_in(text[:at]) - true))
    return errors


async def run(cuts: int, seed: int) -> None:
    """Prints the table."""
    chance = random.Random(seed)
    print("mean / worst error in words / more than promised\n")
    print("| voice | cuts | with word times | without, clause made | without, being made | share (baseline) |")
    print("|---|---|---|---|---|---|")
    total: dict[str, list[int]] = {"times": [], "whole": [], "made": [], "share": []}
    rows = [(name, speed, texts, None) for name, texts in PLAIN.items() for speed in SPEEDS.get(name, (175,))]
    signs = (" ".join(word for word, _ in SIGNS),)
    for name, speed, texts, counts in [*rows, ("en-us", 175, signs, [count for _, count in SIGNS])]:
        voice = espeak.create(f"espeak-ng:{name}", {"rate_wpm": speed})
        assert voice is not None
        await voice.load()
        row: dict[str, list[int]] = {key: [] for key in total}
        pace = Pace()
        await spoken(GREETING[name], Recorded(voice, word_times=False), pace)
        try:
            for text in texts:
                at = [chance.random() for _ in range(cuts)]
                for key, found in (await measure(voice, text, counts or [1] * len(text.split()), at, pace)).items():
                    row[key] += found
        finally:
            await voice.close()
        for key, found in row.items():
            total[key] += found
        print(_row(f"{name}, {speed} wpm{', signs' if counts else ''}", row))
    print(_row("all", total))


def _row(name: str, errors: dict[str, list[int]]) -> str:
    cells = [str(Errors(1 if key == "times" else 2, found)) for key, found in errors.items()]
    return f"| {name} | {len(errors['times'])} | {' | '.join(cells)} |"


def main() -> None:
    """Reads the arguments and runs."""
    arguments = argparse.ArgumentParser(description="How true the heard text is, in words.")
    arguments.add_argument("--cuts", type=int, default=200, help="random cuts of each reply")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    asyncio.run(run(given.cuts, given.seed))


if __name__ == "__main__":
    main()
