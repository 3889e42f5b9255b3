/** The wires that a caller may ask in, and be answered in. */
export type CallerWire = 'openai-chat' | 'openai-responses' | 'anthropic-messages';

/** The wires that a request can be written for. */
export type TargetWire = 'openai-chat' | 'anthropic-messages' | 'gemini' | 'ollama';

/** Its streams are lines of JSON, and no events. */
export function streamsLines(wire: TargetWire): boolean {
  return wire === 'ollama';
}

/** What a request that can be written anew is written in: a conversation, or texts to be made vectors of, as OpenAI has them. */
export type AskedWire = CallerWire | 'openai-embeddings';

/** What its answer's errors are told in. */
export function tellingWire(asked: AskedWire): CallerWire {
  return asked === 'openai-embeddings' ? 'openai-chat' : asked;
}

/** What both sides of a dialect know: callers may ask in it, and providers can be asked in it. */
export const WIRES: Readonly<Record<'openai' | 'anthropic', CallerWire & TargetWire>> = {
  openai: 'openai-chat',
  anthropic: 'anthropic-messages',
};

/** What of a provider says in which wire it is asked by callers of another one. */
interface AskedProvider {
  readonly dialect: 'openai' | 'anthropic';
  readonly nativeWire: { readonly wire: TargetWire } | null;
}

/** The wire that a request is written in for a provider, where its caller's is another one. */
export function wireTo({ dialect, nativeWire }: AskedProvider): TargetWire {
  return nativeWire?.wire ?? WIRES[dialect];
}

/** @returns null where the provider speaks the caller's own wire: then its request goes as it came */
export function writtenWire(
  asked: AskedWire,
  provider: AskedProvider & { readonly wires: readonly CallerWire[] },
): TargetWire | null {
  // Whoever has OpenAI's chat has its embeddings beside it.
  return provider.wires.includes(tellingWire(asked)) ? null : wireTo(provider);
}
