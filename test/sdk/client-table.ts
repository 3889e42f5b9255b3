import { textOf } from '../support/source-tree.ts';
import type { WorkName } from './cases.ts';
import { CLIENTS, type Client } from './clients.ts';

/** What every client of the table is said to do, in the sentence above it. */
const USUAL: readonly WorkName[] = [
  'chat',
  'stream',
  'tools',
  'structured',
  'vision',
  'cut-stream',
  'plain-stream',
];

/** The other things, as the table calls them. */
const WORDS: ReadonlyMap<WorkName, string> = new Map([
  ['parallel', 'parallel tools'],
  ['reasoning', 'reasoning'],
  ['storeless', '`store: false`'],
  ['embeddings', 'embeddings'],
  ['responses', 'Responses API'],
  ['count', 'token counts'],
  ['retry', 'retries'],
]);

/** The lines of the table of clients in docs/clients.md, as the lock files and the list of clients have them. */
export function clientTable(): readonly string[] {
  const rows = CLIENTS.map((client) => {
    const more = [...WORDS].flatMap(([name, word]) => (client.works.includes(name) ? [word] : []));
    const cells = [client.name, packagesOf(client), moreCell(client, more)];
    return `| ${cells.join(' | ')} |`;
  });
  return ['| client | packages | and also |', '|---|---|---|', ...rows];
}

function moreCell({ works }: Client, more: readonly string[]): string {
  const known = [...USUAL, ...WORDS.keys()];
  const unnamed = works.filter((name) => !known.includes(name));
  if (unnamed.length > 0) throw new Error(`The table has no word for ${unnamed.join()}.`);
  const plain = works.includes('chat') ? [] : ['no plain chat: each answer is an object'];
  return [...more, ...plain].join(', ');
}

function packagesOf({ toolchain, packages }: Client): string {
  if (packages.length === 0) return "the system's";
  return packages.map((name) => `${shortName(name)} ${versionOf(toolchain, name)}`).join(', ');
}

const shortName = (name: string): string => name.replace('github.com/', '');

/** @throws Error when the lock file of the toolchain does not pin the package */
function versionOf(toolchain: Client['toolchain'], name: string): string {
  const found = PINS[toolchain]?.(name);
  if (found === undefined) throw new Error(`No exact version of ${name} is pinned.`);
  return found;
}

const pin = (path: string, line: (name: string) => string) => (name: string) =>
  new RegExp(line(name.replaceAll('.', '\\.')), 'm').exec(textOf(`test/sdk/${path}`))?.[1];

const PINS: Partial<Record<Client['toolchain'], (name: string) => string | undefined>> = {
  node: pin('node/package.json', (name) => `^    "${name}": "(\\d[^"^~]*)"`),
  python: pin('python/requirements.txt', (name) => `^${name}==(\\S+)$`),
  go: pin('go/go.mod', (name) => `^\\s+${name} v(\\S+)$`),
};
