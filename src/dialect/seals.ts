/**
 * Seals on a wire that is not their maker's: behind a prefix that says whose they are, so that nothing has to be remembered
 * between two turns. Back they go without it, to their maker, byte for byte; to nobody else.
 */

import type { Maker, Seal } from './conversation.ts';

/** What of a provider says whose seals its accounts can open. */
interface Sealer {
  readonly name: string;
  readonly dialect: string;
}

/** Whose seals a provider's models make and can open: Gemini's do so on every wire that it is reached over. */
export function makerAt({ name, dialect }: Sealer): Maker {
  if (dialect === 'anthropic') return 'anthropic';
  return name === 'gemini' || dialect === 'gemini' ? 'gemini' : 'openai';
}

/** Of another maker's seal. */
export const PREFIX = /^sluice\.(anthropic|gemini|openai)\./;

function isMaker(word: string | undefined): word is Maker {
  return word === 'anthropic' || word === 'gemini' || word === 'openai';
}

/**
 * @param native whose seals this wire has by itself
 * @returns null where nothing is sealed
 */
export function sealOf(native: Maker, data: string): Seal | null {
  if (data === '') return null;
  return { maker: makerIn(native, data), data: data.replace(PREFIX, '') };
}

/** @param data of a seal, or its beginning */
export function makerIn(native: Maker, data: string): Maker {
  const maker = PREFIX.exec(data)?.[1];
  return isMaker(maker) ? maker : native;
}

/** As it stands on a wire whose own seals are `native`'s. */
export function sealText(native: Maker, { maker, data }: Seal): string {
  return maker === native ? data : `sluice.${maker}.${data}`;
}
