import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** One source file and what it pulls in. */
export interface SourceFile {
  /** Relative to `src/`, with forward slashes: `edge/door.ts`. */
  readonly path: string;
  readonly text: string;
  /** Relative to `src/`. Type-only imports count: a knot of types is a knot. */
  readonly imports: readonly string[];
  /** Package names; `node:` modules are left out. */
  readonly packages: readonly string[];
  /** What is loaded with it, files and packages: neither types nor what is imported when it is needed. */
  readonly loads: readonly string[];
}

/** What others wrote and a tool installed here. */
const INSTALLED = /(?:^|\/)(?:node_modules|\.venv)\//;

/** Files below a folder of the repository, relative to it, forward slashes, sorted. */
export function filesBelow(folder: string, ending: string): readonly string[] {
  // Git keeps no empty folder: a fresh clone may lack one.
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith(ending) && !INSTALLED.test(path))
    .sort();
}

/** Text of a file of the repository. */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Every TypeScript file below `src/`. */
export function sourceFiles(): readonly SourceFile[] {
  return filesBelow('src', '.ts').map((path) => {
    const text = textOf(`src/${path}`);
    const targets = importTargets(text);
    const pathOf = (target: string): string =>
      normalize(join(dirname(path), target)).replaceAll('\\', '/');
    return {
      path,
      text,
      imports: targets.filter((target) => target.startsWith('.')).map(pathOf),
      loads: [...text.matchAll(LOADED)]
        .map((match) => match[1] ?? '')
        .map((target) => (target.startsWith('.') ? pathOf(target) : packageName(target))),
      packages: targets
        .filter((target) => !target.startsWith('.') && !target.startsWith('node:'))
        .map(packageName),
    };
  });
}

// `import … from 'x'`, `export … from 'x'`, `import 'x'`, `import('x')` and `typeof import('x')`, as Biome formats them.
const IMPORT =
  /^(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

/** Static ones that stay when types are stripped. */
const LOADED = /^(?:import|export)\b(?! type\b)[^'"`;]*?\bfrom\s+'([^']+)'/gm;

function importTargets(text: string): readonly string[] {
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
}

function packageName(specifier: string): string {
  const [first = '', second = ''] = specifier.split('/');
  return first.startsWith('@') ? `${first}/${second}` : first;
}

/** Code without comments and without what stands between quotes, so that a word in prose does not count. */
export function codeOnly(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g,
    (found) => (found.startsWith('/') ? ' ' : "''"),
  );
}

/** Groups of files that import each other in a circle (strongly connected components of more than one file). */
export function importCycles(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const edges = new Map(files.map(({ path, imports }) => [path, imports]));
  const reach = new Map(files.map(({ path }) => [path, reachable(path, edges)]));
  const cycles = new Set<string>();
  for (const { path } of files) {
    const knot = files.filter(
      (other) => reach.get(path)?.has(other.path) && reach.get(other.path)?.has(path),
    );
    if (knot.length > 0) cycles.add(knot.map((file) => file.path).join(' '));
  }
  return [...cycles].map((cycle) => cycle.split(' '));
}

function reachable(
  from: string,
  edges: ReadonlyMap<string, readonly string[]>,
): ReadonlySet<string> {
  const seen = new Set<string>();
  const next = [...(edges.get(from) ?? [])];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    next.push(...(edges.get(path) ?? []));
  }
  return seen;
}

/** Rows of the first Markdown table whose header has exactly these columns (case-insensitive); null when there is none. */
export function markdownTable(
  text: string,
  columns: readonly string[],
): readonly (readonly string[])[] | null {
  const lines = text.split('\n');
  const header = lines.findIndex(
    (line) =>
      cells(line)
        .map((cell) => cell.toLowerCase())
        .join('|') === columns.join('|'),
  );
  if (header === -1) return null;
  const rows: (readonly string[])[] = [];
  for (const line of lines.slice(header + 2)) {
    if (!line.startsWith('|')) break;
    rows.push(cells(line));
  }
  return rows;
}

function cells(line: string): readonly string[] {
  if (!line.startsWith('|')) return [];
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}
