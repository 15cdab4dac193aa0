"""``locara grants``: who may use the microphone and the speaker, and changing that."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from locara.consent.rules import App, Book, Grant

_EXAMPLES = """examples:
  locara grants                                        the same as locara grants list
  locara grants list --json
  locara grants allow com.example.talk device.microphone
  locara grants allow com.example.talk device.speaker --now    do not wait for the cool-down of an update
  locara grants deny com.example.talk device.microphone        it is not asked for again
  locara grants revoke com.example.talk                all of it; running sessions end at once, and it asks again
  locara grants reset                                  forget everything; also mends a ledger that cannot be trusted

capabilities: device.microphone, device.speaker, device.speaker.select
exit codes: 0 done, 1 the ledger cannot be read, trusted or written, or the capability has to wait, 2 wrong command line
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara grants``."""
    from locara.manifest.values import CAPABILITIES

    parser.epilog = _EXAMPLES
    parser.set_defaults(json=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    texts = {
        "list": "every app, and what it may do",
        "allow": "grant a capability",
        "deny": "refuse a capability, for good",
        "revoke": "take back what was granted; it is asked for again",
        "reset": "forget every grant of one app, or of all",
    }
    for name, text in texts.items():
        sub = actions.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="objects instead of text")
        sub.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help="show an error's traceback")
        if name == "list":
            continue
        few: Any = {"nargs": "?", "default": ""} if name == "reset" else {}
        sub.add_argument("app", metavar="APP", help="its id, as locara grants list shows it", **few)
        if name != "reset":
            any_: Any = {"nargs": "?"} if name == "revoke" else {}
            sub.add_argument("capability", metavar="CAPABILITY", choices=CAPABILITIES, **any_)
        if name == "allow":
            sub.add_argument("--now", action="store_true", help="do not wait for the cool-down of an update")


def run(options: argparse.Namespace) -> int:
    """Does it; returns the exit code. Raises ``ConsentError`` and ``CapabilityPending``."""
    from locara.consent import default_ledger

    ledger = default_ledger()
    kept = None
    action = options.action or "list"
    match action:
        case "allow":
            ledger.decide("grant", options.app, options.capability, by="cli", now=options.now)
        case "deny":
            ledger.decide("deny", options.app, options.capability, by="cli")
        case "revoke":
            for capability in _granted(options, ledger.book()):
                ledger.decide("revoke", options.app, capability, by="cli")
        case "reset" if options.app:
            ledger.forget(options.app)
        case "reset":
            kept = ledger.reset()
    book = ledger.book()
    if options.json:
        sys.stdout.write(json.dumps([_told(app) for app in _apps(book)], ensure_ascii=False) + "\n")
    elif action == "list":
        sys.stdout.write(table(book, str(ledger.path)))
    elif action == "reset":
        sys.stdout.write("Nothing is granted now.\n" if not options.app else f"{options.app} is forgotten.\n")
        sys.stdout.write(f"What was there before is kept in {kept}\n" if kept else "")
    else:
        left = [app for app in _apps(book) if app.id == options.app]
        sys.stdout.write("".join(_lines(app) for app in left) or f"{options.app} has no grant.\n")
    return 0


def _granted(options: argparse.Namespace, book: Book) -> list[Any]:
    """What is to be taken back. Raises ``ConsentError`` where there is no such app."""
    from locara.errors import ConsentError

    app = book.apps.get(options.app)
    if app is None:
        raise ConsentError(f"no app {options.app!r} was ever granted anything", hint="locara grants list shows them")
    return [options.capability] if options.capability else sorted(app.grants)


def table(book: Book, where: str) -> str:
    """For people."""
    told = "".join(_lines(app) for app in _apps(book))
    return told or f"Nothing was granted or denied yet ({where}).\n"


def _lines(app: App) -> str:
    from locara.cli.lines import plain

    name = f"  {plain(app.name)} {plain(app.version)}".rstrip()
    lines = [f"{plain(app.id)}{name}\n"]
    for capability, grant in sorted(app.grants.items()):
        lines.append(f"  {capability:<22} {_word(grant)}\n")
    return "".join(lines)


def _word(grant: Grant) -> str:
    by = {"terminal": "at the terminal", "page": "on the web page", "cli": "with locara grants"}.get(grant.by, "")
    if grant.word == "pending":
        return f"pending until {_day(grant.until)}: an update asks for it"
    word = {"unasked": "asked for when it is next used", "once": "was granted once"}.get(grant.word, grant.word)
    return f"{word}  {_day(grant.at)} {by}".rstrip()


def _day(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "?"


def _apps(book: Book) -> list[App]:
    return sorted(book.apps.values(), key=lambda app: app.id)


def _told(app: App) -> dict[str, object]:
    return {
        "app": app.id,
        "name": app.name,
        "version": app.version,
        "first_seen": app.first_seen,
        "grants": [
            {
                "capability": capability,
                "state": grant.word,
                "at": grant.at,
                "by": grant.by,
                "version": grant.version,
                "until": grant.until or None,
            }
            for capability, grant in sorted(app.grants.items())
        ],
    }
