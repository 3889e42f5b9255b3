import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BodyFormat } from '../../../src/wire/body-format.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { summed } from '../../../src/wire/usage-counters.ts';
import { UsageReader, type UsageReading } from '../../../src/wire/usage-reader.ts';
import {
  cutAroundNewlines,
  cutAtRandom,
  FIXTURES_MISSING,
  pieces,
  recordedBody,
  recordedChunkSizes,
  recordedResponses,
} from '../../support/fixtures.ts';
import { expectedCounts, FORMATS, type RecordedUsage } from '../../support/recorded-usage.ts';

const scanner = loadJsonScanner();
/** Bodies up to this size are also read byte by byte. */
const BYTEWISE_MAX_BYTES = 32_768;

function read(chunks: readonly Buffer[], format: BodyFormat): UsageReading {
  const reader = new UsageReader(scanner, format);
  chunks.forEach((chunk, at) => {
    // A read's buffer is overwritten by the next read: nothing may be kept of it.
    const lent = Buffer.from(chunk);
    reader.push(lent, at === chunks.length - 1);
    lent.fill(0xee);
  });
  reader.end();
  const reading = reader.reading();
  reader.release();
  return reading;
}

const bytewise = (body: Buffer): readonly Buffer[] =>
  Array.from(body, (_, at) => body.subarray(at, at + 1));

const NOTHING = {
  inputTokens: null,
  outputTokens: null,
  cacheReadTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
};

describe('recorded responses', () => {
  if (FIXTURES_MISSING !== null) it('are read', (ctx) => ctx.skip(FIXTURES_MISSING ?? ''));

  const chunkSizes = recordedChunkSizes();
  it.each(
    recordedResponses() as readonly RecordedUsage[],
  )('yield exactly the usage and model of their index: $file', (entry) => {
    const body = recordedBody(entry);
    const format = FORMATS[entry.format];
    const cuts = [
      [body],
      pieces(body, chunkSizes.get(entry.file) ?? []),
      cutAroundNewlines(body),
      ...Array.from({ length: 12 }, (_, seed) => cutAtRandom(body, seed)),
      ...(body.length <= BYTEWISE_MAX_BYTES ? [bytewise(body)] : []),
    ];
    for (const chunks of cuts) {
      const { counts, model } = read(chunks, format);
      expect(counts ?? NOTHING).toEqual(expectedCounts(entry));
      expect(model).toBe(entry.model ?? entry.model_version);
    }
    expect(scanner.open).toBe(0);
  });
});

