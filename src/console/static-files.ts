/**
 * The dashboard's files, served from the packages and from `console/dashboard/`: a fixed table of names that is made once, so
 * that no path of a caller's ever reaches a file system. Types are taken out of our files in memory, and what is large is
 * packed once and kept.
 *
 * Decision: what imports a package by its name is rewritten on its way out. A browser would need an import map for that, and
 * an import map is an inline script, which the policy of these pages forbids.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { extname, join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { withoutWarning } from '../known-warning.ts';
import type { AdminSettings } from './admin-settings.ts';
import type { CallFields } from './call-fields.ts';
import type { ToldAnswer } from './console-messages.ts';
import { Problem } from './problem.ts';
import { problemAnswer, SAFE_FIELDS } from './problem-answer.ts';

const OURS = join(import.meta.dirname, 'dashboard');

/** Where packages are, by the name under which they are imported: the folder of the package, and its module's file. */
const PACKAGES: Readonly<Record<string, readonly [folder: string, file: string]>> = {
  preact: ['preact', 'dist/preact.mjs'],
  'preact/hooks': ['preact', 'hooks/dist/hooks.mjs'],
  htm: ['htm', 'dist/htm.module.js'],
};

/** What is served as it is: no module imports it. */
const PLAIN_FILES: Readonly<Record<string, readonly [folder: string, file: string]>> = {
  'uplot.js': ['uplot', 'dist/uPlot.iife.min.js'],
  'uplot.css': ['uplot', 'dist/uPlot.min.css'],
};

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

/** Where a sign-in by an OpenID provider begins. */
export const OIDC_START = '/oidc/start';

/** Shorter files are sent as they are, in bytes: a dozen modules are below a kilobyte, and packed half of that. */
const PACK_FROM_BYTES = 256;

/** `from 'x'`, `import 'x'` and `import('x')` of what is no path. */
const BARE_IMPORT = /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([a-z@][^'"]*)\2/g;

interface Kept {
  readonly type: string;
  readonly etag: string;
  readonly plain: Uint8Array;
  readonly packed: Map<'br' | 'gzip', Uint8Array>;
}

export class StaticFiles {
  /** By path, what reads the file. */
  readonly #sources = new Map<
    string,
    () => readonly [type: string, content: Uint8Array | string]
  >();
  readonly #kept = new Map<string, Kept>();

  constructor() {
    for (const name of ours()) {
      const type = TYPES[extname(name)];
      if (type === undefined) continue;
      const path = name === 'index.html' ? '/' : `/ui/${name}`;
      this.#sources.set(path, () => [type, ownFile(name)]);
    }
    for (const [name, [folder, file]] of Object.entries(PACKAGES))
      this.#sources.set(libraryPath(name), () => [
        TYPES['.js'] ?? '',
        module(packageFile(folder, file)),
      ]);
    for (const [name, [folder, file]] of Object.entries(PLAIN_FILES))
      this.#sources.set(`/ui/lib/${name}`, () => [
        TYPES[extname(name)] ?? '',
        packageFile(folder, file),
      ]);
  }

  /** @throws Problem where there is no such page */
  answer(
    method: string,
    path: string,
    fields: CallFields,
    admin: AdminSettings<unknown> | null,
  ): ToldAnswer {
    if (method !== 'GET' && method !== 'HEAD')
      return problemAnswer(new Problem('method_not_allowed'), ['allow', 'GET, HEAD']);
    if (path === '/ui/sign-in.json') return waysIn(admin);
    const kept = this.#kept.get(path) ?? this.#keep(path);
    if (kept === null) throw new Problem('not_found');
    const { type, etag, plain } = kept;
    const head = [
      'etag',
      etag,
      'cache-control',
      'no-cache',
      'vary',
      'accept-encoding',
      ...SAFE_FIELDS,
    ];
    if (fields.only('if-none-match') === etag) return { status: 304, fields: head, body: null };
    const coding =
      plain.length < PACK_FROM_BYTES ? null : codingFor(fields.only('accept-encoding'));
    const coded = coding === null ? [] : ['content-encoding', coding];
    const body = coding === null ? plain : packed(kept, coding);
    return { status: 200, fields: ['content-type', type, ...coded, ...head], body };
  }

  #keep(path: string): Kept | null {
    const read = this.#sources.get(path);
    if (read === undefined) return null;
    const [type, content] = read();
    const plain = typeof content === 'string' ? Buffer.from(content) : content;
    const hash = createHash('sha256').update(plain).digest('base64url').slice(0, 22);
    const kept: Kept = { type, etag: `"${hash}"`, plain, packed: new Map() };
    this.#kept.set(path, kept);
    return kept;
  }
}

