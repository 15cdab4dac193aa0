"""What to answer: an intent, the state of things and the conversation in, a sentence or a wished action out.

What may live here: pure decisions, and the words they are told in. Nothing is done here: an action becomes a tool call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from locara.engines.responder_numbers import in_words, spoken
from locara.engines.responder_speech import (
    amount,
    clock,
    day,
    length,
    listed,
    said_back,
    sentence,
    turned,
)
from locara.engines.responder_timers import MOST_FACT_CHARACTERS, MOST_SECONDS, MOST_TIMERS, Ringing
from locara.engines.responder_understanding import Intent, duration_in, means_all, understand
from locara.engines.responder_units import convert, matched
from locara.engines.responder_words import LIGHT, alike, words

HOW_LONG = "For how long?"
WHICH = "Which one?"
NO_MODEL = "small built-in responder without a language model"
SKILLS = "I can tell the time, do sums, convert units, set timers, and remember things for you."
_ASKING_WORDS = frozenset("what where when who which whose how remember know tell told say said about".split())


@dataclass(frozen=True, slots=True)
class State:
    """What the answers depend on. ``replies`` is what the assistant has said so far, oldest first; ``facts`` what the
    user asked to remember, oldest first."""

    now: datetime
    timers: tuple[Ringing, ...] = ()
    facts: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Say:
    """A sentence to speak."""

    text: str


@dataclass(frozen=True, slots=True)
class Do:
    """A tool to call once the turn is committed."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


Answer = Say | Do


def answer(text: str, state: State) -> Answer:
    """The answer to ``text``, a sentence of the user."""
    intent = understand(text)
    return _follow_up(text, intent, state) or _told(intent, state) or _ANSWERS[intent.kind](intent, state)


def _follow_up(text: str, intent: Intent, state: State) -> Answer | None:
    """The answer to a question of ours: how long, or which timer."""
    last = state.replies[-1] if state.replies else ""
    if intent.kind not in ("unknown", "recall", "timer-set", "timer-cancel", "sum"):
        return None
    length_said = duration_in(text)
    if HOW_LONG in last and length_said and intent.kind != "timer-cancel":
        return _set_timer(Intent("timer-set", quantity=length_said, name=intent.name), state)
    if last.startswith(WHICH) and intent.kind != "timer-set":
        if means_all(text):
            return _cancel(Intent("timer-cancel", every=True), state)
        named = next((timer.name for timer in state.timers if timer.name and timer.name in intent.heard), "")
        if length_said or named:
            return _cancel(Intent("timer-cancel", quantity=length_said, name=named), state)
    return None


def _told(intent: Intent, state: State) -> Answer | None:
    """What the user asked to remember goes before a phrase that fits only roughly: "what is the date of the party"."""
    if intent.kind in ("time", "date", "elsewhere") and intent.score < 0.95:
        fact = _fact_about(intent.heard, state.facts)
        return Say(sentence(turned(fact))) if fact else None
    return None


# --- time, sums, units ------------------------------------------------------------------------------------------------


def _time(_: Intent, state: State) -> Answer:
    return Say(f"It's {clock(state.now)}.")


def _elsewhere(_: Intent, state: State) -> Answer:
    return Say(f"I only know the time here. It's {clock(state.now)}.")


def _date(intent: Intent, state: State) -> Answer:
    start = {1: "Tomorrow is", -1: "Yesterday was"}.get(intent.days, "It's")
    return Say(f"{start} {day((state.now + timedelta(days=intent.days)).date())}.")


def _sum(intent: Intent, state: State) -> Answer:
    if intent.sum is None:
        return _unknown(intent, state)
    if intent.sum.result is None:
        return Say(intent.sum.problem)
    return Say(f"That's {spoken(intent.sum.result)}, for {intent.sum.text}.")


def _convert(intent: Intent, state: State) -> Answer:
    if intent.quantity is None or intent.unit is None:
        return _unknown(intent, state)
    unit, target = matched(intent.quantity.unit, intent.unit)
    if unit.dimension != target.dimension:
        return Say(f"That doesn't work, {unit.many} and {target.many} measure different things.")
    value = convert(intent.quantity.value, unit, target)
    if value is None:
        return Say("That's colder than anything can be.")
    return Say(f"That's {amount(value, target)}, for {amount(intent.quantity.value, unit, about=False)}.")


