// Scanning a body to its end against JSON.parse(buffer.toString()), in one process and one run: 64 KiB chunks, the copy
// into module memory included. npm run bench:scanner [-- --build scalar]
// The two sides are measured in turn, round by round, and the median round counts: a busy machine slows both.
import { randomBytes } from 'node:crypto';
import { pathBits, REQUEST_PATH, REQUEST_PATHS } from '../../src/wire/json-paths.ts';
import { type JsonEvents, loadJsonScanner } from '../../src/wire/json-scanner.ts';
import type { PieceSink } from '../../src/wire/piece-sink.ts';
import { UsageOptionEditor } from '../../src/wire/usage-option-editor.ts';
import { commandLine } from '../command-line.ts';
import { fixed, printTable, ranged, writeSection } from '../results.ts';
import { median, quartiles, type Spread } from '../statistics.ts';
import { allocated } from './task-cost.ts';

const values = commandLine('npm run bench:scanner -- [--build scalar]', {
  build: { type: 'string', default: '' },
});
const CHUNK_BYTES = 65_536;
const ROUNDS = 41;
const WARM_UP_ROUNDS = 10;
/** Each measured round takes about this long on each side, so that the clock's step does not count. */
const ROUND_NS = 4_000_000;

const chat = (messages: unknown): Buffer =>
  Buffer.from(JSON.stringify({ model: 'gpt-5', messages, stream: true }));

const image = chat([
  {
    role: 'user',
    content: [
      { type: 'text', text: 'What is in this picture?' },
      {
        type: 'image_url',
        image_url: { url: `data:image/png;base64,${randomBytes(786_432).toString('base64')}` },
      },
    ],
  },
]);

// Tool definitions and calls: short keys and strings, numbers, literals, no white space.
const dense = chat(
  Array.from({ length: 6_500 }, (_, i) => ({
    id: i,
    role: i % 2 === 0 ? 'user' : 'assistant',
    name: `n${i}`,
    tags: ['a', 'b', String(i)],
    active: i % 3 === 0,
    score: i / 8,
    args: { x: [1, 2, 3], y: null, 'on/off': { min: -1, max: 1e3 } },
  })),
);

// Source code and logs as models are given them: quotes, line ends, tabs, Windows paths, code points in \u form.
const escapes = chat(
  Array.from({ length: 40 }, (_, i) => ({
    role: 'user',
    content: Array.from(
      { length: 400 },
      (_, j) => `line "${i * j}"\tC:\\path\\to\\file \u0001 if (a !== "b") {\n`,
    ).join(''),
  })),
);

// Beside the goals: pretty-printed JSON, a long root string, vectors.
const pretty = Buffer.from(JSON.stringify(JSON.parse(dense.toString()), null, 2));
const text = Buffer.from(
  JSON.stringify({ model: 'm', input: 'A plain paragraph of "text".\n'.repeat(36_000) }),
);
const vectors = Buffer.from(
  JSON.stringify({ data: Array.from({ length: 50_000 }, (_, i) => Math.sin(i)), model: 'm' }),
);

const scanner = loadJsonScanner(values.build);
const scan = scanner.scan(REQUEST_PATHS, pathBits(REQUEST_PATH.model, REQUEST_PATH.stream));
const editorScan = scanner.scan(REQUEST_PATHS, 0);
if (scan === undefined || editorScan === undefined) throw new Error('no slot');

let told = 0;
const events: JsonEvents = { valueStarts: () => void told++, valueEnds: () => void told++ };
const sink: PieceSink = { push: () => true };

const cut = (body: Buffer): readonly Buffer[] =>
  Array.from({ length: Math.ceil(body.length / CHUNK_BYTES) }, (_, i) =>
    body.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES),
  );

const scanAll = (chunks: readonly Buffer[]): void => {
  scan.restart();
  for (const chunk of chunks) scan.feed(chunk, events);
  if (!scan.isWhole) throw new Error('the scan says unknown');
};

