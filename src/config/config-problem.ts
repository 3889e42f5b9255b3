import { MASK } from '../secret.ts';

/** One thing that is wrong with a configuration. No member ever holds a secret value. */
export interface ConfigProblem {
  /** Path of the file, or `environment`. */
  readonly file: string;
  /** Dotted key, the name of a variable, or `line L, column C` of a file that is not TOML. */
  readonly key: string;
  readonly found: string;
  readonly expected: string;
  /** Table, entry and, where it is about one, member of what was made at run time; absent: the file's or the environment's. */
  readonly at?: readonly string[];
  /** The file says that it cannot be overridden at run time. */
  readonly isLocked?: true;
}

/** Every problem of one configuration, found in one pass; the message has one line for each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];
  /** Signatures of the files that were read, or should have been. */
  readonly files: ReadonlyMap<string, string>;

  constructor(problems: readonly ConfigProblem[], files: ReadonlyMap<string, string> = new Map()) {
    super(problems.map(problemLine).join('\n'));
    this.problems = problems;
    this.files = files;
  }
}

/** As whoever reads a log or a terminal is told it. */
export function problemLine({ file, key, found, expected }: ConfigProblem): string {
  return `${file}: ${key}: found ${found}, expected ${expected}`;
}

/** Longest piece of a found value that a problem quotes; more would drown the message. */
const SHOWN_MAX_CHARACTERS = 80;

/**
 * A key that was put where none belongs must not be printed either. Credentials are long runs
 * without punctuation, start as the vendors' keys do, or stand before the `@` of an authority;
 * addresses, levels and sizes are none of these, and a path says so by how it starts.
 */
const LOOKS_SECRET = /^(?!\.{0,2}\/).*[A-Za-z0-9_-]{20}|^(?:sk|gsk|csk|xai|fw|key|tgp|bai)[-_]|@/;

/** How a found value is quoted in a problem: TOML-like, cut to a length, `***` if it may be a key. */
export function showValue(value: unknown): string {
  if (typeof value === 'string') {
    if (LOOKS_SECRET.test(value)) return MASK;
    const cut = value.slice(0, SHOWN_MAX_CHARACTERS);
    return JSON.stringify(cut) + (cut === value ? '' : '…');
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return kindOf(value);
}

/** How a found value is described where every string counts as a secret. */
export function showSecret(value: unknown): string {
  if (value === '') return '""';
  return typeof value === 'string' ? MASK : kindOf(value);
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object') return 'a table';
  return `a ${typeof value}`;
}

/** The candidate with the smallest edit distance to a name; the first of equals. */
export function nearest(name: string, candidates: readonly string[]): string {
  let best = '';
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance: insertions, deletions and substitutions of one character cost 1 each. */
function editDistance(left: string, right: string): number {
  let above = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const substituted = (above[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const shifted = 1 + Math.min(above[column] ?? 0, current[column - 1] ?? 0);
      current.push(Math.min(substituted, shifted));
    }
    above = current;
  }
  return above[right.length] ?? 0;
}
