import { TRANSPORT } from './gateway.ts';
import { markdownTable, textOf } from './source-tree.ts';

/** What undici does otherwise, as the documentation tells it: the one table, which tests read. */
const STATED = markdownTable(textOf('docs/configuration.md'), ['what', 'undici']) ?? [];

/**
 * Whether the gateways of this run are excepted from a claim.
 * @param what the first cell of a row
 * @throws Error when there is no such row: what is not stated is no exception
 */
export function isExcepted(what: string): boolean {
  if (!STATED.some(([cell]) => cell === what)) throw new Error(`No stated exception: ${what}`);
  return TRANSPORT === 'undici';
}
