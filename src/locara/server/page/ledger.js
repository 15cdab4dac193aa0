/**
 * Where the time of an answer went, as a small picture. What may live here: the drawing of one ledger and of the last ones.
 */

/** The parts of the ledger, in the order in which they pass, and what a person calls them. */
const PARTS = {
  endpoint: "knowing you are done",
  stt: "understanding",
  llm_first_token: "thinking",
  clause: "first clause",
  tts_first_chunk: "voice",
  queue: "waiting",
  output: "output",
};
/** Answers that are drawn beside the last one. */
const PAST = 16;
/** Milliseconds below which a part is not named: it cannot be seen. */
const SEEN = 1;

const SVG = "http://www.w3.org/2000/svg";

export class Ledger {
  /** @param {HTMLElement} section */
  constructor(section) {
    this._section = section;
    this._total = /** @type {HTMLElement} */ (section.querySelector("#latency-total"));
    this._picture = /** @type {HTMLElement} */ (section.querySelector("#latency-picture"));
    this._parts = /** @type {HTMLElement} */ (section.querySelector("#latency-parts"));
    /** @type {number[]} */
    this._past = [];
  }

  clear() {
    this._past = [];
    this._section.hidden = true;
  }

  /** @param {Record<string, number>} latency of a turn-end, in seconds */
  take(latency) {
    const parts = Object.keys(PARTS).map((name) => ({
      name: PARTS[/** @type {keyof typeof PARTS} */ (name)],
      ms: Math.round((latency[name] ?? 0) * 1000),
    }));
    const total = parts.reduce((sum, part) => sum + part.ms, 0);
    this._past = [...this._past, total].slice(-PAST);
    this._section.hidden = false;
    this._total.textContent = `${total} ms`;
    this._picture.replaceChildren(this._draw(parts, total));
    this._parts.replaceChildren(...parts.map((part, index) => named(part, index)).filter((item) => item !== null));
  }

  /** @param {{name: string, ms: number}[]} parts @param {number} total */
  _draw(parts, total) {
    const svg = element("svg", { viewBox: "0 0 400 44", role: "img" });
    const told = parts.filter((part) => part.ms >= SEEN).map((part) => `${part.name} ${part.ms} ms`);
    svg.setAttribute("aria-label", `The answer came after ${total} ms: ${told.join(", ")}`);
    let x = 0;
    parts.forEach((part, index) => {
      const width = total > 0 ? (part.ms / total) * 400 : 0;
      if (width < 0.5) return;
      const bar = element("rect", { x, y: 0, width: Math.max(0.5, width - 1.5), height: 16, rx: 3 });
      bar.setAttribute("class", `share shade-${index}`);
      const title = element("title", {});
      title.textContent = `${part.name}: ${part.ms} ms`;
      bar.append(title);
      svg.append(bar);
      x += width;
    });
    if (this._past.length < 2) {
      svg.setAttribute("viewBox", "0 0 400 18");
      return svg;
    }
    const most = Math.max(...this._past, 1);
    this._past.forEach((ms, index) => {
      const height = Math.max(2, (ms / most) * 20);
      const at = index * 12;
      const bar = element("rect", { x: at, y: 44 - height, width: 8, height, rx: 2 });
      bar.setAttribute("class", index === this._past.length - 1 ? "past now" : "past");
      const title = element("title", {});
      title.textContent = `${ms} ms`;
      bar.append(title);
      svg.append(bar);
    });
    return svg;
  }
}

/** @param {{name: string, ms: number}} part @param {number} index @returns {HTMLElement | null} */
function named(part, index) {
  if (part.ms < SEEN) return null;
  const item = document.createElement("li");
  const colour = document.createElement("i");
  colour.className = `shade-${index}`;
  item.append(colour, `${part.name} ${part.ms} ms`);
  return item;
}

/** @param {string} name @param {Record<string, string | number>} attributes @returns {SVGElement} */
function element(name, attributes) {
  const made = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
