import fc from 'fast-check';
import { expect } from 'vitest';
import {
  BudgetTable,
  type Claim,
  createBudgetTable,
  NO_ROW,
  rowName,
} from '../../src/budget/budget-table.ts';

export const DAY = 20_261_128;
export const MONTH = 202_611;

export function tables(workers: number, isWhole = true) {
  const memory = createBudgetTable(workers, isWhole);
  return {
    memory,
    main: new BudgetTable(memory, null),
    workers: Array.from({ length: workers }, (_, at) => new BudgetTable(memory, at)),
  };
}

export function claim(name: string, limit: number, label = DAY, enforced = true): Claim {
  return { name: rowName(name), row: NO_ROW, label, limit, enforced };
}

/** Null: it has none, or its window is over and another one has its row. */
export function stateOf(table: BudgetTable, name: string) {
  const row = table.find(rowName(name));
  return row === NO_ROW ? null : table.read(rowName(name), row);
}

export function settle(
  table: BudgetTable,
  { name, row, label }: Claim,
  reserved: number,
  spent: number,
) {
  table.settle(name, row, label, reserved, spent);
}

/**
 * Random scripts of 200 clients on three workers, beside a model that adds up what each budget should be: throws where they part.
 * @returns how many scripts were played
 */
export function interleaved(scripts: number): number {
  const CLIENTS = 200;
  const step = fc.record({
    client: fc.nat({ max: CLIENTS - 1 }),
    worker: fc.nat({ max: 2 }),
    nano: fc.integer({ min: 1, max: 400 }),
    // What it costs at last, in percent of what was reserved: aborted before its provider saw it, less, all of it, more.
    percent: fc.constantFrom(0, 0, 20, 70, 100, 100, 130),
    act: fc.constantFrom(
      'ask',
      'ask',
      'ask',
      'ask',
      'ask',
      'ask',
      'end',
      'end',
      'end',
      'end',
      'fall_back',
      'fall_back',
      'die',
      'midnight',
    ),
  });
  let runs = 0;
  let { main, workers } = tables(3);
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (script) => {
      const run = runs++;
      // A month's rows are taken as long as it lasts.
      if (run % 2_000 === 1_999) ({ main, workers } = tables(3));
      const LIMITS = { key: 2_000, tenant: 5_000, month: 60_000 };
      let label = DAY;
      const model = new Map<string, { label: number; spent: number; over: number }>();
      const open = new Map<
        number,
        { claims: Claim[]; names: readonly string[]; worker: number; nano: number; percent: number }
      >();
      const namesOf = (client: number) =>
        [
          [`key ${run}/${client % 7} day`, LIMITS.key, label],
          [`tenant ${run}/${client % 2} day`, LIMITS.tenant, label],
          [`tenant ${run}/${client % 2} month`, LIMITS.month, MONTH],
        ] as const;
      const books = (name: string, of: number) => {
        const known = model.get(name);
        if (known !== undefined && known.label === of) return known;
        const fresh = { label: of, spent: 0, over: 0 };
        if (known === undefined || known.label < of) model.set(name, fresh);
        return fresh;
      };
      const reservedOf = (name: string, of: number) =>
        [...open.values()]
          .filter(({ claims, names }) => claims[names.indexOf(name)]?.label === of)
          .reduce((sum, { nano }) => sum + nano, 0);
      const end = (client: number, percent: number) => {
        const held = open.get(client);
        const table = workers[held?.worker ?? 0];
        if (held === undefined || table === undefined) return;
        open.delete(client);
        const cost = Math.round((held.nano * percent) / 100);
        for (const [at, one] of held.claims.entries()) {
          settle(table, one, held.nano, cost);
          const known = model.get(held.names[at] ?? '');
          if (known === undefined || known.label !== one.label) continue;
          known.spent += cost;
          known.over += Math.max(0, cost - held.nano);
        }
      };
      const ask = (client: number, at: number, nano: number, percent: number) => {
        const named = namesOf(client);
        const claims = named.map(([name, limit, of]) => claim(name, limit, of));
        const fits = named.every(
          ([name, limit, of]) => books(name, of).spent + reservedOf(name, of) + nano <= limit,
        );
        const came = workers[at]?.reserve(claims, nano).kind;
        if (came !== (fits ? 'taken' : 'short')) expect({ came, named }).toBe(fits);
        const names = named.map(([name]) => name);
        if (came === 'taken') open.set(client, { claims, names, worker: at, nano, percent });
      };
      const look = () => {
        for (const [name, known] of model) {
          const limit = name.startsWith('key')
            ? LIMITS.key
            : name.endsWith('day')
              ? LIMITS.tenant
              : LIMITS.month;
          const state = stateOf(main, name);
          const isSame = state?.label !== known.label || state.spent === known.spent;
          if (!isSame || known.spent > limit + known.over)
            expect({ name, state, limit }).toEqual(known);
        }
      };
      for (const [at, { client, worker, nano, percent, act }] of script.entries()) {
        if (act === 'midnight') label++;
        else if (act === 'die') {
          main.forget(worker);
          for (const [who, held] of open) if (held.worker === worker) open.delete(who);
        } else if (act === 'ask' && !open.has(client)) ask(client, worker, nano, percent);
        else if (act === 'end') end(client, percent);
        else if (act === 'fall_back' && open.has(client)) {
          // The attempt is settled, and the next one, ten times as dear, has to fit by itself.
          end(client, percent);
          ask(client, worker, nano * 10, percent);
        }
        if (at % 8 === 0) look();
      }
      for (const client of [...open.keys()]) end(client, 50);
      look();
      for (const name of model.keys()) expect(stateOf(main, name)?.reserved ?? 0).toBe(0);
    }),
    { numRuns: scripts },
  );
  return runs;
}
