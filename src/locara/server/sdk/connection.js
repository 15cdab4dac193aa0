/**
 * One WebSocket to a Locara server: requests with their answers, pushes, sound. What may live here: one connection; that
 * there may be a next one is known in session.js.
 */

import { LocaraError, fromWire } from "./errors.js";
import { decode } from "./frames.js";

/** The version of the protocol that this file speaks. */
export const PROTOCOL = 1;
/** Seconds for the server's first message, and for an answer. */
const HELLO = 10;
const ANSWER = 15;
/** Bytes that may wait in the browser to be sent; two seconds of sound. Beyond it, sound is dropped: it would be late. */
const WAITING = 192_000;
/** Requests that may be open at once. */
const OPEN = 64;

/** @typedef {{resolve: (value: any) => void, reject: (error: Error) => void, timer: number, seconds: number, method: string}} Open */

export class Connection {
  /** @param {WebSocket} socket */
  constructor(socket) {
    this._socket = socket;
    /** @type {Map<number, Open>} */
    this._open = new Map();
    this._next = 1;
    /** Blocks of sound that were not sent, because the connection did not keep up. */
    this.dropped = 0;
    /** @type {Record<string, any>} */
    this.hello = {};
    /** @type {(message: Record<string, any>) => void} */
    this.onpush = () => {};
    /** @type {(frame: import("./frames.js").Frame) => void} */
    this.onsound = () => {};
    /** @type {(code: number, reason: string) => void} */
    this.onclose = () => {};
  }

  /**
   * @param {string} url of the server, http or https
   * @param {string} token
   * @returns {Promise<Connection>} after the server's hello
   * @throws {LocaraError} `no-server`, `unauthorized`, `busy`, `other-protocol`
   */
  static async open(url, token) {
    const address = new URL("/ipc", url);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, ["locara.ipc.v1", ...(token ? [`locara.token.${token}`] : [])]);
    socket.binaryType = "arraybuffer";
    const connection = new Connection(socket);
    try {
      await connection._begin();
    } catch (cause) {
      socket.close();
      throw cause instanceof LocaraError ? cause : await why(url, token, cause);
    }
    return connection;
  }

  /** @returns {Promise<void>} */
  _begin() {
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(
        () => reject(new LocaraError("The server does not answer.", { code: "no-server", hint: "Is it busy? Try again." })),
        HELLO * 1000,
      );
      const done = (/** @type {() => void} */ then) => {
        clearTimeout(timer);
        then();
      };
      this._socket.onclose = (event) => done(() => reject(new Error(`closed with ${event.code}`)));
      this._socket.onmessage = (event) => {
        const message = parsed(event.data);
        if (!message?.hello) return;
        if (message.hello.protocol !== PROTOCOL) {
          const spoken = message.hello.protocol;
          return done(() =>
            reject(
              new LocaraError(`The server speaks version ${spoken} of the protocol, this page version ${PROTOCOL}.`, {
                code: "other-protocol",
                hint: "Load the SDK from the same server: /sdk/locara.js.",
              }),
            ),
          );
        }
        this.hello = message.hello;
        this._socket.onmessage = (next) => this._receive(next.data);
        this._socket.onclose = (closed) => this._closed(closed.code, closed.reason);
        done(resolve);
      };
    });
  }

  /** @param {unknown} data */
  _receive(data) {
    if (data instanceof ArrayBuffer) {
      const frame = decode(data);
      if (frame) this.onsound(frame);
      return;
    }
    const message = parsed(data);
    if (!message) return;
    if (typeof message.id !== "number") return this.onpush(message);
    const open = this._open.get(message.id);
    if (!open) return;
    this._open.delete(message.id);
    clearTimeout(open.timer);
    if (message.error) open.reject(fromWire(message.error));
    else open.resolve(message.result ?? {});
  }

  /** @param {number} code @param {string} reason */
  _closed(code, reason) {
    for (const open of this._open.values()) {
      clearTimeout(open.timer);
      open.reject(new LocaraError("The connection to the server was lost.", { code: "connection-lost" }));
    }
    this._open.clear();
    this.onclose(code, reason);
  }

  /**
   * @param {string} method
   * @param {Record<string, unknown>} [params]
   * @param {number} [seconds] until it is given up
   * @returns {Promise<any>} the result
   */
  request(method, params = {}, seconds = ANSWER) {
    if (this._socket.readyState !== WebSocket.OPEN) {
      return Promise.reject(new LocaraError("There is no connection to the server.", { code: "connection-lost" }));
    }
    if (this._open.size >= OPEN) {
      return Promise.reject(
        new LocaraError(`${OPEN} requests wait for an answer already.`, { code: "too-many", hint: "Await them." }),
      );
    }
    const id = this._next++;
    return new Promise((resolve, reject) => {
      this._open.set(id, { resolve, reject, seconds, method, timer: 0 });
      this._extend(id);
      this._socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** A person is being asked: what is open gets its time again. */
  extend() {
    for (const id of this._open.keys()) this._extend(id);
  }

  /** @param {number} id */
  _extend(id) {
    const open = this._open.get(id);
    if (!open) return;
    clearTimeout(open.timer);
    open.timer = window.setTimeout(() => {
      this._open.delete(id);
      open.reject(
        new LocaraError(`The server did not answer "${open.method}" within ${open.seconds} s.`, { code: "no-answer" }),
      );
    }, open.seconds * 1000);
  }

  /** Without an answer. @param {string} method @param {Record<string, unknown>} params */
  notify(method, params) {
    if (this._socket.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify({ method, params }));
  }

  /** Sound. What the connection cannot take is dropped and counted. @param {ArrayBuffer} frame */
  sound(frame) {
    if (this._socket.readyState !== WebSocket.OPEN) return;
    if (this._socket.bufferedAmount > WAITING) this.dropped += 1;
    else this._socket.send(frame);
  }

  /** Closes; `onclose` is not called for it. */
  close() {
    this._socket.onclose = null;
    this._socket.onmessage = null;
    this.onclose = () => {};
    this._socket.close(1000);
    this._closed(1000, "closed by this page");
  }
}

/** @param {unknown} data @returns {Record<string, any> | null} */
function parsed(data) {
  if (typeof data !== "string") return null;
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/**
 * A browser does not tell a page why a WebSocket was refused; an ordinary request does.
 * @param {string} url
 * @param {string} token
 * @param {unknown} cause
 */
async function why(url, token, cause) {
  const known = await fetch(new URL("/healthz", url), {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.timeout(3000),
  }).catch(() => null);
  if (!known) {
    return new LocaraError("There is no Locara server at this address.", {
      code: "no-server",
      hint: "Start it with: locara serve",
      cause,
    });
  }
  if (known.status === 401 || known.status === 403) {
    return new LocaraError("The server does not know this page's token.", {
      code: "unauthorized",
      hint: "It makes a new one at each start. Open the address that `locara serve` prints.",
      cause,
    });
  }
  const wait = Number(known.headers.get("Retry-After")) || 5;
  return new LocaraError("The server is busy.", { code: "busy", hint: `Try again in ${wait} s.`, retryAfter: wait, cause });
}
