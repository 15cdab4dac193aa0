"""What this machine has: memory, cores, accelerators, system, disk. Facts only; what follows from them is `fitting`.

What may live here: `Machine` and the readings that fill it. Nothing heavy is imported, every program that is started has
a deadline, and a reading that fails gives None: it is then not known, and nothing is built upon it.

Sources: proc(5) for ``/proc/meminfo``; "Control Group v2" in the Linux kernel's documentation for ``memory.max``,
``memory.current`` and ``cpu.max``; sysctl(3) and vm_stat(1) on macOS; ``GlobalMemoryStatusEx`` on Windows. Only the Linux
readings were run by us on real machines.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROGRAM_SECONDS = 3.0
"""For one program that is asked (nvidia-smi, sysctl, vm_stat). nvidia-smi takes 0.1 s where its driver is awake, and may
hang where the driver is broken."""

Words = Callable[[list[str]], "str | None"]
"""Runs a program and gives what it printed, or None."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """``kind``: ``cuda``, or ``metal`` for Apple silicon, which also runs MLX. ``total`` and ``free`` are bytes of its own
    memory; None where it shares the machine's, or where nobody told."""

    kind: Literal["cuda", "metal"]
    name: str
    total: int | None = None
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """``os`` as in `Needs` (``linux``, ``macos``, ``windows``). ``cores`` that this process may use; sizes in bytes, what
    a control group allows included. ``memory_free``: what can be had without swapping; ``disk_free``: where models go."""

    os: str
    os_version: str
    architecture: str
    processor: str
    cores: int
    memory_total: int | None
    memory_free: int | None
    disk_free: int | None = None
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Twelve letters that stay the same while speeds measured here stay true: what changes by the hour is left out."""
        accelerators = [f"{one.kind} {one.name}" for one in self.accelerators]
        parts = (self.os, self.architecture, self.processor, str(self.cores), *accelerators)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=1)
def _fixed() -> tuple[str, str, str, str]:
    """System, its version, architecture, processor: these do not change while we run."""
    return _os(), _os_version(), platform.machine() or "unknown", _processor()


def this_machine(models: Path | None = None) -> Machine:
    """The machine as it is now. ``models``: the folder whose disk is looked at. Never raises; takes at most
    `PROGRAM_SECONDS` for each program asked, and milliseconds where there is no Nvidia card."""
    system, version, architecture, processor = _fixed()
    total, free = _memory(system)
    return Machine(
        os=system,
        os_version=version,
        architecture=architecture,
        processor=processor,
        cores=_cores(),
        memory_total=total,
        memory_free=free,
        disk_free=None if models is None else disk_free(models),
        accelerators=_accelerators(system, architecture),
    )


def disk_free(folder: Path) -> int | None:
    """Bytes free where ``folder`` is or will be: its nearest parent that exists is asked."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


# --- the system -------------------------------------------------------------------------------------------------------


def _os() -> str:
    return {"darwin": "macos", "win32": "windows"}.get(
        sys.platform, "linux" if sys.platform == "linux" else sys.platform
    )


def _os_version() -> str:
    if sys.platform == "darwin":
        return platform.mac_ver()[0]
    return platform.version() if sys.platform == "win32" else platform.release()


