"""The SDK by itself, as an app uses it; and its pure parts, against the server's."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from locara.client import frames

from .chromium import Tab, browser
from .served import TOKEN, allow, messages, needs_browser, served

pytestmark = needs_browser

USE = f"""
  const {{ voice, keepToken, LocaraError }} = await import("/sdk/locara.js");
  keepToken("{TOKEN}");
  const text = (error) => [error instanceof LocaraError, error.code, error.hint !== ""];
"""


async def script(tab: Tab, body: str, *, gesture: bool = True) -> Any:
    """Runs a piece of an app; what it returns."""
    return await tab.run(f"(async () => {{ {USE} {body} }})()", gesture=gesture)


def test_an_app_talks_through_the_sdk() -> None:
    allow("device.microphone", "device.speaker")

    async def go() -> None:
        async with served() as server, browser() as tab:
            await tab.goto(server.url)
            # Without a click a browser plays nothing, and the app is told so.
            told = await script(tab, "return voice.session().start().catch(text)", gesture=False)
            assert told == [True, "needs-gesture", True]
            tab.console.clear()  # the browser says so, too
            told = await script(
                tab,
                """
                const tool = { name: "add", description: "adds", run: ({ a, b }) => a + b };
                const fails = { ...tool, name: "fails", run: () => { throw new Error("no"); } };
                const session = (window.session = voice.session({ tools: [tool, fails] }));
                const seen = (window.seen = [[], []]);
                for (const list of seen) {
                  const events = session.events();
                  (async () => { for await (const event of events) list.push(event); })();
                }
                await session.start();
                const again = await session.start().catch(text);
                const outputs = await session.outputs().catch(text);
                const heard = await session.rawInput().next();
                const played = await session.rawOutput().next();
                const named = await session.models("tts");
                return {
                  again, outputs, plan: session.plan.stt.engine, exact: session.capabilities["final-transcript"],
                  heard: heard.value.length / session.inputRate,
                  played: played.value.length / session.outputRate,
                  inputs: (await session.inputs()).length,
                  espeak: named.some((one) => one.id === "espeak-ng" && one.installed),
                };
                """,
            )
            assert told["again"] == [True, "session-state", True]
            assert told["outputs"] == [True, "capability-denied", True]
            assert (told["heard"], told["played"]) == pytest.approx((0.02, 0.02))
            assert (told["plan"], told["exact"], told["espeak"]) == ("pocketsphinx", "exact", True)
            assert told["inputs"] >= 1
            told = await script(
                tab,
                """
                const events = session.events();
                const blocks = session.rawInput();
                await session.setInput((await session.inputs()).at(-1).id);
                for (let n = 0; n < 5; n++) await blocks.next();
                // As where a microphone is pulled out.
                session._microphone._stream.getAudioTracks()[0].dispatchEvent(new Event("ended"));
                const told = [];
                for await (const event of events) {
                  if (event.type === "device-changed") told.push(event.change);
                  if (told.length === 2) break;
                }
                for (let n = 0; n < 5; n++) await blocks.next();
                const wrong = await session.setInput("no-such-device").catch(text);
                return { told, wrong, status: session.status.microphone };
                """,
            )
            assert told == {"told": ["lost", "replaced"], "wrong": [True, "no-microphone", True], "status": "open"}
            told = await script(
                tab,
                """
                const ended = (who) => seen[0].filter((one) => one.type === "turn-end" && one.who === who).length;
                const until = async (what) => { while (!what()) await new Promise((r) => setTimeout(r, 20)); };
                await session.sendText("what is two plus three");
                await until(() => ended("assistant") === 1);
                await session.say("Good bye.");
                await until(() => ended("assistant") === 2);
                await session.configure({ patience: "patient" });
                // As the server asks for it; the engines of this test call no tools.
                session._push({ tool: { call: "c1", name: "add", arguments: { a: 1, b: 2 } } });
                session._push({ tool: { call: "c2", name: "fails", arguments: {} } });
                session._push({ tool: { call: "c3", name: "unknown", arguments: {} } });
                const wrong = await session.configure({ patience: "never" }).catch(text);
                const history = (await session.history()).map((one) => [one.role, one.text]);
                const metrics = await session.metrics();
                await session.stop();
                await session.stop();
                const after = await session.sendText("x").catch(text);
                return { wrong, history, turns: metrics.turns, dropped: metrics.browser_blocks_dropped, after,
                  ended: await session.ended, status: session.status.connection,
                  same: JSON.stringify(seen[0]) === JSON.stringify(seen[1]), last: seen[0].at(-1) };
                """,
            )
            assert told["wrong"][:2] == [True, "bad-message"] or told["wrong"][:2] == [True, "bad-config"]
            assert told["history"][0] == ["user", "what is two plus three"]
            assert told["history"][-1] == ["assistant", "Good bye."]
            assert (told["turns"], told["dropped"], told["same"]) == (1, 0, True)
            assert told["after"][:2] == [True, "connection-lost"]
            results = {
                one["params"]["call"]: one["params"]["result"]
                for one in messages(tab.sent)
                if one.get("method") == "tool.result"
            }
            assert results == {"c1": 3, "c2": {"error": "no"}, "c3": {"error": "this page has no tool unknown"}}
            assert (told["ended"], told["status"], told["last"]["type"]) == ("stopped", "closed", "session-end")
            assert tab.console == []

    asyncio.run(go())


def test_the_pure_parts_agree_with_the_server() -> None:
    async def go() -> None:
        async with served() as server, browser() as tab:
            await tab.goto(server.url)
            samples = (np.sin(np.arange(441)) * 0.9).astype(np.float32)
            packed = base64.b64encode(frames.packed(frames.sounding(frames.SPEAKER, 2**40 + 7, samples, -1))).decode()
            told = await script(
                tab,
                f"""
                const wire = await import("/sdk/frames.js");
                const bytes = Uint8Array.from(atob("{packed}"), (one) => one.charCodeAt(0)).buffer;
                const frame = wire.decode(bytes);
                const back = wire.encode(frame.kind, frame.at, frame.samples, frame.turn);
                return {{
                  ...frame, samples: [...wire.toFloat(frame.samples)], odd: wire.decode(new ArrayBuffer(17)),
                  same: wire.toBase64(new Int16Array(back)) === wire.toBase64(new Int16Array(bytes)),
                  clipped: [...wire.toPcm16(Float32Array.of(2, -2, 0.5))],
                }};
                """,
            )
            assert (told["kind"], told["turn"], told["at"], told["same"], told["odd"]) == (2, -1, 2**40 + 7, True, None)
            assert np.abs(np.array(told["samples"]) - samples).max() < 2 / 32768
            assert told["clipped"] == [32767, -32768, 16384]
            told = await script(
                tab,
                """
                const { Broadcast } = await import("/sdk/streams.js");
                const all = new Broadcast({ limit: 3, lost: (value, count) => ({ ...value, dropped: count }) });
                const slow = all.subscribe();
                const gone = all.subscribe();
                await gone.return();
                for (let n = 0; n < 10; n++) all.put({ n });
                const first = (await slow.next()).value;
                all.close();
                const rest = [];
                for await (const one of slow) rest.push(one.n);
                return { first, rest, left: all.consumers, late: (await all.subscribe().next()).done };
                """,
            )
            assert told == {"first": {"n": 7, "dropped": 7}, "rest": [8, 9], "left": 0, "late": True}
            told = await script(
                tab,
                """
                const { Resampler } = await import("/page/wav.js");
                const level = (hertz, from) => {
                  const made = new Resampler(from, 24000);
                  const out = [];
                  for (let at = 0; at < from; at += 441) {
                    const sine = (_, i) => Math.sin((2 * Math.PI * hertz * (at + i)) / from);
                    out.push(...made.push(Float32Array.from({ length: 441 }, sine)));
                  }
                  const middle = out.slice(4000, 20000);
                  return [out.length, Math.sqrt(middle.reduce((sum, one) => sum + one * one, 0) / middle.length)];
                };
                return [level(1000, 48000), level(1000, 44100), level(17000, 48000), level(1000, 24000)];
                """,
            )
            for length, level in (told[0], told[1], told[3]):
                assert abs(length - 24_000) < 300
                assert level == pytest.approx(0.5**0.5, rel=0.01)
            assert told[2][1] < 0.003, "what lies above the file's band is not folded into it"
            assert tab.console == []

    asyncio.run(go())
