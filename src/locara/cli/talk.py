"""``locara talk``: the conversation in a terminal, with a microphone or with a recording."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_EXAMPLES = """examples:
  locara talk                                       with your microphone; without one, a recorded conversation
  locara talk --input question.wav --output answer.wav --events events.jsonl
  locara talk --input question.wav --record out --pace simulated
  locara talk --llm http://127.0.0.1:11434/v1#qwen2.5:3b --headphones

exit codes: 0 done, 1 failed, 2 wrong command line, 130 Ctrl-C, 143 SIGTERM
"""
_TICK = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara talk``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--input", metavar="WHAT", help="a microphone by name, FILE.wav instead of one, or none")
    add("--output", metavar="WHAT", help="a speaker by name, FILE.wav instead of one, or none")
    add("--events", metavar="FILE", type=Path, help="write every event as a line of JSON")
    add(
        "--record",
        metavar="DIR",
        type=Path,
        help="leave conversation.wav (left you, right Locara) and timeline.svg there",
    )
    add("--pace", choices=("realtime", "simulated"), default="realtime", help="simulated: a virtual clock, files only")
    add("--demo", action="store_true", help="the recorded conversation, even where there is a microphone")
    add("--stt", metavar="MODEL", help="speech to text")
    add("--llm", metavar="MODEL", help="language model: a name, or http://HOST:PORT/v1#MODEL")
    add("--tts", metavar="MODEL", help="text to speech")
    add("--omni", metavar="MODEL", help="one model that hears and speaks; --stt then gives your words")
    add("--system", metavar="TEXT", help="what the language model is told about itself")
    add("--patience", choices=("quick", "normal", "patient"), default="normal", help="how long you may pause")
    add("--turn-detection", metavar="MODEL", help="what hears that you have finished: prosody, smart-turn, or silence")
    add(
        "--attention",
        choices=("open", "push-to-talk", "wake-word"),
        help="when you are listened to: always, while the space bar is on, or after the wake word",
    )
    add("--push-to-talk", action="store_true", help="short for --attention push-to-talk")
    add("--wake-word", metavar="WORD", help='the word, "hey jarvis" if left out; it means --attention wake-word')
    add("--follow-up", metavar="SECONDS", type=float, help="how long no wake word is needed after an exchange")
    add("--idle", metavar="SECONDS", type=float, help="tell when nobody has made a sound for so long")
    add("--idle-prompt", metavar="TEXT", help="and say this, once")
    add(
        "--not-understood",
        metavar="TEXT",
        default="auto",
        help="what is said when no word was understood; '' for nothing",
    )
    add("--language", metavar="CODE", help="your language, for what is chosen for you: de, fr, en-gb")
    add("--recommended", action="store_true", help="the models that fit this machine best, or what to pull for that")
    add("--yes", action="store_true", help="fetch the better set without asking, if one fits this machine")
    add("--headphones", action="store_true", help="listen while speaking: no speaker sound reaches the microphone")
    add("--offline", action="store_true", help="promise that no connection leaves this machine")
    add("--json", action="store_true", help="events as lines of JSON on standard output instead of the view")


def run(options: argparse.Namespace) -> int:
    """Talks until the end; returns the exit code."""
    from locara.errors import ConfigError

    plan = _allowed(options, _where(options))
    if options.pace == "simulated":
        if not plan.files_only:
            raise ConfigError(
                "a virtual clock cannot wait for a sound card",
                hint="use --pace simulated with --input FILE.wav, and --output FILE.wav or none",
            )
        from locara.testing import clock

        return clock.run(_talk(options, plan))
    return asyncio.run(_talk(options, plan))


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the sound comes from and goes to, and what to say about it first."""

    input: str
    output: str
    record: Path | None
    files_only: bool
    notes: tuple[str, ...] = ()


def _where(options: argparse.Namespace) -> Where:
    live, speaker, missing = (True, True, "")
    if options.input is None or options.output is None:
        live, speaker, missing = _devices()
    output = options.output or ("default" if speaker and options.pace == "realtime" else "none")
    record: Path | None = options.record
    notes: tuple[str, ...] = ()
    if options.input is None and (options.demo or not live or not sys.stdin.isatty()):
        notes = (_why_demo(options, live=live, missing=missing),)
        record = record or Path("locara-talk")
        source = str(Path(__file__).with_name("question.wav"))
    else:
        source = options.input or "default"
    if output == "none" and options.output is None and options.pace == "realtime":
        notes = (
            *notes,
            "There is no speaker: the reply is only in the recording." if record else "There is no speaker.",
        )
    _refuse_overwriting(source, output, options.events)
    return Where(source, output, record, _is_file(source) and (output == "none" or _is_file(output)), notes)


