import { describe, expect, test } from 'vitest';
import {
  codeOnly,
  importCycles,
  markdownTable,
  sourceFiles,
  textOf,
} from '../support/source-tree.ts';

const COLUMNS = ['file', 'responsibility', 'may import'];

interface MapRow {
  readonly file: string;
  readonly responsibility: string;
  /** `wire/` for a folder, `rejection.ts` for a file. */
  readonly allowed: readonly string[];
}

/** Everything between backticks in a cell: `` `wire/`, `rejection.ts` ``. */
const ticked = (cell: string): readonly string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');

const rows: readonly MapRow[] = (markdownTable(textOf('ARCHITECTURE.md'), COLUMNS) ?? []).map(
  ([file = '', responsibility = '', allowed = '']) => ({
    file: ticked(file)[0] ?? file,
    responsibility,
    allowed: ticked(allowed),
  }),
);
const files = sourceFiles();

/** Of one folder (never of the root): such files may always import each other, cycles apart. */
const isNeighbour = (from: string, to: string): boolean => {
  const folder = from.slice(0, from.lastIndexOf('/') + 1);
  return folder !== '' && to.startsWith(folder);
};

const covers = (entry: string, path: string): boolean =>
  entry.endsWith('/') ? path.startsWith(entry) : path === entry;

describe('module map of ARCHITECTURE.md', () => {
  test('every source file is in the module map exactly once', () => {
    expect(rows.map(({ file }) => file).sort()).toEqual(files.map(({ path }) => path));
  });

  test('every row of the module map names a responsibility', () => {
    expect(rows.filter(({ responsibility }) => responsibility.length < 10)).toEqual([]);
    expect(rows.length).toBeGreaterThan(0);
  });

  test('every entry of a may-import cell names something that exists', () => {
    const unknown = rows.flatMap(({ file, allowed }) =>
      allowed
        .filter((entry) => !files.some(({ path }) => covers(entry, path)))
        .map((entry) => `${file} may import ${entry}, which does not exist`),
    );
    expect(unknown).toEqual([]);
  });

  test('no file imports what its row of the module map does not allow', () => {
    const allowedOf = new Map(rows.map(({ file, allowed }) => [file, allowed]));
    const forbidden = files.flatMap(({ path, imports }) =>
      imports
        .filter(
          (to) =>
            !isNeighbour(path, to) && !allowedOf.get(path)?.some((entry) => covers(entry, to)),
        )
        .map((to) => `${path} imports ${to}`),
    );
    expect(forbidden).toEqual([]);
  });

  test('no source files import each other in a circle', () => {
    expect(importCycles(files)).toEqual([]);
  });
});

describe('sides of the gateway', () => {
  test('the edge and the upstream side never import each other', () => {
    const crossing = files.flatMap(({ path, imports }) =>
      imports
        .filter((to) => sideOf(path) !== null && sideOf(to) !== null && sideOf(path) !== sideOf(to))
        .map((to) => `${path} imports ${to}`),
    );
    expect(crossing).toEqual([]);
  });

  test("the conductor names nobody who is asked: that is its lane's", () => {
    const text = textOf('src/exchange/exchange.ts');
    expect(codeOnly(text).match(/provider|target|poolKey|UpstreamCall/gi)).toBeNull();
  });

  test('every timer of a request is a member of a ticker: none is made for one', () => {
    const rooms = /^(?:admit|edge|exchange|meter|settle|upstream|wire)\//;
    const timers = files.filter(
      ({ path, text }) => rooms.test(path) && /\bset(?:Timeout|Interval)\(/.test(codeOnly(text)),
    );
    // One for a worker; one for a way through a proxy while it is being made, and not for each request on it.
    expect(timers.map(({ path }) => path)).toEqual(['settle/refusal-tally.ts', 'upstream/dial.ts']);
  });

  test('only a routed lane may loop over attempts, and it never touches the front end', () => {
    const having = (code: RegExp) =>
      files.filter(({ text }) => code.test(codeOnly(text))).map(({ path }) => path);
    expect(having(/new Attempt\(/)).toEqual([
      'exchange/relay-lane.ts',
      'exchange/routed-request.ts',
    ]);
    expect(having(/\.attemptAt\(/)).toEqual(['exchange/routed-lane.ts']);
    const lanes = files.filter(({ path }) => /^exchange\/\w+-lane\.ts$/.test(path));
    expect(lanes.flatMap(({ imports }) => imports.filter((to) => to.startsWith('edge/')))).toEqual(
      [],
    );
  });

  test('no file knows both the shapes of conversations and the wire to a provider', () => {
    const both = files.filter(
      ({ imports }) =>
        imports.some((to) => to.startsWith('dialect/')) &&
        imports.some((to) => to.startsWith('upstream/')),
    );
    expect(both.map(({ path }) => path)).toEqual([]);
  });

  test('what a request meets behind its admission knows nothing of admission', () => {
    const rooms = /^(?:providers|upstream|settle|config|meter|wire)\//;
    const knowing = files.flatMap(({ path, imports }) =>
      rooms.test(path)
        ? imports.filter((to) => to.startsWith('admit/')).map((to) => `${path} imports ${to}`)
        : [],
    );
    expect(knowing).toEqual([]);
  });

  test.each([
    ['uWebSockets.js', 'edge/'],
    ['smol-toml', 'config/'],
    ['pino', 'outlet/'],
  ])('the package %s enters only through %s', (name, folder) => {
    const importers = files
      .filter(({ packages }) => packages.includes(name))
      .map(({ path }) => path);
    expect(importers.filter((path) => !path.startsWith(folder))).toEqual([]);
  });

  test("a worker's thread loads no library that only the main thread needs", () => {
    // Each costs a cold start 50 to 120 ms.
    const reached = new Set(['node/worker.ts']);
    for (const path of reached) {
      for (const to of files.find((file) => file.path === path)?.loads ?? []) reached.add(to);
    }
    expect(reached).toContain('exchange/exchange.ts');
    const packages = [...reached].filter(
      (name) => !name.endsWith('.ts') && !name.startsWith('node:'),
    );
    expect(packages).toEqual([]);
  });

  test('the mock provider shares no code with the gateway it stands in for', () => {
    const borrowed = files
      .filter(({ path }) => path.startsWith('mock/'))
      .flatMap(({ path, imports }) =>
        imports.filter((to) => !to.startsWith('mock/')).map((to) => `${path}: ${to}`),
      );
    expect(borrowed).toEqual([]);
  });
});

function sideOf(path: string): 'edge' | 'upstream' | null {
  if (path.startsWith('edge/')) return 'edge';
  return path.startsWith('upstream/') ? 'upstream' : null;
}
