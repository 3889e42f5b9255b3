import type { Target } from '../plan/route-table.ts';
import type { ContinuationWay } from '../wire/continued-request.ts';
import type { StreamWire } from '../wire/first-content.ts';
import type { ContinuedWire } from '../wire/text-events.ts';

/** How a target goes on with an answer that another one began. */
export interface Continuation {
  readonly way: ContinuationWay;
  /** What its path begins with for it, where that is another one than ever; else null. */
  readonly prefix: string | null;
  /** It tells what it was given once more, in front of its own text. */
  readonly echoes: boolean;
}

const PREFILL: Continuation = { way: 'prefill', prefix: null, echoes: false };
const FINAL_MESSAGE: Continuation = { way: 'final_message', prefix: null, echoes: false };

/** Vendors that take `prefix` (docs.mistral.ai/capabilities/completion/prefix, api-docs.deepseek.com/guides/chat_prefix_completion). */
const PREFIX: ReadonlyMap<string, Continuation> = new Map([
  ['mistral', { way: 'prefix', prefix: null, echoes: true }],
  ['deepseek', { way: 'prefix', prefix: '/beta', echoes: false }],
]);

/** Answers on this wire can be gone on with. */
export function isContinuedWire(wire: StreamWire): wire is ContinuedWire {
  return wire === 'openai-chat' || wire === 'anthropic-messages';
}

/**
 * @param says of its model, whether it goes on; null = nobody says. Claude's newest models refuse what is a prefill, and so
 *   does whoever thinks first: on Anthropic's wire it has to be said
 * @returns null where it does not, or that is not known
 */
export function continuationAt(
  { provider }: Target,
  wire: ContinuedWire,
  says: boolean | null,
): Continuation | null {
  // It goes on in the words of the wire that it was begun in.
  if (says === false || !provider.wires.includes(wire)) return null;
  if (wire === 'anthropic-messages') return says === true ? PREFILL : null;
  return PREFIX.get(provider.name) ?? (says === true ? FINAL_MESSAGE : null);
}
