/**
 * Sound on the wire: a header of 16 bytes and 16-bit samples. What may live here: pure conversions of bytes.
 *
 * Little endian: u8 kind (1 microphone, 2 speaker), u8 flags, u16 zero, i32 turn (-1: none), u64 at (the first sample's
 * place in its stream), then pcm16 mono. See docs/ipc.md of Locara.
 */

/** Bytes before the samples. */
export const HEADER = 16;
/** Client to server. */
export const MICROPHONE = 1;
/** Server to client. */
export const SPEAKER = 2;

/**
 * @typedef {object} Frame
 * @property {number} kind
 * @property {number} turn the turn the sound belongs to, or -1
 * @property {number} at the first sample's place in the stream
 * @property {Int16Array} samples mono
 */

/**
 * @param {number} kind
 * @param {number} at
 * @param {Int16Array} samples
 * @param {number} [turn]
 * @returns {ArrayBuffer}
 */
export function encode(kind, at, samples, turn = -1) {
  const buffer = new ArrayBuffer(HEADER + 2 * samples.length);
  const view = new DataView(buffer);
  view.setUint8(0, kind);
  view.setInt32(4, turn, true);
  view.setBigUint64(8, BigInt(at), true);
  // Typed arrays have the machine's byte order: every machine that runs a browser today is little endian.
  new Int16Array(buffer, HEADER).set(samples);
  return buffer;
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Frame | null} null for what is no frame
 */
export function decode(buffer) {
  if (buffer.byteLength < HEADER || (buffer.byteLength - HEADER) % 2 !== 0) return null;
  const view = new DataView(buffer);
  return {
    kind: view.getUint8(0),
    turn: view.getInt32(4, true),
    at: Number(view.getBigUint64(8, true)),
    samples: new Int16Array(buffer, HEADER),
  };
}

/** @param {Int16Array} samples @returns {Float32Array} full scale 1.0 */
export function toFloat(samples) {
  const out = new Float32Array(samples.length);
  for (let i = 0; i < samples.length; i++) out[i] = (samples[i] ?? 0) / 32768;
  return out;
}

/** @param {Float32Array} samples full scale 1.0, clipped @returns {Int16Array} */
export function toPcm16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    out[i] = Math.max(-32768, Math.min(32767, Math.round((samples[i] ?? 0) * 32768)));
  }
  return out;
}

/** @param {Int16Array} samples @returns {string} base64, for sound inside JSON */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}
