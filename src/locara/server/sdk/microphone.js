/**
 * The browser's microphone: asked for, opened, changed, closed. What may live here: capture, and what to do when it is
 * refused. Where the sound goes is the session's.
 */

import { LocaraError } from "./errors.js";

/** Hertz that the server takes. A browser has one of the upper two nearly everywhere. */
const RATES = [16000, 24000, 44100, 48000];

/**
 * @typedef {object} Processing what the browser does to the sound before anyone gets it
 * @property {boolean} [echoCancellation]
 * @property {boolean} [noiseSuppression]
 * @property {boolean} [autoGainControl]
 */

/** @typedef {{samples: Int16Array, rms: number, peak: number}} Captured */

export class Microphone {
  /** @param {AudioContext} context @param {Processing} processing */
  constructor(context, processing) {
    this._context = context;
    this._processing = processing;
    /** @type {MediaStream | null} */
    this._stream = null;
    /** @type {MediaStreamAudioSourceNode | null} */
    this._source = null;
    /** @type {AudioWorkletNode | null} */
    this._node = null;
    this._muted = false;
    this._closed = false;
    /** @type {(block: Captured) => void} 20 ms of sound */
    this.onblock = () => {};
    /** @type {(device: string) => void} the device was pulled out, or the permission taken back */
    this.onlost = () => {};
  }

  /** Must be called within a click or a key press: a browser starts no sound without one. @returns {AudioContext} */
  static context() {
    const context = new AudioContext({ latencyHint: "interactive" });
    if (RATES.includes(context.sampleRate)) return context;
    void context.close();
    return new AudioContext({ latencyHint: "interactive", sampleRate: 48000 });
  }

  /** Hertz of the blocks. */
  get rate() {
    return this._context.sampleRate;
  }

  /** The device's name, or "". */
  get name() {
    return this._stream?.getAudioTracks()[0]?.label ?? "";
  }

  /** The device's id, or "". */
  get device() {
    return this._stream?.getAudioTracks()[0]?.getSettings().deviceId ?? "";
  }

  /**
   * Asks for the microphone and begins to listen. Also changes to another one: the old one goes on until the new is there.
   * @param {string} [device] an id of `navigator.mediaDevices.enumerateDevices()`; left out: the default
   * @throws {LocaraError} `microphone-denied`, `no-microphone`, `microphone-busy`, `insecure-page`
   */
  async open(device = "") {
    if (!navigator.mediaDevices) {
      throw new LocaraError("This page may not use a microphone: its address is not secure.", {
        code: "insecure-page",
        hint: "Open it as http://127.0.0.1 or http://localhost, or through https.",
      });
    }
    const stream = await ask(device, this._processing);
    if (this._closed) return stop(stream);
    if (!this._node) {
      await this._context.audioWorklet.addModule(new URL("./capture.worklet.js", import.meta.url));
      this._node = new AudioWorkletNode(this._context, "locara-capture", { numberOfInputs: 1, numberOfOutputs: 1 });
      this._node.port.onmessage = (event) => this.onblock(event.data);
      this._node.connect(this._context.destination); // silence; unconnected, some browsers do not run it
    }
    this._source?.disconnect();
    if (this._stream) stop(this._stream);
    this._stream = stream;
    this._source = this._context.createMediaStreamSource(stream);
    this._source.connect(this._node);
    const track = stream.getAudioTracks()[0];
    if (track) {
      track.enabled = !this._muted;
      track.onended = () => {
        if (this._stream === stream) this.onlost(track.label);
      };
    }
    if (this._context.state !== "running") await this._context.resume();
  }

  /** Off: the browser itself gives zeros, and shows that it does. @param {boolean} muted */
  mute(muted) {
    this._muted = muted;
    for (const track of this._stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Lets go of the device, so that the browser's sign for it goes out. May be called twice. */
  async close() {
    this._closed = true;
    this._node?.port.postMessage("close");
    this._node?.disconnect();
    this._source?.disconnect();
    if (this._stream) stop(this._stream);
    this._stream = null;
    if (this._context.state !== "closed") await this._context.close();
  }
}

/** @param {MediaStream} stream */
function stop(stream) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}

/** @param {string} device @param {Processing} processing @returns {Promise<MediaStream>} */
async function ask(device, processing) {
  /** @type {MediaTrackConstraints} */
  const audio = {
    echoCancellation: processing.echoCancellation ?? true,
    noiseSuppression: processing.noiseSuppression ?? true,
    autoGainControl: processing.autoGainControl ?? true,
    ...(device ? { deviceId: { exact: device } } : {}),
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (cause) {
    throw refused(cause);
  }
}

/** @param {unknown} cause @returns {LocaraError} */
function refused(cause) {
  const name = cause instanceof DOMException ? cause.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") {
    return new LocaraError("The browser does not let this page use the microphone.", {
      code: "microphone-denied",
      hint: "Click the sign left of the address, allow the microphone, and start again. Typing works without it.",
      stage: "microphone",
      cause,
    });
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") {
    return new LocaraError("There is no such microphone.", {
      code: "no-microphone",
      hint: "Plug one in or choose another one, and start again. Typing works without it.",
      stage: "microphone",
      cause,
    });
  }
  return new LocaraError("The microphone could not be opened.", {
    code: "microphone-busy",
    hint: "Close other programs that use it, and start again. Typing works without it.",
    stage: "microphone",
    cause,
  });
}
