/**
 * One conversation, as an app sees it: the shape of `locara.voice.Session` in Python. What may live here: what an app can
 * ask for and what it is told. Devices are in microphone.js and speaker.js, the way to the server in link.js.
 */

import { LocaraError } from "./errors.js";
import { encode, MICROPHONE, toFloat } from "./frames.js";
import { knownToken } from "./launch.js";
import { Link } from "./link.js";
import { Microphone } from "./microphone.js";
import { Speaker } from "./speaker.js";
import { Broadcast } from "./streams.js";
import { startParams } from "./wishes.js";

/** Seconds: models are loaded, and a person may be asked whether the app may listen (that time is not counted). */
const LOADING = 300;
/** Seconds that a person may take to answer the browser's question about the microphone before we go on without. */
const ASKED = 30;
/** Seconds between reports of what was played; and without anything else to say, between signs of life. */
const REPORT = 0.1;
const ALIVE = 20;

/** @typedef {import("./locara.js").SessionOptions} SessionOptions */
/** @typedef {import("./locara.js").Status} Status */

export class Session extends EventTarget {
  /** @param {SessionOptions} [options] */
  constructor(options = {}) {
    super();
    this._options = options;
    this._link = new Link(options.url ?? new URL(import.meta.url).origin, options.token ?? knownToken());
    /** @type {Microphone | null} */
    this._microphone = null;
    /** @type {Speaker | null} */
    this._speaker = null;
    /** @type {Broadcast<Record<string, any>>} */
    this._events = new Broadcast({ lost: (event, count) => ({ ...event, dropped: (event.dropped ?? 0) + count }) });
    /** @type {Broadcast<Float32Array>} */
    this._heard = new Broadcast();
    /** @type {Broadcast<Float32Array>} */
    this._played = new Broadcast();
    this._played.onconsumers = (count) => this._speaker?.tap(count > 0);
    this._seq = 0;
    this._sent = 0; // microphone samples since the beginning, sent or not
    this._received = 0; // end of the sound that came, in the server's stream
    this._told = 0; // what the server was told of played samples
    this._toldWhen = 0;
    this._missed = 0;
    this._muted = false;
    this._otherSpeaker = options.otherSpeaker ?? false;
    this._phase = "new";
    this._alive = 0;
    /** @type {(reason: string) => void} */
    this._end = () => {};
    /** Fulfilled with the reason when the conversation has ended. @type {Promise<string>} */
    this.ended = new Promise((resolve) => (this._end = resolve));
    /** @type {Status} */
    this.status = { connection: "new", user: "quiet", assistant: "idle", muted: false, microphone: "off" };
    /** Levels of the last moments, 0 to 1 of full scale. */
    this.levels = { input: { rms: 0, peak: 0 }, output: { rms: 0, peak: 0 } };
    /** @type {Record<string, Record<string, string>>} stage -> engine, model, device, why */
    this.plan = {};
    /** @type {Record<string, string>} event -> exact, estimated or absent */
    this.capabilities = {};
    this.pushToTalk = new PushToTalk(this);
  }

  /** Hertz of `rawInput()`. */
  get inputRate() {
    return this._microphone?.rate ?? 0;
  }

  /** Hertz of `rawOutput()`. */
  get outputRate() {
    return this._speaker?.rate ?? 0;
  }

  /**
   * Connects, asks for the microphone, loads every stage, and listens. Call it in the handler of a click.
   * @throws {LocaraError}
   */
  async start() {
    if (this._phase !== "new") {
      throw new LocaraError(`This session is ${this._phase}.`, { code: "session-state", hint: "Make a new one." });
    }
    this._phase = "starting";
    this._set({ connection: "connecting" });
    try {
      await this._start();
    } catch (error) {
      this._phase = "failed";
      await this._release("failed");
      throw this._refusal ?? error;
    }
  }

