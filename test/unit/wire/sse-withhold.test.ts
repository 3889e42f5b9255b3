import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { HELD_MAX_BYTES, UsageEventWithholder } from '../../../src/wire/sse-withhold.ts';
import { UsageReader } from '../../../src/wire/usage-reader.ts';
import {
  cutAroundNewlines,
  cutAtRandom,
  FIXTURES_MISSING,
  recordedBody,
  recordedResponses,
} from '../../support/fixtures.ts';
import { type RecordedUsage, withoutUsageEvents } from '../../support/recorded-usage.ts';

/** Takes everything, and knows how much has come. */
class Client {
  readonly pieces: Buffer[] = [];
  push(piece: Buffer): boolean {
    this.pieces.push(Buffer.from(piece));
    return true;
  }
  get bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }
}

const scanner = loadJsonScanner();

/** As metering does it: the reader looks first. */
function through(chunks: readonly Buffer[]): Buffer {
  const client = new Client();
  const reader = new UsageReader(scanner, 'events');
  const withholder = new UsageEventWithholder();
  for (const chunk of chunks) withholder.write(chunk, client, reader.push(chunk, false));
  withholder.end(client);
  reader.release();
  return client.bytes;
}

const bytewise = (body: Buffer): readonly Buffer[] =>
  Array.from(body, (_, at) => body.subarray(at, at + 1));

describe('recorded chat streams', () => {
  if (FIXTURES_MISSING !== null) it('pass', (ctx) => ctx.skip(FIXTURES_MISSING ?? ''));

  const streams = (recordedResponses() as readonly RecordedUsage[]).filter(
    ({ dialect, format }) => dialect === 'chat' && format === 'sse',
  );
  it.each(streams)('lose that one event and no other byte: $file', (entry) => {
    const body = recordedBody(entry);
    const expected = withoutUsageEvents(body);
    const cuts = [
      [body],
      cutAroundNewlines(body),
      ...(body.length <= 32_768 ? [bytewise(body)] : []),
      ...Array.from({ length: 12 }, (_, seed) => cutAtRandom(body, seed)),
    ];
    for (const chunks of cuts) expect(through(chunks).equals(expected)).toBe(true);
  });

  it('hold such an event where the index says so', (ctx) => {
    if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
    const withheld = streams.filter((entry) => {
      const body = recordedBody(entry);
      return withoutUsageEvents(body).length < body.length;
    });
    expect(withheld.length).toBeGreaterThan(10);
  });
});

const DELTA = 'data: {"id":"1","choices":[{"delta":{"content":"x"}}],"usage":null}\n\n';
const REPORT = 'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1},"obfuscation":"abc"}\n\n';
const DONE = 'data: [DONE]\n\n';

