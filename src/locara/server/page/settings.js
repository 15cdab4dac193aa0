/**
 * What a person has chosen, and the dialog for it. What may live here: choices, kept in this browser; the page applies them.
 */

const KEPT = "locara.settings";

/**
 * @typedef {object} Choices
 * @property {"quick" | "normal" | "patient"} patience
 * @property {"open" | "push-to-talk"} attention
 * @property {string} stt "" is what runs best here
 * @property {string} llm
 * @property {string} tts
 * @property {string} input id of a microphone, "" is the default
 * @property {string} output id of a speaker, "" is the default
 * @property {boolean} otherSpeaker
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {"" | "dark" | "light"} theme
 */

/** @typedef {{id: string, name: string}} Device */
/** @typedef {{id: string, task: string, status: string, installed: boolean, why?: string}} Model */

/** @type {Choices} */
const DEFAULTS = {
  patience: "normal",
  attention: "open",
  stt: "",
  llm: "",
  tts: "",
  input: "",
  output: "",
  otherSpeaker: false,
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  theme: "",
};

/** @returns {Choices} */
export function kept() {
  /** @type {Record<string, unknown>} */
  let known = {};
  try {
    known = JSON.parse(localStorage.getItem(KEPT) ?? "{}") ?? {};
  } catch {
    // Switched off, or not ours: the defaults.
  }
  const choices = /** @type {Record<string, unknown>} */ ({ ...DEFAULTS });
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (typeof known[name] === typeof value) choices[name] = known[name];
  }
  return /** @type {Choices} */ (/** @type {unknown} */ (choices));
}

/** @param {Choices} choices */
export function keep(choices) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(choices));
  } catch {
    // Then they hold until the page is closed.
  }
}

/** @param {Choices} choices */
export function applyTheme(choices) {
  if (choices.theme) document.documentElement.dataset.theme = choices.theme;
  else delete document.documentElement.dataset.theme;
}

export class Settings {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this._dialog = dialog;
    this._form = /** @type {HTMLFormElement} */ (dialog.querySelector("form"));
    this.choices = kept();
    /** @type {(now: Choices, before: Choices) => void} */
    this.onchange = () => {};
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "apply") this._apply();
    });
  }

  /**
   * @param {{models: Model[], inputs: Device[], outputs: Device[] | null, running: boolean, why: string}} known `outputs`:
   *     null where the conversation may not choose one. `why`: why there are no models to choose from
   */
  open(known) {
    for (const task of ["stt", "llm", "tts"]) {
      const models = known.models.filter((model) => model.task === task);
      const chosen = String(this._choice(task));
      this._fill(task, [["", "What runs best here"], ...models.map(option)], chosen);
      for (const entry of this._select(task).options) {
        entry.disabled = models.some((model) => model.id === entry.value && !model.installed);
      }
    }
    this._text("settings-models", known.why || "Others can be fetched with locara models pull NAME.");
    this._fill("input", [["", "The default one"], ...named(known.inputs, "Microphone")], this.choices.input);
    this._fill("output", [["", "The default one"], ...named(known.outputs ?? [], "Speaker")], this.choices.output);
    this._select("output").disabled = known.outputs === null;
    for (const name of ["patience", "attention", "theme"]) this._select(name).value = String(this._choice(name));
    for (const box of this._form.querySelectorAll("input[type=checkbox]")) {
      const input = /** @type {HTMLInputElement} */ (box);
      input.checked = Boolean(this._choice(input.name));
    }
    this._text("settings-note", known.running ? "What changes the microphone's sound holds from the next conversation on." : "");
    this._dialog.returnValue = "";
    this._dialog.showModal();
  }

  _apply() {
    const data = new FormData(this._form);
    const before = this.choices;
    const now = /** @type {Record<string, unknown>} */ ({ ...before });
    for (const name of Object.keys(DEFAULTS)) {
      const control = this._form.elements.namedItem(name);
      if (control instanceof HTMLInputElement) now[name] = control.checked;
      else if (control instanceof HTMLSelectElement && !control.disabled) now[name] = String(data.get(name) ?? "");
    }
    this.choices = /** @type {Choices} */ (/** @type {unknown} */ (now));
    keep(this.choices);
    this.onchange(this.choices, before);
  }

  /** @param {string} name */
  _choice(name) {
    return this.choices[/** @type {keyof Choices} */ (name)];
  }

  /** @param {string} name @returns {HTMLSelectElement} */
  _select(name) {
    return /** @type {HTMLSelectElement} */ (this._form.elements.namedItem(name));
  }

  /** @param {string} name @param {string[][]} options value and label @param {string} chosen */
  _fill(name, options, chosen) {
    const select = this._select(name);
    // What was chosen before stays to be seen, also where it is not there now.
    const all = options.some(([value]) => value === chosen) ? options : [...options, [chosen, `${chosen} (not here now)`]];
    select.replaceChildren(...all.map(([value, label]) => new Option(label, value, false, value === chosen)));
  }

  /** @param {string} id @param {string} text */
  _text(id, text) {
    const element = document.getElementById(id);
    if (element) element.textContent = text;
  }
}

/** @param {Model} model @returns {string[]} */
function option(model) {
  const why = model.installed ? "" : " — not on this machine";
  return [model.id, `${model.id}${model.status === "experimental" ? " (experimental)" : ""}${why}`];
}

/** A browser names devices only once the microphone was allowed. @param {Device[]} devices @param {string} kind */
function named(devices, kind) {
  return devices
    .filter((device) => device.id !== "" && device.id !== "default")
    .map((device, index) => [device.id, device.name || `${kind} ${index + 1}`]);
}
