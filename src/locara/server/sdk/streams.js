/**
 * One producer, several consumers, nothing unbounded. What may live here: queues that know no sound and no socket.
 */

/** Events that wait for a consumer that is too slow; then the oldest go, and it is told how many. */
export const WAITING = 512;

/**
 * A value to every consumer. A slow one loses the oldest values and never delays the others.
 * @template T
 */
export class Broadcast {
  /** @param {{limit?: number, lost?: (value: T, count: number) => T}} [options] `lost`: how a value says what was lost
   *     before it. */
  constructor({ limit = WAITING, lost } = {}) {
    this._limit = limit;
    this._lost = lost;
    /** @type {Set<Subscription<T>>} */
    this._subscriptions = new Set();
    this.closed = false;
    /** @type {(count: number) => void} called when the number of consumers changes */
    this.onconsumers = () => {};
  }

  /** @returns {number} */
  get consumers() {
    return this._subscriptions.size;
  }

  /** @param {T} value */
  put(value) {
    for (const one of this._subscriptions) one._put(value);
  }

  /** Consumers get what waits, then the end. */
  close() {
    this.closed = true;
    for (const one of this._subscriptions) one._end();
    this._subscriptions.clear();
    this.onconsumers(0);
  }

  /** From this moment on. @returns {Subscription<T>} */
  subscribe() {
    const one = new Subscription(this, this._limit, this._lost);
    if (this.closed) one._end();
    else this._subscriptions.add(one);
    this.onconsumers(this._subscriptions.size);
    return one;
  }

  /** @param {Subscription<T>} one */
  _leave(one) {
    if (this._subscriptions.delete(one)) this.onconsumers(this._subscriptions.size);
  }
}

/**
 * One consumer's view: an async iterator.
 * @template T
 * @implements {AsyncIterableIterator<T>}
 */
export class Subscription {
  /**
   * @param {Broadcast<T>} source
   * @param {number} limit
   * @param {((value: T, count: number) => T) | undefined} lost
   */
  constructor(source, limit, lost) {
    this._source = source;
    this._limit = limit;
    this._lost = lost;
    /** @type {T[]} */
    this._waiting = [];
    this._dropped = 0;
    this._over = false;
    /** @type {((result: IteratorResult<T>) => void)[]} */
    this._takers = [];
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<T>>} */
  next() {
    if (this._waiting.length > 0) {
      const value = /** @type {T} */ (this._waiting.shift());
      return Promise.resolve({ done: false, value: this._told(value) });
    }
    if (this._over) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this._takers.push(resolve));
  }

  /** @returns {Promise<IteratorResult<T>>} */
  return() {
    this._source._leave(this);
    this._waiting = [];
    this._end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** @param {T} value */
  _put(value) {
    if (this._over) return;
    const taker = this._takers.shift();
    if (taker) return taker({ done: false, value: this._told(value) });
    if (this._waiting.length >= this._limit) {
      this._waiting.shift();
      this._dropped += 1;
    }
    this._waiting.push(value);
  }

  _end() {
    this._over = true;
    for (const taker of this._takers.splice(0)) taker({ done: true, value: undefined });
  }

  /** @param {T} value @returns {T} */
  _told(value) {
    const dropped = this._dropped;
    this._dropped = 0;
    return dropped > 0 && this._lost ? this._lost(value, dropped) : value;
  }
}