  async _start() {
    // Before anything is awaited: a browser lets sound begin only within the click.
    const speaker = (this._speaker = new Speaker(Speaker.context()));
    const listens = this._options.microphone !== false;
    const microphone = listens ? (this._microphone = new Microphone(Microphone.context(), this._options)) : null;
    this._link.onpush = (message) => this._push(message);
    this._link.onsound = (frame) => this._sound(frame);
    this._link.onstate = (state, missed) => this._linked(state, missed);
    this._link.onend = (error) => void this._lost(error);
    this._link.place = () => ({ after: this._seq, received: this._received });
    speaker.onplayed = (report) => this._report(report);
    speaker.ontap = (samples) => this._played.put(samples);
    await speaker.open();
    await this._link.open();
    this._still();
    const started = await this._link.request(
      "voice.session_start",
      startParams(this._options, microphone?.rate ?? 16000, speaker.rate),
      LOADING,
    );
    this._still();
    this._link.resumable = {
      session: String(started.session),
      token: String(started.resume_token),
      grace: Number(started.grace_seconds) || 0,
    };
    this.plan = started.plan ?? {};
    this.capabilities = started.capabilities ?? {};
    this._phase = "running";
    speaker.tap(this._played.consumers > 0);
    window.addEventListener("pagehide", this._leave);
    this._alive = window.setInterval(() => this._link.notify("ping", {}), ALIVE * 1000);
    this._set({ connection: "open" });
    // Last, so that no microphone is open while models are loaded and before a person has allowed the app to listen.
    if (microphone) await this._listen(microphone);
  }

  /** @param {Microphone} microphone */
  async _listen(microphone) {
    microphone.onblock = (block) => this._capture(block);
    microphone.onlost = (device) => void this._replace(device);
    this._set({ microphone: "asking" });
    /** @type {Promise<LocaraError | null>} */
    const asked = microphone.open(this._options.input ?? "").then(
      () => {
        this._set({ microphone: "open" });
        return null;
      },
      (error) => {
        this._set({ microphone: "denied" });
        if (this._options.microphone !== "required") this._tell(asEvent(error));
        return error;
      },
    );
    const waited = new Promise((resolve) => setTimeout(() => resolve(null), ASKED * 1000));
    const refused = /** @type {LocaraError | null} */ (await Promise.race([asked, waited]));
    if (refused && this._options.microphone === "required") {
      await this._link.request("voice.session_stop", {}, 5).catch(() => {});
      throw refused;
    }
  }

  _still() {
    if (this._phase !== "starting") {
      throw new LocaraError("This session was stopped while it started.", { code: "session-state", hint: "Make a new one." });
    }
  }

  /** Ends the conversation and lets go of the microphone. May be called from any state, and twice. */
  async stop() {
    if (this._phase === "running") {
      this._phase = "stopping";
      await this._link.request("voice.session_stop", {}, 5).catch(() => {});
    }
    if (this._phase !== "closed" && !this._over) this._tell({ type: "session-end", t: 0, turn: null, reason: "stopped" });
    await this._release("stopped");
  }

  /** @param {string} reason */
  async _release(reason) {
    if (this._phase === "closed") return;
    this._phase = "closed";
    window.removeEventListener("pagehide", this._leave);
    clearInterval(this._alive);
    this._link.close();
    await Promise.all([this._microphone?.close(), this._speaker?.close()]);
    this._set({ connection: "closed", user: "quiet", assistant: "idle", microphone: "off" });
    for (const one of [this._events, this._heard, this._played]) one.close();
    this._end(reason);
  }

  _leave = () => this._link.notify("voice.session_stop", {});

  // --- what an app sees and says ---------------------------------------------------------------------------------------

  /**
   * The events from this moment on, see docs/events.md. Subscribe before `start()` to get the first.
   * @returns {AsyncIterableIterator<import("./locara.js").LocaraEvent>}
   */
  events() {
    return /** @type {AsyncIterableIterator<any>} */ (this._events.subscribe());
  }

  /** Blocks of 20 ms as heard, Float32Array at `inputRate`. */
  rawInput() {
    return this._heard.subscribe();
  }

  /** Blocks of 20 ms as played, silence included, Float32Array at `outputRate`. */
  rawOutput() {
    return this._played.subscribe();
  }

  /** What the user types instead of speaking. @param {string} text */
  async sendText(text) {
    await this._link.request("session.send_text", { text });
  }

  /** Says `text` as it is, as soon as the floor is free. That it was said is told by a `turn-end`. @param {string} text */
  async say(text) {
    await this._link.request("session.say", { text });
  }

  /** Stops what the assistant is saying or about to say. */
  async interrupt() {
    await this._link.request("session.interrupt");
  }

  /** The microphone gives zeros from now on: in this browser, and in the session. */
  async mute() {
    this._muted = true;
    this._microphone?.mute(true);
    this._set({ muted: true });
    await this._link.request("session.mute");
  }

  /** Listens again. */
  async unmute() {
    await this._link.request("session.unmute");
    this._muted = false;
    this._microphone?.mute(false);
    this._set({ muted: false });
  }

