/**
 * The keyboard. What may live here: which key does what, and where it does not because something is being typed.
 */

/**
 * @typedef {object} Actions
 * @property {() => void} mute
 * @property {() => void} press
 * @property {() => void} release
 * @property {() => void} interrupt
 * @property {() => void} type
 */

/** @param {Actions} actions @param {() => boolean} active whether a conversation runs */
export function listenToKeys(actions, active) {
  let held = false;
  document.addEventListener("keydown", (event) => {
    if (!active() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return actions.interrupt(); // also while something is being typed
    if (typing(event.target)) return;
    if (event.key === "m" || event.key === "M") return event.repeat ? undefined : actions.mute();
    if (event.key === "/") {
      event.preventDefault();
      return actions.type();
    }
    if (event.code !== "Space" || onButton(event.target)) return;
    event.preventDefault(); // the page would scroll
    if (!event.repeat) {
      held = true;
      actions.press();
    }
  });
  const up = () => {
    if (held) actions.release();
    held = false;
  };
  document.addEventListener("keyup", (event) => {
    if (event.code === "Space") up();
  });
  // Whoever leaves the window lets go of the key somewhere else.
  window.addEventListener("blur", up);
}

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof Element && target.closest("input, textarea, select") !== null;
}

/** @param {EventTarget | null} target */
function onButton(target) {
  return target instanceof Element && target.closest("button, a") !== null;
}

/** A button that acts while it is held, by finger, mouse, Space or Enter. @param {HTMLElement} button @param {() => void} press
 *  @param {() => void} release */
export function holdable(button, press, release) {
  let held = false;
  const down = () => {
    if (!held) press();
    held = true;
  };
  const up = () => {
    if (held) release();
    held = false;
  };
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    down();
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(kind, up);
  button.addEventListener("keydown", (event) => {
    if (event.code === "Space" || event.key === "Enter") {
      event.preventDefault();
      down();
    }
  });
  button.addEventListener("keyup", (event) => {
    if (event.code === "Space" || event.key === "Enter") up();
  });
}
