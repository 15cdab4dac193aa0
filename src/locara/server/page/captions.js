/**
 * What was said, live: your words as they are understood, the answer as it is heard. What may live here: the log of turns.
 *
 * Of an answer, words that were heard are plain, words still to come are dim, words that will never be heard are struck.
 */

/** Turns that stay on the page. */
const KEPT = 200;
/** Pixels from the end of the log within which it follows what is new. */
const NEAR = 80;

/** Why something that sounded like speech was not answered. */
const REJECTED = {
  backchannel: "taken for listening along",
  echo: "its own echo",
  "no-speech": "not surely a voice",
  hallucination: "not surely words",
  muted: "muted",
};

/** @typedef {{text: string, samples: number}} Chunk */

class Turn {
  /** @param {number | null} number */
  constructor(number) {
    this.item = document.createElement("div");
    this.item.className = "turn";
    if (number !== null) this.item.dataset.turn = String(number);
    /** @type {HTMLElement | null} */
    this.you = null;
    /** @type {HTMLElement | null} */
    this.it = null;
    this.reply = "";
    /** @type {Chunk[]} */
    this.chunks = [];
    this.rate = 24000;
    this.played = 0; // seconds of this turn's sound
    this.over = false;
  }

  /** @param {"you" | "it"} side @returns {HTMLElement} */
  caption(side) {
    const known = this[side];
    if (known) return known;
    const made = document.createElement("p");
    made.className = `caption ${side}`;
    const who = document.createElement("span");
    who.className = "hidden";
    who.textContent = side === "you" ? "You: " : "Assistant: ";
    made.append(who, document.createElement("span"));
    if (side === "you") this.item.prepend(made);
    else this.item.append(made);
    this[side] = made;
    return made;
  }

  /** @param {"you" | "it"} side @returns {HTMLElement} where its words stand */
  words(side) {
    return /** @type {HTMLElement} */ (this.caption(side).lastElementChild);
  }

  /** How many characters of the reply have been heard, as far as the played samples tell. */
  heard() {
    let samples = this.played * this.rate;
    let characters = 0;
    for (const chunk of this.chunks) {
      if (samples <= 0) break;
      characters += chunk.text.length * Math.min(1, samples / Math.max(1, chunk.samples));
      samples -= chunk.samples;
    }
    const spoken = this.chunks.reduce((sum, chunk) => sum + chunk.text.length, 0);
    // What is spoken may be written otherwise ("7" is "seven"): its share counts, not its letters.
    const share = spoken > 0 ? characters / Math.max(spoken, this.reply.trimEnd().length) : 0;
    const until = Math.round(this.reply.length * share);
    const end = this.reply.indexOf(" ", until); // whole words
    return share === 0 ? 0 : end < 0 ? this.reply.length : end;
  }

  draw() {
    const words = this.words("it");
    const until = this.over ? this.reply.length : this.heard();
    const coming = document.createElement("span");
    coming.className = "coming";
    coming.textContent = this.reply.slice(until);
    words.replaceChildren(this.reply.slice(0, until), ...(coming.textContent ? [coming] : []));
  }

  /** @param {string} heard @param {string} unheard */
  cut(heard, unheard) {
    this.over = true;
    const struck = document.createElement("s");
    struck.textContent = unheard;
    const told = document.createElement("span");
    told.className = "hidden";
    told.textContent = " Not heard: ";
    this.words("it").replaceChildren(heard, ...(unheard ? [" ", told, struck] : []));
    // A model that speaks as it thinks has no words left over that could be struck out.
    if (!unheard) this.note("it", "interrupted");
  }

  /** @param {"you" | "it"} side @param {string} why */
  note(side, why) {
    const line = document.createElement("span");
    line.className = "why";
    line.textContent = why;
    this.caption(side).append(line);
  }
}

export class Captions {
  /** @param {HTMLElement} list @param {HTMLElement} empty shown while there is nothing */
  constructor(list, empty) {
    this._list = list;
    this._empty = empty;
    /** @type {Map<number, Turn>} */
    this._turns = new Map();
    this._follows = true; // until a person scrolls up to read
    list.addEventListener("scroll", () => {
      this._follows = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR;
    });
    new ResizeObserver(() => this._follow()).observe(list);
  }

