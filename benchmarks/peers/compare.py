"""Locara beside pipecat-ai and livekit-agents: the same conversation, the same fake engines, one run.

    python benchmarks/peers/compare.py FOLDER [--trials 6] [--sessions 5] [--only NAME ...] [--use NAME=PYTHON ...]

Makes a virtual environment for each system in FOLDER, once, with the newest release from the package index (Locara: this
checkout); or takes the interpreter that ``--use`` names. Then it makes the speech, and runs all configurations one after
the other, in real time: about a minute a trial and configuration. Prints the table of ``docs/benchmarks.md`` and writes
``FOLDER/results.json``. The column *harness* is no system at all: what it shows is the error of the measurement.

The peers are never dependencies of Locara. Nothing of them leaves FOLDER, and no model is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = {"locara": str(ROOT), "pipecat": "pipecat-ai", "livekit": "livekit-agents"}
IMPORTS = {
    "locara": "from locara import voice",
    "pipecat": "from pipecat.pipeline.worker import PipelineWorker",
    "livekit": "from livekit.agents import AgentSession",
}
CONFIGURATIONS = (
    "null ideal",
    "locara normal",
    "locara quick",
    "pipecat default",
    "pipecat tight",
    "livekit default",
    "livekit tight",
)
IMPORT_RUNS = 7
"""Of each system."""
HELD = 1.5
"""Seconds over the parts from which an answer counts as held back by a wrong verdict about the turn."""
LONGEST_RUN = 1800.0
"""Seconds that one runner may take."""
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}

Result = dict[str, Any]


def environment(folder: Path, name: str) -> Path:
    """The interpreter of a system's own environment; makes it if it is not there."""
    home = folder / name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = home / "installed"
    if done.exists():
        return python
    print(f"installing {PACKAGES[name]} ...", file=sys.stderr)
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), PACKAGES[name]], check=True)
    else:
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PACKAGES[name]], check=True)
    done.touch()
    return python


