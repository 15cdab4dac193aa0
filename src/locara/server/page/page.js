/**
 * The page: one conversation after the other, built on the SDK. What may live here: which part of the page is told what.
 */

import { keepToken, launch, LocaraError, voice } from "/sdk/locara.js";
import { Captions } from "./captions.js";
import { Consent } from "./consent.js";
import { holdable, listenToKeys } from "./keys.js";
import { Ledger } from "./ledger.js";
import { Meter } from "./meters.js";
import { shown } from "./moods.js";
import { Notices } from "./notices.js";
import { Orb } from "./orb.js";
import { download, Recording } from "./recording.js";
import { applyTheme, Settings } from "./settings.js";

/** @typedef {import("../sdk/locara.js").Session} Session */

/** @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id));

const captions = new Captions(part("captions"), part("empty"));
const ledger = new Ledger(part("latency"));
const notices = new Notices(part("notices"));
const consent = new Consent(part("consent"));
const settings = new Settings(part("settings"));
const orb = new Orb(part("orb"));
const meters = { you: new Meter(part("meter-you")), it: new Meter(part("meter-it")) };

/** @type {import("./moods.js").Phase} */
let phase = "before";
/** @type {Session | null} */
let session = null;
/** @type {Recording | null} */
let recording = null;
let token = "";
let holds = false;
let announced = "";

// --- a conversation ------------------------------------------------------------------------------------------------------

async function start() {
  if (phase === "starting" || phase === "running") return;
  if (!token) return askToken("");
  const { patience, attention, stt, llm, tts, input, otherSpeaker, ...choices } = settings.choices;
  const { echoCancellation, noiseSuppression, autoGainControl } = choices;
  const made = voice.session({
    token, patience, attention, input, otherSpeaker, echoCancellation, noiseSuppression, autoGainControl,
    stt: stt || undefined,
    llm: llm || undefined,
    tts: tts || undefined,
    onConsent: (question, withdrawn) => consent.ask(question, withdrawn),
  });
  session = made;
  phase = "starting";
  notices.clear();
  captions.clear();
  ledger.clear();
  made.addEventListener("status", show);
  made.addEventListener("played", (event) => {
    const { turn, seconds } = /** @type {CustomEvent} */ (event).detail;
    captions.played(turn, seconds);
  });
  void follow(made, made.events());
  show();
  part("stage").focus(); // so that Space talks, and does not press the button again
  try {
    await made.start();
    if (otherSpeaker && settings.choices.output) await made.setOutput(settings.choices.output).catch(tell);
    if (phase === "starting") phase = "running";
  } catch (error) {
    phase = "ended";
    tell(error);
  }
  show();
}

/** @param {Session} made @param {AsyncIterable<Record<string, any>>} events */
async function follow(made, events) {
  for await (const event of events) {
    if (session !== made) continue;
    captions.take(event);
    if (event.type === "session-start" && phase === "starting") phase = "running";
    if (event.type === "turn-end" && event.latency) ledger.take(event.latency);
    if (event.type === "error") notices.show(/** @type {any} */ (event));
    if (event.type === "device-changed" || event.type === "device-silent") {
      notices.show({ code: "device", message: event.device || "A device changed", hint: event.hint, calm: event.change !== "lost" });
    }
    show();
  }
  if (session !== made) return;
  stopRecording();
  phase = "ended";
  show();
}

async function end() {
  await session?.stop();
}

/** What fails is told, never thrown away. @param {Promise<unknown> | undefined} asked */
function ask(asked) {
  asked?.catch(tell);
}

/** @param {unknown} error */
function tell(error) {
  const known = error instanceof LocaraError ? error : new LocaraError(String(error), { code: "page" });
  if (known.code === "unauthorized") {
    keepToken("");
    token = "";
    return askToken(known.message);
  }
  notices.show({ code: known.code, message: known.message, hint: known.hint });
}

const actions = {
  mute: () => ask(session?.status.muted ? session.unmute() : session?.mute()),
  press: () => {
    holds = true;
    ask(session?.pushToTalk.press());
    show();
  },
  release: () => {
    holds = false;
    ask(session?.pushToTalk.release());
    show();
  },
  interrupt: () => ask(session?.interrupt()),
  type: () => part("type-text").focus(),
};

// --- what is seen --------------------------------------------------------------------------------------------------------

const NOTHING = /** @type {import("../sdk/locara.js").Status} */ ({
  connection: "new", user: "quiet", assistant: "idle", muted: false, microphone: "off",
});

function show() {
  const status = session?.status ?? NOTHING;
  const now = shown(phase, status, { holds, pushToTalk: settings.choices.attention === "push-to-talk" });
  part("state").textContent = now.title;
  part("hint").textContent = now.hint;
  document.body.dataset.state = now.title.toLowerCase().replaceAll(" ", "-").replace("?", "");
  orb.mood = now.mood;
  if (now.urgent && announced !== now.title) part("announce").textContent = `${now.title} – ${now.hint}`;
  announced = now.title;
  const running = phase === "running";
  part("start-row").hidden = running || phase === "starting";
  part("start").textContent = phase === "ended" ? "Start again" : "Start talking";
  for (const id of ["controls", "meters"]) part(id).hidden = !running;
  part("mute").setAttribute("aria-pressed", String(status.muted));
  part("mute-text").textContent = status.muted ? "Unmute" : "Mute";
  part("talk").setAttribute("aria-pressed", String(holds));
  const hears = status.microphone === "open";
  for (const id of ["mute", "talk"]) /** @type {HTMLButtonElement} */ (part(id)).disabled = !hears;
  /** @type {HTMLButtonElement} */ (part("interrupt")).disabled = status.assistant === "idle";
  for (const id of ["type-text", "type-send", "record"]) {
    /** @type {HTMLButtonElement | HTMLInputElement} */ (part(id)).disabled = !running;
  }
  showConnection(status);
}

