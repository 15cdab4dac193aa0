/**
 * The microphone, on the audio thread: blocks of 20 ms as 16-bit samples, each with its level. Nothing is decided here.
 */

/** Seconds of a block. */
const BLOCK = 0.02;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate * BLOCK);
    this.block = new Int16Array(this.size);
    this.filled = 0;
    this.squares = 0;
    this.peak = 0;
    this.running = true;
    this.port.onmessage = (event) => {
      if (event.data === "close") this.running = false;
    };
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const channels = inputs[0] ?? [];
    const first = channels[0];
    // No channel: the source is silent or being changed. Time goes on all the same.
    const count = first ? first.length : 128;
    for (let i = 0; i < count; i++) {
      let value = 0;
      for (const channel of channels) value += channel[i] ?? 0;
      this.take(channels.length > 1 ? value / channels.length : value);
    }
    return this.running;
  }

  /** @param {number} value */
  take(value) {
    const clipped = Math.max(-1, Math.min(1, value));
    this.block[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(clipped * 32768)));
    this.squares += clipped * clipped;
    this.peak = Math.max(this.peak, Math.abs(clipped));
    if (this.filled < this.size) return;
    const rms = Math.sqrt(this.squares / this.size);
    this.port.postMessage({ samples: this.block, rms, peak: this.peak }, [this.block.buffer]);
    this.block = new Int16Array(this.size);
    this.filled = 0;
    this.squares = 0;
    this.peak = 0;
  }
}

registerProcessor("locara-capture", Capture);
