import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Log } from '../../../src/outlet/log.ts';
import { StateKeeper } from '../../../src/stored/state-keeper.ts';
import { StoredState } from '../../../src/stored/state-table.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'sluice-state-'));
  folders.push(made);
  return made;
}

const TENANT = { low: 42, high: 0 };
const HOME = { provider: 1, key: 2 };
const events: string[] = [];
const log: Log = { write: (_level, event) => events.push(event) };

/** A process that remembers these ids and ends. */
async function run(at: string | null, ids: readonly string[]): Promise<StoredState> {
  const keeper = new StateKeeper(at, log);
  keeper.start();
  const worker = new StoredState(keeper.memory, (record) => keeper.add(record));
  for (const id of ids) worker.remember(id, TENANT, HOME);
  expect(await keeper.stop(5_000)).toBe(true);
  return worker;
}

const idsOf = (from: number, count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `resp_${from + at}`);
const known = (state: StoredState, ids: readonly string[]): number =>
  ids.filter((id) => state.find(id, TENANT).length > 0).length;

describe('stored state on disk', () => {
  it('is known again after any number of restarts', async () => {
    const at = folder();
    await run(at, idsOf(0, 100));
    await run(at, idsOf(100, 100));
    const last = await run(at, []);
    expect(known(last, idsOf(0, 200))).toBe(200);
    expect(statSync(join(at, 'stored-state')).mode & 0o777).toBe(0o600);
  });

  it('without a folder ends with the process', async () => {
    await run(null, idsOf(0, 3));
    expect(known(await run(null, []), idsOf(0, 3))).toBe(0);
  });

  it('of a file that is torn anywhere behind its head is all that is whole', async () => {
    const at = folder();
    const path = join(at, 'stored-state');
    await run(at, idsOf(0, 20));
    const whole = readFileSync(path);
    // What was told while the file was made stands in it twice.
    const twice = (whole.length - 48) / 44 - 20;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 48, max: whole.length }),
        fc.boolean(),
        async (length, isZeroed) => {
          writeFileSync(path, whole);
          if (isZeroed)
            writeFileSync(
              path,
              Buffer.concat([whole.subarray(0, length), Buffer.alloc(whole.length - length)]),
            );
          else truncateSync(path, length);
          const first = await run(at, ['resp_new']);
          expect(known(first, idsOf(0, 20))).toBeGreaterThanOrEqual(
            Math.floor((length - 48) / 44) - twice,
          );
          // What was appended behind it is aligned.
          expect(known(await run(at, []), ['resp_new'])).toBe(1);
        },
      ),
      { numRuns: 15 },
    );
  });

  it.each([
    '',
    'SLUICE',
    'not at all a file of stored state, but something long enough to be one',
  ])('of a file that is none of ours (%j) is nothing, said once', async (text) => {
    const at = folder();
    writeFileSync(join(at, 'stored-state'), text);
    events.length = 0;
    await run(at, idsOf(0, 3));
    expect(events).toContain('stored_state_ignored');
    expect(known(await run(at, []), idsOf(0, 3))).toBe(3);
  });

  it('that cannot be written is said once, kept in memory, and stops nobody', async () => {
    events.length = 0;
    const keeper = new StateKeeper(join(folder(), 'nowhere'), log);
    keeper.start();
    const worker = new StoredState(keeper.memory, (record) => keeper.add(record));
    for (const id of idsOf(0, 5)) worker.remember(id, TENANT, HOME);
    expect(known(worker, idsOf(0, 5))).toBe(5);
    expect(await keeper.stop(50)).toBe(false);
    expect(events).toEqual(['stored_state_failed']);
  });
});

describe('what is told while the disk is busy', () => {
  it('is kept as well', async () => {
    const at = folder();
    const keeper = new StateKeeper(at, log);
    keeper.start();
    const worker = new StoredState(keeper.memory, (record) => keeper.add(record));
    for (const id of idsOf(0, 300)) {
      worker.remember(id, TENANT, HOME);
      if (id.endsWith('0')) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await keeper.stop(5_000)).toBe(true);
    expect(known(await run(at, []), idsOf(0, 300))).toBe(300);
  });
});
