import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SETTINGS } from '../../src/config/config-schema.ts';
import { filesBelow, ROOT, textOf } from '../support/source-tree.ts';

/** What is written for people, relative to the root. */
const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  ...filesBelow('docs', '.md').map((at) => `docs/${at}`),
];

/** What docs/facts.md makes in data bases, which is spelled as metrics are. */
const OF_DATA_BASES: ReadonlySet<string> = new Set([
  'ai_usage_lines',
  'ai_usage_sums',
  'ai_usage_sums_tenant',
  'ai_usage_time',
  'ai_usage_tenant',
  'ai_usage_add',
  'ai_usage_added',
]);

const FENCED = /^```.*\n([\s\S]*?)^```$/gm;

/** `[text](target)`, pictures too; not what stands in code. */
const linksOf = (text: string): readonly string[] =>
  [...text.replaceAll(FENCED, '').matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');

/** Where GitHub lets a link jump to: headings in lower case, blanks as hyphens, other signs gone. */
const anchorsOf = (text: string): readonly string[] =>
  [...text.replaceAll(FENCED, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Code as readers see it: blocks, and what stands between backticks. */
const codeOf = (text: string): readonly string[] => [
  ...[...text.matchAll(FENCED)].flatMap((match) => (match[1] ?? '').split('\n')),
  ...[...text.replaceAll(FENCED, '').matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? ''),
];

/** What every page says in code that the pattern finds, with the page's name in front. */
const said = (pattern: RegExp): readonly (readonly [string, string])[] =>
  PAGES.flatMap((page) =>
    codeOf(textOf(page)).flatMap((code) =>
      [...code.matchAll(pattern)].map((match) => [page, match[1] ?? ''] as const),
    ),
  );

/** Those of `found` that are not `known`; there must be some to look at. */
function unknown(
  found: readonly (readonly [string, string])[],
  known: (name: string) => boolean,
): readonly string[] {
  expect(found.length).toBeGreaterThan(3);
  return found.filter(([, name]) => !known(name)).map(([page, name]) => `${page}: ${name}`);
}

describe('pages for people', () => {
  test('every relative link leads to a file that is there, and to a heading of it', () => {
    const broken = PAGES.flatMap((page) =>
      linksOf(textOf(page)).flatMap((link) => {
        if (/^[a-z]+:/.test(link)) return [];
        const [path = '', anchor] = link.split('#');
        const to = path === '' ? page : normalize(join(dirname(page), path));
        if (!existsSync(join(ROOT, to))) return [`${page}: ${link}`];
        const isThere = anchor === undefined || anchorsOf(textOf(to)).includes(anchor);
        return isThere ? [] : [`${page}: ${link}`];
      }),
    );
    expect(broken).toEqual([]);
    expect(PAGES.length).toBeGreaterThan(5);
  });

  test('the README is short, and leads to every page', () => {
    const readme = textOf('README.md');
    expect(readme.split('\n').length).toBeLessThan(160);
    const linked = new Set(linksOf(readme));
    expect(PAGES.filter((page) => page !== 'README.md' && !linked.has(page))).toEqual([]);
  });

  test('no paragraph, row or item stands twice', () => {
    const seen = new Map<string, string>();
    const twice: string[] = [];
    for (const page of PAGES) {
      const parts = textOf(page).split(/\n(?=\n|- |\|)/);
      for (const part of parts.map((text) => text.trim()).filter(({ length }) => length > 80)) {
        const before = seen.get(part);
        if (before !== undefined) twice.push(`${before} and ${page}: ${part.slice(0, 60)}`);
        seen.set(part, page);
      }
    }
    expect(twice).toEqual([]);
  });

  test('every command of npm that they name is a script of package.json', () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: object };
    const found = said(/\bnpm run ([\w:]+)/g);
    expect(unknown(found, (name) => Object.hasOwn(scripts, name))).toEqual([]);
  });

  test('every command of sluice that they name is in its command table', () => {
    const table = textOf('src/main.ts');
    const found = said(/(?:^|\.\/)sluice ([a-z]+(?:-[a-z]+)*)/g);
    expect(unknown(found, (name) => new RegExp(`^ {2}'?${name}'?: \\{$`, 'm').test(table))).toEqual(
      [],
    );
  });

  test('every path of the repository that they name is there', () => {
    const found = said(/(?:^|[ (])((?:src|test|bench|deploy|docs|wasm)\/[\w./-]*[\w/])/g);
    const isThere = (path: string): boolean =>
      // Written by the benchmarks, not kept.
      path.startsWith('bench/results/') || existsSync(join(ROOT, path));
    // `test/claims/x` may stand for `test/claims/x.test.ts`, as in the list of invariants.
    expect(unknown(found, (path) => isThere(path) || isThere(`${path}.test.ts`))).toEqual([]);
  });

  test('every variable that they name overrides a key that there is', () => {
    const others = /^AI_(?:CONFIG|POOL_KEY_.*)$/;
    const found = said(/\b(AI_[A-Z_]+)\b(?!<)/g).filter(([, name]) => name !== 'AI_');
    const isKey = (name: string): boolean =>
      others.test(name) || Object.hasOwn(SETTINGS.shape, name.slice(3).toLowerCase());
    expect(found.filter(([, name]) => !isKey(name))).toEqual([]);
    expect(found.length).toBeGreaterThan(1);
  });

  test('every key in the table of keys is one of the configuration', () => {
    const rows = textOf('docs/configuration.md').match(/^\| `[^|]+/gm) ?? [];
    const keys = rows.flatMap((row) =>
      [...row.matchAll(/`\[?([a-z_]+)\]?`/g)].map(([, key]) => key),
    );
    expect(keys.length).toBeGreaterThan(15);
    expect(keys.filter((key = '') => !Object.hasOwn(SETTINGS.shape, key))).toEqual([]);
  });

  test('every metric that they name is one that the gateway has', () => {
    const page = textOf('src/settle/exposition.ts');
    const found = said(/\b(ai_[a-z_]+)/g).filter(([, name]) => !OF_DATA_BASES.has(name));
    const has = (name: string): boolean =>
      page.includes(`'${name.replace(/_(?:sum|count|bucket)$/, '')}'`);
    expect(unknown(found, (name) => name === 'ai_usage' || has(name))).toEqual([]);
  });
});
