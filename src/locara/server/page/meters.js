/**
 * How loud both sides are. What may live here: two bars, and the smoothing that makes them readable.
 */

/** dBFS where a bar begins. */
const FLOOR = -60;
/** What stays of a level after a frame in which it fell. */
const FALL = 0.85;
/** Milliseconds between changes of the values that screen readers are told. */
const SPOKEN = 500;

/** @param {number} rms 0 to 1 of full scale @returns {number} 0 to 1 of the bar */
export function height(rms) {
  const db = rms > 0 ? 20 * Math.log10(rms) : FLOOR;
  return Math.max(0, Math.min(1, 1 - db / FLOOR));
}

export class Meter {
  /** @param {HTMLElement} element */
  constructor(element) {
    this._element = element;
    this._bar = /** @type {HTMLElement} */ (element.firstElementChild);
    this._shown = 0;
    this._told = 0;
  }

  /** @param {number} rms @param {number} now milliseconds @returns {number} what is shown, 0 to 1 */
  show(rms, now) {
    this._shown = Math.max(height(rms), this._shown * FALL);
    this._bar.style.transform = `scaleX(${this._shown.toFixed(3)})`;
    if (now - this._told > SPOKEN) {
      this._told = now;
      this._element.setAttribute("aria-valuenow", String(Math.round(FLOOR * (1 - this._shown))));
    }
    return this._shown;
  }
}
