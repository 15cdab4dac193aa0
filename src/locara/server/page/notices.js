/**
 * What went wrong, as a person can read it: a sentence and the next step. What may live here: the list of notices.
 */

/** Notices at once; older ones go. */
const MOST = 3;

/** @typedef {{code: string, message: string, hint?: string, calm?: boolean}} Told */

export class Notices {
  /** @param {HTMLElement} list */
  constructor(list) {
    this._list = list;
  }

  /** @param {Told} told one at a time of each code */
  show(told) {
    this.clear(told.code);
    const notice = document.createElement("div");
    notice.className = told.calm ? "notice" : "notice alarm";
    notice.dataset.code = told.code;
    const message = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = told.message;
    message.append(strong);
    const close = document.createElement("button");
    close.className = "icon";
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.textContent = "×";
    close.onclick = () => notice.remove();
    notice.append(message, close);
    if (told.hint) {
      const hint = document.createElement("p");
      hint.textContent = told.hint;
      notice.append(hint);
    }
    this._list.append(notice);
    while (this._list.children.length > MOST) this._list.firstElementChild?.remove();
  }

  /** @param {string} [code] all without one */
  clear(code) {
    for (const notice of [...this._list.children]) {
      if (code === undefined || (notice instanceof HTMLElement && notice.dataset.code === code)) notice.remove();
    }
  }
}