# --- timers -----------------------------------------------------------------------------------------------------------


def _set_timer(intent: Intent, state: State) -> Answer:
    if intent.quantity is None:
        return Say(HOW_LONG)
    seconds = intent.quantity.seconds
    if seconds < 1:
        return Say("That's too short, a timer needs at least one second.")
    if seconds > MOST_SECONDS:
        return Say("That's too long, a timer can run for 24 hours at most.")
    if len(state.timers) >= MOST_TIMERS:
        return Say(f"That's one too many, {in_words(MOST_TIMERS)} timers are running already.")
    return Do("set_timer", {"seconds": round(seconds), "name": intent.name})


def _cancel(intent: Intent, state: State) -> Answer:
    if not state.timers:
        return Say("There's no timer running.")
    if intent.every:
        return Do("cancel_timer", {"ids": [timer.id for timer in state.timers]})
    chosen = _chosen(intent, state.timers)
    if not chosen:
        return Say(f"There's no such timer. You have {_all(state.timers)}.")
    if len({(timer.name, timer.seconds) for timer in chosen}) > 1:
        return Say(f"{WHICH} You have {_all(chosen)}.")
    return Do("cancel_timer", {"ids": [chosen[0].id]})


def _left(intent: Intent, state: State) -> Answer:
    if not state.timers:
        return Say("There's no timer running.")
    chosen = _chosen(intent, state.timers)
    if not chosen:
        return Say(f"There's no such timer. You have {_all(state.timers)}.")
    if len(chosen) == 1:
        return Say(sentence(_remaining(chosen[0])))
    return Say(". ".join(sentence(f"{_remaining(timer)} on {timer.called('the')}")[:-1] for timer in chosen) + ".")


def _list(_: Intent, state: State) -> Answer:
    if not state.timers:
        return Say("There's no timer running.")
    parts = [f"{timer.called('a')} with {_remaining(timer)}" for timer in state.timers]
    return Say(f"You have {listed(parts)}.")


def _alarm(_: Intent, __: State) -> Answer:
    return Say("I have no alarms, only timers. Say for example, set a timer for ten minutes.")


def _chosen(intent: Intent, timers: Sequence[Ringing]) -> tuple[Ringing, ...]:
    """The timers that are meant: by length, by name, or all where nothing was said."""
    if intent.quantity:
        seconds = round(intent.quantity.seconds)
        return tuple(timer for timer in timers if timer.seconds == seconds)
    if intent.name:
        return tuple(timer for timer in timers if timer.name and alike(timer.name, intent.name) >= 0.75)
    return tuple(timers)


def _all(timers: Sequence[Ringing]) -> str:
    return listed([timer.called("a") for timer in timers])


def _remaining(timer: Ringing) -> str:
    return f"{length(timer.left)} left" if timer.left >= 1 else "less than a second left"


# --- memory -----------------------------------------------------------------------------------------------------------


def _remember(intent: Intent, _: State) -> Answer:
    if len(intent.tail) > MOST_FACT_CHARACTERS:
        return Say("That's too long for me to remember. Please say it shorter.")
    return Do("remember", {"text": intent.tail})


def _recall(intent: Intent, state: State) -> Answer:
    fact = _fact_about(intent.tail, state.facts)
    if fact:
        return Say(sentence(turned(fact)))
    if intent.certain and _content(intent.tail):
        return Say(f"I don't know. You haven't told me about that: {said_back(turned(intent.tail))}.")
    return _unknown(intent, state)


def _recall_all(_: Intent, state: State) -> Answer:
    if not state.facts:
        return Say("Nothing yet. Say for example, remember that my bike is in the garage.")
    shown = state.facts[-5:]
    start = "You told me this" if len(shown) == len(state.facts) else f"The last {in_words(len(shown))} things are"
    return Say(f"{start}: " + ". ".join(sentence(turned(fact))[:-1] for fact in shown) + ".")


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in words(text) if word[0].isalnum() and word not in LIGHT | _ASKING_WORDS)


