/**
 * Sound as a file: conversion of rates and the WAV format. What may live here: pure functions of samples.
 */

/** Zero crossings of the filter on each side: 60 dB of stop band, which is below what a microphone's noise is. */
const CROSSINGS = 12;

/** Converts a stream of blocks from one rate to another, with a windowed sinc. */
export class Resampler {
  /** @param {number} from hertz @param {number} to hertz */
  constructor(from, to) {
    this._step = from / to;
    this._cut = Math.min(1, to / from) * 0.95;
    this._reach = Math.ceil(CROSSINGS / this._cut);
    this._kept = new Float32Array(this._reach); // silence before the beginning
    this._at = this._reach; // of the next output sample, in the kept samples
    this._same = from === to;
  }

  /** @param {Float32Array} block @returns {Float32Array} */
  push(block) {
    if (this._same) return block;
    const all = new Float32Array(this._kept.length + block.length);
    all.set(this._kept);
    all.set(block, this._kept.length);
    const out = new Float32Array(Math.max(0, Math.ceil((all.length - this._reach - this._at) / this._step)));
    let count = 0;
    for (; this._at + this._reach < all.length && count < out.length; this._at += this._step) {
      out[count++] = this._value(all);
    }
    const from = Math.max(0, Math.floor(this._at) - this._reach);
    this._kept = all.slice(from);
    this._at -= from;
    return out.subarray(0, count);
  }

  /** @param {Float32Array} all @returns {number} */
  _value(all) {
    const middle = Math.floor(this._at);
    let sum = 0;
    for (let i = middle - this._reach + 1; i <= middle + this._reach; i++) {
      const x = (this._at - i) * this._cut;
      const far = (this._at - i) / this._reach;
      if (far <= -1 || far >= 1) continue;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      sum += (all[i] ?? 0) * sinc * this._cut * (0.5 + 0.5 * Math.cos(Math.PI * far));
    }
    return sum;
  }
}

/**
 * @param {BlobPart[]} parts interleaved 16-bit samples
 * @param {number} bytes of all parts
 * @param {number} rate hertz
 * @param {number} channels
 * @returns {Blob} a WAV file
 */
export function wavFile(parts, bytes, rate, channels) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (/** @type {number} */ at, /** @type {string} */ word) =>
    [...word].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, channels, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, rate * channels * 2, true);
  header.setUint16(32, channels * 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header.buffer, ...parts], { type: "audio/wav" });
}