describe('at every split', () => {
  it.each([
    ['with LF', DELTA + REPORT + DONE, DELTA + DONE],
    [
      'with CRLF',
      (DELTA + REPORT + DONE).replaceAll('\n', '\r\n'),
      (DELTA + DONE).replaceAll('\n', '\r\n'),
    ],
    [
      'with lone CR',
      (DELTA + REPORT + DONE).replaceAll('\n', '\r'),
      (DELTA + DONE).replaceAll('\n', '\r'),
    ],
    [
      'with every kind of line end',
      `${DELTA.trimEnd()}\r\r${REPORT.trimEnd()}\r\n\r${REPORT.trimEnd()}\n\r\n${DONE}`,
      `${DELTA.trimEnd()}\r\r${DONE}`,
    ],
    ['behind a field without a colon', `data\n${REPORT}${DONE}`, DONE],
    ['with spaces', 'data:{"choices" : [ ] , "usage" : {"a":1}}\n\n', ''],
    ['usage before choices', 'data: {"usage":{"a":1},"choices":[]}\n\n', ''],
    ['without a blank line at its end', DELTA + REPORT.trimEnd(), DELTA],
    ['with other fields', `event: x\nid: 5\n${REPORT}${DONE}`, DONE],
    ['behind a comment', `: ping\n\n${REPORT}${DONE}`, `: ping\n\n${DONE}`],
    ['beside what is null', 'data: {"choices":[],"usage":{"a":1},"error":null}\n\n', ''],
    ['with timings', 'data: {"choices":[],"usage":{"a":1},"timings":{"n":1}}\n\n', ''],
    ['two of them', DELTA + REPORT + DELTA + REPORT, DELTA + DELTA],
    ['of two lines', 'data: {"choices":[],\ndata: "usage":{"a":1}}\n\n', ''],
  ])('the event goes, %s', (_, body, expected) => {
    const bytes = Buffer.from(body);
    for (let at = 0; at <= bytes.length; at++) {
      expect(through([bytes.subarray(0, at), bytes.subarray(at)]).toString()).toBe(expected);
    }
    expect(through(bytewise(bytes)).toString()).toBe(expected);
  });

  it('the event goes, behind a byte order mark', () => {
    const bytes = Buffer.from(`\ufeff${REPORT}${DONE}`);
    for (let at = 0; at <= bytes.length; at++) {
      const out = through([bytes.subarray(0, at), bytes.subarray(at)]).toString();
      expect(out.replace('\ufeff', '')).toBe(DONE);
    }
  });

  it.each([
    ['usage beside choices', 'data: {"choices":[{"delta":{}}],"usage":{"a":1}}\n\n'],
    ['usage beside an error', 'data: {"choices":[],"usage":{"a":1},"error":{"code":502}}\n\n'],
    ['usage beside citations', 'data: {"choices":[],"usage":{"a":1},"citations":["u"]}\n\n'],
    ['no usage', 'data: {"choices":[],"prompt_filter_results":[]}\n\n'],
    ['usage null', 'data: {"choices":[],"usage":null}\n\n'],
    ['no choices', 'data: {"usage":{"a":1}}\n\n'],
    ['not JSON', 'data: {"choices":[],"usage":{\n\n'],
    ['lone CR', (DELTA + DONE).replaceAll('\n', '\r')],
  ])('an event passes: %s', (_, body) => {
    const bytes = Buffer.from(body);
    for (let at = 0; at <= bytes.length; at++) {
      expect(through([bytes.subarray(0, at), bytes.subarray(at)]).toString()).toBe(body);
    }
  });
});

describe('what is held back', () => {
  it.each([
    ['a whole event', DELTA],
    ['a comment without a blank line', ': keepalive\n'],
    ['an event that has choices', 'data: {"choices":[{'],
    ['the end', 'data: ['],
    ['usage that is null', 'data: {"usage":null,'],
  ])('is nothing of %s', (_, bytes) => {
    const client = new Client();
    new UsageEventWithholder().write(Buffer.from(bytes), client, true);
    expect(client.bytes.toString()).toBe(bytes);
  });

  it('is nothing of a comment, and the report behind it goes nevertheless', () => {
    const client = new Client();
    const withholder = new UsageEventWithholder();
    withholder.write(Buffer.from(': keepalive\n'), client, true);
    withholder.write(Buffer.from(REPORT + DONE), client, true);
    expect(client.bytes.toString()).toBe(`: keepalive\n${DONE}`);
  });

  it('is never more than one unfinished event of 16 KiB', () => {
    const client = new Client();
    const withholder = new UsageEventWithholder();
    const piece = Buffer.alloc(1_000, 'x');
    let sent = 0;
    let most = 0;
    const write = (bytes: Buffer): void => {
      withholder.write(bytes, client, true);
      sent += bytes.length;
      most = Math.max(most, sent - client.bytes.length);
    };
    write(Buffer.from(`${DELTA}data: {"id":"`));
    for (let round = 0; round < 40; round++) write(piece);
    expect(most).toBeGreaterThan(HELD_MAX_BYTES - 2_000);
    expect(most).toBeLessThanOrEqual(HELD_MAX_BYTES);
    expect(client.bytes.length).toBe(sent);
  });
});

it('random events at random cuts lose exactly the reports', () => {
  const lineEnds = fc.constantFrom('\n', '\r\n', '\r');
  const piece = fc
    .tuple(fc.constantFrom(DELTA, REPORT, DONE, ': c\n\n', 'data: {}\n\n', 'event: e\n'), lineEnds)
    .map(([text, end]) => text.replaceAll('\n', end));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.nat(), (parts, seed) => {
      const body = Buffer.from(parts.join(''));
      expect(through(cutAtRandom(body, seed)).toString()).toBe(through([body]).toString());
      expect(through([body]).toString()).toBe(withoutUsageEvents(body).toString());
    }),
  );
});
