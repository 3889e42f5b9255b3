import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { Reloader } from '../../../src/node/reload.ts';
import { providerSlots, providerTable } from '../../../src/providers/providers.ts';

const LOOK_MS = 1_000;

let folder: string;
let file: string;
let reloader: Reloader;
/** The limits of every configuration that was taken. */
let taken: number[];

/** Of any text a beginning is a valid configuration: only its size tells that more comes. */
const config = (rps: number): string => `workers = 1\nrate_limit_rps = ${rps}\n`;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  folder = mkdtempSync(join(tmpdir(), 'sluice-reload-'));
  file = join(folder, 'config.toml');
  writeFileSync(file, config(10));
  const source = { path: file, env: {} };
  const loaded = loadConfig(source);
  const names = providerTable(loaded.document.providers).map(({ name }) => name);
  taken = [];
  reloader = new Reloader(
    source,
    { loaded, accepted: [], refused: [] },
    loaded.document,
    providerSlots([], names),
    ({ rateLimitRps }) => taken.push(rateLimitRps),
    { write() {} },
    () => [],
  );
  reloader.start();
});
afterEach(() => {
  reloader.stop();
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

test('a file that goes on changing is not read before it has stayed the same for one look', () => {
  for (const rps of [100, 1_000, 10_000, 100_000]) {
    writeFileSync(file, config(rps));
    vi.advanceTimersByTime(LOOK_MS);
    expect(taken).toEqual([]);
  }
  vi.advanceTimersByTime(LOOK_MS);
  expect(taken).toEqual([100_000]);
  vi.advanceTimersByTime(LOOK_MS * 5);
  expect(taken).toEqual([100_000]);
});

test('a file that is as it was read is not read again', () => {
  vi.advanceTimersByTime(LOOK_MS * 5);
  expect(taken).toEqual([]);
});