const editAll = (chunks: readonly Buffer[]): void => {
  const editor = UsageOptionEditor.open(scanner, true, null);
  if (editor === undefined) throw new Error('no slot');
  for (const chunk of chunks) editor.edit(chunk, sink);
  editor.end(sink);
  editor.release();
};

/** Nanoseconds per call, over as many calls as fill ROUND_NS. */
const timed = (run: () => void, calls: number): number => {
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) run();
  return Number(process.hrtime.bigint() - start) / calls;
};

const callsFor = (run: () => void): number => {
  for (let i = 0; i < WARM_UP_ROUNDS; i++) run();
  return Math.max(1, Math.ceil(ROUND_NS / timed(run, 5)));
};

interface BodyCost {
  readonly name: string;
  readonly bytes: number;
  readonly parseGBps: number;
  readonly scanGBps: number;
  readonly editGBps: number;
  /** How many times as fast as parsing, round by round: median and quartiles. */
  readonly scanToParse: Spread;
  readonly editToParse: Spread;
  readonly goal: number | null;
  /** Of scanning the whole body. */
  readonly allocatedBytes: number | null;
}

const compare = (name: string, body: Buffer, goal: number | null): BodyCost => {
  const chunks = cut(body);
  const parse = (): void => void JSON.parse(body.toString());
  const own = (): void => scanAll(chunks);
  const edit = (): void => editAll(chunks);
  const calls = [callsFor(parse), callsFor(own), callsFor(edit)] as const;
  const rounds = Array.from({ length: ROUNDS }, () => [
    timed(parse, calls[0]),
    timed(own, calls[1]),
    timed(edit, calls[2]),
  ]);
  const rate = (side: number): number =>
    body.length / median(rounds.map((round) => round[side] ?? 0));
  const ratio = (side: number): Spread =>
    quartiles(rounds.map((round) => (round[0] ?? 0) / (round[side] ?? 1)));
  return {
    name,
    bytes: body.length,
    parseGBps: rate(0),
    scanGBps: rate(1),
    editGBps: rate(2),
    scanToParse: ratio(1),
    editToParse: ratio(2),
    goal,
    allocatedBytes: allocated(own),
  };
};

// Small ones are what most requests are; the large ones have goals.
const rows = [
  compare('chat, 1 KB', chat([{ role: 'user', content: 'What did it say? '.repeat(57) }]), null),
  compare('chat, 16 KB', chat([{ role: 'user', content: 'What did it say? '.repeat(960) }]), null),
  compare('base64 image', image, 12),
  compare('dense JSON', dense, 8),
  compare('escape-heavy text', escapes, 6),
  compare('pretty-printed', pretty, null),
  compare('root string', text, null),
  compare('vectors', vectors, null),
];
printTable(
  `Scanning a body, GB/s, and how many times as fast as JSON.parse (${scanner.build}, median of ${ROUNDS} rounds in turn)`,
  [
    { title: 'body', cell: ({ name }) => name },
    { title: 'bytes', cell: ({ bytes }) => String(bytes) },
    { title: 'parse', cell: ({ parseGBps }) => fixed(parseGBps, 2) },
    { title: 'scan', cell: ({ scanGBps }) => fixed(scanGBps, 2) },
    { title: 'edit', cell: ({ editGBps }) => fixed(editGBps, 2) },
    { title: 'scan : parse', cell: ({ scanToParse }) => ranged(scanToParse, 1) },
    { title: 'goal', cell: ({ goal }) => (goal === null ? '' : `${goal} x`) },
    { title: 'edit : parse', cell: ({ editToParse }) => fixed(editToParse.median, 1) },
    { title: 'allocated', cell: ({ allocatedBytes }) => fixed(allocatedBytes, 0) },
  ],
  rows,
);
writeSection('micro.scanner', { build: scanner.build, rows });
