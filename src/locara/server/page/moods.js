/**
 * What the page says about itself, in a word and a sentence. What may live here: the decision, as a pure function.
 */

/** @typedef {import("../sdk/locara.js").Status} Status */
/** @typedef {{title: string, hint: string, mood: import("./orb.js").Mood, urgent: boolean}} Shown */
/** @typedef {"before" | "starting" | "running" | "ended"} Phase */

/**
 * @param {Phase} phase
 * @param {Status} status of the session
 * @param {{holds: boolean, pushToTalk: boolean}} key whether it is held, and whether only it opens a turn
 * @returns {Shown} `urgent`: worth being read aloud by a screen reader
 */
export function shown(phase, status, key) {
  if (phase === "before") return say("Ready", "Talk with your computer. Every model runs on it.", "ready");
  if (phase === "ended") return say("Ended", "The microphone is off.", "ready", true);
  if (status.microphone === "asking") {
    return say("May it listen?", "Your browser asks whether this page may use the microphone.", "waiting", true);
  }
  if (phase === "starting") return say("Getting ready", "Models are loaded and warmed up.", "starting", true);
  if (status.connection === "reconnecting") {
    return say("Reconnecting", "The conversation waits where it is.", "waiting", true);
  }
  if (status.assistant === "speaking" || status.assistant === "ducked") {
    return say("Speaking", "Just speak to interrupt.", "speaking");
  }
  if (status.assistant === "held") return say("Listening", "It has stopped to hear you.", "hearing");
  if (status.muted) return say("Muted", "It hears nothing. Press M to be heard again.", "muted", true);
  if (status.user === "talking" || key.holds) return say("Listening", "It hears you.", "hearing");
  if (status.user === "yielded" || status.assistant === "preparing") return say("Thinking", "", "thinking");
  if (status.microphone === "denied" || status.microphone === "lost") {
    return say("No microphone", "Type, and it answers aloud.", "muted", true);
  }
  if (key.pushToTalk) return say("Hold to talk", "It listens while you hold the key.", "ready");
  return say("Listening", status.user === "pausing" ? "Take your time." : "Say something.", "listening");
}

/** @param {string} title @param {string} hint @param {Shown["mood"]} mood @param {boolean} [urgent] @returns {Shown} */
function say(title, hint, mood, urgent = false) {
  return { title, hint, mood, urgent };
}
