/**
 * Facts at a constant rate into a ledger of its own, as a gateway's ledger thread takes them: 5 commits a second.
 * Arguments: folder, facts a second. Tells on stdin's end how many it kept, and in how much CPU.
 */

import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { factLine, requestIdOf } from '../../test/support/facts.ts';

const COMMIT_MS = 200;

const [, , folder = '', perSecond = '0'] = process.argv;
const batch = (Number(perSecond) * COMMIT_MS) / 1_000;
const KEYS = 200;
const STAND_IN = requestIdOf(0xabcdef);
/** Around the request's id: making each line from scratch would cost more than keeping it. */
const kinds = Array.from({ length: KEYS }, (_, at) =>
  factLine({
    timeMs: Date.now(),
    requestId: STAND_IN,
    tenantId: String(at % 40),
    keyId: String(at),
    model: `model-${at % 6}`,
  }).split(STAND_IN),
);
const ledger = new SqliteLedger(folder);
let told = 0;

const timer = setInterval(() => {
  let text = '';
  for (let at = 0; at < batch; at++, told++) {
    const [before = '', behind = ''] = kinds[told % KEYS] ?? [];
    text += `${before}${requestIdOf(told)}${behind}\n`;
  }
  ledger.add(Buffer.from(text));
}, COMMIT_MS);
const beganAt = performance.now();

process.stdin.resume().once('end', () => {
  clearInterval(timer);
  const seconds = (performance.now() - beganAt) / 1_000;
  const { user, system } = process.cpuUsage();
  ledger.close();
  const cores = (user + system) / 1e6 / seconds;
  process.stdout.write(`${JSON.stringify({ perSecond: told / seconds, cores })}\n`);
});
