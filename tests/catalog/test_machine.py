"""What a machine tells of itself, in the words of each system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from locara.catalog import extras, machine
from locara.catalog.machine import (
    limited,
    macos_memory,
    meminfo,
    nvidia_cards,
    quota_cores,
    this_machine,
    version_reached,
)


def test_this_machine_is_read_at_all(tmp_path: Path) -> None:
    got = this_machine(tmp_path / "not" / "there" / "yet")
    assert got.cores >= 1
    assert got.disk_free
    assert got.memory_total is None or got.memory_total > 10**8
    assert got.memory_free is None or got.memory_total is None or 0 <= got.memory_free <= got.memory_total
    assert got.fingerprint == this_machine().fingerprint  # what changes by the hour is not in it
    assert len(got.fingerprint) == 12


def test_meminfo_is_kilobytes() -> None:
    text = (
        "MemTotal:       16315400 kB\nMemFree:          101 kB\nMemAvailable:    8000000 kB\nHugePages_Total:       0\n"
    )
    assert meminfo(text) == (16315400 * 1024, 8000000 * 1024)
    assert meminfo("") == (None, None)


def test_a_control_group_limits_memory_and_gives_its_cache_back(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("1500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 400000000\n")
    assert limited((16 * 10**9, 9 * 10**9), (tmp_path,)) == (2_000_000_000, 900_000_000)


def test_a_control_group_without_a_limit_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert limited((16, 9), (tmp_path,)) == (16, 9)
    assert limited((16, 9), (tmp_path / "missing",)) == (16, 9)


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("", None), ("x 1", None)])
def test_cores_that_a_control_group_pays_for(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert quota_cores((tmp_path,)) == cores


def test_the_older_control_groups_say_it_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert quota_cores((tmp_path,)) is None
    (tmp_path / "cpu.cfs_quota_us").write_text("50000")
    assert quota_cores((tmp_path,)) == 0.5


def test_own_groups_are_walked_from_inside_out(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/user.slice/session-1.scope\n4:memory:/docker/abc\n3:cpuset:/\n")
    root = tmp_path / "fs"
    assert machine._groups(root, own) == (
        root / "user.slice" / "session-1.scope",
        root / "user.slice",
        root,
        root / "memory" / "docker" / "abc",
        root / "memory" / "docker",
        root / "memory",
    )


def test_macos_tells_pages() -> None:
    answers = {
        "sysctl": "17179869184\n",
        "vm_stat": "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:   1000.\n"
        "Pages active:  5.\nPages inactive:  2000.\nPages speculative: 30.\nPages wired down: 7.\nPages purgeable: 4.\n",
    }
    assert macos_memory(lambda command: answers[command[0]]) == (17179869184, 16384 * 3034)
    assert macos_memory(lambda _: None) == (None, None)


def test_nvidia_cards_are_lines() -> None:
    text = "NVIDIA GeForce RTX 4090, 24564, 23000\nNVIDIA GB10, [N/A], [N/A]\n\nnonsense\n"
    first, second = nvidia_cards(text)
    assert (first.kind, first.name, first.total, first.free) == (
        "cuda",
        "NVIDIA GeForce RTX 4090",
        24564 << 20,
        23000 << 20,
    )
    assert (second.name, second.total, second.free) == ("NVIDIA GB10", None, None)


def test_the_drivers_own_folder_names_cards(tmp_path: Path) -> None:
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    (card,) = machine._nvidia_driver(tmp_path)
    assert (card.name, card.total) == ("NVIDIA H200", None)
    assert machine._nvidia_driver(tmp_path / "none") == ()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine, "PROGRAM_SECONDS", 0.2)
    assert machine._printed(["nvidia-smi"]) is None
    assert machine._printed(["a-program-nobody-has"]) is None


@pytest.mark.parametrize(
    ("has", "wanted", "reached"),
    [
        ("26.1", "26", True),
        ("15.7.1", "26", False),
        ("10.15", "10.15", True),
        ("10.14.6", "10.15", False),
        ("", "", True),
    ],
)
def test_versions_are_compared_by_number(has: str, wanted: str, reached: bool) -> None:
    assert version_reached(has, wanted) is reached


def test_extras_are_read_from_the_metadata() -> None:
    lines = [
        "numpy>=1.26",
        "sherpa-onnx>=2.0; extra == 'sherpa'",
        'kokoro-onnx>=0.6.1; (python_version < "3.14") and extra == "kokoro"',
        "ruff>=0.8; extra == 'dev'",
        "locara[docs,test]; extra == 'dev'",
    ]
    assert extras.requirements(lines) == {
        "sherpa": ("sherpa-onnx",),
        "kokoro": ("kokoro-onnx",),
        "dev": ("ruff", "locara"),
    }
    assert "test" in extras.installed() or not extras.installed()
    assert extras.command("sherpa") == 'pip install "locara[sherpa]"'
