import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** What became of the tests of one file, or of one suite in it. */
export interface Ran {
  /** `test/claims/x.test.ts`, or that and the suite's name. */
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** Why each of the others was skipped; null where nothing says it. */
  readonly skips: readonly (string | null)[];
}

/** Why a whole file may be skipped, and how it is known that this is so. */
interface Need {
  readonly says: RegExp;
  /** Whether the tests could run after all. */
  readonly isMet: (found: RegExpExecArray) => boolean;
}

const PLACES = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const isOnPath = (name: string): boolean => PLACES.some((folder) => existsSync(join(folder, name)));
const works = (command: string, ...argv: readonly string[]): boolean =>
  spawnSync(command, argv).status === 0;

const NEEDS: readonly Need[] = [
  // Where it may be installed, it is to be.
  {
    says: /^needs nats-server\b/,
    isMet: () => isOnPath('nats-server') || process.getuid?.() === 0,
  },
  {
    says: /^needs chromium\b/,
    isMet: () => isOnPath('chromium') || process.getuid?.() === 0,
  },
  // Debian's package; nobody installs a whole server for one file of tests.
  { says: /^needs postgresql\b/, isMet: () => existsSync('/usr/lib/postgresql') },
  { says: /^needs redis-server\b/, isMet: () => isOnPath('redis-server') },
  { says: /^needs chdb\b/, isMet: () => works('python3', '-c', 'import chdb') },
  // One that is too old says what was found.
  { says: /^needs \S+ .*, found (?!none$)/, isMet: () => false },
  { says: /^needs (go|python3|Python)\b/, isMet: ([, name = '']) => isOnPath(name.toLowerCase()) },
  { says: /^needs (npm|curl|script)\b/, isMet: ([, name = '']) => isOnPath(name) },
  { says: /^needs the recordings in ([^,]+),/, isMet: ([, folder = '']) => existsSync(folder) },
  {
    says: /^needs (\d+) open files, the limit here is (\d+)$/,
    isMet: ([, wanted, limit]) => Number(limit) >= Number(wanted),
  },
  {
    says: /^needs the right to make .*name ?spaces?\b/,
    isMet: () =>
      works('unshare', '--net', '--mount', '--pid', '--fork', 'ip', 'link', 'set', 'lo', 'up'),
  },
];

/** One line for each reason: how many tests, why, and where they are. */
export function reasonsOf(files: readonly Ran[]): readonly string[] {
  const by = new Map<string, { count: number; readonly files: Set<string> }>();
  for (const { name, skips } of files) {
    for (const skip of skips) {
      const reason = skip ?? 'no reason given (a filter?)';
      const row = by.get(reason) ?? { count: 0, files: new Set<string>() };
      row.count++;
      row.files.add(name);
      by.set(reason, row);
    }
  }
  return [...by].map(
    ([reason, { count, files: where }]) => `${count} skipped: ${reason} (${[...where].join(', ')})`,
  );
}

/**
 * What was skipped whole although it could have run: no reason is told, none that is known, or one that is not true here.
 * @param needs replaced in tests
 * @returns a line for each
 */
export function couldHaveRun(
  ran: readonly Ran[],
  needs: readonly Need[] = NEEDS,
): readonly string[] {
  return ran.flatMap(({ name, passed, failed, skips }) => {
    if (passed + failed > 0 || skips.length === 0) return [];
    for (const skip of new Set(skips)) {
      if (skip === null) return [`${name}: skipped whole, and nothing says why`];
      const need = needs.find(({ says }) => says.test(skip));
      if (need === undefined)
        return [`${name}: skipped whole, and test/support/skips.ts does not know "${skip}"`];
      const found = need.says.exec(skip);
      if (found !== null && need.isMet(found))
        return [`${name}: skipped whole, but it could run: "${skip}" is not so`];
    }
    return [];
  });
}
