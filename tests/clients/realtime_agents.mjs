// The stock npm package @openai/agents-realtime against a server: only address and key are ours.
//
// `node realtime_agents.mjs URL KEY SPEECH`, where the package is found from the folder that NODE_MODULES names. SPEECH is raw
// 16-bit PCM at 24 kHz. A typed turn with a function, then a spoken one that is interrupted. Prints one JSON object.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.env.NODE_MODULES + "/x.js"));
const { RealtimeAgent, RealtimeSession, OpenAIRealtimeWebSocket, tool } = require("@openai/agents-realtime");
const { z } = require("zod");
const [url, key, file] = process.argv.slice(2);
const speech = readFileSync(file);
const told = { client: "@openai/agents-realtime " + process.env.CLIENT_VERSION, errors: [], seconds: 0, types: {} };

const weather = tool({
  name: "get_weather",
  description: "The weather in a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `In ${city} it rains.`,
});
const agent = new RealtimeAgent({ name: "Assistant", instructions: "Be brief.", tools: [weather] });
const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
const session = new RealtimeSession(agent, { transport, model: "gpt-realtime" });
let ended = 0;
let interrupting = false;
let before = 0;
const bytes = (piece) => piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.byteLength);

// A microphone: silence, and the question whenever it is to be asked.
async function talk() {
  while (!closing) {
    const sound = ask ? speech : Buffer.alloc(1920);
    ask = false;
    for (let at = 0; at < sound.length && !closing; at += 1920) {
      const piece = Buffer.alloc(1920);
      sound.copy(piece, 0, at, Math.min(at + 1920, sound.length));
      session.sendAudio(bytes(piece));
      await new Promise((done) => setTimeout(done, 30)); // a little faster than it sounds: no gaps
    }
  }
}

let ask = false;
let closing = false;
let finish;
const finished = new Promise((done) => (finish = done));
session.on("error", (error) => told.errors.push(JSON.stringify(error)));
session.on("agent_tool_end", (_context, _agent, _tool, result) => (told.tool = result));
session.on("audio_interrupted", () => (told.interrupted = true));
session.on("audio", (event) => {
  told.seconds += event.data.byteLength / 48000;
  if (ended === 2 && !interrupting && told.seconds > before + 1.0) {
    interrupting = true;
    ask = true;
  }
});
session.on("transport_event", (event) => {
  told.types[event.type] = (told.types[event.type] ?? 0) + 1;
  if (event.type !== "response.done") return;
  ended += 1;
  if (ended === 2) {
    before = told.seconds;
    ask = true;
  } else if (ended === 4) setTimeout(finish, 300);
});

process.on("unhandledRejection", (reason) => told.errors.push("unhandled: " + JSON.stringify(reason) + String(reason)));
const deadline = setTimeout(() => {
  console.error("too late", JSON.stringify(told));
  process.exit(1);
}, 45000);
await session.connect({ apiKey: key, url });
talk();
session.sendMessage("What is the weather in Oslo?");
await finished;
closing = true;
told.history = session.history.map((item) => [item.role ?? item.type, item.content?.[0]?.transcript ?? null]);
clearTimeout(deadline);
session.close();
console.log(JSON.stringify(told));
process.exit(0);
