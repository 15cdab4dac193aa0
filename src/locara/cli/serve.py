"""``locara serve``: the runtime server, with its page, its protocols and its token."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import webbrowser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from locara.engines.contracts import EngineInfo
    from locara.server.serving import Server, Stopping
    from locara.server.settings import Settings

_EXAMPLES = """examples:
  locara serve                                       opens the page in your browser
  locara serve --no-browser --port 0 --json          for scripts: a free port, one line of JSON when it is ready
  locara serve --llm http://127.0.0.1:11434/v1#qwen2.5:3b --tts kokoro-82m
  locara serve --open                                the page of the server that runs already
  LOCARA_TOKEN=... locara serve                      a token of your own

exit codes: 0 done, 1 failed, 2 wrong command line, 130 Ctrl-C, 143 SIGTERM
"""
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  recognised, not chosen


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``locara serve``."""
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen; the default is this machine only")
    add("--port", metavar="N", type=int, default=7777, help="7777; 0 picks a free one")
    add("--allow-network", action="store_true", help="needed for a --host that other machines can reach")
    add("--allow-host", metavar="NAME", action="append", default=[], help="another name this server is reached by")
    add("--origin", metavar="URL", action="append", default=[], help="a page of another origin that may connect")
    add("--no-browser", action="store_true", help="do not open the page")
    add("--open", action="store_true", help="only open the page of your server that already runs at this port")
    add("--stt", metavar="MODEL", help="speech to text, for sessions that name none")
    add("--llm", metavar="MODEL", help="language model: a name, or http://HOST:PORT/v1#MODEL")
    add("--tts", metavar="MODEL", help="text to speech")
    add("--omni", metavar="MODEL", help="one model that hears and speaks; --stt then gives the user's words")
    add("--model", metavar="MODEL", action="append", default=[], help="a model of the catalog, for the stage it is for")
    add("--system", metavar="TEXT", help="what the model is told about itself")
    add("--sessions", metavar="N", type=int, default=8, help="conversations at once: 8")
    add("--drain", metavar="SECONDS", type=float, default=10.0, help="how long they may go on after Ctrl-C: 10")
    add("--wyoming-port", metavar="N", type=int, help="also Wyoming services for Home Assistant there, usually 10300")
    add("--wyoming-host", metavar="ADDRESS", default="127.0.0.1", help="where they listen; needs --allow-network too")
    add("--offline", action="store_true", help="promise that no connection is opened but to this machine")
    add("--json", action="store_true", help="one line of JSON when it is ready, and one at the end")


def run(options: argparse.Namespace) -> int:
    """Serves until it is stopped; returns the exit code."""
    from locara.server import private_logging, token, trace_export

    if options.open:
        return _open_again(options)
    secret = token.chosen()
    settings = _settings(options, secret)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    private_logging.keep_private((secret,))
    if options.offline:
        from locara.offline import forbid_network

        forbid_network()
    with trace_export.exporting():
        return asyncio.run(_serve(options, settings))


def _settings(options: argparse.Namespace, secret: str) -> Settings:
    """The server that the command line asks for. Raises ``ConfigError``."""
    from locara.errors import ConfigError
    from locara.server.settings import Limits, Settings

    for name in ("port", "wyoming_port"):
        if not 0 <= (getattr(options, name) or 0) <= 65535:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} {getattr(options, name)} is no port", hint="1 to 65535, or 0 for a free one")
    if options.sessions < 1 or not 0 <= options.drain <= 3600:
        raise ConfigError("--sessions is 1 or more, and --drain 0 to 3600 seconds", hint="leave them out: 8 and 10")
    _refuse_network(options)
    limits = Limits(sessions=options.sessions, drain_seconds=options.drain)
    return Settings(
        token=secret,
        host=options.host,
        port=options.port,
        origins=tuple(options.origin),
        hosts=tuple(options.allow_host),
        stages=_stages(options),
        limits=limits,
        offline=options.offline,
        wyoming_port=options.wyoming_port,
        wyoming_host=options.wyoming_host,
    )


def _refuse_network(options: argparse.Namespace) -> None:
    """What other machines could reach has to be meant. Raises ``ConfigError``."""
    from locara.errors import ConfigError
    from locara.server.listening import is_loopback

    if not is_loopback(options.host):
        if options.offline:
            raise ConfigError(f"--offline and --host {options.host} exclude each other", hint="leave one of them out")
        if not options.allow_network:
            raise ConfigError(
                f"--host {options.host} lets other machines connect: token and speech would pass the network unencrypted",
                hint="add --allow-network if you mean it, or put a proxy with TLS before it; see docs/serve.md",
            )
        if options.host in _EVERYWHERE and not options.allow_host:
            raise ConfigError(
                f"--host {options.host} needs the names by which others reach this machine",
                hint="--allow-host mybox.lan; other names are refused, because any page could make one point here",
            )
    if options.wyoming_port is not None and not (is_loopback(options.wyoming_host) or options.allow_network):
        raise ConfigError(
            f"--wyoming-host {options.wyoming_host} lets everyone on the network use these models: Wyoming has no password",
            hint="add --allow-network if you mean it",
        )


