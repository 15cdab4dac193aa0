/**
 * What goes wrong, as one kind of error. What may live here: the class and how an answer of the server becomes one.
 */

/** An error with a stable `code`, a sentence, and a `hint` that says what to do next. */
export class LocaraError extends Error {
  /**
   * @param {string} message
   * @param {{code?: string, hint?: string, stage?: string, retryAfter?: number | null, cause?: unknown}} [more]
   */
  constructor(message, { code = "error", hint = "", stage = "", retryAfter = null, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "LocaraError";
    /** Stable across versions. */
    this.code = code;
    /** What to do next. */
    this.hint = hint;
    /** The stage that failed, or "". */
    this.stage = stage;
    /** Seconds after which it is worth trying again, or null. */
    this.retryAfter = retryAfter;
  }
}

/**
 * The `error` of an answer on the wire.
 * @param {unknown} told
 * @returns {LocaraError}
 */
export function fromWire(told) {
  /** @type {Record<string, unknown>} */
  const error = told !== null && typeof told === "object" ? { ...told } : {};
  const text = (/** @type {string} */ name) => (typeof error[name] === "string" ? String(error[name]) : "");
  return new LocaraError(text("message") || "the server refused without saying why", {
    code: text("code") || "error",
    hint: text("hint"),
    stage: text("stage"),
    retryAfter: typeof error.retry_after === "number" ? error.retry_after : null,
  });
}
