import { createHash } from 'node:crypto';
import { chunkOf } from './chunked.ts';
import { seededRandom } from './fixtures.ts';
import type { Turn } from './scripted-upstream.ts';

/** How a body is delimited. */
export type Form = 'chunked' | 'sized';
export const FORMS: readonly Form[] = ['chunked', 'sized'];

/**
 * In which pieces an upstream writes. `small` are events (1 to 4,000 bytes), `medium` anything up to 100,000, `large`
 * is 200,000 each: the three that platform facts B names, because each broke the front end in its own way.
 */
export type Pieces = 'small' | 'medium' | 'large';
export const PIECES: readonly Pieces[] = ['small', 'medium', 'large'];

export const BODY_BYTES = 20 * 1_048_576;

/** Of a fixed seed, so that a run can be repeated. */
const BODY = (() => {
  const random = seededRandom(20);
  const words = new Uint32Array(BODY_BYTES / 4);
  for (let at = 0; at < words.length; at++) words[at] = random() * 2 ** 32;
  return Buffer.from(words.buffer);
})();

const SMALL_LIMIT_BYTES = 4_000;
const MEDIUM_LIMIT_BYTES = 100_000;
const LARGE_BYTES = 200_000;
/** Pieces are written together up to this size: the gateway then meets many in one read. */
const WRITE_BYTES = 65_536;

/** What `answerBody` is to do, as the target of a request: the upstream needs no other knowledge. */
export interface AskedBody {
  readonly form: Form;
  readonly bytes: number;
  readonly pieces?: Pieces;
  readonly seed?: number;
  /** Write it all, and then neither end nor write: a sized body stays one byte short. */
  readonly quiet?: boolean;
}

export function bodyTarget({ form, bytes, pieces = 'medium', seed = 1, quiet }: AskedBody): string {
  return `/v1/${form}/${bytes}/${pieces}/${seed}${quiet === true ? '/quiet' : ''}`;
}

/** Lower-case hex of what `answerBody` sends. */
export function bodyHash(bytes: number): string {
  return createHash('sha256').update(BODY.subarray(0, bytes)).digest('hex');
}

/** Answers what `bodyTarget` asks for. A script, or a part of one. */
export async function answerBody(turn: Turn): Promise<void> {
  const [, , form, bytes = '0', pieces = '', seed = '1', quiet] = turn.request.target.split('/');
  const body = BODY.subarray(0, Number(bytes));
  if (form === 'sized') {
    const length = body.length + (quiet === undefined ? 0 : 1);
    await turn.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`);
  } else {
    await turn.stream(['content-type: application/octet-stream']);
  }
  let together: Buffer[] = [];
  let gathered = 0;
  for (const piece of cut(body, pieces, Number(seed))) {
    if (turn.socket.destroyed) return;
    together.push(form === 'sized' ? piece : chunkOf(piece));
    gathered += piece.length;
    if (gathered < WRITE_BYTES) continue;
    await turn.write(Buffer.concat(together));
    together = [];
    gathered = 0;
  }
  if (gathered > 0) await turn.write(Buffer.concat(together));
  if (form === 'chunked' && quiet === undefined) await turn.lastChunk();
}

function* cut(body: Buffer, pieces: string, seed: number): Generator<Buffer> {
  const random = seededRandom(seed);
  const limit = pieces === 'small' ? SMALL_LIMIT_BYTES : MEDIUM_LIMIT_BYTES;
  for (let at = 0; at < body.length; ) {
    const length = pieces === 'large' ? LARGE_BYTES : 1 + Math.floor(random() * limit);
    yield body.subarray(at, at + length);
    at += length;
  }
}
