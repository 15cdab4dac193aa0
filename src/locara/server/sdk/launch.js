/**
 * How a page that `locara serve` opened comes to its token. What may live here: the one-time code and where the token is
 * kept. It is never in an address after that, and in no cookie: those are sent from other ports of this machine, too.
 */

import { fromWire, LocaraError } from "./errors.js";

const KEPT = "locara.token";

/** The token that this tab has, or "". */
export function knownToken() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return ""; // storage is switched off in this browser
  }
}

/** @param {string} token for this tab, until it is closed; "" forgets it */
export function keepToken(token) {
  try {
    if (token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // Then it lives as long as the page.
  }
}

/**
 * Trades the code in the address (`#code=...`) for the token, and takes it out of the address.
 * @returns {Promise<string>} the token; "" where there is neither a code nor a token
 * @throws {LocaraError} `code-refused`: it was used, or is too old
 */
export async function launch() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return knownToken();
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch("/code", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
    signal: AbortSignal.timeout(5000),
  }).catch(() => null);
  if (answer?.ok) {
    const { token } = await answer.json();
    keepToken(token);
    return token;
  }
  // The address of a reload or a second tab: its code is used up, but this tab may know the token from before.
  if (knownToken()) return knownToken();
  if (answer) throw fromWire((await answer.json().catch(() => ({}))).error);
  throw new LocaraError("The server does not answer.", { code: "no-server", hint: "Is it running? locara serve" });
}