  /** Other engines from the next quiet moment on. @param {{stt?: unknown, llm?: unknown, tts?: unknown}} stages */
  async change(stages) {
    const { plan } = await this._link.request("session.change", stages, LOADING * 2);
    if (plan) this.plan = plan;
    return this.plan;
  }

  /** @param {{patience?: string, attention?: string}} settings from the next turn on */
  async configure(settings) {
    await this._link.request("session.configure", settings);
  }

  /** What each side said; for the assistant, what was heard. */
  async history() {
    return (await this._link.request("session.history")).history;
  }

  /** Counts and seconds: the server's, and this browser's, which begin with `browser_`. */
  async metrics() {
    const told = await this._link.request("session.metrics");
    return { ...(told.metrics ?? told), browser_blocks_dropped: this._link.dropped, ...this._counts };
  }

  /** The models that there are. @param {string} [task] stt, llm, tts or omni */
  async models(task) {
    return (await this._link.request("models.list", task ? { task } : {})).models;
  }

  /** The microphones that this browser has. */
  async inputs() {
    return devices("audioinput");
  }

  /** Listens to another microphone from now on. @param {string} device */
  async setInput(device) {
    if (!this._microphone) {
      throw new LocaraError("This session has no microphone.", { code: "no-microphone", hint: "Start one that has." });
    }
    await this._microphone.open(device);
    this._set({ microphone: "open" });
  }

  /** The speakers that this browser has. Needs `otherSpeaker: true`. */
  async outputs() {
    this._maySelect();
    return devices("audiooutput");
  }

  /** Plays on another speaker from now on. Needs `otherSpeaker: true`. @param {string} device "" is the default */
  async setOutput(device) {
    this._maySelect();
    await this._speaker?.choose(device);
  }

  _maySelect() {
    if (this._otherSpeaker && this._phase === "running") return;
    throw new LocaraError("This session may not use another speaker than the default one.", {
      code: "capability-denied",
      hint: "Start it with otherSpeaker: true. Its manifest has to name device.speaker.select, and a person is asked.",
    });
  }

  // --- what comes ------------------------------------------------------------------------------------------------------

  /** @param {import("./microphone.js").Captured} block */
  _capture(block) {
    this.levels.input = { rms: block.rms, peak: block.peak };
    const at = this._sent;
    this._sent += block.samples.length;
    if (this._heard.consumers > 0) this._heard.put(toFloat(block.samples));
    // Silence of a muted microphone needs no way: the server fills in what does not come.
    if (this._phase === "running" && !this._muted) this._link.sound(encode(MICROPHONE, at, block.samples));
  }

  /** @param {import("./frames.js").Frame} frame */
  _sound(frame) {
    this._received = Math.max(this._received, frame.at + frame.samples.length);
    this._speaker?.play(frame);
  }

  /** @param {import("./speaker.js").Played} report */
  _report(report) {
    this.levels.output = { rms: report.rms, peak: report.peak };
    this._counts = { browser_underruns: report.underruns, browser_samples_lost: report.lost };
    const heard = this._speaker?.heard(report) ?? 0;
    const rate = this.outputRate;
    const now = performance.now();
    if (report.sounding || report.kind !== "playing") {
      const detail = { turn: report.turn, seconds: report.turnPlayed / rate, kind: report.kind };
      this.dispatchEvent(new CustomEvent("played", { detail }));
    }
    if (heard <= this._told || (report.kind === "playing" && now - this._toldWhen < REPORT * 1000 - 10)) return;
    this._told = heard;
    this._toldWhen = now;
    this._link.notify("playback.ack", { played_ms: (heard / rate) * 1000 });
  }

  /** @param {Record<string, any>} message */
  _push(message) {
    if (message.event) this._event(message.event, Number(message.seq) || 0);
    else if (message.state) this._set(message.state);
    else if (message.playback === "flush") this._speaker?.flush();
    else if (message.consent) void this._consent(message.consent);
    else if (message.withdrawn) this._questions.get(message.withdrawn.question)?.abort();
    else if (message.tool) void this._tool(message.tool);
    else if (message.closing) this._closing = message.closing;
  }

  /** @param {Record<string, any>} event @param {number} seq */
  _event(event, seq) {
    if (seq && seq <= this._seq) return; // sent again after a lost connection
    this._seq = Math.max(this._seq, seq);
    if (event.type === "plan-changed") this.plan = event.plan;
    this._tell(event);
    this._over ||= event.type === "session-end";
    if (this._over && this._phase === "running") void this._release(event.reason);
  }

  /** @param {Record<string, any>} event */
  _tell(event) {
    const missed = this._missed;
    this._missed = 0;
    this._events.put(missed > 0 ? { ...event, dropped: (event.dropped ?? 0) + missed } : event);
  }

