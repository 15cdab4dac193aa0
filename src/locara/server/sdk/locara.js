/**
 * Locara in the browser: `import { voice } from "/sdk/locara.js"`. The door; what is behind it is in the other files.
 *
 *     const session = voice.session({ stt, llm, tts });      // or { omni }, or nothing: what runs best there
 *     const events = session.events();
 *     button.onclick = async () => {
 *       await session.start();
 *       for await (const event of events) console.log(event.type, event.text ?? "");
 *     };
 */

import { Connection } from "./connection.js";
import { knownToken } from "./launch.js";
import { Session } from "./session.js";

export { LocaraError } from "./errors.js";
export { keepToken, knownToken, launch } from "./launch.js";
export { Session } from "./session.js";

export const voice = {
  /** A conversation, not started yet. @param {import("./locara.js").SessionOptions} [options] @returns {Session} */
  session: (options) => new Session(options),

  /**
   * The models that a server has, without a conversation.
   * @param {{url?: string, token?: string, task?: string}} [options]
   * @returns {Promise<import("./locara.js").Model[]>}
   */
  models: async ({ url = new URL(import.meta.url).origin, token = knownToken(), task } = {}) => {
    const connection = await Connection.open(url, token);
    try {
      return (await connection.request("models.list", task ? { task } : {})).models;
    } finally {
      connection.close();
    }
  },
};
