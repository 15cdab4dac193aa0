/** Locara in the browser. The same shape as `locara.voice` in Python; names are in the case of this language. */

/** A model's name, or its name with options. */
export type Stage = string | ({ model: string } & Record<string, unknown>);

export type Answer = "once" | "always" | "deny";

/** Whether an app may use a device: asked of a person. */
export interface Question {
  question: string;
  /** The app's id, name and version, as its manifest says. */
  app: string;
  name: string;
  version: string;
  capability: "device.microphone" | "device.speaker" | "device.speaker.select";
  /** The app's reason. */
  why: string;
  /** The app was allowed in an earlier version, which did not ask for this. */
  update: boolean;
}

/** A tool that runs in the browser. */
export interface Tool {
  name: string;
  description: string;
  /** JSON Schema of the arguments; left out: none. */
  parameters?: Record<string, unknown>;
  /** Default true: it then runs only for a turn that is decided. */
  sideEffects?: boolean;
  run(given: Record<string, any>): unknown;
}

export interface SessionOptions {
  /** Of the server; left out: where this file came from. */
  url?: string;
  /** Left out: the one that `launch()` has got. */
  token?: string;
  /** The text of the app's locara.toml; left out: the app is Locara's own page. */
  manifest?: string;
  stt?: Stage;
  llm?: Stage;
  tts?: Stage;
  /** One model that hears and speaks, instead of the three. */
  omni?: Stage;
  patience?: "quick" | "normal" | "patient";
  attention?: "open" | "push-to-talk";
  /** Seconds of silence of both sides until a `user-idle` event. */
  idle?: number;
  idlePrompt?: string;
  language?: string;
  system?: string;
  tools?: Tool[];
  /** Asked by the server when a person has to allow something. Null or undefined: no answer, and no conversation. */
  onConsent?: (question: Question, withdrawn: AbortSignal) => Promise<Answer | null | undefined> | Answer | null | undefined;
  /** false: none. "required": no conversation without. Default "optional": without it the session takes text. */
  microphone?: boolean | "optional" | "required";
  /** Id of a microphone. */
  input?: string;
  /** Asks for `device.speaker.select`: only then another speaker may be chosen. */
  otherSpeaker?: boolean;
  /** Of the browser; all three are on by default. */
  echoCancellation?: boolean;
  noiseSuppression?: boolean;
  autoGainControl?: boolean;
  /** What the server does about echo. Default "headphones": nothing, because the browser has done it. */
  echo?: "headphones" | "cancel";
  /** `audio-chunk` events with their samples, as base64. */
  audioChunks?: boolean;
}

export interface Status {
  connection: "new" | "connecting" | "open" | "reconnecting" | "closed";
  user: "quiet" | "talking" | "pausing" | "yielded";
  assistant: "idle" | "preparing" | "speaking" | "ducked" | "held";
  muted: boolean;
  microphone: "off" | "asking" | "open" | "denied" | "lost";
}

interface Common {
  /** Seconds on the session's audio clock. */
  t: number;
  turn: number | null;
  /** Events that this consumer lost just before, because it was too slow. */
  dropped?: number;
}

/** Where the time went, in seconds; the sum is the latency from voice to voice. */
export interface Latency {
  endpoint: number;
  stt: number;
  llm_first_token: number;
  clause: number;
  tts_first_chunk: number;
  queue: number;
  output: number;
}

export type Plan = Record<string, Record<string, string>>;

