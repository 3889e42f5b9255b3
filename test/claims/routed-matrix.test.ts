import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAILOVER_REASONS } from '../../src/plan/failover.ts';
import {
  type Cell,
  cells,
  expected,
  type FaultMatrix,
  modelOf,
  type Ran,
  startFaultMatrix,
} from '../support/fault-matrix.ts';
import type { LogLine } from '../support/gateway.ts';

// All cells are asked for at once, the rules are looked at one by one: most of the faults are waits.
const ALL = cells();
const AT_ONCE = 32;

let matrix: FaultMatrix;
let ran: ReadonlyMap<string, Ran>;
let factsOf: ReadonlyMap<string, readonly LogLine[]>;

beforeAll(async () => {
  matrix = await startFaultMatrix(ALL);
  ran = new Map((await matrix.run(ALL, AT_ONCE)).map((one) => [one.cell.route, one]));
  factsOf = Map.groupBy(await matrix.facts(), (fact) => String(fact['route']));
}, 300_000);
afterAll(async () => await matrix.stop());

const ranOf = ({ route }: Cell): Ran => {
  const found = ran.get(route);
  if (found === undefined) throw new Error(`${route} was not run`);
  return found;
};
const eventsOf = (text: string): readonly string[] => text.split(/(?<=\n\n)/);

test.each(
  ALL,
)('$name: what the caller got, what each upstream saw and what the facts say is what the contract says (F9)', (cell) => {
  expectAnswer(cell);
  expectAsked(cell);
  expectFacts(cell);
  expectBilled(cell);
});

function expectAnswer(cell: Cell): void {
  const wanted = expected(cell);
  const { got, direct, sound } = ranOf(cell);
  if (got.sdk !== null) {
    if (wanted.answers === 'gateway')
      expect(got.sdk).toEqual({ kind: 'status', status: wanted.status });
    else if (wanted.ends === 'cut') expect(got.sdk).toEqual({ kind: 'broke' });
    else expect(got.sdk).toEqual(direct?.sdk);
    return;
  }
  const { raw } = got;
  expect([raw?.status, raw?.cut]).toEqual([wanted.status, wanted.ends !== 'whole']);
  if (wanted.answers === 'gateway') {
    const { error, type } = JSON.parse(raw?.text ?? '') as { error: object; type?: string };
    expect(error).toBeTypeOf('object');
    expect(type).toBe(cell.wire === 'messages' ? 'error' : undefined);
    return;
  }
  if (wanted.ends === 'whole') expect(raw?.text).toBe(direct?.raw?.text);
  else if (wanted.ends === 'cut') expectCut(cell, raw?.text ?? '', sound?.raw?.text ?? '');
}

/** Each upstream is asked as often as the contract says, and nobody else is. */
function expectAsked(cell: Cell): void {
  const seen = ([0, 1] as const).map(
    (at) =>
      matrix.asked[at].filter((model) => model === modelOf(at === 0 ? cell.first : cell.second))
        .length,
  );
  expect(seen).toEqual(expected(cell).attempts);
}

/** One fact for each attempt, the last one final; and the way in the answer's fields. */
function expectFacts(cell: Cell): void {
  const wanted = expected(cell);
  const targets = [cell.first, cell.second].flatMap((target, at) =>
    Array<string>(wanted.attempts[at] ?? 0).fill(target),
  );
  const own = factsOf.get(cell.route) ?? [];
  expect(own.map(({ attempt, final, target_model }) => [attempt, final, target_model])).toEqual(
    targets.map((target, at) => [at + 1, at === targets.length - 1, target]),
  );
  const { raw } = ranOf(cell).got;
  if (raw === null || wanted.answers === 'gateway') return;
  expect(raw.target).toBe(targets.at(-1));
  expect(raw.attempts?.split(', ').map((one) => one.split(' ')[0])).toEqual(targets);
  expect(raw.attempts?.endsWith(` ${wanted.status}`)).toBe(true);
}

/** What is reported is what was billed; of an attempt that came to nothing, never more than that. */
function expectBilled(cell: Cell): void {
  const wanted = expected(cell);
  const own = factsOf.get(cell.route) ?? [];
  for (const [at, target] of [cell.first, cell.second].entries()) {
    const counted = own
      .filter((fact) => fact['target_model'] === target && fact['usage_source'] === 'reported')
      .reduce((sum, fact) => sum + Number(fact['input_tokens']) + Number(fact['output_tokens']), 0);
    const billed = matrix.billed[at === 0 ? 0 : 1].get(modelOf(target)) ?? 0;
    const isSeen = wanted.answers === (at === 0 ? 'first' : 'second') && wanted.ends === 'whole';
    if (isSeen && own.at(-1)?.['usage_source'] === 'reported') expect(counted).toBe(billed);
    else if (!isSeen) expect(counted).toBeLessThanOrEqual(billed);
  }
}

/** What came before the cut, byte for byte; behind whole events one error event in the caller's dialect. */
function expectCut(cell: Cell, text: string, whole: string): void {
  if (!cell.stream) {
    expect(text).toBe(whole.slice(0, whole.length >> 1));
    return;
  }
  const count = cell.fault.model === 'fault-role-only' ? openingOf(cell) : expected(cell).events;
  const before = eventsOf(whole).slice(0, count).join('');
  expect(text.startsWith(before)).toBe(true);
  const rest = text.slice(before.length);
  if (cell.fault.model.includes('midevent')) {
    expect(whole.startsWith(text)).toBe(true);
    return;
  }
  expect(eventsOf(rest)).toHaveLength(1);
  const data = JSON.parse(/^data: (.*)$/m.exec(rest)?.[1] ?? '') as { error?: object };
  expect(data.error ?? data).toHaveProperty('message');
}

/** Events of an opening: it is all that a target with this fault says. */
function openingOf({ wire }: Cell): number {
  return { chat: 1, responses: 4, messages: 3 }[wire];
}

test('every attempt that another one followed is counted, by its reason, and nothing is left in flight', async () => {
  const metrics = await matrix.gateway.idle();
  const counted = FAILOVER_REASONS.map(
    (reason) => [reason, metrics.get(`ai_failovers_total{reason="${reason}"}`)] as const,
  );
  const reasons = ALL.flatMap((cell) => expected(cell).reasons);
  expect(counted).toEqual(
    FAILOVER_REASONS.map((reason) => [reason, reasons.filter((one) => one === reason).length]),
  );
});
