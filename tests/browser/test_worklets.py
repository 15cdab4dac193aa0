"""What runs on the browser's audio thread, by itself: every sample is played once, in order, and told exactly."""

from __future__ import annotations

import asyncio

import pytest

from .chromium import browser
from .served import needs_browser, served

pytestmark = needs_browser

STAGE = """
  globalThis.AudioWorkletProcessor = class {
    constructor() { this.posted = []; this.port = { postMessage: (one) => this.posted.push(one) }; }
  };
  const made = (globalThis.made ??= {}); // a module runs once in a page
  globalThis.registerProcessor = (name, processor) => { made[name] = processor; };
  globalThis.sampleRate = 24000;
  await import("/sdk/playback.worklet.js");
  const block = (at, count, value = 0.5) => ({ block: { at, turn: 3, samples: new Float32Array(count).fill(value) } });
  const run = (player, quanta) => {
    const out = [];
    for (let i = 0; i < quanta; i++) {
      const channel = new Float32Array(128);
      player.process([], [[channel]]);
      out.push(...channel);
    }
    return out;
  };
"""

PLAYED = """
  const player = new made["locara-playback"]();
  run(player, 5);
  player.posted.length = 0;
  // 40 ms are not enough to begin with, 80 ms are.
  player.port.onmessage({ data: block(24000, 960) });
  const waiting = run(player, 5).every((one) => one === 0);
  player.port.onmessage({ data: block(24960, 960) });
  const sound = run(player, 16);
  const drained = player.posted.find((one) => one.kind === "drained");
  // A word that is shorter than what is kept in hand is not kept back for ever.
  player.port.onmessage({ data: block(48000, 240) });
  const short = run(player, 40).filter((one) => one === 0.5).length;
  // What came before a lost connection comes again: only what is new is played.
  player.port.onmessage({ data: block(46000, 2240) });
  player.port.onmessage({ data: block(48100, 2000) });
  const again = run(player, 40).filter((one) => one === 0.5).length;
  // A flush is heard for 10 ms more, falling; what was not played is not said to be.
  player.port.onmessage({ data: block(96000, 4800) });
  run(player, 20);
  const until = player.played;
  player.port.onmessage({ data: { flush: true } });
  const flushed = player.posted.find((one) => one.kind === "flushed");
  const fade = run(player, 4);
  player.port.onmessage({ data: block(200000, 2400) });
  const next = run(player, 20);
  return {
    waiting, first: sound.findIndex((one) => one > 0), whole: sound.filter((one) => one === 0.5).length,
    drained: [drained.played, drained.turn, drained.turnPlayed], short, again, underruns: player.underruns,
    flushed: flushed.played - until, falling: fade.slice(0, 240).every((one, i) => i === 0 || one <= fade[i - 1]),
    silent: fade.slice(240).every((one) => Math.abs(one) < 0.01), next: next.filter((one) => one === 0.5).length > 2000,
  };
"""

RANDOM = """
  // Like hypothesis, in the page: blocks that are late, double, overlapping, with holes, and flushes.
  let seed = 1;
  const random = (most) => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed % most; };
  for (let round = 0; round < 150; round++) {
    const player = new made["locara-playback"]();
    const heard = [];
    const next = player.next.bind(player);
    player.next = () => { const value = next(); heard.push(value); return value; };
    let end = 1, sent = new Set(), flushes = 0;
    for (let step = 0; step < 30; step++) {
      const kind = random(10);
      if (kind < 6) {
        const at = kind === 0 ? Math.max(1, end - random(900)) : kind === 1 ? end + random(5000) : end;
        const samples = Float32Array.from({ length: 1 + random(900) }, (_, i) => at + i); // each is its own place
        for (const one of samples) if (one >= end) sent.add(one);
        end = Math.max(end, at + samples.length);
        player.port.onmessage({ data: { block: { at, turn: 0, samples } } });
      } else if (kind === 6) { player.port.onmessage({ data: { flush: true } }); flushes++; }
      else run(player, random(20));
    }
    run(player, 400);
    if (heard.some((one, i) => i > 0 && one <= heard[i - 1])) return `round ${round}: out of order or twice`;
    if (heard.some((one) => !sent.has(one))) return `round ${round}: something that was not sent`;
    if (!flushes && heard.length !== sent.size) return `round ${round}: ${heard.length} of ${sent.size}`;
    if (heard.length && player.played !== heard.at(-1) + 1) return `round ${round}: told ${player.played}`;
    if (player.queued !== 0) return `round ${round}: ${player.queued} left`;
  }
  // Nobody who sends too much is kept in memory.
  const player = new made["locara-playback"]();
  for (let at = 0; at < 60 * 24000; at += 24000) player.port.onmessage({ data: block(at, 24000) });
  return player.queued <= 30 * 24000 && player.lost === 60 * 24000 - player.queued ? "fine" : "unbounded";
"""

CAPTURED = """
  globalThis.sampleRate = 44100;
  await import("/sdk/capture.worklet.js");
  const taker = new made["locara-capture"]();
  for (let i = 0; i < 14; i++) taker.process([[new Float32Array(128).fill(1.5), new Float32Array(128).fill(-0.5)]]);
  taker.process([[]]);
  taker.port.onmessage({ data: "close" });
  const running = taker.process([[]]);
  const [one, two] = taker.posted;
  return { count: taker.posted.length, size: one.samples.length, value: one.samples[0], rms: one.rms, running,
    same: one.samples.every((value) => value === one.samples[0]) && two.samples[881] === one.samples[0] };
"""


def test_every_sample_is_played_once_and_told_exactly() -> None:
    async def go() -> None:
        async with served() as server, browser() as tab:
            await tab.goto(server.url)
            told = await tab.run(f"(async () => {{ {STAGE} {PLAYED} }})()")
            assert told["waiting"] is True
            assert told["first"] < 128
            assert told["whole"] == pytest.approx(1920 - 60, abs=2)  # without the 2.5 ms in which it begins
            assert told["drained"] == [24_000 + 1920, 3, 1920]
            assert told["short"] == pytest.approx(240 - 60, abs=2)
            assert told["again"] == pytest.approx(50_100 - 48_240 - 60, abs=2)
            assert told["underruns"] == 1, "what went on where a sound had ended was counted"
            assert 0 < told["flushed"] <= 240
            assert told["falling"] is told["silent"] is told["next"] is True
            assert await tab.run(f"(async () => {{ {STAGE} {RANDOM} }})()") == "fine"
            told = await tab.run(f"(async () => {{ {STAGE} {CAPTURED} }})()")
            assert (told["count"], told["size"], told["value"], told["running"]) == (2, 882, 16384, False)
            assert (told["rms"], told["same"]) == (pytest.approx(0.5), True)
            assert tab.console == []

    asyncio.run(go())
