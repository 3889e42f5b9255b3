/** What two books are compared by: sums for a day, a model and a tier of service. */

/** Where a sum belongs. Null: the book does not say; then it is compared over all of them. */
export interface Place {
  /** UTC, `2026-11-29`. */
  readonly day: string;
  readonly model: string | null;
  readonly tier: string | null;
}

/** What was used, in one convention: `input` is all of it, what was read from and written to a cache included. */
export interface Usage {
  /** Null where the book does not count them. */
  readonly requests: number | null;
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly output: number;
}

export interface UsageRow extends Place {
  readonly usage: Usage;
}

export interface CostRow extends Place {
  readonly pico: bigint;
  /** Of a tool, which stands where the model would: our book has it in what the request cost. */
  readonly isFee: boolean;
}

/** Endpoints that a provider counts apart. */
export type UsageKind = 'writing' | 'embeddings';

/** What a provider says. */
export interface ProviderBook {
  /** Days that it tells of, those on which nothing was used included: by which of its reports. */
  readonly usageDays: ReadonlySet<string>;
  readonly costDays: ReadonlySet<string>;
  readonly kinds: ReadonlySet<UsageKind>;
  readonly usage: readonly UsageRow[];
  readonly costs: readonly CostRow[];
  /** A page says that another one follows, which is not here. */
  readonly isCut: boolean;
}

/** An export that is none, in one line: where, what was found and what was expected. */
export class ExportError extends Error {}

/** Words of providers for what is served to everybody, in one. */
const STANDARD: ReadonlySet<string> = new Set(['default', 'standard', 'auto', 'on_demand']);

export function tierOf(word: string | null): string {
  return word === null || STANDARD.has(word) ? 'standard' : word;
}

export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** An object's members, for what somebody else wrote. */
export type Members = Readonly<Record<string, unknown>>;

/** @param where for who reads the error: `data[3].results[0]` */
export function membersOf(value: unknown, where: string): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw new ExportError(`${where}: found ${shown(value)}, expected an object`);
}

export function listOf(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new ExportError(`${where}: found ${shown(value)}, expected a list`);
}

/** @returns 0 for what is not told */
export function countOf(of: Members, name: string, where: string): number {
  const value = of[name] ?? 0;
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw new ExportError(`${where}.${name}: found ${shown(value)}, expected a whole number`);
}

export function wordOf(of: Members, name: string, where: string): string | null {
  const value = of[name] ?? null;
  if (value === null || typeof value === 'string') return value;
  throw new ExportError(`${where}.${name}: found ${shown(value)}, expected a text or null`);
}

const SHOWN_CHARACTERS = 40;

export function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, SHOWN_CHARACTERS);
}

/** One page of an export, and how it is named to who reads an error. */
export interface Page {
  readonly page: Members;
  readonly where: string;
}

/** The pages of a file: one, a list of them, or one on each line. */
export function pagesOf(text: string, file: string): readonly Page[] {
  const values = parsed(text, file);
  return values.map((value, at) => {
    const where = values.length === 1 ? file : `${file}, page ${at + 1}`;
    return { page: membersOf(value, where), where };
  });
}

function parsed(text: string, file: string): readonly unknown[] {
  try {
    const whole: unknown = JSON.parse(text);
    return Array.isArray(whole) ? whole : [whole];
  } catch {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    return lines.map((line, at): unknown => {
      try {
        return JSON.parse(line);
      } catch {
        throw new ExportError(`${file}, line ${at + 1}: found what is no JSON, expected a page`);
      }
    });
  }
}

/** One result of a bucket, as its reader takes it. */
export type Result =
  | { readonly usage: UsageRow; readonly kind: UsageKind }
  | { readonly cost: CostRow };

/** How a provider writes its reports down. */
export interface ReportReader {
  /** The day of a bucket. */
  dayOf(bucket: Members, where: string): string;
  /** What a bucket lists; null: as `results`. */
  resultsOf?(bucket: Members, where: string): readonly unknown[] | null;
  result(members: Members, day: string, where: string): Result;
}

/**
 * Both of a provider's reports, from pages that are lists of buckets, which are lists of results.
 * @throws ExportError in one line
 */
export function bookOf(pages: readonly Page[], reader: ReportReader): ProviderBook {
  const usage: UsageRow[] = [];
  const costs: CostRow[] = [];
  const kinds = new Set<UsageKind>();
  const [usageDays, costDays] = [new Set<string>(), new Set<string>()];
  const [ofUsage, ofCosts]: [Set<Page>, Set<Page>] = [new Set(), new Set()];
  for (const one of pages) {
    const { page, where } = one;
    const days: string[] = [];
    for (const [at, value] of listOf(page['data'], `${where}: data`).entries()) {
      const place = `${where}: data[${at}]`;
      const bucket = membersOf(value, place);
      const day = reader.dayOf(bucket, place);
      days.push(day);
      const results =
        reader.resultsOf?.(bucket, place) ?? listOf(bucket['results'], `${place}.results`);
      for (const [number, inside] of results.entries()) {
        const name = `${place}.results[${number}]`;
        const result = reader.result(membersOf(inside, name), day, name);
        if ('cost' in result) {
          costs.push(result.cost);
          ofCosts.add(one);
        } else {
          usage.push(result.usage);
          kinds.add(result.kind);
          ofUsage.add(one);
        }
      }
    }
    // Those on which nothing was used too.
    if (ofUsage.has(one)) for (const day of days) usageDays.add(day);
    if (ofCosts.has(one)) for (const day of days) costDays.add(day);
  }
  return { usageDays, costDays, kinds, usage, costs, isCut: isCut(ofUsage) || isCut(ofCosts) };
}

/** Each page but the last of a report names the one behind it. */
function isCut(pages: ReadonlySet<Page>): boolean {
  return pages.size > 0 && [...pages].every(({ page }) => page['has_more'] === true);
}