  _follow() {
    if (this._follows) this._list.scrollTop = this._list.scrollHeight;
  }

  clear() {
    this._list.replaceChildren();
    this._turns.clear();
    this._empty.hidden = false;
  }

  /** @param {Record<string, any>} event */
  take(event) {
    this._take(event);
    this._follow();
  }

  /** How far a turn's sound has been played. @param {number} turn @param {number} seconds */
  played(turn, seconds) {
    const known = this._turns.get(turn);
    if (!known || known.over || !known.reply) return;
    known.played = Math.max(known.played, seconds);
    known.draw();
  }

  /** @param {Record<string, any>} event */
  _take(event) {
    switch (event.type) {
      case "partial-transcript":
        return this._said(event, false);
      case "final-transcript":
        return this._said(event, true);
      case "rejected":
        return this._rejected(event);
      case "llm-token": {
        const turn = this._turn(event.turn);
        if (turn.over) return;
        turn.reply += event.text;
        return turn.draw();
      }
      case "audio-chunk": {
        const turn = this._turn(event.turn);
        turn.rate = event.sample_rate;
        const samples = typeof event.samples === "number" ? event.samples : 0;
        turn.chunks.push({ text: event.text, samples });
        return;
      }
      case "barge-in":
        return this._turn(event.turn).cut(event.heard_text, event.unheard_text);
      case "turn-end":
        return this._ended(event);
      case "tool-call":
        return this._aside(event.turn, `uses ${event.name}`);
    }
  }

  /** @param {Record<string, any>} event @param {boolean} final */
  _said(event, final) {
    const turn = this._turn(event.turn);
    turn.words("you").textContent = event.text;
    turn.caption("you").classList.toggle("partial", !final);
    // Screen readers read the words once, when they are settled.
    if (final) turn.item.removeAttribute("aria-busy");
    else turn.item.setAttribute("aria-busy", "true");
  }

  /** @param {Record<string, any>} event */
  _rejected(event) {
    const why = REJECTED[/** @type {keyof typeof REJECTED} */ (event.reason)];
    const known = event.turn === null ? undefined : this._turns.get(event.turn);
    if (!why || !event.text) {
      if (known?.you?.classList.contains("partial")) this._remove(known, event.turn);
      return;
    }
    const turn = this._turn(event.turn);
    turn.words("you").textContent = event.text;
    turn.caption("you").classList.add("partial");
    turn.note("you", why);
    turn.item.removeAttribute("aria-busy");
  }

  /** @param {Record<string, any>} event */
  _ended(event) {
    const turn = this._turns.get(event.turn);
    if (!turn) return;
    turn.item.removeAttribute("aria-busy");
    if (event.who === "user") {
      if (event.reason === "no-words" && turn.you?.classList.contains("partial")) this._remove(turn, event.turn);
      return;
    }
    if (event.reason === "finished" && !turn.over && turn.it) {
      turn.over = true;
      turn.draw();
    } else if (!turn.over && turn.it) {
      const until = turn.heard();
      turn.cut(turn.reply.slice(0, until), turn.reply.slice(until));
      if (event.reason === "failed") turn.note("it", "It could not go on.");
    }
  }

  /** @param {number | null} number @param {string} text */
  _aside(number, text) {
    const line = document.createElement("p");
    line.className = "aside";
    line.textContent = text;
    this._turn(number).item.append(line);
  }

  /** @param {Turn} turn @param {number} number */
  _remove(turn, number) {
    turn.item.remove();
    this._turns.delete(number);
  }

  /** @param {number | null} number @returns {Turn} */
  _turn(number) {
    const known = number === null ? undefined : this._turns.get(number);
    if (known) return known;
    const made = new Turn(number);
    if (number !== null) this._turns.set(number, made);
    this._list.append(made.item);
    this._empty.hidden = true;
    while (this._list.children.length > KEPT) {
      const gone = /** @type {HTMLElement} */ (this._list.firstElementChild);
      gone.remove();
      this._turns.delete(Number(gone.dataset.turn));
    }
    return made;
  }
}
