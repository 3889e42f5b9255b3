/** A month of facts, made up and written as the ledger's thread does: what the past costs to keep and to tell is measured on it. */

import { dayOf } from '../../src/ledger/ledger-files.ts';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { factLine, requestIdOf } from '../../test/support/facts.ts';

export const DAYS = 30;
export const DAY_MS = 86_400_000;
export const KEYS = 200;
export const MODELS = 6;
const BATCH = 5_000;

/** What writing it took. */
export interface MadeMonth {
  readonly beganMs: number;
  /** CPU of a fact, in microseconds: to be kept, and to be added up. */
  readonly keptUs: number;
  readonly summedUs: number;
  /** The longest step of adding up, in milliseconds. */
  readonly longestStepMs: number;
}

export function beganOf(nowMs: number): number {
  return (dayOf(nowMs) - DAYS) * DAY_MS;
}

/** A line of each kind, to be given its own parts: making each from scratch would cost more than keeping it. */
function kindsOf(beganMs: number): readonly (readonly string[])[] {
  return Array.from({ length: KEYS * MODELS }, (_, at) => {
    const key = at % KEYS;
    const line = factLine({
      timeMs: beganMs,
      requestId: requestIdOf(0xabcdef),
      tenantId: String(key % 40),
      keyId: String(key),
      provider: ['openai', 'anthropic', 'gemini'][at % 3] ?? '',
      model: `model-${Math.floor(at / KEYS)}`,
      input: 777_777_777,
      cost: '0.123456789',
    });
    return line.split(
      /2[0-9-]{9}T[0-9:.]{12}Z|req_[0-9a-f]{24}|777777777|(?<=cost_usd":")0\.123456789/,
    );
  });
}

/** @param facts spread evenly over the days before today. @param folder a `data_dir` */
export function writeMonth(folder: string, facts: number): MadeMonth {
  const beganMs = beganOf(Date.now());
  const kinds = kindsOf(beganMs);
  const ledger = new SqliteLedger(folder);
  let keptUs = 0;
  for (let from = 0; from < facts; from += BATCH) {
    let text = '';
    for (let n = from; n < Math.min(from + BATCH, facts); n++) {
      // Keys are used unequally, as they are.
      const kind = kinds[Math.floor(kinds.length * ((n * 0.618_033_988_7) % 1) ** 2)] ?? [];
      const time = new Date(beganMs + Math.floor((n / facts) * DAYS * DAY_MS)).toISOString();
      const [a, b, c, d, e] = kind;
      text += `${a}${time}${b}${requestIdOf(n)}${c}${100 + (n % 9_000)}${d}0.${String(1 + (n % 90_000)).padStart(6, '0')}1${e}\n`;
    }
    const lines = Buffer.from(text);
    const before = process.cpuUsage();
    const { added } = ledger.add(lines);
    keptUs += usSince(before);
    if (added === 0) throw new Error('nothing was added');
  }
  let summedUs = 0;
  let longestStepMs = 0;
  for (;;) {
    const before = process.cpuUsage();
    const beganAt = performance.now();
    if (!ledger.sumUp(Date.now())) break;
    longestStepMs = Math.max(longestStepMs, performance.now() - beganAt);
    summedUs += usSince(before);
  }
  ledger.close();
  return { beganMs, keptUs: keptUs / facts, summedUs: summedUs / facts, longestStepMs };
}

function usSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