function packed({ packed: known, plain }: Kept, coding: 'br' | 'gzip'): Uint8Array {
  const had = known.get(coding);
  if (had !== undefined) return had;
  const made = coding === 'br' ? brotliCompressSync(plain) : gzipSync(plain, { level: 9 });
  known.set(coding, made);
  return made;
}

function codingFor(accepted: string | null): 'br' | 'gzip' | null {
  const codings = (accepted ?? '').split(',').map((one) => one.trim().toLowerCase());
  return (['br', 'gzip'] as const).find((known) => codings.includes(known)) ?? null;
}

/** How somebody can sign in: the page asks before anybody is. */
function waysIn(admin: AdminSettings<unknown> | null): ToldAnswer {
  const hasOidc = (admin?.oidc ?? null) !== null;
  const ways = { token: (admin?.tokens.length ?? 0) > 0, oidc: hasOidc ? OIDC_START : null };
  const fields = ['content-type', 'application/json', 'cache-control', 'no-store', ...SAFE_FIELDS];
  return { status: 200, fields, body: `${JSON.stringify(ways)}\n` };
}

function ours(): readonly string[] {
  if (!existsSync(OURS)) return [];
  return readdirSync(OURS, { recursive: true, encoding: 'utf8' }).map((name) =>
    name.replaceAll('\\', '/'),
  );
}

function stripped(source: string): string {
  return withoutWarning('stripTypeScriptTypes is an experimental', () =>
    stripTypeScriptTypes(source),
  );
}

function ownFile(name: string): Uint8Array | string {
  const content = readFileSync(join(OURS, name));
  if (name.endsWith('.ts')) return module(bare(stripped(content.toString())));
  if (name.endsWith('.css')) return squeezed(content.toString());
  return name.endsWith('.js') ? module(content.toString()) : content;
}

/**
 * Without what only readers of the source need: comments on lines of their own, indentation, and the blanks that types leave.
 * An eighth of what the pages weigh.
 */
function bare(text: string): string {
  return text
    .replace(/^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*\*\/[ \t]*$/gm, '')
    .replace(/^[ \t]*\/\/.*$/gm, '')
    .replace(/[ \t]+$/gm, '')
    .replace(/\n\s+/g, '\n');
}

/**
 * A style sheet without comments, and without the blanks that mean nothing. One before a colon stays: `a :hover` is another
 * selector than `a:hover`.
 */
function squeezed(text: string): string {
  return text
    .replace(/\/\*(?:(?!\*\/)[\s\S])*\*\//g, '')
    .replace(/\s+/g, ' ')
    .replace(/ ?([{};,>]) ?/g, '$1')
    .replace(/: /g, ':')
    .trim();
}

/** Not every package lets its `package.json` be resolved: what it is imported as always can. */
function packageFile(folder: string, file: string): string {
  const entry = createRequire(import.meta.url).resolve(folder);
  const inside = join('node_modules', folder, '/');
  const root = entry.slice(0, entry.lastIndexOf(inside) + inside.length);
  return readFileSync(join(root, file), 'utf8');
}

function libraryPath(name: string): string {
  return `/ui/lib/${name}.js`;
}

/** With the addresses of packages in place of their names. */
function module(text: string): string {
  return text.replace(BARE_IMPORT, (found, before: string, quote: string, name: string) =>
    Object.hasOwn(PACKAGES, name) ? `${before}${quote}${libraryPath(name)}${quote}` : found,
  );
}