def installed(python: Path) -> tuple[float, int]:
    """Megabytes of all packages of an environment, and how many they are, without pip and setuptools."""
    listing = (
        "import sysconfig, importlib.metadata as m; print(sysconfig.get_path('purelib'));"
        "print(len({d.metadata['Name'].lower() for d in m.distributions()} - {'pip', 'setuptools'}))"
    )
    site, count = subprocess.run(
        [str(python), "-c", listing], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    left_out = {"pip", "setuptools", "_distutils_hack", "pkg_resources", "__pycache__"}
    size = sum(
        one.stat().st_size
        for top in Path(site).iterdir()
        if top.name.partition("-")[0] not in left_out
        for one in ([top] if top.is_file() else top.rglob("*"))
        if one.is_file() and "__pycache__" not in one.parts
    )
    return size / 1e6, int(count)


def import_times(pythons: dict[str, Path]) -> dict[str, list[float]]:
    """Seconds to import each system, without the interpreter's own start. In turns, so that a busy moment of the machine
    meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in pythons}
    for number in range(IMPORT_RUNS + 1):
        for name, python in pythons.items():
            whole, bare = (_seconds([str(python), "-c", statement]) for statement in (IMPORTS[name], "pass"))
            if number:  # the first one writes byte code
                times[name].append(whole - bare)
    return times


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | QUIET, cwd=HERE)
    return time.perf_counter() - began


def run(python: Path, configuration: str, speech: Path, trials: int, sessions: int) -> Result:
    """What one runner measured."""
    name, chosen = configuration.split()
    command = [str(python), str(HERE / f"run_{name}.py"), str(speech), "--configuration", chosen]
    command += ["--trials", str(trials), "--sessions", str(sessions)]
    print(f"running {configuration}, {sessions} session(s) ...", file=sys.stderr)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LONGEST_RUN, env=os.environ | QUIET, cwd=HERE
    )
    lines = [one for one in done.stdout.splitlines() if one.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{configuration} failed ({done.returncode}):\n{done.stderr[-1500:]}")
    told: Result = json.loads(lines[-1])
    return told


def values(result: Result, kinds: Sequence[str], field: str) -> list[float]:
    """One measure of the trials of these kinds, where it happened."""
    return [one[field] for one in result["trials"] if one["kind"] in kinds and one[field] is not None]


def told_ms(numbers: list[float]) -> str:
    """Median (least to most) in milliseconds."""
    if not numbers:
        return "none"
    ms = [1000 * one for one in numbers]
    return f"{statistics.median(ms):.0f} ({min(ms):.0f} to {max(ms):.0f})"


def added(kind: str) -> Callable[[Result], str]:
    """The row of one opener: median and spread, and how many answers were held back or never came."""

    def cell(result: Result) -> str:
        numbers = values(result, (kind,), "added")
        early = sum(one["kind"] == kind and one["note"].startswith("spoke") for one in result["trials"])
        missing = sum(one["kind"] == kind and one["note"] == "no answer" for one in result["trials"])
        held = sum(one > HELD for one in numbers)
        return (
            told_ms(numbers)
            + (f", {held} held" if held else "")
            + (f", {missing} none" if missing else "")
            + (f", {early} too early" if early else "")
        )

    return cell


def stop(kind: str) -> Callable[[Result], str]:
    """The row of one kind of interruption."""

    def cell(result: Result) -> str:
        missed = sum(one["kind"] == kind and bool(one["note"]) for one in result["trials"])
        return told_ms(values(result, (kind,), "stop")) + (f", {missed} missed" if missed else "")

    return cell


def noise(result: Result) -> str:
    """Whether the reply survived a wordless noise, and how long after the noise it went on."""
    trials = [one for one in result["trials"] if one["kind"] == "noise" and one["completed"] is not None]
    survived = sum(one["completed"] for one in trials)
    unstopped = sum(not one["stopped"] for one in trials)
    text = f"{survived} of {len(trials)}"
    resumed = values(result, ("noise",), "resume")
    if resumed:
        text += f", after {told_ms(resumed)}"
    return text + (f", {unstopped} never stopped" if unstopped else "")


def history(result: Result) -> str:
    """Words by which the history differs from what was heard."""
    errors = [
        abs(one["history_words"] - one["heard_words"])
        for one in result["trials"]
        if one["history_words"] is not None and one["heard_words"] is not None
    ]
    return f"{statistics.median(errors):g} (to {max(errors)})" if errors else "none"


def cpu(result: Result) -> str:
    """Share of one core, one session, and for each more."""
    return f"{100 * result['cpu_share']:.1f} %; {100 * result['load']['cpu']:.1f} %"


def memory(result: Result) -> str:
    """Megabytes with one session, and for each more."""
    if result["memory_mb"] is None:
        return "not known here"
    return f"{result['memory_mb']:.0f}; {result['load']['memory_mb']:.1f}"


def imports(result: Result) -> str:
    """Milliseconds to import it."""
    return told_ms(result["import"]) if result.get("import") else ""


def weight(result: Result) -> str:
    """Megabytes and packages."""
    return f"{result['installed_mb']:.0f} MB, {result['packages']} packages" if "packages" in result else ""


ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("added to the engines' time, 1-word opener, ms", added("1 word")),
    ("added to the engines' time, 14-word opener, ms", added("14 words")),
    ("stop after an interruption, first reply of the session, ms", stop("barge-in first")),
    ("stop after an interruption, 1.5 s into a reply, ms", stop("barge-in early")),
    ("stop after an interruption, 4.5 s into a reply, ms", stop("barge-in late")),
    ("reply survives a wordless noise; resumes, ms after it", noise),
    ("history against what was heard, words", history),
    ("processor, share of a core: one session; each more", cpu),
    ("memory, MB: one session; each more", memory),
    ("import, ms", imports),
    ("installed", weight),
)


def table(results: list[Result]) -> str:
    """Markdown."""
    lines = ["| | " + " | ".join(one["system"] for one in results) + " |", "|---" * (len(results) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell(one) for one in results) + " |" for name, cell in ROWS]
    return "\n".join(lines)


def save(folder: Path, results: list[Result]) -> None:
    """Everything that was measured, each trial of it."""
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description="Locara beside pipecat-ai and livekit-agents.")
    parser.add_argument("folder", type=Path, help="for the environments, the speech and the results")
    parser.add_argument("--trials", type=int, default=6, help="of each kind (6)")
    parser.add_argument("--sessions", type=int, default=5, help="in one process, to see what each one more costs (5)")
    parser.add_argument(
        "--only", nargs="+", choices=CONFIGURATIONS, metavar="NAME", help="of: " + ", ".join(CONFIGURATIONS)
    )
    parser.add_argument(
        "--use", nargs="+", default=[], metavar="NAME=PYTHON", help="an environment that is there already"
    )
    parser.add_argument("--speech", type=Path, help="a folder with speech.json, instead of the embedded voice's")
    given = parser.parse_args()
    if given.trials < 1 or given.sessions < 2:
        raise SystemExit("at least one trial and two sessions are needed")
    given.folder.mkdir(parents=True, exist_ok=True)
    used = dict(one.split("=", 1) for one in given.use)
    # absolute, but not resolved: the interpreter of an environment is a link to the one it was made with
    pythons = {
        name: Path(used[name]).absolute() if name in used else environment(given.folder, name) for name in PACKAGES
    }
    pythons["null"] = pythons["locara"]
    speech = given.speech or given.folder / "speech"
    if not (speech / "speech.json").is_file():
        subprocess.run([str(pythons["locara"]), str(HERE / "make_speech.py"), str(speech)], check=True)
    results = []
    for configuration in given.only or CONFIGURATIONS:
        name = configuration.split()[0]
        python = pythons[name]
        result = run(python, configuration, speech.absolute(), given.trials, 1)
        # The same short turns with one session and with several: the difference is what each one costs.
        one, many = (run(python, configuration, speech.absolute(), -given.trials, n) for n in (1, given.sessions))
        result["load"] = {
            "cpu": (many["cpu_share"] - one["cpu_share"]) / (given.sessions - 1),
            "memory_mb": ((many["memory_mb"] or 0) - (one["memory_mb"] or 0)) / (given.sessions - 1),
            "added": [values(one, ("1 word",), "added"), values(many, ("1 word",), "added")],
        }
        if name in PACKAGES and name not in used:
            result["installed_mb"], result["packages"] = installed(python)
        results.append(result)
        save(given.folder, results)
    ran = {one.split()[0] for one in given.only or CONFIGURATIONS} & set(PACKAGES)
    times = import_times({name: pythons[name] for name in sorted(ran)})
    for result in results:
        result["import"] = times.get(result["system"].split()[0], [])
    save(given.folder, results)
    versions = ", ".join(f"{k} {v}" for k, v in {k: v for one in results for k, v in one["versions"].items()}.items())
    print(f"{versions}. Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores.\n")
    print(table(results))


if __name__ == "__main__":
    main()
