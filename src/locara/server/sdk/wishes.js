/**
 * What an app asks for, as the server wants to hear it. What may live here: names of options on both sides, nothing else.
 */

/**
 * @param {import("./locara.js").SessionOptions} options
 * @param {number} inputRate hertz
 * @param {number} outputRate hertz
 * @returns {Record<string, unknown>} the params of `voice.session_start`; what was left out stays out
 */
export function startParams(options, inputRate, outputRate) {
  const { manifest, stt, llm, tts, omni, patience, attention, idle, language, system, echo } = options;
  const params = {
    manifest, stt, llm, tts, omni, patience, attention, idle, language, system,
    idle_prompt: options.idlePrompt,
    tools: options.tools?.map((tool) => ({
      name: tool.name,
      description: tool.description,
      parameters: tool.parameters ?? { type: "object", properties: {} },
      side_effects: tool.sideEffects ?? true,
    })),
    input_rate: inputRate,
    output_rate: outputRate,
    reports: true, // what was really played is told all the time, see Session._report
    // The browser takes its own echo out of what it hears; only where that is switched off has the server to.
    echo: echo ?? (options.echoCancellation === false ? "cancel" : "headphones"),
    other_speaker: options.otherSpeaker || undefined,
    audio_chunks: options.audioChunks || undefined,
  };
  return Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined));
}