def _allowed(options: argparse.Namespace, where: Where) -> Where:
    """What a person has to allow, asked before anything is loaded or painted. Raises ``CapabilityDenied``; but without a
    speaker that nobody named, the conversation goes on in writing."""
    from locara.cli import consenting

    if options.pace == "realtime":
        consenting.demand(*consenting.for_microphone(where.input))
        error = consenting.refused(*consenting.for_speaker(where.output))
        if error is not None and options.output is not None:
            raise error
        if error is not None:
            note = f"The reply is not played: {error.explain()}"
            where = dataclasses.replace(where, output="none", notes=(*where.notes, note))
    if consenting.for_microphone(where.input):
        where = dataclasses.replace(where, notes=(*where.notes, "The microphone is on: q ends it, m mutes it."))
    return where


def _refuse_overwriting(source: str, output: str, events: Path | None) -> None:
    """What is read must not be written, nor one file written twice."""
    from locara.errors import ConfigError

    files = [Path(name).resolve() for name in (source, output) if _is_file(name)]
    files += [] if events is None else [events.resolve()]
    for file in files:
        if files.count(file) > 1:
            raise ConfigError(f"{file} is named twice", hint="give --input, --output and --events different files")


def _why_demo(options: argparse.Namespace, *, live: bool, missing: str) -> str:
    made = "The question is a recording that Locara's authors made with a speech synthesiser (flite)."
    if options.demo:
        return made
    if not live:
        return f"No microphone ({missing}), so here is a recorded conversation. {made}"
    return f"There is a microphone, but no terminal to talk at, so here is a recorded conversation. {made}"


def _devices() -> tuple[bool, bool, str]:
    """(is there a microphone, is there a speaker, why not)."""
    from locara.devices import listing
    from locara.errors import DeviceError

    try:
        found = {device.kind for device in listing.list_devices()}
    except DeviceError as error:
        return False, False, error.message
    return "input" in found, "output" in found, "the sound system lists none"


def _is_file(name: str) -> bool:
    from locara.voice.building import is_file

    return is_file(name)


def _offline(options: argparse.Namespace) -> bool:
    from locara import offline

    return options.offline or offline.asked_for()


def _promise() -> tuple[str, ...]:
    """What is told of it, once it was made."""
    from locara import offline

    made = offline.promised()
    return () if made is None else (f"Offline: {made.words()}.",)


async def _talk(options: argparse.Namespace, where: Where) -> int:
    from locara.cli import consenting
    from locara.cli.recording import EventsFile, Recording, make_folder
    from locara.cli.screen import Screen
    from locara.errors import ConfigError, LocaraError
    from locara.voice import session as make_session

    if where.record is not None:
        make_folder(where.record)
    session = make_session(
        stt=options.stt,
        llm=_llm(options),
        tts=options.tts,
        omni=_omni(options),
        input=where.input,
        output=where.output,
        patience=options.patience,
        turn_detection=options.turn_detection,
        attention=_attention(options),
        idle=options.idle,
        idle_prompt=options.idle_prompt,
        not_understood=options.not_understood,
        echo="headphones" if options.headphones else "auto",
        end_with_input=_is_file(where.input),
        language=options.language,
        recommended=options.recommended,
        manifest=consenting.embedded(),
        offline=_offline(options),
    )
    if options.pace == "simulated" and session.capabilities["turn-end"] == "estimated":
        raise ConfigError(
            f"--pace simulated: {options.omni} hears and speaks by the clock, and a virtual one goes too fast for it",
            hint="leave --pace out, or use a model that takes turns",
        )
    events_file = EventsFile(options.events) if options.events else None
    # JSON owns standard output; people read on the same terminal otherwise.
    screen = Screen(sys.stderr if options.json else None)
    recording = Recording(session) if where.record else None
    leaving = Leaving()
    stopped: BaseException | None = None
    try:
        with screen, _stopped_by_sigterm():
            for note in (*where.notes, *_promise()):
                screen.note(note)
            await _converse(session, screen, options, events_file, recording, leaving)
    except (SystemExit, asyncio.CancelledError) as signal_:  # SIGTERM, Ctrl-C: what was recorded so far is kept
        stopped = signal_
    finally:
        if events_file is not None:
            events_file.close()
    if recording is not None and where.record is not None and (recording.events or stopped is None):
        paths = await recording.save(where.record, "locara talk")
        _say(options, "Left for you: " + "  ".join(str(path) for path in paths))
    if stopped is not None:
        raise stopped
    if leaving.fatal is not None:
        raise LocaraError(leaving.fatal.message, hint=leaving.fatal.hint)
    return leaving.code


def _attention(options: argparse.Namespace) -> Any:
    from locara.errors import ConfigError

    asked = {"wake_word": "wake-word", "follow_up": "wake-word", "push_to_talk": "push-to-talk"}
    modes = {mode for name, mode in asked.items() if getattr(options, name) not in (None, False)}
    if options.attention is not None:
        modes.add(options.attention)
    if len(modes) > 1:
        raise ConfigError(
            f"--attention cannot be {' and '.join(sorted(modes))} at once",
            hint="--push-to-talk means push-to-talk; --wake-word and --follow-up mean wake-word",
        )
    attention: dict[str, Any] = {"mode": modes.pop() if modes else "open"}
    if options.wake_word is not None:
        attention["word"] = options.wake_word
    if options.follow_up is not None:
        attention["follow_up"] = options.follow_up
    return attention


