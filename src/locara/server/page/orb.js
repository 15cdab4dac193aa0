/**
 * The state as a shape that breathes. What may live here: drawing on one canvas; it decides nothing.
 */

/** Radians a second at which the shapes turn, by what is going on. */
const TURNING = { ready: 0.15, starting: 1.2, listening: 0.35, hearing: 0.8, thinking: 1.6, speaking: 0.6, muted: 0, waiting: 0.9 };

/** @typedef {keyof typeof TURNING} Mood */

export class Orb {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this._still = matchMedia("(prefers-reduced-motion: reduce)");
    /** @type {Mood} */
    this.mood = "ready";
    this._level = 0;
    this._angle = 0;
    this._before = 0;
    this._look = 0;
    this._accent = "";
    this._dim = "";
    this._ground = "";
  }

  /** @param {number} level 0 to 1 @param {number} now milliseconds */
  draw(level, now) {
    const seconds = Math.min(0.1, (now - this._before) / 1000);
    this._before = now;
    this._level += (level - this._level) * (level > this._level ? 0.5 : 0.12);
    if (!this._still.matches) this._angle += seconds * TURNING[this.mood];
    if (now - this._look > 500) this._colours(now);
    const size = this._fit();
    const middle = size / 2;
    const draw = this._context;
    draw.clearRect(0, 0, size, size);
    draw.save();
    draw.translate(middle, middle);
    if (this.mood === "muted") this._muted(size * 0.3);
    else if (this.mood === "thinking" || this.mood === "starting" || this.mood === "waiting") this._orbits(size * 0.3);
    else this._waves(size * 0.3);
    draw.restore();
  }

  /** @param {number} now */
  _colours(now) {
    const style = getComputedStyle(document.documentElement);
    this._look = now;
    this._accent = style.getPropertyValue("--accent").trim();
    this._dim = style.getPropertyValue("--dim").trim();
    this._ground = style.getPropertyValue("--ground").trim();
  }

  /** The canvas as sharp as the screen. @returns {number} its size in its own pixels */
  _fit() {
    const size = Math.round(this._canvas.clientWidth * Math.min(2, devicePixelRatio));
    if (this._canvas.width !== size) {
      this._canvas.width = size;
      this._canvas.height = size;
    }
    return size;
  }

  /** Three soft shapes, one inside the other: filled while it speaks, rings while it listens. @param {number} radius */
  _waves(radius) {
    const draw = this._context;
    const speaking = this.mood === "speaking";
    const calm = this.mood === "ready" ? 0.03 : 0.05;
    const swell = this._level * (speaking ? 0.38 : 0.3);
    for (let layer = 3; layer >= 1; layer--) {
      this._blob(radius * (0.78 + 0.14 * layer + swell * (layer / 3)), calm + this._level * 0.13, layer);
      draw.globalAlpha = speaking ? 0.16 + 0.16 * (4 - layer) : 0.07 * (4 - layer);
      draw.fillStyle = this._accent;
      draw.fill();
      draw.globalAlpha = this.mood === "ready" ? 0.35 : 0.3 + 0.15 * (4 - layer);
      draw.strokeStyle = this._accent;
      draw.lineWidth = Math.max(1.5, radius * 0.012);
      draw.stroke();
    }
    this._bars(radius * 0.42, speaking ? this._ground : this._accent);
  }

  /** A closed curve with a few slow waves on it. @param {number} radius @param {number} depth @param {number} layer */
  _blob(radius, depth, layer) {
    const draw = this._context;
    draw.beginPath();
    for (let step = 0; step <= 120; step++) {
      const at = (step / 120) * Math.PI * 2;
      const wave = Math.sin(3 * at + this._angle * (1 + layer * 0.3)) + 0.6 * Math.sin(5 * at - this._angle * 1.7 + layer);
      const r = radius * (1 + depth * 0.5 * wave);
      draw.lineTo(r * Math.cos(at), r * Math.sin(at));
    }
    draw.closePath();
  }

  /** The mark of the page, moving with the sound. @param {number} size @param {string} colour */
  _bars(size, colour) {
    const draw = this._context;
    draw.globalAlpha = this.mood === "ready" ? 0.7 : 1;
    draw.strokeStyle = colour;
    draw.lineCap = "round";
    draw.lineWidth = size * 0.15;
    [0.28, 0.68, 1, 0.6, 0.26].forEach((part, index) => {
      const moved = part * (0.55 + this._level * (0.9 + 0.5 * Math.sin(this._angle * 9 + index * 1.9)));
      const x = (index - 2) * size * 0.36;
      draw.beginPath();
      draw.moveTo(x, -moved * size * 0.8);
      draw.lineTo(x, moved * size * 0.8);
      draw.stroke();
    });
  }

  /** Arcs on their way around. @param {number} radius */
  _orbits(radius) {
    const draw = this._context;
    draw.lineCap = "round";
    for (let ring = 0; ring < 3; ring++) {
      const r = radius * (1.2 - 0.26 * ring);
      const from = this._angle * (1.5 - 0.35 * ring) * (ring % 2 ? -1 : 1) + ring;
      draw.lineWidth = Math.max(2, radius * 0.045);
      draw.strokeStyle = this._accent;
      draw.globalAlpha = 0.12;
      draw.beginPath();
      draw.arc(0, 0, r, 0, Math.PI * 2);
      draw.stroke();
      draw.globalAlpha = this.mood === "waiting" ? 0.5 : 0.95 - 0.25 * ring;
      draw.beginPath();
      draw.arc(0, 0, r, from, from + 1.5 - 0.25 * ring);
      draw.stroke();
    }
  }

  /** @param {number} radius */
  _muted(radius) {
    const draw = this._context;
    draw.globalAlpha = 0.1;
    draw.fillStyle = this._dim;
    draw.beginPath();
    draw.arc(0, 0, radius * 1.1, 0, Math.PI * 2);
    draw.fill();
    draw.globalAlpha = 0.7;
    draw.strokeStyle = this._dim;
    draw.lineWidth = Math.max(1.5, radius * 0.015);
    draw.stroke();
    this._bars(radius * 0.42, this._dim);
    draw.lineWidth = radius * 0.063;
    for (const [colour, shift] of /** @type {[string, number][]} */ ([[this._ground, radius * 0.09], [this._dim, 0]])) {
      draw.strokeStyle = colour;
      draw.beginPath();
      draw.moveTo(-radius * 0.4 + shift, -radius * 0.4);
      draw.lineTo(radius * 0.4 + shift, radius * 0.4);
      draw.stroke();
    }
  }
}