def _fact_about(question: str, facts: Sequence[str]) -> str | None:
    """The newest fact that has every word that counts of ``question``, as it sounds."""
    asked = _content(question)
    for fact in reversed(facts):
        known = _content(fact)
        if asked and all(any(alike(word, other) >= 0.8 for other in known) for word in asked):
            return fact
    return None


# --- small talk -------------------------------------------------------------------------------------------------------


def _again(_: Intent, state: State) -> Answer:
    return Say(state.replies[-1] if state.replies else "I haven't said anything yet.")


def _echo(intent: Intent, _: State) -> Answer:
    return Say(sentence(intent.tail))


def _greeting(intent: Intent, state: State) -> Answer:
    greeting = next((f"Good {part}" for part in ("morning", "afternoon", "evening") if part in intent.heard), "Hello")
    return Say(f"{greeting}." if state.replies else f"{greeting}. What can I do for you?")


def _stop(_: Intent, __: State) -> Answer:
    return Say("Okay.")


def _unknown(intent: Intent, state: State) -> Answer:
    heard = said_back(intent.heard)
    if any(NO_MODEL in reply for reply in state.replies):
        return Say(f"Sorry, I can't answer that. I heard: {heard}.")
    return Say(f"Sorry, I can't answer that. I heard: {heard}. I'm a {NO_MODEL}. {SKILLS}")


def _fixed(text: str) -> Callable[[Intent, State], Answer]:
    return lambda _, __: Say(text)


_ANSWERS: Mapping[str, Callable[[Intent, State], Answer]] = {
    "time": _time, "date": _date, "elsewhere": _elsewhere, "sum": _sum, "convert": _convert, "timer-set": _set_timer,
    "timer-cancel": _cancel, "timer-left": _left, "timer-list": _list, "alarm": _alarm, "remember": _remember,
    "recall": _recall, "recall-all": _recall_all, "again": _again, "echo": _echo, "greeting": _greeting,
    "how-are-you": _fixed("I'm fine, thanks."),
    "thanks": _fixed("You're welcome."),
    "bye": _fixed("Goodbye."),
    "who": _fixed(f"I'm Locara, a {NO_MODEL}. Everything I do stays on this computer."),
    "help": _fixed(f"{SKILLS} For example, say: set a timer for five minutes."),
    "stop": _stop, "unknown": _unknown,
    "nothing": _fixed("Sorry, I didn't catch that."),
}  # fmt: skip


# --- after a tool has run ---------------------------------------------------------------------------------------------


def report(tool: str, result: Any) -> str:
    """The sentence that tells how the call of ``tool`` went; ``result`` is its decoded result."""
    if not isinstance(result, Mapping) or result.get("ok") is not True:
        problem = result.get("error") if isinstance(result, Mapping) else None
        return sentence(str(problem)) if problem else "Sorry, that did not work."
    try:
        return _REPORTS[tool](result)
    except (KeyError, TypeError, ValueError):
        return "It's done."


def _was_set(result: Mapping[str, Any]) -> str:
    name, seconds = str(result["name"]), length(float(result["seconds"]))
    if name.startswith("to "):
        return sentence(f"In {seconds}, I'll remind you {turned(name)}")
    return sentence(f"{name + ' timer, ' if name else ''}{seconds}, starting now")


def _was_cancelled(result: Mapping[str, Any]) -> str:
    gone = result["cancelled"]
    if not gone:
        return "It had already rung."
    if len(gone) > 1:
        return f"Cancelled. All {in_words(len(gone))} timers are off."
    name, seconds = str(gone[0]["name"]), float(gone[0]["seconds"])
    return f"Cancelled. {sentence(Ringing(0, seconds, 0.0, name).called('the') + ' is off')}"


def _was_remembered(result: Mapping[str, Any]) -> str:
    return f"Got it. {sentence(turned(str(result['text'])))}"


_REPORTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "set_timer": _was_set, "cancel_timer": _was_cancelled, "remember": _was_remembered,
}  # fmt: skip