/** @param {import("../sdk/locara.js").Status} status */
function showConnection(status) {
  const told = {
    new: ["off", "On this machine"],
    connecting: ["off", "Connecting"],
    open: ["on", "All local"],
    reconnecting: ["alarm", "Connection lost"],
    closed: ["off", "Not connected"],
  }[status.connection];
  part("connection").dataset.kind = told[0];
  part("connection-text").textContent = told[1] ?? "";
}

/** @param {number} now */
function frame(now) {
  const levels = session && phase === "running" ? session.levels : { input: { rms: 0 }, output: { rms: 0 } };
  const you = meters.you.show(session?.status.muted ? 0 : levels.input.rms, now);
  const it = meters.it.show(levels.output.rms, now);
  orb.draw(orb.mood === "speaking" ? it : you, now);
  requestAnimationFrame(frame);
}

// --- recording -----------------------------------------------------------------------------------------------------------

function record() {
  if (recording) return stopRecording();
  if (!session) return;
  recording = new Recording(session);
  recording.onfull = stopRecording;
  part("record").setAttribute("aria-pressed", "true");
  part("record").setAttribute("aria-label", "Stop recording and save it");
  notices.show({ code: "recording", message: "Recording.", hint: "It stays in this browser until you save it.", calm: true });
}

function stopRecording() {
  const made = recording?.stop();
  recording = null;
  part("record").setAttribute("aria-pressed", "false");
  part("record").setAttribute("aria-label", "Record this conversation");
  notices.clear("recording");
  if (!made) return;
  const name = `locara-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}`;
  download(made.sound, `${name}.wav`);
  download(made.events, `${name}.jsonl`);
}

// --- settings and the token ----------------------------------------------------------------------------------------------

async function openSettings() {
  const running = phase === "running" ? session : null;
  let why = "";
  const models = await (running ? running.models() : voice.models({ token })).catch((/** @type {unknown} */ error) => {
    why = error instanceof Error ? error.message : String(error);
    return [];
  });
  const inputs = running ? await running.inputs() : [];
  const outputs = running && settings.choices.otherSpeaker ? await running.outputs().catch(() => null) : null;
  settings.open({ models, inputs, outputs, running: running !== null, why });
}

/** @type {(now: import("./settings.js").Choices, before: import("./settings.js").Choices) => void} */
settings.onchange = (now, before) => {
  applyTheme(now);
  show();
  if (phase !== "running" || !session) return;
  const { patience, attention } = now;
  if (patience !== before.patience || attention !== before.attention) ask(session.configure({ patience, attention }));
  /** @type {Record<string, string>} */
  const stages = {};
  for (const stage of /** @type {const} */ (["stt", "llm", "tts"])) {
    if (now[stage] !== before[stage] && now[stage]) stages[stage] = now[stage];
  }
  if (Object.keys(stages).length > 0) {
    const names = Object.values(stages).join(", ");
    notices.show({ code: "change", message: `Loading ${names}.`, hint: "It takes over in the next quiet moment.", calm: true });
    ask(session.change(stages).finally(() => notices.clear("change")));
  }
  if (now.input !== before.input) ask(session.setInput(now.input));
  if (now.output !== before.output) ask(session.setOutput(now.output));
  if (now.otherSpeaker && !before.otherSpeaker) {
    notices.show({ code: "speaker", message: "Another speaker can be chosen in the next conversation.", hint: "End this one, and start again: you are asked.", calm: true });
  }
};

/** @param {string} why */
function askToken(why) {
  const dialog = part("enter");
  if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
  if (why) part("enter-why").textContent = `${why[0]?.toUpperCase()}${why.slice(1)}.`.replace(/\.\.$/, ".");
  dialog.returnValue = "";
  dialog.showModal();
}

// Not "close", which comes later: whoever is quick starts in between, without the token.
part("enter").addEventListener("submit", () => {
  const field = /** @type {HTMLInputElement} */ (part("enter-token"));
  const given = field.value.trim();
  field.value = "";
  if (!given) return;
  token = given;
  keepToken(given);
  part("start").focus();
});

// --- beginning -----------------------------------------------------------------------------------------------------------

part("start").addEventListener("click", () => void start());
part("end").addEventListener("click", () => void end());
part("mute").addEventListener("click", actions.mute);
part("interrupt").addEventListener("click", actions.interrupt);
part("record").addEventListener("click", record);
part("settings-open").addEventListener("click", () => void openSettings());
holdable(part("talk"), actions.press, actions.release);
listenToKeys(actions, () => phase === "running");
part("type").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (part("type-text"));
  const text = field.value.trim();
  field.value = "";
  if (text) ask(session?.sendText(text));
});
applyTheme(settings.choices);
show();
requestAnimationFrame(frame);
try {
  token = await launch();
  if (!token) askToken("");
  else part("start").focus();
} catch (error) {
  askToken(error instanceof Error ? error.message : String(error));
}
document.body.dataset.ready = "yes";
