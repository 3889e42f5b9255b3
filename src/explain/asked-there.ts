/** What an explained request asks, as far as its path or its body tells. */

import { parsedObject } from '../dialect/json-values.ts';
import type { Refusal } from '../dialect/losses.ts';
import { type ReadAsked, ReadRequest, readAsked } from '../dialect/translate.ts';
import { type AskedWire, WIRES } from '../dialect/wires.ts';

/** Which wire a request is written in, and whether its tokens are only counted. */
export interface AskedThere {
  readonly wire: AskedWire;
  readonly isCount: boolean;
}

/** By how a path ends. */
const ASKED_AT: Readonly<Record<string, AskedThere>> = {
  '/chat/completions': { wire: 'openai-chat', isCount: false },
  '/responses': { wire: 'openai-responses', isCount: false },
  '/messages': { wire: 'anthropic-messages', isCount: false },
  '/messages/count_tokens': { wire: 'anthropic-messages', isCount: true },
  '/embeddings': { wire: 'openai-embeddings', isCount: false },
};

/** How the paths end that requests can be explained for. */
export const ASKED_PATHS: readonly string[] = Object.keys(ASKED_AT);

/** @returns null: nothing is known of it */
export function askedAt(path: string): AskedThere | null {
  const end = ASKED_PATHS.find((one) => path.endsWith(one));
  return end === undefined ? null : (ASKED_AT[end] ?? null);
}

/** What only vectors are asked with. */
const OF_VECTORS = ['encoding_format', 'dimensions'] as const;

/**
 * By its path, else by its body: OpenAI's Responses and embeddings say `input` where a chat has `messages`, vectors are made of
 * texts and tokens where a response has items, and who has tokens counted says no limit.
 */
export function askedIn(
  dialect: 'openai' | 'anthropic',
  content: Buffer | null,
  path: string | null,
): AskedThere {
  const told = path === null ? null : askedAt(path);
  if (told !== null) return told;
  const own = { wire: WIRES[dialect], isCount: false };
  if (content === null) return own;
  const body = parsedObject(content.toString()) ?? {};
  const { input, messages, max_tokens: limit } = body;
  if (dialect === 'anthropic') return { ...own, isCount: limit === undefined };
  if (input === undefined || messages !== undefined) return own;
  const isOfTexts = Array.isArray(input) && input.every((one) => typeof one !== 'object');
  const isOfTokens = Array.isArray(input) && input.some(Array.isArray);
  const isOfVectors = OF_VECTORS.some((name) => body[name] !== undefined);
  const isEmbeddings = isOfVectors || ((isOfTexts || isOfTokens) && input.length > 0);
  return { wire: isEmbeddings ? 'openai-embeddings' : 'openai-responses', isCount: false };
}

/** @returns why it is none of its wire */
export function readAs({ wire, isCount }: AskedThere, body: Buffer): ReadAsked | Refusal {
  return isCount ? ReadRequest.ofCount(body) : readAsked(wire, body);
}
