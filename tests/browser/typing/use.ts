/** An app in TypeScript: the declarations say what docs/page.md shows, and what the sources are. */
import { launch, LocaraError, voice, type Session } from "/sdk/locara.js";
import { Session as Real } from "/sdk/session.js";

const declared: Session = new Real({}); // what is declared is there, with these types

async function talk(button: HTMLButtonElement): Promise<string> {
  const session = voice.session({
    token: await launch(),
    llm: { model: "built-in", system: "Answer in one sentence." },
    tts: "espeak-ng",
    tools: [{ name: "add", description: "Adds.", run: ({ a, b }) => a + b }],
    onConsent: async (question, withdrawn) => (withdrawn.aborted ? null : confirm(question.why) ? "once" : "deny"),
  });
  button.onpointerdown = () => void session.pushToTalk.press();
  try {
    await session.start();
  } catch (error) {
    if (error instanceof LocaraError) return `${error.code}: ${error.hint}`;
    throw error;
  }
  for await (const event of session.events()) {
    if (event.type === "barge-in") return event.unheard_text;
    if (event.type === "turn-end" && event.latency) console.log(event.latency.endpoint);
  }
  for await (const block of session.rawInput()) return String(block.length / session.inputRate);
  // @ts-expect-error  there is no such event
  for await (const event of session.events()) if (event.type === "nothing") break;
  return session.ended;
}

export { declared, talk };
