import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The recordings are beside the repository, used in place: they are other people's data and never copied into it. */
const FOLDER = new URL('../../../shared/fixtures/', import.meta.url);

/** Why a test that needs recordings cannot run here, or null when it can. Hand it to `ctx.skip`. */
export const FIXTURES_MISSING: string | null = existsSync(new URL('index.json', FOLDER))
  ? null
  : `needs the recordings in ${fileURLToPath(FOLDER)}, which are not part of the repository`;

/** One recorded response body, as `index.json` describes it. */
export interface RecordedResponse {
  /** Relative to the fixtures folder; also its name in tests. */
  readonly file: string;
  readonly provider: string;
  readonly status: number;
  readonly stream: boolean;
  readonly format: 'sse' | 'json' | 'ndjson';
  /** Length of the body. */
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Null when the recorder did not keep it. */
  readonly contentType: string | null;
}

/** One recorded request body. */
interface RecordedRequest {
  readonly file: string;
  readonly provider: string;
  /** Path as the vendor knows it, without query. */
  readonly endpoint: string;
  readonly bytes: number;
  readonly sha256: string;
}

interface Index {
  readonly responses: readonly (RecordedResponse & { readonly content_type?: string | null })[];
  readonly requests: readonly RecordedRequest[];
}

const readJson = (name: string): unknown => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'));

/** All recorded responses; empty when the folder is absent. */
export function recordedResponses(): readonly RecordedResponse[] {
  if (FIXTURES_MISSING !== null) return [];
  const { responses } = readJson('index.json') as Index;
  return responses.map((entry) => ({ ...entry, contentType: entry.content_type ?? null }));
}

/** All recorded requests; empty when the folder is absent. */
export function recordedRequests(): readonly RecordedRequest[] {
  return FIXTURES_MISSING === null ? (readJson('index.json') as Index).requests : [];
}

/** The body of a recording, byte for byte. */
export function recordedBody({ file }: { readonly file: string }): Buffer {
  return readFileSync(new URL(file, FOLDER));
}

/** Sizes in bytes of the pieces in which recorded streams arrived, by file. They add up to the file. */
export function recordedChunkSizes(): ReadonlyMap<string, readonly number[]> {
  if (FIXTURES_MISSING !== null) return new Map();
  return new Map(Object.entries(readJson('chunks.json') as Record<string, readonly number[]>));
}

/** Lower-case hex. */
export function sha256(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** Cuts a body at the given sizes; what is left over is the last piece. */
export function pieces(body: Buffer, sizes: readonly number[]): readonly Buffer[] {
  const cut: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at < body.length && size > 0) cut.push(body.subarray(at, at + size));
    at += size;
  }
  if (at < body.length) cut.push(body.subarray(at));
  return cut;
}

/** Before, inside and behind every line end: where a reader that looks for whole lines or events goes wrong. */
export function cutAroundNewlines(body: Buffer): readonly Buffer[] {
  const edges = new Set<number>();
  for (let at = body.indexOf(LF); at !== -1; at = body.indexOf(LF, at + 1)) {
    edges.add(at).add(at + 1);
    if (body[at - 1] === CR) edges.add(at - 1);
  }
  return cutAt(body, edges);
}

/** Byte by byte for the first and the last `around` bytes, in one piece between them. */
export function cutToBytes(body: Buffer, around: number): readonly Buffer[] {
  const edges = new Set<number>();
  for (let at = 0; at < Math.min(around, body.length); at++) edges.add(at).add(body.length - at);
  return cutAt(body, edges);
}

/** Random pieces, small ones most often, up to 64 KiB; the same seed cuts the same way. */
export function cutAtRandom(body: Buffer, seed: number): readonly Buffer[] {
  const random = seededRandom(seed);
  const sizes: number[] = [];
  for (let sum = 0; sum < body.length; ) {
    const size = 1 + Math.floor(2 ** (random() * 16));
    sizes.push(size);
    sum += size;
  }
  return pieces(body, sizes);
}

function cutAt(body: Buffer, edges: ReadonlySet<number>): readonly Buffer[] {
  const sorted = [...edges].filter((at) => at > 0 && at < body.length).sort((a, b) => a - b);
  return [0, ...sorted].map((from, index) => body.subarray(from, sorted[index] ?? body.length));
}

/** A small deterministic generator (mulberry32): numbers in [0, 1). Not for anything secret. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const LF = 0x0a;
const CR = 0x0d;
