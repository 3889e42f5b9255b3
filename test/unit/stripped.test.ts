import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { stripTypes } from '../../src/strip-types.ts';
import { strippedName } from '../../src/stripped.ts';
import { VERSION } from '../../src/version.ts';
import { ROOT } from '../support/gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'stripped-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a process finds in `version.ts` that takes its JavaScript from a folder. */
const versionWith = (from: string): string =>
  execFileSync(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `const { takeStripped } = await import(${JSON.stringify(join(ROOT, 'src/stripped.ts'))});
       takeStripped(${JSON.stringify(from)});
       console.log((await import(${JSON.stringify(join(ROOT, 'src/version.ts'))})).VERSION);`,
    ],
    { encoding: 'utf8' },
  ).trim();

it('the JavaScript that is kept of a source is taken, and its source where none is kept of it', () => {
  const kept = mkdtempSync(join(folder, 'kept-'));
  expect(versionWith(kept)).toBe(VERSION);
  const source = readFileSync(join(ROOT, 'src/version.ts'));
  const file = join(kept, strippedName(source));
  writeFileSync(file, 'export const VERSION = "kept";');
  expect(versionWith(kept)).toBe('kept');
  // As it is when the source was changed since.
  rmSync(file);
  writeFileSync(join(kept, strippedName(Buffer.concat([source, source]))), 'throw 1;');
  expect(versionWith(kept)).toBe(VERSION);
  expect(versionWith(join(folder, 'nowhere'))).toBe(VERSION);
});

it('every source is kept as JavaScript, each at its own lines, and nothing of what was kept before', () => {
  const from = mkdtempSync(join(folder, 'from-'));
  const to = join(folder, 'to');
  const source =
    'export interface One {\n  readonly it: string;\n}\nexport const two: One | null = null;\n';
  writeFileSync(join(from, 'one.ts'), source);
  writeFileSync(join(from, 'other.ts'), 'export const other: number = 1;\n');
  expect(stripTypes(from, to)).toBe(2);
  const made = readFileSync(join(to, strippedName(Buffer.from(source))), 'utf8');
  expect(
    made.split('\n').indexOf(made.split('\n').find((line) => line.includes('two')) ?? ''),
  ).toBe(3);
  expect(made).not.toContain('One');
  rmSync(join(from, 'other.ts'));
  expect(stripTypes(from, to)).toBe(1);
  expect(readdirSync(to)).toEqual([strippedName(Buffer.from(source))]);
});