describe('what stands outside of the usage object', () => {
  const everySplit = (body: string, format: BodyFormat, check: (reading: UsageReading) => void) => {
    const bytes = Buffer.from(body);
    for (let at = 0; at <= bytes.length; at++)
      check(read([bytes.subarray(0, at), bytes.subarray(at)], format));
    check(read(bytewise(bytes), format));
  };

  it("is Ollama's counters, in its last line and in its whole answer", () => {
    const last = '{"model":"l","done":true,"prompt_eval_count":26,"eval_count":259}';
    const lines = `{"model":"l","message":{"role":"assistant","content":"he"},"done":false}\n${last}\n`;
    const check = ({ counts, raw }: UsageReading): void => {
      expect(counts).toEqual({ ...NOTHING, inputTokens: 26, outputTokens: 259 });
      expect(raw).toBe('{"prompt_eval_count":26,"eval_count":259}');
    };
    everySplit(lines, 'lines', check);
    everySplit(last, 'json', check);
  });

  it('is in a later JSON text of the body, or in an element of its array', () => {
    const first = '{"model":"m","x":[1]}';
    const last = `{"usage":${JSON.stringify(USAGE)}}`;
    for (const body of [
      `${first}\n${last}\n`,
      `${first}${last}`,
      `[${first}\n,\r\n${last}]`,
      ` [ ${last} ] `,
      `\u001e${first}\n\u001e${last}\n`,
    ])
      everySplit(body, 'json', ({ counts }) => expect(counts).toEqual(COUNTS));
  });

  it('is the usage of a choice, where the chunk itself has none', () => {
    const chunk = { model: 'k', choices: [{ delta: {}, finish_reason: 'stop', usage: USAGE }] };
    everySplit(`${event(chunk)}data: [DONE]\n\n`, 'events', ({ counts }) =>
      expect(counts).toEqual(COUNTS),
    );
    expect(read([Buffer.from(JSON.stringify(chunk))], 'json').counts).toEqual(COUNTS);
    const root = { ...chunk, usage: { prompt_tokens: 1, completion_tokens: 2 } };
    expect(read([Buffer.from(event(root))], 'events').counts?.inputTokens).toBe(1);
  });

  it('is what comes behind an end sign: it is waited for until it or the last word is there', () => {
    const delta = { model: 'm', choices: [{ delta: { content: 'x' }, finish_reason: null }] };
    const quoted = { choices: [{ delta: { content: '{"finish_reason":"stop"}' } }] };
    const empty = { choices: [{ delta: {}, finish_reason: '' }], usage: USAGE };
    const finish = { choices: [{ delta: {}, finish_reason: 'stop' }], usage: USAGE };
    const bill = event({ choices: [], usage: USAGE });
    const before = event(delta) + event(quoted) + event(empty);
    const ends: readonly (readonly [body: string, waits: boolean, billed: boolean])[] = [
      [before, false, false],
      // Of two choices, the first one's report is not all.
      [before + event(finish), true, false],
      [before + event(finish) + bill, false, true],
      [`${before + event(finish)}data: [DONE]\n\n`, false, false],
      [event({ type: 'message_delta', delta: { stop_reason: 'end_turn' } }), true, false],
      [
        event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: USAGE }),
        false,
        true,
      ],
    ];
    for (const [body, waits, billed] of ends) {
      const bytes = Buffer.from(body);
      for (let at = 0; at <= bytes.length; at++) {
        const reader = new UsageReader(scanner, 'events');
        reader.push(bytes.subarray(0, at), false);
        reader.push(bytes.subarray(at), false);
        expect([body, at, reader.awaitsBill]).toEqual([body, at, waits]);
        expect([body, at, reader.reading().sawBill]).toEqual([body, at, billed]);
        reader.release();
      }
    }
  });

  it('is the tier that served, in chunks, in a whole answer and in a response object', () => {
    const chat = { model: 'm', service_tier: 'priority', choices: [], usage: USAGE };
    everySplit(event(chat), 'events', ({ serviceTier }) => expect(serviceTier).toBe('priority'));
    everySplit(JSON.stringify(chat), 'json', ({ serviceTier }) =>
      expect(serviceTier).toBe('priority'),
    );
    const responses =
      event({ type: 'response.created', response: { model: 'm', service_tier: 'auto' } }) +
      event({
        type: 'response.completed',
        response: {
          service_tier: 'flex',
          usage: USAGE,
          tool_usage: { web_search: { num_requests: 2 } },
        },
      });
    everySplit(responses, 'events', ({ serviceTier, toolUses }) => {
      expect(serviceTier).toBe('flex');
      expect(toolUses).toEqual({ web_search: 2 });
    });
  });

  it('is the calls of tools in the last response object, each once', () => {
    const output = [{ type: 'web_search_call' }, { type: 'message' }, { type: 'web_search_call' }];
    const stream = Buffer.from(
      event({ type: 'response.output_item.done', item: output[0] }) +
        event({ type: 'response.completed', response: { model: 'm', output, usage: USAGE } }),
    );
    for (let at = 0; at <= stream.length; at++) {
      const reader = new UsageReader(scanner, 'events', true);
      reader.push(stream.subarray(0, at), false);
      reader.push(stream.subarray(at), true);
      reader.end();
      expect(reader.reading().toolUses).toEqual({ web_search: 2 });
      reader.release();
    }
  });
});

describe('recorded responses that bill more than their root counters', () => {
  const billed = (recordedResponses() as readonly RecordedUsage[]).filter(
    (entry) => entry.billed !== undefined && entry.bytes <= 20_000,
  );

  it.each(billed)('yield what is billed at every split: $file', (entry) => {
    const body = recordedBody(entry);
    const right = expectedCounts(entry);
    for (let at = 0; at <= body.length; at++) {
      const { counts, lines } = read(
        [body.subarray(0, at), body.subarray(at)],
        FORMATS[entry.format],
      );
      if (JSON.stringify(counts) !== JSON.stringify(right))
        expect([at, counts]).toEqual([at, right]);
      const sum = lines?.map((line) => line.counts).reduce(summed) ?? right;
      if (JSON.stringify(sum) !== JSON.stringify(right)) expect([at, sum]).toEqual([at, right]);
    }
  });

  it('are in the index', (ctx) => {
    if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
    expect(billed.length).toBeGreaterThan(4);
  });
});

