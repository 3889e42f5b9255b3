import { expect, test } from 'vitest';
import { type Limits, NO_LIMITS } from '../../../src/policy/limit-settings.ts';
import { createLimitTable, LimitTable } from '../../../src/policy/limit-table.ts';
import { type KeyLimits, Limiter, type LimitGrant } from '../../../src/policy/limiter.ts';
import { seededRandom } from '../../support/fixtures.ts';
import { UNLIMITED } from '../../support/no-limits.ts';

const REQUESTS = 100_000;
const WORKERS = 3;
const PLACES = 40;
/** How often a worker dies: with whatever it has in flight. */
const DEATHS = 50;

const OWN: Limits = { rpm: 0, tpm: 10_000_000, maxInFlight: PLACES };

test('T4: of 100,000 requests, whose workers die, whichever way they end, none keeps its place, and none is let in beyond', () => {
  const next = seededRandom(16);
  const memory = createLimitTable(WORKERS);
  const tables = Array.from({ length: WORKERS }, (_, at) => new LimitTable(memory, at));
  const counts = { limitReached() {}, limitRowDropped() {}, classShed() {} };
  const clock = { us: 1_000_000 };
  const keyOf = (table: LimitTable): KeyLimits => {
    const config = {
      ...UNLIMITED,
      gateway: { ...NO_LIMITS, maxInFlight: PLACES },
      models: new Map([['openai/a', { ...NO_LIMITS, maxInFlight: PLACES - 5 }]]),
    };
    const limiter = new Limiter(table, config, counts, () => clock.us);
    const made = limiter.of('agent', [limiter.purse('key', '1', OWN, true)]);
    if (made === null) throw new Error('nothing limits it');
    return made;
  };
  const keys = tables.map(keyOf);
  const under: LimitGrant[][] = tables.map(() => []);
  const inFlight = (): number => under.reduce((sum, grants) => sum + grants.length, 0);
  let served = 0;
  let refused = 0;
  for (let request = 0; request < REQUESTS; request++) {
    const worker = Math.floor(next() * WORKERS);
    clock.us += Math.floor(next() * 10_000);
    const came = keys[worker]?.admit(
      'openai',
      'openai/a',
      { inputTokens: 9, outputTokens: 9 },
      true,
    );
    if (came === undefined || 'code' in came) refused++;
    else {
      served++;
      under[worker]?.push(came);
    }
    // Where there is no room, somebody ends; else about as many as begin.
    if (came === undefined || 'code' in came || next() < 0.5) {
      const grants = under[Math.floor(next() * WORKERS)] ?? [];
      const [ended] = grants.splice(Math.floor(next() * grants.length), 1);
      const used = Math.floor(next() * 200);
      ended?.settle(used);
      // A late end of the same is none.
      if (next() < 0.1) ended?.settle(used);
    }
    if (request % (REQUESTS / DEATHS) === 0) {
      tables[worker]?.reset();
      under[worker]?.splice(0);
    }
    expect(inFlight()).toBeLessThanOrEqual(PLACES - 5);
  }
  expect(served).toBeGreaterThan(REQUESTS / 3);
  expect(refused).toBeGreaterThan(100);
  for (const grants of under) for (const grant of grants.splice(0)) grant.settle(0);
  // All places are there again, at once, and not one more.
  for (let place = 0; place < PLACES - 5; place++) {
    const came = keys[place % WORKERS]?.admit(
      'openai',
      'openai/a',
      { inputTokens: 1, outputTokens: 0 },
      true,
    );
    expect(came === undefined || 'code' in came).toBe(false);
  }
  const beyond = keys[0]?.admit('openai', 'openai/a', { inputTokens: 1, outputTokens: 0 }, true);
  expect(beyond).toMatchObject({ code: 'rate_limited' });
});
