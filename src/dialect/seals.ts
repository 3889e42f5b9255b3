/**
 * Seals on a wire that is not their maker's: behind a prefix that says whose they are, so that nothing has to be remembered
 * between two turns. Back they go without it, to their maker, byte for byte; to nobody else.
 */

import type { Maker, Seal } from './conversation.ts';

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
  const found = PREFIX.exec(data);
  const maker = found?.[1];
  if (found === null || !isMaker(maker)) return { maker: native, data };
  return { maker, data: data.slice(found[0].length) };
}

/** As it stands on a wire whose own seals are `native`'s. */
export function sealText(native: Maker, { maker, data }: Seal): string {
  return maker === native ? data : `sluice.${maker}.${data}`;
}
