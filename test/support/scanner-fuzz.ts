// A long fuzz of both builds: random texts, whole and broken, in random cuts, against JSON.parse and the oracle.
// node test/support/scanner-fuzz.ts [--runs 1000000] [--seed n]
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { pathBits, RESPONSE_PATH, RESPONSE_PATHS } from '../../src/wire/json-paths.ts';
import { type JsonScan, loadJsonScanner } from '../../src/wire/json-scanner.ts';
import { isJsonByPlatform, JsonOracle } from './json-oracle.ts';
import { anyJsonLike, anyRequestLike } from './json-texts.ts';
import { everyByte, randomCuts, scanCut } from './scanner-scan.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } },
});
const RUNS = Number(values.runs);
const SEED = Number(values.seed);
const EVERY_PATH = pathBits(...Object.values(RESPONSE_PATH));
/** One in this many texts is also fed byte by byte. */
const BYTE_BY_BYTE_EVERY = 8;

const opened = (build: 'simd' | 'scalar'): JsonScan => {
  const scan = loadJsonScanner(build).scan(RESPONSE_PATHS, EVERY_PATH);
  if (scan === undefined) throw new Error('no slot');
  return scan;
};
const scans = [opened('simd'), opened('scalar')];

// xorshift32: the cuts must come back with the seed.
let state = SEED | 1;
const random = (below: number): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
};

let texts = 0;
let whole = 0;
let scanned = 0;
const started = process.memoryUsage().rss;

const check = (bytes: Buffer): void => {
  const expected = new JsonOracle(bytes, RESPONSE_PATHS, EVERY_PATH).read();
  if (expected.isJson !== isJsonByPlatform(bytes)) {
    throw new Error(`oracle and JSON.parse differ on ${JSON.stringify(bytes.toString())}`);
  }
  const want = JSON.stringify(expected);
  const cuts = randomCuts(bytes.length, random(6), random);
  const ways = texts % BYTE_BY_BYTE_EVERY === 0 ? [cuts, everyByte(bytes)] : [cuts];
  for (const scan of scans) {
    for (const way of ways) {
      const got = JSON.stringify(scanCut(scan, bytes, way));
      scanned++;
      if (got === want) continue;
      const shown = way.length < 10 ? JSON.stringify(way) : 'every byte';
      throw new Error(`${JSON.stringify(bytes.toString())} cut at ${shown}: ${got}, not ${want}`);
    }
  }
  texts++;
  if (expected.isJson) whole++;
  if (texts % 100_000 === 0) console.log(`${texts} texts`);
};

// No shrinking bookkeeping and no promise per run: the arbitrary is only used as a generator.
const BATCH = 10_000;
for (let batch = 0; texts < RUNS; batch++) {
  const size = Math.min(BATCH, RUNS - texts);
  for (const bytes of fc.sample(fc.oneof(anyJsonLike, anyRequestLike), {
    numRuns: size,
    seed: SEED + batch,
  })) {
    check(bytes);
  }
}
const grown = Math.round((process.memoryUsage().rss - started) / 1_048_576);
console.log(
  `${texts} texts (${whole} JSON), ${scanned} scans on two builds, no difference; rss ${grown} MiB above the start`,
);
