/**
 * The browser's speaker: plays what the server sends and says exactly what was played. What may live here: playback, and
 * the clock of played samples.
 */

import { LocaraError } from "./errors.js";
import { toFloat } from "./frames.js";

/** Hertz: what the server is asked for. The browser converts to the device's rate. */
export const RATE = 24000;
/** Seconds that a browser may take to start its sound after a click, before we say that it does not. */
const START = 2;

/**
 * @typedef {object} Played
 * @property {"playing" | "drained" | "flushed"} kind
 * @property {number} played end of what was played, in samples of the server's stream
 * @property {number} turn the turn it belongs to
 * @property {number} turnPlayed samples of that turn that were played
 * @property {boolean} sounding
 * @property {number} queued samples that wait
 * @property {number} rms
 * @property {number} peak
 * @property {number} underruns
 * @property {number} lost
 */

export class Speaker {
  /** @param {AudioContext} context */
  constructor(context) {
    this._context = context;
    /** @type {AudioWorkletNode | null} */
    this._node = null;
    this._heard = 0;
    /** @type {(report: Played) => void} */
    this.onplayed = () => {};
    /** @type {(samples: Float32Array) => void} what is played, 20 ms at a time, after `tap(true)` */
    this.ontap = () => {};
  }

  /** Must be called within a click or a key press, see `Microphone.context`. @returns {AudioContext} */
  static context() {
    return new AudioContext({ latencyHint: "interactive", sampleRate: RATE });
  }

  /** Hertz. */
  get rate() {
    return this._context.sampleRate;
  }

  /**
   * @throws {LocaraError} `needs-gesture`: the browser plays nothing before the person has clicked
   */
  async open() {
    const context = this._context;
    await Promise.race([context.resume(), new Promise((resolve) => setTimeout(resolve, START * 1000))]);
    if (context.state !== "running") {
      throw new LocaraError("The browser starts no sound before you have clicked or pressed a key on this page.", {
        code: "needs-gesture",
        hint: "Call session.start() in the handler of a click.",
        stage: "speaker",
      });
    }
    await context.audioWorklet.addModule(new URL("./playback.worklet.js", import.meta.url));
    this._node = new AudioWorkletNode(context, "locara-playback", {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [1],
    });
    this._node.port.onmessage = (event) => {
      const told = event.data;
      if (told.kind === "tap") this.ontap(told.samples);
      else this.onplayed(told);
    };
    this._node.connect(context.destination);
  }

  /** @param {import("./frames.js").Frame} frame */
  play(frame) {
    const samples = toFloat(frame.samples);
    this._node?.port.postMessage({ block: { at: frame.at, turn: frame.turn, samples } }, [samples.buffer]);
  }

  /** What is not played yet is thrown away, within 10 ms. */
  flush() {
    this._node?.port.postMessage({ flush: true });
  }

  /** @param {boolean} on */
  tap(on) {
    this._node?.port.postMessage({ tap: on });
  }

  /**
   * Where in the stream the ear is. What was played is on its way to the ear for the time that the browser calls output
   * latency; after a sound's end it has arrived in any case. Never goes back.
   * @param {Played} report
   */
  heard(report) {
    const delay = report.kind === "playing" && report.sounding ? this._context.outputLatency || 0 : 0;
    this._heard = Math.max(this._heard, report.played - Math.round(delay * this.rate));
    return this._heard;
  }

  /** @param {string} device the id of an output; "" is the default */
  async choose(device) {
    const context = /** @type {AudioContext & {setSinkId?: (id: string) => Promise<void>}} */ (this._context);
    if (!context.setSinkId) {
      throw new LocaraError("This browser cannot play on another speaker than the default one.", {
        code: "no-speaker-choice",
        hint: "Choose the speaker in the settings of the operating system.",
        stage: "speaker",
      });
    }
    try {
      await context.setSinkId(device);
    } catch (cause) {
      throw new LocaraError("The browser does not play on that speaker.", {
        code: "speaker-refused",
        hint: "Choose another one; the default works always.",
        stage: "speaker",
        cause,
      });
    }
  }

  /** May be called twice. */
  async close() {
    this._node?.port.postMessage({ close: true });
    this._node?.disconnect();
    this._node = null;
    if (this._context.state !== "closed") await this._context.close();
  }
}