def _stages(options: argparse.Namespace) -> Mapping[str, Any]:
    """Stage -> model, as `voice.session` takes them. Raises ``ConfigError`` for what cannot go together."""
    from locara.catalog import index
    from locara.errors import ConfigError

    stages: dict[str, Any] = {kind: getattr(options, kind) for kind in ("stt", "llm", "tts", "omni")}
    stages = {kind: name for kind, name in stages.items() if name is not None}
    for name in options.model:
        row = index.find(name)
        if row is None:
            near = index.near(name)
            hint = f"did you mean {' or '.join(near)}?" if near else "locara models list"
            raise ConfigError(f"--model {name}: the catalog has no such model", hint=hint)
        if row.kind not in ("stt", "llm", "tts", "omni", "turn") or row.kind in stages:
            why = "was named already" if row.kind in stages else "is no stage that can be chosen here"
            raise ConfigError(f"--model {name} is a model for {row.kind}, which {why}", hint="name each stage once")
        stages[row.kind] = name
    if "omni" in stages and set(stages) & {"llm", "tts"}:
        raise ConfigError("--omni is one model instead of --llm and --tts", hint="leave one side out")
    if options.system is not None and "omni" in stages:
        stages["omni"] = {"model": stages["omni"], "instructions": options.system}
    elif options.system is not None:
        stages["llm"] = (
            {"model": stages["llm"], "system": options.system} if "llm" in stages else {"system": options.system}
        )
    return stages


async def _serve(options: argparse.Namespace, settings: Settings) -> int:
    from locara.server import listening, token
    from locara.server.counting import Counters
    from locara.server.questions import Questions
    from locara.server.seats import Seats
    from locara.server.serving import Stopping, serving

    stopping, counters = Stopping(), Counters()
    with stopping.on_signals():
        sock = listening.bound(settings.host, settings.port)  # a port that is taken is said before anything is loaded
        seats = Seats(settings)
        try:
            loaded = await _unless_stopped(seats.warm(), stopping)
            if loaded is None:
                return stopping.code
            async with serving(settings, seats=seats, questions=Questions(), counters=counters, sock=sock) as server:
                with token.published(settings.token, server.port) as file:
                    await _announce(options, server, loaded, str(file))
                    told = asyncio.create_task(_tell_of_second_use(server))
                    await stopping.asked.wait()
                    told.cancel()
                    _say(options, "Stopping: no new conversations; those that run may end. Ctrl-C again ends them.")
                    await server.drain(stopping.hurry)
        finally:
            sock.close()
            await seats.close()
    if options.json:
        print(json.dumps({"event": "stopped", "code": stopping.code}), flush=True)
    return stopping.code


async def _unless_stopped(work: Coroutine[Any, Any, Any], stopping: Stopping) -> Any:
    """What ``work`` returns; None where a signal came first."""
    working, asked = asyncio.ensure_future(work), asyncio.ensure_future(stopping.asked.wait())
    try:
        await asyncio.wait((working, asked), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for one in (working, asked):
            one.cancel()
        await asyncio.gather(working, asked, return_exceptions=True)


async def _announce(
    options: argparse.Namespace, server: Server, loaded: Mapping[Any, EngineInfo], token_file: str
) -> None:
    models = {kind: info.model or info.engine for kind, info in loaded.items() if kind not in ("turn", "vad")}
    if options.json:
        ready = {"event": "ready", "url": server.url, "port": server.port, "pid": os.getpid()}
        print(json.dumps({**ready, "token_file": token_file, "models": models}), flush=True)
    from locara.server.listening import is_loopback

    here = is_loopback(options.host)
    reach = "this machine only" if here else "other machines can reach it, unencrypted"
    _say(options, f"Locara listens at {server.url} ({reach})")
    _say(options, "  models  " + ", ".join(f"{kind} {model}" for kind, model in models.items()))
    _say(options, f"  API     base URL {server.url}/v1, the key is in {token_file}")
    page = server.launch_url()
    opened = not options.no_browser and await asyncio.to_thread(_browse, page)
    again = "again: locara serve --open" + ("" if server.port == 7777 else f" --port {server.port}")
    if opened:
        _say(options, f"  page    opened in your browser; {again}")
    elif not options.json:
        _say(options, f"  page    {page} (works once, within a minute; {again})")
    _say(options, "  Ctrl-C ends it.")


def _browse(url: str) -> bool:
    """Whether a browser with a window took it: one in the terminal could not be talked with."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False


async def _tell_of_second_use(server: Server) -> None:
    await server.codes.used_twice.wait()
    print(
        "locara serve: the page's one-time link was used twice. If the page did not open for you, somebody else on this "
        "machine was faster: stop the server and start it again.",
        file=sys.stderr,
        flush=True,
    )


def _open_again(options: argparse.Namespace) -> int:
    """The page of the server that runs at the port, with a new one-time code."""
    import httpx

    from locara.errors import ConfigError
    from locara.server import token

    base = f"http://127.0.0.1:{options.port}"
    secret = token.read(options.port)
    missing = ConfigError(f"no locara server of yours runs at port {options.port}", hint="start one: locara serve")
    if secret is None:
        raise missing
    try:
        with httpx.Client(trust_env=False, timeout=5.0) as client:  # never through a proxy: it has the token
            got = client.post(f"{base}/code/new", json={}, headers={"Authorization": f"Bearer {secret}"})
            code = got.raise_for_status().json()["code"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise missing from error
    url = f"{base}/#code={code}"
    if options.no_browser or not _browse(url):
        print(url)
    return 0


def _say(options: argparse.Namespace, line: str) -> None:
    print(line, file=sys.stderr if options.json else sys.stdout, flush=True)
