// What reading the usage of a response costs, by shape: nanoseconds per event and per KiB, beside what a proxy does that
// parses each event. npm run bench:usage
import type { BodyFormat } from '../../src/wire/body-format.ts';
import { loadJsonScanner } from '../../src/wire/json-scanner.ts';
import { UsageEventWithholder } from '../../src/wire/sse-withhold.ts';
import { UsageReader } from '../../src/wire/usage-reader.ts';
import { fixed, printTable, writeSection } from '../results.ts';
import { type TaskCost, taskCost } from './task-cost.ts';

const EVENTS = 200;
const USAGE = { prompt_tokens: 31, completion_tokens: EVENTS, total_tokens: 31 + EVENTS };

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const chunkOf = (delta: unknown) => ({
  id: 'chatcmpl-C1hKpZ5vXyT9qLw2',
  object: 'chat.completion.chunk',
  created: 1_767_225_600,
  model: 'gpt-5-mini-2025-08-07',
  service_tier: 'default',
  system_fingerprint: 'fp_1a2b3c4d5e',
  choices: [{ index: 0, delta, logprobs: null, finish_reason: null }],
  usage: null,
});
const words = Array.from({ length: EVENTS }, (_, i) => ` word${i}`);

const chat = [
  ...words.map((content) => event(chunkOf({ content }))),
  event({ ...chunkOf({}), choices: [], usage: USAGE }),
  'data: [DONE]\n\n',
];
const messages = [
  `event: message_start\n${event({ type: 'message_start', message: { id: 'msg_1', model: 'claude-sonnet-4-6', usage: { input_tokens: 31, output_tokens: 1 } } })}`,
  ...words.map(
    (text) =>
      `event: content_block_delta\n${event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })}`,
  ),
  `event: message_delta\n${event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: EVENTS } })}`,
  `event: message_stop\n${event({ type: 'message_stop' })}`,
];
const whole = [
  JSON.stringify({
    id: 'chatcmpl-1',
    model: 'gpt-5-mini',
    choices: [{ index: 0, message: { role: 'assistant', content: words.join('') } }],
    usage: USAGE,
  }),
];

const scanner = loadJsonScanner();
const buffers = (texts: readonly string[]): readonly Buffer[] =>
  texts.map((text) => Buffer.from(text));

/** As network reads bring them: `perRead` events at once. */
const reads = (texts: readonly string[], perRead: number): readonly Buffer[] =>
  buffers(
    Array.from({ length: Math.ceil(texts.length / perRead) }, (_, i) =>
      texts.slice(i * perRead, (i + 1) * perRead).join(''),
    ),
  );

function read(chunks: readonly Buffer[], format: BodyFormat): void {
  const reader = new UsageReader(scanner, format);
  for (const [at, chunk] of chunks.entries()) reader.push(chunk, at === chunks.length - 1);
  reader.end();
  if (reader.reading().counts?.outputTokens !== EVENTS) throw new Error('wrong usage');
  reader.release();
}

const client = { push: () => true };

/** As metering does it: read, and then passed on without the event that only the gateway asked for. */
function withhold(chunks: readonly Buffer[]): void {
  const reader = new UsageReader(scanner, 'events');
  const withholder = new UsageEventWithholder();
  for (const chunk of chunks) withholder.write(chunk, client, reader.push(chunk, false));
  reader.release();
  withholder.end(client);
  if (withholder.withheld !== 1) throw new Error('nothing withheld');
}

/** What it is measured against: each event made a string and parsed. */
function parseEach(chunks: readonly Buffer[]): void {
  let output = 0;
  for (const chunk of chunks) {
    for (const one of chunk.toString().split('\n\n')) {
      const at = one.indexOf('data: ');
      if (at < 0 || one.endsWith('[DONE]')) continue;
      const value = JSON.parse(one.slice(at + 6));
      output = value.usage?.completion_tokens ?? value.usage?.output_tokens ?? output;
    }
  }
  if (output !== EVENTS) throw new Error('wrong usage');
}

const SHAPES: readonly (readonly [string, readonly string[], number, BodyFormat])[] = [
  ['chat stream, an event a read', chat, 1, 'events'],
  ['chat stream, 20 events a read', chat, 20, 'events'],
  ['messages stream, an event a read', messages, 1, 'events'],
  ['messages stream, 20 events a read', messages, 20, 'events'],
  ['chat answer, whole', whole, 1, 'json'],
];

interface ShapeCost {
  readonly name: string;
  /** What times and bytes are of: an event, or a KiB of a whole answer. */
  readonly unit: 'event' | 'KiB';
  readonly readNs: number;
  readonly readBytes: number | null;
  readonly withholdNs: number | null;
  readonly parseNs: number;
  readonly parseBytes: number | null;
}

async function shapeCost([
  name,
  texts,
  perRead,
  format,
]: (typeof SHAPES)[number]): Promise<ShapeCost> {
  const chunks = reads(texts, perRead);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const units = format === 'events' ? texts.length : bytes / 1_024;
  const cost = async (run: () => void): Promise<TaskCost> => {
    const { ns, bytes: all } = await taskCost({ name, run });
    return { name, ns: ns / units, bytes: all === null ? null : all / units };
  };
  const own = await cost(() => read(chunks, format));
  const held = texts === chat ? await cost(() => withhold(chunks)) : null;
  const parsed = await cost(() =>
    format === 'events' ? parseEach(chunks) : void JSON.parse(chunks[0]?.toString() ?? ''),
  );
  return {
    name,
    unit: format === 'events' ? 'event' : 'KiB',
    readNs: own.ns,
    readBytes: own.bytes,
    withholdNs: held?.ns ?? null,
    parseNs: parsed.ns,
    parseBytes: parsed.bytes,
  };
}

const rows: ShapeCost[] = [];
for (const shape of SHAPES) rows.push(await shapeCost(shape));
printTable(
  'Reading the usage of a response, ns and bytes allocated, beside parsing each event',
  [
    { title: 'response', cell: ({ name }) => name },
    { title: 'per', cell: ({ unit }) => unit },
    { title: 'reading', cell: ({ readNs }) => fixed(readNs, 0) },
    { title: 'bytes', cell: ({ readBytes }) => fixed(readBytes, 0) },
    { title: 'and withholding', cell: ({ withholdNs }) => fixed(withholdNs, 0) },
    { title: 'parsing each', cell: ({ parseNs }) => fixed(parseNs, 0) },
    { title: 'bytes', cell: ({ parseBytes }) => fixed(parseBytes, 0) },
  ],
  rows,
);
writeSection('micro.usage', { rows });
