/** The wires that a caller may ask in, and be answered in. */
export type CallerWire = 'openai-chat' | 'anthropic-messages';

/** The wires that a request can be written for. */
export type TargetWire = CallerWire | 'gemini' | 'ollama';

/** What callers of a dialect ask in, where a request can be translated. */
export const WIRES: Readonly<Record<'openai' | 'anthropic', CallerWire>> = {
  openai: 'openai-chat',
  anthropic: 'anthropic-messages',
};