  /** @param {"open" | "reconnecting"} state @param {number} missed */
  _linked(state, missed) {
    this._missed += missed;
    this._set({ connection: state });
  }

  /** @param {LocaraError | null} error */
  async _lost(error) {
    const closing = this._closing;
    if (closing || error) {
      const code = closing ? closing.reason : error?.code;
      const message = closing ? `The server ended the conversation: ${closing.reason}.` : error?.message;
      const hint = (closing ? closing.hint : error?.hint) ?? "";
      this._tell({ type: "error", t: 0, turn: null, code, message, hint, stage: "connection", fatal: true });
    }
    const reason = closing ? "closed" : error ? "connection-lost" : "stopped";
    this._tell({ type: "session-end", t: 0, turn: null, reason });
    await this._release(reason);
  }

  /** The microphone is gone: the default one takes its place, if there is one. @param {string} device */
  async _replace(device) {
    this._set({ microphone: "lost" });
    const told = { type: "device-changed", t: 0, turn: null, device, kind: "input" };
    this._tell({ ...told, change: "lost", hint: `${device || "The microphone"} is gone.` });
    try {
      await this._microphone?.open();
      this._set({ microphone: "open" });
      const name = this._microphone?.name ?? "";
      this._tell({ ...told, device: name, change: "replaced", hint: `Listening with ${name || "the default microphone"}.` });
    } catch (error) {
      this._tell(asEvent(error));
    }
  }

  /** @param {Record<string, any>} asked */
  async _consent(asked) {
    this._link.extend();
    const withdrawn = new AbortController();
    this._questions.set(asked.question, withdrawn);
    const answer = this._options.onConsent
      ? await Promise.resolve(this._options.onConsent(/** @type {any} */ (asked), withdrawn.signal)).catch(() => null)
      : null;
    this._questions.delete(asked.question);
    this._link.extend();
    if (answer) this._link.notify("consent.answer", { question: asked.question, answer });
    // No answer is no consent, and it is not remembered as a no either. While a conversation runs the question was another
    // app's, and its time runs out by itself; while ours starts, there is nothing to wait for.
    else if (this._phase === "starting" && !withdrawn.signal.aborted) {
      this._refusal = new LocaraError(`Nobody answered whether "${asked.name}" may use ${asked.capability}.`, {
        code: "consent-unanswered",
        hint: "Start again, and allow it or not.",
      });
      await this._release("no-consent");
    }
  }

  /** @param {Record<string, any>} called */
  async _tool(called) {
    const tool = this._options.tools?.find((one) => one.name === called.name);
    let result;
    try {
      result = tool ? await tool.run(called.arguments ?? {}) : { error: `this page has no tool ${called.name}` };
    } catch (error) {
      result = { error: error instanceof Error ? error.message : String(error) };
    }
    this._link.notify("tool.result", { call: called.call, result: result ?? null });
  }

  /** @param {Partial<Status>} changes */
  _set(changes) {
    const before = JSON.stringify(this.status);
    this.status = { ...this.status, ...changes };
    if (JSON.stringify(this.status) !== before) this.dispatchEvent(new Event("status"));
  }

  _over = false;
  /** @type {Map<string, AbortController>} */
  _questions = new Map();
  /** @type {LocaraError | null} */
  _refusal = null;
  /** @type {{reason: string, hint: string} | null} */
  _closing = null;
  /** @type {Record<string, number>} */
  _counts = {};
}

/** The key of `session.pushToTalk`: everything from 300 ms before `press` to 300 ms after `release` is the turn. */
export class PushToTalk {
  /** @param {Session} session */
  constructor(session) {
    this._session = session;
    this.held = false;
  }

  /** The key is down. */
  async press() {
    if (this.held) return;
    this.held = true;
    await this._session._link.request("session.push_to_talk", { down: true });
  }

  /** The key is up. */
  async release() {
    if (!this.held) return;
    this.held = false;
    await this._session._link.request("session.push_to_talk", { down: false });
  }
}

/** @param {unknown} error @returns {Record<string, any>} */
function asEvent(error) {
  const known = error instanceof LocaraError ? error : new LocaraError(String(error));
  const { code, message, hint, stage } = known;
  return { type: "error", t: 0, turn: null, code, message, hint, stage, fatal: false };
}

/** @param {MediaDeviceKind} kind */
async function devices(kind) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all.filter((one) => one.kind === kind).map((one) => ({ id: one.deviceId, name: one.label }));
}
