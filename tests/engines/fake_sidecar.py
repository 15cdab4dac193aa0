"""A sidecar that speaks the protocol of docs/native.md without an operating system behind it, and misbehaves on demand.

Run as a program: ``python fake_sidecar.py stt|tts [FAULT]``. It imports nothing of Locara: it is written from the page.
What it "hears" is one word for each tenth of a second of sound at 16 kHz.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import struct
import sys
import threading
import time
from typing import Any

WORDS = "one two three four five six seven eight nine ten".split()
TENTH = 1_600  # samples
RATE = 22_050
FAULT = sys.argv[2] if len(sys.argv) > 2 else ""
OUT = threading.Lock()


def say(**message: Any) -> None:
    with OUT:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sys.stdin.buffer.read(size - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def frames() -> Any:
    while True:
        kind, size = struct.unpack("<cI", exactly(5))
        yield kind, exactly(size)


def begin() -> None:
    sys.stderr.write("a framework warns of something\n")
    sys.stderr.flush()
    match FAULT:
        case "dies-at-start":
            sys.stderr.write("no such framework\n")
            sys.exit(3)
        case "aborts-at-start":
            os.kill(os.getpid(), signal.SIGABRT)
        case "slow-start":
            time.sleep(60)
        case "refuses":
            say(type="error", fatal=True, code="assets", message="the model is not on this Mac", hint="install it")
            sys.exit(1)
        case "prints":
            print("hello from a library")
        case "long-line":
            sys.stdout.write("x" * 3_000_000)
            sys.stdout.flush()


class Ear:
    def __init__(self) -> None:
        self.turn = self.segment = self.samples = self.told = 0

    def words(self) -> str:
        return " ".join(WORDS[i % 10] for i in range(self.told, self.samples // TENTH))

    def hear(self, size: int) -> None:
        self.samples += size
        if FAULT == "dies-mid-turn" and self.samples > 8 * TENTH:
            os._exit(9)
        if FAULT == "bad-json" and self.samples > 8 * TENTH:
            sys.stdout.write("{not json\n")
            sys.stdout.flush()
        if FAULT == "babbles" and self.samples > 8 * TENTH:
            while True:
                say(type="partial", turn=self.turn, segment=self.segment, text="blah " * 20)
        if FAULT == "fails-a-turn" and self.turn == 2:
            say(type="error", turn=self.turn, message="out of memory", hint="speak less")
        say(type="partial", turn=self.turn, segment=self.segment, text=self.words())

    def settle(self, segment: int) -> None:
        if FAULT == "hangs-on-settle" and self.turn > 1:
            time.sleep(60)
        if FAULT == "late-final" and self.turn > 1:
            time.sleep(0.4)
        text, self.told = self.words(), self.samples // TENTH
        if text:
            say(type="final", turn=self.turn, segment=segment, text=text, confidence=0.5)
        say(type="done", turn=self.turn, segment=segment)
        if FAULT == "goes-on":  # what it still says of a segment that is over, and of a turn that is
            say(type="partial", turn=self.turn, segment=segment, text="ghost")
            say(type="final", turn=self.turn, segment=segment, text="ghost")
            say(type="final", turn=self.turn - 1, segment=segment + 1, text="ghost")
            say(type="unheard-of", turn=self.turn)
        self.segment = segment + 1


def listen() -> None:
    ear = Ear()
    say(type="ready", note="fake")
    for kind, payload in frames():
        if kind == b"a":
            if FAULT == "deaf":
                time.sleep(60)
            ear.hear(len(payload) // 2)
            continue
        order = json.loads(payload)
        match order["op"]:
            case "begin":
                ear = Ear()
                ear.turn = order["turn"]
            case "settle":
                ear.settle(order["segment"])


class Mouth:
    """Speaks in a thread, as a synthesiser does, so that ``stop`` is seen meanwhile."""

    def __init__(self) -> None:
        self.stopped: set[int] = set()

    def speak(self, number: int, text: str) -> None:
        if FAULT == "silent" and number > 1:
            return
        if FAULT == "fails-a-text" and number == 2:
            say(type="error", id=number, message="this voice was removed", hint="choose another")
            return
        at = start = 0
        for word in text.split(" "):
            if number in self.stopped and FAULT != "does-not-stop":
                return
            units = len(word.encode("utf-16-le")) // 2
            if word:
                say(type="word", id=number, at=at, start=start, end=start + units)
            pcm = base64.b64encode(struct.pack("<h", 1_000) * (RATE // 20)).decode()
            rate = 16_000 if FAULT == "changes-rate" and number > 1 else RATE
            say(type="sound", id=number, rate=rate, pcm="???" if FAULT == "bad-pcm" and number > 1 else pcm)
            at += RATE // 20
            start += units + 1
            if FAULT == "dies-mid-text" and number > 1:
                os._exit(9)
        say(type="done", id=number)


def speak() -> None:
    mouth = Mouth()
    voices = [{"id": "fake.alex", "name": "Alex", "language": "en-US", "quality": 1, "personal": False}]
    say(type="ready", language="en-US", voices=voices)
    for _, payload in frames():
        order = json.loads(payload)
        match order["op"]:
            case "speak":
                threading.Thread(target=mouth.speak, args=(order["id"], order["text"]), daemon=True).start()
            case "stop":
                mouth.stopped.add(order["id"])


if __name__ == "__main__":
    begin()
    {"stt": listen, "tts": speak}[sys.argv[1]]()
