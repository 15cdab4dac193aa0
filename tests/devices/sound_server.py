"""A private sound server for tests: PulseAudio with a virtual speaker and a virtual microphone, no hardware, no root.

What may live here: starting, using and stopping that server. It listens on a socket of its own, so that a server that
is already running on this machine neither hears nor disturbs it.

    with SoundServer() as server, server.in_environment():
        server.say("user.wav")            # into the microphone that programs open as "default"
        server.record("out.wav", 3.0)     # what programs played
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

_START_SECONDS = 15.0
_PROGRAMS = ("pulseaudio", "pactl", "paplay", "parec", "parecord")
_ASOUND = """
pcm.!default { type pulse }
ctl.!default { type pulse }
pcm.vmic { type pulse device mic }
pcm.vspeaker { type pulse device speaker }
"""
# 10 ms pieces: an idle null sink otherwise works in blocks of 2 s, and the first capture comes a second late.
_KEEP_ALIVE = ("--latency-msec=10", "--rate=16000", "--channels=1", "--format=s16le", "--raw")


def missing() -> str:
    """Why the server cannot run here; empty where it can."""
    if not sys.platform.startswith("linux"):
        return "the virtual sound card needs Linux"
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not lacking:
        return ""
    return f"{', '.join(lacking)} not installed (apt-get install pulseaudio pulseaudio-utils libasound2-plugins)"


class SoundServer:
    """Devices: ``VirtualSpeaker`` (default output), ``VirtualMic`` (default input), and ``MicFeed``, whose sound the
    microphone hears. All at 48 kHz, one channel."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._helpers: list[subprocess.Popen[bytes]] = []

    @property
    def folder(self) -> Path:
        """Where the socket and the log are."""
        if self._folder is None:
            raise RuntimeError("the sound server has not been started")
        return self._folder

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment in which a program talks to this server, over PulseAudio or ALSA."""
        return {
            "PULSE_SERVER": f"unix:{self.folder / 'native.sock'}",
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{self.folder / 'asound.conf'}",
        }

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[None]:
        """This very process talks to the server."""
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def __enter__(self) -> SoundServer:
        # A short name: the path of a Unix socket has at most 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="lcs-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        folder = self.folder
        (folder / "asound.conf").write_text(_ASOUND, encoding="utf-8")
        private = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder / "rt"),
            "PULSE_STATE_PATH": str(folder / "st"),
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=no"]
        command += ["--high-priority=no", f"--log-target=file:{folder / 'pulse.log'}"]
        for module in (
            f"module-native-protocol-unix socket={folder / 'native.sock'} auth-anonymous=1",
            _null_sink("speaker", "VirtualSpeaker"),
            _null_sink("micfeed", "MicFeed"),
            "module-remap-source source_name=mic master=micfeed.monitor channels=1 channel_map=mono "
            "source_properties=device.description=VirtualMic",
        ):
            command += ["-L", module]
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(command, env=os.environ | private, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(["pactl", "info"], env=self._env, capture_output=True, timeout=10, check=False).returncode:
            if time.monotonic() > deadline or self._server.poll() is not None:
                log = folder / "pulse.log"
                raise RuntimeError(f"PulseAudio did not start: {log.read_text()[-500:] if log.exists() else 'no log'}")
            time.sleep(0.05)
        self.control("set-default-sink", "speaker")
        self.control("set-default-source", "mic")
        for source in ("speaker.monitor", "mic"):
            self._helpers.append(
                subprocess.Popen(["parec", "-d", source, *_KEEP_ALIVE], env=self._env, stdout=quiet, stderr=quiet)
            )
        self._await_short_pace()

    def _await_short_pace(self) -> None:
        """Waits until the microphone gives its sound in short pieces: the null sinks take up the pace of their readers
        only when their current block of 2 s has ended."""
        command = ["parec", "-d", "mic", *_KEEP_ALIVE]
        reader = subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._helpers.append(reader)
        assert reader.stdout is not None
        os.set_blocking(reader.stdout.fileno(), False)
        deadline = time.monotonic() + _START_SECONDS
        last, in_time = time.monotonic(), 0
        while in_time < 10 and time.monotonic() < deadline:
            if reader.stdout.read(65536):
                in_time = in_time + 1 if time.monotonic() - last < 0.05 else 0
                last = time.monotonic()
            time.sleep(0.002)
        reader.stdout.close()
        reader.terminate()
        reader.wait(5)

    @property
    def _env(self) -> dict[str, str]:
        return os.environ | dict(self.variables)

    def control(self, *words: str) -> str:
        """Runs ``pactl`` and returns what it prints."""
        done = subprocess.run(["pactl", *words], env=self._env, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    def say(self, path: Path) -> subprocess.Popen[bytes]:
        """Starts to play a WAV file into the microphone. The process ends with the sound."""
        return self._help("paplay", "--device=micfeed", "--latency-msec=20", str(path))

    def record(self, path: Path) -> subprocess.Popen[bytes]:
        """Starts to record what is played (48 kHz, 16 bit, one channel), until the process is terminated."""
        return self._help(
            "parecord", "-d", "speaker.monitor", "--latency-msec=20", "--rate=48000", "--channels=1",
            "--format=s16le", "--file-format=wav", str(path),
        )  # fmt: skip

    def _help(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._helpers.append(process)
        return process

    @contextlib.contextmanager
    def echo(self, percent: int = 40) -> Iterator[None]:
        """The speaker is heard by the microphone, at a volume of ``percent``, about 30 ms later."""
        # adjust_time=0: the loop-back's adaptive resampler would bend the echo path all the time.
        module = self.control(
            "load-module", "module-loopback", "source=speaker.monitor", "sink=micfeed", "latency_msec=30",
            "adjust_time=0",
        )  # fmt: skip
        try:
            time.sleep(0.3)
            newest = self.control("list", "short", "sink-inputs").splitlines()[-1].split()[0]
            self.control("set-sink-input-volume", newest, f"{percent}%")
            yield
        finally:
            self.control("unload-module", module)

    def kill(self) -> None:
        """Ends the server at once, as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(5)

    def restart(self) -> None:
        """Starts a server again on the same socket, after ``kill``."""
        self._end_processes()
        self._start()

    def stop(self) -> None:
        """Ends every process and removes the folder. May be called twice."""
        self._end_processes()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _end_processes(self) -> None:
        for process in (*self._helpers, self._server):
            if process is None:
                continue
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._helpers.clear()
        self._server = None


def _null_sink(name: str, description: str) -> str:
    shape = "rate=48000 channels=1 channel_map=mono"
    return f"module-null-sink sink_name={name} {shape} sink_properties=device.description={description}"