def _llm(options: argparse.Namespace) -> dict[str, Any] | str | None:
    if options.system is None or options.omni is not None:
        llm: str | None = options.llm
        return llm
    return {"model": options.llm or "", "system": options.system}


def _omni(options: argparse.Namespace) -> dict[str, Any] | str | None:
    if options.system is None or options.omni is None:
        omni: str | None = options.omni
        return omni
    return {"model": options.omni, "instructions": options.system}


@dataclasses.dataclass
class Leaving:
    """How the conversation ended, for the exit code."""

    code: int = 0
    fatal: Any = None
    stopping: asyncio.Task[None] | None = None
    """Held, because the event loop itself holds tasks only weakly."""


async def _converse(
    session: Any, screen: Any, options: argparse.Namespace, events_file: Any, recording: Any, leaving: Leaving
) -> None:
    from locara.cli.first_run import first_run
    from locara.cli.keys import Keys

    offer = first_run(session, screen, options, live=recording is None and not _is_file(options.input or ""))
    stream = session.events()
    tasks = [asyncio.create_task(_levels(session, screen))]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(session)
        stack.push_async_callback(_end, tasks)
        if not options.json and options.pace == "realtime":
            keys = await stack.enter_async_context(Keys())
            tasks.append(asyncio.create_task(_obey(session, screen, keys, leaving, offer)))
        if offer is not None:
            tasks.append(asyncio.create_task(offer.run()))
        async for event in stream:
            if recording is not None:
                recording.events.append(event)
            if events_file is not None:
                events_file.write(event)
            if options.json:
                from locara.voice.events import to_json

                sys.stdout.write(json.dumps(to_json(event, audio=False), ensure_ascii=False) + "\n")
                sys.stdout.flush()
            if event.type == "session-start":
                screen.note(_plan_line(event.plan))
            screen.show(event)
            if event.type == "error" and event.fatal:
                leaving.fatal = event


def _plan_line(plan: dict[str, dict[str, str]]) -> str:
    stages = [f"{stage} {facts['model']}" for stage, facts in plan.items() if stage not in ("vad", "wake")]
    why = plan.get("llm", {}).get("why", "")
    return "Locally: " + ", ".join(stages) + (f" ({why})" if why else "")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _levels(session: Any, screen: Any) -> None:
    """The meters: the loudest of what was heard and played since the last look."""
    from locara.audio import FLOOR_DBFS, dbfs

    level = {"in": FLOOR_DBFS, "out": FLOOR_DBFS}

    async def follow(blocks: Any, which: str) -> None:
        async for block in blocks:
            level[which] = max(level[which], dbfs(block))

    followers = [
        asyncio.create_task(follow(session.raw_input(), "in")),
        asyncio.create_task(follow(session.raw_output(), "out")),
    ]
    try:
        while True:
            await asyncio.sleep(_TICK)
            screen.levels(level["in"], level["out"])
            level.update({"in": FLOOR_DBFS, "out": FLOOR_DBFS})
    finally:
        await _end(followers)


async def _obey(session: Any, screen: Any, keys: Any, leaving: Leaving, offer: Any) -> None:
    """The keys: space push-to-talk, m mute, s stop, t type, q quit."""
    from locara.errors import SessionError

    async for key in keys:
        try:
            if offer is not None and offer.take(key):
                continue
            if isinstance(key, tuple):
                _typed(session, screen, *key)
            elif key == "space":
                held = not screen.view.held
                (session.push_to_talk.press if held else session.push_to_talk.release)()
                screen.change(dataclasses.replace(screen.view, held=held))
            elif key == "m":
                (session.unmute if session.muted else session.mute)()
                screen.change(dataclasses.replace(screen.view, muted=session.muted))
            elif key in ("s", "escape"):
                session.interrupt()
            elif key in ("q", "ctrl-c"):
                leaving.code = 130 if key == "ctrl-c" else 0
                leaving.stopping = asyncio.create_task(session.stop())
                return
        except SessionError as error:
            screen.note(error.message)


def _typed(session: Any, screen: Any, kind: str, text: str) -> None:
    if kind == "typing":
        screen.change(dataclasses.replace(screen.view, typing=text))
        return
    screen.change(dataclasses.replace(screen.view, typing=None))
    if text:
        session.send_text(text)


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as a cancelled task does, so that the terminal and the sound card are given back."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    try:
        loop.add_signal_handler(signal.SIGTERM, stop)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    except asyncio.CancelledError:
        if not stopped:
            raise
        raise SystemExit(143) from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def _say(options: argparse.Namespace, text: str) -> None:
    out = sys.stderr if options.json else sys.stdout
    out.write(text + "\n")
