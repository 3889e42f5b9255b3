import type { AnswerHead } from '../cache/answer-store.ts';
import type { ResponseHead } from '../wire/response-head.ts';

/**
 * Fields that belong to an answer, whoever is told it. Everything else is of the request that it was made for: ids, times, what is
 * left of limits, cookies.
 */
const OF_ANSWERS: ReadonlySet<string> = new Set([
  'content-type',
  'content-language',
  'cache-control',
  'openai-version',
  'x-sluice-target',
  'x-sluice-dropped',
  'x-sluice-adjusted',
]);

/** @returns null for an answer that is not kept, whatever it says: no success, packed, or without content */
export function keptHead({
  status,
  head,
  size,
  eventStream,
  streamAsked,
  format,
}: ResponseHead): AnswerHead | null {
  if (status !== 200 || format === null || size === 'none') return null;
  let lines = '';
  for (const line of head.split('\r\n').slice(1)) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    if (OF_ANSWERS.has(name)) lines += `${line}\r\n`;
  }
  return { status, lines, isEventStream: eventStream, streamAsked, format };
}

/**
 * @param bytes of its content; of a stream they are not told
 * @param ageSecs null: it is still being made
 * @param own lines of the request that is told it
 */
export function toldAgainHead(
  { status, lines, isEventStream, streamAsked, format }: AnswerHead,
  bytes: number,
  ageSecs: number | null,
  own: string,
): ResponseHead {
  // RFC 9111 §5.1.
  const age = ageSecs === null ? '' : `age: ${ageSecs}\r\n`;
  return {
    status,
    head: `${status} OK\r\n${lines}${age}x-sluice-cache: hit\r\nx-sluice-cost-usd: 0\r\n${own}`,
    size: format === 'json' ? bytes : 'chunked',
    eventStream: isEventStream,
    streamAsked,
    format,
  };
}
