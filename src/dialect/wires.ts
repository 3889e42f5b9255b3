/** The wires that a caller may ask in, and be answered in. */
export type CallerWire = 'openai-chat' | 'openai-responses' | 'anthropic-messages';

/** The wires that a request can be written for. */
export type TargetWire = 'openai-chat' | 'anthropic-messages' | 'gemini' | 'ollama';

/** What both sides of a dialect know: callers may ask in it, and providers can be asked in it. */
export const WIRES: Readonly<Record<'openai' | 'anthropic', CallerWire & TargetWire>> = {
  openai: 'openai-chat',
  anthropic: 'anthropic-messages',
};