def _processor() -> str:
    if sys.platform == "darwin":
        return (_printed(["sysctl", "-n", "machdep.cpu.brand_string"]) or "").strip() or platform.processor()
    if sys.platform == "linux":
        found = re.search(r"^model name\s*:\s*(.+)$", _text(Path("/proc/cpuinfo")) or "", re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def version_reached(has: str, wanted: str) -> bool:
    """Whether version ``has`` is at least ``wanted``, number by number (``26`` is reached by ``26.1``). What is no number
    is not compared."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(one) for one in re.findall(r"\d+", text))

    return not wanted or numbers(has) >= numbers(wanted)


# --- cores and memory -------------------------------------------------------------------------------------------------


def _cores() -> int:
    """Those the process may run on, and no more than its control group pays for."""
    if sys.platform == "linux":
        allowed = len(os.sched_getaffinity(0))
        quota = quota_cores(_groups())
        return max(1, allowed if quota is None else min(allowed, math.floor(quota)))
    return max(1, os.cpu_count() or 1)


def _memory(system: str) -> tuple[int | None, int | None]:
    if system == "linux":
        facts = meminfo(_text(Path("/proc/meminfo")) or "")
        return limited(facts, _groups())
    if system == "macos":
        return macos_memory(_printed)
    if system == "windows":
        return _windows_memory()
    return None, None


def meminfo(text: str) -> tuple[int | None, int | None]:
    """(``MemTotal``, ``MemAvailable``) in bytes, from the text of ``/proc/meminfo``."""
    lines = dict(re.findall(r"^(\w+):\s*(\d+) kB$", text, re.MULTILINE))
    total, free = lines.get("MemTotal"), lines.get("MemAvailable")
    return (None if total is None else int(total) * 1024), (None if free is None else int(free) * 1024)


def limited(memory: tuple[int | None, int | None], groups: tuple[Path, ...]) -> tuple[int | None, int | None]:
    """``memory`` (total, free) under the limits of the control groups this process is in, innermost first."""
    total, free = memory
    for group in groups:
        limit = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
        if limit is None or (total is not None and limit >= total):
            continue  # no limit: version 1 writes a number close to 2**63 for it
        cache = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(group / "memory.stat") or "", re.MULTILINE)
        # What the group's files hold in the cache is given back before anything is killed.
        left = max(0, limit - max(0, used - (int(cache[1]) if cache else 0)))
        total, free = limit, left if free is None else min(free, left)
    return total, free


def quota_cores(groups: tuple[Path, ...]) -> float | None:
    """How many cores' time the control groups allow; None for all."""
    quotas: list[float] = []
    for group in groups:
        words = (_text(group / "cpu.max") or "").split()
        if len(words) == 2 and words[0].isdigit() and int(words[1]):
            quotas.append(int(words[0]) / int(words[1]))
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> tuple[Path, ...]:
    """The folders of the control groups we are in, innermost first; versions 1 and 2. Inside a container the path that
    the kernel tells may not exist under ``root``: then ``root`` itself is the group."""
    folders: list[Path] = []
    for line in (_text(own) or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for controller in controllers.split(",") if controllers else ("",):
            if controller not in ("", "memory", "cpu"):
                continue
            top = root / controller if controller else root
            place = top / path.strip("/")
            while place != top and top in place.parents:
                folders.append(place)
                place = place.parent
            folders.append(top)
    return tuple(dict.fromkeys(folders))


def macos_memory(printed: Words) -> tuple[int | None, int | None]:
    """Bytes of ``hw.memsize``, and of the pages that are free or can be taken without swapping."""
    size = (printed(["sysctl", "-n", "hw.memsize"]) or "").strip()
    text = printed(["vm_stat"]) or ""
    page = re.search(r"page size of (\d+) bytes", text)
    pages = dict(re.findall(r"^Pages ([a-z ]+):\s+(\d+)\.$", text, re.MULTILINE))
    free = None
    if page and "free" in pages:
        free = int(page[1]) * sum(int(pages.get(one, 0)) for one in ("free", "inactive", "speculative", "purgeable"))
    return (int(size) if size.isdigit() else None), free


def _windows_memory() -> tuple[int | None, int | None]:
    if sys.platform != "win32":
        return None, None
    import ctypes

    class Status(ctypes.Structure):  # MEMORYSTATUSEX of sysinfoapi.h
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("free", ctypes.c_ulonglong),
            ("more", ctypes.c_ulonglong * 5),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    if not ctypes.WinDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return int(status.total), int(status.free)


# --- accelerators -----------------------------------------------------------------------------------------------------


def _accelerators(system: str, architecture: str) -> tuple[Accelerator, ...]:
    if system == "macos":
        return (Accelerator("metal", _fixed()[3]),) if architecture == "arm64" else ()
    if system == "linux" and not Path("/proc/driver/nvidia").exists() and not Path("/dev/dxg").exists():
        return ()  # no Nvidia driver, and not Windows' Linux, which has it elsewhere: no program need be started
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    told = nvidia_cards(_printed(asked) or "")
    return told or _nvidia_driver(Path("/proc/driver/nvidia/gpus"))


def nvidia_cards(text: str) -> tuple[Accelerator, ...]:
    """The cards in nvidia-smi's answer: a line each, ``name, total MiB, free MiB``. ``[N/A]`` where memory is shared."""
    cards: list[Accelerator] = []
    for line in text.splitlines():
        words = [one.strip() for one in line.rsplit(",", 2)]
        if len(words) == 3 and words[0]:
            total, free = (int(one) << 20 if one.isdigit() else None for one in words[1:])
            cards.append(Accelerator("cuda", words[0], total, free))
    return tuple(cards)


def _nvidia_driver(folder: Path) -> tuple[Accelerator, ...]:
    """The cards the driver knows, where nvidia-smi is not installed: their memory is not told there."""
    try:
        texts = [_text(one / "information") or "" for one in sorted(folder.iterdir())]
    except OSError:
        return ()
    names = [re.search(r"^Model:\s*(.+)$", text, re.MULTILINE) for text in texts]
    return tuple(Accelerator("cuda", name[1].strip()) for name in names if name)


# --- reading ----------------------------------------------------------------------------------------------------------


def _printed(command: list[str]) -> str | None:
    """What a program prints, or None if there is none, it fails, or it takes too long."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROGRAM_SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _number(file: Path) -> int | None:
    text = (_text(file) or "").strip()
    return int(text) if text.isdigit() else None
