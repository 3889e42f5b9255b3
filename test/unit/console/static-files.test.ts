import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CallFields } from '../../../src/console/call-fields.ts';
import { StaticFiles } from '../../../src/console/static-files.ts';
import { ROOT } from '../../support/source-tree.ts';

const files = new StaticFiles();

/** @returns the status, and what the page weighs as it is sent */
function get(path: string): {
  readonly status: number;
  readonly body: string;
  readonly bytes: number;
} {
  const plain = files.answer('GET', path, new CallFields([]), null);
  const packed = files.answer('GET', path, new CallFields(['accept-encoding', 'br']), null);
  return {
    status: plain.status,
    body: Buffer.from(plain.body ?? '').toString(),
    bytes: Buffer.from(packed.body ?? '').length,
  };
}

const page = get('/').body;
const loaded = [...page.matchAll(/(?:href|src)="(\/ui\/[^"]+)"/g)].map(([, path = '']) => path);

/** Of screens that are loaded when they are opened. */
const LATER = ['cache-answers.ts', 'cache-guards.ts', 'cache-screen.ts'];

describe("the dashboard's files", () => {
  test('are all served that the page names', () => {
    expect(loaded.map((path) => [path, get(path).status])).toEqual(
      loaded.map((path) => [path, 200]),
    );
  });

  test('are named by the page before a module asks for them: no module waits for another', () => {
    const folder = join(ROOT, 'src/console/dashboard');
    const modules = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    // Types alone: nothing is left of it in a browser.
    const now = modules.filter((name) => name !== 'told.ts' && !LATER.includes(name));
    const expected = now.map((name) => `/ui/${name}`);
    expect(loaded.filter((path) => path.endsWith('.ts')).sort()).toEqual(expected.sort());
  });

  test('of a screen that is loaded when it is opened are asked for by nothing that the page loads', () => {
    for (const name of LATER) {
      expect(get(`/ui/${name}`).status).toBe(200);
      const asking = loaded.filter((path) => get(path).body.includes(`from './${name}'`));
      expect(asking).toEqual([]);
    }
  });

  test('import nothing but each other and the three packages, by addresses of this gateway', () => {
    const imported = loaded
      .filter((path) => /\.(?:ts|js)$/.test(path) && path !== '/ui/lib/uplot.js')
      .flatMap((path) => [...get(path).body.matchAll(/\bfrom\s*["']([^"',]+)["']/g)])
      .map(([, target = '']) => target);
    expect(
      imported.filter((target) => !/^(?:\.\/[\w-]+\.ts|\/ui\/lib\/[\w/]+\.js)$/.test(target)),
    ).toEqual([]);
    expect(imported.length).toBeGreaterThan(100);
  });

  test('have a style sheet that says what its source says, without what only its readers need', () => {
    const source = readFileSync(join(ROOT, 'src/console/dashboard/dashboard.css'), 'utf8');
    const served = get('/ui/dashboard.css').body;
    expect(served).not.toMatch(/\/\*|\n|\s{2}/);
    const bare = (text: string) => text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/\s/g, '');
    expect(bare(served)).toBe(bare(source));
    // What a blank before a colon says is kept.
    const descendants = (text: string) => text.match(/[\w)\]*] :[a-z]/g)?.length ?? 0;
    expect(descendants(served)).toBe(descendants(source.replaceAll(/\/\*[\s\S]*?\*\//g, '')));
  });

  test('weigh less than 80 KB in all, packed', () => {
    const bytes = ['/', ...loaded].reduce((sum, path) => sum + get(path).bytes, 0);
    expect(bytes).toBeLessThan(80_000);
  });
});
