/** What guards need of the machine: the file of a module, and a place for a log. */

import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { GuardConfig, GuardMade } from '../guard/guard-config.ts';
import type { ConfigProblem } from './config-problem.ts';
import { readText } from './config-reference.ts';
import type { Settings } from './config-schema.ts';
import { problemAt, type RawConfig } from './config-source.ts';

/** Source code; far beyond that it is another file. */
const MODULE_MAX_BYTES = 1_048_576;

export function guardProblems(
  raw: RawConfig,
  { guards, data_dir: dataDir }: Settings,
): readonly ConfigProblem[] {
  return [...guards].flatMap(([name, { made }]) => {
    if (made.kind === 'logger' && made.path === '' && dataDir === null) {
      const expected = 'the path of a file, or a data_dir for it to be in';
      return [problemAt(raw, ['guards', name, 'path'], expected)];
    }
    if (made.kind !== 'module' || made.path === '') return [];
    const at = ['guards', name, 'module'];
    const file = readText(made.path, MODULE_MAX_BYTES);
    if ('failure' in file)
      return [problemAt(raw, at, 'a module that can be read', `${made.path} (${file.failure})`)];
    return /\.[cm]?[jt]s$/.test(made.path)
      ? []
      : [problemAt(raw, at, 'a module: .ts, .mts, .js or .mjs')];
  });
}

/** Each with its paths as they are, and what changes with a module's file. */
export function guardsOf({
  guards,
  data_dir: dataDir,
}: Settings): ReadonlyMap<string, GuardConfig<string>> {
  return new Map(
    [...guards].map(([name, guard]) => [
      name,
      { ...guard, made: madeHere(name, guard.made, dataDir) },
    ]),
  );
}

function madeHere(
  name: string,
  made: GuardMade<string>,
  dataDir: string | null,
): GuardMade<string> {
  if (made.kind === 'logger' && made.path === '')
    return { ...made, path: join(dataDir ?? '', 'exchange-log', `${name}.ndjson`) };
  if (made.kind !== 'module') return made;
  const file = readText(made.path, MODULE_MAX_BYTES);
  const text = 'text' in file ? file.text : '';
  const version = createHash('sha256').update(text).digest('hex');
  return { ...made, path: resolve(made.path), version };
}
