/** Modules of an operator's, written into a folder for a test. */

import { mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder: string | null = null;
let files = 0;

/** @param source a whole module @returns its path */
export function guardModule(source: string, ending: 'ts' | 'js' | 'mjs' = 'mjs'): string {
  folder ??= mkdtempSync(join(tmpdir(), 'sluice-guards-'));
  const path = join(folder, `guard-${++files}.${ending}`);
  writeFileSync(path, source);
  return path;
}

/** @param body of its hook for requests, which is given `text` and `context` */
export function requestHook(body: string): string {
  return guardModule(`export default { name: 'test', request(text, context) { ${body} } };`);
}

/** Puts another module in its place, as a deployment does: whole, at once. */
export function replaceModule(path: string, source: string): void {
  writeFileSync(`${path}.next`, source);
  renameSync(`${path}.next`, path);
}
