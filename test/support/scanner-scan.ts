import { randomInt } from 'node:crypto';
import type { JsonScan } from '../../src/wire/json-scanner.ts';
import { EventLog, type Scanned } from './json-oracle.ts';

/** Scans a text cut at the given offsets (ascending); the scan is restarted first. */
export function scanCut(scan: JsonScan, bytes: Buffer, cuts: readonly number[]): Scanned {
  const log = new EventLog();
  scan.restart();
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    log.base = from;
    scan.feed(bytes.subarray(from, to), log);
    from = to;
  }
  return { isJson: scan.isWhole, events: log.events };
}

/** Every byte a chunk of its own. */
export function everyByte(bytes: Buffer): readonly number[] {
  return Array.from({ length: bytes.length }, (_, at) => at);
}

/** Ascending random offsets below `length`; `random(n)` gives an integer below n. */
export function randomCuts(
  length: number,
  count: number,
  random: (below: number) => number = (below) => randomInt(below),
): readonly number[] {
  return Array.from({ length: count }, () => random(length + 1)).sort((a, b) => a - b);
}