const event = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`;
const USAGE = { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 };
const COUNTS = { ...NOTHING, inputTokens: 3, outputTokens: 5 };

describe('a stream', () => {
  const stream = (...parts: readonly string[]): Buffer => Buffer.from(parts.join(''));
  const bodies: Readonly<Record<string, Buffer>> = {
    'with LF': stream(
      event({ model: 'm' }),
      event({ choices: [], usage: USAGE }),
      'data: [DONE]\n\n',
    ),
    'with CRLF': stream(
      event({ model: 'm' }).replaceAll('\n', '\r\n'),
      event({ usage: USAGE }).replaceAll('\n', '\r\n'),
      'data: [DONE]\r\n\r\n',
    ),
    'with lone CR': stream(
      event({ model: 'm' }).replaceAll('\n', '\r'),
      event({ usage: USAGE }).replaceAll('\n', '\r'),
      'data: [DONE]\r\r',
    ),
    'with a byte order mark': stream(
      '\ufeff',
      event({ model: 'm', usage: USAGE }),
      'data:[DONE]\n\n',
    ),
    'with comments and unknown fields': stream(
      ': hi\n\nid: 1\nretry: 5\nevent: x\n',
      event({ model: 'm' }),
      ': "usage":{"prompt_tokens":9}\n\n',
      event({ usage: USAGE }),
      'data: [DONE]\n\n: bye\n\n',
    ),
    'with data over several lines': stream(
      'data: {"model":"m",\ndata: "usage":\ndata: {"prompt_tokens":3,"completion_tokens":5}}\n\n',
      'data: [DONE]\n\n',
    ),
    'whose keys stand in strings and deeper': stream(
      event({ model: 'm', choices: [{ delta: { content: '"usage":{"prompt_tokens":9}' } }] }),
      event({ x: { usage: { prompt_tokens: 9 }, model: 'no' }, usage: USAGE }),
      event({ usage: null }),
      'data: [DONE]\n\n',
    ),
    'whose last event no blank line ends': stream(
      event({ model: 'm', usage: USAGE }),
      'data: [DONE]',
    ),
    'with bytes behind its end': stream(
      event({ model: 'm', usage: USAGE }),
      'data: [DONE]\n\n',
      event({ choices: [] }),
    ),
  };

  it.each(Object.entries(bodies))('%s is read alike at every split', (_, body) => {
    for (let at = 0; at <= body.length; at++) {
      const { counts, model, sawEnd } = read([body.subarray(0, at), body.subarray(at)], 'events');
      expect({ counts, model, sawEnd }).toEqual({ counts: COUNTS, model: 'm', sawEnd: true });
    }
    expect(read(bytewise(body), 'events').counts).toEqual(COUNTS);
  });

  it('a later report replaces an earlier one field by field', () => {
    const start = {
      type: 'message_start',
      message: {
        model: 'c',
        usage: { input_tokens: 702, output_tokens: 1, cache_read_input_tokens: 55_096 },
      },
    };
    const delta = {
      type: 'message_delta',
      usage: { output_tokens: 9, cache_read_input_tokens: 0 },
    };
    const reading = read(
      [Buffer.from(event(start) + event(delta) + event({ type: 'message_stop' }))],
      'events',
    );
    expect(reading.counts).toEqual({
      ...NOTHING,
      inputTokens: 702,
      outputTokens: 9,
      cacheReadTokens: 0,
    });
    expect(reading.sawEnd).toBe(true);
  });

  it('that only began has no end, and what it said stands', () => {
    const start = event({
      type: 'message_start',
      message: { usage: { input_tokens: 7, output_tokens: 1 } },
    });
    const delta = event({
      type: 'content_block_delta',
      delta: { type: 'text_delta', text: 'four' },
    });
    const reading = read([Buffer.from(start + delta + delta)], 'events');
    expect(reading).toMatchObject({ sawEnd: false, textBytes: 8 });
    expect(reading.counts).toMatchObject({ inputTokens: 7, outputTokens: 1 });
  });

  it('an error inside a 200 is seen, and a null one is none', () => {
    expect(
      read([Buffer.from('event: error\ndata: {"error":{"message":"x"}}\n\n')], 'events').sawError,
    ).toBe(true);
    expect(
      read([Buffer.from(event({ response: { error: null, usage: USAGE } }))], 'events').sawError,
    ).toBe(false);
  });

  it.each([
    '\n',
    '\r\n',
  ])('an error that only the event name tells is seen, whole and cut (%j)', (end) => {
    const bytes = Buffer.from(
      `${event({ usage: USAGE })}event: error${end}data: {"message":"x"}${end}${end}`,
    );
    expect(read([bytes], 'events').sawError).toBe(true);
    expect(read(bytewise(bytes), 'events').sawError).toBe(true);
  });

  it('an error that no event name tells is seen, whole and cut', () => {
    const bytes = Buffer.from(event({ error: { message: 'x' } }));
    expect(read([bytes], 'events').sawError).toBe(true);
    expect(read(bytewise(bytes), 'events').sawError).toBe(true);
    const late = read([Buffer.from(event({ error: { code: 1 }, usage: USAGE }))], 'events');
    expect(late).toMatchObject({ sawError: true, sawEnd: true, counts: COUNTS });
  });
});

describe('the usage object', () => {
  it('is kept as sent up to 4 KiB, and counted whatever its size', () => {
    const large = {
      ...USAGE,
      iterations: Array.from({ length: 300 }, () => ({ input_tokens: 1 })),
    };
    const small = read([Buffer.from(JSON.stringify({ usage: USAGE }))], 'json');
    const grown = read([Buffer.from(JSON.stringify({ usage: large }))], 'json');
    expect(small.raw).toBe(JSON.stringify(USAGE));
    expect(JSON.stringify(large).length).toBeGreaterThan(4_096);
    expect(grown).toMatchObject({ raw: null, counts: COUNTS });
  });
});

it('bytes that are no stream and no JSON end in no reading and no error', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }),
      fc.constantFrom('events' as const, 'json' as const, 'lines' as const),
      (chunks, format) => {
        expect(
          read(
            chunks.map((chunk) => Buffer.from(chunk)),
            format,
          ).counts,
        ).toBeNull();
        expect(scanner.open).toBe(0);
      },
    ),
  );
});

it('a stream that waits between two events holds no scan', () => {
  const reader = new UsageReader(scanner, 'events');
  reader.push(Buffer.from(event({ model: 'm' }) + event({ usage: USAGE })), false);
  expect(scanner.open).toBe(0);
  reader.push(Buffer.from('data: {"a":'), false);
  expect(scanner.open).toBe(1);
  reader.release();
  expect(scanner.open).toBe(0);
});

describe('the text that an estimate goes by', () => {
  const chat = Array.from(
    { length: 50 },
    (_, i) =>
      `data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"word number ${i} "}}],"usage":null}\n\n`,
  ).join('');
  const responses = Array.from(
    { length: 50 },
    (_, i) =>
      `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"word number ${i} "}\n\n`,
  ).join('');
  const geminiEvent = (text: string): string =>
    `"candidates": [{"content": {"parts": [{"text": "${text}","thoughtSignature": "U2ln"}],"role": "model"},"index": 0}]`;
  const cost = '"usageMetadata": {"promptTokenCount": 9,"totalTokenCount": 9},"modelVersion": "m"';
  const gemini = (write: (event: string) => string): string =>
    Array.from(
      { length: 50 },
      (_, i) => `data: {${write(geminiEvent(`word number ${i} `))}}\r\n\r\n`,
    ).join('');
  const exact = Array.from({ length: 50 }, (_, i) => `word number ${i} `).join('').length;

  it.each([
    ['chat', chat],
    ['parts', gemini((event) => `${event},${cost}`)],
    ['parts behind what they cost', gemini((event) => `${cost},${event}`)],
    ['responses', responses],
    [
      'reasoning under two names',
      chat.replaceAll(/"content":("[^"]*")/g, '"reasoning":$1,"reasoning_content":$1'),
    ],
  ])('is the same at any cuts: %s', (_, body) => {
    const bytes = Buffer.from(body);
    const cuts = [
      [bytes],
      bytewise(bytes),
      cutAroundNewlines(bytes),
      ...Array.from({ length: 20 }, (_, seed) => cutAtRandom(bytes, seed)),
      ...[7, 100, 250, 500].map((size) =>
        pieces(bytes, Array(Math.ceil(bytes.length / size)).fill(size)),
      ),
    ];
    for (const chunks of cuts) expect(read(chunks, 'events').textBytes).toBe(exact);
  });

  it('is all of a long piece of Gemini’s', () => {
    const text = 'word '.repeat(800);
    const event = Buffer.from(`data: {${geminiEvent(text)},${cost}}\r\n\r\n`);
    expect(read([event], 'events').textBytes).toBe(text.length);
  });

  it('is what was there when the stream broke off inside an event', () => {
    const bytes = Buffer.from(chat);
    const whole = read([bytes], 'events').textBytes;
    const reader = new UsageReader(scanner, 'events');
    for (const chunk of bytewise(bytes.subarray(0, bytes.length - 60))) reader.push(chunk, false);
    const { textBytes } = reader.reading();
    reader.release();
    expect(textBytes).toBeGreaterThan(whole * 0.9);
    expect(textBytes).toBeLessThanOrEqual(whole);
  });
});

const isOneText = (...pieces: readonly string[]): boolean => {
  const reader = new UsageReader(scanner, 'json');
  pieces.forEach((piece, at) => {
    reader.push(Buffer.from(piece), at === pieces.length - 1);
  });
  reader.end();
  const { isOneText: said } = reader;
  reader.release();
  return said;
};

it('an answer is one text that is one JSON text in one piece, with its usage', () => {
  const usage = '"usage":{"prompt_tokens":1,"completion_tokens":2}';
  expect(isOneText(`{"choices":[],${usage}}`)).toBe(true);
  expect(isOneText('{"choices":[]}')).toBe(false);
  expect(isOneText(`{"choices":[],${usage}`)).toBe(false);
  expect(isOneText(`{"choices":[],${usage}}}`)).toBe(false);
  expect(isOneText(`{"choices":[],${usage}}{}`)).toBe(false);
  expect(isOneText('{"choices":[],', `${usage}}`)).toBe(false);
});
