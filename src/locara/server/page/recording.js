/**
 * A recording of a conversation, made in this browser and kept nowhere else: you on the left, the assistant on the right,
 * and the events as lines of JSON. What may live here: collecting; the file formats are in wav.js.
 */

import { Resampler, wavFile } from "./wav.js";

/** Hertz of the file: what voices here have. */
const RATE = 24000;
/** Seconds after which a recording ends by itself: 170 MB of memory. */
export const MOST = 1800;
/** Seconds that one side may be behind the other before silence takes the place of what is missing. */
const BEHIND = 0.25;
/** Seconds that are written at once. */
const PIECE = 1;

/** @typedef {import("../sdk/locara.js").Session} Session */

export class Recording {
  /** @param {Session} session */
  constructor(session) {
    this._began = performance.now();
    this._sides = [new Side(session.rawInput(), () => session.inputRate), new Side(session.rawOutput(), () => session.outputRate)];
    this._events = session.events();
    /** @type {BlobPart[]} */
    this._sound = [];
    this._written = 0; // samples of each side
    /** @type {string[]} */
    this._lines = [];
    this._timer = window.setInterval(() => this._write(false), PIECE * 1000);
    void this._note();
    /** @type {() => void} it has become as long as one may be */
    this.onfull = () => {};
  }

  get seconds() {
    return (performance.now() - this._began) / 1000;
  }

  async _note() {
    for await (const event of this._events) this._lines.push(JSON.stringify(event));
  }

  /** @param {boolean} last */
  _write(last) {
    const due = Math.floor(this.seconds * RATE);
    const ready = Math.max(...this._sides.map((side) => side.count));
    const end = last ? ready : Math.min(ready, due - Math.round(BEHIND * RATE));
    const count = end - this._written;
    if (count > 0) {
      const sides = this._sides.map((side) => side.take(count));
      const piece = new Int16Array(count * 2);
      for (let i = 0; i < count; i++) {
        sides.forEach((side, channel) => {
          piece[2 * i + channel] = Math.max(-32768, Math.min(32767, Math.round((side[i] ?? 0) * 32768)));
        });
      }
      this._sound.push(piece.buffer);
      this._written = end;
    }
    if (!last && this.seconds > MOST) this.onfull();
  }

  /** Ends it. @returns {{sound: Blob, events: Blob, seconds: number}} */
  stop() {
    clearInterval(this._timer);
    this._write(true);
    for (const side of this._sides) side.stop();
    void this._events.return?.();
    return {
      sound: wavFile(this._sound, this._written * 4, RATE, 2),
      events: new Blob([this._lines.map((line) => `${line}\n`).join("")], { type: "application/jsonl" }),
      seconds: this._written / RATE,
    };
  }
}

/** One side's sound at the file's rate, waiting to be written. */
class Side {
  /** @param {AsyncIterableIterator<Float32Array>} blocks @param {() => number} rate */
  constructor(blocks, rate) {
    this._blocks = blocks;
    this._rate = rate;
    /** @type {Resampler | null} */
    this._resampler = null;
    /** @type {Float32Array[]} */
    this._waiting = [];
    this._taken = 0;
    this._offset = 0;
    /** Samples that came so far. */
    this.count = 0;
    void this._collect();
  }

  async _collect() {
    for await (const block of this._blocks) {
      this._resampler ??= new Resampler(this._rate(), RATE);
      const converted = this._resampler.push(block);
      if (converted.length === 0) continue;
      // What did not come in its time was written as silence: what comes now is not that.
      this._waiting.push(converted);
      this.count = Math.max(this.count, this._taken) + converted.length;
    }
  }

  /** @param {number} count @returns {Float32Array} filled up with silence */
  take(count) {
    const out = new Float32Array(count);
    let filled = 0;
    while (filled < count && this._waiting.length > 0) {
      const first = /** @type {Float32Array} */ (this._waiting[0]);
      const part = first.subarray(this._offset, this._offset + count - filled);
      out.set(part, filled);
      filled += part.length;
      this._offset += part.length;
      if (this._offset >= first.length) {
        this._waiting.shift();
        this._offset = 0;
      }
    }
    this._taken += count;
    return out;
  }

  stop() {
    void this._blocks.return?.();
  }
}

/** @param {Blob} file @param {string} name */
export function download(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