/** See docs/events.md. */
export type LocaraEvent = Common &
  (
    | { type: "session-start"; plan: Plan }
    | { type: "plan-changed"; stages: string[]; plan: Plan }
    | { type: "attention"; state: "attentive" | "waiting"; reason: string; word: string }
    | { type: "user-idle"; seconds: number; count: number }
    | { type: "speech-start" | "speech-end"; probability: number }
    | { type: "partial-transcript"; text: string; revision: number }
    | { type: "final-transcript"; text: string; confidence: number | null }
    | { type: "llm-token"; text: string }
    | { type: "audio-chunk"; samples: number | string; sample_rate: number; text: string }
    | { type: "turn-end"; who: "user" | "assistant"; reason: string; latency: Latency | null; speech_end: number | null }
    | { type: "barge-in"; heard_text: string; unheard_text: string; heard_ms: number }
    | { type: "resume"; paused_ms: number }
    | { type: "tool-call"; name: string; arguments: Record<string, unknown> }
    | { type: "tool-result"; name: string; result: unknown; interrupted: boolean }
    | { type: "rejected"; text: string; reason: string }
    | { type: "device-changed"; device: string; hint: string; kind: string; change: string }
    | { type: "device-silent"; device: string; hint: string }
    | { type: "echo-handling"; mode: string; reason: string; hint: string }
    | { type: "error"; code: string; message: string; stage: string; fatal: boolean; hint: string }
    | { type: "session-end"; reason: string }
  );

export interface Said {
  turn: number;
  role: "user" | "assistant";
  text: string;
  interrupted?: boolean;
  unheard?: string;
}

export interface Model {
  id: string;
  task: "stt" | "llm" | "tts" | "omni" | string;
  status: "works" | "experimental" | "listed" | string;
  installed: boolean;
  why?: string;
}

export interface Device {
  id: string;
  name: string;
}

export class LocaraError extends Error {
  constructor(
    message: string,
    more?: { code?: string; hint?: string; stage?: string; retryAfter?: number | null; cause?: unknown },
  );
  /** Stable across versions. */
  code: string;
  /** What to do next. */
  hint: string;
  stage: string;
  /** Seconds after which it is worth trying again. */
  retryAfter: number | null;
}

export interface PushToTalk {
  readonly held: boolean;
  press(): Promise<void>;
  release(): Promise<void>;
}

/** Told by "played" events of a session (CustomEvent.detail). */
export interface PlayedDetail {
  turn: number;
  /** Seconds of this turn's sound that were played. */
  seconds: number;
  kind: "playing" | "drained" | "flushed";
}

export class Session extends EventTarget {
  constructor(options?: SessionOptions);
  /** Changes are told by "status" events. */
  readonly status: Status;
  readonly levels: Record<"input" | "output", { rms: number; peak: number }>;
  readonly plan: Plan;
  readonly capabilities: Record<string, string>;
  readonly inputRate: number;
  readonly outputRate: number;
  readonly pushToTalk: PushToTalk;
  /** Fulfilled with the reason when the conversation has ended. */
  readonly ended: Promise<string>;
  /** Call it in the handler of a click: a browser starts no sound otherwise. */
  start(): Promise<void>;
  stop(): Promise<void>;
  events(): AsyncIterableIterator<LocaraEvent>;
  rawInput(): AsyncIterableIterator<Float32Array>;
  rawOutput(): AsyncIterableIterator<Float32Array>;
  sendText(text: string): Promise<void>;
  say(text: string): Promise<void>;
  interrupt(): Promise<void>;
  mute(): Promise<void>;
  unmute(): Promise<void>;
  change(stages: { stt?: Stage; llm?: Stage; tts?: Stage }): Promise<Plan>;
  configure(settings: { patience?: string; attention?: string }): Promise<void>;
  history(): Promise<Said[]>;
  metrics(): Promise<Record<string, number>>;
  models(task?: string): Promise<Model[]>;
  inputs(): Promise<Device[]>;
  setInput(device: string): Promise<void>;
  outputs(): Promise<Device[]>;
  setOutput(device: string): Promise<void>;
}

export const voice: {
  session(options?: SessionOptions): Session;
  models(options?: { url?: string; token?: string; task?: string }): Promise<Model[]>;
};

/** Trades the one-time code in the page's address for the token, which this tab then keeps. "": there is none. */
export function launch(): Promise<string>;
export function keepToken(token: string): void;
export function knownToken(): string;
