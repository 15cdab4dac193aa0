/**
 * The question whether an app may listen or speak. What may live here: one dialog; the answer is the person's.
 */

/** What each capability lets an app do, in words. */
const MAY = {
  "device.microphone": "listen to your microphone",
  "device.speaker": "play sound on your speaker",
  "device.speaker.select": "choose another speaker than the default one",
};

/** @typedef {import("../sdk/locara.js").Question} Question */
/** @typedef {import("../sdk/locara.js").Answer} Answer */

export class Consent {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this._dialog = dialog;
    /** @type {Promise<unknown>} */
    this._last = Promise.resolve();
  }

  /**
   * One question after the other.
   * @param {Question} question
   * @param {AbortSignal} withdrawn when it needs no answer any more
   * @returns {Promise<Answer | null>} null: no answer
   */
  ask(question, withdrawn) {
    const asked = this._last.then(() => (withdrawn.aborted ? null : this._ask(question, withdrawn)));
    this._last = asked.catch(() => null);
    return asked;
  }

  /** @param {Question} question @param {AbortSignal} withdrawn @returns {Promise<Answer | null>} */
  _ask(question, withdrawn) {
    const may = MAY[/** @type {keyof typeof MAY} */ (question.capability)] ?? `use ${question.capability}`;
    this._text("consent-app", `${question.name} ${question.version} · ${question.app}`);
    this._text("consent-title", `May ${question.name} ${may}?`);
    // An app's own reason; or, where it gave none, what its manifest says it is for.
    const purpose = question.why.match(/^follows from (.+)$/)?.[1];
    this._text("consent-why", purpose ? `Its manifest says: ${purpose}.` : question.why ? `Why: ${question.why}.` : "");
    this._text(
      "consent-note",
      question.update
        ? "An update of this app asks for more than the version that you allowed."
        : "“Once” holds until the server stops. You can take it back at any time: locara grants revoke.",
    );
    const dialog = this._dialog;
    const before = document.activeElement;
    dialog.returnValue = "";
    dialog.showModal(); // keeps the focus inside, and Escape closes it without an answer
    document.getElementById("consent-once")?.focus();
    withdrawn.addEventListener("abort", () => dialog.close(""), { once: true });
    return new Promise((resolve) => {
      dialog.addEventListener(
        "close",
        () => {
          if (before instanceof HTMLElement) before.focus();
          const answer = dialog.returnValue;
          resolve(answer === "once" || answer === "always" || answer === "deny" ? answer : null);
        },
        { once: true },
      );
    });
  }

  /** @param {string} id @param {string} text */
  _text(id, text) {
    const element = document.getElementById(id);
    if (element) element.textContent = text;
  }
}
