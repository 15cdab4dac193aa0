/**
 * The speaker, on the audio thread: a bounded queue of blocks, and exactly how far it has been played.
 *
 * Blocks have a place (`at`) in the server's stream. Silence is not sent: a later block is played when it comes, whatever
 * lies between; an earlier one was sent again after a lost connection and is not played twice.
 */

/** Seconds kept in hand before a sound begins: what a browser and a loaded machine need to not stutter. */
const PREBUFFER = 0.06;
/** Seconds added to it when a sound ran dry in its middle, and where that ends. */
const PREBUFFER_STEP = 0.02;
const PREBUFFER_MOST = 0.2;
/** Seconds in which a flushed sound fades: short enough to be a stop, long enough not to click. */
const FADE = 0.01;
/** Seconds in which a sound begins, and its last sample decays when it runs dry. */
const RAMP = 0.0025;
/** Seconds that may wait to be played. More is only sent by a server that does not keep its pace. */
const MOST = 30;
/** Seconds between reports of how far it is, and its level. */
const REPORT = 0.05;
/** Seconds of a block of what is played, for whoever listens along. */
const TAP = 0.02;

/** @typedef {{at: number, turn: number, samples: Float32Array}} Block */

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    /** @type {Block[]} */
    this.queue = [];
    this.offset = 0; // samples of the first block that were played
    this.queued = 0; // samples that wait
    this.received = 0; // end of what came, in the stream
    this.played = 0; // end of what was played, in the stream
    this.turn = -1;
    this.turnPlayed = 0; // samples of this turn that were played
    this.sounding = false;
    this.since = 0; // samples since the first block came that waits to be played
    this.prebuffer = PREBUFFER;
    this.gain = 0;
    this.last = 0;
    /** @type {Float32Array} what is still heard of a flushed sound */
    this.tail = new Float32Array(0);
    this.tailAt = 0;
    this.squares = 0;
    this.peak = 0;
    this.measured = 0;
    this.underruns = 0;
    this.lost = 0;
    this.tapping = false;
    this.tap = new Float32Array(Math.round(sampleRate * TAP));
    this.tapped = 0;
    this.running = true;
    this.port.onmessage = (event) => this.told(event.data);
  }

  /** @param {{block?: Block, flush?: boolean, tap?: boolean, close?: boolean}} message */
  told(message) {
    if (message.block) this.take(message.block);
    if (message.flush) this.flush();
    if (message.tap !== undefined) this.tapping = message.tap;
    if (message.close) this.running = false;
  }

  /** @param {Block} block */
  take(block) {
    const known = Math.max(0, this.received - block.at);
    if (known >= block.samples.length) return;
    const fresh = known > 0 ? { ...block, at: block.at + known, samples: block.samples.subarray(known) } : block;
    if (!this.sounding && this.queue.length === 0) {
      this.since = 0;
      // It goes on exactly where it ran dry: more has to be kept in hand on this machine.
      if (fresh.at === this.played && this.played > 0) {
        this.underruns += 1;
        this.prebuffer = Math.min(PREBUFFER_MOST, this.prebuffer + PREBUFFER_STEP);
      }
    }
    this.queue.push(fresh);
    this.queued += fresh.samples.length;
    this.received = fresh.at + fresh.samples.length;
    while (this.queued > MOST * sampleRate) this.drop();
  }

  drop() {
    const gone = this.queue.shift();
    if (!gone) return;
    const samples = gone.samples.length - this.offset;
    this.queued -= samples;
    this.lost += samples;
    this.offset = 0;
  }

  flush() {
    const wanted = this.sounding ? Math.min(this.queued, Math.round(FADE * sampleRate)) : 0;
    const tail = new Float32Array(wanted);
    for (let i = 0; i < wanted; i++) tail[i] = this.next() * (1 - i / wanted);
    this.queue = [];
    this.offset = 0;
    this.queued = 0;
    this.sounding = false;
    this.last = 0;
    this.tail = tail;
    this.tailAt = 0;
    // Told at once: the end of the fade is what will have been heard, and the server waits for it.
    this.report("flushed");
  }

  /** The next sample of the queue. @returns {number} */
  next() {
    const block = this.queue[0];
    if (!block) return 0;
    const value = block.samples[this.offset++] ?? 0;
    this.queued -= 1;
    this.played = block.at + this.offset;
    if (block.turn !== this.turn) {
      this.turn = block.turn;
      this.turnPlayed = 0;
    }
    this.turnPlayed += 1;
    if (this.offset >= block.samples.length) {
      this.queue.shift();
      this.offset = 0;
    }
    return value;
  }

  /** @returns {number} */
  sample() {
    if (this.tailAt < this.tail.length) return this.tail[this.tailAt++] ?? 0;
    if (!this.sounding) {
      this.last *= 1 - 1 / (RAMP * sampleRate);
      return this.last;
    }
    this.gain = Math.min(1, this.gain + 1 / (RAMP * sampleRate));
    this.last = this.next() * this.gain;
    if (this.queued === 0) {
      this.sounding = false;
      this.report("drained");
    }
    return this.last;
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const channel = outputs[0]?.[0];
    if (!channel) return this.running;
    this.begin(channel.length);
    for (let i = 0; i < channel.length; i++) {
      const value = this.sample();
      channel[i] = value;
      this.measure(value);
    }
    return this.running;
  }

  /** Begins to play when enough waits, or when it has waited long enough: a short word is never kept back.
   *  @param {number} count */
  begin(count) {
    if (this.sounding || this.queued === 0) return;
    const enough = this.prebuffer * sampleRate;
    if (this.queued >= enough || this.since >= enough) {
      this.sounding = true;
      this.gain = 0;
    }
    this.since += count;
  }

  /** @param {number} value */
  measure(value) {
    this.squares += value * value;
    this.peak = Math.max(this.peak, Math.abs(value));
    this.measured += 1;
    if (this.measured >= REPORT * sampleRate) this.report("playing");
    if (!this.tapping) return;
    this.tap[this.tapped++] = value;
    if (this.tapped < this.tap.length) return;
    this.port.postMessage({ kind: "tap", samples: this.tap }, [this.tap.buffer]);
    this.tap = new Float32Array(Math.round(sampleRate * TAP));
    this.tapped = 0;
  }

  /** @param {"playing" | "drained" | "flushed"} kind */
  report(kind) {
    this.port.postMessage({
      kind,
      played: this.played,
      turn: this.turn,
      turnPlayed: this.turnPlayed,
      sounding: this.sounding,
      queued: this.queued,
      rms: Math.sqrt(this.squares / Math.max(1, this.measured)),
      peak: this.peak,
      underruns: this.underruns,
      lost: this.lost,
    });
    this.squares = 0;
    this.peak = 0;
    this.measured = 0;
  }
}

registerProcessor("locara-playback", Playback);
