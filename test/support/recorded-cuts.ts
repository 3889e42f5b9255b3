import {
  cutAroundNewlines,
  cutAtRandom,
  cutToBytes,
  pieces,
  type RecordedResponse,
  recordedChunkSizes,
} from './fixtures.ts';

export type Cut = (body: Buffer, recorded: RecordedResponse) => readonly Buffer[];

/** Bytes at each end of a body that arrive one at a time. */
const SINGLE_BYTES = 400;

const CHUNK_SIZES = recordedChunkSizes();

/** The ways in which every recorded response arrives at the gateway, by the name that its test has. */
export const CUTS: ReadonlyMap<string, Cut> = new Map<string, Cut>([
  ['whole', (body) => [body]],
  ['as recorded', (body, { file }) => pieces(body, CHUNK_SIZES.get(file) ?? [])],
  ['cut around every newline', cutAroundNewlines],
  ['cut into single bytes at both ends', (body) => cutToBytes(body, SINGLE_BYTES)],
  ['cut at random', (body) => cutAtRandom(body, body.length)],
]);
