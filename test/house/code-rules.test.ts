import { describe, expect, test } from 'vitest';
import {
  codeOnly,
  filesBelow,
  type SourceFile,
  sourceFiles,
  textOf,
} from '../support/source-tree.ts';

const files = sourceFiles();

/** What runs per request or per chunk: whole folders, so that a new file is held to it from its first day. */
const HOT =
  /^(?:edge|wire|exchange|upstream|meter|admit|settle|providers)\/|^deny\/deny-table\.ts$|^ticker\.ts$/;
const hot = files.filter(({ path }) => HOT.test(path));

/** Runs once per worker, at boot: the binary must load after the environment variable that it reads was set. */
const BOOT_ONLY: ReadonlyMap<string, RegExp> = new Map([
  ['edge/uws-listener.ts', /export async function loadFrontEnd[\s\S]*?\n}\n/],
]);

/** Takes bytes, and makes a closure all the same: so often as is said here, and not with each chunk. */
const SELDOM: Readonly<Record<string, string>> = {
  'exchange/unpacking-lane.ts #open': 'once per body that came packed',
  'upstream/limited.ts begin': 'once per request that waits for a connection',
  'wire/sse-withhold.ts isUsageOnly': 'once per event that may be the one that only we asked for',
};

/** A function or method that is given bytes: as good as every one of these runs per chunk. */
const TAKES_BYTES =
  /\n *(?:export )?(?:function |static )?(#?\w+)\(([^()]*\b(?:Buffer|Uint8Array)\b[^()]*)\)(?:: [^{;=]*?)? \{/g;

/** @returns the names of those, and the text between their braces */
function bytesTakers({ text }: SourceFile): readonly (readonly [name: string, body: string])[] {
  const code = codeOnly(text);
  return [...code.matchAll(TAKES_BYTES)].map((match) => {
    const from = match.index + match[0].length - 1;
    let depth = 0;
    let end = from;
    do {
      if (code[end] === '{') depth++;
      else if (code[end] === '}') depth--;
      end++;
    } while (depth > 0 && end < code.length);
    return [match[1] ?? '', code.slice(from, end)];
  });
}

/** Names that say nothing about what is inside, so that everything ends up inside. */
const EMPTY_NAMES = /^(?:utils?|helpers?|common|misc|shared|types?|base|managers?|lib|stuff)$/;

// Written in two parts: this file must not be its own finding.
const OBSOLETE_RFC = new RegExp(`RFC[ -]?(?:${['26' + '16', '72' + '3[0-5]'].join('|')})`, 'i');

const written = [
  ...filesBelow('src', '.ts').map((path) => `src/${path}`),
  ...filesBelow('test', '.ts').map((path) => `test/${path}`),
  ...filesBelow('bench', '.ts').map((path) => `bench/${path}`),
  ...filesBelow('wasm', '.ts').map((path) => `wasm/${path}`),
];

/** Tests that say how long something may take, and how far that is from what happens. */
const TIMED: Readonly<Record<string, string>> = {
  'test/claims/backoff.test.ts': 'a second at most, against four',
};

/** @returns what a test expects to be less than something, and took from a clock of this machine */
function limitsOfTime(text: string): readonly string[] {
  const code = codeOnly(text);
  const readings = [
    ...code.matchAll(/\b(?:const|let) (\w+) =[^;]*?\b(?:performance|Date)\.now\(\)/g),
  ];
  const names = ['performance', 'Date', ...readings.map(([, name]) => name)];
  const timed = new RegExp(`\\b(?:${names.join('|')})\\b`);
  return [...code.matchAll(/\bexpect\(((?:[^()]|\([^()]*\))*)\)\s*\.toBeLessThan/g)]
    .map(([, expected]) => expected ?? '')
    .filter((expected) => timed.test(expected));
}

describe('rules of the house', () => {
  test('nothing on the hot path awaits or makes a promise', () => {
    const found = hot.flatMap(({ path, text }) => {
      const code = codeOnly(text.replace(BOOT_ONLY.get(path) ?? '', ''));
      return [...code.matchAll(/\b(?:async|await|Promise)\b/g)].map(([word]) => `${path}: ${word}`);
    });
    expect(found).toEqual([]);
    expect(hot.length).toBeGreaterThan(60);
  });

  test('what takes bytes on the hot path makes no closure, but where it is named', () => {
    const takers = hot.flatMap((file) =>
      bytesTakers(file).map(([name, body]) => ({ where: `${file.path} ${name}`, body })),
    );
    const found = takers.filter(({ body }) => /=>|\bfunction\b|\.bind\(/.test(body));
    expect([...new Set(found.map(({ where }) => where))].sort()).toEqual(
      Object.keys(SELDOM).sort(),
    );
    // Of every folder that bytes go through.
    expect(takers.length).toBeGreaterThan(60);
  });

  test('no file or folder has a name that says nothing', () => {
    const segments = written.flatMap((path) =>
      path.split('/').map((name) => ({ path, name: name.replace(/\..*$/, '') })),
    );
    expect(segments.filter(({ name }) => EMPTY_NAMES.test(name))).toEqual([]);
  });

  test('no source file has a default export', () => {
    const found = files.filter(({ text }) =>
      /^export\s+default\b|\bas default\b/m.test(codeOnly(text)),
    );
    expect(found.map(({ path }) => path)).toEqual([]);
  });

  test('no file exports everything of another one', () => {
    expect(files.filter(({ text }) => /^export \*/m.test(text)).map(({ path }) => path)).toEqual(
      [],
    );
  });

  test('no text cites an HTTP RFC that RFC 9110 to 9112 replaced', () => {
    const documents = filesBelow('.', '.md');
    expect([...written, ...documents].filter((path) => OBSOLETE_RFC.test(textOf(path)))).toEqual(
      [],
    );
  });

  test('no comment promises work without an issue number', () => {
    const open = /\b(?:TODO|FIXME|HACK)\b(?!\s*\(?(?:issue\s|#)\d)/;
    const found = written.filter(
      (path) => path !== 'test/house/code-rules.test.ts' && open.test(textOf(path)),
    );
    expect(found).toEqual([]);
  });

  test('every test name is a claim, not a wish', () => {
    const name = /\b(?:test|it)(?:\.\w+\([^\n]*?\))?\(\s*'([^'\n]*)'/g;
    const found = written
      .filter((path) => path.endsWith('.test.ts'))
      .flatMap((path) => [...textOf(path).matchAll(name)].map((match) => match[1] ?? ''))
      .filter((claim) => /\bshould\b/.test(claim));
    expect(found).toEqual([]);
  });

  // A busy machine is no failure: order, counts, bytes and what is told decide. A benchmark is not a test.
  test('no test is decided by how long something took, but where it is named', () => {
    const late = 'expect(performance.now() - began).toBeLessThan(1_500);';
    expect(limitsOfTime(late)).toHaveLength(1);
    expect(limitsOfTime(`const ms = Date.now() - at;\nexpect(ms)\n  .toBeLessThan(9);`)).toEqual([
      'ms',
    ]);
    const found = written.filter((path) => limitsOfTime(textOf(path)).length > 0);
    expect(found).toEqual(Object.keys(TIMED));
  });

  test('no file of the repository names a package registry', () => {
    const registry = new RegExp(
      ['registry\\.npm' + 'js', 'np' + 'mmirror', 'registry\\.yarn'].join('|'),
      'i',
    );
    const files = [
      ...written,
      ...filesBelow('.', '.md'),
      'package.json',
      'package-lock.json',
      '.npmrc',
    ];
    expect(files.filter((path) => registry.test(textOf(path)))).toEqual([]);
  });
});
