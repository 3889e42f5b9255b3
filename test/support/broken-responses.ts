import { chunkOf, LAST_CHUNK } from './chunked.ts';
import type { Script } from './scripted-upstream.ts';

const USAGE = '"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}';
const JSON_BODY = `{"model":"m","choices":[{"message":{"content":"Hello you"}}],${USAGE}}`;
const EVENTS = [
  'data: {"model":"m","choices":[{"delta":{"content":"Hello"}}]}\n\n',
  'data: {"model":"m","choices":[{"delta":{"content":" you"}}]}\n\n',
  `data: {"model":"m","choices":[],${USAGE}}\n\n`,
  'data: [DONE]\n\n',
];
const JSON_TYPE = 'content-type: application/json\r\n';

/** A response as its bytes on the wire, and what a client of it must get when it is whole. */
interface WireResponse {
  readonly bytes: Buffer;
  readonly headBytes: number;
  readonly body: string;
  /** It ends with its connection: no byte of it says that it is whole. */
  readonly endsWithConnection: boolean;
}

function response(lines: string, content: string | Buffer, body: string): WireResponse {
  const head = Buffer.from(`HTTP/1.1 200 OK\r\n${lines}\r\n`);
  const bytes = Buffer.concat([head, Buffer.from(content)]);
  const endsWithConnection = !/length|chunked/.test(lines);
  return { bytes, headBytes: head.length, body, endsWithConnection };
}

const chunks = (pieces: readonly string[]): Buffer =>
  Buffer.concat([...pieces.map(chunkOf), Buffer.from(LAST_CHUNK)]);

/** One of each framing, all of them metered. */
export const WIRE_RESPONSES = {
  sized: response(`${JSON_TYPE}content-length: ${JSON_BODY.length}\r\n`, JSON_BODY, JSON_BODY),
  chunked: response(
    `${JSON_TYPE}transfer-encoding: chunked\r\n`,
    chunks([JSON_BODY.slice(0, 30), JSON_BODY.slice(30)]),
    JSON_BODY,
  ),
  closing: response(JSON_TYPE, JSON_BODY, JSON_BODY),
  events: response(
    'content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n',
    chunks(EVENTS),
    EVENTS.join(''),
  ),
} as const satisfies Record<string, WireResponse>;

type WireName = keyof typeof WIRE_RESPONSES;
const WIRE_NAMES = Object.keys(WIRE_RESPONSES) as readonly WireName[];

/** How a provider breaks off. */
type Break = 'end' | 'reset' | 'stall';

/** One response, broken off behind its first `at` bytes. */
export interface BrokenResponse {
  readonly name: WireName;
  readonly at: number;
  readonly how: Break;
}

/** Every response, broken at every byte: before the first, and behind each but the last. */
export function everyBreak(how: Break, step = 1): readonly BrokenResponse[] {
  return WIRE_NAMES.flatMap((name) => {
    const count = Math.ceil(WIRE_RESPONSES[name].bytes.length / step);
    return Array.from({ length: count }, (_, n) => ({ name, at: n * step, how }));
  });
}

/** The query that asks `breaking` for it. */
export function brokenQuery({ name, at, how }: BrokenResponse): string {
  return `${name}.${at}.${how}`;
}

/** A provider that breaks off as the query says. */
export const breaking: Script = async (turn) => {
  await turn.bodyDone();
  const [name = '', at = '', how] = (turn.request.target.split('?')[1] ?? '').split('.');
  const { bytes } = WIRE_RESPONSES[name as WireName];
  await turn.write(bytes.subarray(0, Number(at)));
  if (how === 'end') turn.socket.end();
  else if (how === 'reset') turn.reset();
};
