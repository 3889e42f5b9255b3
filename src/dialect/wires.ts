/** The wires that can be translated into each other. */
export type Wire = 'openai-chat' | 'anthropic-messages';

/** What providers of a dialect are asked in, and their callers ask in, where a request can be translated. */
export const WIRES: Readonly<Record<'openai' | 'anthropic', Wire>> = {
  openai: 'openai-chat',
  anthropic: 'anthropic-messages',
};
