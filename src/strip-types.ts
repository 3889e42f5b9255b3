/**
 * Keeps the JavaScript of every source, so that no start has to take the types out again. `npm ci` runs it; without it, and
 * for what was changed since, Node does it by itself.
 */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { STRIPPED, strippedName } from './stripped.ts';

/**
 * @param from a folder of sources
 * @param to is replaced whole, once all of it is there
 * @returns how many files there are
 */
export function stripTypes(from: string, to: string): number {
  const made = `${to}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  const sources = readdirSync(from, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  for (const name of sources) {
    const source = readFileSync(join(from, name));
    writeFileSync(join(made, strippedName(source)), stripTypeScriptTypes(source.toString()));
  }
  rmSync(to, { recursive: true, force: true });
  renameSync(made, to);
  return sources.length;
}

if (import.meta.filename === process.argv[1]) stripTypes(import.meta.dirname, STRIPPED);
