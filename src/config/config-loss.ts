import type { LoadedConfig } from './config.ts';
import type { ConfigDocument } from './config-document.ts';
import type { ConfigProblem } from './config-problem.ts';

/** Without any entry of these a gateway is another one: nobody's virtual keys, no provider to go to, or the wrong one. */
const TABLES = [
  ['signing_keys', ({ signingKeys }) => signingKeys.length],
  ['pool_keys', ({ poolKeys }) => poolKeys.length],
  ['provider_authorities', ({ providers }) => providers.filter((row) => row.authority).length],
] as const satisfies readonly (readonly [
  table: string,
  entries: (document: ConfigDocument) => number,
])[];

/**
 * What a running gateway must not take from a file that is valid by itself: a full disk or an editor that was killed
 * leaves an empty file, or half of one, and both are TOML. A start takes it: there is nothing that it could have lost.
 *
 * @returns a problem for everything that looks lost; none when the new configuration may be taken
 */
export function lossesOf(
  before: Pick<LoadedConfig, 'document' | 'fileShape'>,
  after: Pick<LoadedConfig, 'document' | 'fileShape' | 'source'>,
): readonly ConfigProblem[] {
  const file = after.source ?? 'environment';
  const problems: ConfigProblem[] = [];
  if (before.fileShape.keys > 0 && after.fileShape.keys === 0) {
    const expected = 'a file that was not emptied: write it again, or restart to run without it';
    return [{ file, key: 'the whole file', found: 'not one key', expected }];
  }
  if (before.fileShape.endsLine && !after.fileShape.endsLine) {
    const expected = 'a line end behind it, as there was before: the file may be half written';
    problems.push({ file, key: 'the last line', found: 'no line end', expected });
  }
  if (after.document.allowEmpty) return problems;
  for (const [table, entries] of TABLES) {
    if (entries(before.document) === 0 || entries(after.document) > 0) continue;
    const expected = `at least one, since there were ${entries(before.document)}: put them back, or say allow_empty = true in the same file, or restart`;
    problems.push({ file, key: table, found: 'no entry', expected });
  }
  return problems;
}
