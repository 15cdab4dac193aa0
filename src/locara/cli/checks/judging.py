"""From what was read to what it means for a conversation. Pure: numbers in, a verdict out.

What may live here: one function for each check of ``locara doctor``, and the limits with their reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from locara.catalog.fitting import Speed, words
from locara.catalog.machine import Machine
from locara.cli.checks.loopback import Loop
from locara.cli.checks.verdict import Verdict
from locara.devices.choose import hint_silent
from locara.devices.contracts import DeviceInfo
from locara.offline import Promise

QUIET_DBFS = -50.0
"""Speech at arm's length comes at -40 to -20 dBFS. A second in which nothing is louder than this may be a quiet room: it
is told only together with what to do if one did speak."""
LOUD_DBFS = -0.1
"""Samples at full scale are cut off: the recogniser hears crackle."""
LEAST_MEMORY = 300_000_000
"""Bytes a conversation takes with its embedded engines."""
DISK_LOW = 1_000_000_000
"""Bytes: less than this holds no better model."""
SLOW_DELAY = 0.5
"""Seconds from speaker to microphone: Bluetooth takes 0.15 to 0.3; the echo canceller looks for the delay up to 0.5."""
LOUD_ECHO_DB = 6.0
"""The echo this much louder than what was played: the microphone overdrives, and no canceller helps."""
USUAL_ENDPOINT = 0.5
"""Seconds of silence until a turn is over, in an ordinary finished sentence."""
LATENCY_GOOD, LATENCY_BAD = 1.5, 4.0
"""Seconds until the reply: people wait 0.2 s for each other and put up with 1.5; after 4 they speak again."""


def machine(here: Machine, line: str) -> Verdict:
    """Memory and cores."""
    facts = {"cores": here.cores, "memory_free": here.memory_free, "fingerprint": here.fingerprint}
    if here.memory_free is not None and here.memory_free < LEAST_MEMORY:
        return Verdict("machine", "fail", line, "close other programs: a conversation takes about 300 MB", facts)
    return Verdict("machine", "ok", line, facts=facts)


def devices(found: Sequence[DeviceInfo] | None, trouble: str, hint: str) -> list[Verdict]:
    """Is there a microphone, is there a speaker; ``found`` None: they could not be listed, ``trouble`` says why."""
    if found is None:
        none = Verdict("devices", "fail", trouble, hint)
        return [none]
    told = []
    for kind, name in (("input", "microphone"), ("output", "speaker")):
        mine = [one for one in found if one.kind == kind]
        default = next((one.name for one in mine if one.is_default), mine[0].name if mine else "")
        if mine:
            more = f" (and {len(mine) - 1} more: locara devices)" if len(mine) > 1 else ""
            told.append(Verdict(f"{name} listed", "ok", f"{default}{more}", facts={"devices": len(mine)}))
        else:
            what = "typing works, and WAV files" if kind == "input" else "replies are only shown and written to files"
            told.append(Verdict(f"{name} listed", "fail", f"the sound system lists no {name}: {what}", hint))
    return told


def microphone(peak: float | None, samples: int, lost: int, platform: str) -> Verdict:
    """What a second of listening gave: ``peak`` in dBFS, None for digital zeros; ``lost`` blocks nobody took in time."""
    facts = {"peak_dbfs": peak, "samples": samples, "overruns": lost}
    if not samples:
        return Verdict("microphone", "fail", "it was opened and gave no samples", "plug it in again", facts)
    if peak is None:
        told = "it gives digital zeros: it is muted, or not permitted"
        return Verdict("microphone", "fail", told, hint_silent(platform), facts)
    if peak > LOUD_DBFS:
        fix = "lower its level in the sound settings"
        return Verdict("microphone", "warn", f"it is overdriven ({peak:.0f} dBFS at its loudest)", fix, facts)
    if lost:
        fix = "close programs that keep the processor busy"
        return Verdict("microphone", "warn", f"{lost} blocks of 20 ms were lost in a second", fix, facts)
    quiet = ", which is quiet: if you spoke, raise its level" if peak < QUIET_DBFS else ""
    return Verdict("microphone", "ok", f"it hears ({peak:.0f} dBFS at its loudest{quiet})", facts=facts)


def loop(heard: Loop | None, rate: int) -> Verdict:
    """The way of a test tone from the speaker to the microphone; None where it was not heard."""
    if heard is None:
        return Verdict(
            "echo",
            "ok",
            "the test tone was not heard by the microphone: headphones, or a speaker that is off or turned down",
            "if you heard no tone either, turn the speaker up, or choose another with --output; locara devices lists them",
            {"output_rate": rate},
        )
    told = f"the microphone hears the speaker after {heard.delay * 1000:.0f} ms, {-heard.gain:.0f} dB quieter"
    facts = {"delay": round(heard.delay, 4), "gain_db": round(heard.gain, 1), "output_rate": rate}
    if heard.gain > LOUD_ECHO_DB:
        fix = "turn the speaker or the microphone down, or use headphones"
        return Verdict("echo", "warn", f"the echo is {heard.gain:.0f} dB louder than what was played", fix, facts)
    if heard.delay > SLOW_DELAY:
        fix = "use a wired device, or headphones: so late an echo cannot be cancelled"
        return Verdict("echo", "warn", told, fix, facts)
    return Verdict("echo", "ok", f"{told}: it is cancelled", facts=facts)


def together(mic: Verdict, echo: Verdict) -> list[Verdict]:
    """A microphone that gives zeros in silence and heard the tone is not dead: it has a noise gate."""
    if mic.status == "fail" and "delay" in echo.facts:
        told = "it hears the test tone, and gives digital zeros in silence: a noise gate, or a virtual device"
        mic = Verdict("microphone", "ok", told, facts=mic.facts)
    return [mic, echo]


def engines(installed: Mapping[str, Sequence[str]], broken: Mapping[str, str]) -> Verdict:
    """``installed``: kind -> names; ``broken``: plugin -> why it cannot be imported."""
    facts = {"installed": {kind: list(names) for kind, names in installed.items()}}
    if missing := [kind for kind in ("vad", "stt", "llm", "tts") if not installed.get(kind)]:
        fix = "install Locara again: pip install --force-reinstall locara"
        return Verdict("engines", "fail", f"no engine for {', '.join(missing)}", fix, facts)
    if broken:
        told = "; ".join(f"{name} cannot be imported: {why}" for name, why in broken.items())
        return Verdict("engines", "warn", told, "update or uninstall the package it belongs to", facts)
    told = ", ".join(f"{kind} {'/'.join(installed[kind])}" for kind in ("stt", "llm", "tts"))
    return Verdict("engines", "ok", told, facts=facts)


def offline(promise: Promise, made: bool) -> Verdict:
    """What ``--offline`` would promise here; ``made``: this very process has promised it."""
    told = f"--offline is {promise.words()}" if not made else f"promised, and {promise.words()}"
    return Verdict("offline", "ok", told, facts={"kernel": promise.kernel, "promised": made})


def extras(installed: Sequence[str], useful: Sequence[str]) -> Verdict:
    """``useful``: the extras that what is recommended here would need."""
    facts = {"installed": list(installed), "useful": list(useful)}
    if missing := sorted(set(useful) - set(installed)):
        fix = f'for better models: pip install "locara[{",".join(missing)}]"; locara models recommend says which'
        return Verdict("extras", "ok", ", ".join(installed) or "none: what is embedded can run", fix, facts)
    return Verdict("extras", "ok", ", ".join(installed) or "none", facts=facts)


def models(whole: Sequence[str], damaged: Sequence[str], taken: int, folder: str) -> Verdict:
    """Models on disk: ``whole``, ``damaged`` (files missing or of another size), and the bytes they take."""
    facts = {"folder": folder, "whole": list(whole), "damaged": list(damaged), "disk": taken}
    if damaged:
        fix = f"locara models pull {' '.join(damaged)}"
        return Verdict("models", "fail", f"not whole: {', '.join(damaged)}", fix, facts)
    if not whole:
        return Verdict("models", "ok", "none was pulled: the embedded ones are used", "locara models recommend", facts)
    return Verdict(
        "models", "ok", f"{', '.join(whole)} ({words(taken)}, files and sizes as they should be)", facts=facts
    )


def disk(free: int | None, writable: bool, folder: str) -> Verdict:
    """Where models go."""
    facts = {"folder": folder, "free": free, "writable": writable}
    if not writable:
        return Verdict(
            "disk", "warn", f"{folder} cannot be written", "set LOCARA_MODELS to a folder that can be", facts
        )
    if free is not None and free < DISK_LOW:
        fix = "locara models prune, or LOCARA_MODELS on another disk"
        return Verdict("disk", "warn", f"{words(free)} free for models", fix, facts)
    return Verdict("disk", "ok", f"{words(free)} free for models in {folder}", facts=facts)


def server(name: str, url: str, chat_models: Sequence[str]) -> Verdict:
    """A model server; an empty name where none answers."""
    if not name:
        fix = (
            "none is needed; Ollama, LM Studio, llama-server and vLLM are found by themselves, others by LOCARA_LLM_URL"
        )
        return Verdict("model server", "ok", "none answers on this machine: an engine of ours answers", fix)
    facts = {"name": name, "url": url, "models": list(chat_models)}
    if not chat_models:
        return Verdict("model server", "warn", f"{name} at {url} tells no model", "load a model into it", facts)
    return Verdict("model server", "ok", f"{name} at {url}: {chat_models[0]}", facts=facts)


def latency(chosen: Mapping[str, str], measured: Mapping[str, Speed], firsts: Mapping[str, float]) -> Verdict:
    """An estimate from what ``locara models probe`` measured. ``chosen``: stage -> model; ``firsts``: model -> seconds to
    the first sound or token."""
    missing = [model for stage, model in chosen.items() if stage in ("stt", "tts") and model not in firsts]
    if missing:
        return Verdict("latency", "skip", f"not measured yet: {', '.join(missing)}", "locara models probe")
    parts = {"endpoint": USUAL_ENDPOINT, **{stage: firsts.get(model, 0.0) for stage, model in chosen.items()}}
    total = sum(parts.values())
    told = f"about {total:.1f} s from your last word to the reply (" + ", ".join(
        f"{name} {value:.1f}" for name, value in parts.items()
    ) + ")"  # fmt: skip
    slow = [model for model in chosen.values() if (speed := measured.get(model)) and (speed.real_time_factor or 0) > 1]
    facts = {**{name: round(value, 3) for name, value in parts.items()}, "total": round(total, 3), "slow": slow}
    if total > LATENCY_BAD or slow:
        return Verdict("latency", "warn", told, "locara models recommend names smaller ones", facts)
    return Verdict("latency", "ok", told, "" if total <= LATENCY_GOOD else "locara models recommend", facts)
