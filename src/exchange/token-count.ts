/**
 * `POST /v1/messages/count_tokens` where no target of the plan has Anthropic's wire: nobody counts there, and a chat request
 * in its place would cost money. The answer is an estimate of the gateway's own, which errs high and says so.
 */

import { Buffer } from 'node:buffer';
import type { Refusal } from '../dialect/losses.ts';
import { translator } from '../dialect/translator.ts';
import { wireTo } from '../dialect/wires.ts';
import type { TokenRatios } from '../meter/token-ratios.ts';
import { countedTokens } from '../plan/estimate.ts';
import type { Planned } from '../plan/plan.ts';
import type { Planner } from '../plan/planner.ts';
import type { Target } from '../plan/route-table.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { TextCount } from '../wire/text-count.ts';
import { legible } from './routed-trail.ts';

/** @param suffix of the path, behind the prefix of the API */
export function isCount(suffix: string): boolean {
  return suffix === '/messages/count_tokens';
}

/** What a request would be at the target that would get it. */
export interface CountedTokens {
  readonly inputTokens: number;
  readonly target: Target;
}

/** What an estimate goes by. */
export interface CountContext {
  readonly planner: Planner;
  readonly ratios: TokenRatios;
}

/**
 * @param body whole, in Anthropic's wire
 * @param planned in their order: the first that can be asked what it says counts
 * @returns why none can; null where there are none
 */
export function countedAt(
  { planner, ratios }: CountContext,
  body: Buffer,
  planned: readonly Planned[],
): CountedTokens | Refusal | null {
  if (planned.length === 0) return null;
  const read = translator().ReadRequest.ofCount(body);
  if (!('writtenFor' in read)) return read;
  let refusal: Refusal | null = null;
  for (const { target } of planned) {
    const { provider, model } = target;
    const written = read.writtenFor(wireTo(provider), {
      provider: provider.name,
      model,
      asksForUsage: false,
    });
    if ('body' in written) {
      const size = sizeOf(written.body);
      const tokens = countedTokens(size, planner.traits(target), ratios.of(target.name));
      return { inputTokens: tokens, target };
    }
    refusal ??= written;
  }
  return refusal;
}

function sizeOf(body: Buffer): { readonly textBytes: number; readonly dataBytes: number } {
  const text = new TextCount();
  text.push(body);
  return { textBytes: text.textBytes, dataBytes: body.length - text.textBytes };
}

/** An answer that is whole: Anthropic's shape, and a field that says that nobody counted. */
export function countAnswer({ inputTokens, target }: CountedTokens): {
  readonly head: ResponseHead;
  readonly body: Buffer;
} {
  const body = Buffer.from(JSON.stringify({ input_tokens: inputTokens }));
  const own = `x-sluice-target: ${legible(target.name)}\r\nx-sluice-estimated: input_tokens\r\n`;
  const head: ResponseHead = {
    status: 200,
    head: `200 OK\r\ncontent-type: application/json\r\n${own}`,
    size: body.length,
    eventStream: false,
    streamAsked: false,
    format: 'json',
  };
  return { head, body };
}
