/**
 * `POST /v1/messages/count_tokens` where no target of the plan has Anthropic's wire. Gemini counts what it would be sent, and bills
 * nothing for it. Nobody else does, and a chat request in its place would cost money: there, and where Gemini does not say, the
 * answer is an estimate of the gateway's own, which errs high and says so.
 */

import { Buffer } from 'node:buffer';
import { Refusal } from '../dialect/losses.ts';
import type { TranslatedRequest } from '../dialect/translate.ts';
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
  /** How the target itself is asked to count; null: it cannot be. */
  readonly question: TranslatedRequest | null;
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
    const wire = wireTo(provider);
    const asked = { provider: provider.name, model, asksForUsage: false };
    const written = read.writtenFor(wire, asked);
    if ('body' in written) {
      const size = sizeOf(written.body);
      const inputTokens = countedTokens(size, planner.traits(target), ratios.of(target.name));
      const question = wire === 'gemini' ? read.countedBy(asked, inputTokens) : null;
      return { inputTokens, target, question: question instanceof Refusal ? null : question };
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
  return { head: headOf(body, `x-sluice-target: ${legible(target.name)}\r\n`), body };
}

/** The same in place of what a target was asked, whose name its lane tells. */
export function estimateAnswer(inputTokens: number): {
  readonly head: ResponseHead;
  readonly body: Buffer;
} {
  const body = Buffer.from(JSON.stringify({ input_tokens: inputTokens }));
  // It says nothing of its target, and nobody else is asked.
  return { head: { ...headOf(body, ''), asksInstead: 'nobody' }, body };
}

/** @param lines further ones, each ended by CRLF */
function headOf(body: Buffer, lines: string): ResponseHead {
  return {
    status: 200,
    head: `200 OK\r\ncontent-type: application/json\r\n${lines}x-sluice-estimated: input_tokens\r\n`,
    size: body.length,
    eventStream: false,
    streamAsked: false,
    format: 'json',
  };
}
