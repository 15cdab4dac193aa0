/**
 * The way to one conversation on the server, over one connection after the other. What may live here: when to connect
 * again and how a conversation is resumed; what is said on the way is session.js's.
 */

import { Connection } from "./connection.js";
import { LocaraError } from "./errors.js";

/** Seconds before the first try, growing by two, and the longest: a server on this machine is back at once or not at all. */
const FIRST = 0.2;
const LONGEST = 3;
/** Close codes after which there is nothing to come back to: an end, a broken rule, too much at once, a restart. */
const FINAL = [1000, 1008, 1009, 1012];
/** Errors of a try that may be over at the next one. */
const PASSING = ["no-server", "busy", "connection-lost", "no-answer"];

/**
 * @typedef {object} Resumable
 * @property {string} session
 * @property {string} token
 * @property {number} grace seconds that the server keeps the conversation
 */

export class Link {
  /**
   * @param {string} url
   * @param {string} token
   */
  constructor(url, token) {
    this._url = url;
    this._token = token;
    /** @type {Connection | null} */
    this._connection = null;
    this._over = false;
    this._sentAway = false;
    this._droppedBefore = 0;
    /** Set when a conversation has begun: from then on a lost connection is made again. @type {Resumable | null} */
    this.resumable = null;
    /** What the server knows that we have: the last event and the end of the sound. */
    this.place = () => ({ after: 0, received: 0 });
    /** @type {(message: Record<string, any>) => void} */
    this.onpush = () => {};
    /** @type {(frame: import("./frames.js").Frame) => void} */
    this.onsound = () => {};
    /** @type {(state: "open" | "reconnecting", missed: number) => void} */
    this.onstate = () => {};
    /** @type {(error: LocaraError | null) => void} it will not come back; null: the server ended it */
    this.onend = () => {};
  }

  /** Blocks of microphone sound that were not sent. */
  get dropped() {
    return this._droppedBefore + (this._connection?.dropped ?? 0);
  }

  /** What the server said of itself: protocol, server, limits. */
  get hello() {
    return this._connection?.hello ?? {};
  }

  async open() {
    this._use(await Connection.open(this._url, this._token));
  }

  /** @param {Connection} connection */
  _use(connection) {
    if (this._over) return connection.close();
    this._connection = connection;
    connection.onpush = (message) => this._pushed(message);
    connection.onsound = (frame) => this.onsound(frame);
    connection.onclose = (code, reason) => this._lost(code, reason);
  }

  /** @param {Record<string, any>} message */
  _pushed(message) {
    if (message.closing) this._sentAway = message.closing.reason !== "too-slow"; // that one may come back, and be faster
    this.onpush(message);
  }

  /** @param {string} method @param {Record<string, unknown>} [params] @param {number} [seconds] */
  request(method, params, seconds) {
    if (this._connection) return this._connection.request(method, params, seconds);
    return Promise.reject(
      new LocaraError("The connection to the server is being made again.", {
        code: "connection-lost",
        hint: "Wait for the status to be open.",
      }),
    );
  }

  /** @param {string} method @param {Record<string, unknown>} params */
  notify(method, params) {
    this._connection?.notify(method, params);
  }

  /** @param {ArrayBuffer} frame */
  sound(frame) {
    this._connection?.sound(frame);
  }

  /** A person is being asked: what waits may take longer. */
  extend() {
    this._connection?.extend();
  }

  close() {
    this._over = true;
    this._connection?.close();
    this._connection = null;
  }

  /** @param {number} code @param {string} reason */
  _lost(code, reason) {
    this._droppedBefore += this._connection?.dropped ?? 0;
    this._connection = null;
    if (this._over) return;
    if (this.resumable === null || this._sentAway || FINAL.includes(code)) {
      this._over = true;
      const why = reason ? ` (${reason})` : "";
      const hint = code === 1012 ? "It starts again; then begin a new conversation." : "Begin a new conversation.";
      return this.onend(
        code === 1000 ? null : new LocaraError(`The server closed the connection${why}.`, { code: "connection-closed", hint }),
      );
    }
    this.onstate("reconnecting", 0);
    void this._return(this.resumable);
  }

  /** @param {Resumable} resumable */
  async _return(resumable) {
    const until = performance.now() + resumable.grace * 1000;
    let wait = FIRST;
    while (!this._over) {
      await new Promise((resolve) => setTimeout(resolve, wait * 1000 * (0.75 + Math.random() / 2)));
      wait = Math.min(LONGEST, wait * 2);
      if (this._over) return;
      const failed = await this._try(resumable);
      if (failed === null || this._over) return;
      if (!PASSING.includes(failed.code) || performance.now() > until) {
        this._over = true;
        return this.onend(
          new LocaraError("The connection was lost, and the conversation could not be taken up again.", {
            code: "connection-lost",
            hint: failed.hint || "Begin a new conversation.",
            cause: failed,
          }),
        );
      }
    }
  }

  /** @param {Resumable} resumable @returns {Promise<LocaraError | null>} null: it goes on */
  async _try(resumable) {
    /** @type {Connection | null} */
    let connection = null;
    try {
      connection = await Connection.open(this._url, this._token);
      // Events and sound that come with the answer are for us already; a close in between is this try's failure.
      connection.onpush = (message) => this._pushed(message);
      connection.onsound = (frame) => this.onsound(frame);
      const answer = await connection.request("session.resume", {
        session: resumable.session,
        resume_token: resumable.token,
        ...this.place(),
      });
      if (typeof answer.resume_token === "string") resumable.token = answer.resume_token;
      this._use(connection);
      this.onstate("open", Number(answer.missed) || 0);
      return null;
    } catch (error) {
      connection?.close();
      if (error instanceof LocaraError) return error;
      return new LocaraError(String(error), { code: "connection-lost", cause: error });
    }
  }
}
